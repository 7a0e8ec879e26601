"""Memory of a host, as the hypervisor manages it (`memory.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.core cimport HostCore

cdef class MemoryHost(HostCore):
    cdef void set_memory_target_pages(self, int d, int64_t pages) noexcept nogil
