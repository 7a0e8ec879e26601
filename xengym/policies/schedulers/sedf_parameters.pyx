"""SEDF's parameters: what the control call and an agent may ask for, and what becomes of it."""
from libc.stdint cimport int64_t
from xengym.machine.mask cimport mask_next
from xengym.machine.state cimport Machine, is_current
from xengym.policies.schedulers.api cimport MAX_TUNABLES, Hypervisor
from xengym.policies.schedulers.sedf_periods cimport SedfPeriods, in_proportion
from xengym.policies.schedulers.sedf_state cimport PENALTY, UTILISATION, SedfDomain, SedfVcpu

from xengym.policies.schedulers.tunables import Share, Tunable, check_integer

cdef int64_t US_NS = 1_000
cdef int64_t MS_NS = 1_000_000
cdef int64_t WEIGHT_SAFETY_NS = 5 * MS_NS        # of the default period, left unreserved by weights
cdef int64_t MIN_LATENCY_NS = 10 * US_NS         # Xen's least period of 2006, and its least slice, in any release
cdef int64_t AGENT_MIN_SLICE_NS = 5 * US_NS
cdef int64_t PPM = 1_000_000

MAX_WEIGHT = 65535
AGENT_PERIOD_US = (100, 1_000_000)       # what an agent may choose: within the limits of every release
DEFAULT_PERIOD_US = DEFAULT_PERIOD_NS // US_NS
#: Weight in the terms of other schedulers that an extra weight of 1 is worth.
SHARE_PER_EXTRAWEIGHT = 256
_PARAMS = ("period_ns", "slice_ns", "latency_ns", "extratime", "weight")


