"""`xengym scenarios`: what there is to simulate."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from xengym.scenarios.config import ScenarioConfig
from xengym.scenarios.episodes import EpisodeSource
from xengym.scenarios.library import RANDOM, load_scenario, scenario_names


def scenarios(
    name: Annotated[str | None, typer.Argument(help="describe this one: name, YAML file, or 'random'")] = None,
    seed: Annotated[int, typer.Option(help="which random scenario to describe", min=0)] = 0,
) -> None:
    """List the named scenarios, or describe one."""
    console = Console()
    if name is None:
        table = Table("scenario", "pCPUs", "domains", "description")
        for known in scenario_names():
            config = load_scenario(known)
            table.add_row(known, str(_num_pcpus(config)), str(len(config.domains)), config.description)
        table.add_row(RANDOM, "4", "4 to 8", "a random host in each episode; training and test hosts are disjoint")
        console.print(table)
        return
    config = EpisodeSource(name, "train", None).episode(seed).config
    console.print(f"[bold]{config.name}[/bold]: {config.description}")
    control = config.control
    console.print(
        f"{_num_pcpus(config)} pCPUs, scheduler {config.scheduler.name} {config.scheduler.version}; the agent acts "
        f"every {control.interval_ms:g} ms, an episode lasts {control.episode_s:g} s"
    )
    table = Table("domain", "id", "vCPUs", "program", "parameters", "latency target", "agreed CPU")
    for i, domain in enumerate(config.domains):
        program = domain.program.model_dump(exclude_defaults=True, exclude={"kind"})
        table.add_row(
            domain.name,
            str(config.domid(i)),
            str(domain.vcpus),
            f"{domain.program.kind} " + ", ".join(f"{k} {_short(v)}" for k, v in program.items()),
            ", ".join(f"{k} {v}" for k, v in domain.params.items()) or "default",
            f"{domain.latency_target_ms:g} ms" if domain.latency_target_ms else "-",
            f"{domain.agreed_pcpus:g} pCPUs" if domain.agreed_pcpus else "-",
        )
    console.print(table)


def _num_pcpus(config: ScenarioConfig) -> int:
    return config.machine.sockets * config.machine.cores_per_socket * config.machine.threads_per_core


def _short(value: object) -> str:
    if isinstance(value, dict):
        spread = f" ({value['spread']:g})" if value.get("spread") else ""
        return f"{value['kind']} {value['mean_ms']:.3g} ms{spread}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
