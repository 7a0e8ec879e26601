"""The Credit2 scheduler; its essay is in `credit2.pyx`."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.credit2_decision cimport Credit2Decision

cdef class Credit2Scheduler(Credit2Decision):
    cdef object rules_table
    cdef dict options

    cdef void _apply_domain(self, int d, int32_t weight, int32_t cap_pct, int64_t now_ns) noexcept nogil
