"""What is ordered when a domain moves to another site: disk, line, who is connected, and what changes meanwhile."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.move_spec import BYTES_PER_MBIT, MoveSpec
from xengym.machine.memory_model import MemoryModel
from xengym.machine.wide_area_state import (
    CLIENT_DTYPE,
    CONDITION_DTYPE,
    DECIDERS,
    DISK_DTYPE,
    LINE_DTYPE,
    REDIRECTION_DTYPE,
)
from xengym.units import ms_to_ns, s_to_ns

MAX_EXTENTS = 8
MAX_CONDITIONS = 64
#: Beyond it an exponential draw may not fit into 64 bits of nanoseconds.
MAX_THINK_S = 1e7
MIB = 1 << 20


@dataclass(frozen=True)
class Extent:
    """A range of blocks that are written alike.

    Attributes:
        mib: its size.
        writes_per_s: blocks written in a second in which nobody holds the writer up, anywhere in it.
    """

    mib: float
    writes_per_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.mib > 0 or self.writes_per_s < 0:
            raise ValueError(f"extent: mib must be positive and writes_per_s not negative, found {self}")


@dataclass(frozen=True)
class DiskSpec:
    """A disk that moves along, and how writes to it are recorded (Bradford et al., VEE 2007).

    Attributes:
        extents: in the order in which they lie on it, at most 8.
        block_bytes: of a block, the unit of a write.
        header_bytes: of a delta beside its block: place and size; assumed.
        apply_mib_per_s: at which the destination applies deltas; assumed.
        bulk_mbit_per_s: limit of the bulk copy; 0: none.
        record_overhead_frac: of the domain's speed while writes are recorded; "few per cent" (from memory), so assumed.
        threshold_writes: so many are recorded before writes are held up.
        delay_ms: each by so long; 0: never.
    """

    extents: tuple[Extent, ...]
    block_bytes: int = 4096
    header_bytes: int = 16
    apply_mib_per_s: float = 30.0
    bulk_mbit_per_s: float = 0.0
    record_overhead_frac: float = 0.02
    threshold_writes: int = 0
    delay_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.extents) <= MAX_EXTENTS:
            raise ValueError(f"disk: expected 1..{MAX_EXTENTS} extents, found {len(self.extents)}")
        if self.block_bytes < 1 or not self.apply_mib_per_s > 0 or not 0 <= self.record_overhead_frac < 1:
            raise ValueError(
                "disk: block_bytes and apply_mib_per_s must be positive and record_overhead_frac in [0, 1), "
                f"found {self}"
            )
        if min(self.header_bytes, self.bulk_mbit_per_s, self.threshold_writes, self.delay_ms) < 0:
            raise ValueError(f"disk: nothing may be negative, found {self}")

    @property
    def blocks(self) -> int:
        """Of all extents."""
        return sum(self._blocks(extent) for extent in self.extents)

    @property
    def image_bytes(self) -> int:
        """Of all extents."""
        return self.blocks * self.block_bytes

    def _blocks(self, extent: Extent) -> int:
        return max(1, round(extent.mib * MIB / self.block_bytes))

    def record(self) -> NDArray[Any]:
        """A ``DISK_DTYPE`` array of shape ``(1,)`` of which nothing is copied."""
        record = np.zeros(1, dtype=DISK_DTYPE)
        for name in ("block_bytes", "header_bytes", "record_overhead_frac", "threshold_writes"):
            record[name] = getattr(self, name)
        record["apply_bytes_per_s"] = self.apply_mib_per_s * MIB
        record["bulk_bytes_per_s"] = self.bulk_mbit_per_s * BYTES_PER_MBIT
        record["delay_ns"] = ms_to_ns(self.delay_ms)
        record["num_extents"] = len(self.extents)
        for i, extent in enumerate(self.extents):
            record["extent_blocks"][0, i] = self._blocks(extent)
            record["extent_writes_per_s"][0, i] = extent.writes_per_s
        return record


@dataclass(frozen=True)
class LineSpec:
    """The line between the two hosts.

    Attributes:
        mbit_per_s: its rate.
        delay_ms: one way.
        own_share_frac: of the line, that the move gets at least where others want all of it; half, as of two equal
            flows; assumed.
        limit_mbit_per_s: of the whole move; 0: none.
        window_bytes: that may be on their way without an acknowledgement; 0: no such limit.
        patience_s: the move gives up when the line has been down for so long; assumed.
    """

    mbit_per_s: float
    delay_ms: float = 0.1
    own_share_frac: float = 0.5
    limit_mbit_per_s: float = 0.0
    window_bytes: int = 0
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.mbit_per_s > 0 or not 0 <= self.own_share_frac <= 1 or not self.patience_s > 0:
            raise ValueError(
                f"line: mbit_per_s and patience_s must be positive and own_share_frac in [0, 1], found {self}"
            )
        if min(self.delay_ms, self.limit_mbit_per_s, self.window_bytes) < 0:
            raise ValueError(f"line: nothing may be negative, found {self}")

    def record(self) -> NDArray[Any]:
        """A ``LINE_DTYPE`` array of shape ``(1,)``."""
        record = np.zeros(1, dtype=LINE_DTYPE)
        record["bytes_per_s"] = self.mbit_per_s * BYTES_PER_MBIT
        record["limit_bytes_per_s"] = self.limit_mbit_per_s * BYTES_PER_MBIT
        record["delay_ns"] = ms_to_ns(self.delay_ms)
        record["patience_ns"] = s_to_ns(self.patience_s)
        record["own_share_frac"] = self.own_share_frac
        record["window_bytes"] = self.window_bytes
        return record


@dataclass(frozen=True)
class AudienceSpec:
    """Clients of the domain, and how they find it after the move. All assumed unless said otherwise.

    Attributes:
        num_clients: each has one connection at a time.
        think_s: mean time between two.
        exchanges: of a connection, mean.
        exchange_ms: of one exchange, on the direct way.
        extra_ms: that the way through the tunnel adds.
        keeps_address: the move stays inside a subnet.
        has_tunnel: from the old address to the new place (Bradford); without it old connections are lost.
        tunnel_ms: to set it up.
        dns_ms: after the start until the name points to the new address.
        ttl_s: for so long may a resolver keep an answer.
        timeout_s: a connection that hears nothing for longer is given up; 15 retransmissions of Linux's TCP.
    """

    num_clients: int = 0
    think_s: float = 5.0
    exchanges: float = 10.0
    exchange_ms: float = 200.0
    extra_ms: float = 100.0
    keeps_address: bool = False
    has_tunnel: bool = True
    tunnel_ms: float = 50.0
    dns_ms: float = 500.0
    ttl_s: float = 5.0
    timeout_s: float = 924.0

    def __post_init__(self) -> None:
        if not 0 <= self.num_clients <= 4096 or not self.exchanges >= 1 or not self.exchange_ms >= 0.001:
            raise ValueError(
                f"audience: expected num_clients in 0..4096, exchanges of 1 or more and exchange_ms of 0.001 or more, "
                f"found {self}"
            )
        if self.think_s > MAX_THINK_S:
            raise ValueError(f"audience: think_s must be at most {MAX_THINK_S}, found {self.think_s}")
        if min(self.think_s, self.extra_ms, self.tunnel_ms, self.dns_ms, self.ttl_s, self.timeout_s) < 0:
            raise ValueError(f"audience: nothing may be negative, found {self}")

    def record(self) -> NDArray[Any]:
        """A ``REDIRECTION_DTYPE`` array of shape ``(1,)``; the domain is where it was."""
        record = np.zeros(1, dtype=REDIRECTION_DTYPE)
        for name in ("num_clients", "exchanges", "keeps_address", "has_tunnel"):
            record[name] = getattr(self, name)
        for name in ("tunnel", "dns", "extra", "exchange"):
            record[f"{name}_ns"] = ms_to_ns(getattr(self, f"{name}_ms"))
        for name in ("ttl", "timeout", "think"):
            record[f"{name}_ns"] = s_to_ns(getattr(self, f"{name}_s"))
        for name in ("moved", "tunnel_up", "tunnel_down", "name_updated", "last_old_end"):
            record[f"{name}_{'ns' if name == 'last_old_end' else 'at_ns'}"] = -1
        return record

    def clients(self) -> NDArray[Any]:
        """A ``CLIENT_DTYPE`` array of at least one client; nobody has begun."""
        return np.zeros(max(1, self.num_clients), dtype=CLIENT_DTYPE)


@dataclass(frozen=True)
class ConditionSpec:
    """What holds from an instant on.

    Attributes:
        from_s: since the beginning; the first must be 0.
        write_factor: writes to the disk, in times those of the extents.
        memory_factor: activity of the domain's memory.
        competing_mbit_per_s: that others want of the line.
        line_factor: of the line's rate that there is; 0: it is down.
    """

    from_s: float = 0.0
    write_factor: float = 1.0
    memory_factor: float = 1.0
    competing_mbit_per_s: float = 0.0
    line_factor: float = 1.0

    def __post_init__(self) -> None:
        if min(self.from_s, self.write_factor, self.memory_factor, self.competing_mbit_per_s, self.line_factor) < 0:
            raise ValueError(f"condition: nothing may be negative, found {self}")


@dataclass(frozen=True)
class WideSpec:
    """A whole move to another site.

    Attributes:
        move: the engine's part; two crossings of the line are added to the request and to the acknowledgement.
        memory: of the domain.
        disk: that moves along (``move.has_disk``), or that both sides share.
        line: between the sites.
        audience: who is connected.
        conditions: what changes meanwhile, in order of time, at most 64.
        decides: ``rules`` (the engine's, after each round of memory) or ``request`` (somebody outside).
        freezes: the domain stands still from the first block on (freeze-and-copy); ``move.kind`` must be ``stop``.
        seed: of the clients' random numbers.
    """

    move: MoveSpec
    memory: MemoryModel
    disk: DiskSpec
    line: LineSpec
    audience: AudienceSpec = field(default_factory=AudienceSpec)
    conditions: tuple[ConditionSpec, ...] = (ConditionSpec(),)
    decides: str = "rules"
    freezes: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.conditions) <= MAX_CONDITIONS or self.conditions[0].from_s != 0:
            raise ValueError(f"move: expected 1..{MAX_CONDITIONS} conditions, the first from 0 s on")
        times = [condition.from_s for condition in self.conditions]
        if any(a >= b for a, b in itertools.pairwise(times)):
            raise ValueError(f"move: conditions must be in order of time, found {times}")
        if self.decides not in DECIDERS:
            raise ValueError(f"move: decides must be one of {', '.join(DECIDERS)}, found {self.decides!r}")
        if self.freezes and self.move.kind != "stop":
            raise ValueError(f"move: a frozen domain is moved by kind 'stop', found {self.move.kind!r}")

    def condition_records(self) -> NDArray[Any]:
        """A ``CONDITION_DTYPE`` array of shape ``(len(conditions),)``."""
        records = np.zeros(len(self.conditions), dtype=CONDITION_DTYPE)
        for record, condition in zip(records, self.conditions, strict=True):
            record["from_ns"] = s_to_ns(condition.from_s)
            record["competing_bytes_per_s"] = condition.competing_mbit_per_s * BYTES_PER_MBIT
            for name in ("write_factor", "memory_factor", "line_factor"):
                record[name] = getattr(condition, name)
        return records
