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

Releases differ in what matters to fairness and delay: `credit_rules.py` is their table. The engine is one, in four parts:
`credit_state` (lists), `credit_placement` (where), `credit_accounting` (what it costs), and here the decision (who is next)
and the parameters.

Simplified against Xen: lock contention never makes a search fail; credit products are 64 bit, where Xen's wrap at 32
(weights of tens of thousands on many CPUs).

Sources: Xen's scheduler by release (see `credit_rules.py`); wiki.xen.org/wiki/CreditScheduler.
"""
from libc.stdint cimport int32_t, int64_t
from xengym.machine.mask cimport mask_clear, mask_next, mask_set
from xengym.machine.state cimport NO_VCPU, Machine, is_current, is_runnable, pool_timer, tick_timer
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Hypervisor
from xengym.policies.schedulers.credit_accounting cimport CreditAccounting
from xengym.policies.schedulers.credit_state cimport (
    DEBIT_SAMPLED, PRI_BOOST, PRI_IDLE, PRI_OVER, PRI_UNDER, RATELIMIT_FULL, RATELIMIT_NONE, CreditDomain, CreditPcpu,
    CreditPool, CreditVcpu,
)
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from xengym.sim.trace cimport TRACE_BOOST, TRACE_RATELIMIT, trace

import dataclasses

from xengym.policies.schedulers.credit_rules import CREDIT_RELEASES, credit_rules
from xengym.policies.schedulers.tunables import Share, Tunable, check_integer, weight_and_cap

cdef int64_t CREDITS_PER_MS = 10
cdef int64_t MIN_TIMER_NS = 100_000       # shortest slice after 4.8
cdef int64_t MS_NS = 1_000_000
cdef int64_t LONG_AGO_NS = -10_000_000_000  # before the start by more than any rate limit
cdef int64_t FIXED_SLICE_NS = 30_000_000  # the idle slice of 3.x

DEFAULT_WEIGHT = 256
MAX_WEIGHT = 65535


cdef class CreditScheduler(CreditAccounting):
    """Xen's Credit scheduler of a named release.

    Args:
        version: a key of ``CREDIT_RELEASES``; default the current release.
        tslice_ms: timeslice at boot, 1..1000 ms (fixed at 30 before Xen 4.2).
        ratelimit_us: 0 (off) or 100..500000, at most the timeslice; not before 4.2.
        migration_delay_us: 0..100000; a vCPU descheduled more recently is cache-hot and not stolen.
        tickle_one_idle: wake one idle pCPU (default) or all.
        idle_ticks: keep ticking on idle pCPUs; default as the release does.
    """

    versions = tuple(CREDIT_RELEASES)

    def __init__(self, version="current", *, tslice_ms=30, ratelimit_us=None, migration_delay_us=0,
                 tickle_one_idle=True, idle_ticks=None):
        rules = credit_rules(version)
        self.name = "credit"
        self.version = rules.release
        self.rules_table = rules
        self.rules = {f.name: int(getattr(rules, f.name)) for f in dataclasses.fields(rules) if f.name != "release"}
        where = f"scheduler credit {rules.release}"
        self.options = {"tslice_ms": check_integer(where, "tslice_ms", tslice_ms, 1, 1000)}
        if rules.timeslice_fixed and tslice_ms != 30:
            raise ValueError(f"{where}: tslice_ms is fixed at 30 before Xen 4.2, found {tslice_ms}")
        has_ratelimit = self.rules.ratelimit_rule != RATELIMIT_NONE
        if ratelimit_us is None:
            ratelimit_us = min(1000, 1000 * tslice_ms) if has_ratelimit else 0
        self.options["ratelimit_us"] = self._check_ratelimit(where, ratelimit_us, tslice_ms)
        self.options["migration_delay_us"] = check_integer(where, "migration_delay_us", migration_delay_us, 0, 100_000)
        self.options["tickle_one_idle"] = bool(tickle_one_idle)
        self.options["idle_ticks"] = not rules.ticks_stop_on_idle if idle_ticks is None else bool(idle_ticks)

    def __reduce__(self):
        options = dict(self.options)
        return _rebuild, (self.version, options)

    def _check_ratelimit(self, where, value, tslice_ms):
        if self.rules.ratelimit_rule == RATELIMIT_NONE and value:
            raise ValueError(f"{where}: there is no ratelimit before Xen 4.2, found ratelimit_us={value!r}")
        check_integer(where, "ratelimit_us", value, 0, 500_000)
        if value and value < 100:
            raise ValueError(f"{where}: ratelimit_us must be 0 or 100..500000, found {value}")
        if value > 1000 * tslice_ms:
            raise ValueError(f"{where}: ratelimit_us must not exceed the timeslice of {tslice_ms} ms, found {value}")
        return int(value)

    # -- set-up --------------------------------------------------------------------------------------------------

    def bind(self, views):
        CreditAccounting.bind(self, views)
        options = self.options
        self.pool.ratelimit_ns = 1000 * options["ratelimit_us"]
        self.pool.migration_delay_ns = 1000 * options["migration_delay_us"]
        self.pool.tickle_one_idle = options["tickle_one_idle"]
        self.pool.free_running_ticks = options["idle_ticks"]
        self._set_timeslice(options["tslice_ms"] * MS_NS, True)

    cdef void start(self, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditPool* pool = self.pool
        pool.balance_ratelimit_ns = self.rules.balance_ratelimit_ns
        pool.first_domain = -1
        pool.last_domain = -1
        # Accounting is armed first, so it precedes the first pCPU's tick wherever the two coincide.
        if not self.rules.ticks_account:
            timer_arm_hypervisor(m, pool_timer(m, self.cpupool), now_ns + pool.tslice_ns)

    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditPool* pool = self.pool
        cdef CreditPcpu* pc = &self.pcpu[p]
        pc.head = NO_VCPU
        pc.tail = NO_VCPU
        pc.num_runnable = 0
        pc.sorted_epoch = pool.epoch
        pc.idle_bias = m.num_pcpus - 1
        pc.node_bias = m.num_pcpus - 1
        pc.last_balance_ns = LONG_AGO_NS
        self.vcpu[m.max_vcpus + p].priority = PRI_IDLE
        mask_set(pool.idle, p)
        self._resize_pool(1)
        if pool.free_running_ticks:
            timer_arm_hypervisor(m, tick_timer(m, p), now_ns + pool.tick_period_ns)

    cdef void remove_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        mask_clear(self.pool.idle, p)
        timer_disarm(self.m, tick_timer(self.m, p))
        self._resize_pool(-1)

    cdef void _resize_pool(self, int change) noexcept nogil:
        cdef CreditPool* pool = self.pool
        pool.num_pcpus += change
        pool.pool_credit += change * pool.credits_per_tslice
        pool.master = mask_next(self.pool_pcpus, -1, self.m.num_words)

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
            pool.pool_credit = pool.credits_per_tslice * pool.num_pcpus

    # -- run queue -----------------------------------------------------------------------------------------------

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

    # -- the decision --------------------------------------------------------------------------------------------

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

    # -- parameters ----------------------------------------------------------------------------------------------

    def tunables(self):
        return [
            Tunable("weight", 1, MAX_WEIGHT, DEFAULT_WEIGHT, log_scale=True),
            Tunable("cap", 0, None, 0, log_scale=False, zero_means_none=True),
        ]

    def check_domain_params(self, where, num_vcpus, params):
        unknown = set(params) - {"weight", "cap"}
        if unknown:
            raise ValueError(f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected weight or cap")
        if "weight" in params:
            check_integer(where, "weight", params["weight"], 1, MAX_WEIGHT)
        if "cap" in params:
            check_integer(where, "cap (percent of one pCPU, 0 for none)", params["cap"], 0, 100 * num_vcpus)

    def adjust_domain(self, int d, params):
        where = f"domain {self.m.domain[d].domid}, scheduler credit {self.version}"
        self.check_domain_params(where, self.m.domain[d].num_vcpus, params)
        cdef int weight = params.get("weight", self.domain[d].weight)
        cdef int cap_pct = params.get("cap", self.domain[d].cap_pct)
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
                m.clock.executing_pcpu = self.pool.master
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
        check_integer(where, "tslice_ms", tslice_ms, 1, 1000)
        if self.rules_table.timeslice_fixed and "tslice_ms" in params:
            raise ValueError(f"{where}: the timeslice cannot be set before Xen 4.2")
        ratelimit_us = self._check_ratelimit(where, params.get("ratelimit_us", self.pool.ratelimit_ns // 1000), tslice_ms)
        delay_us = check_integer(where, "migration_delay_us",
                            params.get("migration_delay_us", self.pool.migration_delay_ns // 1000), 0, 100_000)
        self.pool.ratelimit_ns = 1000 * ratelimit_us
        self.pool.migration_delay_ns = 1000 * delay_us
        if "tslice_ms" in params:
            self._set_timeslice(tslice_ms * MS_NS, False)

    def share(self, int d):
        cap_pct = self.domain[d].cap_pct
        return Share(weight=self.domain[d].weight, cap_pct=cap_pct or None)

    def params_from(self, share, num_vcpus):
        return weight_and_cap(share, num_vcpus)

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
            self.pcpu[self.pool.master].ticks = (self.pool.ticks_per_tslice - 1 - ahead) % self.pool.ticks_per_tslice
        else:
            timer_arm_hypervisor(m, pool_timer(m, self.cpupool), first_accounting_ns)
        for p in range(m.num_pcpus):
            timer_arm_hypervisor(m, tick_timer(m, p), first_tick_ns[p])


def _rebuild(version, options):
    return CreditScheduler(version, **options)
