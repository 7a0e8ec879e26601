"""Dom0's weight under Credit and what guests' input and output makes of it: R16.

Source: [Three] L. Cherkasova, D. Gupta, A. Vahdat, "Comparison of the three CPU schedulers in Xen", 2007: one pCPU,
Dom0 and two guests, loads a web server, iperf and a disk read by dd; Dom0's weight is varied against the guests'. The
figures were not at hand; known is (from memory) that dd hardly notices, that the network loads are very sensitive,
and that too large a share hurts as well, since Dom0 then runs for each packet and no longer for batches of them.
"""

from __future__ import annotations

from typing import Any, Literal

from xengym.hypervisor.host import Host
from xengym.testing.figures.network import FAST_LINK_MBIT_PER_S, constant, exponential, io_host
from xengym.testing.figures.single_host import SECOND

Load = Literal["web", "iperf", "dd"]

LOADS: tuple[Load, ...] = ("web", "iperf", "dd")

#: Weights of Dom0; the guests have 256.
DOM0_WEIGHTS = (32, 64, 128, 256, 512, 1024, 2048, 4096)

#: Delays of the line, ms, over which the network's rates are averaged: a connection whose packets keep step with the
#: scheduler is some tens of Mbit/s faster or slower. Assumed.
DELAYS_MS = (0.04, 0.05, 0.06, 0.08)


def mbit_per_s(
    load: Load, dom0_weight: int, *, beside_same: bool = False, refill_us: float = 20.0, version: str = "3.2",
    seed: int = 1, duration_s: float = 5.0,
) -> float:  # fmt: skip
    """R16. What a guest moves beside another one, Mbit/s.

    Published ([Three], from memory): see above.

    **Assumed**: the web server takes 0.25 ms of CPU for a file of 10 KB, and 16 clients ask without a pause; iperf
    receives on one connection; dd reads 128 KiB at a time and computes 50 us for each.

    Args:
        load: what the guest does.
        dom0_weight: Dom0's weight; the guests have 256.
        beside_same: the other guest does the same, and what both move is given; otherwise it computes.
        refill_us: refilling the caches after a switch; 20 is the environments' default (assumed).
        version: Credit's release.
        seed: of the clients.
        duration_s: of each run.
    """
    other = {"name": "computes", "program": {"kind": "hog"}, "params": {"weight": 256}}
    guests = [_guest(load), {**_guest(load), "name": "other"} if beside_same else other]
    delays_ms = DELAYS_MS[:1] if load == "dd" else DELAYS_MS
    total = 0.0
    for delay_ms in delays_ms:
        nic = {"mbit_per_s": FAST_LINK_MBIT_PER_S, "delay_ms": delay_ms, "irq_gap_us": 30, "rx_buffers": 512}
        host = io_host(
            guests, scheduler={"name": "credit", "version": version}, dom0={"params": {"weight": dom0_weight}},
            nic=nic, costs={"context_switch_us": 3.0, "cache_refill_us": refill_us}, seed=seed,
        )  # fmt: skip
        host.run_until(SECOND)
        before = _moved_bytes(host, load)
        host.run_until(host.now_ns + round(duration_s * SECOND))
        total += (_moved_bytes(host, load) - before) * 8e-6 / duration_s
    return total / len(delays_ms)


def _guest(load: Load) -> dict[str, Any]:
    guest: dict[str, Any] = {"name": "guest", "params": {"weight": 256}, "vifs": [{"nic": "eth0"}]}
    if load == "dd":
        loop = {"work": constant(0.05), "disk_frac": 1.0, "disk_bytes": 131_072, "is_sequential": True}
        return {**guest, "program": {"kind": "os", "loops": [loop]}, "vbds": [{"disk": "sda"}]}
    if load == "iperf":
        return {**guest, "program": {"kind": "os"}, "transfers": [{"direction": "receive", "window": 64}]}
    service = {"before": exponential(0.25), "sizes_bytes": [(1.0, 10_000)]}
    clients = [{"kind": "closed", "think": constant(0), "num": 16}]
    return {**guest, "program": {"kind": "os", "service": service}, "clients": clients}


def _moved_bytes(host: Host, load: Load) -> int:
    if load == "dd":
        return int(host.sections["domain_io"]["block_bytes"][1:].sum())
    if load == "iperf":
        return int(host.sections["programs"]["bulk_bytes"].sum())
    return int(host.sections["population"]["bytes"].sum())
