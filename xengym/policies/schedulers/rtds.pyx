"""RTDS: real-time deferrable servers, scheduled by global earliest deadline first.

Design. A vCPU is a server with a budget B for every period P. One run queue for the whole cpupool is ordered by
deadline, the end of the present period; the m pCPUs run the m first of it. Running uses up budget:

    left -= time run;  left = 0: depleted until the deadline;  at the deadline: left = B, deadline += P

So a vCPU receives B in each P, whatever the others do, as long as the deadlines can be met at all (on one pCPU: while
sum B/P <= 1). The server is deferrable: a vCPU that sleeps keeps what it has not used until its deadline, so one that
wakes late can run at the end of a period and again at the beginning of the next, 2B in a row. Deadlines keep their
phase for ever; a vCPU that slept across some of them is replenished when it wakes.

With *extra time* a vCPU that has used up its budget gets another one at once and goes down a level; levels come before
deadlines, so it has what nobody at a better level wants. Its deadline puts it back to level 0.

Nothing is periodic here. Each vCPU that runs or wants to has an event at its deadline; the first of them arms the
pool's one timer. A vCPU that is queued asks at most one pCPU to reschedule ("tickle"): an idle one, or the one that runs
the lowest priority. As queue and timer are the pool's, there is nothing to balance, and migration is free.

Parameters are of each vCPU; a new period or budget counts from the next replenishment, extra time from the next time the
budget is used up. Releases differ in ties, in whom a tickle asks, and in extra time: `rtds_rules.py` is their table.

Kept as Xen has it, though it surprises: replenishment events are ordered by level before deadline, so one vCPU's
replenishment can wait for the later deadline of another that has better priority. A continued vCPU is given its whole
remaining budget as slice, and a depleted one that leaves the CPU tickles like any other, mostly for nothing. Two tickles
of one pCPU are one pass, so a vCPU can be left queued beside another pCPU that idles, until something else happens.

Simplified against Xen: who is not runnable is never queued, so the search of the queue need not weed it out; a vCPU that
is switched out has its registers saved in the same instant, so it cannot be woken half-way.

Sources: Xen's scheduler by release (see `rtds_rules.py`); Xi, Wilson, Lu, Gill, "RT-Xen" (EMSOFT 2011); Xi et al.,
"Real-Time Multi-Core Virtual Machine Scheduling in Xen" (EMSOFT 2014); wiki.xen.org/wiki/RTDS-Based-Scheduler.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.mask cimport mask_clear, mask_copy, mask_cycle, mask_drop, mask_next, mask_set, mask_test
from xengym.machine.state cimport MASK_WORDS, NO_VCPU, Machine, is_current, is_runnable
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision
from xengym.policies.schedulers.rtds_state cimport QUEUE_NONE, RtdsDomain, RtdsState, RtdsVcpu, outranks
from xengym.sim.trace cimport TRACE_TICKLE, trace

from xengym.policies.schedulers.rtds_rules import RTDS_RELEASES, TickleRule, rtds_rules
from xengym.policies.schedulers.tunables import Share, Tunable, check_integer

cdef int64_t US_NS = 1000
cdef int64_t MILLION = 1_000_000
cdef int64_t MAX_LEVEL = 0xFFFFFFFF      # Xen counts levels in 32 bits
cdef int32_t TICKLE_OWN_IDLE_FIRST = TickleRule.OWN_IDLE_FIRST

DEFAULT_PERIOD_US = 10_000
DEFAULT_BUDGET_US = 4_000
MIN_US = 10                              # of period and budget
MAX_PERIOD_US = 2**62 // 1000            # a quarter of what 64 bits of nanoseconds hold, so that deadlines fit as well
AGENT_PERIOD_US = (100, 1_000_000)       # what an agent may choose: two decades around the default
AGENT_BUDGET_PPM = (10_000, 1_000_000)

cdef int64_t _DEFAULT_PERIOD_US = DEFAULT_PERIOD_US
cdef int64_t _DEFAULT_BUDGET_US = DEFAULT_BUDGET_US
cdef int64_t _MIN_US = MIN_US


cdef class RtdsScheduler(RtdsState):
    """Xen's RTDS scheduler of a named release.

    Args:
        version: a key of ``RTDS_RELEASES``; default the current release.
    """

    promise = "global"
    versions = tuple(RTDS_RELEASES)

    def __init__(self, version="current"):
        rules = rtds_rules(version)
        self.name = "rtds"
        self.version = rules.release
        self.rules.has_extratime = rules.has_extratime
        self.rules.lifo_ties = rules.lifo_ties
        self.rules.tie_keeps_current = rules.tie_keeps_current
        self.rules.tickle_rule = rules.tickle_rule

    def __reduce__(self):
        return RtdsScheduler, (self.version,)

    # -- pCPUs, domains and vCPUs come and go --------------------------------------------------------------------

    cdef void remove_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        mask_clear(self.pool.tickled, p)

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        """A new server with the default parameters; its first deadline is a multiple of the period, counted from 0."""
        cdef RtdsVcpu* svc = &self.vcpu[v]
        svc.period_ns = 0
        svc.deadline_ns = 0
        svc.queue = QUEUE_NONE
        svc.has_event = 0
        svc.is_depleted = 0
        self._set_vcpu(v, _DEFAULT_PERIOD_US, _DEFAULT_BUDGET_US, self.rules.has_extratime)
        self._replenish(v, now_ns)

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        if self.vcpu[v].queue != QUEUE_NONE:
            self._dequeue(v)
        if self.vcpu[v].has_event:
            self._event_remove(v)
            self._arm()

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        if is_current(self.m, v) or self.vcpu[v].queue != QUEUE_NONE:
            return
        if now_ns >= self.vcpu[v].deadline_ns:
            self._replenish(v, now_ns)
        self._event_insert(v)
        self._arm()
        self._enqueue(v)
        self._tickle(v)

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        if is_current(self.m, v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)
        elif self.vcpu[v].queue != QUEUE_NONE:
            self._dequeue(v)
            self._event_remove(v)
            self._arm()

    cdef void context_saved(self, int v, int64_t now_ns) noexcept nogil:
        if v >= self.m.max_vcpus:
            return
        if is_runnable(self.m, v):
            self._enqueue(v)
            self._tickle(v)
        elif self.vcpu[v].has_event:
            self._event_remove(v)
            self._arm()

    cdef void _tickle(self, int v) noexcept nogil:
        """Ask the pCPU on which v, which has just been queued, should run; none if all are better occupied."""
        cdef Machine* m = self.m
        cdef uint64_t candidates[MASK_WORDS]
        cdef int own = m.vcpu[v].pcpu
        cdef int first, p, cur
        cdef int lowest = NO_VCPU
        mask_copy(candidates, m.vcpu[v].allowed, m.num_words)
        mask_drop(candidates, self.pool.tickled, m.num_words)
        if self.rules.tickle_rule == TICKLE_OWN_IDLE_FIRST:
            if m.pcpu[own].curr >= m.max_vcpus:
                self._ask(own, v)
                return
            first = mask_next(candidates, -1, m.num_words)
        else:
            first = own if mask_test(candidates, own) else mask_cycle(candidates, own, m.num_words)
        if first < 0:
            return
        p = first
        while True:
            cur = m.pcpu[p].curr
            if cur >= m.max_vcpus:
                self._ask(p, v)
                return
            if lowest == NO_VCPU or outranks(&self.vcpu[lowest], &self.vcpu[cur]):
                lowest = cur
            p = mask_cycle(candidates, p, m.num_words)
            if p == first:
                break
        if outranks(&self.vcpu[v], &self.vcpu[lowest]):
            self._ask(m.vcpu[lowest].pcpu, v)

    cdef void _ask(self, int p, int v) noexcept nogil:
        mask_set(self.pool.tickled, p)
        trace(self.m, TRACE_TICKLE, self.m.clock.executing_pcpu, v, p, 0)
        raise_schedule(self.m, p)

    # -- the decision --------------------------------------------------------------------------------------------

    cdef void _burn(self, int v, int64_t now_ns) noexcept nogil:
        cdef RtdsVcpu* svc = &self.vcpu[v]
        svc.left_ns -= now_ns - svc.start_ns
        svc.start_ns = now_ns
        if svc.left_ns > 0:
            return
        if svc.has_extratime:
            # Another budget at once, one level down; what was run beyond the last one is forgiven.
            svc.left_ns = svc.budget_ns
            if svc.level < MAX_LEVEL:
                svc.level += 1
        else:
            svc.left_ns = 0
            svc.is_depleted = 1

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef Decision decision
        cdef int cur = m.pcpu[p].curr
        cdef int next = self.pool.run_head
        cdef RtdsVcpu* scur
        mask_clear(self.pool.tickled, p)
        while next != NO_VCPU and not mask_test(m.vcpu[next].allowed, p):
            next = self.vcpu[next].next
        if cur < m.max_vcpus:
            self._burn(cur, now_ns)
            scur = &self.vcpu[cur]
            if is_runnable(m, cur) and scur.left_ns > 0 and (
                next == NO_VCPU or outranks(scur, &self.vcpu[next])
                or (self.rules.tie_keeps_current and not outranks(&self.vcpu[next], scur))
            ):
                next = cur
        if next == NO_VCPU:
            decision.next_vcpu = m.max_vcpus + p
            decision.slice_ns = -1
            return decision
        if next != cur:
            self._dequeue(next)
            self.vcpu[next].start_ns = now_ns
            m.vcpu[next].pcpu = p
        decision.next_vcpu = next
        decision.slice_ns = self.vcpu[next].left_ns
        return decision

    # -- time ----------------------------------------------------------------------------------------------------

    cdef void pool_timer_fired(self, int64_t now_ns) noexcept nogil:
        """Replenish everyone whose deadline has come, then see, the last of them first, whom that lets run."""
        cdef RtdsVcpu* vcpu = self.vcpu
        cdef int due = NO_VCPU
        cdef int v, head
        while True:
            v = self.pool.event_head
            if v == NO_VCPU or vcpu[v].deadline_ns > now_ns:
                break
            self._event_remove(v)
            vcpu[v].next_event = due
            due = v
            self._replenish(v, now_ns)
            if vcpu[v].queue != QUEUE_NONE:
                self._dequeue(v)
                self._enqueue(v)
        while due != NO_VCPU:
            v = due
            due = vcpu[v].next_event
            head = self.pool.run_head
            if is_current(self.m, v) and head != NO_VCPU:
                # Its deadline is later now: somebody else may have the better right to its pCPU.
                if outranks(&vcpu[head], &vcpu[v]):
                    self._tickle(head)
            elif vcpu[v].is_depleted:
                vcpu[v].is_depleted = 0
                if vcpu[v].queue != QUEUE_NONE:
                    self._tickle(v)
            self._event_insert(v)
        self._arm()

    # -- parameters ----------------------------------------------------------------------------------------------

    cdef void _set_vcpu(self, int v, int64_t period_us, int64_t budget_us, bint has_extratime) noexcept nogil:
        cdef RtdsVcpu* svc = &self.vcpu[v]
        if (svc.period_ns == period_us * US_NS and svc.budget_ns == budget_us * US_NS
                and svc.has_extratime == has_extratime):
            return
        svc.period_ns = period_us * US_NS
        svc.budget_ns = budget_us * US_NS
        svc.has_extratime = has_extratime
        if v == self.m.domain[self.m.vcpu[v].domain].first_vcpu:
            self._note_domain(self.m.vcpu[v].domain)

    cdef void _note_domain(self, int d) noexcept nogil:
        """What an agent finds set from now on: the parameters of the domain's first vCPU."""
        cdef RtdsVcpu* svc = &self.vcpu[self.m.domain[d].first_vcpu]
        self.domain[d].period_us = svc.period_ns // US_NS
        self.domain[d].budget_ppm = <int64_t>(<double>svc.budget_ns / svc.period_ns * MILLION + 0.5)
        self.domain[d].has_extratime = svc.has_extratime

    def tunables(self):
        found = [
            Tunable("period_us", *AGENT_PERIOD_US, DEFAULT_PERIOD_US, log_scale=True),
            Tunable(
                "budget_ppm", *AGENT_BUDGET_PPM, MILLION * DEFAULT_BUDGET_US // DEFAULT_PERIOD_US, log_scale=False
            ),
        ]
        if self.rules.has_extratime:
            found.append(Tunable("extratime", 0, 1, 1, log_scale=False))
        return found

    def _check(self, where, params, period_us, budget_us, extratime):
        """The parameters as a tuple, with those given for those that hold; ValueError if it cannot be."""
        names = ["period_us", "budget_us"] + ["extratime"] * bool(self.rules.has_extratime)
        unknown = set(params) - set(names)
        if "extratime" in unknown:
            raise ValueError(f"{where}: this release has no extratime, found extratime={params['extratime']!r}")
        if unknown:
            raise ValueError(f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected {', '.join(names)}")
        period_us = check_integer(where, "period_us", params.get("period_us", period_us), MIN_US, MAX_PERIOD_US)
        budget_us = check_integer(
            where, "budget_us (at most the period)", params.get("budget_us", budget_us), MIN_US, period_us
        )
        extratime = check_integer(where, "extratime", params.get("extratime", int(extratime)), 0, 1)
        return period_us, budget_us, extratime

    def _check_vcpu(self, where, params, int v):
        cdef RtdsVcpu* svc = &self.vcpu[v]
        return self._check(where, params, svc.period_ns // US_NS, svc.budget_ns // US_NS, svc.has_extratime)

    def check_domain_params(self, where, num_vcpus, params):
        self._check(where, params, DEFAULT_PERIOD_US, DEFAULT_BUDGET_US, self.rules.has_extratime)

    def adjust_domain(self, int d, params):
        """Set parameters of all vCPUs of domain slot ``d``; each keeps those that are not given."""
        cdef int v, first = self.m.domain[d].first_vcpu
        where = f"domain {self.m.domain[d].domid}, scheduler rtds {self.version}"
        vcpus = range(first, first + self.m.domain[d].num_vcpus)
        checked = [self._check_vcpu(where, params, v) for v in vcpus]
        for v, (period_us, budget_us, extratime) in zip(vcpus, checked):
            self._set_vcpu(v, period_us, budget_us, extratime)

    def adjust_vcpu(self, int v, params):
        """Set parameters of one vCPU."""
        where = (
            f"domain {self.m.domain[self.m.vcpu[v].domain].domid} vCPU {self.m.vcpu[v].vcpu_in_domain}, "
            f"scheduler rtds {self.version}"
        )
        period_us, budget_us, extratime = self._check_vcpu(where, params, v)
        self._set_vcpu(v, period_us, budget_us, extratime)

    def domain_params(self, int d):
        """Parameters of the domain's first vCPU; ``vcpu_params`` has those of each."""
        return self.vcpu_params(self.m.domain[d].first_vcpu)

    def vcpu_params(self, int v):
        """Parameters of vCPU number ``v`` as a dict."""
        cdef RtdsVcpu* svc = &self.vcpu[v]
        params = {"period_us": svc.period_ns // US_NS, "budget_us": svc.budget_ns // US_NS}
        if self.rules.has_extratime:
            params["extratime"] = svc.has_extratime
        return params

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        cdef RtdsDomain* dom = &self.domain[d]
        cdef int64_t period_us = values[0]
        cdef int64_t budget_ppm = values[1]
        cdef int64_t has_extratime = values[2] if self.rules.has_extratime else 0
        cdef int v, first = self.m.domain[d].first_vcpu
        if dom.period_us == period_us and dom.budget_ppm == budget_ppm and dom.has_extratime == has_extratime:
            return
        for v in range(first, first + self.m.domain[d].num_vcpus):
            self._set_vcpu(v, period_us, max(period_us * budget_ppm // MILLION, _MIN_US), has_extratime)
        # As it was said, not as whole microseconds have it.
        dom.period_us = period_us
        dom.budget_ppm = budget_ppm
        dom.has_extratime = has_extratime

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        values[0] = self.domain[d].period_us
        values[1] = self.domain[d].budget_ppm
        if self.rules.has_extratime:
            values[2] = self.domain[d].has_extratime

    def reserved_ppm(self, int v):
        return -(-self.vcpu[v].budget_ns * MILLION // self.vcpu[v].period_ns)

    def wanted_ppm(self, params):
        period_us = params.get("period_us", DEFAULT_PERIOD_US)
        return -(-params.get("budget_us", DEFAULT_BUDGET_US) * MILLION // period_us)

    def share(self, int d):
        cdef RtdsVcpu* svc = &self.vcpu[self.m.domain[d].first_vcpu]
        return Share(slice_ns=svc.budget_ns, period_ns=svc.period_ns, extra_time=bool(svc.has_extratime))

    def params_from(self, share, num_vcpus):
        """A guarantee is a budget; a cap is one without extra time, divided among the vCPUs; a weight has no counterpart.

        A guarantee of nothing has none either: the least budget, with extra time, would mean a pass every 10 us.
        """
        params = {}
        lost = share.stated()
        extra_time = share.extra_time
        if share.slice_ns and share.period_ns:
            period_us = min(max(share.period_ns // 1000, MIN_US), MAX_PERIOD_US)
            budget_us = round(period_us * share.slice_ns / share.period_ns)
            params = {"period_us": period_us, "budget_us": min(max(budget_us, MIN_US), period_us)}
            lost = [term for term in lost if term not in ("slice_ns", "period_ns")]
        elif share.cap_pct and not extra_time:
            budget_us = round(DEFAULT_PERIOD_US * share.cap_pct / (100 * num_vcpus))
            params = {"period_us": DEFAULT_PERIOD_US, "budget_us": min(max(budget_us, MIN_US), DEFAULT_PERIOD_US)}
            extra_time = False
            lost.remove("cap_pct")
        if extra_time is not None and self.rules.has_extratime:
            params["extratime"] = int(extra_time)
        if "extra_time" in lost and (self.rules.has_extratime or not extra_time):
            lost.remove("extra_time")
        return params, lost
