"""The native batches of `xengym/Cluster-v0` and `xengym/Datacenter-v0`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xengym.envs.batch import BatchedHostEnv
from xengym.envs.cluster.env import ClusterEnv, DatacenterEnv
from xengym.envs.cluster.stepper import BatchClusterStepper


class ClusterVectorEnv(BatchedHostEnv):
    """N clusters stepped by one call; see ``BatchedHostEnv``."""

    env_class = ClusterEnv  # type: ignore[assignment]
    batch_class: ClassVar[type[Any]] = BatchClusterStepper

    def __init__(self, *args: Any, fidelity: str = "fluid", **kwargs: Any) -> None:
        self._fidelity = fidelity
        super().__init__(*args, fidelity=fidelity, **kwargs)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one action in every cluster.

        Raises:
            ValueError: the actions have the wrong shape.
        """
        actions = np.ascontiguousarray(actions, dtype=np.int64)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"actions: expected shape {self.action_space.shape}, found {actions.shape}")
        if not self.action_space.contains(actions):
            raise ValueError(f"actions: expected actions of {self.single_action_space}, found {actions}")
        obs, rewards, truncated, infos = self.batch.step(actions.reshape(self.num_envs, -1))
        infos["fidelity"] = np.full(self.num_envs, self._fidelity, dtype=object)
        infos |= {f"_{name}": self._everywhere for name in list(infos)}
        if truncated.any():
            infos = self._restart(truncated, obs, infos)
        return obs, rewards, np.zeros(self.num_envs, dtype=bool), truncated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """What is possible now, shape ``(num_envs, num_masks)``."""
        return np.stack([env.stepper.masks() for env in self.envs])


class DatacenterVectorEnv(ClusterVectorEnv):
    """N clusters, moves and parameters; see ``BatchedHostEnv``."""

    env_class = DatacenterEnv
