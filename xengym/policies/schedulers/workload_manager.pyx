"""The workload manager: reservations that follow demand, without extra time.

Design. Where performance has to be isolated, work-conserving sharing will not do: what a domain gets then depends on what the
others leave. So each vCPU has a reservation of its own under SEDF without extra time, which is there for it whatever
arrives elsewhere, and the manager changes reservations now and then, by what was asked for. After every interval T, for
each vCPU, in parts of a pCPU,

    demand  = (time running + time runnable) / T            what XenMon shows as gotten and waited
    target  = demand (1 + headroom), within its domain's min and max
    wanted  = r + gain (target - r)                         r: what it has reserved
    r       = min + (wanted - min) k                        k <= 1, the same for all on the pCPU, so that

    sum of r on each pCPU  <=  95 % .

If the minima alone are above that, they are scaled down as well. The 5 % left are as with SEDF's weights: room for a new
domain, which begins with its minimum (the others make room at once). Demand is an upper estimate: who waits because its
slice is used up is runnable all that time, and asks for more than it would use. That is wanted: a reservation that
is too short is raised until its vCPU blocks by itself, and then falls back to what it uses and the headroom.

The period is 10 ms unless set otherwise: who blocks forfeits the rest of its slice until the next period, so under SEDF's
default of 100 ms a domain that answers requests would wait long, and ask for more and more without using it.

A domain with a weight or without a slice (SEDF's other forms) is not managed; what its weights reserve counts. Equal min and
max hold a reservation fixed; if min is above max, max holds. A reservation set by hand is where the manager goes on from.

Simplified: each pCPU is on its own, as in SEDF, and a vCPU that was moved counts there from the next interval on. A slice
made shorter than what is used of it ends the period, which SEDF counts as a deadline missed.

Sources: the scheme is that of the workload managers in Cherkasova, Gupta, Vahdat: Comparison of the Three CPU Schedulers
in Xen (2007), as told by Reis and Cerqueira, section 4.1; the rule of control is ours, and so are its constants.
"""
from libc.stdint cimport int64_t
from xengym.machine.mask cimport mask_next
from xengym.machine.state cimport RUNNABLE, RUNNING, Machine
from xengym.policies.schedulers.sedf_intervals cimport SedfIntervals, runstate_ns
from xengym.policies.schedulers.sedf_periods cimport in_proportion
from xengym.policies.schedulers.sedf_state cimport SedfVcpu

import numpy as np

from xengym.policies.schedulers.tunables import Tunable, check_integer

cdef int64_t PPM = 1_000_000
cdef int64_t FEASIBLE_PPM = 950_000              # 100 ms less SEDF's 5 ms for safety
cdef int64_t LEAST_PPM = 1_000                   # 10 us of the period: assumed
cdef int64_t DEFAULT_MIN_PPM = 50_000            # what is left for a newcomer
cdef int64_t LEAST_SLICE_NS = 5_000             # SEDF's
cdef int64_t MANAGED_PERIOD_NS = 10_000_000     # see the essay
cdef Demand _demand
cdef Bounds _bounds


