"""The SEDF scheduler; its essay is in `sedf.pyx`."""
from xengym.policies.schedulers.sedf_parameters cimport SedfParameters

cdef class SedfScheduler(SedfParameters):
    cdef dict options

    cdef bint _is_better(self, int v, int p) noexcept nogil
