"""One machine in simulated time: the hall that knows both mechanisms and policies.

The loop takes the earliest event, lets a mechanism or a guest change the machine, and, when nothing of the instant is
left, runs the scheduler on every pCPU that was asked for a pass. At each decision point the policy is asked, its
answer checked by construction of the interface, and a mechanism enacts it. The flow of wake, sleep, block, the pass
and migration is that of Xen's core scheduler; what takes no time on real hardware but code does (hypervisor paths,
inter-processor interrupts) takes none here unless the cost model says so.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from xengym.machine.mask cimport mask_cycle, mask_intersects, mask_is_subset, mask_next, mask_set, mask_test
from xengym.machine.state cimport (
    BLOCKED, FOREVER, MASK_WORDS, MAX_PCPUS, NO_VCPU, OFFLINE, PAUSE_BLOCKED, PAUSE_DOWN, PAUSE_MIGRATING, RUNNABLE,
    RUNNING, Clock, Domain, Machine, Pcpu, PcpuTopology, Timer, TraceRecord, Vcpu, accounting_timer,
    completion_timer, domain_timer, guest_timer, is_current, is_runnable, response_bin, slice_timer, tick_timer,
)
from xengym.mechanisms.runstate cimport set_runstate
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport MAX_TUNABLES, Decision, Hypervisor, Scheduler
from xengym.sim.timers cimport (
    ORDER_COMPLETION, ORDER_CONTROL, ORDER_GUEST, order_key, timer_arm, timer_arm_hypervisor, timer_disarm,
    timer_replay,
)
from xengym.sim.trace cimport (
    TRACE_ADJUST, TRACE_BLOCK, TRACE_CONTINUE, TRACE_DOMAIN_ADD, TRACE_DOMAIN_REMOVE, TRACE_GROWING, TRACE_JOB_DONE,
    TRACE_JOB_DROP, TRACE_JOB_SUBMIT, TRACE_OFF, TRACE_RING, TRACE_SEGMENT, TRACE_SLEEP, TRACE_STARTED, TRACE_SWITCH,
    TRACE_WAKE, TRACE_YIELD, trace,
)

import hashlib

import numpy as np

from xengym.machine.state import (
    CLOCK_DTYPE, DOMAIN_DTYPE, PCPU_DTYPE, RUNSTATES, TIMER_DTYPE, TRACE_DTYPE, VCPU_DTYPE, Arena,
)

cdef int64_t MAX_TIME_NS = <int64_t>1 << 62


cdef class GuestKind:
    """Base of guest programs (see `host.pxd` for the operations and who calls them)."""

    name = ""

    def sections(self, max_vcpus, max_domains):
        """Arena sections of this kind: a list of ``(name, dtype, count)``."""
        return []

    def bind(self, Host host, int number, views):
        """Attach to a host; ``views`` maps each section's name to its array."""
        self.host = host
        self.m = &host.m
        self.number = number

    def configure(self, int d, int v, spec):
        """Prepare vCPU ``v`` of domain slot ``d`` to run ``spec``, a ``ProgramSpec`` of this kind."""

    def programs(self):
        """Immutable program data that lives outside the arena; goes into snapshots."""
        return None

    def set_programs(self, programs):
        """Take back what ``programs`` returned."""

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        pass

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        self.host.block(v)

    cdef void timer(self, int v, int64_t now_ns) noexcept nogil:
        self.host.deliver_event(v)

    cdef void domain_timer(self, int d, int64_t now_ns) noexcept nogil:
        pass


class Snapshot:
    """A host's whole state at one instant; restore it into the same host or one built alike.

    Attributes:
        block: copy of the arena, ``uint8`` of shape ``(num_bytes,)``.
        programs: immutable program data of each guest kind.
        domain_names: names by domain slot.
        seed: the episode's seed.
    """

    __slots__ = ("block", "domain_names", "programs", "seed")

    def __init__(self, block, programs, domain_names, seed):
        self.block = block
        self.programs = programs
        self.domain_names = domain_names
        self.seed = seed

    def __eq__(self, other):
        return isinstance(other, Snapshot) and self.block.tobytes() == other.block.tobytes()

    __hash__ = None


