"""One machine: the hall where mechanisms and policies meet (`host.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.memory cimport MemoryHost
from xengym.policies.schedulers.api cimport Scheduler

cdef class Host(MemoryHost):
    cdef readonly object arena
    cdef readonly object topology
    cdef readonly object costs
    cdef readonly int64_t memory_pages
    cdef readonly object memory_costs
    cdef readonly list guest_kinds
    cdef Scheduler no_scheduler        # of pCPUs in no cpupool: they run idle
    cdef list pool_schedulers          # by number of the cpupool; None: no such pool
    cdef readonly dict domain_names
    cdef object _seed
    cdef void set_pool_scheduler(self, int pool, Scheduler scheduler)
    cdef void update_affinity(self, int v) noexcept
