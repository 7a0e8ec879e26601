"""SEDF with debt collector; its essay is in `sedf_dc.pyx`."""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.sedf_charges cimport SedfCharges

# Of each vCPU: owed = charged - paid - forgiven.
cdef struct Debt:
    int64_t owed_ns           # charged to it and not paid yet
    int64_t spread_ns         # what it owed when the interval began: due in equal parts until the interval's end
    int64_t began_at_ns       # its last period that was open to it, or 0
    int64_t paid_ns           # taken from its slices
    int64_t forgiven_ns       # covered by slices of periods through which it slept

cdef class SedfDcScheduler(SedfCharges):
    cdef Debt* debt

    cdef void _charge_domain(self, int d, int64_t charged_ns) noexcept nogil
