"""Where vCPUs run under Credit2 (`credit2_placement.pyx`)."""
from libc.stdint cimport int64_t, uint64_t
from xengym.policies.schedulers.credit2_state cimport Credit2Runqueue, Credit2State

cdef class Credit2Placement(Credit2State):
    cdef void _burn(self, int v, int64_t now_ns) noexcept nogil
    cdef void _ask(self, int p) noexcept nogil
    cdef void _tickle(self, int v, int64_t now_ns) noexcept nogil
    cdef int _idle_for(self, int v) noexcept nogil
    cdef int _busy_by_score(self, int v, const uint64_t* candidates, int64_t now_ns) noexcept nogil
    cdef int64_t _score(self, int v, int p, int64_t now_ns) noexcept nogil
    cdef int _busy_by_credit(self, int v, const uint64_t* candidates, int64_t now_ns) noexcept nogil
    cdef bint _prefers(self, int v) noexcept nogil
    cdef int _own_or_next(self, int v, const uint64_t* mask) noexcept nogil
    cdef int _next_by_bias(self, Credit2Runqueue* rq, const uint64_t* allowed) noexcept nogil
    cdef void _reassign(self, int v, int r, int p, int64_t now_ns) noexcept nogil
    cdef void _balance(self, int r, int64_t now_ns) noexcept nogil
    cdef int _most_different(self, int r, int64_t now_ns) noexcept nogil
    cdef bint _is_worthwhile(self, Credit2Runqueue* own, int64_t difference) noexcept nogil
    cdef void _update_members(self, Credit2Runqueue* rq, int64_t now_ns) noexcept nogil
    cdef bint _may_move(self, int v, Credit2Runqueue* to) noexcept nogil
    cdef void _send(self, int v, int r, int64_t now_ns) noexcept nogil
