"""The stages of moving a domain (`migration.pyx`)."""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport (
    STAGE_ABORTED, STAGE_ACTIVATION, STAGE_COMMITMENT, STAGE_NONE, STAGE_PRECOPY, STAGE_STOP_AND_COPY, Migration, WorkingSet,
)

# A move begins; its parameters stand in `g`.
cdef void migration_begin(Migration* g) noexcept nogil
# Bytes a second that it would send now; 0 in stages that send nothing, or before the rest of a stop begins to flow.
cdef double migration_wanted_bytes_per_s(const Migration* g) noexcept nogil
# Let at most `dt_ns` pass, with so much of the link and the domain at so much of its full activity. Returns the time that
# passed: less than asked for if a stage or a round ended, which is then to be looked at (`g.stage`).
cdef int64_t migration_run(Migration* g, WorkingSet* ws, int64_t dt_ns, double bytes_per_s, double activity) noexcept nogil
# Time passes in which it waits for something else: its disk, the line, somebody's answer.
cdef void migration_wait(Migration* g, int64_t dt_ns) noexcept nogil
# At STAGE_DISK: the destination has the disk; memory follows.
cdef void migration_disk_done(Migration* g, WorkingSet* ws) noexcept nogil
# At STAGE_ROUND_END: the next round, or the stop.
cdef void migration_next_round(Migration* g, WorkingSet* ws, double rate_bytes_per_s) noexcept nogil
cdef void migration_stop(Migration* g, WorkingSet* ws) noexcept nogil
# At STAGE_ROUND_END: do what the law and the rule in `g` say.
cdef void migration_follow_rules(Migration* g, WorkingSet* ws) noexcept nogil
# Something has failed. Before the destination's acknowledgement the domain goes on at the source; after it, the move does.
cdef bint migration_fail(Migration* g, WorkingSet* ws, int reason) noexcept nogil

cdef inline bint is_under_way(const Migration* g) noexcept nogil:
    return STAGE_NONE < g.stage <= STAGE_ACTIVATION

cdef inline bint is_standing_still(const Migration* g) noexcept nogil:
    """The domain runs nowhere at the moment."""
    return STAGE_STOP_AND_COPY <= g.stage <= STAGE_ACTIVATION

cdef inline bint belongs_to_destination(const Migration* g) noexcept nogil:
    """The destination has acknowledged: the source may discard its copy."""
    return g.stage > STAGE_COMMITMENT and g.stage != STAGE_ABORTED
