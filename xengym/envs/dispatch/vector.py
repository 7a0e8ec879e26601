"""The native batch of `xengym/Dispatch-v0`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xengym.envs.batch import BatchedHostEnv
from xengym.envs.dispatch.env import DispatchEnv


class DispatchVectorEnv(BatchedHostEnv):
    """N hosts, each advanced to its next decision by one call; see ``BatchedHostEnv``."""

    env_class = DispatchEnv
    envs: list[DispatchEnv]  # type: ignore[assignment]

    def action_masks(self) -> NDArray[np.bool_]:
        """What is legal now, shape ``(num_envs, max_vcpus + 1 + len(slices_ms))``."""
        return np.stack([env.action_masks() for env in self.envs])
