from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.envs.pooled import PooledBatch
from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor

class Stepper:
    host: Host
    monitor: IntervalMonitor
    interval_ns: int
    num_features: int
    num_actions: int
    num_domains: int
    num_masks: int
    takes_integers: bool
    extra_names: tuple[str, ...]
    num_steps: int
    episode_steps: int
    def __init__(self, host: Host, num_domains: int, interval_ns: int) -> None: ...
    def begin(self) -> None: ...
    def observe(self) -> NDArray[np.float32]: ...
    def masks(self) -> NDArray[np.bool_]: ...
    def extras(self) -> dict[str, int]: ...
    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, dict[str, Any]]: ...

class BatchStepper(PooledBatch):
    def __init__(self, steppers: Sequence[Stepper], num_threads: int) -> None: ...
    def step(
        self, actions: NDArray[Any]
    ) -> tuple[
        NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], dict[str, NDArray[Any]]
    ]: ...
