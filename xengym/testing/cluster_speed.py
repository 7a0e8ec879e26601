"""Speed of clusters at fluid fidelity: a day of a thousand hosts, growth with the domains, masks and moves."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from xengym.envs.cluster.env import ClusterEnv
from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import BYTES_PER_MBIT, MoveSpec
from xengym.machine.memory_presets import MEMORY_PRESETS
from xengym.policies.control.cluster_view import View, carry_out
from xengym.policies.control.migration_policies import make_policy
from xengym.scenarios.cluster_build import build_spec
from xengym.scenarios.cluster_config import ClusterConfig
from xengym.scenarios.cluster_library import load_cluster
from xengym.scenarios.event_cluster import EventCluster
from xengym.testing.figures.clark import LINK_MBIT_PER_S
from xengym.units import S_NS

#: Domains of the growth curve; a tenth as many hosts.
SIZES = (100, 1000, 10_000)
DAY_STEPS = 288
INTERVAL_NS = 300 * S_NS
#: Hosts and domains for which masks are made.
MASK_SIZE = (100, 300)
#: And of the environment that is stepped.
ENVIRONMENT_SIZE = (100, 1000)


def planetlab_cluster(num_hosts: int, num_domains: int) -> ClusterConfig:
    """The scenario `planetlab-day` with so many hosts, half of each kind, and so many domains."""
    config = load_cluster("planetlab-day")
    g4, g5 = config.hosts
    half = num_hosts // 2
    hosts = [g4.model_copy(update={"count": num_hosts - half}), g5.model_copy(update={"count": half})]
    domains = [config.domains[0].model_copy(update={"count": num_domains})]
    return config.model_copy(update={"hosts": hosts, "domains": domains})


def consolidated_day(num_hosts: int, num_domains: int, *, steps: int = DAY_STEPS, seed: int = 0) -> dict[str, Any]:
    """Seconds that a day takes with consolidation deciding every 5 minutes, and what happened in it."""
    cluster = FluidCluster(build_spec(planetlab_cluster(num_hosts, num_domains), seed=seed).spec, seed=seed)
    policy = make_policy("consolidation")
    policy.begin()
    mask = None
    deciding_s = 0.0
    begin, cpu_begin = time.perf_counter(), time.process_time()
    for _ in range(steps):
        before = time.perf_counter()
        view = View.of(cluster, mask)
        mask = view.mask
        carry_out(cluster, policy.decide(view))
        deciding_s += time.perf_counter() - before
        cluster.run_until(cluster.now_ns + INTERVAL_NS)
    spent_s = time.perf_counter() - begin
    cpu_s = time.process_time() - cpu_begin
    moves = int(cluster.clock["moves_done"][0])
    return {
        "hosts": num_hosts, "domains": num_domains, "steps": steps, "wall_s": spent_s, "cpu_s": cpu_s,
        "deciding_s": deciding_s,
        "step_ms": 1e3 * spent_s / steps, "moves": moves, "moves_per_s": moves / max(1e-9, spent_s - deciding_s),
    }  # fmt: skip


def quiet_step_ms(num_hosts: int, num_domains: int, *, steps: int = DAY_STEPS, seed: int = 0) -> float:
    """Milliseconds of a step of 5 minutes in which nobody moves."""
    cluster = FluidCluster(build_spec(planetlab_cluster(num_hosts, num_domains), seed=seed).spec, seed=seed)
    begin = time.perf_counter()
    for _ in range(steps):
        cluster.run_until(cluster.now_ns + INTERVAL_NS)
    return 1e3 * (time.perf_counter() - begin) / steps


def masks_per_s(wall_s: float) -> float:
    """Masks of all moves in a second, at 100 hosts and 300 domains."""
    cluster = FluidCluster(build_spec(planetlab_cluster(*MASK_SIZE), seed=0).spec)
    mask = cluster.move_mask()
    count, begin = 0, time.perf_counter()
    while True:
        for _ in range(100):
            cluster.move_mask(mask)
        count += 100
        spent_s = time.perf_counter() - begin
        if spent_s >= wall_s:
            return count / spent_s


def environment_rate(wall_s: float, size: tuple[int, int] = ENVIRONMENT_SIZE) -> float:
    """Steps of Cluster-v0 at fluid fidelity in a second: observation, reward and mask, every other step a move."""
    env = ClusterEnv(planetlab_cluster(*size))
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    count, begin = 0, time.perf_counter()
    mask = env.action_masks()
    while time.perf_counter() - begin < wall_s:
        wish = int(rng.integers(len(mask)))
        *_, truncated, info = env.step(wish if count % 2 and mask[wish] else 0)
        mask = info["action_mask"]
        count += 1
        if truncated:
            env.reset()
    return count / (time.perf_counter() - begin)


def engine_moves_per_s(wall_s: float) -> float:
    """Live moves of a domain of 800 MB under SPECweb99 in a second, on the engine alone."""
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < wall_s:
        move = Move(MEMORY_PRESETS["specweb"], MoveSpec())
        move.begin()
        move.finish(LINK_MBIT_PER_S * BYTES_PER_MBIT)
        count += 1
    return count / (time.perf_counter() - begin)


def full_hosts_factor() -> float:
    """Simulated seconds in a second of `cluster-small` at event fidelity, with one move."""
    cluster = EventCluster(build_spec("cluster-small", seed=0).spec, seed=0)
    slot, host = np.argwhere(cluster.move_mask())[0]
    cluster.order_move(int(slot), int(host))
    begin = time.perf_counter()
    cluster.run_until(600 * S_NS)
    return 600 / (time.perf_counter() - begin)


def measure_clusters(*, wall_s: float, with_day: bool) -> dict[str, Any]:
    """All of it.

    Args:
        wall_s: length of one measurement of a rate.
        with_day: also the day of 1000 hosts and 10 000 domains, which takes most of a minute.
    """
    days = [consolidated_day(size // 10, size) for size in SIZES if with_day or size < SIZES[-1]]
    return {
        "masks_per_s": masks_per_s(wall_s),
        "cluster_env_steps_per_s": environment_rate(wall_s),
        "engine_moves_per_s": engine_moves_per_s(wall_s),
        "full_hosts_factor": full_hosts_factor(),
        "days": days,
        "quiet_step_ms": {str(size): quiet_step_ms(size // 10, size) for size in SIZES},
        "wanted": {"day_s": 60, "masks_per_s": 10_000, "cluster_env_steps_per_s": 1_000},
        "domains_growth": growth([(day["domains"], day["step_ms"]) for day in days]),
    }


def growth(points: list[tuple[int, float]]) -> float:
    """Exponent of the cost in the number of domains: 1 is linear."""
    sizes, costs = np.array(points).T
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
