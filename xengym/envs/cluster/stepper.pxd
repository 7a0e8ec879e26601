"""One control step of a cluster (`stepper.pyx`)."""
from libc.stdint cimport int64_t
from xengym.envs.cluster.observations cimport DomainMark, Scale
from xengym.hypervisor.cluster.fluid cimport FluidCluster

cdef enum:
    NUM_CLUSTER_TERMS = 5
    NUM_WEIGHT_LEVELS = 5
    NUM_CAP_LEVELS = 5

# Totals at an instant; the reward is made of what they have grown by.
cdef struct Totals:
    double violation_ns
    double present_ns
    double downtime_ns
    double energy_nj
    double remote_bytes
    int64_t moves_ordered

cdef class ClusterStepper:
    cdef readonly FluidCluster books  # the cluster itself, or what an event-level cluster keeps its books in
    cdef readonly object driver       # the event-level cluster, or None
    cdef readonly int64_t interval_ns
    cdef readonly bint sets_params
    cdef readonly bint takes_integers
    cdef readonly int num_features
    cdef readonly int num_actions
    cdef readonly int num_masks
    cdef readonly int num_domains
    cdef public int64_t num_steps
    cdef public int64_t episode_steps
    cdef double weights[5]
    cdef readonly object mark_records
    cdef DomainMark* marks
    cdef Scale scale
    cdef double busy_nj           # energy of all hosts at full load in an interval
    cdef double cards_bytes       # that all network cards can send in it
    cdef bint keeps_spare

    cdef int act(self, const int64_t* action) noexcept nogil
    cdef void set_levels(self, const int64_t* levels) noexcept nogil
    cdef void tend_power(self) noexcept nogil
    cdef void mark(self) noexcept nogil
    cdef void total(self, Totals* totals) noexcept nogil
    cdef double reward(self, const Totals* before, const Totals* after, double* terms) noexcept nogil
    cdef int advance(self, const int64_t* action, float* obs, double* terms, double* reward, int* reason) noexcept nogil
    cdef void encode(self, float* obs) noexcept nogil
    cdef void write_masks(self, unsigned char* masks) noexcept nogil
