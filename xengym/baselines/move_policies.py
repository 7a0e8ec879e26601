"""Baseline policies of `xengym/WanMigration-v0`: what an agent has to beat, and a comparison over the same episodes.

`python -m xengym.baselines.move_policies wan-web-server --episodes 20` prints the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xengym.baselines.compare import held_out_seeds
from xengym.envs.wan_migration.env import WanMigrationEnv
from xengym.envs.wan_migration.observations import MOVE_FEATURES
from xengym.envs.wan_migration.stepper import DELAY_LEVELS_MS, MOVE_TERMS, RATE_LEVELS
from xengym.render.text_table import text_table
from xengym.scenarios.wide_area import MoveScenario

_PLACE = {name: i for i, (name, _) in enumerate(MOVE_FEATURES)}
_FULL = len(RATE_LEVELS) - 1

#: Bradford's throttle, by level: the paper's own values are not at hand; assumed.
BRADFORD_DELAY_MS = 5.0
#: Clark et al., section 4.2: stop when less than this is dirty.
LAST_BYTES = 256 * 1024
#: The shipped program: so many rounds beyond the first at most.
MORE_ROUNDS = 29


class MovePolicy(Protocol):
    """Something that decides about one move; actions are levels.

    Attributes:
        name: for tables.
    """

    name: str

    def begin(self, env: WanMigrationEnv, seed: int) -> None:
        """An episode has been reset in ``env``."""

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.int64]:
        """The action for an observation, of shape ``(3,)``."""


def _seen(obs: NDArray[np.float32], name: str) -> float:
    return float(obs[_PLACE[name]])


def _unsaturated(obs: NDArray[np.float32], name: str, scale: float) -> float:
    """The number behind x / (x + scale)."""
    x = min(_seen(obs, name), 0.999999)
    return scale * x / (1.0 - x)


def _action(rate: int = _FULL, delay_ms: float = 0.0, stops: bool = False) -> NDArray[np.int64]:
    return np.array([rate, DELAY_LEVELS_MS.index(delay_ms), stops], dtype=np.int64)


class _Rules:
    """What the rules have in common: at most 30 rounds, and the number of the present one."""

    def begin(self, env: WanMigrationEnv, seed: int) -> None:
        """Note the line."""
        self._line_bytes_per_s = env.move.spec.line.mbit_per_s * 125_000

    def _round(self, obs: NDArray[np.float32]) -> int:
        return round(_unsaturated(obs, "round", 5.0))

    def _has_stalled(self, obs: NDArray[np.float32]) -> bool:
        """The last round sent more than the one before it: the shipped program's rule, at the highest rate."""
        return self._round(obs) > 2 and _seen(obs, "last_sent") > _seen(obs, "before_last_sent") > 0

    def _is_too_long(self, obs: NDArray[np.float32]) -> bool:
        return self._round(obs) > MORE_ROUNDS


class BradfordDefaults(_Rules):
    """Bradford's move: the whole line, a fixed throttle beyond the threshold, the shipped program's stop.

    Args:
        delay_ms: of a held-up write; 0: no throttle.
        name: for tables.
    """

    def __init__(self, delay_ms: float = BRADFORD_DELAY_MS, name: str | None = None) -> None:
        self.delay_ms = delay_ms
        self.name = name or ("Bradford" if delay_ms else "Bradford, no throttle")

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.int64]:
        """The same rate and delay always."""
        if not _seen(obs, "precopy"):
            return _action(delay_ms=0.0 if _seen(obs, "stopped") else self.delay_ms)
        stops = self._has_stalled(obs) or self._is_too_long(obs) or self._left_bytes(obs) < LAST_BYTES
        return _action(delay_ms=self.delay_ms, stops=stops)

    def _left_bytes(self, obs: NDArray[np.float32]) -> float:
        return _unsaturated(obs, "stop_time", 10.0) * self._line_bytes_per_s if self._round(obs) > 1 else float("inf")


class PaperRule(_Rules):
    """Clark's published rule: stop when memory is dirtied faster than the line carries, or little is dirty."""

    name = "paper's rule"

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.int64]:
        """The whole line, no throttle."""
        if not _seen(obs, "precopy") or self._round(obs) < 2:
            return _action()
        is_hopeless = _unsaturated(obs, "last_dirty_rate", 1.0) > 1.0
        left_bytes = _unsaturated(obs, "stop_time", 10.0) * self._line_bytes_per_s
        return _action(stops=is_hopeless or left_bytes < LAST_BYTES or self._is_too_long(obs))


class StopAfterFirstRound(_Rules):
    """One round of memory, then the stop."""

    name = "one round"

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.int64]:
        """The whole line, no throttle."""
        return _action(stops=bool(_seen(obs, "precopy")))


