"""`xengym speed`: how fast, beside what others do on the same machine."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from xengym.cli.progress import progress_bar
from xengym.render.text_table import text_table
from xengym.testing.cluster_speed import MASK_SIZE, SIZES, measure_clusters
from xengym.testing.speed import SIMSO_PATH, measure_all, num_measurements

#: Shorter measurements are for a quick look.
_DAY_FROM_MS = 100


def speed(
    runs: Annotated[int, typer.Option(help="repetitions; figures are medians", min=1)] = 5,
    wall_ms: Annotated[
        int, typer.Option(help="length of one measurement; below 100 the day of 10 000 domains is left out", min=5)
    ] = 300,
    only: Annotated[str | None, typer.Option(help="'hosts' or 'clusters'; default both")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of the table")] = False,
) -> None:
    """Measure the kernel, the environment and the batch, and others beside them in the same run; and clusters."""
    if only not in (None, "hosts", "clusters"):
        raise ValueError(f"--only: expected 'hosts' or 'clusters', found {only!r}")
    report: dict[str, Any] = {}
    with progress_bar("measuring", num_measurements(runs) * (only != "clusters") + (only != "hosts")) as advance:
        if only != "clusters":
            report = measure_all(runs=runs, wall_s=wall_ms / 1000, progress=advance)
        if only != "hosts":
            report["clusters"] = measure_clusters(wall_s=wall_ms / 1000, with_day=wall_ms >= _DAY_FROM_MS)
            advance()
    if as_json:
        print(json.dumps(report, indent=1))
        return
    if only != "clusters":
        _print(report)
    if only != "hosts":
        _print_clusters(report["clusters"])


def _print_clusters(report: dict[str, Any]) -> None:
    rows: list[list[str]] = []
    wanted = report["wanted"]
    for day in report["days"]:
        is_large = day["domains"] == SIZES[-1]
        rows.append([
            f"a day of PlanetLab, {day['hosts']} hosts, {day['domains']} domains, consolidation every 5 min",
            f"{day['wall_s']:.1f} s",
            f"{day['cpu_s']:.1f} s of CPU; {day['step_ms']:.2f} ms a step; {day['deciding_s']:.1f} s of it deciding",
            f"<= {wanted['day_s']} s" if is_large else "",
        ])  # fmt: skip
        rows.append(["", f"{day['moves']} moves", f"{day['moves_per_s']:.0f} moves/s", ""])
    rows.append(["growth with the domains", f"exponent {report['domains_growth']:.2f}", "1 is linear", ""])
    for size, step_ms in report["quiet_step_ms"].items():
        rows.append([f"a step of 5 min without moves, {size} domains", f"{step_ms:.3f} ms", "", ""])
    rows.append(["masks of all moves, {} hosts, {} domains".format(*MASK_SIZE),
    f"{report['masks_per_s']:.0f} masks/s", "",
                 f">= {wanted['masks_per_s']} masks/s"])  # fmt: skip
    rows.append(["Cluster-v0, fluid, 100 hosts, 1000 domains", f"{report['cluster_env_steps_per_s']:.0f} steps/s", "",
                 f">= {wanted['cluster_env_steps_per_s']} steps/s"])  # fmt: skip
    rows.append(["live moves under SPECweb99, engine alone", f"{report['engine_moves_per_s']:.0f} moves/s", "", ""])
    rows.append(["cluster-small, full hosts, one move", f"{report['full_hosts_factor']:.0f} x real time", "", ""])
    print("clusters at fluid fidelity, measured once")
    print(text_table(["what", "measured", "beside", "wanted"], rows, left=3))


def _print(report: dict[str, Any]) -> None:
    wanted = report["wanted"]
    simpy, simso = report["simpy_timeouts_per_s"], report["simso_decisions_per_s"]
    rows: list[list[str]] = []
    mixed = report["kernel"]["mixed"]["events_per_s"]
    for load, kernel in report["kernel"].items():
        events = kernel["events_per_s"]
        if load == "devices":
            goal = f">= {wanted['kernel_devices_to_mixed']}"
            rows.append(["Dom0 and 8 guests, 5000 pings/s each", f"{events / 1e6:.1f} M events/s",
                         f"mixed {mixed / 1e6:.1f} M events/s", f"{events / mixed:.2f}", goal])  # fmt: skip
            rows.append(["", f"{kernel['simulated_s_per_s']:.1f} s simulated in 1 s", "", "", ""])
            continue
        passes = kernel["scheduler_passes_per_s"]
        what = f"kernel, 4 pCPUs, 16 vCPUs, {load}"
        rows.append([what, f"{events / 1e6:.1f} M events/s", *_beside("SimPy", simpy, events, "timeouts/s"),
                     f">= {wanted['kernel_to_simpy']}"])  # fmt: skip
        rows.append(["", f"{passes / 1e6:.1f} M passes/s", *_beside("SimSo", simso, events, "decisions/s"),
                     f">= {wanted['kernel_to_simso']}"])  # fmt: skip
    steps, cartpole = report["environment_steps_per_s"], report["cartpole_steps_per_s"]
    goal = f">= {wanted['environment_to_cartpole']}"
    beside = _beside("CartPole", cartpole, steps, "steps/s")
    rows.append(["Host-v0, 4 pCPUs, 8 domains, 10 ms", f"{steps / 1e3:.0f} k steps/s", *beside, goal])
    for row in report["batch_steps_per_s"]:
        goal = f">= {wanted['threads_2_to_1']}" if row["num_envs"] >= 64 else ""
        rows.append([f"batch of {row['num_envs']}, in episodes, 2 threads", f"{row['threads_2'] / 1e3:.0f} k steps/s",
                     *_beside("1 thread", row["threads_1"], row["threads_2"], "steps/s"), goal])  # fmt: skip
    machines = report["scaling_events_per_s"]
    for row in machines:
        goal = f">= {wanted['largest_to_smallest_machine']}" if row is machines[-1] else ""
        machine = f"{row['pcpus']} pCPUs, {row['vcpus']} vCPUs, mixed"
        ratio = f"{row['events_per_s'] / machines[0]['events_per_s']:.2f}"
        events = row["events_per_s"]
        rows.append([machine, f"{events / 1e6:.1f} M events/s", f"{row['ns_per_event']:.0f} ns/event", ratio, goal])
    for name, row in report["schedulers"].items():
        rows.append([f"{name}, 4 pCPUs, 16 vCPUs, mixed", f"{row['events_per_s'] / 1e6:.1f} M events/s",
                     f"{row['scheduler_passes_per_s'] / 1e6:.1f} M passes/s, {row['simulated_s_per_s']:.0f} s/s",
                     f"{row['to_credit']:.2f}", f">= {wanted['scheduler_to_credit']}"])  # fmt: skip
    rows.append(["snapshot and restore", f"{report['snapshot_restore_us']:.1f} us", "", "",
                 f"<= {wanted['snapshot_restore_us']} us"])  # fmt: skip
    rows.append(["a decision of Dispatch-v0", f"{report['dispatch_decision_us']:.1f} us", "", "", ""])
    rows.append(["beginning an episode, one host", f"{report['episode_start_us']:.0f} us", "", "", ""])
    print(f"medians of {report['runs']} runs")
    print(text_table(["what", "measured", "beside", "ratio", "wanted"], rows, left=3))
    if simpy is None:
        print("SimPy is not installed here: pip install 'xengym[dev]'")
    if simso is None:
        print(f"SimSo is not installed here: pip install --no-deps --target {SIMSO_PATH} simso==0.8.5 SimPy==2.3.1")


def _beside(name: str, rate: float | None, ours: float, unit: str) -> tuple[str, str]:
    if rate is None:
        return f"{name} not installed", "-"
    return f"{name} {rate / 1e3:.0f} k {unit}", f"{ours / rate:.2f}"
