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
    cdef readonly tuple names          # of the parameters that the action sets
    cdef bint is_partial               # the scheduler has others
    cdef int chosen[4]                 # their places among the scheduler's tunables
    cdef TunableRange ranges[4]        # by place in the action
    cdef bint controls(self, int d) noexcept nogil
    cdef TunableRange* range_of(self, int d, int i) noexcept nogil
    cdef void complete(self, int d, int64_t* values) noexcept nogil
    cdef int apply_box(self, const float* action) noexcept nogil
    cdef int apply_steps(self, const int64_t* action) noexcept nogil

cdef double encode_value(TunableRange* r, int64_t value, int64_t whole_pct) noexcept nogil
