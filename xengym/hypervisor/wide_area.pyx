"""A whole move between two sites: disk, memory, connections, and what may fail on the way.

Bradford et al., VEE 2007: the destination's daemon is asked and answers, yes or no; the block back end goes into record mode; the
image is copied while the domain runs, and every write follows as a delta; then memory is copied by the engine's rounds
(`migration.pyx`), deltas still going first; a tunnel for old connections is set up, the domain stops, the last deltas and the
last memory are sent, the destination applies what it has, acknowledges and starts the domain; the name is changed.

Who owns the domain follows from the engine's stages and from nothing else: the source until the destination's
acknowledgement, the destination from then on. Whatever fails before it ends the move with the source as it was: what the
destination holds is released, record mode, throttle and tunnel are off. Whatever fails after it cannot end the move any
more. While the line is down nothing that needs it goes on; the move gives up when that has lasted `Line.patience_ns`.

Time passes in pieces in which no rate changes. Others on the line get what they want as long as there is room; where there is not
the move gets its share of the line (`Line.own_share_frac`) and they the rest.
"""
from libc.stdint cimport int64_t
from xengym.hypervisor.migration cimport (
    belongs_to_destination, is_under_way, migration_begin, migration_disk_done, migration_fail,
    migration_next_round, migration_run, migration_stop, migration_wait, migration_wanted_bytes_per_s,
)
from xengym.machine.migration_state cimport (
    REASON_DESTINATION, REASON_LINK, REASON_SOURCE, STAGE_ABORTED, STAGE_ACTIVATION, STAGE_COMMITMENT,
    STAGE_DISK, STAGE_DONE, STAGE_PRECOPY, STAGE_PRE_MIGRATION, STAGE_RESERVATION, STAGE_ROUND_END,
    STAGE_STOP_AND_COPY,
)
from xengym.machine.wide_area_state cimport ON_REQUEST, Condition
from xengym.mechanisms.disk_copy cimport (
    begin_recording, delta_flow, disk_advance, disk_steady_ns, end_recording, forget_copy, image_blocks, is_bulk_done,
    queued_bytes, to_apply_bytes, until,
)
from xengym.mechanisms.precopy cimport all_dirty_pages
from xengym.mechanisms.redirection cimport (
    clients_bereft, clients_pause, clients_resume, clients_run, tunnel_cut, tunnel_up,
)
from xengym.mechanisms.working_set cimport region_pages, write_for
from xengym.policies.control.precopy_rules cimport RoundAnswer, after_round

# Less than half a byte is nothing.
cdef double NOTHING_BYTES = 0.5
# 256 KB, with which Clark's pre-copy ends; assumed: how long it waits for more, if nobody says that it shall end.
cdef int64_t FEW_PAGES = 64
cdef int64_t GAP_NS = 100_000_000


cdef void wide_begin(WideMove* w) noexcept nogil:
    w.state.memory_pages = region_pages(w.memory) + w.memory.free_pages
    w.state.source_pages = w.state.memory_pages
    w.state.source_blocks = image_blocks(w.disk)
    w.state.source_runs = 1
    migration_begin(w.migration)


cdef double _available_per_ns(const WideMove* w, const Condition* now) noexcept nogil:
    """Of the line, for the move."""
    cdef double line = w.line.bytes_per_s * now.line_factor
    cdef double got = max(line - now.competing_bytes_per_s, line * w.line.own_share_frac)
    cdef double window
    if w.line.is_cut:
        return 0.0
    if w.line.limit_bytes_per_s > 0.0:
        got = min(got, w.line.limit_bytes_per_s)
    if w.line.window_bytes > 0 and w.line.delay_ns > 0:
        window = <double>w.line.window_bytes * 0.5e9 / <double>w.line.delay_ns
        got = min(got, window)
    return got * 1e-9


cdef void _stop(WideMove* w) noexcept nogil:
    """The domain stands still from here on."""
    w.state.source_runs = 0
    clients_pause(w.redirection, w.clients, w.state.now_ns)


cdef void _undo(WideMove* w) noexcept nogil:
    """The move is aborted: as before, but for time and traffic."""
    end_recording(w.disk)
    forget_copy(w.disk)
    w.state.destination_pages = 0
    w.state.destination_blocks = 0
    w.state.tunnel_left_ns = 0
    w.state.gap_left_ns = 0
    if w.state.source_lives:
        if w.redirection.is_paused:
            clients_resume(w.redirection, w.clients, w.state.now_ns, False)
        w.state.source_runs = 1
    tunnel_cut(w.redirection, w.clients, w.state.now_ns)


