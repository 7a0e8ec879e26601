"""Wide-area migration with its disk, after Bradford, Kotsovinos, Feldmann, Schioeberg, VEE 2007: R33 to R35.

Published, from the abstract: a web server with its disk was moved with a disruption of 3 s on a local network and of
68 s across a wide area. The survey adds 250 simultaneous clients, and that freezing and copying is worse by orders of
magnitude. From memory only: the emulated wide area had 5 Mbit/s and a round trip of 100 ms, the domain 512 MB and an
image of 1 GB.

**Taken from elsewhere**, and not fitted to these figures: what the web server writes to. Clark et al., NSDI 2005, give
for SPECweb99 in a domain of 512 MB some 10 000 to 12 000 different pages in each window of 8 s, so 11 000 pages are
written often here. **Assumed**: the local network's rate of 100 Mbit/s, for the paper's is not at hand; how often those
pages are written (enough that nearly all are dirty after 8 s); that the rest is written rarely; the disk's write rates;
the clients.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from xengym.hypervisor.move_spec import MoveSpec
from xengym.hypervisor.wide_move import WideMove
from xengym.hypervisor.wide_spec import AudienceSpec, DiskSpec, Extent, LineSpec, WideSpec
from xengym.machine.memory_model import MemoryModel, Region

SECOND, HOUR = 1_000_000_000, 3_600_000_000_000

#: 512 MiB: 11 000 pages that are written often, and a third of the memory that the operating system does not use.
WEB_MEMORY = MemoryModel((Region(11_000, 5_000.0), Region(76_000, 10.0)), 44_072)

#: 1 GiB: files that are only read, and logs and sessions; blocks a second.
WEB_DISK = DiskSpec((Extent(768), Extent(256, 10.0)))

#: The two lines: rate, Mbit/s, and delay one way, ms.
LINES = {"lan": (100.0, 0.1), "wan": (5.0, 50.0)}

#: A writer that writes blocks faster than a line of 100 Mbit/s carries them, and how it is held up.
HEAVY_WRITES_PER_S = 5_000.0
THRESHOLD_WRITES, DELAY_MS = 16_384, 1.0


def web_server(where: str, *, frozen: bool = False, mbit_per_s: float | None = None, tunnel: bool = True) -> WideSpec:
    """The move of the web server; ``frozen``: it stands still from the first block on."""
    rate, delay_ms = LINES[where]
    rate = mbit_per_s or rate
    order = MoveSpec(
        kind="stop" if frozen else "live", law="constant", min_mbit_per_s=rate, max_mbit_per_s=rate, has_disk=True
    )
    audience = AudienceSpec(num_clients=250, has_tunnel=tunnel, keeps_address=where == "lan", extra_ms=2 * delay_ms)
    return WideSpec(order, WEB_MEMORY, WEB_DISK, LineSpec(rate, delay_ms), audience, freezes=frozen)


def moved(spec: WideSpec, within_ns: int = 24 * HOUR) -> WideMove:
    """Move it, if that ends in the time given."""
    move = WideMove(spec)
    move.begin()
    move.finish(within_ns)
    return move


class Disruption(NamedTuple):
    """How long nobody was answered, and how long it took in all, s."""

    down_s: float
    total_s: float


def disruption(where: str, *, frozen: bool = False, mbit_per_s: float | None = None) -> Disruption:
    """R33: the web server's disruption."""
    move = moved(web_server(where, frozen=frozen, mbit_per_s=mbit_per_s))
    if move.stage != "done":
        raise RuntimeError(f"the web server's move did not end: {move.stage}, {move.reason}")
    return Disruption(move.downtime_ns / SECOND, move.elapsed_ns / SECOND)


class HeavyWriter(NamedTuple):
    """What became of the disk of a heavy writer.

    Attributes:
        is_done: the whole move is done.
        total_s: that it took, or was given.
        disk_s: that the disk took.
        expected_s: of the disk, by closed form; infinite if it never ends.
        queued_bytes: deltas that had not been sent at half the time and at the end.
    """

    is_done: bool
    total_s: float
    disk_s: float
    expected_s: float
    queued_bytes: tuple[float, float]


def heavy_writer(*, is_throttled: bool, hours: float = 10.0) -> HeavyWriter:
    """R34: a domain that writes faster than the line carries."""
    spec = web_server("lan")
    disk = replace(WEB_DISK, extents=(Extent(1024, HEAVY_WRITES_PER_S),))
    if is_throttled:
        disk = replace(disk, threshold_writes=THRESHOLD_WRITES, delay_ms=DELAY_MS)
    move = WideMove(replace(spec, disk=disk))
    move.begin()
    move.finish(int(hours * HOUR / 2))
    half = move.queued_bytes
    move.finish(int(hours * HOUR / 2))
    line = spec.line.mbit_per_s * 125_000
    delta = disk.block_bytes + disk.header_bytes
    wanted = HEAVY_WRITES_PER_S * (1 - disk.record_overhead_frac)
    held_up = wanted / (1 + wanted * DELAY_MS / 1000)
    expected_s = float("inf")
    if is_throttled:
        # Until the threshold the queue grows; then it drains, and then bulk and deltas share the line.
        first_s = THRESHOLD_WRITES / wanted
        carried = disk.image_bytes + THRESHOLD_WRITES * delta - held_up * delta * first_s
        expected_s = carried / (line - held_up * delta)
    disk_s = float(move.state["disk_ns"][0]) / SECOND
    return HeavyWriter(move.stage == "done", move.now_ns / SECOND, disk_s, expected_s, (half, move.queued_bytes))


class Redirected(NamedTuple):
    """What became of the connections of a moved web server.

    Attributes:
        open_at_pause: when it stopped.
        tunnelled: went on through the tunnel.
        lost: of all.
        refused: attempts that found nobody.
        stale: opened to the old address after the move, while the name or a resolver still gave it.
        stale_late: of them, after the name was updated and a resolver's time was over.
        opened_new: to the new address.
        tunnel_after_last_ns: from the last old connection's end to the tunnel's; None if it stands.
    """

    open_at_pause: int
    tunnelled: int
    lost: int
    refused: int
    stale: int
    stale_late: int
    opened_new: int
    tunnel_after_last_ns: int | None


def redirected(*, tunnel: bool = True, ttl_s: float = 0.0, after_s: int = 600) -> Redirected:
    """R35: the web server of the wide area, watched for ten minutes after its move."""
    spec = web_server("wan", tunnel=tunnel)
    spec = replace(spec, audience=replace(spec.audience, ttl_s=ttl_s))
    move = WideMove(spec)
    move.begin()
    while move.state["source_runs"][0]:
        move.run(SECOND)
    open_at_pause = move.open_connections
    if not move.finish(24 * HOUR):
        raise RuntimeError(f"the web server's move did not end: {move.stage}")
    reach = move.redirection[0]
    settled_ns = int(reach["name_updated_at_ns"]) + int(ttl_s * SECOND)
    move.run(settled_ns - move.now_ns)
    stale = int(reach["opened_stale"])
    move.run(after_s * SECOND)
    after = (
        None if reach["is_tunnel_up"] else int(reach["tunnel_down_at_ns"] - max(reach["last_old_end_ns"], settled_ns))
    )
    return Redirected(
        open_at_pause, int(reach["tunnelled"]), int(reach["lost"]), int(reach["refused"]), stale,
        int(reach["opened_stale"]) - stale, int(reach["opened_new"]), after,
    )  # fmt: skip
