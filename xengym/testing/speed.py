"""Speed, always beside something run on the same machine in the same minutes; medians of several runs."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from xengym.guests.cpu import HogKind, OnOffKind
from xengym.guests.os.devctl import Devctl
from xengym.guests.os.kind import OsKind
from xengym.guests.os.specs import Clients, Os
from xengym.guests.programs import Hog, OnOff, ProgramSpec
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.io_costs import SPLIT_COSTS
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler, scheduler_names
from xengym.sim.random import DistributionSpec
from xengym.units import MS_NS, S_NS

#: Machines of the scaling curve: (pCPUs, vCPUs).
SCALING = ((4, 16), (16, 256), (64, 1024), (256, 4096))
BATCH_SIZES = (1, 8, 64, 512)

#: Where the set-up puts SimSo, which needs a SimPy of its own.
SIMSO_PATH = Path(sys.prefix) / "peers" / "simso"

_SIMPY_PROGRAM = """
import time, simpy
env = simpy.Environment()
def process(delay):
    while True:
        yield env.timeout(delay)
for i in range(16):
    env.process(process(1 + i * 0.01))
begin = time.perf_counter()
env.run(until=10000)
print(16 * 10000 / 1.075 / (time.perf_counter() - begin))
"""

_SIMSO_PROGRAM = """
import contextlib, os, time
from simso.configuration import Configuration
from simso.core import Model
c = Configuration()
c.duration = 2000 * c.cycles_per_ms
for i in range(16):
    c.add_task(name=f"T{i}", identifier=i, period=10 + i, activation_date=0, wcet=2.5, deadline=10 + i)
for p in range(4):
    c.add_processor(name=f"CPU{p}", identifier=p)
c.scheduler_info.clas = "simso.schedulers.EDF"
c.check_all()
m = Model(c)
begin = time.perf_counter()
with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
    m.run_model()
print(m.results.scheduler.schedule_count / (time.perf_counter() - begin))
"""


def _peer(program: str, extra_path: Path | None = None) -> float | None:
    """Run a peer's benchmark in an interpreter of its own; None where it is not installed."""
    environment = dict(os.environ)
    if extra_path is not None:
        environment["PYTHONPATH"] = str(extra_path)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    return float(done.stdout) if done.returncode == 0 else None


def build_load(num_pcpus: int, num_vcpus: int, load: str, scheduler: str = "credit") -> Host:
    """A host for the kernel's benchmark.

    Args:
        num_pcpus: pCPUs.
        num_vcpus: domains of one vCPU each, with weights 128..384 (where the scheduler has weights).
        load: ``hogs``; ``io`` (run 1 ms, sleep 4 ms, both exponential); ``mixed`` (half and half).
        scheduler: by name, with its defaults; ARINC653 has a table of 1 ms for each domain.
    """
    options: dict[str, Any] = {}
    if scheduler == "arinc653":
        table = [(i + 1, 0, MS_NS) for i in range(min(num_vcpus, 64))]
        options = {"table": table, "major_frame_ns": len(table) * MS_NS}
    policy = make_scheduler(scheduler, **options)
    has_weight = "weight" in {tunable.name for tunable in policy.tunables()}
    host = Host(
        Topology.flat(num_pcpus), policy, [HogKind(), OnOffKind()],
        max_domains=num_vcpus, max_vcpus=num_vcpus,
    )  # fmt: skip
    control = Domctl(host)
    io = OnOff(DistributionSpec("exponential", 1.0 * MS_NS), DistributionSpec("exponential", 4.0 * MS_NS))
    for i in range(num_vcpus):
        is_hog = load == "hogs" or (load == "mixed" and i % 2 == 0)
        program: ProgramSpec = Hog() if is_hog else io
        control.create_domain(i + 1, program, params={"weight": 128 + 64 * (i % 5)} if has_weight else None)
    host.run_until(100 * MS_NS)
    return host


def build_device_load(num_pcpus: int, num_guests: int, packets_per_s: int = 5_000) -> Host:
    """A host whose guests each receive and answer so many pings a second, through a back end in domain 0 (flipping)."""
    kind = OsKind(
        SPLIT_COSTS, num_guests + 1, num_guests + 1, max_vifs=num_guests, max_populations=num_guests,
        max_clients=num_guests,
    )  # fmt: skip
    host = Host(
        Topology.flat(num_pcpus), make_scheduler("credit"), [kind], max_domains=num_guests + 1, max_vcpus=num_guests + 1
    )
    domains, devices = Domctl(host), Devctl(host)
    domains.create_domain(0, Os())
    nic = devices.create_nic(0)
    for domid in range(1, num_guests + 1):
        domains.create_domain(domid, Os())
        devices.create_vif(domid, nic=nic)
        interval = DistributionSpec("exponential", S_NS / packets_per_s)
        devices.create_clients(domid, Clients("ping", interval, request_bytes=100))
    host.run_until(100 * MS_NS)
    return host


