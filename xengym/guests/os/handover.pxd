"""A domain with an operating system leaves this host for another, or comes from one (`handover.pyx`)."""
from libc.stdint cimport int64_t
from xengym.guests.os.stream cimport OsStream

cdef class OsHandover(OsStream):
    cdef int _other_end(self, int f, int d) except -2