cdef class Host(Hypervisor):
    """A simulated machine under a scheduler.

    Args:
        topology: pCPUs and what they share (``machine.topology.Topology``).
        scheduler: a scheduling policy object, not in use by another host.
        guest_kinds: guest program types that its domains may run.
        costs: ``machine.costs.Costs``; default all zero.
        max_domains: domains that may exist at once.
        max_vcpus: guest vCPUs that may exist at once, over all domains.
        seed: non-negative seed of all random streams.
    """

    def __init__(self, topology, scheduler, guest_kinds, *, costs=None, max_domains=16, max_vcpus=64, seed=0):
        cdef Machine* m = &self.m
        cdef int p, w
        self.topology = topology
        self.costs = costs
        self.guest_kinds = list(guest_kinds)
        self.domain_names = {}
        self.scheduler_policy = scheduler
        if len(self.guest_kinds) > MAX_GUEST_KINDS:
            raise ValueError(f"at most {MAX_GUEST_KINDS} guest kinds, found {len(self.guest_kinds)}")
        if not 0 < max_domains <= 32768 or not 0 < max_vcpus <= 65536:
            raise ValueError(f"max_domains and max_vcpus must be positive, found {max_domains} and {max_vcpus}")
        m.num_pcpus = topology.num_pcpus
        m.num_words = (m.num_pcpus + 63) // 64
        m.max_vcpus = max_vcpus
        m.max_domains = max_domains
        m.num_sockets = topology.sockets
        m.threads_per_core = topology.threads_per_core
        m.switch_cost_ns = costs.context_switch_ns if costs is not None else 0
        m.refill_cost_ns = costs.cache_refill_ns if costs is not None else 0
        m.num_timers = 3 * m.num_pcpus + 1 + max_vcpus + max_domains
        m.num_leaves = 2
        while m.num_leaves < m.num_timers:
            m.num_leaves *= 2
        m.topology = <PcpuTopology*>malloc(m.num_pcpus * sizeof(PcpuTopology))
        if m.topology == NULL:
            raise MemoryError("pCPU topology")
        for p in range(m.num_pcpus):
            mask_set(m.online, p)
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
            ("timer", TIMER_DTYPE, m.num_leaves),
            ("winner", np.dtype(np.int32), m.num_leaves),
            ("guest_kind", np.dtype(np.int32), max_vcpus),
            *scheduler.sections(m.num_pcpus, max_vcpus, max_domains),
        ]
        for kind in self.guest_kinds:
            sections += kind.sections(max_vcpus, max_domains)
        self.arena = Arena(sections)
        self.sections = self.arena.sections
        cdef Clock[::1] clock = self.sections["clock"]
        cdef Pcpu[::1] pcpu = self.sections["pcpu"]
        cdef Vcpu[::1] vcpu = self.sections["vcpu"]
        cdef Domain[::1] domain = self.sections["domain"]
        cdef Timer[::1] timer = self.sections["timer"]
        cdef int32_t[::1] winner = self.sections["winner"]
        cdef int32_t[::1] guest_kind = self.sections["guest_kind"]
        m.clock = &clock[0]
        m.pcpu = &pcpu[0]
        m.vcpu = &vcpu[0]
        m.domain = &domain[0]
        m.timer = &timer[0]
        m.winner = &winner[0]
        self.guest_kind_of = &guest_kind[0]
        self.reset(seed)

    def __dealloc__(self):
        free(self.m.topology)
        free(self.m.trace)

    def reset(self, seed):
        """Return to time 0 with no domains, all pCPUs idle; the random streams start from ``seed``."""
        cdef Machine* m = &self.m
        cdef int p, slot, idle, node
        cdef Vcpu* vc
        self._seed = _check_seed(seed)
        self.arena.block[:] = 0
        self.domain_names.clear()
        m.clock.seed = self._seed
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
            m.pcpu[p].curr = idle
            m.pcpu[p].last_guest = NO_VCPU
        views = self.sections
        for number, kind in enumerate(self.guest_kinds):
            (<GuestKind>kind).bind(self, number, views)
            self.kind_table[number] = <PyObject*>kind
        self.scheduler_policy.bind(self, views)
        self.scheduler_policy.start(0)

    # -- services for guests -------------------------------------------------------------------------------------

    cdef void set_work(self, int v, int64_t work_ns) noexcept nogil:
        """Give v so much CPU time to use before its program decides again."""
        cdef Machine* m = &self.m
        cdef Vcpu* vc = &m.vcpu[v]
        vc.work_left_ns = work_ns
        if is_current(m, v):
            vc.work_at_ns = m.clock.now_ns
            if work_ns != FOREVER:
                timer_arm(m, completion_timer(m, vc.pcpu), m.clock.now_ns + work_ns, order_key(ORDER_COMPLETION, v))
            else:
                timer_disarm(m, completion_timer(m, vc.pcpu))

    cdef void block(self, int v) noexcept nogil:
        """v gives up the CPU until an event arrives; at once if one already waits (Xen: SCHEDOP_block)."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        if vc.event_pending:
            vc.event_pending = 0
            return
        vc.pause_flags |= PAUSE_BLOCKED
        vc.blocks += 1
        trace(&self.m, TRACE_BLOCK, vc.pcpu, v, 0, 0)
        raise_schedule(&self.m, vc.pcpu)

    cdef void poll(self, int v, int64_t timeout_ns) noexcept nogil:
        """Block until an event or the timeout, whichever is first (Xen: SCHEDOP_poll); < 0: no timeout."""
        self.block(v)
        if self.m.vcpu[v].pause_flags & PAUSE_BLOCKED and timeout_ns >= 0:
            self.m.vcpu[v].is_polling = 1
            self.arm_guest_timer(v, self.m.clock.now_ns + timeout_ns)

    cdef void yield_cpu(self, int v) noexcept nogil:
        cdef Vcpu* vc = &self.m.vcpu[v]
        vc.yields += 1
        trace(&self.m, TRACE_YIELD, vc.pcpu, v, 0, 0)
        self.scheduler_policy.yield_cpu(v, self.m.clock.now_ns)
        raise_schedule(&self.m, vc.pcpu)

    cdef void deliver_event(self, int v) noexcept nogil:
        """An event-channel notification: wakes a blocked vCPU, otherwise stays pending."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        if not vc.pause_flags & PAUSE_BLOCKED:
            vc.event_pending = 1
            return
        vc.pause_flags &= ~<unsigned int>PAUSE_BLOCKED
        if vc.is_polling:
            vc.is_polling = 0
            timer_disarm(&self.m, guest_timer(&self.m, v))
        vc.wakes += 1
        if is_current(&self.m, v):
            vc.wake_latency_count += 1  # it had not left the CPU yet
        else:
            vc.wake_at_ns = self.m.clock.now_ns
        self.m.clock.executing_pcpu = vc.waker_pcpu
        self.wake_vcpu(v)

    cdef void arm_guest_timer(self, int v, int64_t at_ns) noexcept nogil:
        timer_arm(&self.m, guest_timer(&self.m, v), at_ns, order_key(ORDER_GUEST, v))

    cdef void arm_domain_timer(self, int d, int64_t at_ns) noexcept nogil:
        timer_arm(&self.m, domain_timer(&self.m, d), at_ns, order_key(ORDER_GUEST, self.m.max_vcpus + d))

    cdef void job_submitted(self, int d, int64_t work_ns) noexcept nogil:
        self.m.domain[d].jobs_submitted += 1
        self.m.domain[d].work_submitted_ns += work_ns
        trace(&self.m, TRACE_JOB_SUBMIT, 0, NO_VCPU, d, work_ns)

    cdef void job_done(self, int d, int v, int64_t response_ns) noexcept nogil:
        cdef Domain* dom = &self.m.domain[d]
        dom.jobs_done += 1
        if dom.latency_target_ns == 0 or response_ns <= dom.latency_target_ns:
            dom.jobs_in_time += 1
        dom.response_ns += response_ns
        if response_ns > dom.response_max_ns:
            dom.response_max_ns = response_ns
        dom.response_bins[response_bin(response_ns)] += 1
        trace(&self.m, TRACE_JOB_DONE, self.m.vcpu[v].pcpu, v, d, response_ns)

    cdef void segment_done(self, int v) noexcept nogil:
        self.m.vcpu[v].segments += 1
        trace(&self.m, TRACE_SEGMENT, self.m.vcpu[v].pcpu, v, 0, 0)

    # -- services for the scheduler ------------------------------------------------------------------------------

    cdef void pause_vcpu(self, int v) noexcept nogil:
        self.m.vcpu[v].pause_count += 1
        self.sleep_vcpu(v)

    cdef void unpause_vcpu(self, int v) noexcept nogil:
        cdef Vcpu* vc = &self.m.vcpu[v]
        vc.pause_count -= 1
        if vc.pause_count == 0:
            if vc.runstate == OFFLINE:
                vc.held_ns += self.m.clock.now_ns - vc.runstate_at_ns
            self.wake_vcpu(v)

    # -- the core ------------------------------------------------------------------------------------------------

    cdef void wake_vcpu(self, int v) noexcept nogil:
        cdef Machine* m = &self.m
        cdef Vcpu* vc = &m.vcpu[v]
        trace(m, TRACE_WAKE, m.clock.executing_pcpu, v, 0, vc.pause_flags & PAUSE_BLOCKED)
        if is_runnable(m, v):
            if vc.runstate >= BLOCKED:
                set_runstate(m, v, RUNNABLE, m.clock.now_ns)
            self.scheduler_policy.wake(v, m.clock.now_ns)
        elif not vc.pause_flags & PAUSE_BLOCKED and vc.runstate == BLOCKED:
            set_runstate(m, v, OFFLINE, m.clock.now_ns)

    cdef void sleep_vcpu(self, int v) noexcept nogil:
        cdef Machine* m = &self.m
        trace(m, TRACE_SLEEP, m.vcpu[v].pcpu, v, 0, 0)
        if not is_runnable(m, v):
            if m.vcpu[v].runstate == RUNNABLE:
                set_runstate(m, v, OFFLINE, m.clock.now_ns)
            self.scheduler_policy.sleep(v, m.clock.now_ns)

    cdef void bring_up(self, int v) noexcept nogil:
        """Bring a vCPU online; the first time, its program begins."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        vc.pause_flags &= ~<unsigned int>PAUSE_DOWN
        self.m.clock.executing_pcpu = 0
        if not vc.has_started:
            vc.has_started = 1
            trace(&self.m, TRACE_STARTED, vc.pcpu, v, 0, 0)
            (<GuestKind>self.kind_table[self.guest_kind_of[v]]).started(v, self.m.clock.now_ns)
        self.wake_vcpu(v)

    cdef void start_migration(self, int v) noexcept nogil:
        self.m.vcpu[v].pause_flags |= PAUSE_MIGRATING
        self.sleep_vcpu(v)
        if not is_current(&self.m, v):
            self.finish_migration(v)

    cdef void finish_migration(self, int v) noexcept nogil:
        cdef Vcpu* vc = &self.m.vcpu[v]
        cdef int p = self.scheduler_policy.pick_pcpu(v)
        if not mask_test(vc.hard_affinity, p):
            p = mask_next(vc.hard_affinity, -1, self.m.num_words)
        vc.pause_flags &= ~<unsigned int>PAUSE_MIGRATING
        self.scheduler_policy.migrate(v, p)
        self.wake_vcpu(v)

    cdef void schedule(self, int p) noexcept nogil:
        """One pass of the scheduler on pCPU p."""
        cdef Machine* m = &self.m
        cdef Clock* clock = m.clock
        cdef Pcpu* pc = &m.pcpu[p]
        cdef int64_t now_ns = clock.now_ns
        cdef int64_t latency_ns, cost_ns
        cdef int prev = pc.curr
        cdef int next
        cdef Vcpu* pv = &m.vcpu[prev]
        cdef Vcpu* nv
        cdef Decision decision
        clock.passes += 1
        pc.invocations += 1
        decision = self.scheduler_policy.do_schedule(p, now_ns)
        next = decision.next_vcpu
        if decision.slice_ns >= 0:
            timer_arm_hypervisor(m, slice_timer(m, p), now_ns + decision.slice_ns)
        else:
            timer_disarm(m, slice_timer(m, p))
        if next == prev:
            trace(m, TRACE_CONTINUE, p, next, 0, decision.slice_ns)
            return
        trace(m, TRACE_SWITCH, p, next, prev, decision.slice_ns)
        clock.context_switches += 1
        pc.context_switches += 1
        pc.curr = next
        nv = &m.vcpu[next]
        # Out with prev.
        if not pv.is_idle:
            if pv.work_left_ns != FOREVER:
                pv.work_left_ns -= now_ns - pv.work_at_ns
            if pv.pause_flags & PAUSE_BLOCKED:
                set_runstate(m, prev, BLOCKED, now_ns)
                pv.waker_pcpu = p
            elif is_runnable(m, prev):
                set_runstate(m, prev, RUNNABLE, now_ns)
            else:
                set_runstate(m, prev, OFFLINE, now_ns)
            pc.last_guest = prev
        else:
            set_runstate(m, prev, RUNNABLE, now_ns)
        # In with next.
        nv.switch_at_ns = now_ns
        set_runstate(m, next, RUNNING, now_ns)
        if nv.is_idle:
            timer_disarm(m, completion_timer(m, p))
        else:
            nv.dispatches += 1
            if nv.dispatched_pcpu != p:
                if nv.dispatched_pcpu >= 0:
                    nv.migrations += 1
                nv.dispatched_pcpu = p
            if nv.wake_at_ns >= 0:
                latency_ns = now_ns - nv.wake_at_ns
                nv.wake_at_ns = -1
                nv.wake_latency_count += 1
                nv.wake_latency_ns += latency_ns
                if latency_ns > nv.wake_latency_max_ns:
                    nv.wake_latency_max_ns = latency_ns
            if pc.last_guest != next:
                cost_ns = m.switch_cost_ns + m.refill_cost_ns
                nv.overhead_ns += cost_ns
                if nv.work_left_ns != FOREVER:
                    nv.work_left_ns += cost_ns
            nv.work_at_ns = now_ns
            if nv.work_left_ns != FOREVER:
                timer_arm(m, completion_timer(m, p), now_ns + nv.work_left_ns, order_key(ORDER_COMPLETION, next))
            else:
                timer_disarm(m, completion_timer(m, p))
        # prev's registers are saved.
        pv.switch_at_ns = now_ns
        self.scheduler_policy.context_saved(prev, now_ns)
        if pv.pause_flags & PAUSE_MIGRATING:
            clock.executing_pcpu = p
            self.finish_migration(prev)

    cdef void serve_schedule(self) noexcept nogil:
        """Run every pass that was asked for: rounds of ascending pCPUs, each until it has none pending."""
        cdef Machine* m = &self.m
        cdef uint64_t* pending = m.clock.pending
        cdef uint64_t bit
        cdef int p = -1
        while True:
            p = mask_next(pending, p, m.num_words)
            if p < 0:
                p = mask_next(pending, -1, m.num_words)
                if p < 0:
                    break
            bit = <uint64_t>1 << (p & 63)
            while pending[p >> 6] & bit:
                pending[p >> 6] &= ~bit
                self.schedule(p)
        m.clock.any_pending = 0

    cdef void fire_completion(self, int p) noexcept nogil:
        cdef Machine* m = &self.m
        cdef int v = m.pcpu[p].curr
        m.vcpu[v].work_left_ns = 0
        m.vcpu[v].work_at_ns = m.clock.now_ns
        m.clock.executing_pcpu = p
        (<GuestKind>self.kind_table[self.guest_kind_of[v]]).completed(v, m.clock.now_ns)

    cdef void fire_guest_timer(self, int v) noexcept nogil:
        cdef Machine* m = &self.m
        if not m.vcpu[v].has_started:
            self.bring_up(v)
        elif m.vcpu[v].is_polling:
            self.deliver_event(v)
        else:
            (<GuestKind>self.kind_table[self.guest_kind_of[v]]).timer(v, m.clock.now_ns)

    cdef void run(self, int64_t until_ns, uint64_t until_key) noexcept nogil:
        """Let time pass up to the instant `until_ns`, before its events whose key is `until_key` or later."""
        cdef Machine* m = &self.m
        cdef Clock* clock = m.clock
        cdef int slot, n = m.num_pcpus
        cdef int64_t at_ns
        cdef int first_vcpu = 3 * n + 1
        cdef int first_domain = first_vcpu + m.max_vcpus
        cdef int d
        while True:
            slot = m.winner[1]
            at_ns = m.timer[slot].at_ns
            if at_ns > clock.now_ns:
                if clock.any_pending:
                    self.serve_schedule()
                    continue
                if at_ns > until_ns:
                    break
                clock.now_ns = at_ns
            if at_ns == until_ns and m.timer[slot].key >= until_key:
                break
            clock.events += 1
            m.timer[slot].at_ns = INT64_MAX
            if slot < n:
                raise_schedule(m, slot)
            elif slot < 2 * n:
                clock.executing_pcpu = slot - n
                self.scheduler_policy.tick(slot - n, at_ns)
            elif slot < 3 * n:
                self.fire_completion(slot - 2 * n)
            elif slot == 3 * n:
                self.scheduler_policy.accounting(at_ns)
            elif slot < first_domain:
                self.fire_guest_timer(slot - first_vcpu)
            else:
                d = slot - first_domain
                (<GuestKind>self.kind_table[self.guest_kind_of[m.domain[d].first_vcpu]]).domain_timer(d, at_ns)
            if m.timer[slot].at_ns == INT64_MAX:
                timer_replay(m, slot)
        clock.now_ns = until_ns

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
        """The scheduling policy object."""
        return self.scheduler_policy

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

        Raises:
            ValueError: the instant lies in the past or beyond 146 years.
        """
        if not self.m.clock.now_ns <= until_ns <= MAX_TIME_NS:
            raise ValueError(f"run_until: expected {self.m.clock.now_ns}..{MAX_TIME_NS} ns, found {until_ns}")
        cdef uint64_t key = order_key(ORDER_CONTROL, 0) if before_control else 0
        if inclusive:
            key = <uint64_t>0xFFFFFFFFFFFFFFFF
        with nogil:
            self.run(until_ns, key)

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
        programs = [kind.programs() for kind in self.guest_kinds]
        return Snapshot(self.arena.block.copy(), programs, dict(self.domain_names), self._seed)

    def restore(self, snapshot):
        """Return to a snapshot's state exactly.

        Raises:
            ValueError: the snapshot is of a host of another layout.
        """
        if snapshot.block.shape != self.arena.block.shape or len(snapshot.programs) != len(self.guest_kinds):
            raise ValueError(
                f"restore: the snapshot holds {snapshot.block.nbytes} bytes of state, this host {self.arena.block.nbytes}; "
                "it must come from a host with the same pCPUs, limits, scheduler and guest kinds"
            )
        self.arena.block[:] = snapshot.block
        for kind, programs in zip(self.guest_kinds, snapshot.programs):
            kind.set_programs(programs)
        self.domain_names = dict(snapshot.domain_names)
        self._seed = snapshot.seed

    def digest(self):
        """SHA-256 of the whole state, as hexadecimal text."""
        return hashlib.sha256(self.arena.block).hexdigest()

    def __eq__(self, other):
        if not isinstance(other, Host):
            return NotImplemented
        return bool(np.array_equal(self.arena.block, other.arena.block))

    __hash__ = None

    def __reduce__(self):
        limits = {"max_domains": self.m.max_domains, "max_vcpus": self.m.max_vcpus, "costs": self.costs}
        return _rebuild, (self.topology, self.scheduler_policy, self.guest_kinds, limits, self.snapshot())

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
            self.m.trace_mode = TRACE_OFF
            raise MemoryError(f"no memory for {capacity} trace records")
        self.m.trace_capacity = capacity
        self.m.trace_count = 0
        self.m.trace_lost = 0
        self.m.trace_mode = TRACE_GROWING if ring is None else TRACE_RING

    def stop_trace(self):
        """Stop recording; what was recorded stays readable."""
        self.m.trace_mode = TRACE_OFF

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
