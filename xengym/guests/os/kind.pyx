"""Domains with an operating system: the whole kind, with what Python sees of it; crash and restart of driver domains.

When a driver domain crashes, what its cards had received, what it held for guests and what it had taken from their rings
is lost and counted; the rings are gone. Once it has started again, front ends and back end agree on new ones. Packets are
repeated by the connections they belong to; block requests that had not been answered are put in again by the front end.
Connections of the crashed domain itself are given up; its programs go on with what they had begun.
"""
from libc.stdint cimport int64_t
from xengym.guests.os.handover cimport OsHandover
from xengym.guests.os.core cimport (
    ITEM_NETBACK_RX, ITEM_NETBACK_TX, ITEM_NETFRONT, ITEM_NIC, ITEM_NONE, ITEM_SEND, ITEM_SHIFT, MODE_KERNEL,
    MODE_PROGRAM, OsVcpu, make_item,
)
from xengym.guests.os.programs cimport JOB_LOOP, JOB_NONE, JOB_REQUEST, JOB_SHIFT, OWNER_TRANSFER
from xengym.guests.os.transport cimport SIDE_CLIENT, SIDE_SERVER
from xengym.hypervisor.core cimport HostCore
from xengym.machine.io_state cimport BATCH, FLOW_FREE, MAX_PORTS, NIC_SLOTS, NO_DEVICE, OUTSIDE, Nic, Ports, fifo_count
from xengym.machine.state cimport FOREVER, PAUSE_BLOCKED, Domain, device_timer, kernel_left_ns
from xengym.mechanisms.event_channel cimport ports_waiting
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from libc.string cimport memset

import numpy as np


