"""A guest's front end: taking packets out of its receive ring, putting packets into its transmit ring.

Both go in batches of up to 64, begun when the guest has the CPU. Taking packets goes on until the ring is found empty;
only then does the front end ask to be notified of the next one. Of packets sent it wants to hear when half of those
outstanding are done. Buffers: it posts 64 at first, up to 256 when the back end ran short of them, and one less after
each batch that left some over.

On a host whose drivers are in the hypervisor, or without one, there is no back end: packets go straight to the card.
"""
from libc.stdint cimport int64_t
from xengym.guests.os.core cimport ITEM_NETFRONT, ITEM_SEND, ITEM_SHIFT, make_item
from xengym.guests.os.netback cimport OsNetback, bytes_ns
from xengym.machine.io_state cimport (
    BATCH, MAX_GRANTS, NET_SLOTS, NO_DEVICE, OUTSIDE, PACKET_ACK, PACKET_DATA, PACKET_DATAGRAM, PACKET_ECHO, PACKET_ECHO_REPLY, PACKET_FRAGMENT, PAGE_BYTES,
    VIF_EMULATED, VIF_INLINE, VIF_NATIVE, Packet, Vif,
)
from xengym.mechanisms.grant_table cimport grant_access, grant_end
from xengym.mechanisms.ring cimport (
    ring_free, ring_push_requests, ring_requests, ring_responses, ring_take_response, ring_want_responses,
)
from xengym.sim.trace cimport TRACE_FRONTEND_RX, TRACE_FRONTEND_TX, trace

cdef int MIN_RX_TARGET = 64
cdef int MAX_PACKET_PAGES = 17     # 64 KiB that need not begin at a page


cdef inline bint carries_data(Packet* packet) noexcept nogil:
    return packet.kind == PACKET_DATA or packet.kind == PACKET_DATAGRAM


