"""The null scheduler; its essay is in `null.pyx`."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.policies.schedulers.api cimport Scheduler

cdef struct NullPool:
    uint64_t free[4]         # pCPUs of the pool to which nobody is assigned
    int32_t wait_head        # wait queue: online, without a pCPU, first come first served
    int32_t wait_tail

cdef struct NullPcpu:
    int32_t vcpu             # who is assigned, or NO_VCPU
    int32_t reserved

cdef struct NullVcpu:
    int32_t is_waiting
    int32_t next
    int32_t prev
    int32_t reserved

cdef class NullScheduler(Scheduler):
    cdef NullPool* pool
    cdef NullPcpu* pcpu
    cdef NullVcpu* vcpu

    cdef void _wait(self, int v) noexcept nogil
    cdef void _stop_waiting(self, int v) noexcept nogil
    cdef int _first_waiting(self, int p) noexcept nogil
    cdef void _assign(self, int v, int p) noexcept nogil
    cdef bint _release(self, int v) noexcept nogil
    cdef void _come_online(self, int v) noexcept nogil
    cdef bint _is_assigned(self, int v) noexcept nogil
    cdef bint _prefers(self, int v, int p) noexcept nogil
