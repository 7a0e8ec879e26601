"""One machine: the hall where mechanisms and policies meet (`host.pyx`)."""
from xengym.hypervisor.core cimport HostCore

cdef class Host(HostCore):
    cdef readonly object arena
    cdef readonly dict sections
    cdef readonly object topology
    cdef readonly object costs
    cdef readonly list guest_kinds
    cdef readonly dict domain_names
    cdef object _seed
