"""A cluster at fluid fidelity (`fluid.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.cluster.fluid_moves cimport FluidMoves

cdef class FluidCluster(FluidMoves):
    cdef int64_t next_instant(self) noexcept nogil
    cdef void serve_instant(self) noexcept nogil
    cdef void serve_power(self) noexcept nogil
    cdef void serve_departures(self) noexcept nogil
    cdef void serve_arrivals(self) noexcept nogil
    cdef void remove(self, int domain) noexcept nogil
    # What Python's methods of these names do, for steppers without the interpreter.
    cdef void run(self, int64_t until_ns) noexcept nogil
    cdef int order(self, int domain, int host) noexcept nogil
    cdef int change_power(self, int host, bint wakes) noexcept nogil
