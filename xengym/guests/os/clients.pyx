"""Clients outside: who asks, when, and how long the answer took.

A population of clients talks to one domain. *Closed*: each thinks, asks and waits for the whole answer, so a slow server
is asked less. *Open*: requests come at random intervals, whatever became of those before; a client is taken for each,
and when all are waiting the request fails. *Stream*: each client asks for its next piece once in every period; the answer
has to be there by its deadline, counted from when it should have asked. *Flood*: packets that nobody answers. *Ping*.

Every request ends once: answered, or failed (its connection was given up or refused, or the domain is gone). Both are
counted here and with the domain, for whose service levels the response time outside counts.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset
from xengym.guests.cpu cimport set_distribution
from xengym.guests.os.program_state cimport (
    CLIENTS_CLOSED, CLIENTS_FLOOD, CLIENTS_OPEN, CLIENTS_PING, CLIENTS_STREAM, Client, Population,
)
from xengym.guests.os.programs cimport OsPrograms
from xengym.guests.os.transport cimport SIDE_CLIENT
from xengym.hypervisor.core cimport HostCore
from xengym.machine.io_state cimport (
    FLOW_FREE, NO_DEVICE, OUTSIDE, PACKET_DATAGRAM, PACKET_ECHO, PACKET_ECHO_REPLY, Flow, Packet,
)
from xengym.machine.state cimport NO_VCPU, device_timer
from xengym.sim.random cimport STREAM_CLIENTS, draw_ns, draw_unit, stream_key
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from xengym.sim.trace cimport TRACE_CLIENT_DONE, TRACE_CLIENT_SEND, trace

import numpy as np

from xengym.guests.os.program_state import CLIENT_DTYPE, CLIENT_KINDS, POPULATION_DTYPE

cdef int64_t RETRY_NS = 1_000_000     # until a client whose request failed asks again at the earliest; assumed


cdef class OsClients(OsPrograms):
    """Populations of clients.

    Args:
        max_populations: populations that there may be.
        max_clients: clients of all populations.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int max_populations=8, int max_clients=512, **limits):
        OsPrograms.__init__(self, costs, max_domains, max_vcpus, **limits)
        self.max_populations = max_populations
        self.max_clients = max_clients
        self.first_population_timer = OsPrograms.num_device_timers(self)

    def num_device_timers(self):
        return OsPrograms.num_device_timers(self) + self.max_populations

    def sections(self, max_vcpus, max_domains):
        return [
            *OsPrograms.sections(self, max_vcpus, max_domains),
            ("population", POPULATION_DTYPE, self.max_populations),
            ("client", CLIENT_DTYPE, self.max_clients),
            ("request_numbers", np.dtype(np.int64), 1),
        ]

    def bind(self, HostCore host, int number, views):
        OsPrograms.bind(self, host, number, views)
        cdef Population[::1] population = views["population"]
        cdef Client[::1] client = views["client"]
        cdef int64_t[::1] numbers = views["request_numbers"]
        self.population = &population[0]
        self.client = &client[0]
        self.numbers = &numbers[0]
        for k in range(self.max_populations):
            self.population[k].kind = -1

    def add_population(self, int d, spec, int nic, int64_t start_ns):
        """Clients of domain slot ``d`` behind card ``nic`` (or -1: the domain's interface says); they begin at ``start_ns``.

        Returns:
            The population's number.
        """
        cdef Population* population
        cdef Client* client
        cdef int k, c, used = 0
        for k in range(self.max_populations):
            if self.population[k].kind < 0:
                break
        else:
            raise ValueError(f"no room for another population; the host holds its maximum of {self.max_populations}")
        # The first gap between the clients of others that is large enough.
        taken = sorted(
            (self.population[c].first, self.population[c].num)
            for c in range(self.max_populations) if self.population[c].kind >= 0
        )
        for first, num in taken:
            if used + spec.num <= first:
                break
            used = first + num
        if used + spec.num > self.max_clients:
            in_use = sum(num for _, num in taken)
            raise ValueError(
                f"no room for {spec.num} clients in a row; {in_use} of at most {self.max_clients} are in use"
            )
        if nic < 0 and self.vif_of[d] != NO_DEVICE:
            nic = self.vif[self.vif_of[d]].nic
        if nic < 0:
            raise ValueError(f"domain {self.m.domain[d].domid} has no network interface that leads outside")
        population = &self.population[k]
        memset(population, 0, sizeof(Population))
        population.kind = CLIENT_KINDS.index(spec.kind)
        population.domain = d
        population.nic = nic
        population.first = used
        population.num = spec.num
        population.request_bytes = spec.request_bytes
        population.window = spec.window
        population.deadline_ns = spec.deadline_ns
        population.started_at_ns = max(start_ns, self.m.clock.now_ns)
        population.key = stream_key(self.m.clock.seed, STREAM_CLIENTS, k)
        set_distribution(&population.think, spec.think)
        population.next_at_ns = population.started_at_ns
        population.numbers_before = self.numbers[0]
        for c in range(used, used + spec.num):
            client = &self.client[c]
            memset(client, 0, sizeof(Client))
            client.flow = -1
            if population.kind == CLIENTS_OPEN:
                self.client[used + population.num_free].heap = c
                population.num_free += 1
            elif population.kind == CLIENTS_CLOSED or population.kind == CLIENTS_STREAM:
                # They are anywhere in their first turn.
                self._wait(k, c, population.started_at_ns + <int64_t>(
                    draw_unit(population.key, &population.counter) * population.think.mean_ns))
        if population.kind == CLIENTS_OPEN or population.kind == CLIENTS_FLOOD or population.kind == CLIENTS_PING:
            population.next_at_ns += draw_ns(&population.think, population.key, &population.counter)
        self._arm(k)
        return k

    def remove_population(self, int k):
        """The clients go away; what they still wait for fails."""
        cdef Population* population = &self.population[k]
        cdef int c
        for c in range(population.first, population.first + population.num):
            if self.client[c].flow >= 0:
                self._give_up(self.client[c].flow)
        population.kind = -1
        timer_disarm(self.m, device_timer(self.m, self.first_population_timer + k))

    def destroyed(self, int d):
        OsPrograms.destroyed(self, d)
        for k in range(self.max_populations):
            if self.population[k].kind >= 0 and self.population[k].domain == d:
                self.remove_population(k)

    # -- who acts when: a heap of clients by time ----------------------------------------------------------------

    cdef void _wait(self, int k, int c, int64_t at_ns) noexcept nogil:
        """Client c of population k acts at that time."""
        cdef Population* population = &self.population[k]
        cdef Client* heap = self.client + population.first
        cdef int place = population.num_waiting
        cdef int parent
        self.client[c].at_ns = at_ns
        population.num_waiting += 1
        while place > 0:
            parent = (place - 1) // 2
            if not _before(self.client, c, heap[parent].heap):
                break
            heap[place].heap = heap[parent].heap
            place = parent
        heap[place].heap = c

    cdef int _pop(self, int k) noexcept nogil:
        cdef Population* population = &self.population[k]
        cdef Client* heap = self.client + population.first
        cdef int first = heap[0].heap
        cdef int place = 0, child, last
        population.num_waiting -= 1
        last = heap[population.num_waiting].heap
        while True:
            child = 2 * place + 1
            if child >= population.num_waiting:
                break
            if child + 1 < population.num_waiting and _before(self.client, heap[child + 1].heap, heap[child].heap):
                child += 1
            if not _before(self.client, heap[child].heap, last):
                break
            heap[place].heap = heap[child].heap
            place = child
        heap[place].heap = last
        return first

    cdef void _arm(self, int k) noexcept nogil:
        cdef Population* population = &self.population[k]
        cdef int slot = device_timer(self.m, self.first_population_timer + k)
        if population.kind == CLIENTS_CLOSED or population.kind == CLIENTS_STREAM:
            if population.num_waiting == 0:
                timer_disarm(self.m, slot)
                return
            population.next_at_ns = self.client[self.client[population.first].heap].at_ns
        timer_arm_hypervisor(self.m, slot, max(population.next_at_ns, self.m.clock.now_ns))

    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil:
        if number < self.first_population_timer:
            OsPrograms.device_timer(self, number, now_ns)
        else:
            self._act(number - self.first_population_timer)

    cdef void _act(self, int k) noexcept nogil:
        """It is time for the next of a population."""
        cdef Population* population = &self.population[k]
        cdef int64_t now_ns = self.m.clock.now_ns
        cdef int c
        if population.kind == CLIENTS_CLOSED or population.kind == CLIENTS_STREAM:
            while population.num_waiting and self.client[self.client[population.first].heap].at_ns <= now_ns:
                c = self._pop(k)
                self._ask(k, c, self.client[c].at_ns)
        else:
            while population.next_at_ns <= now_ns:
                population.next_at_ns += max(<int64_t>1, draw_ns(&population.think, population.key, &population.counter))
                if population.kind != CLIENTS_OPEN:
                    self._send_loose_in(k)
                elif population.num_free:
                    population.num_free -= 1
                    self._ask(k, self.client[population.first + population.num_free].heap, now_ns)
                else:
                    population.issued += 1
                    self.host.job_submitted(population.domain, 0)
                    self._asked_in_vain(k, -1)
        self._arm(k)

    # -- asking --------------------------------------------------------------------------------------------------

    cdef void _ask(self, int k, int c, int64_t due_ns) noexcept nogil:
        cdef Population* population = &self.population[k]
        cdef Client* client = &self.client[c]
        if client.flow < 0:
            client.flow = self.open_flow(OUTSIDE, population.domain, population.nic, population.window, k, c)
        client.asked_at_ns = due_ns
        client.is_asking = 1
        population.issued += 1
        self.numbers[0] += 1
        client.number = <int32_t>(self.numbers[0] & 0x7FFFFFFF)
        self.host.job_submitted(population.domain, 0)
        trace(self.m, TRACE_CLIENT_SEND, 0, NO_VCPU, population.domain, client.number)
        if client.flow < 0:
            self._asked_in_vain(k, c)
            return
        self.flow[client.flow].request = client.number
        self.send_message(client.flow, SIDE_CLIENT, population.request_bytes)

    cdef void _asked_in_vain(self, int k, int c) noexcept nogil:
        """A request has failed."""
        cdef Population* population = &self.population[k]
        population.failed += 1
        self._drop_job(population.domain)
        if c >= 0:
            self._after_request(k, c)

    cdef void _after_request(self, int k, int c) noexcept nogil:
        """A client's request is over, one way or the other: what it does next."""
        cdef Population* population = &self.population[k]
        cdef Client* client = &self.client[c]
        cdef int64_t think_ns
        client.is_asking = 0
        if population.kind == CLIENTS_OPEN:
            self.client[population.first + population.num_free].heap = c
            population.num_free += 1
            return
        if population.kind == CLIENTS_CLOSED:
            think_ns = draw_ns(&population.think, population.key, &population.counter)
            # Without a connection it has failed at once; it may think, but not again and again in no time.
            self._wait(k, c, self.m.clock.now_ns + (think_ns if client.flow >= 0 else max(think_ns, RETRY_NS)))
        else:
            self._wait(k, c, client.asked_at_ns + <int64_t>population.think.mean_ns)
        self._arm(k)

    cdef void message_arrived(self, int f, int side) noexcept nogil:
        cdef Flow* flow = &self.flow[f]
        cdef Population* population
        cdef Client* client
        cdef int64_t response_ns
        if side != SIDE_CLIENT or flow.owner < 0:
            OsPrograms.message_arrived(self, f, side)
            return
        population = &self.population[flow.owner]
        client = &self.client[flow.cookie]
        response_ns = self.m.clock.now_ns - client.asked_at_ns
        population.answered += 1
        population.response_ns += response_ns
        population.response_max_ns = max(population.response_max_ns, response_ns)
        population.bytes += self.half[2 * f + 1].message_bytes
        if population.deadline_ns == 0 or response_ns <= population.deadline_ns:
            population.in_time += 1
        self.host.job_done(population.domain, self.m.domain[population.domain].first_vcpu, response_ns)
        trace(self.m, TRACE_CLIENT_DONE, 0, NO_VCPU, population.domain, client.number)
        self._after_request(flow.owner, flow.cookie)

    cdef void flow_failed(self, int f) noexcept nogil:
        cdef Flow* flow = &self.flow[f]
        cdef int k = flow.owner
        cdef int c = flow.cookie
        OsPrograms.flow_failed(self, f)
        if k < 0:
            return
        self.client[c].flow = -1
        self.close_flow(f)
        if self.client[c].is_asking:
            self._asked_in_vain(k, c)

    # -- bulk connections ----------------------------------------------------------------------------------------

    cdef void data_arrived(self, int f, int side, Packet* packet) noexcept nogil:
        cdef int d = self.flow[f].end[side]
        if d >= 0:
            self.programs_of[d].bulk_bytes += packet.bytes
        else:
            self.programs_of[self.flow[f].end[1 - side]].bulk_bytes_acked += packet.bytes

    # -- packets without a connection ----------------------------------------------------------------------------

    cdef void _send_loose_in(self, int k) noexcept nogil:
        cdef Population* population = &self.population[k]
        cdef Packet packet
        memset(&packet, 0, sizeof(Packet))
        population.issued += 1
        self.numbers[0] += 1
        packet.kind = PACKET_ECHO if population.kind == CLIENTS_PING else PACKET_DATAGRAM
        packet.made_at_ns = self.m.clock.now_ns
        packet.flow = k
        packet.bytes = population.request_bytes
        packet.pages = 1
        packet.source = OUTSIDE
        packet.target = population.domain
        packet.request = <int32_t>(self.numbers[0] & 0x7FFFFFFF)
        packet.seq = self.numbers[0]
        trace(self.m, TRACE_CLIENT_SEND, 0, NO_VCPU, population.domain, packet.request)
        self.wire_in(population.nic, &packet)

    cdef void loose_outside(self, int n, Packet* packet) noexcept nogil:
        cdef Population* population = &self.population[packet.flow]
        cdef int64_t response_ns = self.m.clock.now_ns - packet.made_at_ns
        if packet.kind != PACKET_ECHO_REPLY or population.kind != CLIENTS_PING or population.domain != packet.source \
                or packet.seq <= population.numbers_before:
            return
        population.answered += 1
        population.in_time += population.deadline_ns == 0 or response_ns <= population.deadline_ns
        population.response_ns += response_ns
        population.response_max_ns = max(population.response_max_ns, response_ns)
        trace(self.m, TRACE_CLIENT_DONE, 0, NO_VCPU, population.domain, packet.request)


cdef inline bint _before(Client* client, int a, int b) noexcept nogil:
    if client[a].at_ns != client[b].at_ns:
        return client[a].at_ns < client[b].at_ns
    return a < b
