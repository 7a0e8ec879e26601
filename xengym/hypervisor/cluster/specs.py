"""What a cluster is built from, in the kernel's units; people write it as `scenarios.cluster_config`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.memory_model import MemoryModel

#: Demand is kept in so many parts of a whole: ``DemandTable.demand`` holds hundredths of a per cent.
DEMAND_ONE = 10_000


@dataclass(frozen=True)
class HostSpec:
    """One host.

    Attributes:
        pcpus: number of its pCPUs.
        speed: of each, in reference pCPUs.
        memory_pages: for guests, of 4096 bytes.
        rack: number of its rack.
        site: number of its site; all hosts of a rack are at one.
        subnet: number of its subnet.
        storage: number of the storage that it shares with others; None: its disks are its own.
        devices: bit mask of the devices that it has.
        shares: ``credit`` or ``sedf``: how its pCPUs are shared.
        nic_bytes_per_s: of its network card, each way.
        dom0_pcpus: reference pCPUs that Dom0 has for moves at most.
        idle_watts, busy_watts: power at no load and at full load, linear in between.
        suspended_watts: when suspended or dead.
        suspend_ns, wake_ns: how long it takes; it draws ``idle_watts`` and ``busy_watts`` meanwhile.
        is_on: at the beginning; else it is suspended.
    """

    pcpus: int
    memory_pages: int
    speed: float = 1.0
    rack: int = 0
    site: int = 0
    subnet: int = 0
    storage: int | None = 0
    devices: int = 0
    shares: str = "credit"
    nic_bytes_per_s: float = 125e6
    dom0_pcpus: float = 1.0
    idle_watts: float = 86.0
    busy_watts: float = 117.0
    suspended_watts: float = 5.0
    suspend_ns: int = 8_000_000_000
    wake_ns: int = 12_000_000_000
    is_on: bool = True


@dataclass(frozen=True)
class DomainSpec:
    """One domain.

    Attributes:
        memory: its memory; the number of its pages is what it takes on a host.
        size_pcpus: reference pCPUs that a demand of 100 % stands for.
        vcpus, weight, cap_pct: as Xen's; 0: no cap.
        slice_ns, period_ns, has_extra: its reservation under SEDF, of each vCPU; period 0: none.
        host: where it is at the beginning; None: the placement rule decides. That it does not fit there is an error;
            that it fits nowhere counts among the refused arrivals.
        group: anti-affinity group, or None.
        devices: bit mask of the devices that it needs.
        is_pinned: it may not be moved.
        trace_row: of the demand table; None: ``demand_frac`` at all times.
        trace_phase: samples that it is ahead of the clock in its row.
        demand_frac: of ``size_pcpus``, without a row.
        net_bytes_per_s: that it sends at a demand of 100 %.
        connections: open ones.
        disk_bytes: of its disk, where storage is not shared.
        arrives_ns, leaves_ns: None: from the beginning, and to the end.
    """

    memory: MemoryModel
    size_pcpus: float = 1.0
    vcpus: int = 1
    weight: int = 256
    cap_pct: int = 0
    slice_ns: int = 0
    period_ns: int = 0
    has_extra: bool = True
    host: int | None = None
    group: int | None = None
    devices: int = 0
    is_pinned: bool = False
    trace_row: int | None = None
    trace_phase: int = 0
    demand_frac: float = 1.0
    net_bytes_per_s: float = 0.0
    connections: int = 0
    disk_bytes: int = 0
    arrives_ns: int | None = None
    leaves_ns: int | None = None


@dataclass(frozen=True, eq=False)
class DemandTable:
    """Demand of many domains over time, piecewise constant; a row begins anew when it has ended.

    Attributes:
        demand: ``uint16`` of shape ``(rows, samples)``, hundredths of a per cent of the domain's size.
        sample_ns: length of a sample.
        description: where it comes from, one line.
    """

    demand: NDArray[np.uint16]
    sample_ns: int = 300_000_000_000
    description: str = ""

    def __post_init__(self) -> None:
        if self.demand.ndim != 2 or self.demand.dtype != np.uint16 or 0 in self.demand.shape or self.sample_ns < 1:
            raise ValueError(
                f"demand table: expected uint16 of shape (rows, samples) and a positive sample, found "
                f"{self.demand.dtype} of shape {self.demand.shape} and {self.sample_ns} ns"
            )


@dataclass(frozen=True)
class LinkSpec:
    """A way between racks or sites.

    Attributes:
        bytes_per_s: each way.
        delay_ns: one way.
    """

    bytes_per_s: float
    delay_ns: int = 0


@dataclass(frozen=True, eq=False)
class ClusterSpec:
    """A whole cluster.

    Attributes:
        hosts: in order of their numbers.
        domains: those from the beginning take the first slots in this order; those that arrive, the lowest free one.
        racks: uplink of each; None: no limit.
        sites: link from site to site, by the two numbers; a pair that is missing has none.
        num_domain_slots: domains at once, at most; None: as many as there are.
        num_move_slots: moves at once, at most; None: twice as many as hosts.
        moves_per_host: that leave a host at once, at most, and that come to it.
        demand: table for domains with a row.
        clients: ``uint16`` of shape ``(samples, sites)``: part of all clients nearest to each site, in 1 /
            ``DEMAND_ONE``; None: all of them are everywhere.
        move: how domains are moved.
        placement: rule that places domains that have no host, of ``policies.control.placement.PLACEMENTS``.
        crosses_subnets: addresses may move to other subnets and sites.
        dom0_s_per_byte: CPU seconds of a reference pCPU that Dom0 spends on a byte of a move, at each end: 9.6 ms a
            million bytes (Clark et al., NSDI 2005: 12 % of a CPU at 100 Mbit/s).
        least_move_frac: part of a link that moves get even where guests would fill it; assumed.
    """

    hosts: Sequence[HostSpec]
    domains: Sequence[DomainSpec]
    racks: Sequence[LinkSpec | None] = (None,)
    sites: dict[tuple[int, int], LinkSpec] = field(default_factory=dict)
    num_domain_slots: int | None = None
    num_move_slots: int | None = None
    moves_per_host: int = 4
    demand: DemandTable | None = None
    clients: NDArray[np.uint16] | None = None
    move: MoveSpec = field(default_factory=MoveSpec)
    placement: str = "first-fit"
    crosses_subnets: bool = False
    dom0_s_per_byte: float = 9.6e-9
    least_move_frac: float = 0.1