cdef class OsKind(OsHandover):
    """The kind ``os`` of guest programs, with the devices that its domains use.

    Args:
        costs: ``machine.io_costs.IoCosts``.
        max_domains: as of the host, at most 64.
        max_vcpus: as of the host.
        max_nics, max_vifs, max_flows, max_requests, max_loops, max_populations, max_clients: how many of each there may
            be at once.
        rto_ms, max_retries: of connections.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, **limits):
        if max_domains > 64:
            raise ValueError(f"os: at most 64 domains on a host with devices, found {max_domains}")
        OsHandover.__init__(self, costs, max_domains, max_vcpus, **limits)
        self.arguments = (costs, max_domains, max_vcpus, limits)
        self.first_restart_timer = OsHandover.num_device_timers(self)

    def __reduce__(self):
        costs, max_domains, max_vcpus, limits = self.arguments
        return _rebuild, (costs, max_domains, max_vcpus, tuple(sorted(limits.items())))

    def num_device_timers(self):
        return OsHandover.num_device_timers(self) + self.max_domains

    def sections(self, max_vcpus, max_domains):
        return [
            *OsHandover.sections(self, max_vcpus, max_domains),
            ("restart_ns", np.dtype(np.int64), max_domains),
        ]

    def bind(self, HostCore host, int number, views):
        if self.host is not None and self.host is not host:
            raise ValueError("os: this object serves another host; each host needs its own")
        OsHandover.bind(self, host, number, views)
        cdef int64_t[::1] restart_ns = views["restart_ns"]
        self.restart_ns = &restart_ns[0]

    def check(self, where, programs):
        OsHandover.check(self, where, programs)
        spec = programs[0]
        loops = sum(self.loop[i].domain < 0 for i in range(self.max_loops))
        if len(spec.loops) > loops:
            raise ValueError(
                f"{where}: has {len(spec.loops)} loops, but {loops} of the host's maximum of {self.max_loops} are left"
            )

    def memory_pages(self, spec):
        return spec.memory_pages

    def configure(self, int d, int v, spec):
        OsHandover.configure(self, d, v, spec)
        if self.m.vcpu[v].vcpu_in_domain == 0:
            self.ports[d].is_round_robin = spec.scans_round_robin

    def destroyed(self, int d):
        timer_disarm(self.m, device_timer(self.m, self.first_restart_timer + d))
        if self.os_domain[d].has_os:
            OsHandover.destroyed(self, d)

    # -- event channels ------------------------------------------------------------------------------------------

    def set_port_masked(self, int d, int port, bint masked):
        """Mask a port of domain slot ``d``, or unmask it: what came meanwhile arrives then."""
        if not 0 <= port < MAX_PORTS or not self.port[d * MAX_PORTS + port].in_use:
            raise ValueError(f"domain {self.m.domain[d].domid} has no port {port}")
        cdef Ports* ports = &self.ports[d]
        if masked:
            ports.masked[port >> 6] |= <unsigned long long>1 << (port & 63)
        else:
            ports.masked[port >> 6] &= ~(<unsigned long long>1 << (port & 63))
            if ports_waiting(ports):
                self.interrupt(self.m.domain[d].first_vcpu)

    def set_upcall_masked(self, int d, bint masked):
        """Let domain slot ``d`` hold off all events, or take them again."""
        self.ports[d].upcall_masked = masked
        if not masked and ports_waiting(&self.ports[d]):
            self.interrupt(self.m.domain[d].first_vcpu)

    # -- limits --------------------------------------------------------------------------------------------------

    def set_credit(self, int i, int64_t credit_bytes, int64_t credit_ns):
        """Let interface ``i`` send so much in every ``credit_ns``; 0: no limit."""
        self.vif[i].credit_bytes = credit_bytes
        self.vif[i].credit_ns = credit_ns
        self.vif[i].credit_left = credit_bytes
        self.vif[i].credit_until_ns = self.m.clock.now_ns + credit_ns
        if self.vif[i].backend >= 0:
            self.queue_item(self.vif[i].backend, make_item(ITEM_NETBACK_TX, 0))
            self.interrupt(self.m.domain[self.vif[i].backend].first_vcpu)

    def allow_traffic(self, int d, bint allowed):
        """Stop the network traffic of domain slot ``d``, or let it pass again."""
        self.host.set_traffic(d, allowed)

    # -- bulk connections ----------------------------------------------------------------------------------------

    def add_transfer(self, int source, int target, *, int nic, int window):
        """A bulk connection without end; ``source`` and ``target`` are domain slots, or -1 for outside.

        Returns:
            The connection's number.
        """
        cdef int f
        if nic < 0:
            d = source if source >= 0 else target
            nic = self.vif[self.vif_of[d]].nic if self.vif_of[d] != NO_DEVICE else NO_DEVICE
        if nic < 0 and (source < 0 or target < 0):
            raise ValueError(f"domain {self.m.domain[d].domid} has no network interface that leads outside")
        f = self.open_flow(source, target, nic, window, OWNER_TRANSFER, 0)
        if f < 0:
            raise ValueError(f"no room for another connection; the host holds its maximum of {self.max_flows}")
        self.send_bulk(f, SIDE_CLIENT)
        return f

    # -- what it cost whom ---------------------------------------------------------------------------------------

    def served_ns(self):
        """CPU time that domain slot i spent on behalf of slot j: int64, shape ``(max_domains, max_domains)``, a copy.

        On the diagonal what a domain spent on itself (background work apart).
        """
        served = self.host.arena.sections["served_ns"]
        return served.reshape(self.max_domains, self.max_domains).copy()

    def outstanding_ns(self, int d):
        """Work of domain slot ``d`` that is charged and not done yet."""
        cdef Domain* dom = &self.m.domain[d]
        cdef int64_t ns = 0
        for v in range(dom.first_vcpu, dom.first_vcpu + dom.num_vcpus):
            ns += self.os[v].owed_ns + max(<int64_t>0, self.os[v].set_aside_ns)
            ns += kernel_left_ns(self.m, v)
            if self._left_ns(v) != FOREVER:
                ns += self._left_ns(v)
        return ns

    # -- crash and restart ---------------------------------------------------------------------------------------

    def crash(self, int d, *, int64_t down_ns, int64_t boot_ns):
        """Domain slot ``d``, which serves devices, crashes now and is started again after ``down_ns``.

        Args:
            down_ns: until it is started again.
            boot_ns: CPU time that it then needs before it serves.
        """
        if not self.m.io[d].is_backend or self.os_domain[d].has_crashed:
            raise ValueError(f"domain {self.m.domain[d].domid} serves no devices, or is down already")
        self.restart_ns[d] = boot_ns
        self._crash(d)
        timer_arm_hypervisor(
            self.m, device_timer(self.m, self.first_restart_timer + d), self.m.clock.now_ns + down_ns
        )

    cdef void _crash(self, int d) noexcept nogil:
        cdef int i, f, n
        self.os_domain[d].has_crashed = 1
        self.os_domain[d].crashes += 1
        self._drop_in_hand(d, ITEM_NIC)
        for i in range(self.max_vifs):
            if self.vif[i].in_use and (self.vif[i].backend == d or self.vif[i].frontend == d):
                self.disconnect(i)
        self.backend_lost(d)
        for f in range(self.max_flows):
            if self.flow[f].state != FLOW_FREE and (self.flow[f].end[0] == d or self.flow[f].end[1] == d):
                self._give_up(f)
        # What it had taken from guests' rings was counted with their interfaces.
        self._drop_in_hand(d, ITEM_NETBACK_RX)
        self._drop_in_hand(d, ITEM_NETFRONT)
        self._drop_in_hand(d, ITEM_SEND)
        self._stop_vcpus(d)
        for i in range(4):
            self.ports[d].pending[i] = 0
        for n in range(self.max_nics):
            if self.nic[n].in_use and self.nic[n].backend == d:
                self._empty_card(n)
        self.m.io[d].nic_pending = 0

    cdef void _drop_in_hand(self, int d, int kind) noexcept nogil:
        """If a driver of this kind is at work, the packets that it has in hand are lost."""
        cdef OsVcpu* os = &self.os[self.m.domain[d].first_vcpu]
        cdef int k
        if os.mode == MODE_KERNEL and os.item >> ITEM_SHIFT == kind:
            for k in range(os.num_staged):
                self.dropped(self.staged + d * BATCH + k)
            os.num_staged = 0

    cdef void _stop_vcpus(self, int d) noexcept nogil:
        """Whatever its vCPUs were doing is over; what was charged for it and will not be done is taken back."""
        cdef Domain* dom = &self.m.domain[d]
        cdef OsVcpu* os
        cdef int v, job
        for v in range(dom.first_vcpu, dom.first_vcpu + dom.num_vcpus):
            os = &self.os[v]
            self.m.io[d].idle_ns -= os.owed_ns + max(<int64_t>0, os.set_aside_ns)
            if self._left_ns(v) != FOREVER:
                self.m.io[d].idle_ns -= self._left_ns(v)
            job = os.program if os.mode == MODE_PROGRAM or os.set_aside_ns >= 0 else JOB_NONE
            memset(os, 0, sizeof(OsVcpu))
            os.set_aside_ns = -1
            os.mode = MODE_KERNEL
            self.host.set_work(v, 0)
            self.host.pause_vcpu(v)
            # A loop begins its piece anew; a request, whose connection is gone, comes to its end when it is its turn.
            if job >> JOB_SHIFT == JOB_LOOP or job >> JOB_SHIFT == JOB_REQUEST:
                self.put_job(d, job)

    cdef void _empty_card(self, int n) noexcept nogil:
        """What lies in a card's buffers is lost, and nobody hears of what comes."""
        cdef Nic* nic = &self.nic[n]
        while nic.buffered.head < nic.buffered.tail:
            nic.rx_dropped += 1
            self.dropped(&self.buffer[n * NIC_SLOTS + nic.buffered.head % NIC_SLOTS])
            nic.buffered.head += 1
        nic.irq_is_on = 0

    cdef void _restart(self, int d) noexcept nogil:
        cdef Domain* dom = &self.m.domain[d]
        cdef int i, n, v
        self.os_domain[d].has_crashed = 0
        for n in range(self.max_nics):
            if self.nic[n].in_use and self.nic[n].backend == d:
                self._land(n)
                self.nic[n].irq_is_on = 1
                self._arm_irq(n)
        for v in range(dom.first_vcpu, dom.first_vcpu + dom.num_vcpus):
            self.os[v].mode = MODE_KERNEL
            self.os[v].item = ITEM_NONE
            if v == dom.first_vcpu:
                self.charge(d, d, self.restart_ns[d])
                self.host.set_work(v, self.restart_ns[d])
            self.host.unpause_vcpu(v)
            if self.m.vcpu[v].pause_flags & PAUSE_BLOCKED:
                self.host.deliver_event(v)
        for i in range(self.max_vifs):
            if self.vif[i].in_use and (self.vif[i].backend == d or self.vif[i].frontend == d):
                self.connect_if_up(i)
        self.backend_found(d)

    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil:
        if number < self.first_restart_timer:
            OsHandover.device_timer(self, number, now_ns)
        else:
            self._restart(number - self.first_restart_timer)


def _rebuild(costs, max_domains, max_vcpus, limits):
    return OsKind(costs, max_domains, max_vcpus, **dict(limits))
