"""Decisions from outside (`external.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.shared_queue cimport SharedQueueScheduler

# The next answer from outside.
cdef struct Answer:
    int64_t slice_ns
    int32_t vcpu
    int32_t pcpu                 # for which pCPU, or -1: none is given

cdef class ExternalScheduler(SharedQueueScheduler):
    cdef Answer* answer
    cdef void give(self, int p, int v, int64_t slice_ns) noexcept nogil
