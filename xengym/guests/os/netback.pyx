"""The back end's work: packets to guests and from them.

Receive. The back end holds packets for a guest as long as the guest has posted buffers for them, and drops what is more.
It serves the interfaces in turn, one packet each, in batches of up to 64. For each packet it takes a posted buffer and
either gives the page with the packet away in exchange for it (*flip*: a page transfer, with one batched hypercall and one
TLB flush for all of them) or has the hypervisor copy (*copy*). At the end of a batch it notifies each guest once.

Send. It takes requests from the interfaces in turn, maps the page, hands the packet to the bridge (to the card, or to
another guest's interface), unmaps and answers. An interface may be limited to so many bytes in so much time; the rest
waits in its ring. So does everything while the domain's traffic is stopped.

Simplified: a guest's connections use its first interface; a packet goes to a guest behind the same back end or outside.
Sources: survey, section 6 (the steps of its figure 8); Barham et al. 2003, section 5.5; Menon et al. 2006; the constants
of Xen 3.0's network drivers.
"""
from libc.stdint cimport int32_t, int64_t
from xengym.guests.os.core cimport ITEM_NETBACK_RX, ITEM_NETBACK_TX, ITEM_SHIFT, ITEM_VIF_EVENT, make_item
from xengym.guests.os.vif cimport OsVif
from xengym.machine.io_state cimport (
    BATCH, MAX_GRANTS, MAX_NICS, NET_SLOTS, NIC_SLOTS, NO_DEVICE, OUTSIDE, PACKET_FRAGMENT, VIF_EMULATED, VIF_FLIP, VIF_NATIVE, Nic,
    Packet, Vif,
    fifo_count,
)
from xengym.machine.state cimport device_timer
from xengym.mechanisms.balloon cimport page_returned
from xengym.mechanisms.grant_table cimport grant_copy, grant_map, grant_transfer, grant_unmap
from xengym.mechanisms.ring cimport ring_push_responses, ring_requests, ring_take_request, ring_want_requests
from xengym.sim.timers cimport timer_arm_hypervisor
from xengym.sim.trace cimport TRACE_BACKEND_RX, TRACE_BACKEND_TX, TRACE_PAGE_TRANSFER, TRACE_ROUTED, trace


