"""The SCHEDULE soft interrupt: raising it is idempotent, many raises before it runs collapse into one pass."""
from libc.stdint cimport uint64_t
from xengym.machine.state cimport Machine

cdef inline void raise_schedule(Machine* m, int p) noexcept nogil:
    m.clock.pending[p >> 6] |= <uint64_t>1 << (p & 63)
    m.clock.any_pending = 1
