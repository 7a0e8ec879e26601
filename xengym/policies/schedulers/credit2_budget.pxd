"""What a cap allows under Credit2 (`credit2_budget.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.credit2_placement cimport Credit2Placement

cdef class Credit2Budget(Credit2Placement):
    cdef bint _grab_budget(self, int v) noexcept nogil
    cdef bint _return_budget(self, int v) noexcept nogil
    cdef void _park(self, int v) noexcept nogil
    cdef void _forget_parked(self, int v) noexcept nogil
    cdef void _unpark_all(self, int d) noexcept nogil
    cdef void _set_cap(self, int d, int32_t cap_pct, int64_t now_ns) noexcept nogil
    cdef void _begin_cap(self, int d, int64_t now_ns) noexcept nogil
    cdef void _end_cap(self, int d) noexcept nogil
