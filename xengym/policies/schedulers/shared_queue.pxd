"""One queue for a whole cpupool; the base of schedulers that only choose (`shared_queue.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.api cimport Decision, Scheduler

cdef struct QueuePool:
    int64_t decisions            # passes in which there was a choice
    int64_t refused              # choices that were not legal and were replaced by the default
    int64_t default_slice_ns
    int32_t head                 # waiting vCPUs, who waits longest first
    int32_t tail
    int32_t wake_asks_all

cdef struct QueueVcpu:
    int32_t next
    int32_t prev
    int32_t is_queued
    int32_t reserved

cdef class SharedQueueScheduler(Scheduler):
    cdef QueuePool* pool
    cdef QueueVcpu* vcpu
    cdef dict options

    # What a subclass decides; the rest is done here. See `shared_queue.pyx` for the defaults.
    cdef Decision choose(self, int p, int64_t now_ns) noexcept nogil
    cdef void ask_for(self, int v, int64_t now_ns) noexcept nogil

    # What a choice may look at.
    cdef bint may_choose(self, int p, int v) noexcept nogil
    cdef int first_waiting(self, int p) noexcept nogil
    cdef int next_waiting(self, int p, int v) noexcept nogil
    cdef Decision default_choice(self, int p) noexcept nogil

    cdef void _append(self, int v) noexcept nogil
    cdef void _take(self, int v) noexcept nogil
