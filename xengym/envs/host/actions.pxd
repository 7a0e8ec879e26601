"""From an agent's numbers to scheduler parameters (`actions.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.hypervisor.host cimport Host
from xengym.policies.schedulers.api cimport MAX_TUNABLES, Scheduler

cdef struct TunableRange:
    int64_t low
    int64_t high              # 0: 100 for each vCPU of the domain
    int64_t default_value
    int32_t log_scale
    int32_t zero_means_none

cdef class ActionDecoder:
    cdef Host host
    cdef Scheduler scheduler
    cdef readonly int num_domains
    cdef readonly int num_tunables
    cdef readonly bint is_discrete
    cdef TunableRange ranges[4]
    cdef int apply_box(self, const float* action) noexcept nogil
    cdef int apply_steps(self, const int64_t* action) noexcept nogil

cdef double encode_value(TunableRange* r, int64_t value, int64_t whole_pct) noexcept nogil
