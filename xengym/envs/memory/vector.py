"""The native batch of `xengym/Memory-v0`."""

from __future__ import annotations

from xengym.envs.batch import BatchedHostEnv
from xengym.envs.memory.env import MemoryEnv


class MemoryVectorEnv(BatchedHostEnv):
    """N hosts stepped by one call; see ``BatchedHostEnv``."""

    env_class = MemoryEnv
