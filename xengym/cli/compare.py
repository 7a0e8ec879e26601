"""`xengym compare`: baseline policies over the same held-out episodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xengym.baselines.compare import comparison_table, held_out_seeds, plot, run_episodes, summarise, write_csv
from xengym.baselines.isolation import ISOLATION_POLICIES, VictimResult, measure_victim, plot_victim, victim_table
from xengym.baselines.memory_picture import follow_memory, plot_courses
from xengym.baselines.memory_policies import memory_policies, memory_table, run_memory_policy
from xengym.baselines.policies import Defaults, FixedLimits, Policy, RandomActions, RoundRobinCaps, tune_static
from xengym.cli.clusters import compare_cluster, refuse_with_cluster, refuse_without_cluster
from xengym.cli.progress import progress_bar
from xengym.envs.driver_domain.env import DriverDomainEnv
from xengym.envs.episodic import TERM_NAMES
from xengym.scenarios.build import build_scheduler, demand_source, needs_demand
from xengym.scenarios.cluster_library import is_cluster
from xengym.scenarios.config import ScenarioConfig
from xengym.scenarios.episodes import EpisodeSource


def compare(
    scenario: Annotated[str, typer.Argument(help="name, YAML file, or 'random'")],
    episodes: Annotated[
        int | None, typer.Option(help="held-out episodes for each policy; default 20, of a cluster 5", min=2)
    ] = None,
    scheduler: Annotated[
        list[str] | None,
        typer.Option(help="compare this scheduler, too (repeat it; a name, or a name and version as credit-3.2)"),
    ] = None,
    budget: Annotated[int, typer.Option(help="candidates of the search for static parameters", min=20)] = 400,
    seed: Annotated[int, typer.Option(help="of the choice of episodes and of the search", min=0)] = 0,
    data: Annotated[Path | None, typer.Option(help="folder with PlanetLab days for replayed demand")] = None,
    csv: Annotated[Path | None, typer.Option(help="write one line an episode here")] = None,
    picture: Annotated[Path | None, typer.Option(help="write a PNG here (needs matplotlib)")] = None,
    victim: Annotated[
        str | None,
        typer.Option(
            help="show how this domain fares under one scheduler after another (default: those whose isolation the "
            "papers compare) with the scenario's own parameters"
        ),
    ] = None,
    limits: Annotated[
        bool,
        typer.Option(
            "--limits", help="compare limits of guests in DriverDomain-v0: SEDF-DC, ShareGuard, the best static"
        ),
    ] = False,
    balloons: Annotated[
        bool,
        typer.Option("--balloons", help="compare rules that divide memory in Memory-v0: static, proportional, max-min"),
    ] = False,
    policy: Annotated[
        list[str] | None, typer.Option(help="clusters: only this migration policy (repeat it); default all")
    ] = None,
    placement: Annotated[
        list[str] | None, typer.Option(help="clusters: this placement rule for arrivals (repeat it); default all")
    ] = None,
    fidelity: Annotated[
        str | None, typer.Option(help="clusters: fluid (default), or event, where each host is the full model")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of the table")] = False,
) -> None:
    """Compare the baseline policies on SCENARIO: medians over the same episodes, with 95 % intervals.

    Each scheduler runs with its defaults and, if it has parameters, with the best static ones that a search finds. Of a
    cluster, all placement rules and migration policies are compared.
    """
    if is_cluster(scenario):
        refuse_with_cluster(
            scenario, {"--scheduler": scheduler, "--victim": victim, "--limits": limits, "--balloons": balloons}
        )
        compare_cluster(
            scenario, episodes=episodes, policies=policy, placements=placement, seed=seed, data=data,
            fidelity=fidelity or "fluid", csv=csv, picture=picture, as_json=as_json,
        )  # fmt: skip
        return
    refuse_without_cluster(scenario, {"--policy": policy, "--placement": placement, "--fidelity": fidelity})
    episodes = episodes or 20
    if victim is not None:
        _compare_victim(scenario, victim, episodes, scheduler or ISOLATION_POLICIES, seed, data, csv, picture, as_json)
        return
    if balloons:
        _compare_balloons(scenario, episodes, seed, data, csv, picture, as_json)
        return
    shape = EpisodeSource(scenario, "test", data).shape
    seeds = held_out_seeds(episodes, seed=seed)
    policies: list[Policy]
    if limits:
        DriverDomainEnv(scenario, data=data)  # refuses a scenario without devices before the search
        policies = [
            FixedLimits(None),
            FixedLimits(0.5),
            FixedLimits(0.2),
            _tuned(scenario, None, data, budget, seed, True),
        ]
    else:
        policies = _host_policies(scenario, shape, scheduler or (), data, budget, seed)
    policies.append(RandomActions())
    results = []
    with progress_bar("comparing", len(policies) * episodes) as advance:
        for baseline in policies:
            results += run_episodes(baseline, scenario, seeds, data=data, progress=advance, with_limits=limits)
    if csv is not None:
        write_csv(results, csv)
    if picture is not None:
        plot(results, picture, title=f"{scenario}: median of {episodes} held-out episodes, 95 % interval")
    demand = demand_source(data).description if needs_demand(shape) else None
    if as_json:
        summaries = {
            name: [summary._asdict() for summary in summarise(results, name)] for name in ("reward", *TERM_NAMES)
        }
        print(
            json.dumps({"scenario": scenario, "demand": demand, "episodes": episodes, "summaries": summaries}, indent=1)
        )
        return
    print(f"{scenario}: the same {episodes} held-out episodes for each policy\n{comparison_table(results)}")
    if demand:
        print(f"demand: {demand}")


def _compare_victim(
    scenario: str,
    victim: str,
    episodes: int,
    schedulers: Sequence[str],
    seed: int,
    data: Path | None,
    csv: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    seeds = held_out_seeds(episodes, seed=seed)
    results: list[VictimResult] = []
    with progress_bar("comparing", len(schedulers) * episodes) as advance:
        for name in schedulers:
            results += measure_victim(name, scenario, victim, seeds, data=data, progress=advance)
    if csv is not None:
        write_csv(results, csv)
    if picture is not None:
        plot_victim(
            results, picture, title=f"{scenario}: {victim}, median of {episodes} held-out episodes, 95 % interval"
        )
    if as_json:
        rows = [result._asdict() for result in results]
        print(json.dumps({"scenario": scenario, "victim": victim, "episodes": rows}, indent=1))
        return
    print(
        f"{scenario}: {victim} in the same {episodes} held-out episodes under each scheduler\n{victim_table(results)}"
    )


def _compare_balloons(
    scenario: str, episodes: int, seed: int, data: Path | None, csv: Path | None, picture: Path | None, as_json: bool
) -> None:
    seeds = held_out_seeds(episodes, seed=seed)
    policies = memory_policies()
    results = []
    with progress_bar("comparing", len(policies) * episodes) as advance:
        for policy in policies:
            results += run_memory_policy(policy, scenario, seeds, data=data, progress=advance)
    if csv is not None:
        write_csv(results, csv)
    if picture is not None:
        courses = [follow_memory(policy, scenario, seeds[0], data=data) for policy in (policies[0], policies[2])]
        plot_courses(courses, picture, title=f"{scenario}, one episode: memory that guests have (area) and want (line)")
    if as_json:
        rows = [result._asdict() for result in results]
        print(json.dumps({"scenario": scenario, "episodes": rows}, indent=1))
        return
    print(f"{scenario}: the same {episodes} held-out episodes for each policy\n{memory_table(results)}")


def _host_policies(
    scenario: str, shape: ScenarioConfig, schedulers: Sequence[str], data: Path | None, budget: int, seed: int
) -> list[Policy]:
    """The baselines of Host-v0: defaults and the best static parameters of each scheduler."""
    policies: list[Policy] = [Defaults(name=f"{shape.scheduler.name} default")]
    # All are set up before the first search: a misspelt name must not cost minutes.
    others = {name: EpisodeSource(scenario, "test", data, name).shape for name in schedulers}
    policies.append(_tuned(scenario, None, data, budget, seed))
    for name, config in others.items():
        policies.append(Defaults(name))
        if build_scheduler(config.scheduler).tunables():
            policies.append(_tuned(scenario, name, data, budget, seed))
    if shape.scheduler.name == "credit":
        policies.append(RoundRobinCaps())
    return policies


def _tuned(
    scenario: str, scheduler: str | None, data: Path | None, budget: int, seed: int, with_limits: bool = False
) -> Policy:
    """The best static parameters of a scheduler, or limits, searched for with a progress bar."""
    what = "searching static parameters" if scheduler is None else f"searching static parameters of {scheduler}"
    with progress_bar(what, budget) as advance:
        done = 0

        def searched(tried: int, _: int) -> None:
            nonlocal done
            for _step in range(tried - done):
                advance()
            done = tried

        return tune_static(
            scenario,
            data=data,
            scheduler=scheduler,
            budget=budget,
            seed=seed,
            progress=searched,
            with_limits=with_limits,
        )
