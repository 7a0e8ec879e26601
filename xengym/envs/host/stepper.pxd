"""One control step of `Host-v0` (`stepper.pyx`)."""
from xengym.envs.host.actions cimport ActionDecoder
from xengym.envs.host.observations cimport ObservationEncoder
from xengym.envs.host.rewards cimport RewardTerms
from xengym.envs.stepping cimport Stepper

cdef class HostStepper(Stepper):
    cdef readonly ActionDecoder actions
    cdef readonly ObservationEncoder observations
    cdef readonly RewardTerms rewards
    cdef _use(self, ActionDecoder actions)
