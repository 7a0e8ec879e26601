"""Writes to memory, counted region by region: how many different pages are dirty after how many writes.

With `n` pages written at random, a page has not been written after `x n` writes with probability `exp(-x)`; swept through
in order, the part `min(1, x)` has been written. Both are expected values, so a domain's dirty pages are a smooth function of
the time it ran; `x` (`WorkingSet.exposure`) adds up over phases of different rates. The shape, a hot and a cold part, is what
Clark et al., NSDI 2005, section 4 and figures 2 to 6 show (the writable working set).
"""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport PATTERN_SWEEP, WorkingSet
from xengym.sim.random cimport exact_exp

cdef inline double written_part(int pattern, double exposure) noexcept nogil:
    """Part of a region's pages that so many writes (in times its size) have made dirty."""
    if pattern == PATTERN_SWEEP:
        return exposure if exposure < 1.0 else 1.0
    return 1.0 - exact_exp(-exposure) if exposure < 40.0 else 1.0

cdef inline double dirty_part(const WorkingSet* ws, int i) noexcept nogil:
    """Part of region i that is dirty since the log was cleared."""
    return written_part(ws.pattern[i], ws.exposure[i])

cdef inline double exposure_per_ns(const WorkingSet* ws, int i, double activity) noexcept nogil:
    return ws.writes_per_s[i] * activity / <double>ws.pages[i] * 1e-9 if ws.pages[i] > 0 else 0.0

cdef inline double most_exposure(const WorkingSet* ws, int i) noexcept nogil:
    """At which region i's process is stunned; more than any, if it never is."""
    if ws.stun_after[i] <= 0:
        return 1e300
    return <double>ws.stun_after[i] / <double>ws.pages[i] if ws.pages[i] > 0 else 0.0

cdef inline void write_for(WorkingSet* ws, int64_t dt_ns, double activity, bint stuns) noexcept nogil:
    """The domain runs for so long, at so much of its full activity.

    With `stuns`, a process that has met its number of write faults since the log was cleared is moved to a wait queue.
    """
    cdef int i
    for i in range(ws.num_regions):
        ws.exposure[i] += exposure_per_ns(ws, i, activity) * <double>dt_ns
        if stuns:
            ws.exposure[i] = min(ws.exposure[i], most_exposure(ws, i))

cdef inline int64_t dirty_pages(const WorkingSet* ws, int i) noexcept nogil:
    """Pages of region i that are dirty since the log was cleared."""
    return <int64_t>(dirty_part(ws, i) * <double>ws.pages[i] + 0.5)

cdef inline void clear_log(WorkingSet* ws) noexcept nogil:
    cdef int i
    for i in range(ws.num_regions):
        ws.exposure[i] = 0.0
    ws.is_logging = 1

cdef inline int64_t region_pages(const WorkingSet* ws) noexcept nogil:
    cdef int i
    cdef int64_t pages = 0
    for i in range(ws.num_regions):
        pages += ws.pages[i]
    return pages
