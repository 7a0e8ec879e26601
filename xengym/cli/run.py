"""`xengym run`: simulate a scenario and print what became of its domains."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from xengym.cli.clusters import refuse_with_cluster, refuse_without_cluster, run_cluster
from xengym.cli.follow import Follower
from xengym.cli.progress import progress_bar
from xengym.formats.files import write_whole
from xengym.guests.os.devctl import Devctl
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.state import response_bin_floor_ns
from xengym.monitor.xenmon import WINDOWS_NS, XenMon
from xengym.render.parameters import cell, columns, heading
from xengym.render.text_table import text_table
from xengym.render.xenmon import xenmon_table
from xengym.scenarios.build import (
    build_host,
    build_scheduler,
    demand_source,
    needs_demand,
    parse_scheduler,
    populate,
    with_monitor,
)
from xengym.scenarios.cluster_library import is_cluster
from xengym.scenarios.config import SchedulerConfig
from xengym.scenarios.episodes import EpisodeSource
from xengym.sim.trace_kinds import TraceKind
from xengym.units import s_to_ns

_NUM_SLICES = 50


def run(
    scenario: Annotated[str, typer.Argument(help="name, YAML file, or 'random'")],
    seconds: Annotated[
        float | None, typer.Option(help="simulated time; default 10, or a cluster's episode", min=0.001, max=1e7)
    ] = None,
    seed: Annotated[int, typer.Option(help="episode seed", min=0)] = 0,
    scheduler: Annotated[
        str | None, typer.Option(help="in place of the scenario's: a name, or a name and version as credit-3.2")
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(
            help="change the scheduler while the host runs, as 5:sedf at 5 s of simulated time; may be repeated"
        ),
    ] = None,
    crash: Annotated[
        list[str] | None,
        typer.Option(help="let a driver domain crash and start again, as 5:net at 5 s; may be repeated"),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="folder with PlanetLab days for replayed demand")] = None,
    trace: Annotated[Path | None, typer.Option(help="write all trace records as CSV; '-' is standard output")] = None,
    follow_request: Annotated[
        str | None,
        typer.Option(
            help="print one request's way, step by step: a domain's name, or NAME:N for its N-th request (default: the "
            "middle one)"
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="with --follow-request: write that way as a picture, a PNG file")
    ] = None,
    xenmon: Annotated[
        bool, typer.Option(help="watch with XenMon, which costs CPU: its process runs as a domain of its own")
    ] = False,
    policy: Annotated[
        str | None, typer.Option(help="clusters: migration policy that decides at every interval (default: never)")
    ] = None,
    fidelity: Annotated[
        str | None, typer.Option(help="clusters: fluid (default), or event, where each host is the full model")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of the table")] = False,
) -> None:
    """Simulate SCENARIO under its own parameters and print a table of its domains, or of a cluster as a whole.

    Under another scheduler the parameters carry over where they have a counterpart there.
    """
    if is_cluster(scenario):
        refuse_with_cluster(
            scenario,
            {
                "--scheduler": scheduler, "--switch": switch, "--crash": crash, "--trace": trace,
                "--follow-request": follow_request, "--picture": picture, "--xenmon": xenmon,
            },
        )  # fmt: skip
        run_cluster(
            scenario, seconds=seconds, seed=seed, policy=policy or "never", data=data, fidelity=fidelity or "fluid",
            as_json=as_json,
        )  # fmt: skip
        return
    refuse_without_cluster(scenario, {"--policy": policy, "--fidelity": fidelity})
    seconds = 10.0 if seconds is None else seconds
    end_ns = s_to_ns(seconds)
    actions: list[_Switch | _Crash] = [_parse_switch(text, end_ns) for text in switch or ()]
    actions += [_parse_crash(text, end_ns) for text in crash or ()]
    actions.sort(key=lambda action: action.at_ns)
    episode = EpisodeSource(scenario, "train", data, scheduler).episode(seed)
    config = with_monitor(episode.config) if xenmon else episode.config
    host = build_host(config)
    populate(host, config, seed=seed, data=data)
    monitor = XenMon(host) if xenmon else None
    simulate = host.run_until if monitor is None else monitor.run_until
    if picture is not None and follow_request is None:
        raise ValueError("--picture draws a request's way; name one with --follow-request")
    follower = None if follow_request is None else Follower.parse(follow_request, host)
    if trace is not None or follower is not None:
        host.start_trace()
    changes = []
    with progress_bar("simulating", _NUM_SLICES) as advance:
        for i in range(1, _NUM_SLICES + 1):
            until_ns = end_ns * i // _NUM_SLICES
            while actions and actions[0].at_ns < until_ns:
                action = actions.pop(0)
                simulate(action.at_ns)
                if isinstance(action, _Switch):
                    changes.append(_switch(host, action))
                else:
                    _crash(host, action)
            simulate(until_ns)
            advance()
    if trace is not None:
        _write_trace(host, trace)
    demand = demand_source(data).description if needs_demand(episode.config) else None
    report = _report(host, episode.config.name, seed, demand)
    if changes:
        report["changes"] = changes
    windows = [] if monitor is None else [monitor.window(length_ns) for length_ns in WINDOWS_NS]
    if windows:
        report["xenmon"] = [window.as_plain_data() for window in windows]
    if as_json:
        print(json.dumps(report, indent=1))
    elif follower is None:
        _print_table(report)
        for window in windows if seconds > WINDOWS_NS[0] / 1e9 else windows[-1:]:
            print("\n" + xenmon_table(window))
    if follower is not None:
        follower.show(host, picture)


class _Switch(NamedTuple):
    """A change of the scheduler to come."""

    at_ns: int
    scheduler: SchedulerConfig


class _Crash(NamedTuple):
    """A crash of a driver domain to come."""

    at_ns: int
    name: str


def _parse_instant(option: str, what: str, text: str, end_ns: int) -> tuple[int, str]:
    """``SECONDS:WHAT`` as the instant in ns and the rest."""
    at_s, colon, rest = text.partition(":")
    try:
        at_ns = s_to_ns(float(at_s))
    except ValueError:
        at_ns = -1
    if not colon or not 0 <= at_ns < end_ns:
        raise ValueError(
            f"{option}: expected SECONDS:{what} with seconds 0..{end_ns / 1e9:g} (the end excluded), found {text!r}"
        )
    return at_ns, rest


def _parse_switch(text: str, end_ns: int) -> _Switch:
    at_ns, name = _parse_instant("--switch", "SCHEDULER", text, end_ns)
    return _Switch(at_ns, parse_scheduler(name))


def _parse_crash(text: str, end_ns: int) -> _Crash:
    return _Crash(*_parse_instant("--crash", "DOMAIN", text, end_ns))


def _crash(host: Host, crash: _Crash) -> None:
    domids = {name: int(host.sections["domain"][slot]["domid"]) for slot, name in host.domain_names.items()}
    if crash.name not in domids:
        raise ValueError(f"--crash: no domain {crash.name!r}; this scenario has {', '.join(domids)}")
    Devctl(host).crash(domids[crash.name])


def _switch(host: Host, change: _Switch) -> dict[str, Any]:
    carried = Poolctl(host).change_scheduler(build_scheduler(change.scheduler))
    names = {int(host.sections["domain"][slot]["domid"]): name for slot, name in host.domain_names.items()}
    return {
        "time_s": host.now_ns / 1e9,
        "scheduler": f"{host.scheduler.name} {host.scheduler.version}",
        "domains": {
            names[domid]: {"params": params, "lost": lost} for domid, (params, lost) in sorted(carried.items())
        },
    }


def _report(host: Host, scenario: str, seed: int, demand: str | None) -> dict[str, Any]:
    clock = host.sections["clock"][0]
    elapsed_ns = max(1, host.now_ns)
    rows = []
    for slot, name in sorted(host.domain_names.items()):
        domain = host.sections["domain"][slot]
        first, count = int(domain["first_vcpu"]), int(domain["num_vcpus"])
        vcpus = host.sections["vcpu"][first : first + count]
        times = [host.runstate_ns(v) for v in range(first, first + count)]
        wakes = int(vcpus["wake_latency_count"].sum())
        done = int(domain["jobs_done"])
        rows.append(
            {
                "name": name,
                "id": int(domain["domid"]),
                "vcpus": count,
                "params": host.scheduler.domain_params(slot),
                "cpu_pct": 100 * sum(t["running"] for t in times) / elapsed_ns,
                "steal_pct": 100 * sum(t["runnable"] for t in times) / elapsed_ns,
                "blocked_pct": 100 * sum(t["blocked"] for t in times) / elapsed_ns,
                "wakes": int(vcpus["wakes"].sum()),
                "wake_latency_mean_ms": float(vcpus["wake_latency_ns"].sum()) / wakes / 1e6 if wakes else None,
                "wake_latency_max_ms": float(vcpus["wake_latency_max_ns"].max()) / 1e6 if wakes else None,
                "migrations": int(vcpus["migrations"].sum()),
                "jobs_done": done,
                "jobs_dropped": int(domain["jobs_dropped"]),
                "response_mean_ms": float(domain["response_ns"]) / done / 1e6 if done else None,
                "response_p95_ms": _quantile_ms(domain["response_bins"], 0.95),
                "in_time_pct": 100 * float(domain["jobs_in_time"]) / done if done else None,
            }
        )
    idle_ns = sum(host.runstate_ns(len(host.sections["guest_kind"]) + p)["running"] for p in range(host.num_pcpus))
    return {
        "scenario": scenario,
        "seed": seed,
        "demand": demand,
        "scheduler": f"{host.scheduler.name} {host.scheduler.version}",
        "time_s": host.now_ns / 1e9,
        "pcpus": host.num_pcpus,
        "utilisation_pct": 100 * (1 - idle_ns / (elapsed_ns * host.num_pcpus)),
        "events": int(clock["events"]),
        "scheduler_passes": int(clock["passes"]),
        "context_switches": int(clock["context_switches"]),
        "domains": rows,
    }


def _quantile_ms(bins: Any, q: float) -> float | None:
    """Upper edge of the histogram bin that holds the quantile: never too small, at most 25 % too large."""
    total = int(bins.sum())
    if total == 0:
        return None
    index = int(np.searchsorted(np.cumsum(bins), q * total))
    return response_bin_floor_ns(index + 1) / 1e6


def _print_table(report: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{report['scenario']}, seed {report['seed']}: {report['time_s']:g} s on {_pcpus(report['pcpus'])} under "
        f"{report['scheduler']}, {report['utilisation_pct']:.1f} % used",
        markup=False,
    )
    figures = {
        "cpu %": ("cpu_pct", 1),
        "steal %": ("steal_pct", 1),
        "wake ms": ("wake_latency_mean_ms", 2),
        "jobs": ("jobs_done", 0),
        "drops": ("jobs_dropped", 0),
        "mean ms": ("response_mean_ms", 1),
        "p95 ms": ("response_p95_ms", 1),
        "in time": ("in_time_pct", 1),
    }
    names = columns(row["params"] for row in report["domains"])
    rows = [
        [
            row["name"],
            str(row["vcpus"]),
            *(cell(name, row["params"].get(name)) for name in names),
            *(_number(row[key], digits) for key, digits in figures.values()),
        ]
        for row in report["domains"]
    ]
    print(text_table(["domain", "vcpus", *map(heading, names), *figures], rows))
    console.print(
        f"{report['events']} events, {report['scheduler_passes']} scheduler passes, "
        f"{report['context_switches']} context switches\n"
        "cpu and steal in percent of one pCPU; wake: delay from wake-up to dispatch; p95 within 25 %; --json has more"
    )
    for change in report.get("changes", ()):
        console.print(f"at {change['time_s']:g} s to {change['scheduler']}; parameters that came over:", markup=False)
        for name, carried in change["domains"].items():
            params = ", ".join(f"{key} {value}" for key, value in carried["params"].items()) or "its defaults"
            lost = f"; no counterpart for {', '.join(carried['lost'])}" if carried["lost"] else ""
            console.print(f"  {name}: {params}{lost}", markup=False)
    if report["demand"]:
        console.print(f"demand: {report['demand']}", markup=False)


def _pcpus(count: int) -> str:
    return f"{count} pCPU" if count == 1 else f"{count} pCPUs"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _write_trace(host: Host, path: Path) -> None:
    records = host.trace_records()
    names = {int(kind): kind.name.lower() for kind in TraceKind}
    lines = ["at_ns,pcpu,kind,vcpu,other,value"]
    lines += [
        f"{r['at_ns']},{r['pcpu']},{names[int(r['kind'])]},{r['vcpu']},{r['other']},{r['value']}" for r in records
    ]
    text = "\n".join(lines) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        write_whole(path, text)
