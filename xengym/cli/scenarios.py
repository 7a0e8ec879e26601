"""`xengym scenarios`: what there is to simulate."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from xengym.cli.clusters import describe_cluster
from xengym.render.parameters import phrase
from xengym.render.text_table import text_table
from xengym.scenarios.cluster_library import cluster_names, is_cluster, load_cluster
from xengym.scenarios.config import ScenarioConfig
from xengym.scenarios.episodes import EpisodeSource
from xengym.scenarios.library import RANDOM, RANDOM_IO, RANDOM_MEMORY, load_scenario, scenario_names


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
        table.add_row(RANDOM_IO, "1", "4 to 7", "the same with devices: guests whose packets cost CPU in Dom0")
        table.add_row(
            RANDOM_MEMORY, "2", "3 to 6", "the same with balloons: guests that may want more memory than there is"
        )
        console.print(table)
        clusters = Table("cluster", "hosts", "domains", "description")
        for known in cluster_names():
            cluster = load_cluster(known)
            counts = [group.count for group in cluster.domains]
            domains = "its traces'" if None in counts else str(sum(count or 0 for count in counts))
            clusters.add_row(known, str(sum(group.count for group in cluster.hosts)), domains, cluster.description)
        console.print(clusters)
        return
    if is_cluster(name):
        describe_cluster(load_cluster(name))
        return
    config = EpisodeSource(name, "train", None).episode(seed).config
    console.print(f"[bold]{config.name}[/bold]: {config.description}")
    control = config.control
    pcpus = _num_pcpus(config)
    console.print(
        f"{pcpus} pCPU{'s' * (pcpus > 1)}, scheduler {config.scheduler.name} {config.scheduler.version}; "
        f"the agent acts every {control.interval_ms:g} ms, an episode lasts {control.episode_s:g} s"
    )
    for name, value in config.scheduler.options.items():
        print(f"  {name}: {value}")
    headings = ["domain", "id", "vcpus", "target", "agreed", "parameters", "program"]
    rows = []
    for i, domain in enumerate(config.domains):
        program = domain.program.model_dump(exclude_defaults=True, exclude={"kind"})
        rows.append(
            [
                domain.name,
                str(config.domid(i)),
                str(domain.vcpus),
                f"{domain.latency_target_ms:.4g} ms" if domain.latency_target_ms else "-",
                f"{domain.agreed_pcpus:g}" if domain.agreed_pcpus else "-",
                ", ".join(phrase(k, v) for k, v in domain.params.items()) or "default",
                f"{domain.program.kind}: " + ", ".join(_short(k, v) for k, v in program.items())
                if program
                else domain.program.kind,
            ]
        )
    print(text_table(headings, rows, left=len(headings)))
    console.print("target: response time of its jobs; agreed: CPU agreed on, in pCPUs")


def _num_pcpus(config: ScenarioConfig) -> int:
    return config.machine.sockets * config.machine.cores_per_socket * config.machine.threads_per_core


def _short(name: str, value: object) -> str:
    if isinstance(value, dict):
        spread = f" ({value['spread']:g})" if value.get("spread") else ""
        return f"{name} {value['kind']} {value['mean_ms']:.3g} ms{spread}"
    if isinstance(value, tuple):
        return f"{name} {'..'.join(f'{end:g}' for end in value)}"
    return phrase(name, float(f"{value:.4g}")) if isinstance(value, float) else f"{name} {value}"
