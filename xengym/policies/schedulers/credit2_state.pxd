"""State of the Credit2 scheduler; its essay is in `credit2.pyx`."""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from xengym.machine.state cimport Machine
from xengym.policies.schedulers.api cimport Scheduler

cdef enum:
    NO_RUNQUEUE = -1
    NO_PCPU = -1

# The budget of a vCPU that has no cap.
cdef extern from *:
    """
    #define XENGYM_NO_CAP INT64_MAX
    """
    const int64_t NO_CAP "XENGYM_NO_CAP"

# Which pCPUs share a run queue; the words are `ARRANGEMENTS` in credit2.pyx.
cdef enum:
    ARRANGE_CPU = 0
    ARRANGE_CORE = 1
    ARRANGE_SOCKET = 2
    ARRANGE_NODE = 3
    ARRANGE_ALL = 4

cdef struct Credit2Pool:
    int64_t ratelimit_ns
    int64_t migrate_resist       # credit that a vCPU must have more, to be taken to another pCPU
    int64_t cap_period_ns
    int64_t under_tolerance      # difference in load that is worth balancing: while there is idle capacity,
    int64_t over_tolerance       # and when there is none
    int32_t load_precision_shift  # a load of 1 is 1 << this
    int32_t load_window_shift    # loads are averaged over 1 << this units of 1024 ns
    int32_t arrangement
    int32_t max_cpus_runqueue
    int32_t smt_power_savings
    int32_t num_runqueues        # one more than the highest id in use

cdef struct Credit2Pcpu:
    int32_t runqueue
    int32_t reserved

cdef struct Credit2Runqueue:
    uint64_t active[4]           # its pCPUs
    uint64_t idle[4]             # that run idle
    uint64_t tickled[4]          # that were asked for a pass and have not run it yet
    uint64_t smt_idle[4]         # whose whole core is idle and was not asked
    int64_t load_at              # instant of the averages, in units of 1024 ns
    int64_t avgload
    int64_t b_avgload            # the same for balancing: arrivals and departures count at once
    int64_t max_weight           # of all that are assigned here, runnable or not; at least 1
    int32_t load                 # runnable vCPUs, the running ones included
    int32_t num_pcpus            # 0: the id is free
    int32_t head                 # who waits, by falling credit
    int32_t tail
    int32_t first_member         # who is assigned here, in order of arrival
    int32_t last_member
    int32_t pick_bias            # rotation of placement over its pCPUs
    int32_t reserved

cdef struct Credit2Vcpu:
    int64_t credit
    int64_t residual
    int64_t start_ns             # charged up to here, while it runs
    int64_t budget_ns            # CPU time that its domain's cap leaves it, or NO_CAP
    int64_t load_at
    int64_t avgload
    int32_t weight
    int32_t runqueue
    int32_t next                 # neighbours in the run queue
    int32_t prev
    int32_t next_member          # neighbours among those assigned there
    int32_t prev_member
    int32_t next_parked          # the one parked before it
    int32_t is_queued
    int32_t is_scheduled         # from the decision to run it until it has been saved again
    int32_t is_delayed           # goes to the queue once it has been saved
    int32_t is_parked
    int32_t is_yielding
    int32_t target_runqueue      # where balancing sends it, once it has been saved
    int32_t tickled_pcpu         # that was asked to run it

cdef struct Credit2Domain:
    int64_t budget_ns            # of this period, not handed out to vCPUs yet
    int64_t total_budget_ns      # what its cap allows in a period
    int64_t quota_ns             # what a vCPU is handed out at once
    int64_t next_replenishment_ns
    int32_t weight
    int32_t cap_pct
    int32_t first_parked         # the latest first
    int32_t reserved

# The release's rules, copied out of Credit2Rules for use without the interpreter.
cdef struct Rules:
    int64_t credit_min, idle_credit
    int32_t tickle_rule, reset_when, reset_repeats, reset_burns_running, credit_test_first, counts_inflight
    int32_t has_soft_affinity, has_caps, limits_runqueues

# Values of the rules (credit2_rules.py) that the engine tests for.
cdef enum:
    TICKLE_LEAST_CREDIT = 0
    RESET_NONE_SKIPPED = 0

cdef class Credit2State(Scheduler):
    cdef Rules rules
    cdef Credit2Pool* pool
    cdef Credit2Pcpu* pcpu
    cdef Credit2Runqueue* runqueue
    cdef Credit2Vcpu* vcpu
    cdef Credit2Domain* domain

    cdef int _runqueue_for(self, int p) noexcept nogil
    cdef bint _belongs(self, Credit2Runqueue* rq, int p) noexcept nogil
    cdef int _size_with_siblings(self, Credit2Runqueue* rq, int p) noexcept nogil
    cdef void _core_idles(self, Credit2Runqueue* rq, int p) noexcept nogil
    cdef void _core_is_busy(self, Credit2Runqueue* rq, int p) noexcept nogil
    cdef void _assign(self, int v, int r) noexcept nogil
    cdef void _deassign(self, int v) noexcept nogil
    cdef void _renew_max_weight(self, Credit2Runqueue* rq) noexcept nogil
    cdef void _queue_insert(self, int v) noexcept nogil
    cdef void _queue_remove(self, int v) noexcept nogil
    cdef void _update_load(self, Credit2Runqueue* rq, int v, int change, int64_t now_ns) noexcept nogil
    cdef void _update_runqueue_load(self, Credit2Runqueue* rq, int change, int64_t now_ns) noexcept nogil
    cdef void _update_vcpu_load(self, int v, int change, int64_t now_ns) noexcept nogil
