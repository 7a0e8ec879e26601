"""The ends of a migration's stream in Dom0 (`stream.pyx`)."""
from libc.stdint cimport int64_t
from xengym.guests.os.clients cimport OsClients
from xengym.guests.os.program_state cimport Stream

cdef class OsStream(OsClients):
    cdef readonly int max_streams
    cdef Stream* stream
    cdef int first_stream_timer

    cdef void _send_piece(self, int s) noexcept nogil
