"""The guest kind of domains with an operating system, as the host knows it (`kind.pyx`)."""
from libc.stdint cimport int64_t
from xengym.guests.os.handover cimport OsHandover

cdef class OsKind(OsHandover):
    cdef readonly tuple arguments
    cdef int first_restart_timer
    cdef int64_t* restart_ns  # CPU time that a domain takes to start again

    cdef void _crash(self, int d) noexcept nogil
    cdef void _drop_in_hand(self, int d, int kind) noexcept nogil
    cdef void _stop_vcpus(self, int d) noexcept nogil
    cdef void _empty_card(self, int n) noexcept nogil
    cdef void _restart(self, int d) noexcept nogil
