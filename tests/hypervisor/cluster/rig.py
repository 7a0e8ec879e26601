"""Clusters with round numbers, to work out by hand."""

from typing import Any

from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.specs import ClusterSpec, DomainSpec, HostSpec
from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.memory_model import MemoryModel, Region
from xengym.units import S_NS

S = S_NS
#: 40 960 000 bytes: 3.2768 s at 100 Mbit/s.
PAGES = 10_000
QUIET = MemoryModel((Region(PAGES),))
#: A constant rate and no time beside the copying.
PLAIN_MOVE = MoveSpec(
    law="constant", stop_rule="rounds", max_rounds=1, min_mbit_per_s=100, max_mbit_per_s=100, request_ms=0,
    suspend_ms=0, resume_ms=0, commit_ms=0,
)  # fmt: skip


def host(**changes: Any) -> HostSpec:
    values: dict[str, Any] = {
        "pcpus": 2, "memory_pages": 4 * PAGES, "idle_watts": 100.0, "busy_watts": 200.0, "suspended_watts": 10.0,
        "suspend_ns": 4 * S, "wake_ns": 6 * S,
    }  # fmt: skip
    return HostSpec(**{**values, **changes})


def domain(demand: float = 1.0, **changes: Any) -> DomainSpec:
    """Demands so many pCPUs; has as many vCPUs as it needs for that."""
    values: dict[str, Any] = {"memory": QUIET, "size_pcpus": demand, "vcpus": max(1, round(demand + 0.49))}
    return DomainSpec(**{**values, **changes})


def cluster(hosts: int | list[HostSpec], domains: list[DomainSpec], **changes: Any) -> FluidCluster:
    if isinstance(hosts, int):
        hosts = [host() for _ in range(hosts)]
    values: dict[str, Any] = {"move": PLAIN_MOVE, "dom0_s_per_byte": 0.0}
    return FluidCluster(ClusterSpec(hosts, domains, **{**values, **changes}))
