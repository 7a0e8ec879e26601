"""Who is next under Credit2, and for how long (`credit2_decision.pyx`)."""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.credit2_budget cimport Credit2Budget
from xengym.policies.schedulers.credit2_state cimport Credit2Runqueue

cdef class Credit2Decision(Credit2Budget):
    cdef int _candidate(self, int p, int cur, int64_t now_ns, int* skipped) noexcept nogil
    cdef bint _is_called_away(self, int v, int p) noexcept nogil
    cdef bint _is_not_for(self, int v, int p, int64_t best_credit) noexcept nogil
    cdef bint _epoch_is_over(self, int next, Credit2Runqueue* rq, int skipped) noexcept nogil
    cdef void _reset(self, int next, int p, int64_t now_ns) noexcept nogil
    cdef int64_t _slice(self, int next, int64_t inflight, Credit2Runqueue* rq, int64_t now_ns) noexcept nogil
