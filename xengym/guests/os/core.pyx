"""A guest's operating system on its vCPUs: what each of them does next, and for whom.

A vCPU does three kinds of work, in this order of preference: it enters its event handler when a port is pending, it
does the work of drivers that was asked for (first come first served, each in batches), and it runs programs. An event
for a vCPU that runs a program sets the program's work aside; one for a vCPU that does drivers' work is found at the end
of the batch, as interrupts are while they are masked. What a batch consists of is decided when it begins, that is when
the vCPU has the CPU: the longer it had to wait for it, the more has come together, and the less each packet costs.

Drivers run on vCPU 0 of a domain, to which Linux of that time bound every event channel; programs on any.

CPU time is charged when work begins: to the domain that a driver serves (`served`), to the domain itself, or to nobody
in particular (`DomainIo.idle_ns`: entering the handler, ports, interrupts that found nothing). So at any moment

    CPU time of the domain  =  sum over b of served[d, b]  +  idle  +  switch cost  -  work begun or owed and not done .

Source of the order and of the batches: Xen's event channels and Linux's soft interrupts and network polling, as described
in the survey, section 3, and in Barham et al., SOSP 2003, section 5.
"""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from xengym.hypervisor.core cimport GuestKind, HostCore
from xengym.machine.io_state cimport MAX_GRANTS, MAX_PORTS, Grant, GrantTable, Port, Ports
from xengym.machine.state cimport FOREVER, PAUSE_BLOCKED, program_left_ns
from xengym.mechanisms.event_channel cimport port_raise, port_take, ports_waiting
from xengym.mechanisms.grant_table cimport grant_reset
from xengym.sim.trace cimport TRACE_UPCALL, trace

import numpy as np

from xengym.machine.io_state import GRANT_DTYPE, GRANTS_DTYPE, PORT_DTYPE, PORTS_DTYPE

cdef OsVcpu _os_vcpu
cdef OsDomain _os_domain


