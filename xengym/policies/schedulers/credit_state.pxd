"""State of the Credit scheduler; its essay is in `credit.pyx`."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.state cimport Machine
from xengym.policies.schedulers.api cimport Decision, Hypervisor, Scheduler

cdef enum:
    PRI_BOOST = 0
    PRI_UNDER = -1
    PRI_OVER = -2
    PRI_IDLE = -64
    PRI_PARKED = -65

cdef struct CreditPool:
    int64_t tslice_ns
    int64_t tick_period_ns
    int64_t ratelimit_ns
    int64_t migration_delay_ns
    int64_t balance_ratelimit_ns
    int64_t credits_per_tslice   # P: what one pCPU hands out per accounting period
    int64_t pool_credit          # what all pCPUs hand out
    int64_t weight               # sum of the active domains' effective weights
    int64_t balance
    uint64_t idle[4]             # pCPUs that run idle, as the scheduler believes
    int32_t ticks_per_tslice
    int32_t epoch                # accountings so far that may have left queues out of order
    int32_t first_domain         # list of active domains
    int32_t last_domain
    int32_t tickle_one_idle
    int32_t free_running_ticks
    int32_t num_pcpus            # of the cpupool
    int32_t master               # its first pCPU: accounting runs there

cdef struct CreditPcpu:
    int64_t last_balance_ns
    int32_t head                 # run queue: everything that waits here; idle too when it does not run
    int32_t tail
    int32_t sorted_epoch
    int32_t num_runnable         # runnable guests assigned here, the running one included
    int32_t ticks
    int32_t last_tickled         # rotation over idle pCPUs, of the pCPU that executes a wake-up
    int32_t idle_bias
    int32_t node_bias            # of the node that begins at this pCPU: where it was last stolen from

cdef struct CreditVcpu:
    int64_t start_ns             # charged up to here; while not running, relative to the next switch-in
    int64_t residual
    int64_t descheduled_at_ns
    int64_t credit
    int32_t priority
    int32_t next                 # run queue neighbours
    int32_t prev
    int32_t is_queued
    int32_t next_active          # neighbours in the domain's active list
    int32_t prev_active
    int32_t is_active
    int32_t is_parked
    int32_t is_yielding
    int32_t just_moved           # the next wake-up ends a migration

cdef struct CreditDomain:
    int32_t weight
    int32_t cap_pct
    int32_t num_active
    int32_t first_active
    int32_t last_active
    int32_t next                 # neighbours in the list of active domains
    int32_t prev
    int32_t is_active

# The release's rules, copied out of CreditRules for use without the interpreter.
cdef struct Rules:
    int64_t credits_per_tick
    int64_t balance_ratelimit_ns
    int32_t debit, cap_rule, unpark_rule, ratelimit_rule, tickle_rule, steal_rule, push_rule
    int32_t has_boost, boost_after_move, weight_per_vcpu, halve_on_leave, starts_active, balance_before_reset
    int32_t has_yield, yield_is_sticky, ticks_account, idle_slice, repick_at_tick, count_self_idle, idle_bias
    int32_t socket_bar, soft_affinity, pinned_fast_path, tickle_clears_idle, skip_lonely_peers
    int32_t min_slice_guard, tslice_sets_pool, params_pause, ticks_stop_on_idle

# Values of the rules (credit_rules.py) that the engine tests for.
cdef enum:
    DEBIT_SAMPLED = 0
    CAP_PRIORITY = 0
    UNPARK_BOOSTED = 1
    RATELIMIT_NONE = 0
    RATELIMIT_FULL = 1
    TICKLE_ALL_IDLERS = 0
    STEAL_RING = 0
    STEAL_RING_BUSY = 1
    STEAL_ASCENDING = 2
    PUSH_HARD_AFFINITY = 1
    PUSH_ALWAYS = 2
    STEP_SOFT = 0
    STEP_HARD = 1

cdef class CreditState(Scheduler):
    cdef Rules rules
    cdef CreditPool* pool
    cdef CreditPcpu* pcpu
    cdef CreditVcpu* vcpu
    cdef CreditDomain* domain

    cdef void _queue_insert(self, int p, int v) noexcept nogil
    cdef void _queue_remove(self, int v) noexcept nogil
    cdef void _queue_sort(self, int p) noexcept nogil
    cdef void _activate(self, int v) noexcept nogil
    cdef void _deactivate(self, int v) noexcept nogil
    cdef void _domain_to_head(self, int d) noexcept nogil
    cdef void _domain_unlink(self, int d) noexcept nogil
