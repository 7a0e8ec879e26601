"""cpupools (`pools.pyx`)."""
from xengym.hypervisor.domctl cimport Domctl

cdef class Poolctl(Domctl):
    cdef _refresh_affinity(self, int pool)
    cdef _go_idle(self, int p)
    cdef _attach_pcpu(self, int pool, int p)
    cdef _detach_pcpu(self, int p)
    cdef _wake_domain(self, int d)