class Reactive(_Rules):
    """Holds writes up only as the line needs it, leaves others some room, stops when rounds gain nothing more."""

    name = "reactive"

    def begin(self, env: WanMigrationEnv, seed: int) -> None:
        """Nothing held up yet."""
        super().begin(env, seed)
        self._delay = 0

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.int64]:
        """By queue, write rate and competition."""
        if _seen(obs, "stopped"):
            return _action()
        queue_s = _unsaturated(obs, "queue", 10.0)
        writes = _unsaturated(obs, "writes", 1.0)
        if queue_s > 1.0 or writes > 0.35:
            self._delay = min(self._delay + 1, len(DELAY_LEVELS_MS) - 1)
        elif queue_s < 0.2 and writes < 0.12:
            self._delay = max(self._delay - 1, 0)
        rate = _FULL if _seen(obs, "hurt") < 0.05 else _FULL - 2
        stops = False
        if _seen(obs, "precopy") and self._round(obs) > 1:
            # Another round has to gain a tenth to be worth its time.
            gains_little = self._round(obs) > 2 and _unsaturated(obs, "last_sent", 10.0) > 0.9 * _unsaturated(
                obs, "before_last_sent", 10.0
            )
            stops = _unsaturated(obs, "stop_time", 10.0) < 1.0 or gains_little or self._is_too_long(obs)
        return _action(rate, DELAY_LEVELS_MS[self._delay], stops)


class RandomLevels:
    """Levels by chance, among those that are possible."""

    name = "random"

    def begin(self, env: WanMigrationEnv, seed: int) -> None:
        """A stream of its own for each episode."""
        self._env, self._rng = env, np.random.default_rng(seed)

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.int64]:
        """One of each part's possible levels."""
        masks = self._env.action_masks()
        parts = (masks[:8], masks[8:16], masks[16:])
        return np.array([self._rng.choice(np.flatnonzero(part)) for part in parts], dtype=np.int64)


def move_policies() -> list[MovePolicy]:
    """All of them."""
    return [
        BradfordDefaults(), BradfordDefaults(0.0), PaperRule(), StopAfterFirstRound(), Reactive(), RandomLevels(),
    ]  # fmt: skip


class MoveResult(NamedTuple):
    """One episode under one policy.

    Attributes:
        policy, seed: which.
        is_done: the move is done, and neither aborted nor given up.
        reward: of the whole episode.
        terms: each summed over it, in the order of ``MOVE_TERMS``.
        time_s, downtime_s: of the move.
        traffic: what the line carried, in times image and memory.
    """

    policy: str
    seed: int
    is_done: bool
    reward: float
    terms: tuple[float, ...]
    time_s: float
    downtime_s: float
    traffic: float


def run_move(policy: MovePolicy, env: WanMigrationEnv, seed: int) -> MoveResult:
    """One episode from beginning to end."""
    obs, _ = env.reset(options={"episode_seed": seed}, seed=0)
    policy.begin(env, seed)
    reward, terms, over = 0.0, np.zeros(len(MOVE_TERMS)), False
    while not over:
        obs, gained, terminated, truncated, info = env.step(policy.act(obs))
        reward += gained
        terms += [info[name] for name, _ in MOVE_TERMS]
        over = terminated or truncated
    names = [name for name, _ in MOVE_TERMS]
    return MoveResult(
        policy.name, seed, env.move.stage == "done", reward, tuple(terms.tolist()), info["time_s"], info["downtime_s"],
        -float(terms[names.index("traffic")]),
    )  # fmt: skip


def compare_moves(
    scenario: str | Path | MoveScenario, seeds: Sequence[int], policies: Sequence[MovePolicy] | None = None
) -> list[MoveResult]:
    """Every policy over the same held-out episodes."""
    env = WanMigrationEnv(scenario, split="test")
    return [run_move(policy, env, seed) for policy in policies or move_policies() for seed in seeds]


def moves_table(results: Sequence[MoveResult]) -> str:
    """Medians by policy, how many moves were done, and the reward of the middle half of the episodes."""
    rows = []
    for name in dict.fromkeys(result.policy for result in results):
        own = [result for result in results if result.policy == name]
        rewards = [result.reward for result in own]
        low, middle, high = np.percentile(rewards, [25, 50, 75])
        held_up, hurt = (
            float(np.median([result.terms[i] for result in own]))
            for i, (term, _) in enumerate(MOVE_TERMS)
            if term in ("throttling", "competing")
        )
        rows.append(
            (
                name, f"{sum(result.is_done for result in own)}/{len(own)}",
                f"{middle:.0f}", f"{low:.0f} .. {high:.0f}",
                f"{np.median([result.downtime_s for result in own]):.1f}",
                f"{np.median([result.time_s for result in own]):.0f}", f"{abs(held_up):.0f}", f"{abs(hurt):.0f}",
                f"{np.median([result.traffic for result in own]):.2f}",
            )
        )  # fmt: skip
    head = ("policy", "done", "reward", "middle half", "down s", "time s", "held up s", "others hurt s", "traffic")
    return text_table(head, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison of one scenario."""
    parser = argparse.ArgumentParser(description="compare the baselines of WanMigration-v0 over held-out episodes")
    parser.add_argument("scenario", help="name, YAML file or 'random'")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of episodes")
    options = parser.parse_args(arguments)
    print(moves_table(compare_moves(options.scenario, held_out_seeds(options.episodes, seed=options.seed))))


if __name__ == "__main__":
    main()
