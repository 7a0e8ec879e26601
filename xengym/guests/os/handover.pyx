"""A domain with an operating system goes on at another host, with its programs, its connections and its clients.

What a guest's kernel and its programs know lies in the domain's memory and comes along: requests that are being worked on or
wait, loops, connections with all that has been acknowledged, and what is owed to each. Clients outside keep talking to the
same address, which is somewhere else now (a gratuitous ARP has told the network). What was under way in rings, cards and
cables of the source is lost as in any network, and the connections repeat it. A driver's work that was under way begins anew.

Not moved: block devices (a domain whose disk is on this host has to be moved with it) and domains that talk to other domains
of the same host, whose connections would have to become connections between hosts.
"""
from libc.stdint cimport int64_t
from libc.string cimport memset
from xengym.guests.os.core cimport ITEM_NONE, MODE_KERNEL, MODE_PROGRAM, OsVcpu
from xengym.guests.os.program_state cimport ACCEPT_SLOTS, JOB_SLOTS
from xengym.guests.os.programs cimport JOB_LOOP, JOB_NONE, JOB_REQUEST, JOB_SHIFT, OWNER_TRANSFER
from xengym.guests.os.stream cimport OsStream
from xengym.machine.io_state cimport FLOW_FREE, NO_DEVICE, OUTSIDE
from xengym.machine.state cimport FOREVER, OFFLINE, PAUSE_BLOCKED, Domain, device_timer
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm

import numpy as np

cdef int NUMBER = (1 << JOB_SHIFT) - 1


