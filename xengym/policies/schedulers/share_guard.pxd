"""ShareGuard; its essay is in `share_guard.pyx`."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.sedf_dc cimport SedfDcScheduler

cdef struct Guard:
    int64_t limit_ppm         # of a pCPU, what driver domains may spend for it; 0: no limit
    int64_t excess_ns         # what they spent above that and it has not paid yet
    int64_t stops             # times its traffic was stopped
    int32_t is_stopped        # its traffic stands still because of the excess
    int32_t reserved

cdef class ShareGuardScheduler(SedfDcScheduler):
    cdef Guard* guard
    cdef bint collects_debts

    cdef void _watch(self, int d, int64_t length_ns) noexcept nogil
