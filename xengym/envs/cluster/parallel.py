"""Cluster-v0 for many agents, one a host, each of which may ask a domain in: PettingZoo's parallel interface."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from xengym.envs.cluster.env import ClusterEnv
from xengym.envs.cluster.observations import DOMAIN_FEATURES, GLOBAL_FEATURES, HOST_FEATURES
from xengym.machine.cluster_state import REFUSALS

try:
    from pettingzoo import ParallelEnv  # type: ignore[import-untyped]
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "xengym.envs.cluster.parallel needs PettingZoo: pip install 'xengym[multiagent]' (or pip install pettingzoo)"
    ) from error

_GLOBAL, _HOST, _DOMAIN = len(GLOBAL_FEATURES), len(HOST_FEATURES), len(DOMAIN_FEATURES)
_PLACE = [name for name, _ in DOMAIN_FEATURES].index("host")


class ClusterParallelEnv(ParallelEnv):  # type: ignore[misc]
    """The cluster of ``xengym/Cluster-v0``, with an agent on each host.

    An agent's action is `Discrete(1 + slots)`: nothing, or to ask the domain in a slot to come to its host. Requests
    are served in the order of the hosts; a second one for the same domain is refused. An agent sees the cluster's
    features, its own host's, and each domain's, where in place of the host's number stands 1 if the domain is here and
    else -1. All agents get the cluster's reward. `infos[agent]["action_mask"]` says what its host could ask for.

    Args:
        args, kwargs: as of ``ClusterEnv``.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "name": "xengym_cluster_v0"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.env = ClusterEnv(*args, **kwargs)
        self.render_mode = self.env.render_mode
        self.possible_agents = [f"host_{i}" for i in range(self.env.num_hosts)]
        self.agents: list[str] = []
        size = _GLOBAL + _HOST + self.env.num_slots * _DOMAIN
        self.observation_spaces = {agent: spaces.Box(-1.0, 1.0, (size,), np.float32) for agent in self.possible_agents}
        self.action_spaces = {agent: spaces.Discrete(1 + self.env.num_slots) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Of an agent; always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Of an agent; always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Begin the next episode; as ``ClusterEnv.reset``, but options of others are let be, as PettingZoo asks."""
        options = {name: value for name, value in (options or {}).items() if name == "episode_seed"}
        if seed is None and self.env._np_random is None:
            self.env._np_random, self.env._np_random_seed = seeding.np_random()
        obs, info = self.env.reset(seed=seed, options=options)
        self.agents = list(self.possible_agents)
        shared = {name: info[name] for name in ("time_s", "fidelity", "scenario", "episode_seed", "demand")}
        return self._observations(obs), self._infos(shared)

    def step(
        self, actions: dict[str, int]
    ) -> tuple[
        dict[str, NDArray[np.float32]],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Take every agent's action.

        Raises:
            ValueError: an action is not one of its space.
        """
        asking = []
        for host, agent in enumerate(self.possible_agents):
            action = int(actions.get(agent, 0))
            if not 0 <= action <= self.env.num_slots:
                raise ValueError(f"action of {agent}: expected 0..{self.env.num_slots}, found {action}")
            if action:
                asking.append((agent, (action - 1, host)))
        reasons, obs, reward, truncated, terms = self.env.stepper.step_orders([order for _, order in asking])
        refused = {agent: REFUSALS[reason] for (agent, _), reason in zip(asking, reasons, strict=True) if reason}
        agents = self.agents
        shared = {**terms, "time_s": self.env.cluster.now_ns * 1e-9, "fidelity": self.env.fidelity}
        infos = self._infos(shared)
        for agent in agents:
            infos[agent]["refused"] = refused.get(agent, "")
        result = (
            self._observations(obs),
            dict.fromkeys(agents, float(reward)),
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, bool(truncated)),
            infos,
        )
        if truncated:
            self.agents = []
        return result

    def action_masks(self) -> NDArray[np.bool_]:
        """What each agent may ask for now, shape ``(hosts, 1 + slots)``."""
        masks = np.ones((self.env.num_hosts, 1 + self.env.num_slots), dtype=bool)
        masks[:, 1:] = self.env.cluster.move_mask().T
        return masks

    def state(self) -> NDArray[np.float32]:
        """What a single agent would see of the whole cluster."""
        return self.env.stepper.observe()

    def render(self) -> Any:
        """As ``ClusterEnv.render``."""
        return self.env.render()

    def close(self) -> None:
        """Nothing is held open."""

    def _observations(self, obs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        hosts = obs[_GLOBAL : _GLOBAL + self.env.num_hosts * _HOST].reshape(-1, _HOST)
        domains = obs[_GLOBAL + self.env.num_hosts * _HOST :].reshape(-1, _DOMAIN)
        present = domains[:, 0] > 0
        where = self.env.cluster.domains["host"]
        views = {}
        for host, agent in enumerate(self.agents):
            seen = domains.copy()
            seen[:, _PLACE] = np.where(present, np.where(where == host, 1.0, -1.0), 0.0)
            views[agent] = np.concatenate([obs[:_GLOBAL], hosts[host], seen.ravel()])
        return views

    def _infos(self, shared: dict[str, Any]) -> dict[str, dict[str, Any]]:
        masks = self.action_masks()
        return {agent: {**shared, "refused": "", "action_mask": masks[host]} for host, agent in enumerate(self.agents)}


def parallel_env(*args: Any, **kwargs: Any) -> ClusterParallelEnv:
    """A cluster with an agent on each host; arguments as of ``ClusterEnv``."""
    return ClusterParallelEnv(*args, **kwargs)
