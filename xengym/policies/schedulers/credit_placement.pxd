"""Where vCPUs run under Credit (`credit_placement.pyx`)."""
from libc.stdint cimport int64_t, uint64_t
from xengym.policies.schedulers.credit_state cimport CreditState

cdef class CreditPlacement(CreditState):
    cdef void _tickle(self, int v) noexcept nogil
    cdef void _ask(self, int p) noexcept nogil
    cdef int _place(self, int v, bint commit) noexcept nogil
    cdef int _place_in(self, int v, const uint64_t* allowed, bint commit) noexcept nogil
    cdef bint _step_mask(self, int v, int step, uint64_t* out) noexcept nogil
    cdef int _steal(self, int p, int best_priority, int64_t now_ns) noexcept nogil
    cdef int _steal_from(self, int peer, int p, int best_priority, int step, int64_t now_ns) noexcept nogil
