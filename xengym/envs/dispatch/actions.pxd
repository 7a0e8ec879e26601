"""From an agent's choice to an answer (`actions.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.host cimport Host
from xengym.policies.schedulers.external cimport ExternalScheduler

cdef class ChoiceDecoder:
    cdef Host host
    cdef ExternalScheduler scheduler
    cdef readonly int num_choices       # vCPU slots and idle
    cdef readonly int num_slices        # of the menu; 0: the agent does not choose the slice
    cdef int64_t slices_ns[16]
    cdef void give(self, const int64_t* action) noexcept nogil
    cdef void write_masks(self, unsigned char* masks) noexcept nogil
