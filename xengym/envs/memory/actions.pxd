"""From an agent's numbers to balloon targets (`actions.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.host cimport Host
from xengym.machine.memory_state cimport DomainMemory

cdef class TargetDecoder:
    cdef Host host
    cdef readonly int num_domains
    cdef readonly int size              # numbers in an action
    cdef int apply(self, const float* action) noexcept nogil

cdef int64_t decode_target(const DomainMemory* memory, double action) noexcept nogil
cdef double encode_target(const DomainMemory* memory) noexcept nogil
