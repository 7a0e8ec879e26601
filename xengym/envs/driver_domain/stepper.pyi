from collections.abc import Mapping

from xengym.envs.host.stepper import HostStepper
from xengym.hypervisor.host import Host

class DriverDomainStepper(HostStepper):
    def __init__(
        self, host: Host, num_domains: int, interval_ns: int, weights: Mapping[str, float], is_discrete: bool
    ) -> None: ...
