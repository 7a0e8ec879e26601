"""State of the RTDS scheduler; its essay is in `rtds.pyx`."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.policies.schedulers.api cimport Scheduler

# Where a vCPU waits.
cdef enum:
    QUEUE_NONE = 0
    QUEUE_RUN = 1
    QUEUE_DEPLETED = 2

cdef struct RtdsPool:
    uint64_t tickled[4]      # pCPUs that were asked to reschedule and have not done so yet
    int32_t run_head         # run queue: who waits and has budget, by priority
    int32_t depleted_head    # who waits for budget, latest first
    int32_t event_head       # replenishment events to come, by the priority of their vCPUs
    int32_t reserved

cdef struct RtdsVcpu:
    int64_t period_ns
    int64_t budget_ns        # given at each replenishment
    int64_t left_ns          # of the present budget
    int64_t deadline_ns      # end of the present period: the next replenishment
    int64_t start_ns         # charged up to here
    int64_t level            # budgets used up in this period; 0 outranks 1
    int32_t queue            # QUEUE_*
    int32_t next             # neighbours in that queue
    int32_t prev
    int32_t has_event        # a replenishment event is queued: it runs or wants to
    int32_t next_event
    int32_t prev_event
    int32_t has_extratime
    int32_t is_depleted      # ran out of budget; cleared when a replenishment event finds it off the CPU

# What an agent set, or what follows from the parameters of the domain's first vCPU.
cdef struct RtdsDomain:
    int64_t period_us
    int64_t budget_ppm
    int64_t has_extratime

# The release's rules, copied out of RtdsRules for use without the interpreter.
cdef struct RtdsSwitches:
    int32_t has_extratime, lifo_ties, tie_keeps_current, tickle_rule

cdef inline bint outranks(RtdsVcpu* a, RtdsVcpu* b) noexcept nogil:
    """Strictly higher priority: the lower level, then the earlier deadline."""
    return a.level < b.level or (a.level == b.level and a.deadline_ns < b.deadline_ns)

cdef class RtdsState(Scheduler):
    cdef RtdsSwitches rules
    cdef RtdsPool* pool
    cdef RtdsVcpu* vcpu
    cdef RtdsDomain* domain

    cdef bint _goes_before(self, int v, int other) noexcept nogil
    cdef void _enqueue(self, int v) noexcept nogil
    cdef void _dequeue(self, int v) noexcept nogil
    cdef void _event_insert(self, int v) noexcept nogil
    cdef void _event_remove(self, int v) noexcept nogil
    cdef void _arm(self) noexcept nogil
    cdef void _replenish(self, int v, int64_t now_ns) noexcept nogil
