"""Credit2: proportional share by weight as an order of credits, with one run queue for the pCPUs of a socket.

Design. All vCPUs of a run queue begin an epoch with the same credit, 10 ms. Running burns it:

    credits(v, t) = t max_weight / weight(v)

so that the heaviest pays 1 per nanosecond and lighter ones proportionally more. Who has most credit runs; who waits is
kept by falling credit. When the best that could run has none left the epoch ends, and everybody, whether it wants to
run or not, is given 10 ms more, capped at 10.5 ms. So in an epoch two that always want to run burn the same credit, which
is CPU time by weight. Nothing is boosted: one that slept simply has more credit than those that ran. It runs until its
credit has come down to that of the next in the queue, but not less than 0.5 ms or the rate limit, and not more than
10 ms.

pCPUs of a socket (or core, or node) share a run queue; a vCPU that comes to wait has one of them asked to look: an idle
one, else the one where it gains most. A vCPU stays where it last ran unless it has half a millisecond of credit more
than whoever would run instead. Between run queues, loads averaged over about a second are balanced, whenever an epoch ends.

A cap gives a domain a budget of CPU time per period; who finds it used up is parked until the next (`credit2_budget`).

Releases differ: `credit2_rules.py` is their table. The engine is one, in four parts: `credit2_state` (run queues, lists,
loads), `credit2_placement` (where), `credit2_budget` (how much at most) and `credit2_decision` (who is next, how long); here
are the parameters.

Xen's rules have consequences that are kept here. An idle pCPU resists moving as a busy one does, and the floor of credits
is only just above idle's: from 4.10 on, one that has come to within half a millisecond of the floor (by a weight far below
the heaviest, or a long rate limit) is not fetched by idle pCPUs but waits for the one where it last ran. And to save power
a wake-up prefers an idle pCPU beside a busy one even if that was asked already, so that several may wait for one.

Simplified against Xen: locks are always free, so balancing never gives up on a run queue; granularity is the pCPU
(no core scheduling); a vCPU that is parked while it waits is offline for its runstate, where Xen leaves it runnable.

Sources: Xen's scheduler by release (see `credit2_rules.py`); wiki.xenproject.org/wiki/Credit2_Scheduler.
"""
from libc.stdint cimport int32_t, int64_t
from xengym.machine.state cimport Machine, policy_timer
from xengym.policies.schedulers.credit2_decision cimport Credit2Decision
from xengym.policies.schedulers.credit2_state cimport NO_RUNQUEUE, Credit2Pool
from xengym.sim.timers cimport timer_disarm

import dataclasses

from xengym.policies.schedulers.credit2_rules import CREDIT2_RELEASES, credit2_rules
from xengym.policies.schedulers.tunables import Share, Tunable, check_integer, weight_and_cap

cdef int64_t US_NS = 1_000
cdef int64_t MS_NS = 1_000_000
cdef int LOAD_UNIT_SHIFT = 10                # loads are averaged in units of 2^10 ns

#: Which pCPUs share a run queue, by the number that the engine knows it by.
ARRANGEMENTS = ("cpu", "core", "socket", "node", "all")
DEFAULT_WEIGHT = 256
MAX_WEIGHT = 65535


def _check_ratelimit(where, value):
    check_integer(where, "ratelimit_us", value, 0, 500_000)
    if value and value < 100:
        raise ValueError(f"{where}: ratelimit_us must be 0 or 100..500000, found {value}")
    return int(value)


