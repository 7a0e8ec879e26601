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

#: Costs of a switch, us: 3 for the hypervisor's part, and the environments' default refill (assumed).
_COSTS = {"context_switch_us": 3.0, "cache_refill_us": 20.0}


def mbit_per_s(load: Load, dom0_weight: int, *, version: str = "3.2", seed: int = 1, duration_s: float = 5.0) -> float:
    """R16. What a guest moves beside one that computes, Mbit/s.

    Published ([Three], from memory): see above.

    **Assumed**: the other guest computes; the web server takes 0.25 ms of CPU for a file of 10 KB, and 16 clients ask
    without a pause; iperf receives on one connection; dd reads 128 KiB at a time and computes 50 us for each.
    """
    guests = [_guest(load), {"name": "computes", "program": {"kind": "hog"}, "params": {"weight": 256}}]
    host = io_host(
        guests, scheduler={"name": "credit", "version": version}, dom0={"params": {"weight": dom0_weight}},
        nic={"mbit_per_s": FAST_LINK_MBIT_PER_S, "delay_ms": 0.05, "irq_gap_us": 30, "rx_buffers": 512}, costs=_COSTS,
        seed=seed,
    )  # fmt: skip
    host.run_until(SECOND)
    before = _moved_bytes(host, load)
    host.run_until(host.now_ns + round(duration_s * SECOND))
    return (_moved_bytes(host, load) - before) * 8e-6 / duration_s


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
