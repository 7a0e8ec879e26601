"""Event channels: a domain's pending and mask bits (Xen: the pending and masked words of the shared page).

Sending sets a bit and nothing else; who sends has to see to the upcall if `port_raise` says so. Bits that are set
again before anybody looked collapse into one.
"""
from libc.stdint cimport uint64_t
from xengym.machine.io_state cimport MAX_PORTS, Ports
from xengym.machine.mask cimport lowest_bit

cdef inline bint port_raise(Ports* ports, int port) noexcept nogil:
    """Set a port pending; whether the domain has to be interrupted for it."""
    cdef uint64_t bit = <uint64_t>1 << (port & 63)
    ports.sent += 1
    if ports.pending[port >> 6] & bit:
        return False
    ports.pending[port >> 6] |= bit
    return not (ports.masked[port >> 6] & bit) and not ports.upcall_masked

cdef inline bint ports_waiting(Ports* ports) noexcept nogil:
    """Whether any port is pending that is not masked."""
    cdef int w
    if ports.upcall_masked:
        return False
    for w in range(4):
        if ports.pending[w] & ~ports.masked[w]:
            return True
    return False

cdef inline int port_take(Ports* ports, int start) noexcept nogil:
    """The first pending, unmasked port from `start` on (it is cleared), or -1: none up to the last."""
    cdef int w = start >> 6
    cdef uint64_t word
    if start >= MAX_PORTS:
        return -1
    word = ports.pending[w] & ~ports.masked[w] & (~<uint64_t>0 << (start & 63))
    while word == 0:
        w += 1
        if w == 4:
            return -1
        word = ports.pending[w] & ~ports.masked[w]
    ports.pending[w] &= ~(word & (~word + 1))
    return 64 * w + lowest_bit(word)
