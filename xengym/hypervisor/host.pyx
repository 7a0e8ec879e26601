"""One machine in simulated time: construction, time, snapshots and the trace, as Python sees them.

What happens in the machine is in `core.pyx`; the operator's calls are in `domctl.pyx`.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from xengym.hypervisor.core cimport MAX_GUEST_KINDS, GuestKind
from xengym.hypervisor.memory cimport MemoryHost
from xengym.machine.mask cimport mask_and, mask_count, mask_intersects, mask_is_subset, mask_set
from xengym.machine.state cimport (
    FOREVER, MASK_WORDS, MAX_POOLS, NO_VCPU, REFILL_STEPS, RUNNING, Clock, Domain, DomainIo, Machine, Pcpu, PcpuTopology, Pool, Timer,
    TraceRecord, Vcpu, device_timer, is_current,
)
from xengym.machine.memory_state cimport DomainMemory, HostMemory
from xengym.policies.schedulers.api cimport Scheduler
from xengym.policies.schedulers.external cimport ExternalScheduler
from xengym.sim.timers cimport END_OF_INSTANT, ORDER_CONTROL, order_key
from xengym.sim.trace cimport TRACE_GROWING, TRACE_MONITORED, TRACE_OFF, TRACE_RING

import copy
import hashlib

import numpy as np

from xengym.hypervisor.snapshot import PolicyState, Snapshot
from xengym.machine.memory_costs import HOST_PAGES, MAX_PAGES, MemoryCosts
from xengym.machine.memory_state import DOMAIN_MEMORY_DTYPE, HOST_MEMORY_DTYPE
from xengym.machine.state import (
    CLOCK_DTYPE, DOMAIN_DTYPE, DOMAIN_IO_DTYPE, PCPU_DTYPE, POOL_DTYPE, RUNSTATES, TIMER_DTYPE, TRACE_DTYPE, VCPU_DTYPE, Arena,
)

cdef int64_t MAX_TIME_NS = <int64_t>1 << 62


cdef class Host(MemoryHost):
    """A simulated machine under a scheduler.

    Args:
        topology: pCPUs and what they share (``machine.topology.Topology``).
        scheduler: a scheduling policy object, not in use by another host.
        guest_kinds: guest program types that its domains may run.
        costs: ``machine.costs.Costs``; default all zero.
        max_domains: domains that may exist at once.
        max_vcpus: guest vCPUs that may exist at once, over all domains.
        seed: non-negative seed of all random streams.
        memory_pages: page frames that domains may own.
        memory_costs: ``machine.memory_costs.MemoryCosts``; default its defaults.
    """

    def __init__(self, topology, scheduler, guest_kinds, *, costs=None, max_domains=16, max_vcpus=64, seed=0,
                 memory_pages=HOST_PAGES, memory_costs=None):
        cdef Machine* m = &self.m
        cdef int p, w
        self.topology = topology
        self.costs = costs
        self.guest_kinds = list(guest_kinds)
        self.domain_names = {}
        if len(self.guest_kinds) > MAX_GUEST_KINDS:
            raise ValueError(f"at most {MAX_GUEST_KINDS} guest kinds, found {len(self.guest_kinds)}")
        if not 0 < max_domains <= 32768 or not 0 < max_vcpus <= 65536:
            raise ValueError(f"max_domains and max_vcpus must be positive, found {max_domains} and {max_vcpus}")
        if isinstance(memory_pages, bool) or not isinstance(memory_pages, (int, np.integer)) or not 1 <= memory_pages <= MAX_PAGES:
            raise ValueError(f"memory_pages must be an integer 1..{MAX_PAGES}, found {memory_pages!r}")
        self.memory_pages = int(memory_pages)
        self.memory_costs = memory_costs if memory_costs is not None else MemoryCosts()
        m.balloon_hypercall_ns = self.memory_costs.hypercall_ns
        m.balloon_page_ns = self.memory_costs.page_ns
        m.balloon_retry_ns = self.memory_costs.retry_ns
        m.swap_in_ns = self.memory_costs.swap_in_ns
        m.swap_ahead_ns = self.memory_costs.swap_ahead_ns
        m.swap_out_ns = self.memory_costs.swap_out_ns
        m.num_pcpus = topology.num_pcpus
        m.num_words = (m.num_pcpus + 63) // 64
        m.max_vcpus = max_vcpus
        m.max_domains = max_domains
        m.num_sockets = topology.sockets
        m.threads_per_core = topology.threads_per_core
        m.switch_cost_ns = costs.context_switch_ns if costs is not None else 0
        for others in range(1, REFILL_STEPS):
            m.refill_ns[others - 1] = costs.refill_ns(others) if costs is not None else 0
        m.refill_ns[REFILL_STEPS - 1] = costs.cache_refill_ns if costs is not None else 0
        m.monitor_record_ns = costs.monitor_record_ns if costs is not None else 0
        m.trace_mode = TRACE_MONITORED if m.monitor_record_ns else TRACE_OFF
        m.max_pools = min(m.num_pcpus, MAX_POOLS)
        m.num_device_timers = sum(kind.num_device_timers() for kind in self.guest_kinds)
        m.num_timers = device_timer(m, m.num_device_timers)
        m.num_leaves = 2
        while m.num_leaves < m.num_timers:
            m.num_leaves *= 2
        m.topology = <PcpuTopology*>malloc(m.num_pcpus * sizeof(PcpuTopology))
        if m.topology == NULL:
            raise MemoryError("pCPU topology")
        for p in range(m.num_pcpus):
            m.topology[p].core = topology.core_of(p)
            m.topology[p].socket = topology.socket_of(p)
            for w in range(MASK_WORDS):
                m.topology[p].core_mask[w] = (topology.core_mask(p) >> (64 * w)) & 0xFFFFFFFFFFFFFFFF
                m.topology[p].socket_mask[w] = (topology.socket_mask(p) >> (64 * w)) & 0xFFFFFFFFFFFFFFFF
        sections = [
            ("clock", CLOCK_DTYPE, 1),
            ("pcpu", PCPU_DTYPE, m.num_pcpus),
            ("vcpu", VCPU_DTYPE, max_vcpus + m.num_pcpus),
            ("domain", DOMAIN_DTYPE, max_domains),
            ("domain_io", DOMAIN_IO_DTYPE, max_domains),
            ("memory", DOMAIN_MEMORY_DTYPE, max_domains),
            ("host_memory", HOST_MEMORY_DTYPE, 1),
            ("pool", POOL_DTYPE, m.max_pools),
            ("timer", TIMER_DTYPE, m.num_leaves),
            ("winner", np.dtype(np.int32), m.num_leaves),
            ("guest_kind", np.dtype(np.int32), max_vcpus),
        ]
        for kind in self.guest_kinds:
            sections += kind.sections(max_vcpus, max_domains)
        self.arena = Arena(sections)
        views = self.arena.sections
        cdef Clock[::1] clock = views["clock"]
        cdef Pcpu[::1] pcpu = views["pcpu"]
        cdef Vcpu[::1] vcpu = views["vcpu"]
        cdef Domain[::1] domain = views["domain"]
        cdef DomainIo[::1] domain_io = views["domain_io"]
        cdef DomainMemory[::1] memory = views["memory"]
        cdef HostMemory[::1] host_memory = views["host_memory"]
        cdef Pool[::1] pools = views["pool"]
        cdef Timer[::1] timer = views["timer"]
        cdef int32_t[::1] winner = views["winner"]
        cdef int32_t[::1] guest_kind = views["guest_kind"]
        m.clock = &clock[0]
        m.pcpu = &pcpu[0]
        m.vcpu = &vcpu[0]
        m.domain = &domain[0]
        m.io = &domain_io[0]
        m.memory = &memory[0]
        m.host_memory = &host_memory[0]
        m.pool = &pools[0]
        m.timer = &timer[0]
        m.winner = &winner[0]
        self.guest_kind_of = &guest_kind[0]
        self.no_scheduler = Scheduler()
        self.no_scheduler.attach(self, 0)
        self.policy[0] = <PyObject*>self.no_scheduler
        self.pool_schedulers = [None] * m.max_pools
        self.set_pool_scheduler(0, scheduler)
        self.reset(seed)

    def __dealloc__(self):
        free(self.m.topology)
        free(self.m.trace)

    def reset(self, seed):
        """Return to time 0: no domains, all pCPUs idle and in cpupool 0; the random streams start from ``seed``.

        The scheduler of cpupool 0 stays what it is, with its parameters as at boot; other pools are gone.
        """
        cdef Machine* m = &self.m
        cdef int p, slot, idle, node
        cdef Vcpu* vc
        self._seed = _check_seed(seed)
        self.arena.block[:] = 0
        self.domain_names.clear()
        m.clock.seed = self._seed
        m.clock.awaiting_pcpu = -1
        m.host_memory.pages = self.memory_pages
        m.host_memory.free_pages = self.memory_pages
        for slot in range(m.num_leaves):
            m.timer[slot].at_ns = INT64_MAX
            m.timer[slot].key = <uint64_t>0xFFFFFFFFFFFFFFFF
        for node in range(m.num_leaves - 1, 0, -1):
            m.winner[node] = (2 * node - m.num_leaves) if 2 * node >= m.num_leaves else m.winner[2 * node]
        for p in range(m.num_pcpus):
            idle = m.max_vcpus + p
            vc = &m.vcpu[idle]
            vc.in_use = 1
            vc.is_idle = 1
            vc.has_started = 1
            vc.domain = -1
            vc.vcpu_in_domain = p
            vc.pcpu = p
            vc.dispatched_pcpu = p
            vc.runstate = RUNNING
            vc.wake_at_ns = -1
            vc.work_left_ns = FOREVER
            mask_set(vc.hard_affinity, p)
            mask_set(vc.soft_affinity, p)
            mask_set(vc.allowed, p)
            mask_set(m.pool[0].pcpus, p)
            m.pcpu[p].curr = idle
            m.pcpu[p].last_guest = NO_VCPU
        views = self.arena.sections
        for number, kind in enumerate(self.guest_kinds):
            (<GuestKind>kind).bind(self, number, views)
            self.kind_table[number] = <PyObject*>kind
            if kind.num_device_timers():
                self.devices = <PyObject*>kind
        m.pool[0].in_use = 1
        m.pool[0].num_pcpus = m.num_pcpus
        for pool in range(1, m.max_pools):
            self.set_pool_scheduler(pool, None)
        self.scheduler_policy.attach(self, 0)
        self.scheduler_policy.start(0)
        for p in range(m.num_pcpus):
            self.scheduler_policy.insert_pcpu(p, 0)

    cdef void set_pool_scheduler(self, int pool, Scheduler scheduler):
        """Make ``scheduler`` the one of a cpupool (None: there is no such pool); it is not started here."""
        self.pool_schedulers[pool] = scheduler
        self.policy[pool + 1] = <PyObject*>scheduler if scheduler is not None else NULL
        if pool == 0:
            self.scheduler_policy = scheduler

    cdef void update_affinity(self, int v) noexcept:
        """Derive anew what follows from a vCPU's affinity and its domain's cpupool."""
        cdef Machine* m = &self.m
        cdef Vcpu* vc = &m.vcpu[v]
        cdef Pool* pool = &m.pool[m.domain[vc.domain].pool]
        cdef int n = m.num_words
        mask_and(vc.allowed, vc.hard_affinity, pool.pcpus, n)
        vc.is_pinned = mask_count(vc.allowed, n) == 1
        m.clock.num_soft -= vc.soft_is_effective
        # A preference counts only where it narrows the choice and can be met.
        vc.soft_is_effective = (
            not mask_is_subset(vc.hard_affinity, vc.soft_affinity, n)
            and mask_intersects(vc.soft_affinity, vc.allowed, n)
            and not mask_is_subset(pool.pcpus, vc.soft_affinity, n)
        )
        m.clock.num_soft += vc.soft_is_effective

    # -- what Python sees ----------------------------------------------------------------------------------------

    @property
    def now_ns(self):
        """Simulated time since the start."""
        return self.m.clock.now_ns

    @property
    def num_pcpus(self):
        """Number of pCPUs."""
        return self.m.num_pcpus

    @property
    def scheduler(self):
        """The scheduling policy of cpupool 0, to which all pCPUs belong at first."""
        return self.scheduler_policy

    @property
    def schedulers(self):
        """The scheduling policy of each cpupool, by the pool's number."""
        return {pool: policy for pool, policy in enumerate(self.pool_schedulers) if policy is not None}

    @property
    def sections(self):
        """Every part of the state by name, as live structured arrays: machine, guests, scheduler of cpupool 0."""
        return {**self.arena.sections, **self.scheduler_policy.arena.sections}

    @property
    def awaiting_pcpu(self):
        """The pCPU whose next decision has to come from outside before time goes on, or None."""
        return self.m.clock.awaiting_pcpu if self.m.clock.awaiting_pcpu >= 0 else None

    @property
    def seed(self):
        """Seed of the random streams."""
        return self._seed

    def run_until(self, int64_t until_ns, *, bint before_control=False, bint inclusive=False):
        """Simulate up to ``until_ns``, before the events of that very instant; the interpreter is released.

        Args:
            until_ns: absolute simulated time, not before now.
            before_control: also finish the work that ends at that instant, so that what the operator does next comes
                where the order of one instant puts it (after completions, before wake-ups and timers).
            inclusive: finish all events of that instant and the scheduler passes they ask for.

        Returns:
            Whether the instant was reached. False: a decision has to come from outside first (``awaiting_pcpu``).

        Raises:
            ValueError: the instant lies in the past or beyond 146 years.
            Exception: whatever a scheduling policy written in Python raised; the host stands where that happened.
        """
        if not self.m.clock.now_ns <= until_ns <= MAX_TIME_NS:
            raise ValueError(f"run_until: expected {self.m.clock.now_ns}..{MAX_TIME_NS} ns, found {until_ns}")
        cdef uint64_t key = order_key(ORDER_CONTROL, 0) if before_control else 0
        if inclusive:
            key = END_OF_INSTANT
        cdef bint reached
        with nogil:
            reached = self.run(until_ns, key)
        if self.m.clock.halted:
            self.raise_policy_error()
        return bool(reached)

    def raise_policy_error(self):
        """Raise the error of a scheduling policy written in Python that stopped time, if one did."""
        self.m.clock.halted = 0
        for scheduler in self.schedulers.values():
            scheduler.raise_error()

    def decide(self, vcpu, *, slice_ns=None):
        """Answer the decision that is awaited (``awaiting_pcpu``); time goes on with the next ``run_until``.

        Args:
            vcpu: number of the vCPU to run there, or None for idle. One that may not run is refused, counted, and replaced by
                the scheduler's default.
            slice_ns: for how long at most; None: the scheduler's default.

        Raises:
            ValueError: no decision is awaited, or the slice is not positive.
        """
        cdef int p = self.m.clock.awaiting_pcpu
        if p < 0:
            raise ValueError(f"decide: no decision is awaited at {self.m.clock.now_ns} ns")
        if slice_ns is not None and not 0 < slice_ns <= MAX_TIME_NS:
            raise ValueError(f"decide: slice_ns must be positive, found {slice_ns}")
        cdef ExternalScheduler policy = self.pool_schedulers[self.m.pcpu[p].pool]
        policy.give(p, self.m.max_vcpus + p if vcpu is None else vcpu, 0 if slice_ns is None else slice_ns)

    def send_event(self, int v):
        """Deliver an event-channel notification to vCPU number ``v``."""
        self._check_vcpu(v)
        self.deliver_event(v)

    def block_vcpu(self, int v):
        """Block vCPU ``v``, which must be running, as its guest would."""
        self._check_vcpu(v)
        if not is_current(&self.m, v):
            raise ValueError(f"block_vcpu: vCPU {v} does not run at {self.m.clock.now_ns} ns")
        self.block(v)

    def poll_vcpu(self, int v, int64_t timeout_ns):
        """Let vCPU ``v``, which must be running, wait for an event or ``timeout_ns`` (negative: for ever)."""
        self._check_vcpu(v)
        if not is_current(&self.m, v):
            raise ValueError(f"poll_vcpu: vCPU {v} does not run at {self.m.clock.now_ns} ns")
        self.poll(v, timeout_ns)

    def _check_vcpu(self, int v):
        if not 0 <= v < self.m.max_vcpus or not self.m.vcpu[v].in_use:
            raise ValueError(f"no vCPU number {v} on this host")

    def runstate_ns(self, int v):
        """Time vCPU ``v`` spent in each runstate up to now, as a dict of ns."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        times = [vc.runstate_ns[s] for s in range(4)]
        times[vc.runstate] += self.m.clock.now_ns - vc.runstate_at_ns
        return dict(zip(RUNSTATES, times, strict=True))

    # -- snapshot, equality, digest ------------------------------------------------------------------------------

    def snapshot(self):
        """Copy the whole state (not the trace)."""
        policies = [
            None if policy is None else PolicyState(policy, policy.arena.block.copy(), policy.extra_state())
            for policy in self.pool_schedulers
        ]
        return Snapshot(self.arena.block.copy(), policies, self._programs(), dict(self.domain_names), self._seed)

    def restore(self, snapshot):
        """Return to a snapshot's state exactly.

        Raises:
            ValueError: the snapshot is of a host of another layout.
        """
        if snapshot.block.shape != self.arena.block.shape or len(snapshot.programs) != len(self.guest_kinds):
            raise ValueError(
                f"restore: the snapshot holds {snapshot.block.nbytes} bytes of state, this host {self.arena.block.nbytes}; "
                "it must come from a host with the same pCPUs, limits and guest kinds"
            )
        self.arena.block[:] = snapshot.block
        for pool, state in enumerate(snapshot.policies):
            self._restore_policy(pool, state)
        for kind, programs in zip(self.guest_kinds, snapshot.programs):
            kind.set_programs(programs)
        self.domain_names = dict(snapshot.domain_names)
        self._seed = snapshot.seed

    def _restore_policy(self, int pool, state):
        if state is None:
            self.set_pool_scheduler(pool, None)
            return
        scheduler = self.pool_schedulers[pool]
        if scheduler is None or not scheduler.is_like(state.scheduler):
            # What the snapshot's scheduler is carries over; the object may serve another host.
            scheduler = copy.copy(state.scheduler)
            self.set_pool_scheduler(pool, scheduler)
            scheduler.attach(self, pool)
        scheduler.arena.block[:] = state.block
        scheduler.set_extra_state(state.extra)

    def digest(self):
        """SHA-256 of the whole state and of the programs that the guests run, as hexadecimal text."""
        digest = hashlib.sha256(self.arena.block)
        for pool, scheduler in self.schedulers.items():
            digest.update(f"{pool} {scheduler.name} {scheduler.version}".encode())
            digest.update(scheduler.arena.block)
            extra = scheduler.extra_state()
            if extra is not None:
                digest.update(extra)
        for programs in self._programs():
            if programs is not None:
                digest.update(programs)
        return digest.hexdigest()

    def _programs(self):
        return [kind.programs() for kind in self.guest_kinds]

    def __eq__(self, other):
        if not isinstance(other, Host):
            return NotImplemented
        return self.snapshot() == other.snapshot() and all(
            np.array_equal(ours, theirs) for ours, theirs in zip(self._programs(), other._programs(), strict=True)
        )

    __hash__ = None

    def __reduce__(self):
        limits = {"max_domains": self.m.max_domains, "max_vcpus": self.m.max_vcpus, "costs": self.costs,
                  "memory_pages": self.memory_pages, "memory_costs": self.memory_costs}
        kinds = [copy.copy(kind) for kind in self.guest_kinds]
        return _rebuild, (self.topology, copy.copy(self.scheduler_policy), kinds, limits, self.snapshot())

    # -- trace ---------------------------------------------------------------------------------------------------

    def start_trace(self, *, ring=None):
        """Record what happens, from now on.

        Args:
            ring: keep only the newest so many records (``trace_lost`` counts the others); None keeps all.
        """
        cdef int64_t capacity = 4096 if ring is None else ring
        if capacity < 1:
            raise ValueError(f"start_trace: ring must hold at least 1 record, found {ring}")
        free(self.m.trace)
        self.m.trace = <TraceRecord*>malloc(capacity * sizeof(TraceRecord))
        if self.m.trace == NULL:
            self.m.trace_mode &= TRACE_MONITORED
            raise MemoryError(f"no memory for {capacity} trace records")
        self.m.trace_capacity = capacity
        self.m.trace_count = 0
        self.m.trace_lost = 0
        self.m.trace_mode &= TRACE_MONITORED
        self.m.trace_mode |= TRACE_GROWING if ring is None else TRACE_RING

    def stop_trace(self):
        """Stop recording; what was recorded stays readable."""
        self.m.trace_mode &= TRACE_MONITORED

    @property
    def trace_lost(self):
        """Records that are gone because the ring was full."""
        return self.m.trace_lost

    def trace_records(self):
        """The records kept, oldest first: a copy, structured array of ``TRACE_DTYPE``."""
        cdef int64_t count = min(self.m.trace_count, self.m.trace_capacity)
        records = np.empty(count, dtype=TRACE_DTYPE)
        cdef TraceRecord[::1] out
        if count:
            out = records
            memcpy(&out[0], self.m.trace, count * sizeof(TraceRecord))
            if self.m.trace_count > count:
                records = np.roll(records, -(self.m.trace_count % count))
        return records


def _check_seed(seed):
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(f"seed must be an integer 0..2**64-1, found {seed!r}")
    return int(seed)


def _rebuild(topology, scheduler, guest_kinds, limits, snapshot):
    host = Host(topology, scheduler, guest_kinds, **limits)
    host.restore(snapshot)
    return host
