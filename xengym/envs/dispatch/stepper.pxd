"""One decision of `Dispatch-v0` (`stepper.pyx`)."""
from xengym.envs.dispatch.actions cimport ChoiceDecoder
from xengym.envs.dispatch.observations cimport DecisionEncoder
from xengym.envs.host.rewards cimport RewardTerms
from xengym.envs.stepping cimport Stepper

cdef class DispatchStepper(Stepper):
    cdef readonly ChoiceDecoder actions
    cdef readonly DecisionEncoder observations
    cdef readonly RewardTerms rewards
    cdef void _to_next_decision(self, double* terms, double* reward) noexcept nogil
