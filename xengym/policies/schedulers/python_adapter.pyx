"""Schedulers written in plain Python: the compiled half of `python_policy.py`.

The queue, the rules of what is legal and the default choice are those of `shared_queue.pyx`; what the policy overrides is
called with the interpreter lock held, which costs microseconds where a compiled scheduler takes nanoseconds. An exception in
the policy stops time at that instant and is raised by `Host.run_until`; the machine stays sound.
"""
from libc.stdint cimport int64_t
from xengym.machine.state cimport NO_VCPU
from xengym.policies.schedulers.api cimport MAX_TUNABLES, Decision
from xengym.policies.schedulers.shared_queue cimport SharedQueueScheduler

import pickle

from xengym.policies.schedulers.tunables import check_integer


cdef class PythonScheduler(SharedQueueScheduler):
    """Runs a ``PythonPolicy``.

    Args:
        policy_class: the policy's class.
        version: one of its ``versions``.
        slice_us, wake_asks: as for ``SharedQueueScheduler``.
        options: passed to the policy's constructor.
    """

    def __init__(self, policy_class, version="current", *, slice_us=30_000, wake_asks="own", **options):
        self.name = policy_class.name
        if version not in policy_class.versions:
            raise ValueError(
                f"unknown version {version!r} of scheduler {self.name!r}; "
                f"expected one of {', '.join(policy_class.versions)}"
            )
        SharedQueueScheduler.__init__(self, slice_us=slice_us, wake_asks=wake_asks)
        self.version = version
        self.policy_class = policy_class
        self.policy_options = options
        self.policy = policy_class(**options)

    def __reduce__(self):
        return _rebuild, (self.policy_class, self.version, {**self.options, **self.policy_options})

    # -- state ---------------------------------------------------------------------------------------------------

    def bind(self, views):
        SharedQueueScheduler.bind(self, views)
        self.policy = self.policy_class(**self.policy_options)
        self.values = {}
        self.error = None
        self.policy.pool = self
        self.policy.attached(self)

    def extra_state(self):
        """The policy's attributes and the domains' parameters, pickled."""
        return pickle.dumps((self.policy.state(), self.values))

    def set_extra_state(self, state):
        attributes, values = pickle.loads(state)
        self.policy.set_state(attributes)
        # The names are the class's own objects again: pickles of equal states are equal only if what they share is, too.
        self.values = {
            d: {tunable.name: of_domain[tunable.name] for tunable in self.policy_class.tunables}
            for d, of_domain in values.items()
        }

    cdef void _failed(self, object error):
        if self.error is None:
            self.error = error
        self.m.clock.halted = 1

    def raise_error(self):
        error, self.error = self.error, None
        if error is not None:
            raise error

    # -- what a policy may look at and do ------------------------------------------------------------------------

    @property
    def now_ns(self):
        """Simulated time."""
        return self.m.clock.now_ns

    @property
    def seed(self):
        """Seed of the host's random streams."""
        return self.m.clock.seed

    def pcpus(self):
        """The pCPUs of the cpupool, ascending."""
        return [p for p in range(self.m.num_pcpus) if self.pool_pcpus[p >> 6] >> (p & 63) & 1]

    def current(self, int p):
        """The vCPU that runs on a pCPU, or None while it runs idle."""
        v = self.m.pcpu[p].curr
        return v if v < self.m.max_vcpus else None

    def domain_of(self, int v):
        """The domain slot of a vCPU."""
        return self.m.vcpu[v].domain

    def domid_of(self, int v):
        """The domain id of a vCPU."""
        return self.m.domain[self.m.vcpu[v].domain].domid

    def ran_ns(self, int v):
        """How long a running vCPU has run since it was switched in."""
        return self.m.clock.now_ns - self.m.vcpu[v].switch_at_ns

    def cpu_ns(self, int v):
        """CPU time a vCPU has had."""
        cdef int64_t total = self.m.vcpu[v].runstate_ns[0]
        if self.m.vcpu[v].runstate == 0:
            total += self.m.clock.now_ns - self.m.vcpu[v].runstate_at_ns
        return total

    def param(self, int v, name):
        """Parameter ``name`` of the vCPU's domain."""
        return self.values[self.m.vcpu[v].domain][name]

    # -- operations ----------------------------------------------------------------------------------------------

    cdef void insert_domain(self, int d) noexcept with gil:
        self.values[d] = {tunable.name: tunable.default for tunable in self.policy_class.tunables}

    cdef void remove_domain(self, int d) noexcept with gil:
        self.values.pop(d, None)

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept with gil:
        SharedQueueScheduler.insert_vcpu(self, v, now_ns)
        try:
            self.policy.vcpu_added(v)
        except Exception as error:
            self._failed(error)

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept with gil:
        SharedQueueScheduler.remove_vcpu(self, v, now_ns)
        try:
            self.policy.vcpu_removed(v)
        except Exception as error:
            self._failed(error)

    cdef void ask_for(self, int v, int64_t now_ns) noexcept with gil:
        try:
            self.policy.woken(v, now_ns)
        except Exception as error:
            self._failed(error)
        SharedQueueScheduler.ask_for(self, v, now_ns)

    cdef Decision choose(self, int p, int64_t now_ns) noexcept with gil:
        cdef Decision decision = self.default_choice(p)
        cdef int v = self.m.pcpu[p].curr
        try:
            candidates = []
            if v < self.m.max_vcpus and self.may_choose(p, v):
                candidates.append(v)
            v = self.first_waiting(p)
            while v != NO_VCPU:
                candidates.append(v)
                v = self.next_waiting(p, v)
            chosen, slice_ns = self.policy.choose(p, candidates, now_ns)
            decision.next_vcpu = self.m.max_vcpus + p if chosen is None else chosen
            decision.slice_ns = 0 if slice_ns is None else slice_ns
        except Exception as error:
            self._failed(error)
            decision = self.default_choice(p)
        return decision

    # -- parameters ----------------------------------------------------------------------------------------------

    def tunables(self):
        return list(self.policy_class.tunables[:MAX_TUNABLES])

    def check_domain_params(self, where, num_vcpus, params):
        known = {tunable.name: tunable for tunable in self.policy_class.tunables}
        for name, value in params.items():
            if name not in known:
                expected = ", ".join(known) or "none"
                raise ValueError(f"{where}: unknown parameter {name}; expected one of: {expected}")
            high = known[name].high if known[name].high is not None else 100 * num_vcpus
            check_integer(where, name, value, known[name].low, high)

    def adjust_domain(self, int d, params):
        where = f"domain {self.m.domain[d].domid}, scheduler {self.name}"
        self.check_domain_params(where, self.m.domain[d].num_vcpus, params)
        self.values[d].update({name: int(value) for name, value in params.items()})

    def domain_params(self, int d):
        return dict(self.values[d])

    def share(self, int d):
        return self.policy.share(dict(self.values[d]))

    def params_from(self, share, num_vcpus):
        return self.policy.params_from(share, num_vcpus)

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept with gil:
        for i, tunable in enumerate(self.policy_class.tunables[:MAX_TUNABLES]):
            self.values[d][tunable.name] = values[i]

    cdef void get_tunables(self, int d, int64_t* values) noexcept with gil:
        for i, tunable in enumerate(self.policy_class.tunables[:MAX_TUNABLES]):
            values[i] = self.values[d][tunable.name]


def _rebuild(policy_class, version, options):
    return PythonScheduler(policy_class, version, **options)
