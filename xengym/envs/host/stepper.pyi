from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.envs.host.actions import ActionDecoder
from xengym.envs.host.observations import ObservationEncoder
from xengym.envs.host.rewards import RewardTerms
from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor

class Stepper:
    host: Host
    monitor: IntervalMonitor
    actions: ActionDecoder
    observations: ObservationEncoder
    rewards: RewardTerms
    interval_ns: int
    num_steps: int
    episode_steps: int
    def __init__(
        self, host: Host, num_domains: int, interval_ns: int, weights: Mapping[str, float], is_discrete: bool
    ) -> None: ...
    def observe(self) -> NDArray[np.float32]: ...
    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, dict[str, Any]]: ...

class BatchStepper:
    num_threads: int
    num_envs: int
    def __init__(self, steppers: Sequence[Stepper], num_threads: int) -> None: ...
    def replace(self, index: int, stepper: Stepper) -> None: ...
    def step(
        self, actions: NDArray[Any]
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float64],
        NDArray[np.bool_],
        NDArray[np.float64],
        NDArray[np.int32],
        NDArray[np.bool_],
        NDArray[np.float64],
    ]: ...
