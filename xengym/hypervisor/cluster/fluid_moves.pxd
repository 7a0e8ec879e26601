"""Moves of a fluid cluster (`fluid_moves.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.cluster.fluid_state cimport FluidState

cdef class FluidMoves(FluidState):
    # The move has been found possible (`placement.move_reason`).
    cdef void begin_move(self, int domain, int host) noexcept nogil
    # What is due now has happened; look at it and go on.
    cdef void serve_move(self, int move) noexcept nogil
    # Let the move go on up to now, at the rates that it has had.
    cdef void advance(self, int move) noexcept nogil
    cdef void foresee(self, int move) noexcept nogil
    cdef void blur(self, int move) noexcept nogil
    cdef bint fail_move(self, int move, int reason) noexcept nogil
    cdef void want(self, int move, int64_t bytes_per_s) noexcept nogil
    cdef void grant(self, int move, int64_t bytes_per_s) noexcept nogil
    cdef void commit_move(self, int move) noexcept nogil
    cdef void finish_move(self, int move) noexcept nogil
    cdef void leave_slot(self, int move) noexcept nogil
    cdef void share_network(self) noexcept nogil
    cdef void settle(self) noexcept nogil
