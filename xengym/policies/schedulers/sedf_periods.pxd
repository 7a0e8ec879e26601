"""SEDF's periods: what running costs, when a period begins, and what a block does to it."""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.sedf_state cimport SedfState

# One turn of extra time, and the least that is worth giving; also the least rest of a slice worth resuming (Xen: 500 us).
cdef enum:
    EXTRA_QUANTUM_NS = 500_000

cdef extern from *:
    """
    #include <stdint.h>
    static inline int64_t xengym_in_proportion(int64_t value, int64_t part, int64_t whole)
    {
        return (int64_t)((__int128)value * part / whole);
    }
    """
    int64_t in_proportion "xengym_in_proportion"(int64_t value, int64_t part, int64_t whole) noexcept nogil

cdef class SedfPeriods(SedfState):
    cdef void _stop_slice(self, int v, int64_t now_ns) noexcept nogil
    cdef void _stop_extra(self, int v, int64_t now_ns) noexcept nogil
    # A turn of extra time as long as this: what it adds to the score in UTILISATION.
    cdef int64_t _price_of_turn(self, int v, int64_t ran_ns) noexcept nogil
    cdef void _begin_periods(self, int p, int64_t now_ns) noexcept nogil
    # v's period begins, which has a slice. False: there is nothing of it to run on, and it waits for the next one, to
    # which the deadline has been moved.
    cdef bint _period_begins(self, int v, int64_t now_ns) noexcept nogil
    cdef void _short_block(self, int v, int64_t now_ns) noexcept nogil
    cdef void _long_block(self, int v, int64_t now_ns) noexcept nogil
    cdef void _shorten_period(self, int v, int64_t period_ns) noexcept nogil
