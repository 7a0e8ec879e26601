"""State of the closed-loop CPU programs (`cpu.pyx`)."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.hypervisor.core cimport GuestKind
from xengym.sim.random cimport Distribution

cdef struct PeriodicState:
    int64_t run_ns
    int64_t period_ns
    int64_t offset_ns
    int64_t released_at_ns   # of the job under way, or -1 while it waits; so in all kinds

cdef struct ListState:
    int64_t first            # of the program in the pool of pairs
    int64_t count
    int64_t position
    int64_t released_at_ns
    int32_t loops
    int32_t reserved

cdef struct OnOffState:
    Distribution on
    Distribution off
    uint64_t key
    uint64_t counter
    int64_t released_at_ns

cdef class HogKind(GuestKind):
    pass

cdef class PeriodicKind(GuestKind):
    cdef PeriodicState* state

cdef class ListKind(GuestKind):
    cdef ListState* state
    cdef object pool
    cdef const int64_t* pairs
    cdef void _next(self, int v, int64_t now_ns) noexcept nogil

cdef class OnOffKind(GuestKind):
    cdef OnOffState* state
    cdef void _next(self, int v, int64_t now_ns) noexcept nogil

cdef void set_distribution(Distribution* dist, spec)
