"""What driver domains spent for whom."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.sedf_intervals cimport SedfIntervals

# How the CPU time of driver domains is divided among those they work for.
cdef enum:
    BY_PACKETS = 0            # by packets: one received costs 1.1 of one sent
    BY_PAGES = 1              # by pages that changed hands or were copied
    BY_TRUTH = 2              # as it was spent

# Of each domain of the host, in this pool or not: counters at the end of the last interval.
cdef struct SedfCharge:
    int64_t counted_at_ns
    int64_t counter           # packets, pages or ns, by the attribution
    int64_t cpu_ns            # of a driver domain: its own CPU time
    int64_t charged_ns        # what driver domains spent for it in the last interval
    int64_t charged_total_ns

cdef class SedfCharges(SedfIntervals):
    cdef SedfCharge* charge
    cdef int attribution

    cdef void _count(self, int d, int64_t now_ns) noexcept nogil
    cdef int64_t _counter_of(self, int d) noexcept nogil
    cdef int64_t _cpu_of(self, int d) noexcept nogil
    # The charges of an interval are known. Missing: nothing happens.
    cdef void _charges_known(self, int64_t length_ns, int64_t now_ns) noexcept nogil
