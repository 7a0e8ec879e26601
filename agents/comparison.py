"""An agent beside the baselines: the same held-out episodes for all, and what to say about the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from agents.config import TrainConfig
from agents.progress import ProgressReport
from agents.trained import TrainedAgent
from xengym.baselines.compare import (
    EpisodeResult,
    by_policy,
    comparison_table,
    held_out_seeds,
    median_interval,
    run_episodes,
)
from xengym.baselines.policies import (
    Defaults,
    Policy,
    RandomActions,
    RoundRobinCaps,
    StaticAction,
    tune_static,
)
from xengym.formats.files import write_whole
from xengym.render.text_table import text_table


class PairedDifference(NamedTuple):
    """Reward of the agent minus that of a baseline in the same episode: median with its 95 % bootstrap interval.

    ``wins`` is the number of episodes, of ``num``, in which the agent got more.
    """

    baseline: str
    num: int
    wins: int
    median: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval allows to say of the agent against the baseline."""
        if self.low > 0.0:
            return "better"
        return "worse" if self.high < 0.0 else "no clear difference"


def tune_baseline(config: TrainConfig, console: Console, *, budget: int) -> StaticAction:
    """Search the static parameters to hold the agent against, on training episodes."""
    with ProgressReport(console, "tuning static parameters", budget, "candidates") as progress:
        return tune_static(
            config.scenario,
            data=config.data,
            budget=budget,
            seed=config.seed,
            progress=lambda tried, _: progress.update(tried),
        )


def compare_agent(
    agent: TrainedAgent, tuned: StaticAction, config: TrainConfig, console: Console, *, episodes: int
) -> list[EpisodeResult]:
    """Run the agent and every baseline over the same held-out episodes.

    Args:
        agent: first in the results.
        tuned: from ``tune_baseline``.
        config: of the agent's run.
        console: for progress.
        episodes: how many for each.
    """
    seeds = held_out_seeds(episodes)
    policies: list[Policy] = [agent, tuned, Defaults(), RoundRobinCaps(), RandomActions()]
    results: list[EpisodeResult] = []
    with ProgressReport(console, "comparing", len(policies) * episodes, "episodes") as progress:
        for policy in policies:
            results += run_episodes(policy, config.scenario, seeds, data=config.data, progress=progress.advance)
    return results


def paired_differences(results: Sequence[EpisodeResult]) -> list[PairedDifference]:
    """The first policy of the results against each other one, episode by episode."""
    (_, own), *others = by_policy(results).items()
    differences = []
    for name, rows in others:
        gained = np.array([a.reward - b.reward for a, b in zip(own, rows, strict=True)])
        wins = int(np.count_nonzero(gained > 0.0))
        differences.append(PairedDifference(name, len(gained), wins, *median_interval(gained)))
    return differences


def differences_table(differences: Sequence[PairedDifference], agent: str) -> str:
    """The paired differences as text, one line a baseline."""
    rows = [
        [d.baseline, f"{d.median:+.3f} [{d.low:+.3f}, {d.high:+.3f}]", f"{d.wins} of {d.num}", d.verdict]
        for d in differences
    ]
    return text_table([f"{agent} against", "gain in reward", "episodes won", f"{agent} is"], rows)


def report_text(results: Sequence[EpisodeResult], agent: str) -> str:
    """Both tables."""
    note = "gain: difference within the same episode; median [95 % bootstrap interval]"
    return f"{comparison_table(results)}\n\n{differences_table(paired_differences(results), agent)}\n{note}"


def write_markdown(
    path: Path, heading: str, paragraphs: Sequence[str], results: Sequence[EpisodeResult], agent: str
) -> None:
    """Write the comparison for a reader who has only this file."""
    body = "\n\n".join(paragraphs)
    write_whole(path, f"# {heading}\n\n{body}\n\n```\n{report_text(results, agent)}\n```\n")
