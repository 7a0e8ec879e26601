"""The arrays of a cluster, laid out and filled from its description; the same for both fidelities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.cluster.specs import ClusterSpec, DomainSpec, HostSpec
from xengym.machine.cluster_state import (
    CLUSTER_CLOCK_DTYPE,
    CLUSTER_DOMAIN_DTYPE,
    CLUSTER_HOST_DTYPE,
    CLUSTER_LINK_DTYPE,
    CLUSTER_MOVE_DTYPE,
    CLUSTER_SITE_DTYPE,
    POWERS,
    SHARES,
)
from xengym.machine.migration_state import MIGRATION_DTYPE, WORKING_SET_DTYPE
from xengym.machine.state import Arena
from xengym.policies.control.placement import PLACEMENTS

FOREVER_NS = np.iinfo(np.int64).max
_LINK_KINDS = 3


def make_arena(spec: ClusterSpec) -> Arena:
    """Memory for the whole state of a cluster, hosts, links and the clock filled in; no domain is there yet.

    Raises:
        ValueError: the description contradicts itself.
    """
    check(spec)
    num_hosts, num_sites = len(spec.hosts), _num_sites(spec)
    num_groups = 1 + max((d.group for d in spec.domains if d.group is not None), default=-1)
    num_moves = spec.num_move_slots or 2 * num_hosts
    num_domains = spec.num_domain_slots or len(spec.domains)
    num_links = _LINK_KINDS * num_hosts + 2 * len(spec.racks) + num_sites**2
    arena = Arena(
        [
            ("clock", CLUSTER_CLOCK_DTYPE, 1),
            ("host", CLUSTER_HOST_DTYPE, num_hosts),
            ("domain", CLUSTER_DOMAIN_DTYPE, num_domains),
            ("working_set", WORKING_SET_DTYPE, num_domains),
            ("move", CLUSTER_MOVE_DTYPE, num_moves),
            ("migration", MIGRATION_DTYPE, num_moves),
            ("move_end", np.dtype(np.int64), num_moves),
            ("link", CLUSTER_LINK_DTYPE, num_links),
            ("site", CLUSTER_SITE_DTYPE, num_sites),
            ("group_on_host", np.dtype(np.int32), max(1, num_groups) * num_hosts),
        ]
    )
    clock: Any = arena.sections["clock"][0:1]
    clock["sample_ns"] = 0 if spec.demand is None else spec.demand.sample_ns
    clock["next_leave_ns"] = clock["next_sample_ns"] = FOREVER_NS
    clock["dom0_s_per_byte"] = spec.dom0_s_per_byte
    clock["least_move_frac"] = spec.least_move_frac
    clock["num_hosts"], clock["num_domains"], clock["num_moves"] = num_hosts, num_domains, num_moves
    clock["num_racks"], clock["num_sites"], clock["num_groups"] = len(spec.racks), num_sites, num_groups
    clock["placement"] = PLACEMENTS.index(spec.placement)
    clock["crosses_subnets"] = spec.crosses_subnets
    clock["moves_per_host"] = spec.moves_per_host
    _fill_hosts(arena.sections["host"], spec.hosts)
    _fill_links(arena.sections["link"], spec)
    arena.sections["site"]["num_hosts"] = np.bincount([host.site for host in spec.hosts], minlength=num_sites)
    arena.sections["move_end"][:] = FOREVER_NS
    arena.sections["domain"]["host"] = -1
    arena.sections["domain"]["move"] = -1
    return arena


def _num_sites(spec: ClusterSpec) -> int:
    return 1 + max(max(host.site for host in spec.hosts), *(max(pair) for pair in spec.sites), 0)


def check(spec: ClusterSpec) -> None:
    """Refuse a description that contradicts itself.

    Raises:
        ValueError: names the host or domain, what was found and what was expected.
    """
    if not spec.hosts:
        raise ValueError("cluster: expected at least one host")
    site_of: dict[int, int] = {}
    for number, host in enumerate(spec.hosts):
        if host.pcpus < 1 or host.speed <= 0 or host.memory_pages < 0 or host.nic_bytes_per_s <= 0:
            raise ValueError(f"host {number}: pcpus, speed, memory and network must be positive, found {host}")
        if host.dom0_pcpus <= 0 or not 0 <= host.idle_watts <= host.busy_watts or host.shares not in SHARES:
            raise ValueError(
                f"host {number}: expected dom0_pcpus > 0, 0 <= idle_watts <= busy_watts and shares one of "
                f"{', '.join(SHARES)}, found {host}"
            )
        if not 0 <= host.rack < len(spec.racks):
            raise ValueError(f"host {number}: rack {host.rack} is not one of the {len(spec.racks)} racks")
        if site_of.setdefault(host.rack, host.site) != host.site:
            raise ValueError(f"host {number}: rack {host.rack} is at site {site_of[host.rack]}, found site {host.site}")
    rows = 0 if spec.demand is None else len(spec.demand.demand)
    for number, domain in enumerate(spec.domains):
        if domain.vcpus < 1 or domain.weight < 1 or domain.cap_pct < 0 or domain.size_pcpus < 0:
            raise ValueError(f"domain {number}: vcpus and weight must be positive, cap and size not negative: {domain}")
        if domain.trace_row is not None and not 0 <= domain.trace_row < rows:
            raise ValueError(f"domain {number}: row {domain.trace_row} of a demand table with {rows} rows")
        if domain.host is not None and not 0 <= domain.host < len(spec.hosts):
            raise ValueError(f"domain {number}: host {domain.host} is not one of the {len(spec.hosts)} hosts")
    if spec.placement not in PLACEMENTS:
        raise ValueError(f"placement must be one of {', '.join(PLACEMENTS)}, found {spec.placement!r}")
    if spec.clients is not None and (spec.demand is None or spec.clients.shape[1] != _num_sites(spec)):
        raise ValueError("clients: expected shape (samples, sites) and a demand table whose samples they follow")


def _fill_hosts(records: Any, hosts: Sequence[HostSpec]) -> None:
    for name in (
        "pcpus", "speed", "memory_pages", "rack", "site", "subnet", "devices", "nic_bytes_per_s", "idle_watts",
        "busy_watts",
        "suspended_watts", "suspend_ns", "wake_ns",
    ):  # fmt: skip
        records[name] = [getattr(host, name) for host in hosts]
    records["storage"] = [-1 if host.storage is None else host.storage for host in hosts]
    records["shares"] = [SHARES.index(host.shares) for host in hosts]
    records["power"] = [POWERS.index("on" if host.is_on else "suspended") for host in hosts]
    records["dom0_max_pcpus"] = [host.dom0_pcpus for host in hosts]
    records["capacity_pcpus"] = records["pcpus"] * records["speed"]
    records["free_pages"] = records["memory_pages"]
    records["first_domain"] = -1
    records["watts"] = np.where([host.is_on for host in hosts], records["idle_watts"], records["suspended_watts"])


def _fill_links(links: Any, spec: ClusterSpec) -> None:
    num_hosts, num_sites = len(spec.hosts), _num_sites(spec)
    links["is_up"] = 1
    for number, host in enumerate(spec.hosts):
        first = _LINK_KINDS * number
        links["kind"][first : first + 3] = (0, 1, 2)
        links["a"][first : first + 3] = number
        dom0_bytes_per_s = host.dom0_pcpus / spec.dom0_s_per_byte if spec.dom0_s_per_byte > 0 else 1e15
        links["bytes_per_s"][first : first + 3] = (dom0_bytes_per_s, host.nic_bytes_per_s, host.nic_bytes_per_s)
    for number, rack in enumerate(spec.racks):
        first = _LINK_KINDS * num_hosts + 2 * number
        links["kind"][first : first + 2] = (3, 4)
        links["a"][first : first + 2] = number
        links["bytes_per_s"][first : first + 2] = 1e15 if rack is None else rack.bytes_per_s
        links["delay_ns"][first : first + 2] = 0 if rack is None else rack.delay_ns
    first = _LINK_KINDS * num_hosts + 2 * len(spec.racks)
    for a in range(num_sites):
        for b in range(num_sites):
            number = first + a * num_sites + b
            links["kind"][number], links["a"][number], links["b"][number] = 5, a, b
            if (a, b) in spec.sites:
                links["bytes_per_s"][number] = spec.sites[a, b].bytes_per_s
                links["delay_ns"][number] = spec.sites[a, b].delay_ns


def domain_records(all_domains: Sequence[DomainSpec], chosen: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Records of domains that are nowhere yet.

    Args:
        all_domains: of the cluster's description.
        chosen: places in it.

    Returns:
        ``CLUSTER_DOMAIN_DTYPE`` and ``WORKING_SET_DTYPE``, both of shape ``(len(chosen),)``. ``host`` is the host asked
        for, or -1.
    """
    domains = [all_domains[i] for i in chosen]
    records: Any = np.zeros(len(domains), dtype=CLUSTER_DOMAIN_DTYPE)
    sets: Any = np.zeros(len(domains), dtype=WORKING_SET_DTYPE)
    for name in (
        "size_pcpus", "vcpus", "weight", "cap_pct", "slice_ns", "period_ns", "has_extra", "devices", "is_pinned",
        "trace_phase",
        "net_bytes_per_s", "connections", "disk_bytes",
    ):  # fmt: skip
        records[name] = [getattr(domain, name) for domain in domains]
    records["serial"] = chosen
    records["pages"] = [domain.memory.pages for domain in domains]
    records["constant_frac"] = [domain.demand_frac for domain in domains]
    records["arrived_ns"] = [domain.arrives_ns or 0 for domain in domains]
    records["leaves_ns"] = [FOREVER_NS if domain.leaves_ns is None else domain.leaves_ns for domain in domains]
    records["host"] = [-1 if domain.host is None else domain.host for domain in domains]
    records["group"] = [-1 if domain.group is None else domain.group for domain in domains]
    records["trace_row"] = [-1 if domain.trace_row is None else domain.trace_row for domain in domains]
    records["move"] = -1
    # Most domains share a few descriptions of memory.
    known: dict[int, NDArray[Any]] = {}
    for number, domain in enumerate(domains):
        key = id(domain.memory)
        if key not in known:
            known[key] = domain.memory.record()
        sets[number] = known[key][0]
    return records, sets
