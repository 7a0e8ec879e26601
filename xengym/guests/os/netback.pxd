"""Virtual interfaces and their back ends (`netback.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.guests.os.nic cimport OsNic
from xengym.machine.io_state cimport Packet, Vif

cdef class OsNetback(OsNic):
    cdef readonly int max_vifs
    cdef Vif* vif
    cdef Packet* tx_packet    # NET_SLOTS of each interface, by id
    cdef Packet* rx_packet    # likewise
    cdef Packet* held         # likewise: of its `queue`
    cdef int32_t* vif_of      # the interface that a domain's connections use, or -1
    cdef int first_vif_timer
    cdef int64_t netback_rx_ns
    cdef int64_t netback_tx_ns
    cdef int64_t flip_ns
    cdef int64_t flip_batch_ns
    cdef int64_t copy_ns
    cdef int64_t copy_per_kib_ns
    cdef int64_t map_ns
    cdef int64_t emulate_ns

    cdef void connect(self, int i) noexcept nogil
    cdef void disconnect(self, int i) noexcept nogil
    cdef void post_buffers(self, int i) noexcept nogil
    cdef bint _hold(self, int i, Packet* packet) noexcept nogil
    cdef void _fill_ring(self, int i, Packet* packet) noexcept nogil
    cdef int64_t _begin_rx(self, int v, int d) noexcept nogil
    cdef void _finish_rx(self, int v, int d) noexcept nogil
    cdef int64_t _begin_tx(self, int v, int d) noexcept nogil
    cdef void _finish_tx(self, int v, int d) noexcept nogil
    cdef bint _has_credit(self, int i, int bytes) noexcept nogil
    cdef void _notify_frontends(self, int d) noexcept nogil
    # For those above: an interface has just been connected (again), or is gone.
    cdef void connected(self, int i) noexcept nogil
    cdef void disconnected(self, int i) noexcept nogil

cdef inline int64_t bytes_ns(int64_t bytes, int64_t per_kib_ns) noexcept nogil:
    return (bytes * per_kib_ns) >> 10
