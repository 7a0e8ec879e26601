"""One step of an environment without the interpreter, for one host or a batch (`stepping.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor

cdef enum:
    MAX_EXTRAS = 4

cdef class Stepper:
    cdef readonly Host host
    cdef readonly IntervalMonitor monitor
    cdef readonly int64_t interval_ns
    cdef readonly int num_features      # length of an observation
    cdef readonly int num_actions       # numbers in an action
    cdef readonly int num_domains       # domain slots covered
    cdef readonly int num_masks         # length of the action mask that every step returns, or 0
    cdef readonly bint takes_integers   # actions are int64, otherwise float32
    cdef readonly tuple extra_names     # of integers that every step returns beside the reward's terms
    cdef public int64_t num_steps       # control intervals of this episode that have passed
    cdef public int64_t episode_steps   # after so many it is truncated

    # Take an action, let time pass, encode; returns how many parts of the action were refused.
    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil
    cdef void encode(self, float* obs) noexcept nogil
    cdef void write_masks(self, unsigned char* masks) noexcept nogil
    cdef void write_extras(self, int64_t* extras) noexcept nogil
