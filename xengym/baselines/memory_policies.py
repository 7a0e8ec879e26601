"""Baseline policies of `xengym/Memory-v0`: what an agent that divides memory has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xengym.baselines.compare import median_interval
from xengym.envs.memory.env import MemoryEnv
from xengym.policies.control.ballooning import Pages, fair_targets, proportional_targets
from xengym.render.text_table import text_table
from xengym.scenarios.config import ScenarioConfig

#: How targets follow from what is wanted: ``(wanted, floors, maxima, available)`` to targets, in pages.
Division = Callable[[Pages, Pages, Pages, int], Pages]


class MemoryPolicy(Protocol):
    """Something that sets balloon targets.

    Attributes:
        name: for tables.
    """

    name: str

    def begin(self, env: MemoryEnv, seed: int) -> None:
        """An episode has been reset in ``env``."""

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The action for an observation."""


class StaticSplit:
    """No ballooning: every domain keeps the memory that the scenario gives it."""

    name = "static split"

    def begin(self, env: MemoryEnv, seed: int) -> None:
        """Note the size of an action."""
        self._action = np.zeros(env.stepper.actions.size, dtype=np.float32)

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The zero vector."""
        return self._action


class Reactive:
    """Looks what each domain wants now, and divides what there is by a fixed rule.

    It reads the host's counters, which the observation holds scaled. A domain that does not say what it wants keeps
    what it has.

    Args:
        divide: the rule.
        name: for tables.
    """

    def __init__(self, divide: Division, name: str) -> None:
        self.divide = divide
        self.name = name

    def begin(self, env: MemoryEnv, seed: int) -> None:
        """Note the host."""
        self._env = env

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Targets by the rule."""
        actions = self._env.stepper.actions
        memory = self._env.host.sections["memory"][: actions.num_domains]
        slots = np.flatnonzero(memory["max_pages"] > 0)
        of_those = memory[slots]
        wanted = np.where(of_those["wanted_pages"] > 0, of_those["wanted_pages"], of_those["pages"])
        available = int(self._env.host.sections["host_memory"]["pages"][0])
        targets = np.zeros(actions.num_domains, dtype=np.int64)
        targets[slots] = self.divide(wanted, of_those["floor_pages"], of_those["max_pages"], available)
        return actions.encode_pages(targets)


class RandomTargets:
    """Uniform random targets."""

    name = "random"

    def begin(self, env: MemoryEnv, seed: int) -> None:
        """Start a stream of its own for each episode."""
        self._size = env.stepper.actions.size
        self._rng = np.random.default_rng([seed, 0xBA11])

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """A random vector."""
        return self._rng.uniform(-1.0, 1.0, self._size).astype(np.float32)


def memory_policies() -> list[MemoryPolicy]:
    """The baselines, from doing nothing to the best rule."""
    return [
        StaticSplit(),
        Reactive(proportional_targets, "proportional to wanted"),
        Reactive(fair_targets, "max-min fair"),
        RandomTargets(),
    ]


class MemoryResult(NamedTuple):
    """One episode under one policy; means per step.

    Attributes:
        policy: its name.
        episode_seed: the episode.
        reward: by the scenario's weights.
        sla: service level attained.
        swapping: part of the time that the swap disk had work.
        ballooning: part of the host's pages that balloons moved in an interval.
        response_ms: mean response time over all jobs of the episode.
    """

    policy: str
    episode_seed: int
    reward: float
    sla: float
    swapping: float
    ballooning: float
    response_ms: float


def run_memory_policy(
    policy: MemoryPolicy,
    scenario: str | Path | ScenarioConfig,
    episode_seeds: Sequence[int],
    *,
    data: Path | None = None,
    progress: Callable[[], None] | None = None,
) -> list[MemoryResult]:
    """Run one policy over given episodes of `xengym/Memory-v0`.

    Args:
        policy: baseline or wrapped agent.
        scenario: as for the environment.
        episode_seeds: episodes to run.
        data: folder with PlanetLab days, or None.
        progress: called after each episode.
    """
    env = MemoryEnv(scenario, split="test", data=data)
    results = []
    for seed in episode_seeds:
        obs, _ = env.reset(options={"episode_seed": seed})
        policy.begin(env, seed)
        totals = np.zeros(4)
        steps, truncated = 0, False
        while not truncated:
            obs, earned, _, truncated, info = env.step(policy.act(obs))
            totals += [earned, info["sla"], -info["swapping"], -info["ballooning"]]
            steps += 1
        domains = env.host.sections["domain"]
        response_ms = float(domains["response_ns"].sum()) / max(1, int(domains["jobs_done"].sum())) / 1e6
        reward, sla, swapping, ballooning = (float(x) for x in totals / steps)
        results.append(MemoryResult(policy.name, seed, reward, sla, swapping, ballooning, response_ms))
        if progress is not None:
            progress()
    return results


def memory_table(results: Sequence[MemoryResult]) -> str:
    """Medians with 95 % bootstrap intervals as text, one line a policy."""
    fields = ("reward", "sla", "swapping", "ballooning", "response_ms")
    rows = []
    for name in dict.fromkeys(result.policy for result in results):
        of_policy = [result for result in results if result.policy == name]
        cells = []
        for field in fields:
            median, low, high = median_interval(np.array([getattr(result, field) for result in of_policy]))
            cells.append(f"{median:.3f} [{low:.3f}, {high:.3f}]")
        rows.append([name, str(len(of_policy)), *cells])
    note = "mean per step, response over the episode; median over the episodes [95 % bootstrap interval]"
    return text_table(["policy", "episodes", *fields], rows) + "\n" + note
