"""The back end's side of virtual interfaces (`netback.pyx`)."""
from libc.stdint cimport int64_t
from xengym.guests.os.vif cimport OsVif
from xengym.machine.io_state cimport Packet

cdef class OsNetback(OsVif):
    cdef int64_t netback_rx_ns
    cdef int64_t netback_tx_ns
    cdef int64_t flip_ns
    cdef int64_t flip_batch_ns
    cdef int64_t copy_ns
    cdef int64_t copy_per_kib_ns
    cdef int64_t map_ns
    cdef int64_t emulate_ns

    cdef bint _hold(self, int i, Packet* packet) noexcept nogil
    cdef void _fill_ring(self, int i, Packet* packet) noexcept nogil
    cdef int64_t _begin_rx(self, int v, int d) noexcept nogil
    cdef void _finish_rx(self, int v, int d) noexcept nogil
    cdef int64_t _begin_tx(self, int v, int d) noexcept nogil
    cdef void _finish_tx(self, int v, int d) noexcept nogil
    cdef bint _has_credit(self, int i, int bytes) noexcept nogil
    cdef void _notify_frontends(self, int d) noexcept nogil
    # For those above: a packet has come in that is for the driver's own domain, which has interface i.
    cdef void own_packet(self, int i, Packet* packet) noexcept nogil

cdef inline int64_t bytes_ns(int64_t bytes, int64_t per_kib_ns) noexcept nogil:
    return (bytes * per_kib_ns) >> 10
