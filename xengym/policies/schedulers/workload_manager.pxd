"""The workload manager; its essay is in `workload_manager.pyx`."""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.sedf_intervals cimport SedfIntervals

# Of each vCPU, at the end of the last interval.
cdef struct Demand:
    int64_t wanted_ns         # time running and runnable
    int64_t demand_ppm        # how much of the interval that was

# Of each domain: how much of a pCPU each of its vCPUs has at least and at most.
cdef struct Bounds:
    int64_t min_ppm
    int64_t max_ppm

cdef class WorkloadManagerScheduler(SedfIntervals):
    cdef Demand* demand
    cdef Bounds* bounds
    cdef int64_t headroom_pct
    cdef int64_t gain_pct

    cdef bint _is_managed(self, int v) noexcept nogil
    cdef int64_t _wanted_ns(self, int v) noexcept nogil
    cdef int64_t _reserved_ppm(self, int v) noexcept nogil
    cdef void _reserve(self, int v, int64_t ppm) noexcept nogil
    cdef void _make_feasible(self, int p) noexcept nogil
