"""The stages of moving a domain, and who owns it in each; `Move` for one move between two machines.

Clark et al., NSDI 2005, section 3.1: pre-migration, reservation, iterative pre-copy, stop-and-copy, commitment, activation.
Up to the destination's acknowledgement the source's copy is the domain and any failure resumes it there; from then on it is
the destination's. It stands still from the beginning of stop-and-copy to the end of activation, and runs at exactly one
place otherwise. What a move costs in time beside the copying (`Migration.suspend_ns` and others) are parameters.

A regular move (`MOVE_STOP`) stops the domain before the first page. In self-migration (Hansen and Jul 2004; Clark et al.,
section 4.3) the guest copies itself: it stops in two stages, first everything but the copying, whose own writes go to a
buffer (`mechanisms/shadow_buffer`), then the copying, too, which only sends the buffer. A device that the guest reaches past
the hypervisor (Nomad, 2007) is drained before the stop, its handles are translated and its queues resumed at the destination.

Time passes piece by piece (`migration_run`), at the rate that link and processors grant; who grants is somebody else's
concern, and so is what comes after a round (`policies/control/precopy_rules`, or an agent).
"""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport (
    MOVE_SELF, MOVE_STOP, REASON_NONE, STAGE_ABORTED, STAGE_ACTIVATION, STAGE_COMMITMENT, STAGE_DISK, STAGE_DONE,
    STAGE_NONE, STAGE_PRECOPY, STAGE_PRE_MIGRATION, STAGE_RESERVATION, STAGE_ROUND_END, STAGE_STOP_AND_COPY, Migration,
    WorkingSet,
)
from xengym.mechanisms.precopy cimport begin_round, copy_for, end_round, pages_to_send, take_dirty
from xengym.mechanisms.shadow_buffer cimport buffered_pages
from xengym.mechanisms.working_set cimport region_pages
from xengym.policies.control.precopy_rules cimport RoundAnswer, after_round


cdef void migration_begin(Migration* g) noexcept nogil:
    g.stage = STAGE_PRE_MIGRATION
    g.reason = REASON_NONE
    g.round = 0
    g.stage_left_ns = 0
    g.elapsed_ns = 0
    g.downtime_ns = 0
    g.sent_bytes = 0
    g.skipped_pages = 0
    g.scanned = 0.0
    g.sent_pages = 0.0


cdef double migration_wanted_bytes_per_s(const Migration* g) noexcept nogil:
    if g.stage == STAGE_PRECOPY:
        return g.rate_bytes_per_s
    if g.stage == STAGE_STOP_AND_COPY and g.stage_left_ns == 0:
        return g.last_bytes_per_s
    return 0.0


cdef void _enter(Migration* g, int stage, int64_t lasts_ns) noexcept nogil:
    g.stage = stage
    g.stage_left_ns = lasts_ns


cdef void _begin_memory(Migration* g, WorkingSet* ws) noexcept nogil:
    if g.kind == MOVE_STOP:
        migration_stop(g, ws)
    else:
        begin_round(g, ws, g.min_bytes_per_s)


cdef void migration_disk_done(Migration* g, WorkingSet* ws) noexcept nogil:
    _begin_memory(g, ws)


cdef void migration_next_round(Migration* g, WorkingSet* ws, double rate_bytes_per_s) noexcept nogil:
    begin_round(g, ws, rate_bytes_per_s)


cdef void migration_stop(Migration* g, WorkingSet* ws) noexcept nogil:
    _enter(g, STAGE_STOP_AND_COPY, g.drain_ns + g.suspend_ns)
    take_dirty(g, ws, g.round == 0)
    g.stop_part = 1
    g.round += 1
    g.round_ns = 0
    g.rate_bytes_per_s = g.last_bytes_per_s


