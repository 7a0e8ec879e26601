"""What running costs and earns under Credit (`credit_accounting.pyx`)."""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.credit_placement cimport CreditPlacement

cdef class CreditAccounting(CreditPlacement):
    cdef void _debit(self, int v, int64_t now_ns) noexcept nogil
    cdef int64_t _account_vcpu(self, int v, int64_t grant, int64_t cap_share, bint is_capped) noexcept nogil
    cdef void _trace_credits(self) noexcept nogil
