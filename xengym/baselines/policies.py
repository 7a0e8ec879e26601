"""Baseline policies of `xengym/Host-v0`: what an agent has to beat, under any scheduler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xengym.envs.driver_domain.env import DriverDomainEnv
from xengym.envs.host.env import HostEnv
from xengym.scenarios.config import ScenarioConfig
from xengym.scenarios.episodes import SEED_RANGES


class Policy(Protocol):
    """Something that chooses actions; a trained agent is wrapped as one, too.

    Attributes:
        name: for tables.
        scheduler: the scheduler whose parameters its actions are; None: the scenario's.
    """

    name: str
    scheduler: str | None

    def begin(self, env: HostEnv, seed: int) -> None:
        """An episode has been reset in ``env``."""

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The box action for an observation."""


class Defaults:
    """A scheduler as it comes: every parameter at its default, whatever the scenario says.

    Args:
        scheduler: name, or name and version; None: the scenario's.
        name: for tables.
    """

    def __init__(self, scheduler: str | None = None, name: str | None = None) -> None:
        self.scheduler = scheduler
        self.name = name or f"{scheduler or 'credit'} default"

    def begin(self, env: HostEnv, seed: int) -> None:
        """Note the size of an action."""
        self._action = np.zeros(env.stepper.actions.size, dtype=np.float32)

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The zero vector, which is the scheduler's defaults."""
        return self._action


class StaticAction:
    """One fixed action: static parameters.

    Args:
        action: box action, shape ``(size,)``.
        name: for tables.
        scheduler: the scheduler whose parameters it sets; None: the scenario's.
    """

    def __init__(self, action: NDArray[np.float32], name: str = "credit static", scheduler: str | None = None) -> None:
        self.name = name
        self.scheduler = scheduler
        self.action = np.asarray(action, dtype=np.float32)

    def begin(self, env: HostEnv, seed: int) -> None:
        """Nothing to prepare."""

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The fixed action."""
        return self.action


class RoundRobinCaps:
    """Takes turns: one domain after another runs uncapped for a while, the others are held to a cap (Credit).

    Args:
        cap_frac: cap of those whose turn it is not, as a fraction of their vCPUs.
        turn_steps: control intervals of one turn.
    """

    name = "round-robin caps"
    scheduler: str | None = None

    def __init__(self, cap_frac: float = 0.5, turn_steps: int = 10) -> None:
        self.cap_frac = cap_frac
        self.turn_steps = turn_steps

    def begin(self, env: HostEnv, seed: int) -> None:
        """Note which domains are there."""
        self._num_tunables = env.stepper.actions.num_tunables
        self._size = env.stepper.actions.size
        self._slots = np.flatnonzero(env.host.sections["domain"]["in_use"])
        self._step = 0

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cap every domain but the one whose turn it is."""
        action = np.zeros(self._size, dtype=np.float32)
        favoured = self._slots[self._step // self.turn_steps % len(self._slots)]
        for slot in self._slots:
            if slot != favoured:
                action[slot * self._num_tunables + 1] = self.cap_frac - 1.0
        self._step += 1
        return action


class FixedLimits:
    """Limits of `xengym/DriverDomain-v0` as in the papers: what was agreed on, a fixed part of it for driver domains.

    Args:
        traffic_frac: driver domains' CPU that a guest may cause, as a fraction of what was agreed on (ShareGuard);
            None: no limit (SEDF-DC alone).
    """

    scheduler: str | None = None

    def __init__(self, traffic_frac: float | None) -> None:
        self.traffic_frac = traffic_frac
        self.name = "SEDF-DC" if traffic_frac is None else f"ShareGuard at {traffic_frac:g} of agreed"

    def begin(self, env: HostEnv, seed: int) -> None:
        """Note what was agreed on with each domain."""
        action = np.zeros((env.stepper.actions.num_domains, 2), dtype=np.float32)
        if self.traffic_frac is not None:
            agreed = env.host.sections["domain"]["agreed_pcpus"]
            limits = np.clip(self.traffic_frac * agreed, 0.001, 0.999)
            action[: len(agreed), 1] = np.where(agreed > 0, limits - 1.0, 0.0)
        self._action = action.ravel()

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The fixed limits."""
        return self._action


class RandomActions:
    """Uniform random actions."""

    name = "random"
    scheduler: str | None = None

    def begin(self, env: HostEnv, seed: int) -> None:
        """Start a stream of its own for each episode."""
        self._size = env.stepper.actions.size
        self._rng = np.random.default_rng([seed, 0xAC7])

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """A random vector."""
        return self._rng.uniform(-1.0, 1.0, self._size).astype(np.float32)


def tune_static(
    scenario: str | Path | ScenarioConfig,
    *,
    data: Path | None = None,
    scheduler: str | None = None,
    num_seeds: int = 4,
    budget: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    with_limits: bool = False,
) -> StaticAction:
    """Search for the best static parameters on training episodes: a cross-entropy search in the action box.

    Args:
        scenario: as for the environment.
        data: folder with PlanetLab days, or None.
        scheduler: whose parameters to search; None: the scenario's.
        num_seeds: training episodes each candidate is judged on.
        budget: candidates to try.
        seed: of the search.
        progress: called with (candidates tried, budget).
        with_limits: search limits of `xengym/DriverDomain-v0` instead.

    Returns:
        A policy that always sets the parameters found.
    """
    env: HostEnv
    if with_limits:
        env = DriverDomainEnv(scenario, split="train", data=data)
    else:
        env = HostEnv(scenario, split="train", data=data, scheduler=scheduler)
    size = env.stepper.actions.size
    rng = np.random.default_rng([seed, 0x57A])
    episodes = [int(x) for x in rng.integers(*SEED_RANGES["train"], size=num_seeds)]
    population = 20
    mean, spread = np.zeros(size), np.full(size, 0.35)
    best, best_reward = np.zeros(size, dtype=np.float32), -np.inf
    tried = 0
    while tried < budget:
        candidates = np.clip(rng.normal(mean, spread, (population, size)), -1, 1).astype(np.float32)
        if tried == 0:
            candidates[0] = 0.0
        rewards = np.array([_static_reward(env, candidate, episodes) for candidate in candidates])
        order = np.argsort(-rewards)
        elite = candidates[order[: population // 4]].astype(np.float64)
        mean, spread = elite.mean(axis=0), 0.7 * spread + 0.3 * (elite.std(axis=0) + 0.02)
        if rewards[order[0]] > best_reward:
            best, best_reward = candidates[order[0]], float(rewards[order[0]])
        tried += population
        if progress is not None:
            progress(min(tried, budget), budget)
    name = "limits" if with_limits else scheduler or env.host.scheduler.name
    return StaticAction(best, f"{name} tuned", scheduler)


def _static_reward(env: HostEnv, action: NDArray[np.float32], episodes: list[int]) -> float:
    total = 0.0
    for episode in episodes:
        env.reset(options={"episode_seed": episode})
        truncated = False
        while not truncated:
            _, reward, _, truncated, _ = env.step(action)
            total += reward
    return total
