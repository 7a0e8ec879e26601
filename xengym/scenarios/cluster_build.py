"""From a cluster's description, a seed and a folder of traces to what the kernel takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.formats.vm_traces import TO_THE_END_S, VmTraces
from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.interface import Cluster
from xengym.hypervisor.cluster.specs import DEMAND_ONE, ClusterSpec, DemandTable, DomainSpec, HostSpec, LinkSpec
from xengym.machine.memory_model import PAGE_BYTES, MemoryModel, Region
from xengym.scenarios.cluster_config import (
    ClusterConfig,
    ConstantDemand,
    DomainGroupConfig,
    HostGroupConfig,
    MemoryConfig,
    WaveDemand,
)
from xengym.scenarios.cluster_demand import SAMPLE_S, find_traces, wave
from xengym.scenarios.cluster_library import load_cluster
from xengym.scenarios.event_cluster import EventCluster
from xengym.units import S_NS, ms_to_ns, s_to_ns

#: Kinds of clusters by fidelity: each takes a ``ClusterSpec`` and ``seed``.
FIDELITIES: dict[str, Callable[..., Cluster]] = {"fluid": FluidCluster, "event": EventCluster}

_BYTES_PER_MBIT = 125_000
_MIB = 1 << 20
#: A reference pCPU, where a trace tells the speed of its processors.
_REFERENCE_MHZ = 2600.0
_DAY_S = 86_400
#: Sets this stream apart from other uses of the same seed.
_STREAM_KEY = 0xC105


@dataclass(frozen=True, eq=False)
class Built:
    """A cluster ready to be made.

    Attributes:
        config: what it was described by.
        spec: what the kernel takes.
        host_names: by number.
        group_of_domain: names of the groups of the domains of the description, in its order.
        demand: lines that say where the demand comes from.
    """

    config: ClusterConfig
    spec: ClusterSpec
    host_names: tuple[str, ...]
    group_of_domain: tuple[str, ...]
    demand: tuple[str, ...]


def build_spec(cluster: str | Path | ClusterConfig, *, seed: int, data: str | Path | None = None) -> Built:
    """Draw an episode's domains.

    Args:
        cluster: name, file or configuration.
        seed: of the episode, 0 or more.
        data: folder with traces; None: generators.

    Raises:
        ScenarioError: unknown name, wrong file, or no traces in the folder.
    """
    config = load_cluster(cluster)
    rng = np.random.default_rng([seed, _STREAM_KEY])
    hosts, host_names, places = _hosts(config)
    domains: list[DomainSpec] = []
    groups: list[str] = []
    lines: list[str] = []
    tables: list[NDArray[np.uint16]] = []
    bits = {name: 1 << number for number, name in enumerate(config.device_names())}
    num_rows = next_group = 0
    for group in config.domains:
        drawn, table, line, next_group = _domains(config, group, rng, seed, data, bits, num_rows, next_group, places)
        domains += drawn
        groups += [group.name] * len(drawn)
        num_rows += len(table)
        tables.append(table)
        if line not in lines:
            lines.append(line)
    for arrivals in config.arrivals:
        like = [domain for domain, name in zip(domains, groups, strict=True) if name == arrivals.group]
        come = _arrivals(like, arrivals.per_hour, arrivals.life_h, config.control.episode_s, rng)
        domains += come
        groups += [arrivals.group] * len(come)
    spec = ClusterSpec(
        hosts=hosts,
        domains=domains,
        racks=[
            None
            if rack.uplink_mbit_per_s is None
            else LinkSpec(rack.uplink_mbit_per_s * _BYTES_PER_MBIT, ms_to_ns(rack.delay_ms))
            for rack in config.racks
        ],
        sites=_site_links(config),
        num_domain_slots=config.max_domains,
        num_move_slots=config.moves.at_once,
        moves_per_host=config.moves.per_host,
        demand=DemandTable(_one_table(tables), SAMPLE_S * S_NS, "; ".join(lines)),
        clients=_clients(config),
        move=config.moves.spec(),
        placement=config.placement,
        crosses_subnets=config.moves.crosses_subnets,
        least_move_frac=config.moves.least_link_frac,
    )
    return Built(config, spec, tuple(host_names), tuple(groups), tuple(lines))


def make_cluster(spec: ClusterSpec, *, seed: int, fidelity: str = "fluid") -> Cluster:
    """A cluster of a fidelity, one of ``FIDELITIES``.

    Raises:
        ValueError: there is no such fidelity, or the description contradicts itself.
    """
    if fidelity not in FIDELITIES:
        raise ValueError(f"unknown fidelity {fidelity!r}; expected one of {', '.join(FIDELITIES)}")
    return FIDELITIES[fidelity](spec, seed=seed)


def build_cluster(
    cluster: str | Path | ClusterConfig, *, seed: int, data: str | Path | None = None, fidelity: str = "fluid"
) -> Cluster:
    """A cluster at the beginning of an episode; arguments and errors as for ``build_spec`` and ``make_cluster``."""
    return make_cluster(build_spec(cluster, seed=seed, data=data).spec, seed=seed, fidelity=fidelity)


def _hosts(config: ClusterConfig) -> tuple[list[HostSpec], list[str], dict[str, list[int]]]:
    """Hosts, their names, and which hosts are in each group and rack."""
    sites = [site.name for site in config.sites]
    racks = {rack.name: (number, sites.index(rack.site)) for number, rack in enumerate(config.racks)}
    bits = {name: 1 << number for number, name in enumerate(config.device_names())}
    hosts: list[HostSpec] = []
    names: list[str] = []
    places: dict[str, list[int]] = {}
    for group in config.hosts:
        for i in range(group.count):
            name = group.racks[i * len(group.racks) // group.count]
            rack, site = racks[name]
            for place in {group.name, name}:
                places.setdefault(place, []).append(len(hosts))
            hosts.append(_host(group, rack, site, sum(bits[device] for device in group.devices)))
            names.append(f"{group.name}-{i}")
    return hosts, names, places


def _host(group: HostGroupConfig, rack: int, site: int, devices: int) -> HostSpec:
    idle, busy = group.power.watts
    return HostSpec(
        pcpus=group.pcpus, speed=group.speed, memory_pages=group.memory_mib * _MIB // PAGE_BYTES, rack=rack, site=site,
        subnet=group.subnet, storage=site if group.storage == "shared" else None, devices=devices,
        shares=group.scheduler,
        nic_bytes_per_s=group.nic_mbit_per_s * _BYTES_PER_MBIT, dom0_pcpus=group.dom0_pcpus, idle_watts=idle,
        busy_watts=busy,
        suspended_watts=group.power.suspended_watts, suspend_ns=s_to_ns(group.power.suspend_s),
        wake_ns=s_to_ns(group.power.wake_s),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _memory(pages: int, memory: MemoryConfig) -> MemoryModel:
    free = int(pages * memory.free_frac)
    hot = max(1, round((pages - free) * memory.hot_frac))
    cold = max(1, pages - free - hot)
    regions = (Region(hot, memory.hot_writes_per_s), Region(cold, memory.cold_writes_per_s))
    return MemoryModel(regions, max(0, pages - hot - cold))


def _turn(values: Any, i: int) -> Any:
    """One of several in turn, or the only one."""
    return values[i % len(values)] if isinstance(values, list) else values


def _domains(
    config: ClusterConfig,
    group: DomainGroupConfig,
    rng: np.random.Generator,
    seed: int,
    data: str | Path | None,
    bits: dict[str, int],
    first_row: int,
    next_group: int,
    places: dict[str, list[int]],
) -> tuple[list[DomainSpec], NDArray[np.uint16], str, int]:
    """Domains of a group, rows of demand for them, where that comes from, and the next free anti-affinity group."""
    demand = group.demand
    traces: VmTraces | None = None
    if isinstance(demand, ConstantDemand | WaveDemand):
        count = group.count or 1
        num_samples = int(config.control.episode_s // SAMPLE_S) + 1
        table = wave(demand, count, num_samples, rng)
        rows, phases = np.arange(count), np.zeros(count, dtype=np.int64)
        line = f"{group.name}: {demand.kind}"
    else:
        traces, line = find_traces(demand, None if data is None else Path(data), seed, group.count)
        count = group.count or traces.num_vms
        rows, phases = _choose_rows(traces, count, demand.order, demand.phase, rng)
        table = traces.demand
    start = [host for name in group.hosts or () for host in places[name]]
    sized = traces is not None and getattr(demand, "sizes", "group") == "trace"
    domains = []
    for i in range(count):
        row = int(rows[i])
        vcpus, size, pages, net = (
            group.vcpus,
            _turn(group.size_pcpus, i),
            _turn(group.memory_mib, i) * _MIB // PAGE_BYTES,
            0.0,
        )
        created, deleted = 0, TO_THE_END_S
        if traces is not None:
            created, deleted = int(traces.created_s[row]), int(traces.deleted_s[row])
            if sized and traces.vcpus[row] > 0:
                vcpus = int(traces.vcpus[row])
                size = float(traces.mhz[row]) / _REFERENCE_MHZ if traces.mhz[row] > 0 else None
            if sized and traces.memory_bytes[row] > 0:
                pages = max(2, int(traces.memory_bytes[row]) // PAGE_BYTES)
            if traces.sent_bytes_per_s[row] > 0:
                net = float(traces.sent_bytes_per_s[row]) / max(0.001, float(traces.mean_pct[row]) / 100.0)
        domains.append(
            DomainSpec(
                memory=_memory(pages, group.memory),
                size_pcpus=float(size) if size is not None else float(vcpus),
                vcpus=vcpus,
                weight=group.weight,
                cap_pct=group.cap_pct,
                slice_ns=ms_to_ns(group.slice_ms),
                period_ns=ms_to_ns(group.period_ms),
                has_extra=group.extra,
                host=start[i % len(start)] if start else None,
                group=next_group + i // group.spread_over if group.spread_over else None,
                devices=sum(bits[name] for name in group.devices),
                is_pinned=group.pinned,
                trace_row=first_row + row,
                trace_phase=int(phases[i]),
                net_bytes_per_s=group.net_mbit_per_s * _BYTES_PER_MBIT or min(net, 1e9),
                connections=group.connections,
                disk_bytes=group.disk_mib * _MIB,
                arrives_ns=s_to_ns(created) if created > 0 else None,
                leaves_ns=s_to_ns(deleted) if deleted != TO_THE_END_S else None,
            )
        )
    if group.spread_over:
        next_group += -(-count // group.spread_over)
    return domains, table, line, next_group


def _choose_rows(
    traces: VmTraces, count: int, order: str, phase: str, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and phase for each domain. Rows that serve several domains are taken at different times of the trace."""
    num, num_samples = traces.demand.shape
    if order == "rows":
        rows = np.arange(count) % num
    else:
        rows = np.concatenate([rng.permutation(num) for _ in range(-(-count // num))])[:count]
    phases = np.zeros(count, dtype=np.int64)
    if phase == "random":
        phases = rng.integers(num_samples, size=count)
    else:
        phases[num:] = rng.integers(num_samples, size=max(0, count - num))
    return rows.astype(np.int64), phases


def _arrivals(
    like: list[DomainSpec], per_hour: float, life_h: float, episode_s: float, rng: np.random.Generator
) -> list[DomainSpec]:
    """A Poisson process over the episode; each is like one of the group, drawn at random."""
    come = []
    at_s = float(rng.exponential(3600.0 / per_hour))
    while at_s < episode_s:
        model = like[int(rng.integers(len(like)))]
        life_s = float(rng.exponential(3600.0 * life_h))
        phase = int(rng.integers(1 << 20))
        come.append(
            replace(
                model,
                host=None,
                group=None,
                trace_phase=phase,
                arrives_ns=s_to_ns(at_s),
                leaves_ns=s_to_ns(at_s + life_s),
            )
        )
        at_s += float(rng.exponential(3600.0 / per_hour))
    return come


def _one_table(tables: list[NDArray[np.uint16]]) -> NDArray[np.uint16]:
    """Rows of different lengths repeated to a common one."""
    length = 1
    for table in tables:
        length = length * table.shape[1] // gcd(length, table.shape[1])
    if length > 1_000_000:
        # No common length worth its memory: each row begins anew when the longest one ends.
        length = max(table.shape[1] for table in tables)
    return np.concatenate([np.tile(table, (1, -(-length // table.shape[1])))[:, :length] for table in tables])


def _site_links(config: ClusterConfig) -> dict[tuple[int, int], LinkSpec]:
    names = [site.name for site in config.sites]
    links = {}
    for link in config.site_links:
        a, b = (names.index(name) for name in link.between)
        links[a, b] = links[b, a] = LinkSpec(link.mbit_per_s * _BYTES_PER_MBIT, ms_to_ns(link.delay_ms))
    return links


def _clients(config: ClusterConfig) -> NDArray[np.uint16] | None:
    """Part of all clients nearest to each site: it follows the day, highest at the site's peak hour."""
    if any(site.peak_h is None for site in config.sites) or len(config.sites) < 2:
        return None
    at_h = np.arange(_DAY_S // SAMPLE_S)[:, np.newaxis] * (SAMPLE_S / 3600.0)
    peaks = np.array([site.peak_h for site in config.sites])
    activity = 1.0 + 0.9 * np.cos(2.0 * np.pi * (at_h - peaks) / 24.0)
    parts: NDArray[np.uint16] = np.rint(DEMAND_ONE * activity / activity.sum(axis=1, keepdims=True)).astype(np.uint16)
    return parts
