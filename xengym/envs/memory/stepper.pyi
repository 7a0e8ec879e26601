from collections.abc import Mapping

from xengym.envs.host.rewards import RewardTerms
from xengym.envs.memory.actions import TargetDecoder
from xengym.envs.memory.observations import MemoryEncoder
from xengym.envs.stepping import Stepper
from xengym.hypervisor.host import Host

class MemoryStepper(Stepper):
    actions: TargetDecoder
    observations: MemoryEncoder
    rewards: RewardTerms
    def __init__(self, host: Host, num_domains: int, interval_ns: int, weights: Mapping[str, float]) -> None: ...