cdef bint wide_fail(WideMove* w, int reason) noexcept nogil:
    cdef bint is_owner = belongs_to_destination(w.migration), is_aborted
    if reason == REASON_SOURCE:
        if not w.state.source_lives:
            return False
        w.state.source_lives = 0
        if is_owner:
            # The domain is elsewhere; what went through here does not any more.
            tunnel_cut(w.redirection, w.clients, w.state.now_ns)
        else:
            w.state.source_runs = 0
            clients_bereft(w.redirection, w.clients, w.state.now_ns)
    elif reason == REASON_DESTINATION:
        if not w.state.destination_lives:
            return False
        w.state.destination_lives = 0
        if is_owner:
            w.state.destination_runs = 0
            clients_bereft(w.redirection, w.clients, w.state.now_ns)
    is_aborted = migration_fail(w.migration, w.memory, reason)
    if is_aborted:
        _undo(w)
    return is_aborted


cdef void _after(WideMove* w, int before) noexcept nogil:
    """The engine has gone from one stage to another."""
    cdef int stage = w.migration.stage
    if before == STAGE_RESERVATION:
        w.state.destination_pages = w.state.memory_pages
        w.state.destination_blocks = image_blocks(w.disk) if w.migration.has_disk else 0
    if stage == STAGE_DISK:
        begin_recording(w.disk)
        if w.state.freezes:
            _stop(w)
    elif stage == STAGE_STOP_AND_COPY:
        tunnel_up(w.redirection, w.state.now_ns)
        if w.state.source_runs:
            _stop(w)
    elif stage == STAGE_ACTIVATION:
        w.state.source_pages = 0
        w.state.source_blocks = 0
        end_recording(w.disk)
    elif stage == STAGE_DONE and w.state.destination_lives:
        w.state.destination_runs = 1
        clients_resume(w.redirection, w.clients, w.state.now_ns, True)


cdef void _decide(WideMove* w) noexcept nogil:
    """A round has ended. Another one, or the stop, which the tunnel precedes."""
    cdef RoundAnswer answer
    if w.state.decides == ON_REQUEST:
        answer.stops = w.state.wants_stop
        answer.rate_bytes_per_s = w.migration.max_bytes_per_s
        if not answer.stops and all_dirty_pages(w.memory) < FEW_PAGES:
            # Rounds of next to nothing serve nobody; somebody else may stop it at any time.
            w.state.gap_left_ns = GAP_NS
            return
    else:
        answer = after_round(w.migration, w.state.memory_pages)
    if not answer.stops:
        migration_next_round(w.migration, w.memory, answer.rate_bytes_per_s)
    elif w.redirection.has_tunnel and not w.redirection.keeps_address and not w.redirection.is_tunnel_up:
        w.state.tunnel_left_ns = max(1, w.redirection.tunnel_ns)
    else:
        migration_stop(w.migration, w.memory)


cdef void _others(WideMove* w, const Condition* now, int64_t dt_ns, double taken_bytes) noexcept nogil:
    """Those who share the line get what is left of it."""
    cdef double line = 0.0 if w.line.is_cut else w.line.bytes_per_s * now.line_factor * 1e-9 * <double>dt_ns
    cdef double wanted = now.competing_bytes_per_s * 1e-9 * <double>dt_ns
    w.line.others_wanted_bytes += wanted
    w.line.others_got_bytes += min(wanted, max(0.0, line - taken_bytes))


cdef void _without_move(WideMove* w, int64_t dt_ns) noexcept nogil:
    """Nothing moves, not yet or not any more; the domain and the others on the line go on."""
    cdef const Condition* now = &w.conditions[w.state.condition]
    disk_advance(w.disk, dt_ns, 0.0, now.write_factor if live_copies(w) else 0.0, False)
    _others(w, now, dt_ns, 0.0)
    w.state.now_ns += dt_ns


