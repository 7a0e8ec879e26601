"""One control step of `DriverDomain-v0`: that of `Host-v0`, with limits in the place of scheduler parameters."""
from libc.stdint cimport int64_t
from xengym.envs.driver_domain.actions cimport LimitDecoder
from xengym.envs.host.stepper cimport HostStepper
from xengym.hypervisor.host cimport Host


cdef class DriverDomainStepper(HostStepper):
    """A host whose guests' limits are set once every control interval; arguments as of ``HostStepper``."""

    def __init__(self, Host host, int num_domains, int64_t interval_ns, weights, bint is_discrete):
        HostStepper.__init__(self, host, num_domains, interval_ns, weights, is_discrete)
        self._use(LimitDecoder(host, num_domains, is_discrete))
