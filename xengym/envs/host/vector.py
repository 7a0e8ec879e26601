"""The native batch of `xengym/Host-v0`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xengym.envs.batch import BatchedHostEnv
from xengym.envs.host.env import HostEnv


class HostVectorEnv(BatchedHostEnv):
    """N hosts stepped by one call; see ``BatchedHostEnv``."""

    env_class = HostEnv
    envs: list[HostEnv]  # type: ignore[assignment]

    def action_masks(self) -> NDArray[np.bool_]:
        """Steps that would change something, shape ``(num_envs, 3 * num_actions)`` (``action="steps"``)."""
        return np.stack([env.action_masks() for env in self.envs])
