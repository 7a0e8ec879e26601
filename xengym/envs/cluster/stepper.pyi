from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.envs.pooled import PooledBatch
from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.interface import Cluster

CLUSTER_TERMS: tuple[tuple[str, str], ...]
WEIGHT_LEVELS: tuple[int, ...]
RESERVED_FRACS: tuple[float, ...]
CAP_LEVELS: tuple[int, ...]

class ClusterStepper:
    books: FluidCluster
    interval_ns: int
    sets_params: bool
    takes_integers: bool
    num_features: int
    num_actions: int
    num_masks: int
    num_domains: int
    num_steps: int
    episode_steps: int
    mark_records: NDArray[Any]
    def __init__(
        self,
        cluster: Cluster,
        interval_ns: int,
        weights: Mapping[str, float],
        *,
        sets_params: bool = ...,
        keeps_spare: bool = ...,
    ) -> None: ...
    @property
    def cluster(self) -> Any: ...
    def observe(self) -> NDArray[np.float32]: ...
    def masks(self) -> NDArray[np.bool_]: ...
    def restart(self, num_steps: int = ...) -> None: ...
    def step_orders(
        self, orders: Sequence[tuple[int, int]]
    ) -> tuple[list[int], NDArray[np.float32], float, bool, dict[str, float]]: ...
    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[np.float32], float, bool, dict[str, Any]]: ...

class BatchClusterStepper(PooledBatch):
    def __init__(self, steppers: Sequence[ClusterStepper], num_threads: int) -> None: ...
    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], dict[str, Any]]: ...
