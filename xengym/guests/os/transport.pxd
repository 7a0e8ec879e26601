"""Connections: messages in both directions, acknowledged and repeated (`transport.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.guests.os.netfront cimport OsNetfront
from xengym.machine.io_state cimport Flow, Half, Packet, SendQueue

cdef enum:
    SIDE_CLIENT = 0
    SIDE_SERVER = 1

cdef class OsTransport(OsNetfront):
    cdef readonly int max_flows
    cdef Flow* flow
    cdef int32_t* free_flow   # first of the list of those not in use
    cdef Half* half           # of connection f, what side s sends: 2 * f + s
    cdef Packet* loose_packet  # LOOSE_SLOTS of each domain
    cdef SendQueue* send_queue
    cdef int first_transport_timer
    cdef int64_t rto_ns
    cdef int max_retries

    cdef int open_flow(self, int client, int server, int nic, int window, int owner, int cookie) noexcept nogil
    cdef void close_flow(self, int f) noexcept nogil
    cdef void send_message(self, int f, int side, int64_t bytes) noexcept nogil
    cdef void send_bulk(self, int f, int side) noexcept nogil
    cdef void send_loose(self, int d, Packet* packet) noexcept nogil
    cdef int _mss(self, Flow* flow, int side) noexcept nogil
    cdef void _unqueue(self, int f, int side) noexcept nogil
    cdef void _go_back(self, Half* half) noexcept nogil
    cdef void _make_ack(self, int f, int side, Packet* packet) noexcept nogil
    cdef bint _can_send(self, int f, int side) noexcept nogil
    cdef void _make_packet(self, int f, int side, Packet* packet) noexcept nogil
    cdef void _push(self, int f, int side) noexcept nogil
    cdef void _input(self, Packet* packet, int side) noexcept nogil
    cdef void _slow_timer(self) noexcept nogil
    cdef void _give_up(self, int f) noexcept nogil
    # For those above: a side has a whole message; bulk data has arrived; a connection is given up; a ping comes back.
    cdef void message_arrived(self, int f, int side) noexcept nogil
    cdef void flow_failed(self, int f) noexcept nogil
    cdef void data_arrived(self, int f, int side, Packet* packet) noexcept nogil
    cdef void loose_outside(self, int n, Packet* packet) noexcept nogil
