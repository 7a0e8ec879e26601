"""One move between two sites as an object (`wide_move.pyx`)."""
from xengym.hypervisor.wide_area cimport WideMove as Parts

cdef class WideMove:
    cdef readonly object spec
    cdef readonly object migration
    cdef readonly object memory
    cdef readonly object disk
    cdef readonly object line
    cdef readonly object redirection
    cdef readonly object clients
    cdef readonly object conditions
    cdef readonly object state
    cdef Parts parts
