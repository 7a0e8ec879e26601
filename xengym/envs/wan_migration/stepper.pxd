"""Steps of `WanMigration-v0` (`stepper.pyx`)."""
from libc.stdint cimport int64_t
from xengym.envs.wan_migration.observations cimport Sample
from xengym.hypervisor.wide_area cimport WideMove as Parts
from xengym.hypervisor.wide_move cimport WideMove

cdef enum:
    NUM_MOVE_TERMS = 7
    NUM_LEVELS = 8
    NUM_MASKS = 18

cdef class MoveStepper:
    cdef readonly WideMove move
    cdef readonly object samples        # `Sample` array of shape (2,): at the last decision, and the last interval's growth
    cdef Parts* parts
    cdef Sample* sample
    cdef double weights[7]
    cdef readonly int64_t interval_ns
    cdef readonly int num_features
    cdef readonly int num_actions
    cdef readonly int num_masks
    cdef readonly bint takes_integers
    cdef public int64_t num_steps
    cdef public int64_t episode_steps

    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil
    cdef int apply_levels(self, const int64_t* levels) noexcept nogil
    cdef int apply_box(self, const float* values) noexcept nogil
    cdef void write_masks(self, unsigned char* masks) noexcept nogil
    cdef void encode(self, float* obs) noexcept nogil
    cdef bint is_done(self) noexcept nogil
