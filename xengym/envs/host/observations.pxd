"""From measured intervals to an observation (`observations.pyx`)."""
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport DomainInterval, IntervalMonitor
from xengym.policies.schedulers.api cimport Scheduler
from xengym.envs.host.actions cimport ActionDecoder

cdef class ObservationEncoder:
    cdef Host host
    cdef Scheduler scheduler
    cdef IntervalMonitor monitor
    cdef ActionDecoder actions
    cdef readonly int num_domains
    cdef readonly int size
    cdef readonly int width            # features of one domain
    cdef readonly int num_io_features  # of them, those of input and output
    cdef void _encode_io(self, DomainInterval* record, double host_ns, double length_ns, float* out) noexcept nogil
    cdef void encode(self, float* out) noexcept nogil
