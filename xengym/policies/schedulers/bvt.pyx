"""BVT, borrowed virtual time: fair in the long run, and early for those who may borrow from their future.

Design. Running moves a vCPU's *actual virtual time* A on, by an *advance* for every minimum charging unit (MCU, 100 us)
that it uses; shares are inverse to advances, so a domain's weight is 1 / mcu_adv. The vCPU with the least *effective*
virtual time runs:

    E  =  A - W  while the domain warps,  A otherwise .

A warp W lets it run before its turn and pay afterwards: latency is bought, not share. How long it may run warped, and
how long not then, is limited by two timers of the domain. The virtual time of the system, S, is the least A of those
that can run; whoever wakes up starts from max(A, S), so sleeping earns nothing. To keep switches rare, a vCPU may
overrun the next one by the *context switch allowance* C of real time:

    slice  =  (E(next best) - E(chosen)) / advance  +  C .

In Xen the quotient is a number of MCUs and is added to C as if it were nanoseconds, so every slice is C; and 3.0.2
charges a vCPU that goes on for its whole stretch again. The profile "ideal" is the published algorithm; `bvt_rules.py`
is the table. Virtual times of Xen have 32 bits without sign: a warp that is larger than A wraps round and puts the
domain last, and near the end of the range each pCPU's times are set back.

Each pCPU is on its own: nothing moves a vCPU but its affinity.

Simplified against Xen: the allowance is at least 10 us (Xen raises a smaller one when it is next read back, and stands
still at 0). Where a warp begins or ends and a pass is due, it is on the pCPUs of all vCPUs of the domain.

Sources: Xen 2.0.6 to 3.0.2 (see `bvt_rules.py`); Duda and Cheriton, SOSP 1999.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t
from xengym.machine.state cimport NO_VCPU, Machine, is_current, is_runnable, policy_timer, slice_timer
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Hypervisor
from xengym.policies.schedulers.bvt_state cimport XEN_MAX, BvtDomain, BvtPcpu, BvtState, BvtVcpu
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm

import dataclasses

from xengym.policies.schedulers.bvt_rules import BVT_RELEASES, bvt_rules
from xengym.policies.schedulers.tunables import Share, Tunable, check_integer

cdef int64_t US_NS = 1_000
cdef int64_t MS_NS = 1_000_000
cdef int64_t DEFAULT_MCU_NS = 100 * US_NS
cdef int64_t MIN_CTX_ALLOW_NS = 10 * US_NS
cdef int64_t MAX_CTX_ALLOW_NS = 1_000 * MS_NS
cdef int64_t ALONE_ALLOWANCES = 10                 # a slice without a rival: so many context switch allowances
cdef int WARP_TIMER = 0
cdef int UNWARP_TIMER = 1

DEFAULT_MCU_ADV = 10
MAX_MCU_ADV = 65535
MAX_WARPVALUE = 2**31 - 1
MAX_WARP_MS = 2**31 - 1
#: Weight times advance: the default advance is everybody's default weight of 256.
SHARE_TIMES_ADVANCE = 2560
_PARAMS = ("mcu_adv", "warpback", "warpvalue", "warpl_ms", "warpu_ms")


cdef class BvtScheduler(BvtState):
    """Borrowed virtual time of a named release of Xen, or as published.

    Domain parameters: ``mcu_adv`` (inverse weight), ``warpback`` (0 or 1: may warp), ``warpvalue`` (units of virtual
    time, as ``mcu_adv``), ``warpl_ms`` (longest warp, 0: no limit), ``warpu_ms`` (time without warp after it).

    Args:
        version: a key of ``BVT_RELEASES``; default the last release of Xen, 3.0.2.
        ctx_allow_ns: context switch allowance, 10 us..1 s.
        mcu_ns: minimum charging unit, 1 us..1 ms; fixed at 100 us but for "ideal", which charges exactly: there it says
            how much time a warp value is worth.
    """

    versions = tuple(BVT_RELEASES)

    def __init__(self, version="current", *, ctx_allow_ns=5_000_000, mcu_ns=100_000):
        rules = bvt_rules(version)
        self.name = "bvt"
        self.version = rules.release
        self.rules_table = rules
        self.rules = {f.name: int(getattr(rules, f.name)) for f in dataclasses.fields(rules) if f.name != "release"}
        where = f"scheduler bvt {rules.release}"
        self.options = {
            "ctx_allow_ns": check_integer(where, "ctx_allow_ns", ctx_allow_ns, MIN_CTX_ALLOW_NS, MAX_CTX_ALLOW_NS),
            "mcu_ns": check_integer(where, "mcu_ns", mcu_ns, US_NS, MS_NS),
        }
        if rules.whole_mcus and mcu_ns != DEFAULT_MCU_NS:
            raise ValueError(f"{where}: mcu_ns is fixed at {DEFAULT_MCU_NS} in Xen, found {mcu_ns}")
        self.mcu_ns = mcu_ns

    def __reduce__(self):
        return _rebuild, (self.version, dict(self.options))

    # -- set-up --------------------------------------------------------------------------------------------------

    def bind(self, views):
        BvtState.bind(self, views)
        self.pool.ctx_allow_ns = self.options["ctx_allow_ns"]

    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        self.pcpu[p].svt = 0
        self.pcpu[p].head = NO_VCPU
        self.pcpu[p].tail = NO_VCPU

    cdef void insert_domain(self, int d) noexcept nogil:
        cdef BvtDomain* dom = &self.domain[d]
        dom.mcu_adv = 10
        dom.warpback = 0
        dom.is_warping = 0
        dom.warp_value = 0
        dom.warp_limit_ns = 2_000 * MS_NS
        dom.unwarp_ns = 1_000 * MS_NS

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef BvtVcpu* svc = &self.vcpu[v]
        svc.avt = self.pcpu[self.m.vcpu[v].pcpu].svt
        svc.evt = svc.avt
        svc.charged_to_ns = 0
        svc.next = NO_VCPU
        svc.prev = NO_VCPU
        svc.is_queued = 0
        svc.has_moved = 0
        svc.is_inserted = 1

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        self.vcpu[v].is_inserted = 0

    cdef void remove_domain(self, int d) noexcept nogil:
        timer_disarm(self.m, policy_timer(self.m, d, WARP_TIMER))
        timer_disarm(self.m, policy_timer(self.m, d, UNWARP_TIMER))

    cdef void migrate(self, int v, int p) noexcept nogil:
        if self.m.vcpu[v].pcpu != p:
            self.m.vcpu[v].pcpu = p
            self.vcpu[v].has_moved = 1

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        cdef BvtVcpu* svc = &self.vcpu[v]
        cdef BvtPcpu* pc = &self.pcpu[self.m.vcpu[v].pcpu]
        if svc.is_queued:
            return
        if self.rules.holds_allowance:
            pc.svt = self._least_avt(self.m.vcpu[v].pcpu, now_ns)
        self._link(v, True)
        if svc.avt < pc.svt or svc.has_moved:
            svc.avt = pc.svt
        svc.has_moved = 0
        svc.evt = self._effective(v, svc.avt)
        self._preempt(v, now_ns)

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        if is_current(self.m, v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)
        elif self.vcpu[v].is_queued:
            self._unlink(v)

    # -- the decision --------------------------------------------------------------------------------------------

    cdef void _preempt(self, int v, int64_t now_ns) noexcept nogil:
        """v has woken up: ask for a pass now, or see to it that the present slice does not last too long."""
        cdef Machine* m = self.m
        cdef int p = m.vcpu[v].pcpu
        cdef int cur = m.pcpu[p].curr
        cdef int64_t cur_evt, ahead, at_ns
        cdef int64_t advance
        if m.vcpu[cur].is_idle:
            raise_schedule(m, p)
            return
        cur_evt = self._effective(cur, self._charged(cur, now_ns))
        advance = self._domain_of(cur).mcu_adv
        ahead = self.vcpu[v].evt - cur_evt
        if self.rules.holds_allowance:
            ahead += self.pool.ctx_allow_ns * advance
            if ahead > 0:
                at_ns = now_ns + (ahead + advance - 1) // advance
        elif ahead > 0:
            at_ns = self.vcpu[cur].charged_to_ns + ahead // advance * self._quotient_ns() + self.pool.ctx_allow_ns
        if ahead <= 0:
            raise_schedule(m, p)
        elif m.timer[slice_timer(m, p)].at_ns > at_ns:
            timer_arm_hypervisor(m, slice_timer(m, p), max(at_ns, now_ns))

    cdef int64_t _quotient_ns(self) noexcept nogil:
        """Nanoseconds that one unit of a lead divided by an advance is taken for."""
        return 1 if self.rules.unit_slip or not self.rules.whole_mcus else self.mcu_ns

    cdef int _choose(self, int p, int64_t* rival_evt) noexcept nogil:
        """The vCPU with the least evt, or NO_VCPU; `rival_evt` is the least among the others (INT64_MAX: none)."""
        cdef int best = NO_VCPU
        cdef int64_t best_evt = XEN_MAX if self.rules.whole_mcus else INT64_MAX
        cdef int64_t evt
        cdef int v = self.pcpu[p].head
        rival_evt[0] = INT64_MAX
        while v != NO_VCPU:
            evt = self.vcpu[v].evt
            if evt < best_evt or (self.rules.holds_allowance and evt == best_evt and v < best):
                if best != NO_VCPU:
                    rival_evt[0] = best_evt
                best = v
                best_evt = evt
            elif evt < rival_evt[0]:
                rival_evt[0] = evt
            v = self.vcpu[v].next
        return best

    cdef int64_t _slice(self, int next, int64_t rival_evt) noexcept nogil:
        cdef int64_t advance
        if rival_evt == INT64_MAX:
            return ALONE_ALLOWANCES * self.pool.ctx_allow_ns
        advance = self._domain_of(next).mcu_adv
        if self.rules.holds_allowance:
            # Not a nanosecond before the allowance is used; part of it may be used already.
            return (rival_evt - self.vcpu[next].evt + self.pool.ctx_allow_ns * advance + advance - 1) // advance
        return (rival_evt - self.vcpu[next].evt) // advance * self._quotient_ns() + self.pool.ctx_allow_ns

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef BvtPcpu* pc = &self.pcpu[p]
        cdef int cur = m.pcpu[p].curr
        cdef int idle = m.max_vcpus + p
        cdef int next
        cdef int64_t rival_evt
        cdef BvtDomain* dom
        cdef Decision decision
        if cur != idle:
            self.vcpu[cur].avt = self._charged(cur, now_ns)
            self.vcpu[cur].evt = self._effective(cur, self.vcpu[cur].avt)
            self.vcpu[cur].charged_to_ns = now_ns if self.rules.refresh_stamp else self.vcpu[cur].charged_to_ns
            dom = self._domain_of(cur)
            if dom.warpback and dom.warp_limit_ns > 0:
                timer_disarm(m, policy_timer(m, m.vcpu[cur].domain, WARP_TIMER))
            self._unlink(cur)
            if is_runnable(m, cur):
                self._link(cur, False)
            elif self.rules.holds_allowance and pc.head == NO_VCPU:
                pc.svt = self.vcpu[cur].avt
        next = self._choose(p, &rival_evt)
        if self.rules.holds_allowance and cur != idle and self.vcpu[cur].is_queued and next != cur:
            # It stays until it is a whole allowance behind.
            if (self.vcpu[cur].evt - self.vcpu[next].evt) < self.pool.ctx_allow_ns * self._domain_of(cur).mcu_adv:
                rival_evt = self.vcpu[next].evt
                next = cur
        self._set_svt(p)
        if next == NO_VCPU:
            decision.next_vcpu = idle
            decision.slice_ns = self.pool.ctx_allow_ns
            return decision
        decision.next_vcpu = next
        decision.slice_ns = self._slice(next, rival_evt)
        dom = self._domain_of(next)
        if dom.is_warping and dom.warp_limit_ns > 0:
            timer_arm_hypervisor(m, policy_timer(m, m.vcpu[next].domain, WARP_TIMER), now_ns + dom.warp_limit_ns)
        if next != cur:
            self.vcpu[next].charged_to_ns = now_ns
        self._rebase(p)
        return decision

    # -- warp ----------------------------------------------------------------------------------------------------

    cdef void domain_timer_fired(self, int d, int which, int64_t now_ns) noexcept nogil:
        cdef BvtDomain* dom = &self.domain[d]
        if which == WARP_TIMER:
            # It has been warping for as long as it may.
            dom.is_warping = 0
            self._refresh_warp(d)
            if dom.unwarp_ns == 0:
                dom.warpback = 0
            if dom.unwarp_ns == 0 or self.rules.holds_allowance:
                self._reschedule_domain(d)
            timer_arm_hypervisor(self.m, policy_timer(self.m, d, UNWARP_TIMER), now_ns + dom.unwarp_ns)
        elif dom.warpback:
            dom.is_warping = 1
            self._refresh_warp(d)
            self._reschedule_domain(d)

    cdef void _refresh_warp(self, int d) noexcept nogil:
        """As published, a warp that begins or ends counts at once; in Xen from the next wake-up or end of a slice."""
        cdef int v, first = self.m.domain[d].first_vcpu
        if self.rules.holds_allowance:
            for v in range(first, first + self.m.domain[d].num_vcpus):
                self.vcpu[v].evt = self._effective(v, self.vcpu[v].avt)

    cdef void _reschedule_domain(self, int d) noexcept nogil:
        cdef int v, first = self.m.domain[d].first_vcpu
        for v in range(first, first + self.m.domain[d].num_vcpus):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)

    # -- parameters ----------------------------------------------------------------------------------------------

    def tunables(self):
        # A warp value above 0 lets the domain warp.
        return [
            Tunable("mcu_adv", 1, 1000, DEFAULT_MCU_ADV, log_scale=True),
            Tunable("warpvalue", 0, 100_000, 0, log_scale=False),
        ]

    def check_domain_params(self, where, num_vcpus, params):
        unknown = set(params) - set(_PARAMS)
        if unknown:
            raise ValueError(
                f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected one of {', '.join(_PARAMS)}"
            )
        limits = dict(zip(_PARAMS, ((1, MAX_MCU_ADV), (0, 1), (0, MAX_WARPVALUE), (0, MAX_WARP_MS), (0, MAX_WARP_MS))))
        for name, value in params.items():
            check_integer(where, name, value, *limits[name])

    def adjust_domain(self, int d, params):
        cdef BvtDomain wanted = self.domain[d]
        where = f"domain {self.m.domain[d].domid}, scheduler bvt {self.version}"
        self.check_domain_params(where, self.m.domain[d].num_vcpus, params)
        if not params:
            return
        wanted.mcu_adv = params.get("mcu_adv", wanted.mcu_adv)
        wanted.warpback = params.get("warpback", wanted.warpback)
        wanted.warp_value = params.get("warpvalue", wanted.warp_value)
        wanted.warp_limit_ns = params.get("warpl_ms", wanted.warp_limit_ns // MS_NS) * MS_NS
        wanted.unwarp_ns = params.get("warpu_ms", wanted.unwarp_ns // MS_NS) * MS_NS
        with nogil:
            self._apply(d, &wanted)

    def domain_params(self, int d):
        cdef BvtDomain* dom = &self.domain[d]
        return {
            "mcu_adv": dom.mcu_adv,
            "warpback": dom.warpback,
            "warpvalue": dom.warp_value,
            "warpl_ms": dom.warp_limit_ns // MS_NS,
            "warpu_ms": dom.unwarp_ns // MS_NS,
        }

    cdef void _apply(self, int d, BvtDomain* wanted) noexcept nogil:
        """Touches the parameters and the warp timers only; virtual times follow when they are next charged."""
        cdef BvtDomain* dom = &self.domain[d]
        dom[0] = wanted[0]
        dom.is_warping = dom.warpback
        timer_disarm(self.m, policy_timer(self.m, d, UNWARP_TIMER))
        if not dom.warpback:
            timer_disarm(self.m, policy_timer(self.m, d, WARP_TIMER))
        self._refresh_warp(d)

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        cdef BvtDomain wanted = self.domain[d]
        cdef int64_t old[2]
        self.get_tunables(d, old)
        if old[0] == values[0] and old[1] == values[1]:
            return
        wanted.mcu_adv = <int32_t>values[0]
        wanted.warp_value = values[1]
        wanted.warpback = values[1] > 0
        self._apply(d, &wanted)

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        values[0] = self.domain[d].mcu_adv
        values[1] = self.domain[d].warp_value if self.domain[d].warpback else 0

    def adjust(self, params):
        where = f"scheduler bvt {self.version}"
        unknown = set(params) - {"ctx_allow_ns"}
        if unknown:
            raise ValueError(f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected ctx_allow_ns")
        if params:
            value = check_integer(where, "ctx_allow_ns", params["ctx_allow_ns"], MIN_CTX_ALLOW_NS, MAX_CTX_ALLOW_NS)
            self.pool.ctx_allow_ns = value

    def params(self):
        return {"ctx_allow_ns": self.pool.ctx_allow_ns}

    def share(self, int d):
        return Share(weight=SHARE_TIMES_ADVANCE / self.domain[d].mcu_adv)

    def params_from(self, share, num_vcpus):
        lost = share.stated()
        if share.weight is None or share.weight <= 0:
            return {}, lost
        mcu_adv = min(max(round(SHARE_TIMES_ADVANCE / share.weight), 1), MAX_MCU_ADV)
        return {"mcu_adv": mcu_adv}, [name for name in lost if name != "weight"]


def _rebuild(version, options):
    return BvtScheduler(version, **options)