cdef int64_t _piece(WideMove* w, int64_t dt_ns) noexcept nogil:
    """At most `dt_ns` of a move that is under way, in which no rate changes; returns the time that passed."""
    cdef const Condition* now = &w.conditions[w.state.condition]
    cdef int before = w.migration.stage
    cdef bint runs = w.state.source_runs, has_ended = False
    cdef bint needs_line = STAGE_PRE_MIGRATION <= before <= STAGE_COMMITMENT
    cdef double available = _available_per_ns(w, now)
    cdef double writes = now.write_factor if runs else 0.0
    cdef double memory = now.memory_factor if runs else 0.0
    cdef double for_memory, memory_bytes = 0.0, got
    cdef int64_t step = dt_ns, used
    if w.disk.is_recording:
        memory *= 1.0 - w.disk.record_overhead_frac
        writes *= 1.0 - w.disk.record_overhead_frac
    if available <= 0.0 and needs_line:
        step = min(step, w.line.patience_ns - w.line.down_ns)
        if step <= 0:
            wide_fail(w, REASON_LINK)
            return 0
    step = min(step, disk_steady_ns(w.disk, available, writes, before == STAGE_DISK))
    if before == STAGE_DISK or (before == STAGE_COMMITMENT and to_apply_bytes(w.disk) >= NOTHING_BYTES):
        step = min(step, 1_000_000_000 if before == STAGE_DISK else until(
            to_apply_bytes(w.disk), w.disk.apply_bytes_per_s * 1e-9))
    for_memory = available - (delta_flow(w.disk, available, writes) if w.disk.is_recording else 0.0)

    if before == STAGE_ROUND_END:
        used = min(step, w.state.tunnel_left_ns + w.state.gap_left_ns)
        write_for(w.memory, used, memory, 0 < w.migration.stuns_from_round <= w.migration.round)
        migration_wait(w.migration, used)
        if w.state.tunnel_left_ns > 0:
            w.state.tunnel_left_ns -= used
            has_ended = w.state.tunnel_left_ns == 0
        else:
            w.state.gap_left_ns -= used
            if w.state.gap_left_ns == 0:
                migration_next_round(w.migration, w.memory, w.migration.max_bytes_per_s)
    elif before == STAGE_DISK:
        used = step
        migration_wait(w.migration, used)
        if w.state.freezes:
            w.migration.downtime_ns += used
    elif before == STAGE_RESERVATION and available > 0.0 and w.state.refuses and w.migration.stage_left_ns <= step:
        used = w.migration.stage_left_ns
        migration_wait(w.migration, used)
        has_ended = True
    elif (
        (before == STAGE_PRE_MIGRATION or before == STAGE_RESERVATION or before == STAGE_COMMITMENT) and available <= 0.0
        or before == STAGE_COMMITMENT and to_apply_bytes(w.disk) >= NOTHING_BYTES
        or before == STAGE_STOP_AND_COPY and w.migration.stage_left_ns == 0 and queued_bytes(w.disk) >= NOTHING_BYTES
    ):
        # It waits: for the line, for the destination's disk, or for the last deltas, which go before memory.
        used = step
        migration_wait(w.migration, used)
    else:
        got = min(for_memory, migration_wanted_bytes_per_s(w.migration) * 1e-9)
        used = migration_run(w.migration, w.memory, step, got * 1e9, memory)
        if before == STAGE_PRECOPY or before == STAGE_STOP_AND_COPY and migration_wanted_bytes_per_s(w.migration) > 0.0:
            memory_bytes = got * <double>used
    w.state.now_ns += used
    memory_bytes += disk_advance(w.disk, used, available, writes, before == STAGE_DISK)
    w.line.carried_bytes += memory_bytes
    w.line.down_ns = w.line.down_ns + used if available <= 0.0 and needs_line else 0
    _others(w, now, used, memory_bytes)

    if before == STAGE_DISK:
        w.state.disk_ns += used
        if is_bulk_done(w.disk) and queued_bytes(w.disk) < NOTHING_BYTES:
            migration_disk_done(w.migration, w.memory)
    elif before == STAGE_ROUND_END and has_ended:
        tunnel_up(w.redirection, w.state.now_ns)
        migration_stop(w.migration, w.memory)
    elif before == STAGE_RESERVATION and has_ended:
        wide_fail(w, w.state.refuses)
    if w.migration.stage != before and w.migration.stage != STAGE_ABORTED:
        _after(w, before)
    return used


cdef int64_t wide_run(WideMove* w, int64_t dt_ns, bint until_over) noexcept nogil:
    cdef int64_t begin_ns = w.state.now_ns, end_ns = begin_ns + dt_ns, step
    while w.state.now_ns < end_ns:
        while (
            w.state.condition + 1 < w.state.num_conditions
            and w.conditions[w.state.condition + 1].from_ns <= w.state.now_ns
        ):
            w.state.condition += 1
        if until_over and is_over(w):
            break
        step = end_ns - w.state.now_ns
        if w.state.condition + 1 < w.state.num_conditions:
            step = min(step, w.conditions[w.state.condition + 1].from_ns - w.state.now_ns)
        if not is_under_way(w.migration):
            _without_move(w, step)
            continue
        if w.migration.stage == STAGE_ROUND_END and w.state.tunnel_left_ns + w.state.gap_left_ns == 0:
            _decide(w)
            if w.migration.stage == STAGE_STOP_AND_COPY:
                _after(w, STAGE_ROUND_END)
            continue
        _piece(w, step)
    clients_run(w.redirection, w.clients, w.state.now_ns)
    return w.state.now_ns - begin_ns
