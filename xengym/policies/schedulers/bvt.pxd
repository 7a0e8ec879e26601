"""The BVT scheduler; its essay is in `bvt.pyx`."""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.bvt_state cimport BvtDomain, BvtState

cdef class BvtScheduler(BvtState):
    cdef object rules_table
    cdef dict options

    cdef void _preempt(self, int v, int64_t now_ns) noexcept nogil
    cdef int64_t _quotient_ns(self) noexcept nogil
    cdef int _choose(self, int p, int64_t* rival_evt) noexcept nogil
    cdef int64_t _slice(self, int next, int64_t rival_evt) noexcept nogil
    cdef void _apply(self, int d, BvtDomain* wanted) noexcept nogil
    cdef void _refresh_warp(self, int d) noexcept nogil
    cdef void _reschedule_domain(self, int d) noexcept nogil
