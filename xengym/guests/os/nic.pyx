"""Network cards: a line rate, receive buffers that can be full, interrupts that are held apart, and the way outside.

Receive. A packet from outside takes its time on the cable (delay, then the line, one packet after another), and lands in
a receive buffer; if none is free it is lost there. The card interrupts when a packet has landed and the last interrupt is
`irq_gap_ns` ago. The driver then takes packets in batches with interrupts off, as Linux's network polling does, and
switches them on again when it finds none. So under load there are few interrupts and large batches.

Send. The card takes packets as long as fewer than 256 wait for the line.

Between card and clients lies a switch with room for 1024 packets each way and, if asked for, loss by chance. Landings are
worked out when somebody looks, so a packet costs no event of its own on its way in.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset
from xengym.guests.os.core cimport ITEM_NIC, ITEM_SHIFT, OsCore, make_item
from xengym.hypervisor.core cimport HostCore
from xengym.machine.io_state cimport (
    BATCH, MAX_NICS, NIC_SLOTS, NIC_TX_SLOTS, NOBODY, OUTSIDE, WIRE_SLOTS, IoHost, Nic, Packet, fifo_count,
)
from xengym.machine.state cimport device_timer
from xengym.sim.random cimport STREAM_NETWORK, draw_bits, stream_key
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from xengym.sim.trace cimport TRACE_INTERRUPT, TRACE_NIC_IN, TRACE_NIC_OUT, TRACE_PACKET_LOST, trace

import numpy as np

from xengym.machine.io_state import IO_HOST_DTYPE, NIC_DTYPE, PACKET_DTYPE


cdef class OsNic(OsCore):
    """Network cards and their driver.

    Args:
        costs: ``machine.io_costs.IoCosts``.
        max_nics: cards that there may be.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int max_nics=1):
        if not 1 <= max_nics <= MAX_NICS:
            raise ValueError(f"os: max_nics must be 1..{MAX_NICS}, found {max_nics}")
        OsCore.__init__(self, costs, max_domains, max_vcpus)
        self.max_nics = max_nics
        self.nic_irq_ns = costs.nic_irq_ns
        self.nic_rx_ns = costs.nic_rx_ns
        self.nic_tx_ns = costs.nic_tx_ns
        self.bridge_ns = costs.bridge_ns

    def num_device_timers(self):
        return TIMERS_PER_NIC * self.max_nics

    def sections(self, max_vcpus, max_domains):
        return [
            *OsCore.sections(self, max_vcpus, max_domains),
            ("io_host", IO_HOST_DTYPE, 1),
            ("nic", NIC_DTYPE, self.max_nics),
            ("nic_in", PACKET_DTYPE, self.max_nics * WIRE_SLOTS),
            ("nic_out", PACKET_DTYPE, self.max_nics * WIRE_SLOTS),
            ("nic_buffer", PACKET_DTYPE, self.max_nics * NIC_SLOTS),
            ("staged", PACKET_DTYPE, max_domains * BATCH),
            ("staged_vif", np.dtype(np.int32), max_domains * BATCH),
        ]

    def bind(self, HostCore host, int number, views):
        OsCore.bind(self, host, number, views)
        cdef IoHost[::1] io_host = views["io_host"]
        cdef Nic[::1] nic = views["nic"]
        cdef Packet[::1] in_packet = views["nic_in"]
        cdef Packet[::1] out_packet = views["nic_out"]
        cdef Packet[::1] buffer = views["nic_buffer"]
        cdef Packet[::1] staged = views["staged"]
        cdef int32_t[::1] staged_vif = views["staged_vif"]
        self.io_host = &io_host[0]
        self.nic = &nic[0]
        self.in_packet = &in_packet[0]
        self.out_packet = &out_packet[0]
        self.buffer = &buffer[0]
        self.staged = &staged[0]
        self.staged_vif = &staged_vif[0]

    def add_nic(self, int backend, *, int64_t ns_per_mib, int64_t delay_ns, int64_t irq_gap_ns, int rx_buffers, int loss_ppm):
        """Plug in a card; ``backend`` is the slot of the domain with its driver, or -1 for the hypervisor.

        Returns:
            Its number.
        """
        cdef int n, port = -1
        cdef Nic* nic
        for n in range(self.max_nics):
            if not self.nic[n].in_use:
                break
        else:
            raise ValueError(f"no room for another network card; the host holds its maximum of {self.max_nics}")
        if backend >= 0:
            port = self.new_port(backend, make_item(ITEM_NIC, n))
            if port < 0:
                raise ValueError(f"domain {self.m.domain[backend].domid} has no event-channel port left")
            self.m.io[backend].is_backend = 1
        nic = &self.nic[n]
        memset(nic, 0, sizeof(Nic))
        nic.in_use = 1
        nic.irq_is_on = 1
        nic.backend = backend
        nic.port = port
        nic.ns_per_mib = ns_per_mib
        nic.delay_ns = delay_ns
        nic.irq_gap_ns = irq_gap_ns
        nic.last_irq_at_ns = -irq_gap_ns
        nic.rx_buffers = rx_buffers
        nic.loss_ppm = loss_ppm
        nic.loss_key = stream_key(self.m.clock.seed, STREAM_NETWORK, n)
        return n

    def destroyed(self, int d):
        """What is under way to or from a domain that is gone belongs to nobody; its cards are unplugged."""
        cdef Nic* nic
        cdef int n, slot
        for n in range(self.max_nics):
            nic = &self.nic[n]
            for slot in range(WIRE_SLOTS):
                forget_domain(&self.in_packet[n * WIRE_SLOTS + slot], d)
                forget_domain(&self.out_packet[n * WIRE_SLOTS + slot], d)
            for slot in range(NIC_SLOTS):
                forget_domain(&self.buffer[n * NIC_SLOTS + slot], d)
            if nic.in_use and nic.denied:
                nic.denied |= <uint64_t>1 << d  # whoever gets this slot next is not among those allowed
            if nic.in_use and nic.backend == d:
                nic.in_use = 0
                nic.lost += fifo_count(&nic.wire_in) + fifo_count(&nic.wire_out)
                nic.rx_dropped += fifo_count(&nic.buffered)
                for which in range(TIMERS_PER_NIC):
                    timer_disarm(self.m, device_timer(self.m, TIMERS_PER_NIC * n + which))
        for slot in range(self.max_domains * BATCH):
            forget_domain(&self.staged[slot], d)
        OsCore.destroyed(self, d)

    # -- the cable -----------------------------------------------------------------------------------------------

    cdef bint _is_lost(self, Nic* nic) noexcept nogil:
        return nic.loss_ppm > 0 and draw_bits(nic.loss_key, &nic.loss_counter) % 1000000 < <uint64_t>nic.loss_ppm

    cdef void wire_in(self, int n, Packet* packet) noexcept nogil:
        """A client sends a packet to this host."""
        cdef Nic* nic = &self.nic[n]
        cdef int64_t at_ns
        cdef int slot
        if not nic.in_use or fifo_count(&nic.wire_in) == WIRE_SLOTS or self._is_lost(nic):
            nic.lost += 1
            trace(self.m, TRACE_PACKET_LOST, 0, -1, packet.target, packet.request)
            return
        at_ns = max(self.m.clock.now_ns + nic.delay_ns, nic.in_free_at_ns) + ((packet.bytes * nic.ns_per_mib) >> 20)
        nic.in_free_at_ns = at_ns
        slot = nic.wire_in.tail % WIRE_SLOTS
        nic.in_at_ns[slot] = at_ns
        self.in_packet[n * WIRE_SLOTS + slot] = packet[0]
        nic.wire_in.tail += 1
        if nic.irq_is_on and nic.wire_in.tail - nic.wire_in.head == 1:
            self._arm_irq(n)

    cdef void _land(self, int n) noexcept nogil:
        """What has arrived by now goes into the receive buffers."""
        cdef Nic* nic = &self.nic[n]
        cdef Packet* packet
        cdef int slot
        while nic.wire_in.head < nic.wire_in.tail:
            slot = nic.wire_in.head % WIRE_SLOTS
            if nic.in_at_ns[slot] > self.m.clock.now_ns:
                return
            packet = &self.in_packet[n * WIRE_SLOTS + slot]
            nic.wire_in.head += 1
            if fifo_count(&nic.buffered) >= nic.rx_buffers:
                nic.rx_dropped += 1
                self.dropped(packet)
                continue
            self.buffer[n * NIC_SLOTS + nic.buffered.tail % NIC_SLOTS] = packet[0]
            nic.buffered.tail += 1
            nic.rx_packets += 1
            if nic.backend >= 0:
                self.m.io[nic.backend].nic_pending += 1
            trace(self.m, TRACE_NIC_IN, n, -1, packet.target, packet.request)

    cdef void wire_out(self, int n, Packet* packet) noexcept nogil:
        """The driver hands a packet to the card, which has room for it."""
        cdef Nic* nic = &self.nic[n]
        cdef int slot
        cdef int64_t depart_ns
        if fifo_count(&nic.wire_out) == WIRE_SLOTS:
            nic.lost += 1
            trace(self.m, TRACE_PACKET_LOST, 0, -1, packet.source, packet.request)
            return
        depart_ns = max(self.m.clock.now_ns, nic.out_free_at_ns) + ((packet.bytes * nic.ns_per_mib) >> 20)
        nic.out_free_at_ns = depart_ns
        slot = nic.wire_out.tail % WIRE_SLOTS
        self.out_packet[n * WIRE_SLOTS + slot] = packet[0]
        nic.out_depart_ns[slot] = depart_ns
        nic.out_at_ns[slot] = depart_ns + nic.delay_ns
        nic.wire_out.tail += 1
        nic.tx_packets += 1
        trace(self.m, TRACE_NIC_OUT, n, -1, packet.source, packet.request)
        if nic.wire_out.tail - nic.wire_out.head == 1:
            timer_arm_hypervisor(self.m, device_timer(self.m, TIMERS_PER_NIC * n + TIMER_OUTSIDE), nic.out_at_ns[slot])

    cdef int tx_room(self, int n) noexcept nogil:
        """Packets that the card still takes."""
        cdef Nic* nic = &self.nic[n]
        nic.departed = max(nic.departed, nic.wire_out.head)
        while nic.departed < nic.wire_out.tail and nic.out_depart_ns[nic.departed % WIRE_SLOTS] <= self.m.clock.now_ns:
            nic.departed += 1
        return min(<int>(NIC_TX_SLOTS - (nic.wire_out.tail - nic.departed)), <int>(WIRE_SLOTS - fifo_count(&nic.wire_out)))

    cdef void wait_for_room(self, int n) noexcept nogil:
        """Call `has_room` when a quarter of what waits for the line has left; or, if the switch is full, when one arrives."""
        cdef Nic* nic = &self.nic[n]
        cdef int64_t position = nic.departed + (nic.wire_out.tail - nic.departed) // 4
        cdef int64_t at_ns = nic.out_depart_ns[position % WIRE_SLOTS]
        if position == nic.wire_out.tail or fifo_count(&nic.wire_out) == WIRE_SLOTS:
            at_ns = nic.out_at_ns[nic.wire_out.head % WIRE_SLOTS]
        timer_arm_hypervisor(
            self.m, device_timer(self.m, TIMERS_PER_NIC * n + TIMER_ROOM), max(self.m.clock.now_ns, at_ns)
        )

    cdef void _arrive_outside(self, int n) noexcept nogil:
        cdef Nic* nic = &self.nic[n]
        cdef Packet packet
        while nic.wire_out.head < nic.wire_out.tail:
            if nic.out_at_ns[nic.wire_out.head % WIRE_SLOTS] > self.m.clock.now_ns:
                timer_arm_hypervisor(
                    self.m, device_timer(self.m, TIMERS_PER_NIC * n + TIMER_OUTSIDE),
                    nic.out_at_ns[nic.wire_out.head % WIRE_SLOTS]
                )
                return
            packet = self.out_packet[n * WIRE_SLOTS + nic.wire_out.head % WIRE_SLOTS]
            nic.wire_out.head += 1
            if self._is_lost(nic):
                nic.lost += 1
                trace(self.m, TRACE_PACKET_LOST, 0, -1, packet.source, packet.request)
            else:
                self.arrived_outside(n, &packet)

    # -- interrupts ----------------------------------------------------------------------------------------------

    cdef void _arm_irq(self, int n) noexcept nogil:
        """Interrupts are on: the next one comes when a packet has landed, and not too soon after the last."""
        cdef Nic* nic = &self.nic[n]
        cdef int64_t at_ns = self.m.clock.now_ns
        if fifo_count(&nic.buffered) == 0:
            if nic.wire_in.head == nic.wire_in.tail:
                return
            at_ns = max(at_ns, nic.in_at_ns[nic.wire_in.head % WIRE_SLOTS])
        at_ns = max(at_ns, nic.last_irq_at_ns + nic.irq_gap_ns)
        timer_arm_hypervisor(self.m, device_timer(self.m, TIMERS_PER_NIC * n + TIMER_IRQ), at_ns)

    cdef void _interrupt_due(self, int n) noexcept nogil:
        cdef Nic* nic = &self.nic[n]
        self._land(n)
        nic.last_irq_at_ns = self.m.clock.now_ns
        nic.interrupts += 1
        trace(self.m, TRACE_INTERRUPT, n, -1, nic.backend, 0)
        if nic.backend < 0:
            self.take_inline(n)
            self._arm_irq(n)
        else:
            nic.irq_is_on = 0
            self.send_port(nic.backend, nic.port)

    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil:
        cdef int n = number // TIMERS_PER_NIC
        cdef int which = number % TIMERS_PER_NIC
        if which == TIMER_IRQ:
            self._interrupt_due(n)
        elif which == TIMER_OUTSIDE:
            self._arrive_outside(n)
        else:
            self.has_room(n)

    # -- the driver, in the domain that owns the card ------------------------------------------------------------

    cdef int64_t begin(self, int v, int item) noexcept nogil:
        cdef int d, n, i
        cdef Nic* nic
        cdef Packet* staged
        cdef int64_t per_packet_ns = self.nic_rx_ns + self.bridge_ns
        cdef int64_t packet_ns, work_ns = 0
        if item >> ITEM_SHIFT != ITEM_NIC:
            return OsCore.begin(self, v, item)
        d = self.m.vcpu[v].domain
        n = item & ((1 << ITEM_SHIFT) - 1)
        nic = &self.nic[n]
        self._land(n)
        if fifo_count(&nic.buffered) == 0:
            nic.irq_is_on = 1
            self._arm_irq(n)
            return -1
        staged = self.staged + d * BATCH
        i = 0
        while i < BATCH and nic.buffered.head < nic.buffered.tail:
            staged[i] = self.buffer[n * NIC_SLOTS + nic.buffered.head % NIC_SLOTS]
            nic.buffered.head += 1
            # What comes for a domain whose traffic is stopped goes no further than the driver.
            packet_ns = per_packet_ns
            if staged[i].target >= 0 and self.m.io[staged[i].target].traffic_stopped:
                packet_ns = self.nic_rx_ns
            self.charge(d, staged[i].target, packet_ns)
            work_ns += packet_ns
            i += 1
        self.m.io[d].nic_pending -= i
        self.os[v].num_staged = i
        self.charge_idle(d, self.nic_irq_ns)
        return self.nic_irq_ns + work_ns

    cdef void finish(self, int v, int item) noexcept nogil:
        cdef int d, i
        if item >> ITEM_SHIFT != ITEM_NIC:
            OsCore.finish(self, v, item)
            return
        d = self.m.vcpu[v].domain
        for i in range(self.os[v].num_staged):
            self.route(d, self.staged + d * BATCH + i)
        self.os[v].num_staged = 0
        # There may be more; if not, that is found out when its turn comes, and interrupts go on.
        self.queue_item(d, item)

    # -- for those above -----------------------------------------------------------------------------------------

    cdef void route(self, int backend, Packet* packet) noexcept nogil:
        self.dropped(packet)

    cdef void take_inline(self, int n) noexcept nogil:
        pass

    cdef void has_room(self, int n) noexcept nogil:
        pass

    cdef void arrived_outside(self, int n, Packet* packet) noexcept nogil:
        pass

    cdef void dropped(self, Packet* packet) noexcept nogil:
        """A packet is lost on this host; it counts for the domain it comes from or is for."""
        if packet.target >= 0:
            self.m.io[packet.target].rx_dropped += 1
        elif packet.target == OUTSIDE and packet.source >= 0:
            self.m.io[packet.source].tx_dropped += 1
        else:
            self.io_host.orphaned += 1
        trace(self.m, TRACE_PACKET_LOST, 0, -1, packet.target, packet.request)
