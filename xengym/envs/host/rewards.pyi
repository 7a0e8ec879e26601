from collections.abc import Mapping

from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor

REWARD_TERMS: tuple[tuple[str, str], ...]

class RewardTerms:
    num_domains: int
    def __init__(
        self, host: Host, monitor: IntervalMonitor, num_domains: int, weights: Mapping[str, float]
    ) -> None: ...
