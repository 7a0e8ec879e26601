"""Steps of `DriverDomain-v0` (`stepper.pyx`)."""
from xengym.envs.host.stepper cimport HostStepper

cdef class DriverDomainStepper(HostStepper):
    pass
