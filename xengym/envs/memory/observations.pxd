"""What an agent sees of a host's memory (`observations.pyx`)."""
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor

cdef class MemoryEncoder:
    cdef Host host
    cdef IntervalMonitor monitor
    cdef readonly int num_domains
    cdef readonly int size
    cdef void encode(self, float* out) noexcept nogil
