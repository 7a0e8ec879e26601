"""The RTDS scheduler; its essay is in `rtds.pyx`."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.rtds_state cimport RtdsState

cdef class RtdsScheduler(RtdsState):
    cdef void _burn(self, int v, int64_t now_ns) noexcept nogil
    cdef void _tickle(self, int v) noexcept nogil
    cdef void _ask(self, int p, int v) noexcept nogil
    cdef void _set_vcpu(self, int v, int64_t period_us, int64_t budget_us, bint has_extratime) noexcept nogil
    cdef void _note_domain(self, int d) noexcept nogil
