"""The ARINC653 scheduler; its essay is in `arinc653.pyx`."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.api cimport Scheduler

cdef struct ArincFrame:
    int64_t major_frame_ns
    int64_t next_major_ns    # when the present major frame ends
    int64_t next_switch_ns   # when the present window ends
    int32_t num_entries
    int32_t index            # of the present window; num_entries: the idle rest of the frame

cdef struct ArincEntry:
    int64_t runtime_ns
    int32_t domid
    int32_t vcpu_in_domain
    int32_t vcpu             # its number, while it exists in this cpupool; or NO_VCPU
    int32_t reserved

cdef struct ArincVcpu:
    int32_t is_here          # inserted into this scheduler
    int32_t is_awake         # woken since it was last put to sleep

cdef class Arinc653Scheduler(Scheduler):
    cdef ArincFrame* frame
    cdef ArincEntry* entry
    cdef ArincVcpu* vcpu
    cdef tuple table         # as at boot: entries and major frame
    cdef int64_t boot_major_frame_ns

    cdef int _find(self, int domid, int vcpu_in_domain) noexcept nogil
