"""Credit: proportional share by weight, bounded by a cap, with a short-cut for those who have just woken.

Design. Each pCPU has a run queue of three classes, BOOST before UNDER before OVER, first come first served within a
class. A vCPU holds *credit* (1 credit = 100 us of CPU). Running costs credit; every 30 ms *accounting* hands out 300
credits per pCPU to the domains with active vCPUs, by weight:

    grant(d) = min( ceil(T w(d) / W),  300 n(d),  3 cap(d) )    credits a period, divided among its n active vCPUs

where T is what all pCPUs produce and a surplus that a domain cannot use raises T for those that follow it. Accounting
alone decides UNDER (credit >= 0) or OVER. One whose credit exceeds a period's worth leaves the active list: it does not
compete and needs no accounting. A tick every 10 ms finds out who is active. An UNDER vCPU that wakes gets BOOST and
preempts at once; the first tick that finds it running ends that. A pCPU whose best vCPU is OVER looks for better ones
in other queues, so the system conserves work and balances itself. A cap below the entitlement parks the vCPU: it runs
at full speed until an accounting finds it in debt by more than its share, then not at all until the debt is paid.

Releases differ in what matters to fairness and delay: `credit_rules.py` is their table, this file the one engine.

Simplified against Xen: lock contention never makes a search fail; credit products are 64 bit, where Xen's wrap at 32
(weights of tens of thousands on many CPUs).

Sources: Xen's scheduler by release (see `credit_rules.py`); wiki.xen.org/wiki/CreditScheduler.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.mask cimport (
    count_bits, mask_and, mask_clear, mask_count_and, mask_cycle, mask_drop, mask_intersects, mask_is_empty, mask_next,
    mask_set, mask_test,
)
from xengym.machine.state cimport (
    NO_VCPU, PAUSE_MIGRATING, Machine, Vcpu, accounting_timer, is_current, is_runnable, tick_timer,
)
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Hypervisor, Scheduler
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from xengym.sim.trace cimport (
    TRACE_ACCOUNTING, TRACE_ACTIVE, TRACE_BOOST, TRACE_CREDIT, TRACE_INACTIVE, TRACE_OFF, TRACE_PARK, TRACE_PICKED, TRACE_RATELIMIT,
    TRACE_STOLEN, TRACE_TICKLE, trace,
)

import dataclasses

import numpy as np

from xengym.policies.schedulers.credit_rules import credit_rules
from xengym.policies.schedulers.tunables import Tunable

cdef enum:
    DEBIT_SAMPLED = 0
    CAP_PRIORITY = 0
    UNPARK_BOOSTED = 1
    RATELIMIT_NONE = 0
    RATELIMIT_FULL = 1
    TICKLE_ALL_IDLERS = 0
    STEAL_RING = 0
    STEAL_RING_BUSY = 1
    STEAL_ASCENDING = 2
    PUSH_HARD_AFFINITY = 1
    PUSH_ALWAYS = 2
    STEP_SOFT = 0
    STEP_HARD = 1

cdef int64_t CREDIT_NS = 100_000          # CPU time one credit buys
cdef int64_t CREDITS_PER_MS = 10
cdef int64_t MIN_TIMER_NS = 100_000       # shortest slice after 4.8
cdef int64_t MS_NS = 1_000_000
cdef int64_t FIXED_SLICE_NS = 30_000_000  # timeslice before 4.2, and the idle slice of 3.x

cdef CreditPool _pool
cdef CreditPcpu _pcpu
cdef CreditVcpu _vcpu
cdef CreditDomain _domain

DEFAULT_WEIGHT = 256
MAX_WEIGHT = 65535


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


def _integer(where, name, value, low, high):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{where}: {name} must be an integer {low}..{high}, found {value!r}")
    return int(value)


cdef class CreditScheduler(Scheduler):
    """Xen's Credit scheduler of a named release.

    Args:
        version: a key of ``CREDIT_RELEASES``; default the current release.
        tslice_ms: timeslice at boot, 1..1000 ms (fixed at 30 before Xen 4.2).
        ratelimit_us: 0 (off) or 100..500000, at most the timeslice; not before 4.2.
        migration_delay_us: 0..100000; a vCPU descheduled more recently is cache-hot and not stolen.
        tickle_one_idle: wake one idle pCPU (default) or all.
        idle_ticks: keep ticking on idle pCPUs; default as the release does.
    """

    def __init__(self, version="current", *, tslice_ms=30, ratelimit_us=None, migration_delay_us=0,
                 tickle_one_idle=True, idle_ticks=None):
        rules = credit_rules(version)
        self.name = "credit"
        self.version = rules.release
        self.rules_table = rules
        self.rules = {f.name: int(getattr(rules, f.name)) for f in dataclasses.fields(rules) if f.name != "release"}
        where = f"scheduler credit {rules.release}"
        self.options = {"tslice_ms": _integer(where, "tslice_ms", tslice_ms, 1, 1000)}
        if rules.timeslice_fixed and tslice_ms != 30:
            raise ValueError(f"{where}: tslice_ms is fixed at 30 before Xen 4.2, found {tslice_ms}")
        has_ratelimit = self.rules.ratelimit_rule != RATELIMIT_NONE
        if ratelimit_us is None:
            ratelimit_us = min(1000, 1000 * tslice_ms) if has_ratelimit else 0
        self.options["ratelimit_us"] = self._check_ratelimit(where, ratelimit_us, tslice_ms)
        self.options["migration_delay_us"] = _integer(where, "migration_delay_us", migration_delay_us, 0, 100_000)
        self.options["tickle_one_idle"] = bool(tickle_one_idle)
        self.options["idle_ticks"] = not rules.ticks_stop_on_idle if idle_ticks is None else bool(idle_ticks)

    def __reduce__(self):
        options = dict(self.options)
        return _rebuild, (self.version, options)

    def _check_ratelimit(self, where, value, tslice_ms):
        if self.rules.ratelimit_rule == RATELIMIT_NONE and value:
            raise ValueError(f"{where}: there is no ratelimit before Xen 4.2, found ratelimit_us={value!r}")
        _integer(where, "ratelimit_us", value, 0, 500_000)
        if value and value < 100:
            raise ValueError(f"{where}: ratelimit_us must be 0 or 100..500000, found {value}")
        if value > 1000 * tslice_ms:
            raise ValueError(f"{where}: ratelimit_us must not exceed the timeslice of {tslice_ms} ms, found {value}")
        return int(value)

    # -- state ---------------------------------------------------------------------------------------------------

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("credit", np.asarray(<CreditPool[:1]>&_pool).dtype, 1),
            ("credit_pcpu", np.asarray(<CreditPcpu[:1]>&_pcpu).dtype, num_pcpus),
            ("credit_vcpu", np.asarray(<CreditVcpu[:1]>&_vcpu).dtype, max_vcpus + num_pcpus),
            ("credit_domain", np.asarray(<CreditDomain[:1]>&_domain).dtype, max_domains),
        ]

    def bind(self, Hypervisor hall, views):
        Scheduler.bind(self, hall, views)
        cdef CreditPool[::1] pool = views["credit"]
        cdef CreditPcpu[::1] pcpu = views["credit_pcpu"]
        cdef CreditVcpu[::1] vcpu = views["credit_vcpu"]
        cdef CreditDomain[::1] domain = views["credit_domain"]
        self.pool = &pool[0]
        self.pcpu = &pcpu[0]
        self.vcpu = &vcpu[0]
        self.domain = &domain[0]
        options = self.options
        self.pool.ratelimit_ns = 1000 * options["ratelimit_us"]
        self.pool.migration_delay_ns = 1000 * options["migration_delay_us"]
        self.pool.tickle_one_idle = options["tickle_one_idle"]
        self.pool.free_running_ticks = options["idle_ticks"]
        self._set_timeslice(options["tslice_ms"] * MS_NS, True)

    cdef void start(self, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditPool* pool = self.pool
        cdef int p, idle
        pool.balance_ratelimit_ns = self.rules.balance_ratelimit_ns
        pool.first_domain = -1
        pool.last_domain = -1
        for p in range(m.num_pcpus):
            idle = m.max_vcpus + p
            self.pcpu[p].head = NO_VCPU
            self.pcpu[p].tail = NO_VCPU
            self.pcpu[p].idle_bias = m.num_pcpus - 1
            self.pcpu[p].node_bias = m.num_pcpus - 1
            self.pcpu[p].last_balance_ns = -MS_NS
            self.vcpu[idle].priority = PRI_IDLE
            mask_set(pool.idle, p)
        # Accounting is armed first, so it precedes the first pCPU's tick wherever the two coincide.
        if not self.rules.ticks_account:
            timer_arm_hypervisor(m, accounting_timer(m), now_ns + pool.tslice_ns)
        if pool.free_running_ticks:
            for p in range(m.num_pcpus):
                timer_arm_hypervisor(m, tick_timer(m, p), now_ns + pool.tick_period_ns)

    cdef void _set_timeslice(self, int64_t tslice_ns, bint at_boot) noexcept nogil:
        cdef CreditPool* pool = self.pool
        pool.tslice_ns = tslice_ns
        pool.ticks_per_tslice = 3 if tslice_ns >= 3 * MS_NS else 1
        pool.tick_period_ns = (tslice_ns // 1000 // pool.ticks_per_tslice) * 1000
        if self.rules.debit == DEBIT_SAMPLED:
            pool.credits_per_tslice = self.rules.credits_per_tick * pool.ticks_per_tslice
        else:
            pool.credits_per_tslice = CREDITS_PER_MS * tslice_ns // MS_NS
        if at_boot or self.rules.tslice_sets_pool:
            pool.pool_credit = pool.credits_per_tslice * self.m.num_pcpus

    # -- domains and vCPUs come and go ---------------------------------------------------------------------------

    cdef void insert_domain(self, int d) noexcept nogil:
        cdef CreditDomain* dom = &self.domain[d]
        dom.weight = 256
        dom.cap_pct = 0
        dom.num_active = 0
        dom.first_active = NO_VCPU
        dom.last_active = NO_VCPU
        dom.next = -1
        dom.prev = -1
        dom.is_active = 0

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef CreditVcpu* svc = &self.vcpu[v]
        svc.start_ns = 0
        svc.residual = 0
        svc.descheduled_at_ns = 0
        svc.credit = 0
        svc.priority = PRI_UNDER
        svc.next = NO_VCPU
        svc.prev = NO_VCPU
        svc.is_queued = 0
        svc.next_active = NO_VCPU
        svc.prev_active = NO_VCPU
        svc.is_active = 0
        svc.is_parked = 0
        svc.is_yielding = 0
        # Placement at creation leaves the mark of a move set; the first wake-up consumes it (4.7 on).
        svc.just_moved = 1
        if self.rules.starts_active:
            self._activate(v)

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef CreditVcpu* svc = &self.vcpu[v]
        if svc.is_queued:
            self._queue_remove(v)
        if svc.is_parked:
            svc.is_parked = 0
            self.hall.unpause_vcpu(v)
        if svc.is_active:
            self._deactivate(v)

    cdef void _activate(self, int v) noexcept nogil:
        """Put v at the head of its domain's active list, and the domain at the head of the active domains."""
        cdef int d = self.m.vcpu[v].domain
        cdef CreditDomain* dom = &self.domain[d]
        cdef CreditVcpu* svc = &self.vcpu[v]
        svc.is_active = 1
        svc.prev_active = NO_VCPU
        svc.next_active = dom.first_active
        if dom.first_active != NO_VCPU:
            self.vcpu[dom.first_active].prev_active = v
        else:
            dom.last_active = v
        dom.first_active = v
        dom.num_active += 1
        if self.rules.weight_per_vcpu:
            self.pool.weight += dom.weight
        if not dom.is_active:
            dom.is_active = 1
            self._domain_to_head(d)
            if not self.rules.weight_per_vcpu:
                self.pool.weight += dom.weight
        trace(self.m, TRACE_ACTIVE, self.m.vcpu[v].pcpu, v, d, 1)

    cdef void _deactivate(self, int v) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef CreditDomain* dom = &self.domain[d]
        cdef CreditVcpu* svc = &self.vcpu[v]
        svc.is_active = 0
        if svc.prev_active != NO_VCPU:
            self.vcpu[svc.prev_active].next_active = svc.next_active
        else:
            dom.first_active = svc.next_active
        if svc.next_active != NO_VCPU:
            self.vcpu[svc.next_active].prev_active = svc.prev_active
        else:
            dom.last_active = svc.prev_active
        dom.num_active -= 1
        if self.rules.weight_per_vcpu:
            self.pool.weight -= dom.weight
        if dom.num_active == 0:
            dom.is_active = 0
            self._domain_unlink(d)
            if not self.rules.weight_per_vcpu:
                self.pool.weight -= dom.weight
        trace(self.m, TRACE_ACTIVE, self.m.vcpu[v].pcpu, v, d, 0)

    cdef void _domain_to_head(self, int d) noexcept nogil:
        cdef CreditPool* pool = self.pool
        self.domain[d].prev = -1
        self.domain[d].next = pool.first_domain
        if pool.first_domain >= 0:
            self.domain[pool.first_domain].prev = d
        else:
            pool.last_domain = d
        pool.first_domain = d

    cdef void _domain_unlink(self, int d) noexcept nogil:
        cdef CreditPool* pool = self.pool
        cdef CreditDomain* dom = &self.domain[d]
        if dom.prev >= 0:
            self.domain[dom.prev].next = dom.next
        else:
            pool.first_domain = dom.next
        if dom.next >= 0:
            self.domain[dom.next].prev = dom.prev
        else:
            pool.last_domain = dom.prev

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void _queue_insert(self, int p, int v) noexcept nogil:
        """Insert before the first entry of strictly lower priority: behind its equals."""
        cdef CreditVcpu* vcpu = self.vcpu
        cdef CreditPcpu* pc = &self.pcpu[p]
        cdef int priority = vcpu[v].priority
        cdef int at = pc.head
        cdef int before
        while at != NO_VCPU and vcpu[at].priority >= priority:
            at = vcpu[at].next
        # A yielder steps over one more, unless that is idle or the last.
        if vcpu[v].is_yielding and at != NO_VCPU and vcpu[at].priority != PRI_IDLE and vcpu[at].next != NO_VCPU:
            at = vcpu[at].next
        before = vcpu[at].prev if at != NO_VCPU else pc.tail
        vcpu[v].next = at
        vcpu[v].prev = before
        if before != NO_VCPU:
            vcpu[before].next = v
        else:
            pc.head = v
        if at != NO_VCPU:
            vcpu[at].prev = v
        else:
            pc.tail = v
        vcpu[v].is_queued = 1

    cdef void _queue_remove(self, int v) noexcept nogil:
        cdef CreditVcpu* svc = &self.vcpu[v]
        cdef CreditPcpu* pc = &self.pcpu[self.m.vcpu[v].pcpu]
        if svc.prev != NO_VCPU:
            self.vcpu[svc.prev].next = svc.next
        else:
            pc.head = svc.next
        if svc.next != NO_VCPU:
            self.vcpu[svc.next].prev = svc.prev
        else:
            pc.tail = svc.prev
        svc.is_queued = 0
        if self.rules.yield_is_sticky:
            svc.is_yielding = 0

    cdef void _queue_sort(self, int p) noexcept nogil:
        """Stable partition: BOOST and UNDER in front in the order they have, all others behind in theirs."""
        cdef CreditVcpu* vcpu = self.vcpu
        cdef CreditPcpu* pc = &self.pcpu[p]
        cdef int front_head = NO_VCPU, front_tail = NO_VCPU, back_head = NO_VCPU, back_tail = NO_VCPU
        cdef int v = pc.head
        while v != NO_VCPU:
            if vcpu[v].priority >= PRI_UNDER:
                vcpu[v].prev = front_tail
                if front_tail != NO_VCPU:
                    vcpu[front_tail].next = v
                else:
                    front_head = v
                front_tail = v
            else:
                vcpu[v].prev = back_tail
                if back_tail != NO_VCPU:
                    vcpu[back_tail].next = v
                else:
                    back_head = v
                back_tail = v
            v = vcpu[v].next
        if front_head != NO_VCPU and back_head != NO_VCPU:
            vcpu[front_tail].next = back_head
            vcpu[back_head].prev = front_tail
            vcpu[back_tail].next = NO_VCPU
            pc.head = front_head
            pc.tail = back_tail

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        cdef CreditVcpu* svc = &self.vcpu[v]
        cdef int just_moved
        if is_current(self.m, v) or svc.is_queued:
            return
        if self.rules.has_boost:
            just_moved = svc.just_moved and not self.rules.boost_after_move
            svc.just_moved = 0
            if svc.priority == PRI_UNDER and not svc.is_parked and not just_moved:
                svc.priority = PRI_BOOST
                trace(self.m, TRACE_BOOST, self.m.vcpu[v].pcpu, v, 0, 1)
        self._queue_insert(self.m.vcpu[v].pcpu, v)
        self.pcpu[self.m.vcpu[v].pcpu].num_runnable += 1
        self._tickle(v)

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        if is_current(self.m, v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)
        elif self.vcpu[v].is_queued:
            self._queue_remove(v)
            self.pcpu[self.m.vcpu[v].pcpu].num_runnable -= 1

    cdef void yield_cpu(self, int v, int64_t now_ns) noexcept nogil:
        if self.rules.has_yield:
            self.vcpu[v].is_yielding = 1

    cdef void _ask(self, int p) noexcept nogil:
        trace(self.m, TRACE_TICKLE, self.m.clock.executing_pcpu, NO_VCPU, p, 0)
        if self.rules.tickle_clears_idle:
            mask_clear(self.pool.idle, p)
        raise_schedule(self.m, p)

    cdef void _tickle(self, int v) noexcept nogil:
        """Ask the pCPUs that should reschedule now that v waits."""
        cdef Machine* m = self.m
        cdef Vcpu* vc = &m.vcpu[v]
        cdef int n = m.num_words
        cdef int own = vc.pcpu
        cdef int cur = m.pcpu[own].curr
        cdef int priority = self.vcpu[v].priority
        cdef int cur_priority = self.vcpu[cur].priority
        cdef uint64_t* idle = self.pool.idle
        cdef uint64_t candidates[4]
        cdef int32_t* rotation
        cdef int p, step
        cdef bint any_idle
        if self.rules.tickle_rule == TICKLE_ALL_IDLERS:
            if priority > cur_priority:
                self._ask(own)
            if cur_priority > PRI_IDLE:
                mask_and(candidates, idle, vc.hard_affinity, n)
                p = mask_next(candidates, -1, n)
                while p >= 0:
                    self._ask(p)
                    p = mask_next(candidates, p, n)
            return
        if self.rules.pinned_fast_path and mask_count_and(vc.hard_affinity, m.online, n) == 1 and mask_test(idle, own):
            self._ask(own)
            return
        any_idle = not mask_is_empty(idle, n)
        if cur_priority == PRI_IDLE or (not any_idle and priority > cur_priority):
            self._ask(own)
            return
        if not any_idle:
            return
        for step in range(STEP_SOFT, STEP_HARD + 1):
            if not self._step_mask(v, step, candidates):
                continue
            mask_and(candidates, candidates, idle, n)
            if not mask_is_empty(candidates, n):
                if self.pool.tickle_one_idle:
                    rotation = &self.pcpu[m.clock.executing_pcpu].last_tickled
                    rotation[0] = mask_cycle(candidates, rotation[0], n)
                    self._ask(rotation[0])
                else:
                    p = mask_next(candidates, -1, n)
                    while p >= 0:
                        self._ask(p)
                        p = mask_next(candidates, p, n)
                return
        if priority > cur_priority:
            # An idle pCPU exists, but not one where v may run. The preempted one may be able to use it.
            if (self.rules.push_rule == PUSH_ALWAYS
                    or (self.rules.push_rule == PUSH_HARD_AFFINITY
                        and mask_intersects(m.vcpu[cur].hard_affinity, idle, n))):
                m.vcpu[cur].pause_flags |= PAUSE_MIGRATING
            self._ask(own)

    # -- placement -----------------------------------------------------------------------------------------------

    cdef bint _step_mask(self, int v, int step, uint64_t* out) noexcept nogil:
        """pCPUs allowed in a step of the two-step search; False where the soft step does not apply."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        if step == STEP_HARD:
            mask_and(out, vc.hard_affinity, self.m.online, self.m.num_words)
            return True
        if not (self.rules.soft_affinity and vc.soft_is_effective):
            return False
        mask_and(out, vc.soft_affinity, vc.hard_affinity, self.m.num_words)
        mask_and(out, out, self.m.online, self.m.num_words)
        return True

    cdef int pick_pcpu(self, int v) noexcept nogil:
        self.vcpu[v].just_moved = 1
        return self._place(v, True)

    cdef int _place(self, int v, bint commit) noexcept nogil:
        cdef uint64_t allowed[4]
        cdef int chosen = self.m.vcpu[v].pcpu
        cdef int step
        if not self.rules.repick_at_tick:
            return Scheduler.pick_pcpu(self, v)
        for step in range(STEP_SOFT, STEP_HARD + 1):
            if self._step_mask(v, step, allowed):
                chosen = self._place_in(v, allowed, commit)
                if mask_test(self.pool.idle, chosen):
                    break
        if commit:
            trace(self.m, TRACE_PICKED, self.m.vcpu[v].pcpu, v, chosen, 0)
        return chosen

    cdef int _place_in(self, int v, const uint64_t* allowed, bint commit) noexcept nogil:
        """The idlest place among `allowed`, preferring where v is."""
        cdef Machine* m = self.m
        cdef int n = m.num_words
        cdef int own = m.vcpu[v].pcpu
        cdef int x = own if mask_test(allowed, own) else mask_cycle(allowed, own, n)
        cdef int y, better, moved_by = -1, bar, w
        cdef const uint64_t* group_x
        cdef const uint64_t* group_y
        cdef uint64_t idle[4]
        cdef uint64_t candidates[4]
        cdef uint64_t group[4]
        cdef int head
        for w in range(n):
            idle[w] = self.pool.idle[w]
        if not self.rules.count_self_idle:
            mask_set(idle, x)
        else:
            head = self.pcpu[x].head
            # Only idle may wait here; if v itself were counted as load it would never stay.
            if x == own and (head == NO_VCPU or self.vcpu[head].priority == PRI_IDLE):
                mask_set(idle, x)
        mask_and(candidates, allowed, idle, n)
        if self.rules.count_self_idle and not mask_test(candidates, x):
            y = mask_cycle(candidates, x, n)
            if y >= 0:
                x = y
        mask_clear(candidates, x)
        if m.threads_per_core == 1 and m.num_sockets == 1:
            return x  # every core is as idle as any other: nothing beats x
        while True:
            y = mask_cycle(candidates, x, n)
            if y < 0:
                break
            if m.topology[x].socket == m.topology[y].socket:
                group_x = m.topology[x].core_mask
                group_y = m.topology[y].core_mask
                bar = 1
            else:
                group_x = m.topology[x].socket_mask
                group_y = m.topology[y].socket_mask
                bar = self.rules.socket_bar
            if mask_count_and(group_x, idle, n) * bar < mask_count_and(group_y, idle, n):
                if self.rules.idle_bias:
                    mask_and(group, group_y, candidates, n)
                    better = mask_cycle(group, self.pcpu[y].idle_bias, n)
                    moved_by = y
                    x = better
                    mask_drop(candidates, m.topology[x].core_mask, n)
                else:
                    x = y
                    mask_clear(candidates, y)
            else:
                mask_drop(candidates, group_y, n)
        if commit and moved_by >= 0:
            self.pcpu[moved_by].idle_bias = x
        return x

    cdef void migrate(self, int v, int p) noexcept nogil:
        self.m.vcpu[v].pcpu = p

    # -- the decision --------------------------------------------------------------------------------------------

    cdef void _debit(self, int v, int64_t now_ns) noexcept nogil:
        """Charge v for the time since it was last charged."""
        cdef CreditVcpu* svc = &self.vcpu[v]
        cdef int64_t ran_ns = now_ns - svc.start_ns
        cdef int64_t cost, credits
        if ran_ns <= 0:
            return
        cost = CREDITS_PER_MS * ran_ns + svc.residual
        credits = cost // MS_NS
        svc.residual = cost - credits * MS_NS
        svc.credit -= credits
        # The remainder is kept here as well, as Xen keeps it twice.
        svc.start_ns += credits * CREDIT_NS

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditPool* pool = self.pool
        cdef CreditPcpu* pc = &self.pcpu[p]
        cdef Decision decision
        cdef int cur = m.pcpu[p].curr
        cdef int idle = m.max_vcpus + p
        cdef CreditVcpu* scur = &self.vcpu[cur]
        cdef bint cur_runnable = is_runnable(m, cur)
        cdef bint sampled = self.rules.debit == DEBIT_SAMPLED
        cdef int next, stolen
        cdef int64_t ran_ns
        if cur != idle:
            if not sampled:
                self._debit(cur, now_ns)
                scur.start_ns -= now_ns
            scur.descheduled_at_ns = now_ns
            ran_ns = now_ns - m.vcpu[cur].switch_at_ns
            if (pool.ratelimit_ns != 0 and cur_runnable and ran_ns < pool.ratelimit_ns
                    and (self.rules.ratelimit_rule == RATELIMIT_FULL or not scur.is_yielding)):
                scur.start_ns += now_ns
                trace(m, TRACE_RATELIMIT, p, cur, 0, ran_ns)
                decision.next_vcpu = cur
                if self.rules.ratelimit_rule == RATELIMIT_FULL:
                    decision.slice_ns = pool.ratelimit_ns
                elif self.rules.min_slice_guard and ran_ns < MIN_TIMER_NS:
                    decision.slice_ns = MIN_TIMER_NS
                else:
                    decision.slice_ns = pool.ratelimit_ns - ran_ns
                return decision
        if cur_runnable:
            self._queue_insert(p, cur)
        else:
            pc.num_runnable -= 1
        next = pc.head
        if self.vcpu[next].priority <= PRI_OVER:
            stolen = NO_VCPU
            if pool.balance_ratelimit_ns == 0:
                stolen = self._steal(p, self.vcpu[next].priority, now_ns)
            elif now_ns - pc.last_balance_ns > pool.balance_ratelimit_ns:
                pc.last_balance_ns = now_ns
                stolen = self._steal(p, self.vcpu[next].priority, now_ns)
            if stolen != NO_VCPU:
                next = stolen
            else:
                self._queue_remove(next)
        else:
            self._queue_remove(next)
        if not self.rules.yield_is_sticky:
            scur.is_yielding = 0
        decision.next_vcpu = next
        if next == idle:
            if not mask_test(pool.idle, p):
                mask_set(pool.idle, p)
            if not pool.free_running_ticks:
                timer_disarm(m, tick_timer(m, p))
            decision.slice_ns = FIXED_SLICE_NS if self.rules.idle_slice else -1
        else:
            mask_clear(pool.idle, p)
            if cur == idle and not pool.free_running_ticks:
                timer_arm_hypervisor(
                    m, tick_timer(m, p), now_ns + pool.tick_period_ns - now_ns % pool.tick_period_ns
                )
            if not sampled:
                self.vcpu[next].start_ns += now_ns
            decision.slice_ns = pool.tslice_ns
        return decision

    cdef int _steal(self, int p, int best_priority, int64_t now_ns) noexcept nogil:
        """A vCPU of strictly higher priority waiting elsewhere, taken off its queue; or NO_VCPU."""
        cdef Machine* m = self.m
        cdef int n = m.num_words
        cdef int peer, k, first, stolen, step, w, node, socket
        cdef uint64_t workers[4]
        cdef uint64_t in_node[4]
        if self.rules.steal_rule == STEAL_RING:
            for k in range(1, m.num_pcpus):
                peer = (p + k) % m.num_pcpus
                stolen = self._steal_from(peer, p, best_priority, STEP_HARD, now_ns)
                if stolen != NO_VCPU:
                    return stolen
            return NO_VCPU
        for w in range(n):
            workers[w] = m.online[w] & ~self.pool.idle[w]
        mask_clear(workers, p)
        if mask_is_empty(workers, n):
            return NO_VCPU
        for step in range(STEP_HARD if not self.rules.soft_affinity else STEP_SOFT, STEP_HARD + 1):
            if self.rules.steal_rule == STEAL_RING_BUSY or self.rules.steal_rule == STEAL_ASCENDING:
                first = mask_cycle(workers, p if self.rules.steal_rule == STEAL_RING_BUSY else -1, n)
                peer = first
                while True:
                    stolen = self._steal_from(peer, p, best_priority, step, now_ns)
                    if stolen != NO_VCPU:
                        return stolen
                    peer = mask_cycle(workers, peer, n)
                    if peer == first:
                        break
                continue
            # Own node first, then the others round; a node is a socket here.
            socket = m.topology[p].socket
            for k in range(m.num_sockets):
                node = mask_next(m.topology[p].socket_mask, -1, n)
                for w in range(n):
                    in_node[w] = workers[w] & m.topology[node].socket_mask[w]
                first = mask_cycle(in_node, self.pcpu[node].node_bias, n)
                peer = first
                while peer >= 0:
                    if self.pcpu[peer].num_runnable > 1:
                        stolen = self._steal_from(peer, p, best_priority, step, now_ns)
                        if stolen != NO_VCPU:
                            self.pcpu[node].node_bias = peer
                            return stolen
                    peer = mask_cycle(in_node, peer, n)
                    if peer == first:
                        break
                if m.num_sockets == 1:
                    break
                # First pCPU of the next socket, cyclically by socket number.
                socket = (socket + 1) % m.num_sockets
                for peer in range(m.num_pcpus):
                    if m.topology[peer].socket == socket:
                        break
        return NO_VCPU

    cdef int _steal_from(self, int peer, int p, int best_priority, int step, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditVcpu* svc
        cdef int v
        if m.vcpu[m.pcpu[peer].curr].is_idle:
            return NO_VCPU
        v = self.pcpu[peer].head
        while v != NO_VCPU:
            svc = &self.vcpu[v]
            if svc.priority <= best_priority or svc.priority <= PRI_IDLE:
                return NO_VCPU
            if not (
                (self.rules.yield_is_sticky and svc.is_yielding)
                or (step == STEP_SOFT and not m.vcpu[v].soft_is_effective)
                or not mask_test(m.vcpu[v].hard_affinity, p)
                or (step == STEP_SOFT and not mask_test(m.vcpu[v].soft_affinity, p))
                or (self.pool.migration_delay_ns != 0
                    and now_ns - svc.descheduled_at_ns < self.pool.migration_delay_ns)
            ):
                self._queue_remove(v)
                self.pcpu[peer].num_runnable -= 1
                self.pcpu[p].num_runnable += 1
                m.vcpu[v].pcpu = p
                trace(m, TRACE_STOLEN, p, v, peer, 0)
                return v
            v = svc.next
        return NO_VCPU

    # -- tick and accounting -------------------------------------------------------------------------------------

    cdef void tick(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditPool* pool = self.pool
        cdef CreditPcpu* pc = &self.pcpu[p]
        cdef int cur = m.pcpu[p].curr
        cdef CreditVcpu* scur = &self.vcpu[cur]
        if not m.vcpu[cur].is_idle:
            if scur.priority == PRI_BOOST:
                scur.priority = PRI_UNDER
                trace(m, TRACE_BOOST, p, cur, 0, 0)
            if self.rules.debit == DEBIT_SAMPLED:
                scur.credit -= self.rules.credits_per_tick
            else:
                self._debit(cur, now_ns)
            if not scur.is_active:
                self._activate(cur)
            elif self.rules.repick_at_tick and self._place(cur, False) != p:
                m.vcpu[cur].pause_flags |= PAUSE_MIGRATING
                raise_schedule(m, p)
        pc.ticks += 1
        if self.rules.ticks_account and p == 0 and pc.ticks % pool.ticks_per_tslice == 0:
            self.accounting(now_ns)
        if pc.sorted_epoch != pool.epoch:
            pc.sorted_epoch = pool.epoch
            self._queue_sort(p)
        timer_arm_hypervisor(m, tick_timer(m, p), now_ns + pool.tick_period_ns)

    cdef void accounting(self, int64_t now_ns) noexcept nogil:
        """Hand out the period's credits by weight, bounded by what a domain can use and by its cap."""
        cdef Machine* m = self.m
        cdef CreditPool* pool = self.pool
        cdef CreditDomain* dom
        cdef int64_t debt = -pool.balance if pool.balance < 0 else 0
        cdef int64_t total = pool.pool_credit + debt
        cdef int64_t all_weight = pool.weight
        cdef int64_t weight_left = all_weight
        cdef int64_t balance = 0
        cdef int64_t effective, ceiling, allowance, cap_share, fair, grant
        cdef int d, next_d, v, next_v
        cdef bint hungry_before = False
        if not self.rules.ticks_account:
            timer_arm_hypervisor(m, accounting_timer(m), now_ns + pool.tslice_ns)
        m.clock.executing_pcpu = 0
        if all_weight == 0:
            pool.balance = 0
            self._trace_credits()
            return
        d = pool.first_domain
        while d >= 0:
            dom = &self.domain[d]
            next_d = dom.next
            effective = dom.weight
            if self.rules.weight_per_vcpu:
                effective *= dom.num_active
            weight_left -= effective
            ceiling = dom.num_active * pool.credits_per_tslice
            if debt > 0:
                ceiling += ceil_div(debt * effective, all_weight)
            cap_share = 0
            if dom.cap_pct != 0:
                allowance = ceil_div(dom.cap_pct * pool.credits_per_tslice, 100)
                ceiling = min(ceiling, allowance)
                cap_share = ceil_div(allowance, dom.num_active)
            fair = ceil_div(total * effective, all_weight)
            if fair < ceiling:
                hungry_before = True
                grant = fair
            else:
                grant = ceiling
                if weight_left > 0:
                    total += ceil_div((fair - ceiling) * all_weight, weight_left)
                if hungry_before and pool.first_domain != d:
                    # Next time its surplus reaches those that wanted more.
                    self._domain_unlink(d)
                    self._domain_to_head(d)
            grant = ceil_div(grant, dom.num_active)
            v = dom.first_active
            while v != NO_VCPU:
                next_v = self.vcpu[v].next_active
                balance += self._account_vcpu(v, grant, cap_share, dom.cap_pct != 0)
                v = next_v
            d = next_d
        pool.balance = balance
        pool.epoch += 1
        self._trace_credits()

    cdef void _trace_credits(self) noexcept nogil:
        cdef Machine* m = self.m
        cdef int v
        if m.trace_mode == TRACE_OFF:
            return
        trace(m, TRACE_ACCOUNTING, 0, NO_VCPU, 0, self.pool.balance)
        for v in range(m.max_vcpus):
            if m.vcpu[v].in_use:
                trace(m, TRACE_CREDIT, 0, v, self.vcpu[v].priority + (0 if self.vcpu[v].is_active else TRACE_INACTIVE),
                      self.vcpu[v].credit)

    cdef int64_t _account_vcpu(self, int v, int64_t grant, int64_t cap_share, bint is_capped) noexcept nogil:
        """Credit one vCPU, set its class, park or release it; returns what it adds to the balance."""
        cdef CreditVcpu* svc = &self.vcpu[v]
        cdef int64_t limit = self.pool.credits_per_tslice
        cdef int64_t before_reset
        cdef int pcpu = self.m.vcpu[v].pcpu
        svc.credit += grant
        if svc.credit < 0:
            svc.priority = PRI_OVER
            if is_capped and self.rules.cap_rule == CAP_PRIORITY:
                svc.priority = PRI_PARKED
            elif is_capped and svc.credit < -cap_share and not svc.is_parked:
                svc.is_parked = 1
                trace(self.m, TRACE_PARK, pcpu, v, 0, 1)
                self.hall.pause_vcpu(v)
            if svc.credit < -limit:
                svc.credit = -limit
            return svc.credit
        svc.priority = PRI_UNDER
        if svc.is_parked:
            trace(self.m, TRACE_PARK, pcpu, v, 0, 0)
            if self.rules.unpark_rule == UNPARK_BOOSTED:
                svc.is_parked = 0
                self.hall.unpause_vcpu(v)
            else:
                self.hall.unpause_vcpu(v)
                svc.is_parked = 0
        if svc.credit > limit:
            before_reset = svc.credit
            self._deactivate(v)
            svc.credit = svc.credit // 2 if self.rules.halve_on_leave else 0
            if self.rules.balance_before_reset:
                return before_reset
        return svc.credit

    # -- parameters ----------------------------------------------------------------------------------------------

    def tunables(self):
        return [
            Tunable("weight", 1, MAX_WEIGHT, DEFAULT_WEIGHT, log_scale=True),
            Tunable("cap", 0, None, 0, log_scale=False, zero_means_none=True),
        ]

    def adjust_domain(self, int d, params):
        domid = self.m.domain[d].domid
        where = f"domain {domid}, scheduler credit {self.version}"
        unknown = set(params) - {"weight", "cap"}
        if unknown:
            raise ValueError(f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected weight or cap")
        cdef int weight = self.domain[d].weight
        cdef int cap_pct = self.domain[d].cap_pct
        if "weight" in params:
            weight = _integer(where, "weight", params["weight"], 1, MAX_WEIGHT)
        if "cap" in params:
            cap_pct = _integer(where, "cap (percent of one pCPU, 0 for none)", params["cap"], 0,
                               100 * self.m.domain[d].num_vcpus)
        with nogil:
            self._apply_domain(d, weight, cap_pct, self.m.clock.now_ns)

    def domain_params(self, int d):
        return {"weight": self.domain[d].weight, "cap": self.domain[d].cap_pct}

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        if values[0] != self.domain[d].weight or values[1] != self.domain[d].cap_pct:
            self._apply_domain(d, <int32_t>values[0], <int32_t>values[1], now_ns)

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        values[0] = self.domain[d].weight
        values[1] = self.domain[d].cap_pct

    cdef void _apply_domain(self, int d, int32_t weight, int32_t cap_pct, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditDomain* dom = &self.domain[d]
        cdef int v, first = m.domain[d].first_vcpu
        if dom.is_active:
            self.pool.weight += (weight - dom.weight) * (dom.num_active if self.rules.weight_per_vcpu else 1)
        dom.weight = weight
        dom.cap_pct = cap_pct
        if not self.rules.params_pause:
            return
        # In 3.x the control call pauses the domain: what waits is taken off its queue and woken again.
        for v in range(first, first + m.domain[d].num_vcpus):
            if not is_current(m, v):
                self.hall.pause_vcpu(v)
        for v in range(first, first + m.domain[d].num_vcpus):
            if not is_current(m, v):
                m.clock.executing_pcpu = 0
                self.hall.unpause_vcpu(v)

    def adjust(self, params):
        where = f"scheduler credit {self.version}"
        unknown = set(params) - {"tslice_ms", "ratelimit_us", "migration_delay_us"}
        if unknown:
            raise ValueError(
                f"{where}: unknown parameter {', '.join(sorted(unknown))}; "
                "expected tslice_ms, ratelimit_us or migration_delay_us"
            )
        tslice_ms = params.get("tslice_ms", self.pool.tslice_ns // MS_NS)
        _integer(where, "tslice_ms", tslice_ms, 1, 1000)
        if self.rules_table.timeslice_fixed and "tslice_ms" in params:
            raise ValueError(f"{where}: the timeslice cannot be set before Xen 4.2")
        ratelimit_us = self._check_ratelimit(where, params.get("ratelimit_us", self.pool.ratelimit_ns // 1000), tslice_ms)
        delay_us = _integer(where, "migration_delay_us",
                            params.get("migration_delay_us", self.pool.migration_delay_ns // 1000), 0, 100_000)
        self.pool.ratelimit_ns = 1000 * ratelimit_us
        self.pool.migration_delay_ns = 1000 * delay_us
        if "tslice_ms" in params:
            self._set_timeslice(tslice_ms * MS_NS, False)

    def params(self):
        return {
            "tslice_ms": self.pool.tslice_ns // MS_NS,
            "ratelimit_us": self.pool.ratelimit_ns // 1000,
            "migration_delay_us": self.pool.migration_delay_ns // 1000,
        }

    def set_phase(self, first_tick_ns, first_accounting_ns):
        """Set when each pCPU ticks first and when accounting first runs (ns after the start).

        Real machines' phases depend on boot order, and sampled debit is sensitive to them.
        """
        cdef Machine* m = self.m
        cdef int p
        if len(first_tick_ns) != m.num_pcpus:
            raise ValueError(f"first_tick_ns: expected one entry for each of {m.num_pcpus} pCPUs, found {len(first_tick_ns)}")
        if self.rules.ticks_account:
            # The third tick of pCPU 0 accounts; the phase says which of its ticks that is.
            ahead = (first_accounting_ns - first_tick_ns[0]) // self.pool.tick_period_ns
            self.pcpu[0].ticks = (self.pool.ticks_per_tslice - 1 - ahead) % self.pool.ticks_per_tslice
        else:
            timer_arm_hypervisor(m, accounting_timer(m), first_accounting_ns)
        for p in range(m.num_pcpus):
            timer_arm_hypervisor(m, tick_timer(m, p), first_tick_ns[p])


def _rebuild(version, options):
    return CreditScheduler(version, **options)
