"""The native batch of `xengym/WanMigration-v0`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xengym.envs.batch import BatchedHostEnv
from xengym.envs.wan_migration.env import WanMigrationEnv
from xengym.envs.wan_migration.stepper import BatchMoveStepper


class WanMigrationVectorEnv(BatchedHostEnv):
    """N moves stepped by one call; see ``BatchedHostEnv``."""

    env_class = WanMigrationEnv  # type: ignore[assignment]
    batch_class: ClassVar[type[Any]] = BatchMoveStepper

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one action in every move.

        Raises:
            ValueError: the actions have the wrong shape.
        """
        actions = np.ascontiguousarray(actions, dtype=self._action_dtype)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"actions: expected shape {self.action_space.shape}, found {actions.shape}")
        obs, rewards, terminated, infos = self.batch.step(actions)
        infos |= {f"_{name}": self._everywhere for name in list(infos)}
        if terminated.any():
            infos = self._restart(terminated, obs, infos)
        return obs, rewards, terminated, np.zeros(self.num_envs, dtype=bool), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """What is possible now, shape ``(num_envs, 18)`` (``action="levels"``)."""
        return np.stack([env.stepper.masks() for env in self.envs])
