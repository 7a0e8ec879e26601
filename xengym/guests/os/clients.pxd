"""Clients outside the host (`clients.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.guests.os.program_state cimport Client, Population
from xengym.guests.os.programs cimport OsPrograms

cdef class OsClients(OsPrograms):
    cdef readonly int max_populations
    cdef readonly int max_clients
    cdef Population* population
    cdef Client* client
    cdef int64_t* numbers     # given to requests so far
    cdef int first_population_timer

    cdef void _act(self, int k) noexcept nogil
    cdef void _arm(self, int k) noexcept nogil
    cdef void _wait(self, int k, int c, int64_t at_ns) noexcept nogil
    cdef int _pop(self, int k) noexcept nogil
    cdef void _ask(self, int k, int c, int64_t due_ns) noexcept nogil
    cdef void _asked_in_vain(self, int k, int c) noexcept nogil
    cdef void _after_request(self, int k, int c) noexcept nogil
    cdef void _send_loose_in(self, int k) noexcept nogil
