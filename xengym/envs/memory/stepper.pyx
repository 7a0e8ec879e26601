"""One control step of `Memory-v0`: set the balloons' targets, let the interval pass, measure, encode, reward."""
from libc.stdint cimport int64_t
from xengym.envs.host.rewards cimport RewardTerms
from xengym.envs.memory.actions cimport TargetDecoder
from xengym.envs.memory.observations cimport MemoryEncoder
from xengym.envs.stepping cimport Stepper
from xengym.hypervisor.host cimport Host


cdef class MemoryStepper(Stepper):
    """A host whose balloon targets are set once every control interval.

    Args:
        host: the machine.
        num_domains: domain slots covered by actions and observations.
        interval_ns: simulated time of one step.
        weights: reward weight by term name.
    """

    def __init__(self, Host host, int num_domains, int64_t interval_ns, weights):
        Stepper.__init__(self, host, num_domains, interval_ns)
        self.rewards = RewardTerms(host, self.monitor, num_domains, weights)
        self.actions = TargetDecoder(host, num_domains)
        self.observations = MemoryEncoder(host, self.monitor, num_domains)
        self.num_actions = self.actions.size
        self.num_features = self.observations.size

    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil:
        cdef int refused = self.actions.apply(<const float*>action)
        self.host.run(self.host.m.clock.now_ns + self.interval_ns, 0)
        self.num_steps += 1
        self.monitor.measure()
        self.observations.encode(obs)
        reward[0] = self.rewards.compute(terms)
        return refused

    cdef void encode(self, float* obs) noexcept nogil:
        self.observations.encode(obs)
