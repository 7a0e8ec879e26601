"""Network cards and the cables to them (`nic.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.guests.os.core cimport OsCore
from xengym.machine.io_state cimport NOBODY, IoHost, Nic, Packet

# Timers of a card.
cdef enum:
    TIMER_IRQ = 0             # an interrupt is due
    TIMER_OUTSIDE = 1         # a packet arrives at the clients
    TIMER_ROOM = 2            # a card that took no more has room again
    TIMERS_PER_NIC = 3

cdef class OsNic(OsCore):
    cdef readonly int max_nics
    cdef IoHost* io_host
    cdef Nic* nic
    cdef Packet* in_packet    # WIRE_SLOTS of each card
    cdef Packet* out_packet   # likewise
    cdef Packet* buffer       # NIC_SLOTS of each card
    cdef Packet* staged       # BATCH of each domain: what the driver's work under way is about
    cdef int32_t* staged_vif
    cdef int64_t nic_irq_ns
    cdef int64_t nic_rx_ns
    cdef int64_t nic_tx_ns
    cdef int64_t bridge_ns

    cdef void wire_in(self, int n, Packet* packet) noexcept nogil
    cdef void wire_out(self, int n, Packet* packet) noexcept nogil
    cdef int tx_room(self, int n) noexcept nogil
    cdef void wait_for_room(self, int n) noexcept nogil
    cdef void _land(self, int n) noexcept nogil
    cdef void _arm_irq(self, int n) noexcept nogil
    cdef void _interrupt_due(self, int n) noexcept nogil
    cdef void _arrive_outside(self, int n) noexcept nogil
    cdef bint _is_lost(self, Nic* nic) noexcept nogil
    # For those above: a packet has come in and is somebody's; the card has room again; a packet has arrived outside.
    cdef void route(self, int backend, Packet* packet) noexcept nogil
    cdef void take_inline(self, int n) noexcept nogil
    cdef void has_room(self, int n) noexcept nogil
    cdef void arrived_outside(self, int n, Packet* packet) noexcept nogil
    cdef void dropped(self, Packet* packet) noexcept nogil

cdef inline void forget_domain(Packet* packet, int d) noexcept nogil:
    """The packet's source or target d is gone."""
    if packet.source == d:
        packet.source = NOBODY
    if packet.target == d:
        packet.target = NOBODY