def kernel_rates(host: Host, wall_s: float) -> tuple[float, float, float]:
    """Events, scheduler passes and simulated seconds per wall second, measured for about ``wall_s``."""
    clock = host.sections["clock"]
    span_ns = 20 * MS_NS
    while True:
        events, passes = int(clock["events"][0]), int(clock["passes"][0])
        begin = time.perf_counter()
        host.run_until(host.now_ns + span_ns)
        spent_s = time.perf_counter() - begin
        if spent_s >= wall_s or span_ns > 10_000 * S_NS:
            return (
                (int(clock["events"][0]) - events) / spent_s,
                (int(clock["passes"][0]) - passes) / spent_s,
                span_ns / S_NS / spent_s,
            )
        span_ns = int(span_ns * max(2.0, 1.1 * wall_s / max(spent_s, 1e-6)))


def _steps_per_s(step: Callable[[], Any], wall_s: float) -> float:
    """Calls per second of ``step``, for about ``wall_s``."""
    calls, spent_s = 1, 0.0
    while spent_s < wall_s:
        calls = max(calls * 2, int(1.1 * calls * wall_s / max(spent_s, 1e-6))) if spent_s else calls
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        spent_s = time.perf_counter() - begin
        calls = min(calls, 10_000_000)
        if spent_s < wall_s and calls < 4:
            calls = 4
    return calls / spent_s


def cartpole_rate(wall_s: float) -> float:
    """Steps per second of Gymnasium's CartPole, unwrapped; resets are part of it."""
    env = gym.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    state = [0]

    def step() -> None:
        state[0] ^= 1
        if env.step(state[0])[2]:
            env.reset()

    return _steps_per_s(step, wall_s)


def environment_rate(wall_s: float) -> float:
    """Steps per second of Host-v0 (4 pCPUs, 8 domains, 10 ms), unwrapped; resets are part of it."""
    env: Any = gym.make("xengym/Host-v0").unwrapped
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape, dtype=np.float32)

    def step() -> None:
        if env.step(action)[3]:
            env.reset()

    return _steps_per_s(step, wall_s)


def dispatch_us(wall_s: float) -> float:
    """Microseconds of one decision of Dispatch-v0 (4 pCPUs, 8 domains), unwrapped; resets are part of it."""
    env: Any = gym.make("xengym/Dispatch-v0").unwrapped
    _, info = env.reset(seed=0)
    state = [info["action_mask"].argmax()]

    def step() -> None:
        # The first legal choice: what it costs to decide is the agent's affair.
        _, _, _, truncated, info = env.step(state[0])
        if truncated:
            _, info = env.reset()
        state[0] = info["action_mask"].argmax()

    return 1e6 / _steps_per_s(step, wall_s)


def batch_rate(num_envs: int, num_threads: int, wall_s: float) -> tuple[float, float]:
    """Environment steps per second of the batch within episodes, and microseconds to begin one host's episode."""
    env: Any = gym.make_vec(
        "xengym/Host-v0", num_envs=num_envs, vectorization_mode="vector_entry_point", num_threads=num_threads
    )
    actions = np.zeros(env.action_space.shape, dtype=np.float32)
    env.reset(seed=0)
    num_steps = env.unwrapped.envs[0].stepper.episode_steps - 1
    stepping_s, resetting_s, rounds = 0.0, 0.0, 0
    while stepping_s < wall_s:
        begin = time.perf_counter()
        env.reset()
        resetting_s += time.perf_counter() - begin
        begin = time.perf_counter()
        for _ in range(num_steps):
            env.step(actions)
        stepping_s += time.perf_counter() - begin
        rounds += 1
    return rounds * num_steps * num_envs / stepping_s, 1e6 * resetting_s / (rounds * num_envs)


def snapshot_us(wall_s: float) -> float:
    """Microseconds of one snapshot and one restore of Host-v0's host."""
    env: Any = gym.make("xengym/Host-v0").unwrapped
    env.reset(seed=0)
    host = env.host
    return 1e6 / _steps_per_s(lambda: host.restore(host.snapshot()), wall_s)


