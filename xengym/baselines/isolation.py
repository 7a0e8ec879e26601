"""What a victim feels of its neighbours under one policy after another: the same scenario, the same episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xengym.baselines.compare import median_interval
from xengym.machine.state import response_bin_floor_ns
from xengym.render.text_table import text_table
from xengym.scenarios.build import Plan, build_host
from xengym.scenarios.config import ScenarioConfig
from xengym.scenarios.episodes import EpisodeSource
from xengym.units import ms_to_ns, s_to_ns

#: The policies whose isolation the papers compare, in the order in which they were proposed.
ISOLATION_POLICIES = ("credit-3.2", "sedf-3.0.2", "communication-aware", "sedf-dc-3.0.2", "share-guard-3.0.2")


class VictimResult(NamedTuple):
    """One episode under one policy.

    Attributes:
        policy: the scheduler.
        episode_seed: the episode.
        response_ms: mean response time of the victim's jobs, ms.
        response_p95_ms: its 95 % quantile, at most a quarter too large.
        in_time_frac: its jobs that ended in time, among all that ended.
        victim_pcpus: CPU that the victim got.
        others_pcpus: CPU that driver domains spent on behalf of all others.
    """

    policy: str
    episode_seed: int
    response_ms: float
    response_p95_ms: float
    in_time_frac: float
    victim_pcpus: float
    others_pcpus: float


def measure_victim(
    policy: str,
    scenario: str | Path | ScenarioConfig,
    victim: str,
    episode_seeds: Sequence[int],
    *,
    data: Path | None = None,
    progress: Callable[[], None] | None = None,
) -> list[VictimResult]:
    """Run one policy over given episodes with the scenario's own parameters, and see how the victim fares.

    Args:
        policy: a scheduler, as ``EpisodeSource`` takes it.
        scenario: as for the environment.
        victim: name of the domain.
        episode_seeds: episodes to run.
        data: folder with PlanetLab days, or None.
        progress: called after each episode.

    Raises:
        ValueError: the scenario has no such domain.
    """
    source = EpisodeSource(scenario, "test", data, policy)
    results = []
    for seed in episode_seeds:
        config = source.episode(seed).config
        names = [domain.name for domain in config.domains]
        if victim not in names:
            raise ValueError(f"no domain {victim!r}; scenario {config.name!r} has {', '.join(names)}")
        host = build_host(config)
        Plan(config, data).populate(host, seed=seed)
        warm_up_ns = ms_to_ns(config.control.warmup_ms)
        host.run_until(warm_up_ns)
        slot = next(slot for slot, name in host.domain_names.items() if name == victim)
        before, cpu_before = host.sections["domain"][slot].copy(), _cpu_ns(host, slot)
        served_before = host.sections["domain_io"]["served_ns"].copy()
        length_ns = s_to_ns(config.control.episode_s)
        host.run_until(warm_up_ns + length_ns)
        after = host.sections["domain"][slot]
        served_ns = host.sections["domain_io"]["served_ns"] - served_before
        done, dropped = (int(after[name] - before[name]) for name in ("jobs_done", "jobs_dropped"))
        results.append(
            VictimResult(
                policy,
                seed,
                float(after["response_ns"] - before["response_ns"]) / max(1, done) / 1e6,
                _quantile_ms(after["response_bins"] - before["response_bins"], 0.95),
                float(after["jobs_in_time"] - before["jobs_in_time"]) / max(1, done + dropped),
                (_cpu_ns(host, slot) - cpu_before) / length_ns,
                float(served_ns.sum() - served_ns[slot]) / length_ns,
            )
        )
        if progress is not None:
            progress()
    return results


def _cpu_ns(host: Any, slot: int) -> int:
    domain = host.sections["domain"][slot]
    first = int(domain["first_vcpu"])
    return sum(host.runstate_ns(v)["running"] for v in range(first, first + int(domain["num_vcpus"])))


def _quantile_ms(bins: Any, q: float) -> float:
    """Upper edge of the histogram bin that holds the quantile; 0 if nothing ended."""
    total = int(bins.sum())
    if total == 0:
        return 0.0
    return float(response_bin_floor_ns(int(np.searchsorted(np.cumsum(bins), q * total)) + 1)) / 1e6


#: Columns of the table and panels of the picture: heading by field.
_COLUMNS = {
    "response_ms": "response ms",
    "response_p95_ms": "p95 ms",
    "in_time_frac": "in time",
    "victim_pcpus": "victim CPU",
    "others_pcpus": "drivers' CPU for others",
}


def victim_table(results: Sequence[VictimResult]) -> str:
    """Medians over the episodes with 95 % bootstrap intervals, one line a policy."""
    rows = []
    for policy in dict.fromkeys(result.policy for result in results):
        cells = (_interval(results, policy, field) for field in _COLUMNS)
        rows.append([policy, *(f"{median:.2f} [{low:.2f}, {high:.2f}]" for median, low, high in cells)])
    note = "median over the episodes [95 % bootstrap interval]; CPU in pCPUs; p95 at most a quarter too large"
    return text_table(["policy", *_COLUMNS.values()], rows) + "\n" + note


def plot_victim(results: Sequence[VictimResult], path: Path, *, title: str) -> None:
    """Draw medians with intervals of the victim's response time, of its 95 % quantile and of jobs in time as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fields = ("response_ms", "response_p95_ms", "in_time_frac", "others_pcpus")
    policies = list(dict.fromkeys(result.policy for result in results))
    figure, axes = plt.subplots(
        1, len(fields), figsize=(13, 0.7 + 0.5 * len(policies)), sharey=True, layout="constrained"
    )
    for axis, field in zip(axes, fields, strict=True):
        for y, policy in enumerate(reversed(policies)):
            median, low, high = _interval(results, policy, field)
            axis.plot([low, high], [y, y], color="#0072b2", linewidth=3)
            axis.plot(median, y, "o", color="#d55e00")
        axis.set_yticks(range(len(policies)), list(reversed(policies)))
        axis.set_title(_COLUMNS[field])
        axis.grid(axis="x", color="#dddddd")
    axes[0].set_xscale("log")
    axes[1].set_xscale("log")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _interval(results: Sequence[VictimResult], policy: str, field: str) -> tuple[float, float, float]:
    return median_interval(np.array([getattr(result, field) for result in results if result.policy == policy]))
