"""A whole move between two sites (`wide_area.pyx`)."""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport STAGE_DONE, Migration, WorkingSet
from xengym.machine.wide_area_state cimport Client, Condition, DiskCopy, Line, Redirection, WideState

# Everything that belongs to one move.
cdef struct WideMove:
    Migration* migration
    WorkingSet* memory
    DiskCopy* disk
    Line* line
    Redirection* redirection
    Client* clients
    Condition* conditions
    WideState* state

# The destination's daemon is asked.
cdef void wide_begin(WideMove* w) noexcept nogil
# Let at most `dt_ns` pass; with `until_over` no longer than until the move is done or aborted. Returns the time that passed.
cdef int64_t wide_run(WideMove* w, int64_t dt_ns, bint until_over) noexcept nogil
# Something fails, by `Migration.reason`'s numbers. Returns whether that ends the move.
cdef bint wide_fail(WideMove* w, int reason) noexcept nogil

cdef inline bint is_over(const WideMove* w) noexcept nogil:
    return w.migration.stage >= STAGE_DONE

cdef inline int live_copies(const WideMove* w) noexcept nogil:
    return w.state.source_runs + w.state.destination_runs
