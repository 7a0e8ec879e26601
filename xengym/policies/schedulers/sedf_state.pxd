"""SEDF's state and its four queues per pCPU."""
from libc.stdint cimport INT64_MIN, int32_t, int64_t
from xengym.policies.schedulers.api cimport Scheduler

# The queues of a pCPU. A vCPU that is awake is in the first or the second, and may be in either of the others too.
cdef enum:
    RUNQ = 0              # its period has begun and slice is left: by deadline
    WAITQ = 1             # waits for its next period: by the begin of that
    PENALTY = 2           # lost time by a short block, first in line for extra time: by score
    UTILISATION = 3       # takes what extra time is left: by score
    NUM_QUEUES = 4
    NO_QUEUE = -1

cdef extern from *:
    """
    #define XENGYM_SEDF_NEVER INT64_MIN
    """
    const int64_t NEVER "XENGYM_SEDF_NEVER"

cdef struct SedfPool:
    int64_t messages          # missed deadlines and negative slices, as Xen logs them

cdef struct SedfPcpu:
    int64_t slice_ends_ns     # when the present decision expires
    int32_t head[4]
    int32_t tail[4]

cdef struct SedfVcpu:
    int64_t period_ns         # as in force; shorter than the original after a burst or with a latency hint
    int64_t slice_ns
    int64_t period_orig_ns
    int64_t slice_orig_ns
    int64_t latency_ns        # hint; used by two of the unblock rules only
    int64_t deadline_ns       # end of the present period, or of the next one; NEVER before the first wake-up
    int64_t used_ns           # of this period's slice; more than that is carried over
    int64_t started_at_ns
    int64_t blocked_at_ns     # NEVER if it has not blocked yet
    int64_t woken_at_ns       # the burst rule's last wake-up, or NEVER
    int64_t lost_ns           # by the last short block, not compensated yet
    int64_t penalty_score
    int64_t utilisation_score
    int32_t weight            # its slice is a share of what reservations leave of 95 ms in 100 ms; 0: it is its own
    int32_t extraweight       # its share of extra time; 0: by utilisation
    int32_t is_extra_aware    # takes part in extra time
    int32_t is_asleep
    int32_t wants_penalty
    int32_t runs_extra        # the queue on whose account it runs extra time, or NO_QUEUE
    int32_t is_inserted
    int32_t queue             # RUNQ, WAITQ or NO_QUEUE
    int32_t in_extra[2]       # in PENALTY, in UTILISATION
    int32_t next[3]           # neighbours in RUNQ or WAITQ, in PENALTY, in UTILISATION
    int32_t prev[3]

cdef struct SedfDomain:
    int64_t tunables[3]       # as an agent set them
    int32_t has_tunables      # nobody has set other parameters since
    int32_t reserved

# The release's rules, copied out of SedfRules for use without the interpreter.
cdef struct Rules:
    int64_t min_period_ns, max_period_ns, min_slice_ns
    int32_t dom0_is_reserved, dom0_extraweight, penalty_until_repaid, has_unblock_option, counts_messages
    int32_t place_by_vcpu, params_pause

# Numbers of the unblock rules (sedf_rules.py).
cdef enum:
    UNBLOCK_ISOCHRONOUS = 0
    UNBLOCK_EDF = 1
    UNBLOCK_ATROPOS = 2
    UNBLOCK_SHORT_RESUME = 3
    UNBLOCK_BURST = 4
    UNBLOCK_EXTRA_SUPPORT = 5

cdef class SedfState(Scheduler):
    cdef Rules rules
    cdef int unblock_rule
    cdef SedfPool* pool
    cdef SedfPcpu* pcpu
    cdef SedfVcpu* vcpu
    cdef SedfDomain* domain

    cdef void _clear_queues(self, int p) noexcept nogil
    cdef void _link(self, int v, int queue, int before) noexcept nogil
    cdef void _unlink(self, int v, int queue) noexcept nogil
    cdef void _insert_by_time(self, int v, int queue) noexcept nogil
    cdef void _remove(self, int v) noexcept nogil
    cdef void _insert_extra(self, int v, int queue, int64_t charge) noexcept nogil
    cdef void _remove_extra(self, int v, int queue) noexcept nogil

cdef inline int64_t begin_of(SedfVcpu* svc) noexcept nogil:
    """Begin of the period that ends with the deadline."""
    return svc.deadline_ns - svc.period_ns

cdef inline int64_t* score_of(SedfVcpu* svc, int queue) noexcept nogil:
    return &svc.penalty_score if queue == PENALTY else &svc.utilisation_score