cdef class WorkloadManagerScheduler(SedfIntervals):
    """SEDF without extra time, whose reservations follow what vCPUs ask for.

    Domain parameters are SEDF's, and

    - ``min_ppm`` and ``max_ppm``: bounds of the reservation of each of its vCPUs, in millionths of a pCPU, 1000..1000000;
      default 50000 and 1000000.

    Args:
        version: SEDF's release, 3.0.2 or (default) 4.5.
        interval_ms: time between two changes, 1..60000.
        headroom_pct: reserved above the demand, 0..1000.
        gain_pct: how much of the way to the target a change goes, 1..100.
    """

    scheduler_name = "workload-manager"
    own_params = {"min_ppm": (LEAST_PPM, PPM), "max_ppm": (LEAST_PPM, PPM)}

    def __init__(self, version="current", *, interval_ms=500, headroom_pct=20, gain_pct=50):
        SedfIntervals.__init__(self, version, interval_ms=interval_ms)
        where = f"scheduler {self.name} {self.version}"
        self.headroom_pct = check_integer(where, "headroom_pct", headroom_pct, 0, 1000)
        self.gain_pct = check_integer(where, "gain_pct", gain_pct, 1, 100)
        self.options = {"interval_ms": interval_ms, "headroom_pct": headroom_pct, "gain_pct": gain_pct}

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            *SedfIntervals.sections(self, num_pcpus, max_vcpus, max_domains),
            ("workload_demand", np.asarray(<Demand[:1]>&_demand).dtype, max_vcpus),
            ("workload_bounds", np.asarray(<Bounds[:1]>&_bounds).dtype, max_domains),
        ]

    def bind(self, views):
        SedfIntervals.bind(self, views)
        cdef Demand[::1] demand = views["workload_demand"]
        cdef Bounds[::1] bounds = views["workload_bounds"]
        self.demand = &demand[0]
        self.bounds = &bounds[0]

    # -- domains and vCPUs come --------------------------------------------------------------------------------------

    cdef void insert_domain(self, int d) noexcept nogil:
        SedfIntervals.insert_domain(self, d)
        self.bounds[d].min_ppm = DEFAULT_MIN_PPM
        self.bounds[d].max_ppm = PPM

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef SedfVcpu* svc = &self.vcpu[v]
        SedfIntervals.insert_vcpu(self, v, now_ns)
        self.demand[v].wanted_ns = self._wanted_ns(v)
        self.demand[v].demand_ppm = 0
        if svc.slice_ns == 0:
            svc.period_orig_ns = MANAGED_PERIOD_NS
            svc.period_ns = MANAGED_PERIOD_NS
            svc.extraweight = 0
            self._reserve(v, DEFAULT_MIN_PPM)
        svc.is_extra_aware = 0
        self._make_feasible(self.m.vcpu[v].pcpu)

    # -- the manager -------------------------------------------------------------------------------------------------

    cdef bint _is_managed(self, int v) noexcept nogil:
        return self.vcpu[v].is_inserted and self.vcpu[v].slice_ns > 0 and self.vcpu[v].weight == 0

    cdef int64_t _wanted_ns(self, int v) noexcept nogil:
        return runstate_ns(self, v, RUNNING) + runstate_ns(self, v, RUNNABLE)

    cdef int64_t _reserved_ppm(self, int v) noexcept nogil:
        return in_proportion(PPM, self.vcpu[v].slice_orig_ns, self.vcpu[v].period_orig_ns)

    cdef void _reserve(self, int v, int64_t ppm) noexcept nogil:
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int64_t slice_ns = in_proportion(svc.period_orig_ns, ppm, PPM)
        slice_ns = min(max(slice_ns, LEAST_SLICE_NS), svc.period_orig_ns)
        svc.slice_orig_ns = slice_ns
        svc.slice_ns = slice_ns
        svc.period_ns = svc.period_orig_ns

    cdef void _interval_ends(self, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef Bounds* bounds
        cdef int64_t length_ns = now_ns - self.intervals.began_at_ns
        cdef int64_t wanted_ns, reserved_ppm, target_ppm
        cdef int v, p
        for v in range(m.max_vcpus):
            if not self.vcpu[v].is_inserted:
                continue
            wanted_ns = self._wanted_ns(v)
            self.demand[v].demand_ppm = in_proportion(PPM, wanted_ns - self.demand[v].wanted_ns, length_ns)
            self.demand[v].wanted_ns = wanted_ns
            if not self._is_managed(v):
                continue
            bounds = &self.bounds[m.vcpu[v].domain]
            reserved_ppm = self._reserved_ppm(v)
            target_ppm = in_proportion(self.demand[v].demand_ppm, 100 + self.headroom_pct, 100)
            target_ppm = min(max(target_ppm, bounds.min_ppm), bounds.max_ppm)
            target_ppm = reserved_ppm + in_proportion(target_ppm - reserved_ppm, self.gain_pct, 100)
            self._reserve(v, min(max(target_ppm, bounds.min_ppm), bounds.max_ppm))
        p = mask_next(self.pool_pcpus, -1, m.num_words)
        while p >= 0:
            self._make_feasible(p)
            p = mask_next(self.pool_pcpus, p, m.num_words)

    cdef void _make_feasible(self, int p) noexcept nogil:
        """Scale down what is reserved on a pCPU to what it can keep; first what is above the minima."""
        cdef Machine* m = self.m
        cdef int64_t reserved_ppm, least_ppm, room_ppm = FEASIBLE_PPM, all_least = 0, all_above = 0
        cdef int v
        for v in range(m.max_vcpus):
            if self.vcpu[v].is_inserted and m.vcpu[v].pcpu == p and self.vcpu[v].slice_ns > 0:
                reserved_ppm = self._reserved_ppm(v)
                if not self._is_managed(v):
                    room_ppm -= reserved_ppm
                    continue
                least_ppm = min(reserved_ppm, self.bounds[m.vcpu[v].domain].min_ppm)
                all_least += least_ppm
                all_above += reserved_ppm - least_ppm
        room_ppm = max(room_ppm, 0)
        if all_least + all_above <= room_ppm:
            return
        for v in range(m.max_vcpus):
            if self._is_managed(v) and m.vcpu[v].pcpu == p:
                reserved_ppm = self._reserved_ppm(v)
                least_ppm = min(reserved_ppm, self.bounds[m.vcpu[v].domain].min_ppm)
                if all_least >= room_ppm:
                    self._reserve(v, in_proportion(room_ppm, least_ppm, max(all_least, 1)))
                else:
                    self._reserve(v, least_ppm + in_proportion(reserved_ppm - least_ppm, room_ppm - all_least, all_above))

    # -- parameters --------------------------------------------------------------------------------------------------

    def tunables(self):
        return [
            Tunable("min_ppm", LEAST_PPM, PPM, DEFAULT_MIN_PPM, log_scale=False),
            Tunable("max_ppm", LEAST_PPM, PPM, PPM, log_scale=False),
        ]

    def _set_own_params(self, int d, params):
        self.bounds[d].min_ppm = params.get("min_ppm", self.bounds[d].min_ppm)
        self.bounds[d].max_ppm = params.get("max_ppm", self.bounds[d].max_ppm)

    def domain_params(self, int d):
        own = {"min_ppm": self.bounds[d].min_ppm, "max_ppm": self.bounds[d].max_ppm}
        return {**SedfIntervals.domain_params(self, d), **own}

    def params_from(self, share, num_vcpus):
        """A reservation or a cap is where the manager begins; a weight means nothing to it."""
        if share.slice_ns or share.cap_pct:
            params, lost = SedfIntervals.params_from(self, share, num_vcpus)
            return {**params, "extratime": 0}, [*lost, *(["extra_time"] if share.extra_time else [])]
        return {}, share.stated()

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        self.bounds[d].min_ppm = min(max(values[0], LEAST_PPM), PPM)
        self.bounds[d].max_ppm = min(max(values[1], LEAST_PPM), PPM)

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        values[0] = self.bounds[d].min_ppm
        values[1] = self.bounds[d].max_ppm
