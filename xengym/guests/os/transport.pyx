"""Connections in the manner of TCP, counted in packets: a window, cumulative acknowledgements, repetition.

A connection carries messages, in either direction one at a time; a *bulk* connection carries data without end one way. A
side has at most `window` packets on their way; a loss halves that, and each round without one adds a packet again. Every second packet is acknowledged at once, and so is the last one of an
answer; a request is acknowledged by the answer, or by a timer. Packets that do not come in order are dropped and
acknowledged again: after three such, or when nothing was news for the retransmission time (which doubles), the sender
goes back to the first one that is missing. After too many times in vain the connection is given up and its request
reported failed, so nothing is lost silently. A client outside acknowledges large offloaded packets as the wire's packets
that they are.

Simplified against TCP: no handshake (connections exist before they are used), no slow start, headers
weigh nothing. The coarse timers are in the manner of BSD's.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint32_t
from libc.string cimport memset
from xengym.guests.os.core cimport ITEM_SEND, make_item
from xengym.guests.os.netfront cimport OsNetfront
from xengym.hypervisor.core cimport HostCore
from xengym.machine.io_state cimport (
    FLAG_LAST, FLAG_PARTIAL, FLOW_BULK, FLOW_FREE, FLOW_OPEN, LOOSE_SLOTS, NO_DEVICE, OUTSIDE, PACKET_ACK, PACKET_DATA, PACKET_DATAGRAM,
    PACKET_ECHO, PACKET_ECHO_REPLY, PAGE_BYTES, Flow, Half, Packet, SendQueue, fifo_count,
)
from xengym.machine.state cimport device_timer
from xengym.sim.timers cimport timer_arm_hypervisor

import numpy as np

from xengym.machine.io_state import FLOW_DTYPE, HALF_DTYPE, PACKET_DTYPE, SEND_QUEUE_DTYPE

cdef int64_t SLOW_TICK_NS = 100_000_000       # half of BSD's fast timer and a fifth of its slow one
cdef int64_t ENDLESS = <int64_t>1 << 60
cdef int MIN_ALLOWANCE = 2
cdef int64_t OFFLOAD_BYTES = 65_536


cdef class OsTransport(OsNetfront):
    """Connections and packets without one.

    Args:
        max_flows: connections that there may be.
        rto_ms: retransmission time; Linux's least is 200 ms.
        max_retries: repetitions in vain after which a connection is given up.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int max_flows=1024, int rto_ms=200, int max_retries=6, **limits):
        OsNetfront.__init__(self, costs, max_domains, max_vcpus, **limits)
        self.max_flows = max_flows
        self.rto_ns = rto_ms * 1_000_000
        self.max_retries = max_retries
        self.first_transport_timer = OsNetfront.num_device_timers(self)

    def num_device_timers(self):
        return OsNetfront.num_device_timers(self) + 1

    def sections(self, max_vcpus, max_domains):
        return [
            *OsNetfront.sections(self, max_vcpus, max_domains),
            ("flow", FLOW_DTYPE, self.max_flows),
            ("free_flow", np.dtype(np.int32), 1),
            ("half", HALF_DTYPE, 2 * self.max_flows),
            ("loose", PACKET_DTYPE, max_domains * LOOSE_SLOTS),
            ("send_queue", SEND_QUEUE_DTYPE, max_domains),
        ]

    def bind(self, HostCore host, int number, views):
        OsNetfront.bind(self, host, number, views)
        cdef Flow[::1] flow = views["flow"]
        cdef Half[::1] half = views["half"]
        cdef Packet[::1] loose_packet = views["loose"]
        cdef SendQueue[::1] send_queue = views["send_queue"]
        cdef int32_t[::1] free_flow = views["free_flow"]
        self.free_flow = &free_flow[0]
        self.flow = &flow[0]
        self.half = &half[0]
        self.loose_packet = &loose_packet[0]
        self.send_queue = &send_queue[0]
        for f in range(self.max_flows):
            self.flow[f].next_free = f + 1 if f + 1 < self.max_flows else -1

    def configure(self, int d, int v, spec):
        OsNetfront.configure(self, d, v, spec)
        if self.m.vcpu[v].vcpu_in_domain == 0:
            memset(&self.send_queue[d], 0, sizeof(SendQueue))
            self.send_queue[d].first = -1
            self.send_queue[d].last = -1
            if self.m.timer[device_timer(self.m, self.first_transport_timer)].at_ns == INT64_MAX:
                timer_arm_hypervisor(
                    self.m, device_timer(self.m, self.first_transport_timer), self.m.clock.now_ns + SLOW_TICK_NS
                )

    def destroyed(self, int d):
        for f in range(self.max_flows):
            if self.flow[f].state != FLOW_FREE and (self.flow[f].end[0] == d or self.flow[f].end[1] == d):
                self._give_up(f)
        OsNetfront.destroyed(self, d)

    # -- opening, closing, sending -------------------------------------------------------------------------------

    cdef int open_flow(self, int client, int server, int nic, int window, int owner, int cookie) noexcept nogil:
        """A new connection from a domain's slot (or OUTSIDE, behind card `nic`) to another; -1: there is no room."""
        cdef Flow* flow
        cdef uint32_t generation
        cdef int f, side
        f = self.free_flow[0]
        if f < 0:
            return -1
        flow = &self.flow[f]
        self.free_flow[0] = flow.next_free
        generation = flow.generation + 1
        memset(flow, 0, sizeof(Flow))
        flow.generation = generation
        memset(&self.half[2 * f], 0, 2 * sizeof(Half))
        flow.state = FLOW_OPEN
        flow.end[SIDE_CLIENT] = client
        flow.end[SIDE_SERVER] = server
        flow.nic = nic
        flow.window = window
        flow.owner = owner
        flow.cookie = cookie
        for side in range(2):
            self.half[2 * f + side].next_queued = -1
            self.half[2 * f + side].allowance = window
            flow.mss[side] = self._mss(flow, side)
        return f

    cdef int _mss(self, Flow* flow, int side) noexcept nogil:
        """Bytes of a full packet of one side: the smallest packet on the way, or what an offloading interface hands over."""
        cdef int i, end, bytes = 1500
        for end in range(2):
            if flow.end[end] >= 0:
                i = self.vif_of[flow.end[end]]
                if i != NO_DEVICE and self.vif[i].mtu < bytes:
                    bytes = self.vif[i].mtu
        if flow.end[side] >= 0:
            i = self.vif_of[flow.end[side]]
            if i != NO_DEVICE and self.vif[i].is_offloading:
                bytes = OFFLOAD_BYTES
        return bytes

    cdef void close_flow(self, int f) noexcept nogil:
        cdef Flow* flow = &self.flow[f]
        cdef int side
        for side in range(2):
            if self.half[2 * f + side].is_queued:
                self._unqueue(f, side)
        flow.state = FLOW_FREE
        flow.next_free = self.free_flow[0]
        self.free_flow[0] = f

    cdef void send_message(self, int f, int side, int64_t bytes) noexcept nogil:
        """One side hands over its next message; the one before has arrived."""
        cdef Flow* flow = &self.flow[f]
        cdef Half* half = &self.half[2 * f + side]
        half.message = half.end
        half.message_bytes = max(<int64_t>1, bytes)
        half.end += (half.message_bytes + flow.mss[side] - 1) // flow.mss[side]
        half.made_at_ns = self.m.clock.now_ns
        half.progress_at_ns = self.m.clock.now_ns
        half.retries = 0
        self._push(f, side)

    cdef void send_bulk(self, int f, int side) noexcept nogil:
        """One side sends without end from now on."""
        cdef Half* half = &self.half[2 * f + side]
        self.flow[f].state = FLOW_BULK
        half.message = half.end
        half.message_bytes = ENDLESS
        half.end = ENDLESS
        half.progress_at_ns = self.m.clock.now_ns
        self._push(f, side)

    cdef void send_loose(self, int d, Packet* packet) noexcept nogil:
        """Domain d sends a packet that belongs to no connection; lost if too many wait."""
        cdef SendQueue* queue = &self.send_queue[d]
        self.io_host.made += 1
        if fifo_count(&queue.loose) == LOOSE_SLOTS:
            self.dropped(packet)
            return
        self.loose_packet[d * LOOSE_SLOTS + queue.loose.tail % LOOSE_SLOTS] = packet[0]
        queue.loose.tail += 1
        self.queue_item(d, make_item(ITEM_SEND, 0))

    cdef bint _can_send(self, int f, int side) noexcept nogil:
        cdef Half* half = &self.half[2 * f + side]
        return half.next < half.end and half.next - half.acked < half.allowance

    cdef void _push(self, int f, int side) noexcept nogil:
        """Send what can be sent: at once from outside; from a domain when its vCPU comes to it."""
        cdef Flow* flow = &self.flow[f]
        cdef Half* half = &self.half[2 * f + side]
        cdef SendQueue* queue
        cdef Packet packet
        cdef int d = flow.end[side]
        if d == OUTSIDE:
            while self._can_send(f, side) or self.half[2 * f + 1 - side].acks_due:
                self._make_packet(f, side, &packet)
                self.wire_in(flow.nic, &packet)
            return
        if half.is_queued or not (self._can_send(f, side) or self.half[2 * f + 1 - side].acks_due):
            return
        queue = &self.send_queue[d]
        half.is_queued = 1
        half.next_queued = -1
        if queue.last < 0:
            queue.first = 2 * f + side
        else:
            self.half[2 * (queue.last >> 1) + (queue.last & 1)].next_queued = 2 * f + side
        queue.last = 2 * f + side
        self.wake_sender(d)

    cdef void _unqueue(self, int f, int side) noexcept nogil:
        cdef SendQueue* queue = &self.send_queue[self.flow[f].end[side]]
        cdef int wanted = 2 * f + side
        cdef int at = queue.first, before = -1
        while at >= 0 and at != wanted:
            before = at
            at = self.half[2 * (at >> 1) + (at & 1)].next_queued
        if at < 0:
            return
        if before < 0:
            queue.first = self.half[2 * f + side].next_queued
        else:
            self.half[2 * (before >> 1) + (before & 1)].next_queued = self.half[2 * f + side].next_queued
        if queue.last == wanted:
            queue.last = before
        self.half[2 * f + side].is_queued = 0

    cdef bint next_packet(self, int d, Packet* packet) noexcept nogil:
        """The domain's next packet: of no connection first, then of its connections in turn."""
        cdef SendQueue* queue = &self.send_queue[d]
        cdef int entry
        if fifo_count(&queue.loose):
            packet[0] = self.loose_packet[d * LOOSE_SLOTS + queue.loose.head % LOOSE_SLOTS]
            queue.loose.head += 1
            return True
        while queue.first >= 0:
            entry = queue.first
            self._unqueue(entry >> 1, entry & 1)
            # What it wanted to send may have been acknowledged since, when the sender had gone back.
            if self._can_send(entry >> 1, entry & 1) or self.half[2 * (entry >> 1) + 1 - (entry & 1)].acks_due:
                self._make_packet(entry >> 1, entry & 1, packet)
                self.io_host.made += 1
                self._push(entry >> 1, entry & 1)
                return True
        return False

    cdef void _make_packet(self, int f, int side, Packet* packet) noexcept nogil:
        """The next packet of one side: data if it may send some, else an acknowledgement."""
        cdef Flow* flow = &self.flow[f]
        cdef Half* half = &self.half[2 * f + side]
        cdef Half* theirs = &self.half[2 * f + 1 - side]
        packet.flow = f
        packet.generation = flow.generation
        packet.side = side
        packet.flags = 0
        packet.pages = 1
        packet.request = flow.request
        packet.source = flow.end[side]
        packet.target = flow.end[1 - side]
        packet.made_at_ns = self.m.clock.now_ns
        packet.ack = theirs.received
        if not self._can_send(f, side):
            # Several may be due for packets that came together: one for every second of them.
            theirs.acks_due -= 1
            packet.ack -= theirs.unacked + 2 * theirs.acks_due
            packet.kind = PACKET_ACK
            packet.seq = half.next
            packet.bytes = 40
            return
        theirs.acks_due = 0
        theirs.unacked = 0
        packet.kind = PACKET_DATA
        packet.seq = half.next
        packet.bytes = flow.mss[side]
        half.next += 1
        if half.next == half.end:
            packet.flags = FLAG_LAST
            packet.bytes = <int32_t>(half.message_bytes - (half.end - 1 - half.message) * flow.mss[side])
        packet.pages = (packet.bytes + PAGE_BYTES - 1) // PAGE_BYTES

    # -- receiving -----------------------------------------------------------------------------------------------

    cdef void received(self, int d, Packet* packet) noexcept nogil:
        cdef Packet reply
        if packet.kind == PACKET_ECHO:
            reply = packet[0]
            reply.kind = PACKET_ECHO_REPLY
            reply.source = d
            reply.target = packet.source
            self.send_loose(d, &reply)
        elif packet.kind != PACKET_DATAGRAM and packet.kind != PACKET_ECHO_REPLY:
            self._input(packet, 1 - packet.side)

    cdef void arrived_outside(self, int n, Packet* packet) noexcept nogil:
        if packet.kind == PACKET_DATA or packet.kind == PACKET_ACK:
            self._input(packet, 1 - packet.side)
        else:
            self.loose_outside(n, packet)

    cdef void _input(self, Packet* packet, int side) noexcept nogil:
        """`side` of a connection gets a packet of the other one."""
        cdef int f = packet.flow
        cdef Flow* flow = &self.flow[f]
        cdef Half* ours = &self.half[2 * f + side]
        cdef Half* theirs = &self.half[2 * f + 1 - side]
        cdef Packet partial
        cdef int k, wire_packets
        if flow.state == FLOW_FREE or flow.generation != packet.generation or flow.end[side] != packet.target:
            return
        if packet.ack > ours.acked:
            ours.grown += <int32_t>(packet.ack - ours.acked)
            if ours.grown >= ours.allowance:
                ours.grown = 0
                ours.allowance = min(flow.window, ours.allowance + 1)
            ours.acked = packet.ack
            ours.next = max(ours.next, ours.acked)
            ours.progress_at_ns = self.m.clock.now_ns
            ours.duplicates = 0
            ours.retries = 0
        elif packet.kind == PACKET_ACK and not packet.flags & FLAG_PARTIAL and ours.next > ours.acked:
            ours.duplicates += 1
            if ours.duplicates == 3 and ours.acked >= ours.recover:
                self._go_back(ours)
        if packet.kind == PACKET_DATA:
            if packet.seq == theirs.received:
                theirs.received += 1
                theirs.unacked += 1
                if flow.state == FLOW_BULK:
                    self.data_arrived(f, side, packet)
                if theirs.unacked >= 2 or packet.bytes > 2 * 1500 or (packet.flags & FLAG_LAST and side == SIDE_CLIENT):
                    theirs.acks_due += 1
                    theirs.unacked = 0
                if flow.end[side] == OUTSIDE and packet.bytes > 2 * 1500:
                    # On the wire it was many packets, and every second one of them is acknowledged.
                    wire_packets = (packet.bytes + 1499) // 1500
                    for k in range(wire_packets // 2 - 1):
                        self._make_ack(f, side, &partial)
                        partial.ack = packet.seq
                        partial.flags = FLAG_PARTIAL
                        self.wire_in(flow.nic, &partial)
                if packet.flags & FLAG_LAST:
                    self.message_arrived(f, side)
            else:
                theirs.acks_due += 1
        if flow.state != FLOW_FREE:
            self._push(f, side)

    cdef void _go_back(self, Half* half) noexcept nogil:
        """Repeat from the first packet that is missing, with half as many on their way."""
        half.recover = half.next
        half.next = half.acked
        half.duplicates = 0
        half.grown = 0
        half.allowance = max(MIN_ALLOWANCE, half.allowance // 2)

    cdef void _make_ack(self, int f, int side, Packet* packet) noexcept nogil:
        packet.flow = f
        packet.generation = self.flow[f].generation
        packet.side = side
        packet.pages = 1
        packet.request = 0
        packet.source = self.flow[f].end[side]
        packet.target = self.flow[f].end[1 - side]
        packet.made_at_ns = self.m.clock.now_ns
        packet.kind = PACKET_ACK
        packet.seq = self.half[2 * f + side].next
        packet.bytes = 40

    # -- time ----------------------------------------------------------------------------------------------------

    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil:
        if number == self.first_transport_timer:
            self._slow_timer()
        else:
            OsNetfront.device_timer(self, number, now_ns)

    cdef void _slow_timer(self) noexcept nogil:
        """Late acknowledgements, and repetition where nothing was news for too long."""
        cdef int64_t now_ns = self.m.clock.now_ns
        cdef Half* half
        cdef int f, side
        for f in range(self.max_flows):
            if self.flow[f].state == FLOW_FREE:
                continue
            for side in range(2):
                half = &self.half[2 * f + side]
                if self.half[2 * f + 1 - side].unacked > 0:
                    self.half[2 * f + 1 - side].unacked = 0
                    self.half[2 * f + 1 - side].acks_due += 1
                if half.next > half.acked and now_ns - half.progress_at_ns >= self.rto_ns << half.retries:
                    half.retries += 1
                    if half.retries > self.max_retries:
                        self._give_up(f)
                        break
                    self._go_back(half)
                self._push(f, side)
        timer_arm_hypervisor(self.m, device_timer(self.m, self.first_transport_timer), now_ns + SLOW_TICK_NS)

    cdef void _give_up(self, int f) noexcept nogil:
        self.flow_failed(f)
        if self.flow[f].state != FLOW_FREE:
            self.close_flow(f)

    # -- for those above -----------------------------------------------------------------------------------------

    cdef void message_arrived(self, int f, int side) noexcept nogil:
        pass

    cdef void flow_failed(self, int f) noexcept nogil:
        pass

    cdef void data_arrived(self, int f, int side, Packet* packet) noexcept nogil:
        pass

    cdef void loose_outside(self, int n, Packet* packet) noexcept nogil:
        pass
