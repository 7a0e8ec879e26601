"""Iterative pre-copy: how a domain's memory is sent while the domain writes to it.

The first round goes through all pages, each later one through those that the round before left dirty. The log of dirty
pages is cleared when a round begins. Pages are visited in pseudo-random order, so at any moment the regions' pages that
have not been visited yet are mixed as they were at the beginning; a page that is dirty again when its turn comes is left for
the next round. With `D` pages to go through, of which the part `f(t)` is clean at time `t`, a stream of `r` pages a second
goes through them at

    dx/dt = r / (D f(t)),    f(t) = sum over regions of to_send_i (1 - dirty_i(t)) / D ,

which is integrated by the midpoint rule, in steps in which neither x nor a dirty part changes by more than a few per cent.
Nothing here depends on how large the memory is. Source: Clark et al., NSDI 2005, sections 3.2, 4 and 5.2.

Simplified: the log is read as if before every page, where the paper reads it for a batch at a time.
"""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport (
    MAX_ROUNDS, STAGE_PRECOPY, STAGE_ROUND_END, Migration, WorkingSet,
)
from xengym.mechanisms.working_set cimport clear_log, dirty_pages, exposure_per_ns, most_exposure, write_for, written_part

cdef enum:
    PAGE_BYTES = 4096

cdef inline int64_t pages_to_send(const Migration* g) noexcept nogil:
    """Pages that the present round goes through."""
    cdef int i
    cdef int64_t pages = g.extra_pages
    for i in range(8):
        pages += g.to_send[i]
    return pages

cdef inline int64_t all_dirty_pages(const WorkingSet* ws) noexcept nogil:
    cdef int i
    cdef int64_t pages = 0
    for i in range(ws.num_regions):
        pages += dirty_pages(ws, i)
    return pages

cdef inline void take_dirty(Migration* g, WorkingSet* ws, bint everything) noexcept nogil:
    """What has to be sent next: all memory, or what is dirty. The log starts anew."""
    cdef int i
    for i in range(8):
        g.to_send[i] = 0
    for i in range(ws.num_regions):
        g.to_send[i] = ws.pages[i] if everything else dirty_pages(ws, i)
    g.extra_pages = ws.free_pages if everything and not g.gives_back_free else 0
    clear_log(ws)
    g.scanned = 0.0
    g.sent_pages = 0.0

cdef inline void begin_round(Migration* g, WorkingSet* ws, double rate_bytes_per_s) noexcept nogil:
    take_dirty(g, ws, g.round == 0)
    g.round += 1
    g.round_ns = 0
    g.rate_bytes_per_s = rate_bytes_per_s
    g.stage = STAGE_PRECOPY

cdef inline double clean_part(const Migration* g, const WorkingSet* ws, double pages, double ahead_ns, double activity) noexcept nogil:
    """Part of the round's pages that a visit so many ns from now finds clean."""
    cdef int i
    cdef double clean = <double>g.extra_pages, exposure
    cdef bint stuns = 0 < g.stuns_from_round <= g.round
    if not g.skips_redirtied:
        return 1.0
    for i in range(ws.num_regions):
        if g.to_send[i] > 0:
            exposure = ws.exposure[i] + exposure_per_ns(ws, i, activity) * ahead_ns
            if stuns:
                exposure = min(exposure, most_exposure(ws, i))
            clean += <double>g.to_send[i] * (1.0 - written_part(ws.pattern[i], exposure))
    clean /= pages
    return clean if clean > 1e-9 else 1e-9

cdef inline double step_ns(const Migration* g, const WorkingSet* ws, double activity, double speed) noexcept nogil:
    """A time in which little changes; `speed` is how fast the round is gone through, per ns."""
    cdef int i
    cdef double per_ns, step = 0.03125 / speed if speed > 0.0 else 1e18
    for i in range(ws.num_regions):
        if g.to_send[i] > 0 and ws.exposure[i] < 8.0:
            per_ns = exposure_per_ns(ws, i, activity)
            if per_ns > 0.0:
                step = min(step, 0.0625 * (1.0 + ws.exposure[i]) / per_ns)
    return step

cdef inline int64_t copy_for(
    Migration* g, WorkingSet* ws, int64_t dt_ns, double bytes_per_s, double activity
) noexcept nogil:
    """Copy for at most `dt_ns`; returns the time until the round's pages were gone through, or `dt_ns`."""
    cdef double pages = <double>pages_to_send(g)
    cdef double pages_per_ns = bytes_per_s / PAGE_BYTES * 1e-9
    cdef double step, moved
    cdef int64_t used_ns = 0, h
    if pages == 0.0:
        g.scanned = 1.0
        return 0
    while used_ns < dt_ns and g.scanned < 1.0:
        step = step_ns(g, ws, activity, pages_per_ns / (pages * clean_part(g, ws, pages, 0.0, activity)))
        h = <int64_t>min(step, <double>(dt_ns - used_ns)) + 1
        if h > dt_ns - used_ns:
            h = dt_ns - used_ns
        moved = pages_per_ns * <double>h / (pages * clean_part(g, ws, pages, 0.5 * <double>h, activity))
        if g.scanned + moved >= 1.0:
            h = <int64_t>(<double>h * (1.0 - g.scanned) / moved) + 1
            g.scanned = 1.0
        else:
            g.scanned += moved
        write_for(ws, h, activity, 0 < g.stuns_from_round <= g.round)
        g.sent_pages += pages_per_ns * <double>h
        used_ns += h
    if g.sent_pages > pages:
        g.sent_pages = pages
    return min(used_ns, dt_ns)

cdef inline void end_round(Migration* g, WorkingSet* ws) noexcept nogil:
    """The round's pages were gone through: book it."""
    cdef int64_t sent = <int64_t>(g.sent_pages + 0.5)
    cdef int64_t skipped = pages_to_send(g) - sent
    cdef int i = g.round - 1
    if i < MAX_ROUNDS:
        g.round_ns_of[i] = g.round_ns
        g.sent_pages_of[i] = sent
        g.skipped_pages_of[i] = skipped
        g.dirtied_pages_of[i] = all_dirty_pages(ws)
        g.rate_of[i] = g.rate_bytes_per_s
    g.sent_bytes += sent * PAGE_BYTES
    g.skipped_pages += skipped
    g.stage = STAGE_ROUND_END
