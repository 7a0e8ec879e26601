"""From measured intervals to named reward terms (`rewards.pyx`)."""
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor

cdef enum:
    NUM_TERMS = 8

cdef class RewardTerms:
    cdef Host host
    cdef IntervalMonitor monitor
    cdef readonly int num_domains
    cdef double weights[NUM_TERMS]
    cdef double compute(self, double* terms) noexcept nogil
