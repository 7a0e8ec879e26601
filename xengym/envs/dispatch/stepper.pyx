"""One step of `Dispatch-v0`: answer the decision, let time pass until the next one.

Rewards are those of `Host-v0`, measured at the end of every control interval, however many decisions fall into it: a step
returns the sum over the intervals that ended in it. So an episode's total is what the same schedule earns in `Host-v0`.
"""
from libc.stdint cimport int64_t
from xengym.envs.dispatch.actions cimport ChoiceDecoder
from xengym.envs.dispatch.observations cimport DecisionEncoder
from xengym.envs.host.rewards cimport NUM_TERMS, RewardTerms
from xengym.envs.stepping cimport Stepper
from xengym.hypervisor.host cimport Host


cdef class DispatchStepper(Stepper):
    """A host whose every scheduling decision is an action.

    Args:
        host: the machine; a connected `ExternalScheduler` serves its cpupool 0.
        num_domains: domain slots that count for the reward.
        interval_ns: simulated time between two measurements.
        weights: reward weight by term name.
        slices_ns: menu of slices; empty: the agent does not choose.
    """

    def __init__(self, Host host, int num_domains, int64_t interval_ns, weights, slices_ns):
        Stepper.__init__(self, host, num_domains, interval_ns)
        self.actions = ChoiceDecoder(host, slices_ns)
        self.observations = DecisionEncoder(host, self.monitor)
        self.rewards = RewardTerms(host, self.monitor, num_domains, weights)
        self.num_actions = 2 if self.actions.num_slices else 1
        self.num_features = self.observations.size
        self.num_masks = self.actions.num_choices + self.actions.num_slices
        self.takes_integers = True
        self.extra_names = ("pcpu", "decisions")

    def begin(self):
        cdef double terms[NUM_TERMS]
        cdef double reward
        Stepper.begin(self)
        self._to_next_decision(terms, &reward)

    cdef void _to_next_decision(self, double* terms, double* reward) noexcept nogil:
        cdef double of_interval[NUM_TERMS]
        cdef int64_t end_ns = self.monitor.whole.end_ns + self.interval_ns
        cdef int k
        reward[0] = 0.0
        for k in range(NUM_TERMS):
            terms[k] = 0.0
        while self.host.run(end_ns, 0):
            self.monitor.measure()
            self.num_steps += 1
            reward[0] += self.rewards.compute(of_interval)
            for k in range(NUM_TERMS):
                terms[k] += of_interval[k]
            if self.num_steps >= self.episode_steps:
                return
            end_ns += self.interval_ns

    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil:
        cdef int64_t refused = self.actions.scheduler.pool.refused
        self.actions.give(<const int64_t*>action)
        self._to_next_decision(terms, reward)
        self.observations.encode(obs)
        return <int>(self.actions.scheduler.pool.refused - refused)

    cdef void encode(self, float* obs) noexcept nogil:
        self.observations.encode(obs)

    cdef void write_masks(self, unsigned char* masks) noexcept nogil:
        self.actions.write_masks(masks)

    cdef void write_extras(self, int64_t* extras) noexcept nogil:
        extras[0] = self.host.m.clock.awaiting_pcpu
        extras[1] = self.actions.scheduler.pool.decisions
