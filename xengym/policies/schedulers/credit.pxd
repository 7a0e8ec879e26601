"""The Credit scheduler; its essay is in `credit.pyx`."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.credit_accounting cimport CreditAccounting

cdef class CreditScheduler(CreditAccounting):
    cdef object rules_table
    cdef dict options

    cdef void _resize_pool(self, int change) noexcept nogil
    cdef void _set_timeslice(self, int64_t tslice_ns, bint at_boot) noexcept nogil
    cdef void _apply_domain(self, int d, int32_t weight, int32_t cap_pct, int64_t now_ns) noexcept nogil