cdef class OsCore(GuestKind):
    """Interrupts and the order of work. Subclasses add drivers, protocols and programs.

    Args:
        costs: ``machine.io_costs.IoCosts``.
        max_domains: as of the host.
        max_vcpus: as of the host.
    """

    name = "os"

    def __init__(self, costs, int max_domains, int max_vcpus):
        self.max_domains = max_domains
        self.max_vcpus = max_vcpus
        self.upcall_ns = costs.upcall_ns
        self.port_ns = costs.port_ns
        self.hypercall_ns = costs.hypercall_ns

    def sections(self, max_vcpus, max_domains):
        if (max_vcpus, max_domains) != (self.max_vcpus, self.max_domains):
            raise ValueError(
                f"os: made for {self.max_domains} domains and {self.max_vcpus} vCPUs, "
                f"but the host holds {max_domains} and {max_vcpus}"
            )
        return [
            ("os_vcpu", np.asarray(<OsVcpu[:1]>&_os_vcpu).dtype, max_vcpus),
            ("os_domain", np.asarray(<OsDomain[:1]>&_os_domain).dtype, max_domains),
            ("ports", PORTS_DTYPE, max_domains),
            ("port", PORT_DTYPE, max_domains * MAX_PORTS),
            ("grants", GRANTS_DTYPE, max_domains),
            ("grant", GRANT_DTYPE, max_domains * MAX_GRANTS),
            ("served_ns", np.dtype(np.int64), max_domains * max_domains),
        ]

    def bind(self, HostCore host, int number, views):
        GuestKind.bind(self, host, number, views)
        cdef OsVcpu[::1] os = views["os_vcpu"]
        cdef OsDomain[::1] os_domain = views["os_domain"]
        cdef Ports[::1] ports = views["ports"]
        cdef GrantTable[::1] grants = views["grants"]
        cdef Port[::1] port = views["port"]
        cdef Grant[::1] grant = views["grant"]
        cdef int64_t[::1] served = views["served_ns"]
        self.os = &os[0]
        self.os_domain = &os_domain[0]
        self.ports = &ports[0]
        self.grants = &grants[0]
        self.port = &port[0]
        self.grant = &grant[0]
        self.served = &served[0]

    def check(self, where, programs):
        if any(program is not programs[0] for program in programs):
            raise ValueError(f"{where}: an operating system belongs to a whole domain; all its vCPUs run the same")

    def configure(self, int d, int v, spec):
        cdef int other
        memset(&self.os[v], 0, sizeof(OsVcpu))
        self.os[v].set_aside_ns = -1
        if self.m.vcpu[v].vcpu_in_domain == 0:
            memset(&self.os_domain[d], 0, sizeof(OsDomain))
            memset(&self.ports[d], 0, sizeof(Ports))
            memset(&self.port[d * MAX_PORTS], 0, MAX_PORTS * sizeof(Port))
            grant_reset(&self.grants[d], self.grant + d * MAX_GRANTS)
            for other in range(self.max_domains):
                self.served[d * self.max_domains + other] = 0
                # What others did for the domain that was here before they did for nobody who is still there.
                self.m.io[other].idle_ns += self.served[other * self.max_domains + d]
                self.served[other * self.max_domains + d] = 0
            self.os_domain[d].has_os = 1

    def destroyed(self, int d):
        self.os_domain[d].has_os = 0

    # -- whose CPU time it is ------------------------------------------------------------------------------------

    cdef void charge(self, int d, int served, int64_t ns) noexcept nogil:
        """Domain d's CPU spends so much on behalf of `served`, which may be itself, or nobody (negative)."""
        if served < 0:
            self.m.io[d].idle_ns += ns
            return
        self.served[d * self.max_domains + served] += ns
        if d != served:
            self.m.io[served].served_ns += ns
            self.m.io[d].serving_ns += ns

    cdef void charge_idle(self, int d, int64_t ns) noexcept nogil:
        self.m.io[d].idle_ns += ns

    cdef void owe(self, int d, int served, int64_t ns) noexcept nogil:
        """Domain d's drivers have so much more to do before anything else, on behalf of `served` (-1: of nobody)."""
        self.os[self.m.domain[d].first_vcpu].owed_ns += ns
        self.charge(d, served, ns)

    # -- interrupts ----------------------------------------------------------------------------------------------

    cdef int64_t _left_ns(self, int v) noexcept nogil:
        """Work that v has left, also while it runs."""
        return program_left_ns(self.m, v)

    cdef void interrupt(self, int v) noexcept nogil:
        """Make v enter its event handler, unless it does drivers' work, at whose end it looks anyway."""
        cdef OsVcpu* os = &self.os[v]
        cdef int d = self.m.vcpu[v].domain
        cdef int mode = os.mode
        if mode == MODE_KERNEL or self.os_domain[d].has_crashed or not self.m.vcpu[v].has_started:
            return
        if mode == MODE_PROGRAM and self._left_ns(v) != FOREVER:
            os.set_aside_ns = self._left_ns(v)
        os.mode = MODE_KERNEL
        os.item = ITEM_NONE
        self.charge_idle(d, self.upcall_ns)
        self.ports[d].upcalls += 1
        trace(self.m, TRACE_UPCALL, self.m.vcpu[v].pcpu, v, d, 0)
        self.host.set_work(v, self.upcall_ns + os.owed_ns)
        os.owed_ns = 0
        if mode == MODE_IDLE:
            self.host.deliver_event(v)

    cdef void send_port(self, int d, int port) noexcept nogil:
        """An event arrives at a domain's port."""
        if self.os_domain[d].has_os and port_raise(&self.ports[d], port):
            self.interrupt(self.m.domain[d].first_vcpu)

    cdef void notify(self, int d, int port, int served) noexcept nogil:
        """Domain d sends an event to the other end of one of its ports; the hypercall is on behalf of `served`."""
        cdef int peer = self.port[d * MAX_PORTS + port].peer
        self.owe(d, served, self.hypercall_ns)
        if peer >= 0:
            self.send_port(peer, self.port[d * MAX_PORTS + port].peer_port)

    cdef void queue_item(self, int d, int item) noexcept nogil:
        """Ask for a driver's work in domain d, unless it is asked for already."""
        cdef OsVcpu* os = &self.os[self.m.domain[d].first_vcpu]
        cdef int i
        for i in range(os.num_items):
            if os.items[(os.first_item + i) % ITEM_SLOTS] == item:
                return
        if os.num_items < ITEM_SLOTS:
            os.items[(os.first_item + os.num_items) % ITEM_SLOTS] = item
            os.num_items += 1

    cdef void _harvest(self, int v) noexcept nogil:
        """Turn pending ports into drivers' work, in the domain's order of scanning."""
        cdef int d = self.m.vcpu[v].domain
        cdef Ports* ports = &self.ports[d]
        cdef int start = ports.scan_next if ports.is_round_robin else 0
        cdef int port, rounds = 0
        while ports_waiting(ports):
            port = port_take(ports, start)
            if port < 0:
                start = 0
                continue
            start = port + 1
            if ports.is_round_robin:
                ports.scan_next = start % MAX_PORTS
            self.os[v].owed_ns += self.port_ns
            self.charge_idle(d, self.port_ns)
            if self.port[d * MAX_PORTS + port].in_use:
                self.queue_item(d, self.port[d * MAX_PORTS + port].item)

    # -- what next -----------------------------------------------------------------------------------------------

    cdef void plan(self, int v) noexcept nogil:
        """v has nothing under way: begin what comes next, or block."""
        cdef OsVcpu* os = &self.os[v]
        cdef int64_t work_ns
        cdef int item
        if self.m.vcpu[v].vcpu_in_domain == 0:
            self._harvest(v)
            while os.num_items > 0:
                item = os.items[os.first_item]
                os.first_item = (os.first_item + 1) % ITEM_SLOTS
                os.num_items -= 1
                work_ns = self.begin(v, item)
                if work_ns >= 0:
                    os.mode = MODE_KERNEL
                    os.item = item
                    self.host.set_work(v, work_ns + os.owed_ns)
                    os.owed_ns = 0
                    return
        if os.set_aside_ns >= 0:
            work_ns = os.set_aside_ns
            os.set_aside_ns = -1
        else:
            work_ns = self.begin_program(v)
        # Background work never ends, so what is owed is done before it.
        if work_ns >= 0 and (work_ns != FOREVER or os.owed_ns == 0):
            os.mode = MODE_PROGRAM
            self.host.set_work(v, work_ns if work_ns == FOREVER else work_ns + os.owed_ns)
            os.owed_ns = 0
        elif os.owed_ns > 0:
            os.mode = MODE_KERNEL
            os.item = ITEM_NONE
            self.host.set_work(v, os.owed_ns)
            os.owed_ns = 0
        else:
            os.mode = MODE_IDLE
            self.host.block(v)

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        # It boots in no time, and finds on its first run what there is to do.
        self.os[v].mode = MODE_KERNEL
        self.os[v].item = ITEM_NONE
        self.host.set_work(v, 0)

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        cdef OsVcpu* os = &self.os[v]
        if self.os_domain[self.m.vcpu[v].domain].has_crashed:
            return  # it was on a CPU, which it leaves at the end of this instant
        if os.mode == MODE_KERNEL:
            self.host.segment_done(v)
            self.finish(v, os.item)
        elif os.mode == MODE_PROGRAM:
            # What the program does now is in the kernel: events are found at the end, in `plan`.
            os.mode = MODE_KERNEL
            self.host.segment_done(v)
            self.finish_program(v)
        self.plan(v)

    cdef int64_t begin(self, int v, int item) noexcept nogil:
        return -1

    cdef void finish(self, int v, int item) noexcept nogil:
        pass

    cdef int64_t begin_program(self, int v) noexcept nogil:
        return -1

    cdef void finish_program(self, int v) noexcept nogil:
        pass

    # -- ports ---------------------------------------------------------------------------------------------------

    cdef int new_port(self, int d, int item) noexcept nogil:
        """A port of domain d that announces `item`, not connected yet; -1 if there is none left."""
        cdef Ports* ports = &self.ports[d]
        cdef int port
        for port in range(MAX_PORTS):
            if not self.port[d * MAX_PORTS + port].in_use:
                self.port[d * MAX_PORTS + port].in_use = 1
                self.port[d * MAX_PORTS + port].item = item
                self.port[d * MAX_PORTS + port].peer = -1
                ports.num_ports += 1
                return port
        return -1

    cdef void connect_ports(self, int d, int port, int peer, int peer_port) noexcept nogil:
        self.port[d * MAX_PORTS + port].peer = peer
        self.port[d * MAX_PORTS + port].peer_port = peer_port
        self.port[peer * MAX_PORTS + peer_port].peer = d
        self.port[peer * MAX_PORTS + peer_port].peer_port = port

    cdef void free_port(self, int d, int port) noexcept nogil:
        """Close a port and the way to it from the other end."""
        cdef Ports* ports = &self.ports[d]
        cdef int peer
        if port < 0 or not self.port[d * MAX_PORTS + port].in_use:
            return
        peer = self.port[d * MAX_PORTS + port].peer
        if peer >= 0:
            self.port[peer * MAX_PORTS + self.port[d * MAX_PORTS + port].peer_port].peer = -1
        self.port[d * MAX_PORTS + port].in_use = 0
        ports.pending[port >> 6] &= ~(<unsigned long long>1 << (port & 63))
        ports.masked[port >> 6] &= ~(<unsigned long long>1 << (port & 63))
        ports.num_ports -= 1
