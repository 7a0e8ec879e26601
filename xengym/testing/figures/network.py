"""Published figures about network input and output, measured anew.

Each function builds a host, runs it and returns what came out as numbers; none compares with the published value,
which its docstring states with the source. Sources: [Xen] P. Barham et al., "Xen and the art of virtualization", SOSP
2003 (Xen 1.x, drivers in the hypervisor). [Opt] A. Menon, A. L. Cox, W. Zwaenepoel, "Optimizing network
virtualization in Xen", USENIX 2006 (Xen 3.0, split drivers).
"""

from __future__ import annotations

from typing import Any

from xengym.hypervisor.host import Host
from xengym.scenarios.build import build_host, populate
from xengym.scenarios.config import parse_scenario
from xengym.units import MS_NS, S_NS

#: What the link of [Xen] carries, Mbit/s of packets.
LINK_MBIT_PER_S = 897.0
#: Enough links for the processor to be what limits ([Opt] had four of 1 Gbit/s).
FAST_LINK_MBIT_PER_S = 4 * LINK_MBIT_PER_S


def io_host(
    domains: list[dict[str, Any]], *, model: str = "xen3_split_flip", nic: dict[str, Any] | None = None, seed: int = 1,
    scheduler: dict[str, Any] | None = None, num_pcpus: int = 1, costs: dict[str, float] | None = None,
    dom0: dict[str, Any] | None = None,
) -> Host:  # fmt: skip
    """A host with these domains, in the words of scenario files.

    It has a network card ``eth0`` and a disk ``sda`` whose drivers are in ``dom0`` or, without split drivers, in none.
    With split drivers domain 0 has slot and vCPU 0 and the others follow in order; ``dom0`` is what it has beside its
    name and program (scheduler parameters, affinity).
    """
    split = model.startswith("xen3")
    card = {"name": "eth0", "backend": "dom0" if split else None, **(nic or {})}
    config = parse_scenario(
        {
            "name": "figure",
            "description": "an experiment",
            "machine": {"cores_per_socket": num_pcpus},
            "scheduler": scheduler or {"name": "credit", "version": "3.2"},
            "costs": costs or {"context_switch_us": 3.0, "cache_refill_us": 0.0},
            "devices": {"model": model, "nics": [card], "disks": [{"name": "sda", "backend": card["backend"]}]},
            "domains": ([{"name": "dom0", "program": {"kind": "os"}, **(dom0 or {})}] if split else []) + domains,
            "limits": {"max_domains": len(domains) + 1, "max_vcpus": sum(d.get("vcpus", 1) for d in domains) + 1},
        },
        "figure",
    )
    host = build_host(config)
    populate(host, config, seed=seed)
    return host


def reserved(period_ms: float, slice_ms: float, extratime: int = 0) -> dict[str, int]:
    """SEDF's parameters for a slice in every period."""
    return {"period_ns": round(period_ms * MS_NS), "slice_ns": round(slice_ms * MS_NS), "extratime": extratime}


def constant(mean_ms: float) -> dict[str, Any]:
    """Always the same time."""
    return {"kind": "constant", "mean_ms": mean_ms}


def exponential(mean_ms: float) -> dict[str, Any]:
    """Times of a Poisson process."""
    return {"kind": "exponential", "mean_ms": mean_ms}


def bulk_mbit_per_s(
    model: str, direction: str, *, mtu: int = 1500, is_offloading: bool = False,
    link_mbit_per_s: float = LINK_MBIT_PER_S, duration_s: float = 2.0, seed: int = 1,
) -> float:  # fmt: skip
    """R8, R36. What one guest sends or receives over a bulk connection on one pCPU, Mbit/s.

    Published ([Xen], table 6, ttcp): packets of 1500 bytes, native and Xen alike 897 either way; packets of 500 bytes,
    sending 602 native and 516 under Xen, receiving 544 and 467. ([Opt], abstract): a guest's receiving rate +18 % by
    copying instead of exchanging pages, its sending rate 4.4 times by offloading.
    """
    host = io_host(
        [
            {
                "name": "guest",
                "program": {"kind": "os"},
                "vifs": [{"nic": "eth0", "mtu": mtu, "is_offloading": is_offloading}],
                "transfers": [{"direction": direction, "window": 256 if not is_offloading else 16}],
            }
        ],
        model=model,
        nic={"mbit_per_s": link_mbit_per_s, "delay_ms": 0.05, "irq_gap_us": 30, "rx_buffers": 512},
        seed=seed,
    )
    warm_up_ns = int(0.5 * S_NS)
    host.run_until(warm_up_ns)
    before = _bulk_bytes(host)
    host.run_until(warm_up_ns + int(duration_s * S_NS))
    return float((_bulk_bytes(host) - before) * 8 / duration_s / 1e6)


def _bulk_bytes(host: Host) -> int:
    programs = host.sections["programs"]
    return int(programs["bulk_bytes"].sum() + programs["bulk_bytes_acked"].sum())
