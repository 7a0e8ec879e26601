"""One control step of `Memory-v0` (`stepper.pyx`)."""
from xengym.envs.host.rewards cimport RewardTerms
from xengym.envs.memory.actions cimport TargetDecoder
from xengym.envs.memory.observations cimport MemoryEncoder
from xengym.envs.stepping cimport Stepper

cdef class MemoryStepper(Stepper):
    cdef readonly TargetDecoder actions
    cdef readonly MemoryEncoder observations
    cdef readonly RewardTerms rewards