cdef class OsHandover(OsStream):
    """Saving and loading domains."""

    cdef int _other_end(self, int f, int d) except -2:
        cdef int other = self.flow[f].end[1] if self.flow[f].end[0] == d else self.flow[f].end[0]
        if other != OUTSIDE:
            raise ValueError(
                f"domain {self.m.domain[d].domid} cannot be moved: it talks to domain {self.m.domain[other].domid} of the same host"
            )
        return other

    def _flows_of(self, int d):
        flows = [f for f in range(self.max_flows)
                 if self.flow[f].state != FLOW_FREE and (self.flow[f].end[0] == d or self.flow[f].end[1] == d)]
        for f in flows:
            self._other_end(f, d)
        return flows

    def save(self, int d):
        """The state of domain slot ``d``, which is off the CPU, to be loaded on another host."""
        sections = self.host.arena.sections
        cdef Domain* dom = &self.m.domain[d]
        if self.m.io[d].is_backend:
            raise ValueError(f"domain {dom.domid} cannot be moved: it serves devices of this host")
        if self.block_domain[d].vbd != NO_DEVICE:
            raise ValueError(f"domain {dom.domid} cannot be moved: it has a block device on this host")
        if self.service[d].exists and self.service[d].callee >= 0:
            raise ValueError(f"domain {dom.domid} cannot be moved: its service asks another domain of the same host")
        flows = self._flows_of(d)
        requests = [r for r in range(self.max_requests) if self.request[r].domain == d]
        loops = [i for i in range(self.max_loops) if self.loop[i].domain == d]
        populations = [k for k in range(self.max_populations)
                       if self.population[k].kind >= 0 and self.population[k].domain == d]
        jobs = [
            (job >> JOB_SHIFT, (requests if job >> JOB_SHIFT == JOB_REQUEST else loops).index(job & NUMBER))
            for job in self._jobs_in(sections["job"], JOB_SLOTS, d, "first_job", "last_job")
            if self._is_own(job, d)
        ]
        accepting = [
            flows.index(f) for f in self._jobs_in(sections["accepting"], ACCEPT_SLOTS, d, "first_accept", "last_accept")
            if f in flows
        ]
        vcpus = []
        for v in range(dom.first_vcpu, dom.first_vcpu + dom.num_vcpus):
            vcpus.append(self._vcpu_state(v, requests, loops))
        return {
            "programs": sections["programs"][d].copy(), "service": sections["service"][d].copy(), "jobs": jobs,
            "accepting": accepting, "vcpus": vcpus, "loops": sections["loop"][loops],
            "requests": [
                (sections["request"][r].copy(), flows.index(self.request[r].flow) if self.request[r].flow in flows else -1)
                for r in requests
            ],
            "flows": [
                (sections["flow"][f].copy(), sections["half"][2 * f:2 * f + 2].copy(),
                 populations.index(self.flow[f].owner) if self.flow[f].owner >= 0 else -1)
                for f in flows
            ],
            "populations": [self._clients_state(k, flows) for k in populations],
        }

    def _jobs_in(self, section, int slots, int d, first, last):
        programs = self.host.arena.sections["programs"][d]
        return [int(section[d * slots + position % slots]) for position in range(programs[first], programs[last])]

    def _is_own(self, int job, int d):
        if job >> JOB_SHIFT == JOB_REQUEST:
            return self.request[job & NUMBER].domain == d
        return job >> JOB_SHIFT == JOB_LOOP and self.loop[job & NUMBER].domain == d

    def _vcpu_state(self, int v, requests, loops):
        """Its program's work: ``(kind of job, which of them, work that is left)``, or None; and the kernel's that is owed."""
        cdef OsVcpu* os = &self.os[v]
        cdef int job = os.program
        cdef int64_t left = os.set_aside_ns
        if os.mode == MODE_PROGRAM and self._left_ns(v) != FOREVER:
            left = self._left_ns(v)
        if left < 0 or not self._is_own(job, self.m.vcpu[v].domain):
            return None, int(os.owed_ns)
        own = requests if job >> JOB_SHIFT == JOB_REQUEST else loops
        return (job >> JOB_SHIFT, own.index(job & NUMBER), int(left)), int(os.owed_ns)

    def _clients_state(self, int k, flows):
        population = self.host.arena.sections["population"][k].copy()
        first, num = int(population["first"]), int(population["num"])
        clients = self.host.arena.sections["client"][first:first + num].copy()
        clients["flow"] = [flows.index(f) if f in flows else -1 for f in clients["flow"]]
        clients["heap"] -= first
        return population, clients

    def released(self, int d):
        """Domain slot ``d`` was saved and goes on elsewhere: nothing of it is reported as failed here."""
        cdef int f, k, r
        for k in range(self.max_populations):
            if self.population[k].kind >= 0 and self.population[k].domain == d:
                self.population[k].kind = -1
                timer_disarm(self.m, device_timer(self.m, self.first_population_timer + k))
        for r in range(self.max_requests):
            if self.request[r].domain == d:
                self.request[r].domain = -1
                self.request[r].next_free = self.free_request[0]
                self.free_request[0] = r
        self.service[d].num_requests = 0
        for f in self._flows_of(d):
            self.close_flow(f)

    # -- at the destination --------------------------------------------------------------------------------------

    def room_for(self, state):
        """Raise ValueError if this host's limits do not hold what a domain that was saved brings along."""
        free_flows = sum(self.flow[f].state == FLOW_FREE for f in range(self.max_flows))
        free_requests = sum(self.request[r].domain < 0 for r in range(self.max_requests))
        free_populations = sum(self.population[k].kind < 0 for k in range(self.max_populations))
        for what, wanted, free in (
            ("connections", len(state["flows"]), free_flows),
            ("requests", len(state["requests"]), free_requests),
            ("populations of clients", len(state["populations"]), free_populations),
        ):
            if wanted > free:
                raise ValueError(f"no room for {wanted} {what} of a domain that comes; the host has {free} left")

    def load(self, int d, state):
        """Take over a domain; its network interface exists already, as at the source."""
        cdef Domain* dom = &self.m.domain[d]
        self.room_for(state)
        sections = self.host.arena.sections
        populations = [self._load_clients(d, population, clients) for population, clients in state["populations"]]
        flows = [self._load_flow(d, flow, halves, populations[owner] if owner >= 0 else owner)
                 for flow, halves, owner in state["flows"]]
        for k in populations:
            first, num = self.population[k].first, self.population[k].num
            clients = sections["client"][first:first + num]
            clients["flow"] = [flows[f] if f >= 0 else -1 for f in clients["flow"]]
            for c in range(first, first + num):
                if self.client[c].flow >= 0:
                    self.flow[self.client[c].flow].cookie = c
        sections["service"][d] = state["service"]
        requests = [self._load_request(d, request, flows[f] if f >= 0 else -1) for request, f in state["requests"]]
        loops = [i for i in range(self.max_loops) if self.loop[i].domain == d]
        for i, saved in zip(loops, state["loops"]):
            sections["loop"][i] = saved
            self.loop[i].domain = d
            if self.loop[i].wake_at_ns >= 0:
                timer_arm_hypervisor(self.m, device_timer(self.m, self.first_loop_timer + i),
                                     max(self.loop[i].wake_at_ns, self.m.clock.now_ns))
        numbers = {JOB_REQUEST: requests, JOB_LOOP: loops}
        self._load_programs(d, state, numbers, flows)
        for v, (job, owed_ns) in enumerate(state["vcpus"], dom.first_vcpu):
            self.charge(d, d, owed_ns)
            owed_ns += self.os[v].owed_ns  # connecting its interface has cost it something already
            memset(&self.os[v], 0, sizeof(OsVcpu))
            self.os[v].mode = MODE_KERNEL
            self.os[v].item = ITEM_NONE
            self.os[v].set_aside_ns = -1
            self.os[v].program = JOB_NONE
            if job is not None:
                kind, which, left_ns = job
                self.os[v].program = (kind << JOB_SHIFT) | numbers[kind][which]
                self.os[v].set_aside_ns = left_ns
                self.charge(d, d, left_ns)
            # It finds out what there is to do when it runs.
            self.m.vcpu[v].pause_flags &= ~<unsigned int>PAUSE_BLOCKED
            self.m.vcpu[v].runstate = OFFLINE
            self.host.set_work(v, owed_ns)
        for f in flows:
            for side in range(2):
                self._push(f, side)

    def _load_clients(self, int d, saved, clients):
        cdef int k = 0
        sections = self.host.arena.sections
        while self.population[k].kind >= 0:
            k += 1
        taken = sorted(
            (self.population[c].first, self.population[c].num)
            for c in range(self.max_populations) if self.population[c].kind >= 0
        )
        used = 0
        for first, num in taken:
            if used + len(clients) <= first:
                break
            used = first + num
        if used + len(clients) > self.max_clients:
            raise ValueError(f"no room for {len(clients)} clients in a row; the host holds at most {self.max_clients}")
        sections["population"][k] = saved
        self.population[k].domain = d
        self.population[k].first = used
        self.population[k].nic = self.vif[self.vif_of[d]].nic
        self.population[k].numbers_before = self.numbers[0]
        rows = sections["client"][used:used + len(clients)]
        rows[:] = clients
        rows["heap"] += used
        self._arm(k)
        return k

    def _load_flow(self, int d, saved, halves, int owner):
        flow = self.host.arena.sections["flow"]
        ends = [d if end >= 0 else OUTSIDE for end in saved["end"]]
        cdef int f = self.open_flow(ends[0], ends[1], self.vif[self.vif_of[d]].nic, saved["window"], owner, saved["cookie"])
        self.flow[f].state = saved["state"]
        self.flow[f].request = saved["request"]
        if owner == -1:
            self.flow[f].owner = OWNER_TRANSFER
        rows = self.host.arena.sections["half"][2 * f:2 * f + 2]
        rows[:] = halves
        rows["is_queued"] = 0
        rows["next_queued"] = -1
        return f

    def _load_request(self, int d, saved, int f):
        cdef int r = self.free_request[0]
        self.free_request[0] = self.request[r].next_free
        self.host.arena.sections["request"][r] = saved
        self.request[r].domain = d
        self.request[r].flow = f
        return r

    def _load_programs(self, int d, state, numbers, flows):
        sections = self.host.arena.sections
        sections["programs"][d] = state["programs"]
        for section, slots, first, last, entries in (
            ("job", JOB_SLOTS, "first_job", "last_job", [(kind << JOB_SHIFT) | numbers[kind][which] for kind, which in state["jobs"]]),
            ("accepting", ACCEPT_SLOTS, "first_accept", "last_accept", [flows[f] for f in state["accepting"]]),
        ):
            sections["programs"][first][d] = 0
            sections["programs"][last][d] = len(entries)
            sections[section][d * slots:d * slots + len(entries)] = entries
