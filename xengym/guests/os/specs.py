"""What a domain with an operating system runs, and who its clients are, as plain data (ns, bytes)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from xengym.sim.random import DistributionSpec

NOTHING = DistributionSpec("constant", 0)

#: Sizes of answers: at most so many classes.
MAX_SIZE_CLASSES = 4


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class Service:
    """Answers requests: a web server, an application server, a database.

    Attributes:
        before: CPU time of a request before anything else (ns).
        after: CPU time once the disk and the other service have answered.
        sizes_bytes: classes of answers as ``(weight, bytes)``, at most four.
        dynamic_frac: part of the requests that are for dynamic pages, which compute ``dynamic`` instead of ``before``.
        dynamic: CPU time of a dynamic page.
        disk_frac: part of the requests that go to the disk.
        disk_bytes: bytes that these read or write.
        is_writing: they write, and wait until it is on the disk.
        calls: requests to the service of another domain, one after the other (the scenario says which domain).
        call_bytes: size of such a request.
        processes: requests that are worked on at once; further ones wait.
    """

    before: DistributionSpec
    after: DistributionSpec = NOTHING
    sizes_bytes: tuple[tuple[float, int], ...] = ((1.0, 8192),)
    dynamic_frac: float = 0.0
    dynamic: DistributionSpec = NOTHING
    disk_frac: float = 0.0
    disk_bytes: int = 16384
    is_writing: bool = False
    calls: int = 0
    call_bytes: int = 256
    processes: int = 64

    def __post_init__(self) -> None:
        for name in ("before", "after", "dynamic"):
            getattr(self, name).check(f"service: {name}")
        _require(
            1 <= len(self.sizes_bytes) <= MAX_SIZE_CLASSES,
            f"service: 1 to {MAX_SIZE_CLASSES} sizes are needed, found {len(self.sizes_bytes)}",
        )
        _require(all(weight >= 0 for weight, _ in self.sizes_bytes), "service: weights of sizes must be >= 0")
        _require(sum(weight for weight, _ in self.sizes_bytes) > 0, "service: some size must have a weight above 0")
        _require(all(1 <= size <= 2**30 for _, size in self.sizes_bytes), "service: sizes must be 1..2**30 bytes")
        for name in ("dynamic_frac", "disk_frac"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"service: {name} must be 0..1, found {value}")
        _require(1 <= self.disk_bytes <= 2**24, f"service: disk_bytes must be 1..2**24, found {self.disk_bytes}")
        _require(0 <= self.calls <= 64, f"service: calls must be 0..64, found {self.calls}")
        _require(1 <= self.call_bytes <= 2**20, f"service: call_bytes must be 1..2**20, found {self.call_bytes}")
        _require(1 <= self.processes <= 256, f"service: processes must be 1..256, found {self.processes}")


@dataclass(frozen=True)
class Loop:
    """A process that computes, uses the disk and sleeps, again and again: dd, a database under load, swapping.

    Attributes:
        work: CPU time of a turn (ns).
        think: sleep between turns.
        disk_frac: part of the turns that go to the disk.
        disk_bytes: bytes that these read or write.
        is_writing: they write and wait for it.
        is_barrier: nothing may be reordered across such a write.
        is_sequential: one place of the disk after the other, instead of anywhere.
        first_sector: where its part of the virtual disk begins.
        num_sectors: and how long it is, in sectors of 512 bytes.
    """

    work: DistributionSpec
    think: DistributionSpec = NOTHING
    disk_frac: float = 0.0
    disk_bytes: int = 4096
    is_writing: bool = False
    is_barrier: bool = False
    is_sequential: bool = False
    first_sector: int = 0
    num_sectors: int = 1 << 20

    def __post_init__(self) -> None:
        self.work.check("loop: work")
        self.think.check("loop: think")
        _require(0 <= self.disk_frac <= 1, f"loop: disk_frac must be 0..1, found {self.disk_frac}")
        _require(1 <= self.disk_bytes <= 2**24, f"loop: disk_bytes must be 1..2**24, found {self.disk_bytes}")
        _require(self.first_sector >= 0, f"loop: first_sector must be >= 0, found {self.first_sector}")
        _require(self.num_sectors >= 1, f"loop: num_sectors must be >= 1, found {self.num_sectors}")
        advances = self.disk_frac > 0 or self.work.mean_ns > 0 or self.think.mean_ns > 0
        _require(advances, "loop: it must let time pass, but work, think and disk_frac are 0")


@dataclass(frozen=True)
class Os:
    """A domain with an operating system: it can have devices, or serve them, and runs these programs.

    Attributes:
        service: answers requests, or None.
        loops: processes that compute and use the disk.
        background: it computes whenever nothing else is to be done.
        memory_pages: pages of 4 KiB that it owns.
        scans_round_robin: pending event channels are looked for from where the last scan ended, and not from the first.
    """

    service: Service | None = None
    loops: tuple[Loop, ...] = ()
    background: bool = False
    memory_pages: int = 16384
    scans_round_robin: bool = False
    kind: ClassVar[str] = "os"

    def __post_init__(self) -> None:
        _require(self.memory_pages >= 1024, f"os: memory_pages must be at least 1024, found {self.memory_pages}")


@dataclass(frozen=True)
class Clients:
    """A population of clients outside.

    Attributes:
        kind: ``closed`` (think, ask, wait), ``open`` (requests at random intervals), ``stream`` (a piece in every
            period), ``flood`` (packets that nobody answers) or ``ping``.
        think: closed: think time; open, flood and ping: time between arrivals; stream: the period (its mean).
        num: clients; open: requests that may wait for an answer at once.
        request_bytes: size of a request or packet.
        deadline_ns: an answer later than this is not in time; 0: none.
        window: packets of a connection on their way at most.
    """

    kind: Literal["closed", "open", "stream", "flood", "ping"]
    think: DistributionSpec
    num: int = 1
    request_bytes: int = 300
    deadline_ns: int = 0
    window: int = 32

    def __post_init__(self) -> None:
        kinds = ("closed", "open", "stream", "flood", "ping")
        _require(self.kind in kinds, f"clients: kind must be one of {', '.join(kinds)}, found {self.kind!r}")
        self.think.check("clients: think")
        _require(
            self.kind == "closed" or self.think.mean_ns >= 1000,
            f"clients: {self.kind}: the mean time between two must be at least 1 us, found {self.think.mean_ns} ns",
        )
        _require(1 <= self.num <= 4096, f"clients: num must be 1..4096, found {self.num}")
        limit = 1500 if self.kind in ("flood", "ping") else 2**20
        _require(
            1 <= self.request_bytes <= limit, f"clients: request_bytes must be 1..{limit}, found {self.request_bytes}"
        )
        _require(self.deadline_ns >= 0, f"clients: deadline_ns must be >= 0, found {self.deadline_ns}")
        _require(1 <= self.window <= 1024, f"clients: window must be 1..1024, found {self.window}")