cdef class Credit2Scheduler(Credit2Decision):
    """Xen's Credit2 scheduler of a named release.

    Args:
        version: a key of ``CREDIT2_RELEASES``; default the current release.
        ratelimit_us: 0 (off) or 100..500000; who runs is not preempted before.
        migrate_resist_us: credit that a vCPU must have more than another, to be taken to its pCPU; 0..1000000.
        balance_under: a load of 2 to this power is worth balancing while there is idle capacity.
        balance_over: the same where there is none. Both at least ``-load_precision_shift``, at most 32.
        cap_period_ms: a cap holds in every period of this length; 1..60000, default 10. Not before Xen 4.10.
        load_precision_shift: a load of 1 is 1 shifted left so often; 4..24.
        load_window_shift: loads are averaged over 2 to this power nanoseconds; 11..35.
        runqueue: which pCPUs share a run queue: ``cpu``, ``core``, ``socket``, ``node`` (a socket here) or ``all``.
        max_cpus_runqueue: at least 1, default 16; more are spread evenly over several. Not before Xen 4.15.
        smt_power_savings: wake vCPUs on cores that are busy already rather than on idle ones.
    """

    versions = tuple(CREDIT2_RELEASES)

    def __init__(self, version="current", *, ratelimit_us=1000, migrate_resist_us=500, balance_under=0, balance_over=-3,
                 cap_period_ms=None, load_precision_shift=18, load_window_shift=30, runqueue="socket",
                 max_cpus_runqueue=None, smt_power_savings=False):
        rules = credit2_rules(version)
        self.name = "credit2"
        self.version = rules.release
        self.rules_table = rules
        self.rules = {f.name: int(getattr(rules, f.name)) for f in dataclasses.fields(rules) if f.name != "release"}
        where = f"scheduler credit2 {rules.release}"
        if runqueue not in ARRANGEMENTS:
            raise ValueError(f"{where}: runqueue must be one of {', '.join(ARRANGEMENTS)}, found {runqueue!r}")
        # The bounds of the shifts keep the products of loads and times within 64 bits (Xen does not check them).
        precision = check_integer(where, "load_precision_shift", load_precision_shift, 4, 24)
        self.options = {
            "ratelimit_us": _check_ratelimit(where, ratelimit_us),
            "migrate_resist_us": check_integer(where, "migrate_resist_us", migrate_resist_us, 0, 1_000_000),
            "balance_under": check_integer(where, "balance_under", balance_under, -precision, 32),
            "balance_over": check_integer(where, "balance_over", balance_over, -precision, 32),
            "load_precision_shift": precision,
            "load_window_shift": check_integer(where, "load_window_shift", load_window_shift, 11, 35),
            "runqueue": runqueue,
            "smt_power_savings": bool(smt_power_savings),
        }
        for name, value, default, high, is_known, since in (
            ("cap_period_ms", cap_period_ms, 10, 60_000, rules.has_caps, "there are no caps before Xen 4.10"),
            ("max_cpus_runqueue", max_cpus_runqueue, 16, 256, rules.limits_runqueues,
             "run queues are not limited before Xen 4.15"),
        ):
            if is_known:
                self.options[name] = check_integer(where, name, default if value is None else value, 1, high)
            elif value is not None:
                raise ValueError(f"{where}: {since}, found {name}={value!r}")

    def __reduce__(self):
        return _rebuild, (self.version, dict(self.options))

    # -- set-up --------------------------------------------------------------------------------------------------

    def bind(self, views):
        Credit2Decision.bind(self, views)
        cdef Credit2Pool* pool = self.pool
        options = self.options
        precision = options["load_precision_shift"]
        pool.ratelimit_ns = US_NS * options["ratelimit_us"]
        pool.migrate_resist = US_NS * options["migrate_resist_us"]
        pool.cap_period_ns = MS_NS * options.get("cap_period_ms", 0)
        pool.under_tolerance = 1 << (precision + options["balance_under"])
        pool.over_tolerance = 1 << (precision + options["balance_over"])
        pool.load_precision_shift = precision
        pool.load_window_shift = options["load_window_shift"] - LOAD_UNIT_SHIFT
        pool.arrangement = ARRANGEMENTS.index(options["runqueue"])
        pool.max_cpus_runqueue = options.get("max_cpus_runqueue", 0)
        pool.smt_power_savings = options["smt_power_savings"]

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        if self.vcpu[v].is_queued:
            self.sleep(v, now_ns)
        if self.vcpu[v].is_parked:
            self._forget_parked(v)
        self._deassign(v)
        self.vcpu[v].target_runqueue = NO_RUNQUEUE

    cdef void remove_domain(self, int d) noexcept nogil:
        timer_disarm(self.m, policy_timer(self.m, d, 0))

    # -- parameters ----------------------------------------------------------------------------------------------

    def tunables(self):
        weight = Tunable("weight", 1, MAX_WEIGHT, DEFAULT_WEIGHT, log_scale=True)
        cap = Tunable("cap", 0, None, 0, log_scale=False, zero_means_none=True)
        return [weight, cap] if self.rules.has_caps else [weight]

    def check_domain_params(self, where, num_vcpus, params):
        if "cap" in params and not self.rules.has_caps:
            raise ValueError(f"{where}: there are no caps before Xen 4.10, found cap={params['cap']!r}")
        unknown = set(params) - {"weight", "cap"}
        if unknown:
            expected = "weight or cap" if self.rules.has_caps else "weight"
            raise ValueError(f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected {expected}")
        if "weight" in params:
            check_integer(where, "weight", params["weight"], 1, MAX_WEIGHT)
        if "cap" in params:
            check_integer(where, "cap (percent of one pCPU, 0 for none)", params["cap"], 0, 100 * num_vcpus)

    def adjust_domain(self, int d, params):
        where = f"domain {self.m.domain[d].domid}, scheduler credit2 {self.version}"
        self.check_domain_params(where, self.m.domain[d].num_vcpus, params)
        cdef int weight = params.get("weight", self.domain[d].weight)
        cdef int cap_pct = params.get("cap", self.domain[d].cap_pct)
        with nogil:
            self._apply_domain(d, weight, cap_pct, self.m.clock.now_ns)

    def domain_params(self, int d):
        params = {"weight": self.domain[d].weight}
        return {**params, "cap": self.domain[d].cap_pct} if self.rules.has_caps else params

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        self._apply_domain(d, <int32_t>values[0], <int32_t>values[1] if self.rules.has_caps else 0, now_ns)

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        values[0] = self.domain[d].weight
        if self.rules.has_caps:
            values[1] = self.domain[d].cap_pct

    cdef void _apply_domain(self, int d, int32_t weight, int32_t cap_pct, int64_t now_ns) noexcept nogil:
        """Parameters count from now on, also for what somebody runs just now and has not paid for yet."""
        cdef Machine* m = self.m
        cdef int first = m.domain[d].first_vcpu
        cdef int v
        if weight != self.domain[d].weight:
            self.domain[d].weight = weight
            for v in range(first, first + m.domain[d].num_vcpus):
                self.vcpu[v].weight = weight
                self._renew_max_weight(&self.runqueue[self.vcpu[v].runqueue])
        if cap_pct != self.domain[d].cap_pct:
            self._set_cap(d, cap_pct, now_ns)

    def adjust(self, params):
        where = f"scheduler credit2 {self.version}"
        unknown = set(params) - {"ratelimit_us"}
        if unknown:
            raise ValueError(f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected ratelimit_us")
        if "ratelimit_us" in params:
            self.pool.ratelimit_ns = US_NS * _check_ratelimit(where, params["ratelimit_us"])

    def params(self):
        return {"ratelimit_us": self.pool.ratelimit_ns // US_NS}

    def share(self, int d):
        return Share(weight=self.domain[d].weight, cap_pct=self.domain[d].cap_pct or None)

    def params_from(self, share, num_vcpus):
        if self.rules.has_caps:
            return weight_and_cap(share, num_vcpus)
        params, _ = weight_and_cap(Share(weight=share.weight), num_vcpus)
        return params, [name for name in share.stated() if name != "weight"]


def _rebuild(version, options):
    return Credit2Scheduler(version, **options)
