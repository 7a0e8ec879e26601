"""A guest's side of its virtual interface (`netfront.pyx`)."""
from libc.stdint cimport int64_t
from xengym.guests.os.netback cimport OsNetback
from xengym.machine.io_state cimport Packet, Vif

cdef class OsNetfront(OsNetback):
    cdef int64_t netfront_rx_ns
    cdef int64_t netfront_tx_ns
    cdef int64_t tx_done_ns
    cdef int64_t stack_rx_ns
    cdef int64_t stack_rx_per_kib_ns
    cdef int64_t stack_tx_ns
    cdef int64_t stack_tx_per_kib_ns
    cdef int64_t checksum_per_kib_ns
    cdef int64_t small_pages_ns
    cdef int64_t ack_ns
    cdef int64_t echo_ns
    cdef int64_t inline_rx_ns
    cdef int64_t inline_tx_ns
    cdef int64_t exits_ns

    cdef int64_t _way_ns(
        self, Vif* vif, Packet* packet, int64_t nic_ns, int64_t inline_ns, int64_t front_ns
    ) noexcept nogil
    cdef int64_t _rx_ns(self, Vif* vif, Packet* packet) noexcept nogil
    cdef int64_t _tx_ns(self, Vif* vif, Packet* packet) noexcept nogil
    cdef int64_t _begin_front(self, int v, int i) noexcept nogil
    cdef void _finish_front(self, int v, int i) noexcept nogil
    cdef void wake_sender(self, int d) noexcept nogil
    cdef int64_t _begin_send(self, int v) noexcept nogil
    cdef void _finish_send(self, int v) noexcept nogil
    cdef void _put_in_ring(self, int i, Packet* packet) noexcept nogil
    cdef void _send_inline(self, int i, Packet* packet) noexcept nogil
    # For the protocols above: domain d has received a packet; its next packet to send, if there is one.
    cdef void received(self, int d, Packet* packet) noexcept nogil
    cdef bint next_packet(self, int d, Packet* packet) noexcept nogil
