"""Dom0's control interface (`domctl.pyx`)."""
from xengym.hypervisor.host cimport Host
from xengym.policies.schedulers.api cimport Scheduler

cdef class Domctl:
    cdef readonly Host host
    cdef readonly int caller
    cdef int _slot(self, int domid) except -1
    cdef int _vcpu(self, int domid, int vcpu_in_domain) except -1
    cdef _enter_scheduler(self, int d, pcpus, params)
    cdef _leave_scheduler(self, int d)
    cdef _deschedule(self, int v)
    cdef _set_masks(self, int v, hard, soft)
    cdef Scheduler _scheduler(self, int d)
