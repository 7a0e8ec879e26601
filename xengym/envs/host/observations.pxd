"""From measured intervals to an observation (`observations.pyx`)."""
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor
from xengym.policies.schedulers.api cimport Scheduler
from xengym.envs.host.actions cimport ActionDecoder

cdef class ObservationEncoder:
    cdef Host host
    cdef Scheduler scheduler
    cdef IntervalMonitor monitor
    cdef ActionDecoder actions
    cdef readonly int num_domains
    cdef readonly int size
    cdef void encode(self, float* out) noexcept nogil
