"""Placement rules and migration policies of clusters over the same episodes: medians and bootstrap intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xengym.baselines.compare import median_interval
from xengym.formats.files import write_whole
from xengym.monitor.cluster_totals import ClusterTotals, totals
from xengym.policies.control.cluster_view import MigrationPolicy, View, carry_out
from xengym.policies.control.migration_policies import POLICIES, make_policy
from xengym.policies.control.placement import PLACEMENTS
from xengym.render.text_table import text_table
from xengym.scenarios.cluster_build import Built, build_spec, make_cluster
from xengym.scenarios.cluster_config import ClusterConfig
from xengym.units import s_to_ns

#: What the table shows: field of ``ClusterTotals``, heading, format.
COLUMNS = (
    ("energy_kwh", "energy kWh", ".1f"),
    ("violation_frac", "violations", ".4f"),
    ("unmet_frac", "CPU unmet", ".4f"),
    ("moves", "moves", ".0f"),
    ("downtime_s", "downtime s", ".1f"),
    ("hosts_on", "hosts on", ".1f"),
    ("remote_gb", "remote GB", ".0f"),
)


class Contender(NamedTuple):
    """A placement rule and a migration policy."""

    placement: str
    policy: str


class ClusterResult(NamedTuple):
    """One episode of one contender."""

    contender: Contender
    episode_seed: int
    totals: ClusterTotals


def contenders(
    config: ClusterConfig, policies: Sequence[str] | None = None, placements: Sequence[str] | None = None
) -> list[Contender]:
    """Who is compared: each rule without moves, then each migration policy under the scenario's rule.

    Args:
        config: of the cluster.
        policies: migration policies in place of all.
        placements: rules in place of all; each policy then runs under each of them.

    Raises:
        ValueError: there is none of that name.
    """
    for name in policies or ():
        make_policy(name)
    for name in placements or ():
        if name not in PLACEMENTS:
            raise ValueError(f"unknown placement rule {name!r}; expected one of {', '.join(PLACEMENTS)}")
    if policies is not None or placements is not None:
        return [Contender(rule, policy) for rule in placements or [config.placement] for policy in policies or POLICIES]
    rest = [Contender(config.placement, name) for name in POLICIES if name != "never"]
    if len(config.sites) < 2:
        rest = [contender for contender in rest if contender.policy != "follow-the-load"]
    return [*(Contender(rule, "never") for rule in PLACEMENTS), *rest]


def run_episode(
    built: Built, policy: MigrationPolicy, *, seed: int, placement: str | None = None, fidelity: str = "fluid",
    progress: Callable[[], None] | None = None,
) -> ClusterTotals:  # fmt: skip
    """Run one episode under a policy that decides at every control interval.

    Args:
        built: the episode's cluster.
        policy: decides; it is begun anew.
        seed: of the episode.
        placement: rule in place of the scenario's.
        fidelity: of the cluster.
        progress: called after each interval.
    """
    spec = built.spec if placement is None else replace(built.spec, placement=placement)
    cluster = make_cluster(spec, seed=seed, fidelity=fidelity)
    end_ns = s_to_ns(built.config.control.episode_s)
    interval_ns = s_to_ns(built.config.control.interval_s)
    policy.begin()
    mask = None
    while cluster.now_ns < end_ns:
        view = View.of(cluster, mask)
        mask = view.mask
        carry_out(cluster, policy.decide(view))
        cluster.run_until(min(end_ns, cluster.now_ns + interval_ns))
        if progress is not None:
            progress()
    return totals(cluster)


def compare_clusters(
    cluster: str | Path | ClusterConfig, who: Sequence[Contender], seeds: Sequence[int], *,
    data: str | Path | None = None, fidelity: str = "fluid", progress: Callable[[], None] | None = None,
) -> tuple[list[ClusterResult], tuple[str, ...]]:  # fmt: skip
    """All contenders over the same episodes.

    Args:
        cluster: as for ``build_spec``.
        who: contenders.
        seeds: of the episodes.
        data: folder with traces, or None.
        fidelity: of the cluster.
        progress: called after each episode.

    Returns:
        The results, and the lines that say where the demand comes from.
    """
    results: list[ClusterResult] = []
    lines: tuple[str, ...] = ()
    for seed in seeds:
        built = build_spec(cluster, seed=seed, data=data)
        lines = lines or built.demand
        for contender in who:
            policy = make_policy(contender.policy)
            outcome = run_episode(built, policy, seed=seed, placement=contender.placement, fidelity=fidelity)
            results.append(ClusterResult(contender, seed, outcome))
            if progress is not None:
                progress()
    return results, lines


def by_contender(results: Iterable[ClusterResult]) -> dict[Contender, list[ClusterResult]]:
    """Results grouped, in order of first appearance."""
    groups: dict[Contender, list[ClusterResult]] = {}
    for result in results:
        groups.setdefault(result.contender, []).append(result)
    return groups


def summaries(results: Sequence[ClusterResult], field: str) -> dict[Contender, tuple[float, float, float]]:
    """Median and 95 % bootstrap interval of a field of the totals for each contender."""
    return {
        contender: median_interval(np.array([float(getattr(row.totals, field)) for row in rows]))
        for contender, rows in by_contender(results).items()
    }


def cluster_table(results: Sequence[ClusterResult]) -> str:
    """Medians with intervals, one line a contender; a column without anything but zeros is left out."""
    columns = []
    for field, heading, form in COLUMNS:
        column = summaries(results, field)
        if any(value != 0 for triple in column.values() for value in triple):
            columns.append((heading, form, column))
    rows = []
    for contender in by_contender(results):
        cells = []
        for _, form, column in columns:
            median, low, high = column[contender]
            cells.append(f"{median:{form}} [{low:{form}}, {high:{form}}]")
        rows.append([contender.placement, contender.policy, *cells])
    headings = ["placement", "migration policy", *(heading for heading, _, _ in columns)]
    fidelity = results[0].totals.fidelity
    note = f"{fidelity} fidelity; median over the episodes [95 % bootstrap interval]"
    return text_table(headings, rows, left=2) + "\n" + note


def write_cluster_csv(results: Sequence[ClusterResult], path: Path) -> None:
    """Write one line an episode; replaces the file whole."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["placement", "policy", "episode_seed", *ClusterTotals._fields])
    writer.writerows([*row.contender, row.episode_seed, *row.totals] for row in results)
    write_whole(path, text.getvalue())


def plot_clusters(results: Sequence[ClusterResult], path: Path, *, title: str) -> None:
    """Draw medians with intervals of energy, violations, moves and downtime as a PNG (needs matplotlib)."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = [column for column in COLUMNS if column[0] in ("energy_kwh", "violation_frac", "moves", "downtime_s")]
    names = [f"{c.policy}, {c.placement}" for c in by_contender(results)]
    figure, axes = plt.subplots(1, len(shown), figsize=(14, 0.4 * len(names) + 2), sharey=True, layout="constrained")
    for axis, (field, heading, _) in zip(axes, shown, strict=True):
        for y, (median, low, high) in enumerate(reversed(list(summaries(results, field).values()))):
            axis.plot([low, high], [y, y], color="#0072b2", linewidth=3)
            axis.plot(median, y, "o", color="#d55e00")
        axis.set_yticks(range(len(names)), list(reversed(names)))
        axis.set_title(heading)
        axis.grid(axis="x", color="#dddddd")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)