cdef void _second_part(Migration* g, int64_t shadow_pages) noexcept nogil:
    """Self-migration: what the copying itself has dirtied during the stop is sent from the buffer, as a round of its own."""
    cdef int i
    for i in range(8):
        g.to_send[i] = 0
    g.extra_pages = shadow_pages
    g.scanned = 0.0
    g.sent_pages = 0.0
    g.stop_part = 2
    g.round += 1
    g.round_ns = 0
    g.rate_bytes_per_s = g.last_bytes_per_s
    _enter(g, STAGE_STOP_AND_COPY, 0)


cdef void migration_follow_rules(Migration* g, WorkingSet* ws) noexcept nogil:
    cdef RoundAnswer answer = after_round(g, region_pages(ws) + ws.free_pages)
    if answer.stops:
        migration_stop(g, ws)
    else:
        begin_round(g, ws, answer.rate_bytes_per_s)


cdef bint migration_fail(Migration* g, WorkingSet* ws, int reason) noexcept nogil:
    """Returns whether the move is aborted."""
    if not STAGE_NONE < g.stage <= STAGE_COMMITMENT:
        return False
    g.stage = STAGE_ABORTED
    g.stage_left_ns = 0
    g.reason = reason
    ws.is_logging = 0
    return True


cdef void migration_wait(Migration* g, int64_t dt_ns) noexcept nogil:
    g.elapsed_ns += dt_ns
    g.round_ns += dt_ns
    if STAGE_STOP_AND_COPY <= g.stage <= STAGE_ACTIVATION:
        g.downtime_ns += dt_ns


cdef int64_t migration_run(Migration* g, WorkingSet* ws, int64_t dt_ns, double bytes_per_s, double activity) noexcept nogil:
    cdef int64_t used_ns, shadow_pages
    cdef bint is_still = STAGE_STOP_AND_COPY <= g.stage <= STAGE_ACTIVATION
    if g.stage == STAGE_NONE or g.stage == STAGE_ROUND_END or g.stage >= STAGE_DONE:
        return 0
    if g.stage == STAGE_PRECOPY:
        used_ns = copy_for(g, ws, dt_ns, bytes_per_s, activity)
    elif g.stage == STAGE_DISK:
        used_ns = dt_ns
    elif g.stage_left_ns > 0 or g.stage != STAGE_STOP_AND_COPY:
        used_ns = min(dt_ns, g.stage_left_ns)
        g.stage_left_ns -= used_ns
    else:
        used_ns = copy_for(g, ws, dt_ns, bytes_per_s, 0.0)
    g.elapsed_ns += used_ns
    g.round_ns += used_ns
    if is_still:
        g.downtime_ns += used_ns
    if g.stage == STAGE_PRECOPY:
        if g.scanned >= 1.0:
            end_round(g, ws)
    elif g.stage == STAGE_STOP_AND_COPY:
        if g.stage_left_ns == 0 and (g.scanned >= 1.0 or pages_to_send(g) == 0):
            shadow_pages = buffered_pages(g.own_pages, g.own_writes_per_s, g.round_ns - g.drain_ns - g.suspend_ns)
            end_round(g, ws)
            if g.kind == MOVE_SELF and g.stop_part == 1 and shadow_pages > 0:
                _second_part(g, shadow_pages)
            else:
                _enter(g, STAGE_COMMITMENT, g.commit_ns)
    elif g.stage_left_ns == 0:
        if g.stage == STAGE_PRE_MIGRATION:
            _enter(g, STAGE_RESERVATION, g.request_ns)
        elif g.stage == STAGE_RESERVATION:
            if g.has_disk:
                _enter(g, STAGE_DISK, 0)
            else:
                _begin_memory(g, ws)
        elif g.stage == STAGE_COMMITMENT:
            _enter(g, STAGE_ACTIVATION, g.remap_ns + g.resume_ns)
            ws.is_logging = 0
        elif g.stage == STAGE_ACTIVATION:
            g.stage = STAGE_DONE
    return used_ns