cdef class OsNetfront(OsNetback):
    """The front end's side of virtual interfaces."""

    def __init__(self, costs, int max_domains, int max_vcpus, **limits):
        OsNetback.__init__(self, costs, max_domains, max_vcpus, **limits)
        self.netfront_rx_ns = costs.netfront_rx_ns
        self.netfront_tx_ns = costs.netfront_tx_ns
        self.tx_done_ns = costs.tx_done_ns
        self.stack_rx_ns = costs.stack_rx_ns
        self.stack_rx_per_kib_ns = costs.stack_rx_per_kib_ns
        self.stack_tx_ns = costs.stack_tx_ns
        self.stack_tx_per_kib_ns = costs.stack_tx_per_kib_ns
        self.checksum_per_kib_ns = costs.checksum_per_kib_ns
        self.small_pages_ns = costs.small_pages_ns
        self.ack_ns = costs.ack_ns
        self.echo_ns = costs.echo_ns
        self.inline_rx_ns = costs.inline_rx_ns
        self.inline_tx_ns = costs.inline_tx_ns
        self.exits_ns = costs.exit_ns * costs.exits_per_packet

    # -- what it costs -------------------------------------------------------------------------------------------

    cdef int64_t _way_ns(self, Vif* vif, Packet* packet, int64_t nic_ns, int64_t inline_ns, int64_t front_ns) noexcept nogil:
        """What the way of a packet costs the guest, and its protocols if it carries no data."""
        cdef int64_t ns = front_ns
        if vif.mode == VIF_NATIVE:
            ns = nic_ns
        elif vif.mode == VIF_INLINE:
            ns = nic_ns + inline_ns
        elif vif.mode == VIF_EMULATED:
            ns = front_ns + self.exits_ns
        if packet.kind == PACKET_ACK:
            return ns + self.ack_ns
        if packet.kind == PACKET_ECHO or packet.kind == PACKET_ECHO_REPLY:
            return ns + self.echo_ns
        return ns

    cdef int64_t _rx_ns(self, Vif* vif, Packet* packet) noexcept nogil:
        cdef int64_t ns = self._way_ns(vif, packet, self.nic_rx_ns, self.inline_rx_ns, self.netfront_rx_ns)
        if carries_data(packet):
            ns += self.stack_rx_ns + bytes_ns(packet.bytes, self.stack_rx_per_kib_ns)
        return ns

    cdef int64_t _tx_ns(self, Vif* vif, Packet* packet) noexcept nogil:
        cdef int64_t ns = self._way_ns(vif, packet, self.nic_tx_ns, self.inline_tx_ns, self.netfront_tx_ns)
        if carries_data(packet):
            ns += self.stack_tx_ns + bytes_ns(packet.bytes, self.stack_tx_per_kib_ns)
            if not vif.is_offloading:
                ns += bytes_ns(packet.bytes, self.checksum_per_kib_ns)
                if vif.mode != VIF_NATIVE:
                    ns += self.small_pages_ns
        return ns

    # -- receiving -----------------------------------------------------------------------------------------------

    cdef int64_t _begin_front(self, int v, int i) noexcept nogil:
        cdef Vif* vif = &self.vif[i]
        cdef int d = self.m.vcpu[v].domain
        cdef Packet* staged = self.staged + d * BATCH
        cdef int64_t work_ns = 0
        cdef int id, count = 0, sent = 0
        if not vif.is_connected or vif.frontend != d:  # its number may be another domain's by now
            return -1
        while ring_responses(&vif.tx):
            id = vif.tx_slot[ring_take_response(&vif.tx) % NET_SLOTS]
            grant_end(&self.grants[d], self.grant + d * MAX_GRANTS, vif.tx_grant[id])
            vif.tx_grant[id] = -1
            vif.tx_free[vif.num_tx_free] = id
            vif.num_tx_free += 1
            sent += 1
        while count < BATCH and ring_responses(&vif.rx):
            id = vif.rx_slot[ring_take_response(&vif.rx) % NET_SLOTS]
            if vif.rx_grant[id] >= 0:
                grant_end(&self.grants[d], self.grant + d * MAX_GRANTS, vif.rx_grant[id])
                vif.rx_grant[id] = -1
            vif.rx_free[vif.num_rx_free] = id
            vif.num_rx_free += 1
            if self.rx_packet[i * NET_SLOTS + id].kind == PACKET_FRAGMENT:
                continue
            staged[count] = self.rx_packet[i * NET_SLOTS + id]
            work_ns += self._rx_ns(vif, &staged[count])
            count += 1
        if sent:
            work_ns += sent * self.tx_done_ns
            self.queue_item(d, make_item(ITEM_SEND, 0))
        if count == 0 and sent == 0:
            ring_want_responses(&vif.rx, 1)
            ring_want_responses(&vif.tx, ((vif.tx.req_prod - vif.tx.rsp_cons) >> 1) + 1)
            return -1
        if count and (vif.mode == VIF_INLINE or vif.mode == VIF_NATIVE):
            work_ns += self.nic_irq_ns
        self.m.io[d].rx_pending -= count
        self.os[v].num_staged = count
        self.charge(d, d, work_ns)
        return work_ns

    cdef void _finish_front(self, int v, int i) noexcept nogil:
        cdef Vif* vif = &self.vif[i]
        cdef int d = self.m.vcpu[v].domain
        cdef Packet* packet
        cdef int k
        for k in range(self.os[v].num_staged):
            packet = self.staged + d * BATCH + k
            self.m.io[d].rx_packets += 1
            self.m.io[d].rx_bytes += packet.bytes
            trace(self.m, TRACE_FRONTEND_RX, self.m.vcpu[v].pcpu, v, d, packet.request)
            self.received(d, packet)
        self.os[v].num_staged = 0
        if vif.is_connected and vif.frontend == d:
            if ring_requests(&vif.rx) > <unsigned int>(vif.rx_target // 4) and vif.rx_target > MIN_RX_TARGET:
                vif.rx_target -= 1
            self.post_buffers(i)
            self.queue_item(d, make_item(ITEM_NETFRONT, i))

    cdef void own_packet(self, int i, Packet* packet) noexcept nogil:
        """A packet for the domain that drives the card: no interface lies between the driver and its protocols."""
        cdef int d = self.vif[i].frontend
        self.vif[i].rx_packets += 1
        self.m.io[d].rx_packets += 1
        self.m.io[d].rx_bytes += packet.bytes
        self.owe(d, d, self._rx_ns(&self.vif[i], packet) - self.nic_rx_ns)
        self.received(d, packet)

    # -- sending -------------------------------------------------------------------------------------------------

    cdef int64_t _begin_send(self, int v) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef int i = self.vif_of[d]
        cdef Packet* staged = self.staged + d * BATCH
        cdef Vif* vif
        cdef int64_t work_ns = 0
        cdef int count = 0, room
        if i == NO_DEVICE or not self.vif[i].is_connected:
            return -1
        vif = &self.vif[i]
        if vif.backend >= 0:
            room = min(<int>ring_free(&vif.tx), vif.num_tx_free)
            room = min(room, MAX_GRANTS - self.grants[d].num_granted)
        elif self.m.io[d].traffic_stopped:
            return -1
        else:
            room = self.tx_room(vif.nic) if vif.nic != NO_DEVICE else BATCH
            if room <= 0:
                self.wait_for_room(vif.nic)
                return -1
        while count < BATCH and room >= (MAX_PACKET_PAGES if vif.is_offloading and vif.backend >= 0 else 1):
            if not self.next_packet(d, &staged[count]):
                break
            staged[count].pages = max(1, (staged[count].bytes + PAGE_BYTES - 1) // PAGE_BYTES)
            room -= staged[count].pages if vif.backend >= 0 else 1
            work_ns += self._tx_ns(vif, &staged[count])
            count += 1
        self.os[v].num_staged = count
        if count == 0:
            return -1
        self.charge(d, d, work_ns)
        return work_ns

    cdef void _finish_send(self, int v) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef int i = self.vif_of[d]
        cdef Packet* staged = self.staged + d * BATCH
        cdef int k, count = self.os[v].num_staged
        self.os[v].num_staged = 0
        for k in range(count):
            if i == NO_DEVICE or not self.vif[i].is_connected or (
                    self.vif[i].backend >= 0 and min(<int>ring_free(&self.vif[i].tx), self.vif[i].num_tx_free) < staged[k].pages):
                self.dropped(&staged[k])
                continue
            trace(self.m, TRACE_FRONTEND_TX, self.m.vcpu[v].pcpu, v, d, staged[k].request)
            if self.vif[i].backend >= 0:
                self._put_in_ring(i, &staged[k])
            else:
                self._send_inline(i, &staged[k])
        if count == 0 or i == NO_DEVICE:
            return
        self.m.io[d].prev_tx_at_ns = self.m.io[d].last_tx_at_ns
        self.m.io[d].last_tx_at_ns = self.m.clock.now_ns
        if self.vif[i].notify_due:
            self.vif[i].notify_due = 0
            self.notify(d, self.vif[i].frontend_port, d)
        self.queue_item(d, make_item(ITEM_SEND, 0))

    cdef void _put_in_ring(self, int i, Packet* packet) noexcept nogil:
        cdef Vif* vif = &self.vif[i]
        cdef int k, id
        for k in range(packet.pages):
            vif.num_tx_free -= 1
            id = vif.tx_free[vif.num_tx_free]
            vif.tx_grant[id] = grant_access(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.backend)
            self.tx_packet[i * NET_SLOTS + id] = packet[0]
            if k > 0:
                self.tx_packet[i * NET_SLOTS + id].kind = PACKET_FRAGMENT
            vif.tx_slot[(vif.tx.req_prod + k) % NET_SLOTS] = id
        self.m.io[vif.frontend].tx_pending += packet.pages
        if ring_push_requests(&vif.tx, packet.pages):
            vif.notify_due = 1

    cdef void _send_inline(self, int i, Packet* packet) noexcept nogil:
        """The driver is in the hypervisor, or in the domain itself."""
        cdef Vif* vif = &self.vif[i]
        cdef int other
        vif.tx_packets += 1
        self.m.io[vif.frontend].tx_packets += 1
        self.m.io[vif.frontend].tx_bytes += packet.bytes
        if packet.target == OUTSIDE and vif.nic != NO_DEVICE:
            self.wire_out(vif.nic, packet)
            return
        other = self.vif_of[packet.target] if packet.target >= 0 else NO_DEVICE
        if other == NO_DEVICE or self.vif[other].backend != vif.backend or not self.vif[other].is_connected \
                or self.m.io[packet.target].traffic_stopped or ring_requests(&self.vif[other].rx) < packet.pages:
            self.dropped(packet)
            return
        self._fill_ring(other, packet)
        if self.vif[other].notify_due:
            self.vif[other].notify_due = 0
            self.send_port(self.vif[other].frontend, self.vif[other].frontend_port)

    # -- both ----------------------------------------------------------------------------------------------------

    cdef int64_t begin(self, int v, int item) noexcept nogil:
        cdef int kind = item >> ITEM_SHIFT
        if kind == ITEM_NETFRONT:
            return self._begin_front(v, item & ((1 << ITEM_SHIFT) - 1))
        if kind == ITEM_SEND:
            return self._begin_send(v)
        return OsNetback.begin(self, v, item)

    cdef void finish(self, int v, int item) noexcept nogil:
        cdef int kind = item >> ITEM_SHIFT
        if kind == ITEM_NETFRONT:
            self._finish_front(v, item & ((1 << ITEM_SHIFT) - 1))
        elif kind == ITEM_SEND:
            self._finish_send(v)
        else:
            OsNetback.finish(self, v, item)

    cdef void has_room(self, int n) noexcept nogil:
        cdef int i
        OsNetback.has_room(self, n)
        if self.nic[n].backend >= 0 and self.vif_of[self.nic[n].backend] == NO_DEVICE:
            return
        for i in range(self.max_vifs):
            if self.vif[i].is_connected and self.vif[i].nic == n and self.vif[i].backend == NO_DEVICE:
                self.wake_sender(self.vif[i].frontend)

    cdef void traffic_changed(self, int d, int64_t now_ns) noexcept nogil:
        OsNetback.traffic_changed(self, d, now_ns)
        self.wake_sender(d)

    cdef void connected(self, int i) noexcept nogil:
        self.wake_sender(self.vif[i].frontend)

    cdef void wake_sender(self, int d) noexcept nogil:
        """Domain d may have packets to send."""
        self.queue_item(d, make_item(ITEM_SEND, 0))
        self.interrupt(self.m.domain[d].first_vcpu)

    cdef void received(self, int d, Packet* packet) noexcept nogil:
        pass

    cdef bint next_packet(self, int d, Packet* packet) noexcept nogil:
        return False
