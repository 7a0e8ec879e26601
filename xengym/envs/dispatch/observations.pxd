"""What a decision may be based on (`observations.pyx`)."""
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor
from xengym.policies.schedulers.external cimport ExternalScheduler

cdef class DecisionEncoder:
    cdef Host host
    cdef ExternalScheduler scheduler
    cdef IntervalMonitor monitor
    cdef readonly int num_domains
    cdef readonly int size
    cdef void encode(self, float* out) noexcept nogil
