from collections.abc import Mapping, Sequence

from xengym.envs.dispatch.actions import ChoiceDecoder
from xengym.envs.dispatch.observations import DecisionEncoder
from xengym.envs.host.rewards import RewardTerms
from xengym.envs.stepping import Stepper
from xengym.hypervisor.host import Host

class DispatchStepper(Stepper):
    actions: ChoiceDecoder
    observations: DecisionEncoder
    rewards: RewardTerms
    def __init__(
        self,
        host: Host,
        num_domains: int,
        interval_ns: int,
        weights: Mapping[str, float],
        slices_ns: Sequence[int],
    ) -> None: ...