cdef class OsNetback(OsVif):
    """The back end's side of virtual interfaces."""

    def __init__(self, costs, int max_domains, int max_vcpus, **limits):
        OsVif.__init__(self, costs, max_domains, max_vcpus, **limits)
        self.netback_rx_ns = costs.netback_rx_ns
        self.netback_tx_ns = costs.netback_tx_ns
        self.flip_ns = costs.flip_ns
        self.flip_batch_ns = costs.flip_batch_ns
        self.copy_ns = costs.copy_ns
        self.copy_per_kib_ns = costs.copy_per_kib_ns
        self.map_ns = costs.map_ns
        self.emulate_ns = costs.emulate_ns

    # -- towards the guest ---------------------------------------------------------------------------------------

    cdef void route(self, int backend, Packet* packet) noexcept nogil:
        """The bridge: to the interface of the domain that the packet is for."""
        cdef int i = self.vif_of[packet.target] if packet.target >= 0 else NO_DEVICE
        trace(self.m, TRACE_ROUTED, 0, -1, packet.target, packet.request)
        if i != NO_DEVICE and packet.target == backend and self.vif[i].mode == VIF_NATIVE:
            self.own_packet(i, packet)
            return
        if i == NO_DEVICE or self.vif[i].backend != backend or not self._hold(i, packet):
            if i != NO_DEVICE:
                self.vif[i].rx_dropped += 1
            self.dropped(packet)

    cdef bint _hold(self, int i, Packet* packet) noexcept nogil:
        """Keep a packet for the guest, if it has a buffer left for it."""
        cdef Vif* vif = &self.vif[i]
        if not vif.is_connected or self.m.io[vif.frontend].traffic_stopped:
            return False
        if vif.promised + packet.pages > <int>ring_requests(&vif.rx):
            # The guest is told to offer more the next time it runs, as Xen's front end does under pressure.
            vif.rx_target = min(NET_SLOTS, 2 * vif.rx_target)
            ring_want_requests(&vif.rx)
            return False
        self.held[i * NET_SLOTS + vif.queue.tail % NET_SLOTS] = packet[0]
        vif.queue.tail += 1
        vif.promised += packet.pages
        self.queue_item(vif.backend, make_item(ITEM_NETBACK_RX, 0))
        return True

    cdef int64_t _begin_rx(self, int v, int d) noexcept nogil:
        cdef Packet* staged = self.staged + d * BATCH
        cdef int32_t* staged_vif = self.staged_vif + d * BATCH
        cdef Vif* vif
        cdef int64_t work_ns = 0, packet_ns
        cdef int count = 0, flips = 0, before, step, i, k
        while count < BATCH:
            before = count
            for step in range(self.max_vifs):
                i = (self.io_host.netback_next + step) % self.max_vifs
                vif = &self.vif[i]
                if not vif.in_use or vif.backend != d or vif.queue.head == vif.queue.tail or count == BATCH:
                    continue
                staged[count] = self.held[i * NET_SLOTS + vif.queue.head % NET_SLOTS]
                vif.queue.head += 1
                staged_vif[count] = i
                packet_ns = self.netback_rx_ns
                if vif.mode == VIF_FLIP:
                    packet_ns += self.flip_ns * staged[count].pages
                    flips += 1
                else:
                    packet_ns += self.copy_ns + bytes_ns(staged[count].bytes, self.copy_per_kib_ns)
                    if vif.mode == VIF_EMULATED:
                        packet_ns += self.emulate_ns
                self.charge(d, vif.frontend, packet_ns)
                work_ns += packet_ns
                count += 1
            if count == before:
                break
        self.io_host.netback_next = (self.io_host.netback_next + 1) % self.max_vifs
        self.os[v].num_staged = count
        if count == 0:
            return -1
        if flips:
            # The batch's hypercalls serve all its guests alike.
            for k in range(count):
                if self.vif[staged_vif[k]].mode == VIF_FLIP:
                    packet_ns = self.flip_batch_ns // flips
                    self.charge(d, self.vif[staged_vif[k]].frontend, packet_ns)
                    work_ns += packet_ns
        return work_ns

    cdef void _fill_ring(self, int i, Packet* packet) noexcept nogil:
        """Put a packet into the guest's buffers, of which there are enough, and answer its requests."""
        cdef Vif* vif = &self.vif[i]
        cdef int id, k
        for k in range(packet.pages):
            id = vif.rx_slot[ring_take_request(&vif.rx) % NET_SLOTS]
            self.rx_packet[i * NET_SLOTS + id] = packet[0]
            if k > 0:
                self.rx_packet[i * NET_SLOTS + id].kind = PACKET_FRAGMENT
            if vif.mode == VIF_FLIP:
                grant_transfer(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.rx_grant[id], vif.backend)
                page_returned(self.m, vif.frontend)
                self.m.io[vif.frontend].page_transfers += 1
                if vif.backend >= 0:
                    self.m.io[vif.backend].page_transfers += 1
            elif vif.backend >= 0:
                grant_copy(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.rx_grant[id], vif.backend)
            vif.rx_slot[(vif.rx.rsp_prod + k) % NET_SLOTS] = id
        self.m.io[vif.frontend].page_exchanges += packet.pages
        if vif.backend >= 0:
            self.m.io[vif.backend].page_exchanges += packet.pages
        vif.rx_packets += 1
        self.m.io[vif.frontend].rx_pending += 1
        trace(self.m, TRACE_BACKEND_RX, 0, -1, vif.frontend, packet.request)
        if vif.mode == VIF_FLIP:
            trace(self.m, TRACE_PAGE_TRANSFER, 0, -1, vif.frontend, packet.pages)
        if ring_push_responses(&vif.rx, packet.pages):
            vif.notify_due = 1

    cdef void _finish_rx(self, int v, int d) noexcept nogil:
        cdef Packet* staged = self.staged + d * BATCH
        cdef int32_t* staged_vif = self.staged_vif + d * BATCH
        cdef int i, k, count = self.os[v].num_staged
        for k in range(count):
            i = staged_vif[k]
            if i == NO_DEVICE:
                self.dropped(&staged[k])
            else:
                self.vif[i].promised -= staged[k].pages
                self._fill_ring(i, &staged[k])
        self.os[v].num_staged = 0
        self._notify_frontends(d)
        if count == BATCH:
            self.queue_item(d, make_item(ITEM_NETBACK_RX, 0))

    cdef void _notify_frontends(self, int d) noexcept nogil:
        """At the end of a batch: one event for each interface that is owed one."""
        cdef Vif* vif
        cdef int i
        for i in range(self.max_vifs):
            vif = &self.vif[i]
            if vif.notify_due and vif.backend == d:
                vif.notify_due = 0
                if vif.is_connected:
                    self.notify(d, vif.backend_port, vif.frontend)

    # -- from the guest ------------------------------------------------------------------------------------------

    cdef bint _has_credit(self, int i, int bytes) noexcept nogil:
        """Whether the interface may send so many bytes now; if not, its timer is armed for when it may."""
        cdef Vif* vif = &self.vif[i]
        cdef int64_t intervals
        if vif.credit_bytes == 0:
            return True
        if self.m.clock.now_ns >= vif.credit_until_ns:
            intervals = 1 + (self.m.clock.now_ns - vif.credit_until_ns) // vif.credit_ns
            vif.credit_until_ns = self.m.clock.now_ns + vif.credit_ns
            if vif.credit_left < 0 and intervals <= 1 + -vif.credit_left // vif.credit_bytes:
                vif.credit_left += intervals * vif.credit_bytes
            else:
                vif.credit_left = vif.credit_bytes
        # One packet may be larger than the credit of a whole interval: it takes that of as many as it needs afterwards.
        if vif.credit_left < (bytes if bytes <= vif.credit_bytes else 1):
            timer_arm_hypervisor(self.m, device_timer(self.m, self.first_vif_timer + i), vif.credit_until_ns)
            return False
        vif.credit_left -= bytes
        return True

    cdef int64_t _begin_tx(self, int v, int d) noexcept nogil:
        cdef Packet* staged = self.staged + d * BATCH
        cdef int32_t* staged_vif = self.staged_vif + d * BATCH
        cdef Vif* vif
        cdef int64_t work_ns = 0, packet_ns
        cdef int count = 0, before, step, i, k, id
        cdef int room[MAX_NICS]
        cdef bint leaves
        for k in range(self.max_nics):
            room[k] = self.tx_room(k) if self.nic[k].in_use else 0
        while count < BATCH:
            before = count
            for step in range(self.max_vifs):
                i = (self.io_host.netback_next + step) % self.max_vifs
                vif = &self.vif[i]
                if not vif.is_connected or vif.backend != d or count == BATCH:
                    continue
                if ring_requests(&vif.tx) == 0:
                    ring_want_requests(&vif.tx)
                    continue
                id = vif.tx_slot[vif.tx.req_cons % NET_SLOTS]
                if self.m.io[vif.frontend].traffic_stopped:
                    continue
                leaves = self.tx_packet[i * NET_SLOTS + id].target == OUTSIDE and vif.nic != NO_DEVICE
                if leaves and room[vif.nic] <= 0:
                    self.wait_for_room(vif.nic)
                    continue
                # Last, because it is spent by asking.
                if not self._has_credit(i, self.tx_packet[i * NET_SLOTS + id].bytes):
                    continue
                if leaves:
                    room[vif.nic] -= 1
                staged[count] = self.tx_packet[i * NET_SLOTS + id]
                staged_vif[count] = i
                for k in range(self.tx_packet[i * NET_SLOTS + id].pages):
                    id = vif.tx_slot[ring_take_request(&vif.tx) % NET_SLOTS]
                    grant_map(&self.grants[vif.frontend], self.grant + vif.frontend * MAX_GRANTS, vif.tx_grant[id], d)
                self.m.io[vif.frontend].tx_pending -= staged[count].pages
                packet_ns = self.netback_tx_ns + self.bridge_ns
                # A packet that fits beside its header is copied, all others are mapped.
                packet_ns += self.map_ns if staged[count].bytes > 64 else 0
                if staged[count].target == OUTSIDE:
                    packet_ns += self.nic_tx_ns
                if vif.mode == VIF_EMULATED:
                    packet_ns += self.emulate_ns
                self.charge(d, vif.frontend, packet_ns)
                work_ns += packet_ns
                trace(self.m, TRACE_BACKEND_TX, 0, -1, vif.frontend, staged[count].request)
                count += 1
            if count == before:
                break
        self.io_host.netback_next = (self.io_host.netback_next + 1) % self.max_vifs
        self.os[v].num_staged = count
        return work_ns if count else -1

    cdef void _finish_tx(self, int v, int d) noexcept nogil:
        cdef Packet* staged = self.staged + d * BATCH
        cdef int32_t* staged_vif = self.staged_vif + d * BATCH
        cdef Vif* vif
        cdef Packet* packet
        cdef int i, k, page, id, count = self.os[v].num_staged
        for k in range(count):
            i = staged_vif[k]
            if i == NO_DEVICE:
                continue  # counted when its interface went
            packet = &staged[k]
            vif = &self.vif[i]
            vif.tx_packets += 1
            self.m.io[vif.frontend].page_exchanges += packet.pages
            self.m.io[d].page_exchanges += packet.pages
            self.m.io[vif.frontend].tx_packets += 1
            self.m.io[vif.frontend].tx_bytes += packet.bytes
            for page in range(packet.pages):
                id = vif.tx_slot[vif.tx.rsp_prod % NET_SLOTS]
                grant_unmap(self.grant + vif.frontend * MAX_GRANTS, vif.tx_grant[id])
                if ring_push_responses(&vif.tx, 1):
                    vif.notify_due = 1
            if packet.target >= 0:
                self.route(d, packet)
            elif packet.target == OUTSIDE and vif.nic != NO_DEVICE:
                self.wire_out(vif.nic, packet)
            else:
                self.dropped(packet)
        self.os[v].num_staged = 0
        self._notify_frontends(d)
        self.queue_item(d, make_item(ITEM_NETBACK_TX, 0))

    # -- both ----------------------------------------------------------------------------------------------------

    cdef int64_t begin(self, int v, int item) noexcept nogil:
        cdef int kind = item >> ITEM_SHIFT
        cdef int d = self.m.vcpu[v].domain
        cdef Vif* vif
        if kind == ITEM_NETBACK_RX:
            return self._begin_rx(v, d)
        if kind == ITEM_NETBACK_TX:
            return self._begin_tx(v, d)
        if kind == ITEM_VIF_EVENT:
            vif = &self.vif[item & ((1 << ITEM_SHIFT) - 1)]
            if ring_requests(&vif.tx):
                self.queue_item(d, make_item(ITEM_NETBACK_TX, 0))
            return -1
        return OsVif.begin(self, v, item)

    cdef void finish(self, int v, int item) noexcept nogil:
        cdef int kind = item >> ITEM_SHIFT
        if kind == ITEM_NETBACK_RX:
            self._finish_rx(v, self.m.vcpu[v].domain)
        elif kind == ITEM_NETBACK_TX:
            self._finish_tx(v, self.m.vcpu[v].domain)
        else:
            OsVif.finish(self, v, item)

    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil:
        cdef int d
        if number < self.first_vif_timer:
            OsVif.device_timer(self, number, now_ns)
            return
        d = self.vif[number - self.first_vif_timer].backend
        self.queue_item(d, make_item(ITEM_NETBACK_TX, 0))
        self.interrupt(self.m.domain[d].first_vcpu)

    cdef void has_room(self, int n) noexcept nogil:
        if self.nic[n].backend >= 0:
            self.queue_item(self.nic[n].backend, make_item(ITEM_NETBACK_TX, 0))
            self.interrupt(self.m.domain[self.nic[n].backend].first_vcpu)

    cdef void traffic_changed(self, int d, int64_t now_ns) noexcept nogil:
        cdef int i = self.vif_of[d]
        if i != NO_DEVICE and not self.m.io[d].traffic_stopped and self.vif[i].backend >= 0:
            self.queue_item(self.vif[i].backend, make_item(ITEM_NETBACK_TX, 0))
            self.interrupt(self.m.domain[self.vif[i].backend].first_vcpu)

    cdef void take_inline(self, int n) noexcept nogil:
        """Xen 1.x, or no hypervisor: straight from the card into the domain's buffers."""
        cdef Nic* nic = &self.nic[n]
        cdef Packet packet
        cdef int i
        while nic.buffered.head < nic.buffered.tail:
            packet = self.buffer[n * NIC_SLOTS + nic.buffered.head % NIC_SLOTS]
            nic.buffered.head += 1
            i = self.vif_of[packet.target] if packet.target >= 0 else NO_DEVICE
            if i == NO_DEVICE or not self.vif[i].is_connected or self.m.io[packet.target].traffic_stopped \
                    or ring_requests(&self.vif[i].rx) < packet.pages:
                if i != NO_DEVICE:
                    self.vif[i].rx_dropped += 1
                    if not self.m.io[packet.target].traffic_stopped:
                        self.vif[i].rx_target = min(NET_SLOTS, 2 * self.vif[i].rx_target)
                self.dropped(&packet)
                continue
            self._fill_ring(i, &packet)
            if self.vif[i].notify_due:
                self.vif[i].notify_due = 0
                self.send_port(self.vif[i].frontend, self.vif[i].frontend_port)

    cdef void own_packet(self, int i, Packet* packet) noexcept nogil:
        pass
