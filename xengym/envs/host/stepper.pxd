"""One control step of a host without the interpreter (`stepper.pyx`)."""
from libc.stdint cimport int64_t
from xengym.envs.host.actions cimport ActionDecoder
from xengym.envs.host.observations cimport ObservationEncoder
from xengym.envs.host.rewards cimport RewardTerms
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor

cdef class Stepper:
    cdef readonly Host host
    cdef readonly IntervalMonitor monitor
    cdef readonly ActionDecoder actions
    cdef readonly ObservationEncoder observations
    cdef readonly RewardTerms rewards
    cdef readonly int64_t interval_ns
    cdef public int64_t num_steps       # of this episode, so far
    cdef public int64_t episode_steps   # after which it is truncated
    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil
