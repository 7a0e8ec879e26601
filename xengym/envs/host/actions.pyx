"""Actions of `Host-v0`: each domain's scheduler parameters, as numbers in [-1, 1] or as steps.

Box. -1 is a parameter's least value, 0 its default and 1 its greatest; between them equal steps are equal differences, or on
a log scale (Credit's weight, 1..65535) equal ratios. A limit that can be switched off (Credit's cap) maps [-1, 0) to 1..100 %
of the domain's vCPUs and [0, 1] to "none". So the zero vector is the scheduler's defaults. `encode` inverts `decode`.

Steps. One of {lower, keep, raise} for each parameter: a log-scale parameter halves or doubles, another moves by a tenth of
its range; a limit is "none" from 100 % on.
"""
from libc.math cimport isnan
from libc.stdint cimport int32_t, int64_t
from xengym.hypervisor.host cimport Host
from xengym.machine.state cimport Machine
from xengym.policies.schedulers.api cimport MAX_TUNABLES, Scheduler
from xengym.sim.random cimport exact_exp, exact_log

import numpy as np

cdef enum:
    STEP_LOWER = 0
    STEP_KEEP = 1
    STEP_RAISE = 2


cdef class ActionDecoder:
    """Decodes, checks and applies the actions of one host.

    Args:
        host: the machine to control.
        num_domains: domain slots the action covers, present or not.
        is_discrete: steps instead of numbers in [-1, 1].
        names: of the scheduler's parameters that the action sets, in this order; None: all. The others stay as they are.
    """

    def __init__(self, Host host, int num_domains, bint is_discrete, names=None):
        self.host = host
        self.scheduler = host.scheduler_policy
        self.num_domains = num_domains
        self.is_discrete = is_discrete
        tunables = host.scheduler.tunables()
        all_names = [tunable.name for tunable in tunables]
        self.names = tuple(all_names if names is None else names)
        self.is_partial = len(self.names) < len(all_names)
        self.num_tunables = len(self.names)
        for i, name in enumerate(self.names):
            self.chosen[i] = all_names.index(name)
            tunable = tunables[self.chosen[i]]
            self.ranges[i].low = tunable.low
            self.ranges[i].high = tunable.high or 0
            self.ranges[i].default_value = tunable.default
            self.ranges[i].log_scale = tunable.log_scale
            self.ranges[i].zero_means_none = tunable.zero_means_none

    @property
    def size(self):
        """Numbers in one action."""
        return self.num_domains * self.num_tunables

    cdef bint controls(self, int d) noexcept nogil:
        """Whether the action has a say in domain slot d."""
        return self.host.m.domain[d].in_use

    cdef TunableRange* range_of(self, int d, int i) noexcept nogil:
        """The range of the action's i-th parameter for domain slot d; good until the next call."""
        return &self.ranges[i]

    cdef void complete(self, int d, int64_t* values) noexcept nogil:
        """What goes with the parameters that the action sets."""

    cdef int apply_box(self, const float* action) noexcept nogil:
        """Set every present domain's parameters; returns how many domains' actions were refused (not a number)."""
        cdef Machine* m = &self.host.m
        cdef int64_t values[MAX_TUNABLES]
        cdef TunableRange* r
        cdef int d, i, refused = 0
        cdef bint bad
        for d in range(self.num_domains):
            if not self.controls(d):
                continue
            bad = False
            if self.is_partial:
                self.scheduler.get_tunables(d, values)
            for i in range(self.num_tunables):
                if isnan(action[d * self.num_tunables + i]):
                    bad = True
                else:
                    r = self.range_of(d, i)
                    values[self.chosen[i]] = decode_value(
                        r, action[d * self.num_tunables + i], 100 * m.domain[d].num_vcpus
                    )
            if bad:
                refused += 1
            else:
                self.complete(d, values)
                self.scheduler.set_tunables(d, values, m.clock.now_ns)
        return refused

    cdef int apply_steps(self, const int64_t* action) noexcept nogil:
        cdef Machine* m = &self.host.m
        cdef int64_t values[MAX_TUNABLES]
        cdef int64_t step
        cdef TunableRange* r
        cdef int d, i, k, refused = 0
        cdef bint bad
        for d in range(self.num_domains):
            if not self.controls(d):
                continue
            bad = False
            self.scheduler.get_tunables(d, values)
            for i in range(self.num_tunables):
                step = action[d * self.num_tunables + i]
                if step < STEP_LOWER or step > STEP_RAISE:
                    bad = True
                else:
                    r = self.range_of(d, i)
                    k = self.chosen[i]
                    values[k] = step_value(r, values[k], step - STEP_KEEP, 100 * m.domain[d].num_vcpus)
            if bad:
                refused += 1
            else:
                self.complete(d, values)
                self.scheduler.set_tunables(d, values, m.clock.now_ns)
        return refused

    def decode(self, action):
        """Parameters that a box action asks for: ``int64`` of shape ``(num_domains, num_tunables)``; -1 where absent."""
        cdef Machine* m = &self.host.m
        cdef TunableRange* r
        cdef const float[:, ::1] given = np.ascontiguousarray(action, dtype=np.float32).reshape(self.num_domains, -1)
        values = np.full((self.num_domains, self.num_tunables), -1, dtype=np.int64)
        for d in range(self.num_domains):
            if self.controls(d):
                for i in range(self.num_tunables):
                    r = self.range_of(d, i)
                    values[d, i] = decode_value(r, given[d, i], 100 * m.domain[d].num_vcpus)
        return values

    def encode(self, values=None):
        """Box action that sets the given parameters, or the present ones: ``float32`` of shape ``(size,)``."""
        cdef Machine* m = &self.host.m
        cdef TunableRange* r
        cdef int64_t present[MAX_TUNABLES]
        action = np.zeros((self.num_domains, self.num_tunables), dtype=np.float32)
        for d in range(self.num_domains):
            if self.controls(d):
                self.scheduler.get_tunables(d, present)
                for i in range(self.num_tunables):
                    value = present[self.chosen[i]] if values is None else values[d][i]
                    r = self.range_of(d, i)
                    action[d, i] = encode_value(r, value, 100 * m.domain[d].num_vcpus)
        return action.ravel()

    def masks(self):
        """Legal steps: ``bool`` of shape ``(3 * size,)``; for an absent domain only "keep" is legal."""
        cdef Machine* m = &self.host.m
        cdef TunableRange* r
        cdef int k
        cdef int64_t present[MAX_TUNABLES]
        legal = np.zeros((self.num_domains, self.num_tunables, 3), dtype=bool)
        legal[:, :, STEP_KEEP] = True
        for d in range(self.num_domains):
            if self.controls(d):
                self.scheduler.get_tunables(d, present)
                for i in range(self.num_tunables):
                    r = self.range_of(d, i)
                    k = self.chosen[i]
                    for step in (STEP_LOWER, STEP_RAISE):
                        moved = step_value(r, present[k], step - STEP_KEEP, 100 * m.domain[d].num_vcpus)
                        legal[d, i, step] = moved != present[k]
        return legal.ravel()


cdef int64_t decode_value(TunableRange* r, double x, int64_t whole_pct) noexcept nogil:
    cdef int64_t high = r.high if r.high else whole_pct
    cdef int64_t value, end
    if x < -1.0:
        x = -1.0
    elif x > 1.0:
        x = 1.0
    if r.zero_means_none:
        if x >= 0.0:
            return 0
        value = <int64_t>((1.0 + x) * high + 0.5)
        return value if value > 1 else 1
    end = r.low
    if x >= 0.0:
        end = high
    else:
        x = -x
    if r.log_scale:
        value = <int64_t>(exact_exp(x * exact_log(<double>end / r.default_value)) * r.default_value + 0.5)
    else:
        value = <int64_t>(r.default_value + x * (end - r.default_value) + 0.5)
    return min(max(value, r.low), high)


cdef double encode_value(TunableRange* r, int64_t value, int64_t whole_pct) noexcept nogil:
    cdef int64_t high = r.high if r.high else whole_pct
    cdef int64_t end
    cdef double x
    if r.zero_means_none:
        # A limit of everything is none.
        return 0.0 if value == 0 or value >= high else <double>value / high - 1.0
    if value == r.default_value:
        return 0.0
    end = r.low if value < r.default_value else high
    if r.log_scale:
        x = exact_log(<double>value / r.default_value) / exact_log(<double>end / r.default_value)
    else:
        x = <double>(value - r.default_value) / (end - r.default_value)
    if x > 1.0:  # a parameter may be set beyond what an agent can ask for
        x = 1.0
    return -x if value < r.default_value else x


cdef int64_t step_value(TunableRange* r, int64_t value, int64_t direction, int64_t whole_pct) noexcept nogil:
    cdef int64_t high = r.high if r.high else whole_pct
    cdef int64_t tenth = max((high - r.low) // 10, 1)
    if direction == 0:
        return value
    if r.zero_means_none:
        if value == 0:
            value = high
        value += direction * tenth
        return 0 if value >= high else max(value, tenth)
    if r.log_scale:
        value = value * 2 if direction > 0 else value // 2
    else:
        value += direction * tenth
    return min(max(value, r.low), high)
