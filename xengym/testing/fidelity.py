"""How far the fluid cluster is from the one of full hosts: the same clusters at both fidelities, error by scenario.

Demand comes in samples of ten seconds and not of five minutes, so that two minutes of the full hosts show as many
changes as an hour of a trace. The fluid model says nothing of what happens between two samples: work that waits,
wake-ups, what a context switch costs; that is its error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.interface import Cluster
from xengym.hypervisor.cluster.specs import ClusterSpec, DemandTable, DomainSpec, HostSpec
from xengym.machine.memory_presets import MEMORY_PRESETS
from xengym.scenarios.event_cluster import EventCluster
from xengym.units import S_NS

_SAMPLE_NS = 10 * S_NS
_SECONDS = 120
_MEMORY = MEMORY_PRESETS["kernel-build"]
_HOST_PAGES = 20 * _MEMORY.pages


@dataclass(frozen=True)
class FidelityCase:
    """One cluster that is run at both fidelities.

    Attributes:
        name: of the case.
        what: one line.
        build: from a seed, the cluster.
        orders: moves: ``(time in s, domain, host)``.
    """

    name: str
    what: str
    build: Callable[[np.random.Generator], ClusterSpec]
    orders: tuple[tuple[float, int, int], ...] = ()


class FidelityError(NamedTuple):
    """Fluid beside event, over the seeds of a case.

    Attributes:
        name: of the case.
        cpu_median_pct: CPU time of a domain, median of the absolute error, in per cent of what it demanded.
        cpu_worst_pct: the worst domain's.
        energy_pct: energy of all hosts, signed, fluid over event.
        violation_event_pct: part of the domains' time in which they were short, at event fidelity.
        violation_fluid_pct: and fluid.
        move_pct: duration of moves, signed; NaN without moves.
        downtime_pct: their downtime, signed.
    """

    name: str
    cpu_median_pct: float
    cpu_worst_pct: float
    energy_pct: float
    violation_event_pct: float
    violation_fluid_pct: float
    move_pct: float
    downtime_pct: float


def _table(rng: np.random.Generator, rows: int, low: float, high: float) -> DemandTable:
    demand = rng.uniform(low, high, (rows, _SECONDS * S_NS // _SAMPLE_NS))
    return DemandTable(np.rint(demand * 10_000).astype(np.uint16), sample_ns=_SAMPLE_NS, description="uniform")


def _spec(rng: np.random.Generator, low: float, high: float, *, shares: str = "credit", **domain: Any) -> ClusterSpec:
    """Two hosts of four pCPUs, six domains on each, the second pair of each with twice the vCPUs."""
    domains = [
        DomainSpec(
            _MEMORY,
            trace_row=i,
            host=i % 2,
            vcpus=2 if i % 3 == 2 else 1,
            size_pcpus=2.0 if i % 3 == 2 else 1.0,
            **{name: values[i % len(values)] for name, values in domain.items()},
        )
        for i in range(12)
    ]
    hosts = [HostSpec(4, _HOST_PAGES, shares=shares) for _ in range(3)]
    return ClusterSpec(hosts, domains, demand=_table(rng, 12, low, high))


CASES = (
    FidelityCase("light", "six domains on four pCPUs, at most half busy", lambda rng: _spec(rng, 0.05, 0.45)),
    FidelityCase("busy", "the same, up to all they have", lambda rng: _spec(rng, 0.3, 0.9)),
    FidelityCase("overload", "the same, more than there is", lambda rng: _spec(rng, 0.7, 1.0)),
    FidelityCase(
        "weights", "overload, weights 64 to 1024", lambda rng: _spec(rng, 0.7, 1.0, weight=(64, 256, 1024))
    ),
    FidelityCase("caps", "caps of half of what some demand", lambda rng: _spec(rng, 0.5, 1.0, cap_pct=(40, 0, 100))),
    FidelityCase(
        "sedf", "SEDF: reservations of 20 % of a pCPU each, and extra time",
        lambda rng: _spec(rng, 0.2, 0.6, shares="sedf", slice_ns=(20_000_000,), period_ns=(100_000_000,)),
    ),
    FidelityCase(
        "sedf-strict", "SEDF: the same without extra time",
        lambda rng: _spec(
            rng, 0.1, 0.6, shares="sedf", slice_ns=(30_000_000,), period_ns=(100_000_000,), has_extra=(False,)
        ),
    ),
    FidelityCase(
        "moves", "busy, four moves, two of them at once",
        lambda rng: _spec(rng, 0.2, 0.7), ((10.0, 0, 2), (12.0, 3, 2), (70.0, 4, 2), (72.0, 5, 0)),
    ),
)  # fmt: skip


def _run(cluster: Cluster, orders: tuple[tuple[float, int, int], ...]) -> None:
    for time_s, domain, host in orders:
        cluster.run_until(round(time_s * S_NS))
        reason = cluster.order_move(domain, host)
        if reason:
            raise ValueError(f"fidelity: the move of domain {domain} to host {host} was refused: reason {reason}")
    cluster.run_until(_SECONDS * S_NS)


def measure_case(case: FidelityCase, *, num_seeds: int = 3) -> FidelityError:
    """Run a case at both fidelities and compare."""
    cpu: list[float] = []
    totals = {"energy": np.zeros(2), "violation": np.zeros(2), "moves": np.zeros(2), "downtime": np.zeros(2)}
    present_ns = 0.0
    for seed in range(num_seeds):
        spec = case.build(np.random.default_rng([seed, 5]))
        both: tuple[Any, Any] = (EventCluster(spec, seed=seed), FluidCluster(spec, seed=seed))
        for which, cluster in enumerate(both):
            _run(cluster, case.orders)
            totals["energy"][which] += cluster.hosts["energy_nj"].sum()
            totals["violation"][which] += cluster.domains["violation_ns"].sum()
            totals["moves"][which] += cluster.clock["move_ns"][0]
            totals["downtime"][which] += cluster.clock["downtime_ns"][0]
        event, fluid = both
        error = np.abs(fluid.domains["granted_ns"] - event.domains["granted_ns"]) / event.domains["demanded_ns"]
        cpu += list(100 * error)
        present_ns += len(event.domains) * _SECONDS * S_NS

    def signed(name: str) -> float:
        event, fluid = totals[name]
        return float(100 * (fluid / event - 1)) if event else float("nan")

    violation = 100 * totals["violation"] / present_ns
    return FidelityError(
        case.name, float(np.median(cpu)), float(np.max(cpu)), signed("energy"), float(violation[0]),
        float(violation[1]), signed("moves"), signed("downtime"),
    )  # fmt: skip
