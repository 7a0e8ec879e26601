from collections.abc import Mapping

from xengym.envs.host.actions import ActionDecoder
from xengym.envs.host.observations import ObservationEncoder
from xengym.envs.host.rewards import RewardTerms
from xengym.envs.stepping import Stepper
from xengym.hypervisor.host import Host

class HostStepper(Stepper):
    actions: ActionDecoder
    observations: ObservationEncoder
    rewards: RewardTerms
    def __init__(
        self, host: Host, num_domains: int, interval_ns: int, weights: Mapping[str, float], is_discrete: bool
    ) -> None: ...
