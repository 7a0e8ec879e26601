"""What is ordered when a domain is moved: the kind of move, the rates, and the times beside the copying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.machine.migration_state import MIGRATION_DTYPE, MOVES
from xengym.policies.control.precopy_rules import LAWS, STOP_RULES
from xengym.units import ms_to_ns

BYTES_PER_MBIT = 125_000


@dataclass(frozen=True)
class MoveSpec:
    """One kind of move. The defaults are Clark et al., NSDI 2005, where it says; else assumed.

    Attributes:
        kind: ``live``, ``stop`` (stop, copy, start again) or ``self`` (the guest copies itself).
        law: how the rate of a round follows (``policies.control.precopy_rules``).
        stop_rule: when to stop and send the rest; Clark's published runs followed the shipped program's.
        min_mbit_per_s: rate of the first round, and least (Clark: 100).
        max_mbit_per_s: most (Clark: 500).
        last_mbit_per_s: of stop-and-copy; None: the most.
        step_mbit_per_s: above the measured dirty rate (Clark: 50).
        max_rounds: of the rule ``rounds``.
        skips_redirtied: leave pages that are dirty again for the next round.
        gives_back_free: balloon free pages out before the first round; none of Clark's published runs did.
        stuns_from_round: stun processes that write too much from this round on; 0: never, as in Clark's published runs.
        request_ms: to ask the destination and have it set memory aside; assumed.
        suspend_ms: to stop the domain; about 18 ms, from Clark's Quake run.
        resume_ms: to set it going at the destination and send the gratuitous ARP; 9 to 40 ms in Clark's runs.
        commit_ms: the destination's acknowledgement; assumed.
        drain_ms: of a bypass device; 0: the domain has none.
        remap_ms: likewise.
        own_pages: of ``self``: pages that the copying itself writes to; assumed.
        own_writes_per_s: of ``self``: how often it does; assumed.
        has_disk: its disk goes first.
    """

    kind: str = "live"
    law: str = "paper"
    stop_rule: str = "shipped"
    min_mbit_per_s: float = 100.0
    max_mbit_per_s: float = 500.0
    last_mbit_per_s: float | None = None
    step_mbit_per_s: float = 50.0
    max_rounds: int = 4
    skips_redirtied: bool = True
    gives_back_free: bool = False
    stuns_from_round: int = 0
    request_ms: float = 1.0
    suspend_ms: float = 18.0
    resume_ms: float = 20.0
    commit_ms: float = 0.2
    drain_ms: float = 0.0
    remap_ms: float = 0.0
    own_pages: int = 256
    own_writes_per_s: float = 20_000.0
    has_disk: bool = False

    def __post_init__(self) -> None:
        for name, known in (("kind", MOVES), ("law", LAWS), ("stop_rule", STOP_RULES)):
            if getattr(self, name) not in known:
                raise ValueError(f"move: {name} must be one of {', '.join(known)}, found {getattr(self, name)!r}")
        if not 0 < self.min_mbit_per_s <= self.max_mbit_per_s:
            raise ValueError(
                "move: expected 0 < min_mbit_per_s <= max_mbit_per_s, "
                f"found {self.min_mbit_per_s} and {self.max_mbit_per_s}"
            )
        if self.last_mbit_per_s is not None and self.last_mbit_per_s <= 0:
            raise ValueError(f"move: last_mbit_per_s must be positive, found {self.last_mbit_per_s}")
        for name in (
            "step_mbit_per_s",
            "request_ms",
            "suspend_ms",
            "resume_ms",
            "commit_ms",
            "drain_ms",
            "remap_ms",
            "own_writes_per_s",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"move: {name} must not be negative, found {getattr(self, name)}")
        if not 1 <= self.max_rounds <= 40 or self.own_pages < 0 or self.stuns_from_round < 0:
            raise ValueError(
                f"move: expected max_rounds 1..40, own_pages and stuns_from_round not negative, found "
                f"{self.max_rounds}, {self.own_pages} and {self.stuns_from_round}"
            )

    def write_to(self, record: Any) -> None:
        """Fill a ``MIGRATION_DTYPE`` record; the move has not begun."""
        record[()] = np.zeros((), dtype=MIGRATION_DTYPE)
        record["kind"] = MOVES.index(self.kind)
        record["law"] = LAWS.index(self.law)
        record["stop_rule"] = STOP_RULES.index(self.stop_rule)
        for name in ("min", "max", "step"):
            record[f"{name}_bytes_per_s"] = getattr(self, f"{name}_mbit_per_s") * BYTES_PER_MBIT
        last = self.max_mbit_per_s if self.last_mbit_per_s is None else self.last_mbit_per_s
        record["last_bytes_per_s"] = last * BYTES_PER_MBIT
        for name in ("request", "suspend", "resume", "commit", "drain", "remap"):
            record[f"{name}_ns"] = ms_to_ns(getattr(self, f"{name}_ms"))
        for name in (
            "max_rounds",
            "skips_redirtied",
            "gives_back_free",
            "stuns_from_round",
            "own_pages",
            "own_writes_per_s",
            "has_disk",
        ):
            record[name] = getattr(self, name)

    def record(self) -> NDArray[Any]:
        """A ``MIGRATION_DTYPE`` array of shape ``(1,)``."""
        record = np.zeros(1, dtype=MIGRATION_DTYPE)
        self.write_to(record[0:1].reshape(()))
        return record
