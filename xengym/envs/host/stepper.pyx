"""One control step of `Host-v0`: set the parameters, let the interval pass, measure, encode, reward."""
from libc.stdint cimport int64_t
from xengym.envs.host.actions cimport ActionDecoder
from xengym.envs.host.observations cimport ObservationEncoder
from xengym.envs.host.rewards cimport RewardTerms
from xengym.envs.stepping cimport Stepper
from xengym.hypervisor.host cimport Host


cdef class HostStepper(Stepper):
    """A host whose scheduler parameters are set once every control interval.

    Args:
        host: the machine.
        num_domains: domain slots covered by actions and observations.
        interval_ns: simulated time of one step.
        weights: reward weight by term name.
        is_discrete: actions are steps instead of numbers.
    """

    def __init__(self, Host host, int num_domains, int64_t interval_ns, weights, bint is_discrete):
        Stepper.__init__(self, host, num_domains, interval_ns)
        self.rewards = RewardTerms(host, self.monitor, num_domains, weights)
        self.takes_integers = is_discrete
        self._use(ActionDecoder(host, num_domains, is_discrete))

    cdef _use(self, ActionDecoder actions):
        """Take this decoder, and observe what it sets."""
        self.actions = actions
        self.observations = ObservationEncoder(self.host, self.monitor, actions)
        self.num_actions = actions.size
        self.num_features = self.observations.size

    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil:
        cdef int refused
        if self.takes_integers:
            refused = self.actions.apply_steps(<const int64_t*>action)
        else:
            refused = self.actions.apply_box(<const float*>action)
        self.host.run(self.host.m.clock.now_ns + self.interval_ns, 0)
        self.num_steps += 1
        self.monitor.measure()
        self.observations.encode(obs)
        reward[0] = self.rewards.compute(terms)
        return refused

    cdef void encode(self, float* obs) noexcept nogil:
        self.observations.encode(obs)