cdef class SedfParameters(SedfPeriods):
    """Sets and reports parameters; all vCPUs of a domain get the same, unless one is set alone."""

    #: Domain parameters that a scheduler derived from SEDF has beside SEDF's: name to least and greatest value.
    own_params = {}
    promise = "partitioned"

    def tunables(self):
        # A slice of 0 is best effort with extra weight 1, whatever the period is, and always takes part in extra time.
        return [
            Tunable("period_us", *AGENT_PERIOD_US, DEFAULT_PERIOD_US, log_scale=True),
            Tunable("slice_ppm", 0, PPM, 0, log_scale=False),
            Tunable("extratime", 0, 1, 1, log_scale=False),
        ]

    def check_domain_params(self, where, num_vcpus, params):
        known = (*_PARAMS, *self.own_params)
        unknown = set(params) - set(known)
        if unknown:
            raise ValueError(
                f"{where}: unknown parameter {', '.join(sorted(unknown))}; expected one of {', '.join(known)}"
            )
        for name, (low, high) in self.own_params.items():
            if name in params:
                check_integer(where, name, params[name], low, high)
        params = {name: value for name, value in params.items() if name in _PARAMS}
        if not params:
            return
        rules = self.rules_table
        check_integer(where, "extratime", params.get("extratime", 0), 0, 1)
        latency_ns = check_integer(where, "latency_ns", params.get("latency_ns", 0), 0, rules.max_period_ns)
        if 0 < latency_ns < MIN_LATENCY_NS:
            raise ValueError(f"{where}: latency_ns must be 0 or at least {MIN_LATENCY_NS}, found {latency_ns}")
        if check_integer(where, "weight", params.get("weight", 0), 0, MAX_WEIGHT):
            check_integer(where, "period_ns", params.get("period_ns", 0), 0, rules.max_period_ns)
            if params.get("slice_ns", 0) != 0:
                raise ValueError(f"{where}: a weight makes the slice; slice_ns must be 0, found {params['slice_ns']!r}")
        elif not params.get("period_ns", 0) or "slice_ns" not in params:
            raise ValueError(
                f"{where}: needs a weight, or period_ns and slice_ns; found {', '.join(sorted(params))}"
                f" (period_ns {params.get('period_ns', 0)!r}, weight 0)"
            )
        else:
            period_ns = check_integer(where, "period_ns", params["period_ns"], rules.min_period_ns, rules.max_period_ns)
            check_integer(where, "slice_ns", params["slice_ns"], rules.min_slice_ns, period_ns)

    def adjust_domain(self, int d, params):
        cdef int first = self.m.domain[d].first_vcpu
        cdef int count = self.m.domain[d].num_vcpus
        self._adjust(f"domain {self.m.domain[d].domid}", d, first, count, params)
        self._set_own_params(d, {name: value for name, value in params.items() if name in self.own_params})

    def _set_own_params(self, int d, params):
        """Set those of ``own_params`` that are given; they have been checked."""

    def adjust_vcpu(self, int v, params):
        cdef int d = self.m.vcpu[v].domain
        where = f"domain {self.m.domain[d].domid} vCPU {self.m.vcpu[v].vcpu_in_domain}"
        for name in self.own_params:
            if name in params:
                raise ValueError(f"{where}, scheduler {self.name} {self.version}: {name} is a parameter of the domain")
        self._adjust(where, d, v, 1, params)

    def _adjust(self, where, int d, int first, int count, params):
        cdef Request request
        self.check_domain_params(f"{where}, scheduler {self.name} {self.version}", self.m.domain[d].num_vcpus, params)
        params = {name: value for name, value in params.items() if name in _PARAMS}
        if not params:
            return
        request.period_ns = params.get("period_ns", 0)
        request.slice_ns = params.get("slice_ns", 0)
        request.latency_ns = params.get("latency_ns", -1)
        request.weight = params.get("weight", 0)
        request.extratime = params.get("extratime", -1)
        extratime = params.get("extratime", self.vcpu[first].is_extra_aware)
        if not request.weight:
            request.form = FORM_TIME
        else:
            request.form = FORM_BEST_EFFORT if extratime and not request.period_ns else FORM_WEIGHT
        self.domain[d].has_tunables = 0
        with nogil:
            self._apply(first, count, &request)

    cdef void _apply(self, int first, int count, Request* request) noexcept nogil:
        cdef Machine* m = self.m
        cdef int v
        if self.rules.params_pause:
            # The control call pauses the domain: what waits loses its place. What runs is left alone.
            for v in range(first, first + count):
                if not is_current(m, v):
                    self.hall.pause_vcpu(v)
        for v in range(first, first + count):
            self._set_vcpu(v, request)
        self._share_by_weight()
        for v in range(first, first + count):
            self._set_extratime(v, request)
        if self.rules.params_pause:
            m.clock.executing_pcpu = mask_next(self.pool_pcpus, -1, m.num_words)
            for v in range(first, first + count):
                if not is_current(m, v):
                    self.hall.unpause_vcpu(v)

    cdef void _set_vcpu(self, int v, Request* request) noexcept nogil:
        cdef SedfVcpu* svc = &self.vcpu[v]
        if request.form == FORM_TIME:
            svc.weight = 0
            svc.extraweight = 0
            svc.period_orig_ns = request.period_ns
            svc.slice_orig_ns = request.slice_ns
            svc.period_ns = request.period_ns
            svc.slice_ns = request.slice_ns
        elif request.form == FORM_WEIGHT:
            svc.weight = request.weight
        else:
            # The originals stay: what was reserved before still counts against the weights of others, as in Xen.
            svc.weight = 0
            svc.extraweight = request.weight
            svc.period_ns = DEFAULT_PERIOD_NS
            svc.slice_ns = 0

    cdef void _share_by_weight(self) noexcept nogil:
        """Divide what is not reserved on each pCPU among the vCPUs with a weight."""
        cdef Machine* m = self.m
        cdef SedfVcpu* svc
        cdef int64_t reserved_ns, weights
        cdef int p = mask_next(self.pool_pcpus, -1, m.num_words)
        cdef int v
        while p >= 0:
            reserved_ns = 0
            weights = 0
            for v in range(m.max_vcpus):
                svc = &self.vcpu[v]
                if svc.is_inserted and m.vcpu[v].pcpu == p:
                    weights += svc.weight
                    if svc.weight == 0:
                        reserved_ns += in_proportion(DEFAULT_PERIOD_NS, svc.slice_orig_ns, svc.period_orig_ns)
            for v in range(m.max_vcpus):
                svc = &self.vcpu[v]
                if svc.is_inserted and m.vcpu[v].pcpu == p and svc.weight:
                    svc.period_orig_ns = DEFAULT_PERIOD_NS
                    svc.slice_orig_ns = svc.weight * (DEFAULT_PERIOD_NS - WEIGHT_SAFETY_NS - reserved_ns) // weights
                    svc.period_ns = svc.period_orig_ns
                    svc.slice_ns = svc.slice_orig_ns
            p = mask_next(self.pool_pcpus, p, m.num_words)

    cdef void _set_extratime(self, int v, Request* request) noexcept nogil:
        cdef SedfVcpu* svc = &self.vcpu[v]
        if request.latency_ns >= 0:
            svc.latency_ns = request.latency_ns
        if request.extratime >= 0:
            svc.is_extra_aware = request.extratime
        if not svc.is_extra_aware:
            self._remove_extra(v, UTILISATION)
        elif not svc.is_asleep and not svc.in_extra[UTILISATION - PENALTY]:
            self._insert_extra(v, UTILISATION, 0)

    def domain_params(self, int d):
        """Parameters of domain slot ``d`` (its first vCPU's): what, given to ``adjust_domain``, leads to the same."""
        cdef SedfVcpu* svc = &self.vcpu[self.m.domain[d].first_vcpu]
        params = {"latency_ns": svc.latency_ns, "extratime": svc.is_extra_aware}
        if svc.weight:
            params["weight"] = svc.weight
            if svc.is_extra_aware:
                params["period_ns"] = svc.period_orig_ns
        elif svc.slice_ns == 0:
            params["weight"] = svc.extraweight
        else:
            params["period_ns"] = svc.period_orig_ns
            params["slice_ns"] = svc.slice_orig_ns
        return params

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        cdef SedfDomain* dom = &self.domain[d]
        cdef Request request
        cdef int64_t old[MAX_TUNABLES]
        cdef int i
        self.get_tunables(d, old)  # of a derived scheduler: SEDF's three come first
        if old[0] == values[0] and old[1] == values[1] and old[2] == values[2]:
            return
        for i in range(3):
            dom.tunables[i] = values[i]
        dom.has_tunables = 1
        request.latency_ns = -1
        if values[1] <= 0:
            request.form = FORM_BEST_EFFORT
            request.weight = 1
            request.extratime = 1
        else:
            request.form = FORM_TIME
            request.period_ns = max(values[0], 1) * US_NS
            request.slice_ns = request.period_ns * min(values[1], PPM) // PPM
            request.slice_ns = max(request.slice_ns, AGENT_MIN_SLICE_NS)
            request.extratime = values[2] != 0
        self._apply(self.m.domain[d].first_vcpu, self.m.domain[d].num_vcpus, &request)

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        cdef SedfDomain* dom = &self.domain[d]
        cdef SedfVcpu* svc = &self.vcpu[self.m.domain[d].first_vcpu]
        cdef int i
        if dom.has_tunables:
            for i in range(3):
                values[i] = dom.tunables[i]
            return
        values[0] = max(svc.period_orig_ns if svc.slice_ns else DEFAULT_PERIOD_NS, US_NS) // US_NS
        values[1] = max(in_proportion(PPM, svc.slice_orig_ns, svc.period_orig_ns), 1) if svc.slice_ns else 0
        values[2] = svc.is_extra_aware

    def reserved_ppm(self, int v):
        # Weights divide what reservations leave.
        cdef SedfVcpu* svc = &self.vcpu[v]
        if svc.weight or svc.slice_orig_ns <= 0:
            return 0
        return -(-svc.slice_orig_ns * PPM // svc.period_orig_ns)

    def wanted_ppm(self, params):
        if params.get("weight") or not params.get("slice_ns"):
            return 0
        return -(-params["slice_ns"] * PPM // params["period_ns"])

    def share(self, int d):
        cdef SedfVcpu* svc = &self.vcpu[self.m.domain[d].first_vcpu]
        weight = SHARE_PER_EXTRAWEIGHT * svc.extraweight or None
        if svc.slice_ns <= 0:
            return Share(weight=weight)
        return Share(
            weight=weight if svc.is_extra_aware else None,
            slice_ns=svc.slice_orig_ns,
            period_ns=svc.period_orig_ns,
            extra_time=bool(svc.is_extra_aware),
        )

    def params_from(self, share, num_vcpus):
        """A reservation stays one, a cap becomes one without extra time, and a weight alone an extra weight."""
        lost = share.stated()
        rules = self.rules_table
        if share.slice_ns and share.period_ns:
            period_ns = min(max(share.period_ns, rules.min_period_ns), rules.max_period_ns)
            slice_ns = share.slice_ns * period_ns // share.period_ns
            extratime = int(share.extra_time is not False)
            carried = {"slice_ns", "period_ns", "extra_time"}
        elif share.cap_pct:
            period_ns = DEFAULT_PERIOD_NS
            slice_ns = period_ns * share.cap_pct // (100 * num_vcpus)
            extratime = 0
            carried = {"cap_pct"}
        elif share.weight is not None:
            weight = min(max(round(share.weight / SHARE_PER_EXTRAWEIGHT), 1), MAX_WEIGHT)
            return {"weight": weight, "extratime": 1}, [name for name in lost if name != "weight"]
        else:
            return {}, lost
        slice_ns = min(max(slice_ns, rules.min_slice_ns), period_ns)
        params = {"period_ns": period_ns, "slice_ns": slice_ns, "extratime": extratime}
        return params, [name for name in lost if name not in carried]
