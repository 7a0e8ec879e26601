"""A host whose Dom0 sends or takes a migration's stream beside a guest, for experiments about who gets the cable."""

from __future__ import annotations

from typing import Any

from xengym.guests.os.kind import OsKind
from xengym.hypervisor.host import Host
from xengym.scenarios.build import build_host, populate
from xengym.scenarios.config import parse_scenario


def stream_host(
    *,
    guest_transfer: str | None = None,
    guest: dict[str, Any] | None = None,
    offloads: bool = True,
    num_pcpus: int = 2,
    seed: int = 1,
) -> tuple[Host, OsKind]:
    """A host with a gigabit card, Dom0 with a stack of its own on it, and one guest.

    Args:
        guest_transfer: direction of a bulk connection of the guest, or None.
        guest: what the guest is beside its name and interface, in the words of scenario files.
        offloads: its interface hands over up to 64 KiB at once.
        num_pcpus: of the host.
        seed: of its random streams.

    Returns:
        The host, and its kind of guests that can open streams.
    """
    one: dict[str, Any] = {"name": "guest", "program": {"kind": "os"}, **(guest or {})}
    one["vifs"] = [{"nic": "eth0", "is_offloading": offloads}]
    if guest_transfer is not None:
        one["transfers"] = [{"direction": guest_transfer, "window": 16}]
    num_clients = sum(clients["num"] for clients in one.get("clients", []))
    config = parse_scenario(
        {
            "name": "figure",
            "description": "an experiment",
            "machine": {"cores_per_socket": num_pcpus},
            "scheduler": {"name": "credit", "version": "3.2"},
            "devices": {
                "model": "xen3_split_copy",
                "nics": [
                    {
                        "name": "eth0", "backend": "dom0", "mbit_per_s": 897, "delay_ms": 0.05, "irq_gap_us": 30,
                        "rx_buffers": 512,
                    }
                ],
            },
            "domains": [
                {"name": "dom0", "program": {"kind": "os"}, "vifs": [
                    {"nic": "eth0", "mode": "native", "is_offloading": True}
                ]},
                one,
            ],
            "limits": {
                "max_domains": 3, "max_vcpus": 4,
                "devices": {
                    "max_vifs": 3, "max_flows": 8 + num_clients, "max_requests": 128, "max_populations": 2,
                    "max_clients": max(1, num_clients), "max_streams": 2,
                },
            },
        },
        "figure",
    )  # fmt: skip
    host = build_host(config)
    populate(host, config, seed=seed)
    (kind,) = (kind for kind in host.guest_kinds if isinstance(kind, OsKind))
    return host, kind
