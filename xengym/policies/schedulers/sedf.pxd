"""The SEDF scheduler; its essay is in `sedf.pyx`."""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.api cimport Decision
from xengym.policies.schedulers.sedf_parameters cimport SedfParameters

cdef class SedfScheduler(SedfParameters):
    cdef dict options

    cdef bint _is_better(self, int v, int p) noexcept nogil
    # Who runs of those in RUNQ, where somebody is, and for how long at most.
    cdef Decision _among_reserved(self, int p, int64_t now_ns) noexcept nogil
    # Who has the next turn of extra time, or NO_VCPU; `runs_extra` is set to the queue on whose account.
    cdef int _next_extra(self, int p, int64_t now_ns) noexcept nogil
