"""SEDF with something to do at regular intervals."""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.sedf cimport SedfScheduler

cdef struct Intervals:
    int64_t began_at_ns       # the present interval
    int64_t ended             # intervals that are over

cdef class SedfIntervals(SedfScheduler):
    cdef Intervals* intervals
    cdef int64_t interval_ns

    # An interval is over, which began at `intervals.began_at_ns`. Missing: nothing happens.
    cdef void _interval_ends(self, int64_t now_ns) noexcept nogil

cdef int64_t runstate_ns(SedfIntervals scheduler, int v, int runstate) noexcept nogil
