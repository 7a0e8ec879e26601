"""The native batch of `xengym/DriverDomain-v0`."""

from __future__ import annotations

from xengym.envs.driver_domain.env import DriverDomainEnv
from xengym.envs.host.vector import HostVectorEnv


class DriverDomainVectorEnv(HostVectorEnv):
    """N hosts stepped by one call; see ``BatchedHostEnv``."""

    env_class = DriverDomainEnv  # type: ignore[assignment]
