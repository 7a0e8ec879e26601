"""Policies over the same held-out episodes: medians and bootstrap intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xengym.baselines.policies import Policy
from xengym.envs.driver_domain.env import DriverDomainEnv
from xengym.envs.episodic import TERM_NAMES
from xengym.envs.host.env import HostEnv
from xengym.formats.files import write_whole
from xengym.render.text_table import text_table
from xengym.scenarios.config import ScenarioConfig
from xengym.scenarios.episodes import SEED_RANGES

if TYPE_CHECKING:
    from xengym.baselines.isolation import VictimResult
    from xengym.baselines.memory_policies import MemoryResult

_NUM_RESAMPLES = 2000


class EpisodeResult(NamedTuple):
    """One episode of one policy; means per step."""

    policy: str
    episode_seed: int
    reward: float
    sla: float
    isolation: float
    work: float
    switching: float
    goodput: float
    taken: float
    swapping: float = 0.0
    ballooning: float = 0.0


class Summary(NamedTuple):
    """Median over episodes with its 95 % bootstrap interval."""

    policy: str
    num: int
    median: float
    low: float
    high: float


class _Watched(HostEnv):
    """A host to look at: its scheduler need not have parameters."""

    needs_parameters = False


def held_out_seeds(num: int, *, seed: int = 0) -> list[int]:
    """Held-out episode seeds, from the range that training never draws from."""
    rng = np.random.default_rng([seed, 0x7E57])
    return [int(x) for x in rng.integers(*SEED_RANGES["test"], size=num)]


def run_episodes(
    policy: Policy,
    scenario: str | Path | ScenarioConfig,
    episode_seeds: Sequence[int],
    *,
    data: Path | None = None,
    progress: Callable[[], None] | None = None,
    with_limits: bool = False,
) -> list[EpisodeResult]:
    """Run one policy over given episodes.

    Args:
        policy: baseline or wrapped agent.
        scenario: as for the environment.
        episode_seeds: episodes to run.
        data: folder with PlanetLab days, or None.
        progress: called after each episode.
        with_limits: in `xengym/DriverDomain-v0`, whose actions are limits, instead of `xengym/Host-v0`.
    """
    env: HostEnv
    if with_limits:
        env = DriverDomainEnv(scenario, split="test", data=data)
    else:
        env = _Watched(scenario, split="test", data=data, scheduler=policy.scheduler)
    results = []
    for seed in episode_seeds:
        obs, _ = env.reset(options={"episode_seed": seed})
        policy.begin(env, seed)
        totals = np.zeros(1 + len(TERM_NAMES))
        steps, truncated = 0, False
        while not truncated:
            obs, reward, _, truncated, info = env.step(policy.act(obs))
            totals += [reward, *(info[name] for name in TERM_NAMES)]
            steps += 1
        results.append(EpisodeResult(policy.name, seed, *(float(x) for x in totals / steps)))
        if progress is not None:
            progress()
    return results


def median_interval(values: NDArray[np.float64], *, seed: int = 0) -> tuple[float, float, float]:
    """Median and its 95 % percentile-bootstrap interval."""
    rng = np.random.default_rng(seed)
    resampled = np.median(rng.choice(values, (_NUM_RESAMPLES, len(values))), axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(np.median(values)), float(low), float(high)


def by_policy(results: Iterable[EpisodeResult]) -> dict[str, list[EpisodeResult]]:
    """Results grouped by policy, in order of first appearance."""
    groups: dict[str, list[EpisodeResult]] = {}
    for result in results:
        groups.setdefault(result.policy, []).append(result)
    return groups


def summarise(results: Iterable[EpisodeResult], field: str = "reward") -> list[Summary]:
    """Median and interval of one field for each policy."""
    return [
        Summary(policy, len(rows), *median_interval(np.array([getattr(row, field) for row in rows])))
        for policy, rows in by_policy(results).items()
    ]


def comparison_table(results: Sequence[EpisodeResult]) -> str:
    """Medians with intervals as text, one line a policy."""
    fields = ("reward", *TERM_NAMES)
    columns = {name: {s.policy: s for s in summarise(results, name)} for name in fields}
    rows = []
    for policy, episodes in by_policy(results).items():
        cells = (columns[name][policy] for name in fields)
        rows.append([policy, str(len(episodes)), *(f"{s.median:.3f} [{s.low:.3f}, {s.high:.3f}]" for s in cells)])
    note = "mean per step; median over the episodes [95 % bootstrap interval]"
    return text_table(["policy", "episodes", *fields], rows) + "\n" + note


def write_csv(results: Sequence[EpisodeResult] | Sequence[VictimResult] | Sequence[MemoryResult], path: Path) -> None:
    """Write one line an episode; replaces the file whole."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(results[0]._fields)
    writer.writerows(results)
    write_whole(path, text.getvalue())


def plot(results: Sequence[EpisodeResult], path: Path, *, title: str = "") -> None:
    """Draw medians with intervals of the reward and of each term as a PNG (needs matplotlib)."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fields = ("reward", "sla", "isolation", "work")
    figure, axes = plt.subplots(1, len(fields), figsize=(13, 3.8), sharey=True, layout="constrained")
    for axis, field in zip(axes, fields, strict=True):
        summaries = summarise(results, field)
        for y, summary in enumerate(reversed(summaries)):
            axis.plot([summary.low, summary.high], [y, y], color="#0072b2", linewidth=3)
            axis.plot(summary.median, y, "o", color="#d55e00")
        axis.set_yticks(range(len(summaries)), [s.policy for s in reversed(summaries)])
        axis.set_title(f"{field} (mean per step)")
        axis.grid(axis="x", color="#dddddd")
    figure.suptitle(title or "Median over held-out episodes with 95 % bootstrap interval")
    figure.savefig(path, dpi=120)
    plt.close(figure)
