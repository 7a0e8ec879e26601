"""`xengym run`, `compare` and `scenarios` for clusters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xengym.baselines.clusters import (
    cluster_table,
    compare_clusters,
    contenders,
    plot_clusters,
    run_episode,
    write_cluster_csv,
)
from xengym.baselines.compare import held_out_seeds
from xengym.cli.progress import progress_bar
from xengym.policies.control.migration_policies import make_policy
from xengym.render.text_table import text_table
from xengym.scenarios.cluster_build import build_spec
from xengym.scenarios.cluster_config import ClusterConfig
from xengym.scenarios.cluster_library import cluster_names, load_cluster

#: Episodes for each policy unless it is said otherwise: one of a cluster lasts a day or a week.
DEFAULT_EPISODES = 5


def refuse_with_cluster(scenario: str, options: Mapping[str, object]) -> None:
    """Refuse options that a cluster does not have.

    Raises:
        ValueError: names the first one that was given.
    """
    for name, value in options.items():
        if value:
            raise ValueError(f"{name} is for scenarios of one host; {scenario!r} is a cluster")


def refuse_without_cluster(scenario: str, options: Mapping[str, object]) -> None:
    """Refuse options that only clusters have.

    Raises:
        ValueError: names the first one that was given.
    """
    for name, value in options.items():
        if value:
            raise ValueError(f"{name} is for clusters ({', '.join(cluster_names())}); {scenario!r} is none")


def run_cluster(
    scenario: str, *, seconds: float | None, seed: int, policy: str, data: Path | None, fidelity: str, as_json: bool
) -> None:
    """Simulate a cluster under a migration policy and print a short table."""
    chosen = make_policy(policy)
    built = build_spec(scenario, seed=seed, data=data)
    config = built.config
    if seconds is not None:
        control = config.control.model_copy(update={"episode_s": seconds})
        config = config.model_copy(update={"control": control})
        built = replace(built, config=config)
    num_steps = -(-config.control.episode_s // config.control.interval_s)
    with progress_bar("simulating", int(num_steps)) as advance:
        totals = run_episode(built, chosen, seed=seed, fidelity=fidelity, progress=advance)
    if as_json:
        report = {
            "scenario": config.name, "seed": seed, "policy": policy, "placement": config.placement,
            "demand": list(built.demand), **totals._asdict(),
        }  # fmt: skip
        print(json.dumps(report, indent=1))
        return
    rows = [
        ["hosts", f"{len(built.spec.hosts)}, {totals.hosts_on:.1f} of them on (mean)"],
        ["domains", f"{totals.arrived} came, {totals.left} left, {totals.refused} refused"],
        [
            "moves",
            f"{totals.moves} done, {totals.aborted} aborted; {totals.move_s:.1f} s each, "
            f"{totals.moved_gb:.1f} GB in all",
        ],
        ["downtime", f"{totals.downtime_s:.2f} s in all"],
        ["energy", f"{totals.energy_kwh:.2f} kWh"],
        [
            "violations",
            f"{100 * totals.violation_frac:.2f} % of the domains' time, {100 * totals.unmet_frac:.2f} % of their CPU",
        ],
    ]
    if totals.remote_gb:
        rows.append(["to far clients", f"{totals.remote_gb:.1f} GB"])
    print(
        f"{config.name}, {totals.hours:g} h, {totals.fidelity} fidelity, placement {config.placement}, "
        f"migration policy {policy}, seed {seed}"
    )
    print(text_table(["what", "how much"], rows, left=2))
    for line in built.demand:
        print(f"demand: {line}")


def compare_cluster(
    scenario: str, *, episodes: int | None, policies: Sequence[str] | None, placements: Sequence[str] | None, seed: int,
    data: Path | None, fidelity: str, csv: Path | None, picture: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare placement rules and migration policies on a cluster."""
    episodes = episodes or DEFAULT_EPISODES
    who = contenders(load_cluster(scenario), policies, placements)
    seeds = held_out_seeds(episodes, seed=seed)
    with progress_bar("comparing", len(who) * episodes) as advance:
        results, demand = compare_clusters(scenario, who, seeds, data=data, fidelity=fidelity, progress=advance)
    if csv is not None:
        write_cluster_csv(results, csv)
    if picture is not None:
        title = f"{scenario}, {fidelity} fidelity: median of {episodes} held-out episodes, 95 % interval"
        plot_clusters(results, picture, title=title)
    if as_json:
        rows = [{**r.contender._asdict(), "episode_seed": r.episode_seed, **r.totals._asdict()} for r in results]
        print(json.dumps({"scenario": scenario, "demand": list(demand), "episodes": rows}, indent=1))
        return
    print(f"{scenario}: the same {episodes} held-out episodes for each\n{cluster_table(results)}")
    for line in demand:
        print(f"demand: {line}")


def describe_cluster(config: ClusterConfig) -> None:
    """Print what a cluster consists of."""
    print(f"{config.name}: {config.description}")
    print(
        f"placement {config.placement}; decisions every {config.control.interval_s:g} s, an episode lasts "
        f"{config.control.episode_s / 3600:g} h"
    )
    hosts = [
        [group.name, str(group.count), str(group.pcpus), f"{group.speed:g}", f"{group.memory_mib / 1024:g} GB",
         "{:g}-{:g} W".format(*group.power.watts), group.scheduler, ", ".join(group.racks)]
        for group in config.hosts
    ]  # fmt: skip
    print(text_table(["hosts", "count", "pcpus", "speed", "memory", "power", "scheduler", "racks"], hosts))
    domains = [
        [
            group.name,
            "as the demand's source" if group.count is None else str(group.count),
            str(group.vcpus),
            group.demand.kind,
        ]
        for group in config.domains
    ]
    print(text_table(["domains", "count", "vcpus", "demand"], domains))
