"""Round-robin, from the ground up: a queue for each pCPU, a fixed quantum, and a parameter for each domain.

Design. A vCPU lives on one pCPU and waits in its queue, a ring of links through `RoundRobinVcpu`. The first of the queue
runs for its domain's quantum and goes to the end. A wake-up goes to the end, too, and interrupts
only an idle pCPU. A vCPU changes its pCPU only when its affinity is changed or its pCPU leaves the pool.

It shows every operation that a scheduler with queues of its own needs, and nothing else.
"""
from libc.stdint cimport int32_t, int64_t
from xengym.machine.state cimport NO_VCPU, Machine, is_current, is_runnable
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Scheduler

import numpy as np

from xengym.policies.schedulers.tunables import Tunable, check_integer

# The state: plain C structs, from which NumPy's dtypes are derived.
cdef struct RoundRobinPcpu:
    int32_t head                 # waiting vCPUs, who is next first; NO_VCPU: none
    int32_t tail

cdef struct RoundRobinVcpu:
    int32_t next
    int32_t is_queued

cdef struct RoundRobinDomain:
    int64_t quantum_us

cdef RoundRobinPcpu _pcpu
cdef RoundRobinVcpu _vcpu
cdef RoundRobinDomain _domain

cdef int64_t MAX_QUANTUM_US = 1_000_000


cdef class RoundRobin(Scheduler):
    """Round-robin with a queue for each pCPU.

    Args:
        version: only "current".
        quantum_us: quantum of new domains, 100..1000000.
    """

    cdef RoundRobinPcpu* pcpu
    cdef RoundRobinVcpu* vcpu
    cdef RoundRobinDomain* domain
    cdef int64_t quantum_us

    versions = ("current",)

    def __init__(self, version="current", *, quantum_us=10_000):
        if version not in self.versions:
            raise ValueError(f"unknown version {version!r} of scheduler 'round-robin'; expected current")
        self.name = "round-robin"
        self.version = version
        self.quantum_us = check_integer("scheduler round-robin", "quantum_us", quantum_us, 100, MAX_QUANTUM_US)

    def __reduce__(self):
        return _rebuild, (self.version, self.quantum_us)

    # -- state ---------------------------------------------------------------------------------------------------

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("round_robin_pcpu", np.asarray(<RoundRobinPcpu[:1]>&_pcpu).dtype, num_pcpus),
            ("round_robin_vcpu", np.asarray(<RoundRobinVcpu[:1]>&_vcpu).dtype, max_vcpus),
            ("round_robin_domain", np.asarray(<RoundRobinDomain[:1]>&_domain).dtype, max_domains),
        ]

    def bind(self, views):
        cdef RoundRobinPcpu[::1] pcpu = views["round_robin_pcpu"]
        cdef RoundRobinVcpu[::1] vcpu = views["round_robin_vcpu"]
        cdef RoundRobinDomain[::1] domain = views["round_robin_domain"]
        self.pcpu = &pcpu[0]
        self.vcpu = &vcpu[0]
        self.domain = &domain[0]

    def queued(self):
        """Waiting vCPUs by pCPU, who is next first."""
        waiting = []
        cdef int p, v
        for p in range(self.m.num_pcpus):
            v = self.pcpu[p].head if self.m.pcpu[p].pool == self.cpupool else NO_VCPU
            while v != NO_VCPU:
                waiting.append(v)
                v = self.vcpu[v].next
        return waiting

    cdef void _append(self, int v) noexcept nogil:
        cdef RoundRobinPcpu* queue = &self.pcpu[self.m.vcpu[v].pcpu]
        self.vcpu[v].next = NO_VCPU
        self.vcpu[v].is_queued = 1
        if queue.head == NO_VCPU:
            queue.head = v
        else:
            self.vcpu[queue.tail].next = v
        queue.tail = v

    cdef void _take(self, int v) noexcept nogil:
        cdef RoundRobinPcpu* queue = &self.pcpu[self.m.vcpu[v].pcpu]
        cdef int before = NO_VCPU
        cdef int w = queue.head
        while w != v:
            before = w
            w = self.vcpu[w].next
        if before == NO_VCPU:
            queue.head = self.vcpu[v].next
        else:
            self.vcpu[before].next = self.vcpu[v].next
        if queue.tail == v:
            queue.tail = before
        self.vcpu[v].is_queued = 0

    # -- lifecycle -----------------------------------------------------------------------------------------------

    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        self.pcpu[p].head = NO_VCPU
        self.pcpu[p].tail = NO_VCPU

    cdef void insert_domain(self, int d) noexcept nogil:
        self.domain[d].quantum_us = self.quantum_us

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        self.vcpu[v].is_queued = 0

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef int p = m.vcpu[v].pcpu
        if is_current(m, v) or self.vcpu[v].is_queued:
            return
        self._append(v)
        if m.vcpu[m.pcpu[p].curr].is_idle:
            raise_schedule(m, p)

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        if is_current(self.m, v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)
        elif self.vcpu[v].is_queued:
            self._take(v)

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef Decision decision
        cdef int cur = m.pcpu[p].curr
        if not m.vcpu[cur].is_idle and is_runnable(m, cur):
            self._append(cur)
        if self.pcpu[p].head == NO_VCPU:
            decision.next_vcpu = m.max_vcpus + p
            decision.slice_ns = -1
            return decision
        decision.next_vcpu = self.pcpu[p].head
        self._take(decision.next_vcpu)
        decision.slice_ns = 1000 * self.domain[m.vcpu[decision.next_vcpu].domain].quantum_us
        return decision

    # -- parameters ----------------------------------------------------------------------------------------------

    def tunables(self):
        return [Tunable("quantum_us", 100, MAX_QUANTUM_US, self.quantum_us, log_scale=True)]

    def check_domain_params(self, where, num_vcpus, params):
        unknown = set(params) - {"quantum_us"}
        if unknown:
            raise ValueError(f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected quantum_us")
        check_integer(where, "quantum_us", params.get("quantum_us", self.quantum_us), 100, MAX_QUANTUM_US)

    def adjust_domain(self, int d, params):
        where = f"domain {self.m.domain[d].domid}, scheduler round-robin"
        self.check_domain_params(where, self.m.domain[d].num_vcpus, params)
        if "quantum_us" in params:
            self.domain[d].quantum_us = params["quantum_us"]

    def domain_params(self, int d):
        return {"quantum_us": self.domain[d].quantum_us}

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        self.domain[d].quantum_us = values[0]

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        values[0] = self.domain[d].quantum_us


def _rebuild(version, quantum_us):
    return RoundRobin(version, quantum_us=quantum_us)