def measure_all(*, runs: int, wall_s: float, progress: Callable[[], None]) -> dict[str, Any]:
    """Measure everything, interleaving the runs so that a disturbance of the machine meets all alike.

    Args:
        runs: repetitions; figures are medians.
        wall_s: length of one measurement.
        progress: called after each measurement (``num_measurements`` times in all).
    """
    samples: dict[str, list[float]] = {}

    def note(name: str, value: float | None) -> None:
        if value is not None:
            samples.setdefault(name, []).append(value)
        progress()

    loads = {load: build_load(4, 16, load) for load in ("hogs", "mixed", "io")}
    loads["devices"] = build_device_load(4, 8)
    policies = {name: build_load(4, 16, "mixed", name) for name in compared_schedulers()}
    machines = {size: build_load(*size, "mixed") for size in SCALING}
    for _ in range(runs):
        for load, host in loads.items():
            events, passes, speedup = kernel_rates(host, wall_s)
            samples.setdefault(f"passes {load}", []).append(passes)
            samples.setdefault(f"simulated {load}", []).append(speedup)
            note(f"events {load}", events)
        note("simpy", _peer(_SIMPY_PROGRAM))
        note("simso", _peer(_SIMSO_PROGRAM, SIMSO_PATH))
        note("cartpole", cartpole_rate(wall_s))
        note("environment", environment_rate(wall_s))
        for num_envs in BATCH_SIZES:
            for threads in (1, 2):
                rate, reset_us = batch_rate(num_envs, threads, wall_s)
                samples.setdefault("reset", []).append(reset_us)
                note(f"batch {num_envs} {threads}", rate)
        for size, host in machines.items():
            note(f"scaling {size}", kernel_rates(host, wall_s)[0])
        for name, host in policies.items():
            events, passes, speedup = kernel_rates(host, wall_s)
            samples.setdefault(f"scheduler passes {name}", []).append(passes)
            samples.setdefault(f"scheduler simulated {name}", []).append(speedup)
            note(f"scheduler {name}", events)
        note("snapshot", snapshot_us(wall_s))
        note("dispatch", dispatch_us(wall_s))
    return _report({name: statistics.median(values) for name, values in samples.items()}, runs)


def num_measurements(runs: int) -> int:
    """How often ``measure_all`` reports progress."""
    return runs * (4 + 4 + 2 * len(BATCH_SIZES) + len(SCALING) + len(compared_schedulers()) + 2)


def compared_schedulers() -> list[str]:
    """The schedulers that run the same load beside each other: all but those whose choices are made elsewhere."""
    return [name for name in scheduler_names() if name != "external"]


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _report(m: dict[str, float], runs: int) -> dict[str, Any]:
    first, last = SCALING[0], SCALING[-1]
    return {
        "machine": {"cpus": os.cpu_count(), "platform": platform.machine(), "python": platform.python_version()},
        "runs": runs,
        "kernel": {
            load: {
                "events_per_s": m[f"events {load}"],
                "scheduler_passes_per_s": m[f"passes {load}"],
                "simulated_s_per_s": m[f"simulated {load}"],
            }
            for load in ("hogs", "mixed", "io", "devices")
        },
        "simpy_timeouts_per_s": m.get("simpy"),
        "simso_decisions_per_s": m.get("simso"),
        "environment_steps_per_s": m["environment"],
        "cartpole_steps_per_s": m["cartpole"],
        "batch_steps_per_s": [
            {"num_envs": size, "threads_1": m[f"batch {size} 1"], "threads_2": m[f"batch {size} 2"]}
            for size in BATCH_SIZES
        ],
        "scaling_events_per_s": [
            {"pcpus": size[0], "vcpus": size[1], "events_per_s": rate, "ns_per_event": 1e9 / rate}
            for size, rate in ((size, m[f"scaling {size}"]) for size in SCALING)
        ],
        "schedulers": {
            name: {
                "events_per_s": m[f"scheduler {name}"],
                "scheduler_passes_per_s": m[f"scheduler passes {name}"],
                "simulated_s_per_s": m[f"scheduler simulated {name}"],
                "to_credit": m[f"scheduler {name}"] / m["scheduler credit"],
            }
            for name in compared_schedulers()
        },
        "snapshot_restore_us": m["snapshot"],
        "dispatch_decision_us": m["dispatch"],
        "episode_start_us": m["reset"],
        "ratios": {
            "kernel_mixed_to_simpy": _ratio(m["events mixed"], m.get("simpy")),
            "kernel_hogs_to_simpy": _ratio(m["events hogs"], m.get("simpy")),
            "kernel_mixed_to_simso": _ratio(m["events mixed"], m.get("simso")),
            "kernel_hogs_to_simso": _ratio(m["events hogs"], m.get("simso")),
            "kernel_devices_to_mixed": _ratio(m["events devices"], m["events mixed"]),
            "environment_to_cartpole": _ratio(m["environment"], m["cartpole"]),
            "threads_2_to_1": {str(size): m[f"batch {size} 2"] / m[f"batch {size} 1"] for size in BATCH_SIZES},
            "largest_to_smallest_machine": m[f"scaling {last}"] / m[f"scaling {first}"],
        },
        "wanted": {
            "kernel_to_simpy": 25, "kernel_to_simso": 500, "kernel_devices_to_mixed": 0.5,
            "environment_to_cartpole": 1, "threads_2_to_1": 1.8,
            "largest_to_smallest_machine": 0.5, "snapshot_restore_us": 20,
            "scheduler_to_credit": 0.5,
        },
    }  # fmt: skip
