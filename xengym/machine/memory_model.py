"""How programs write to their memory: typed descriptions, and presets fitted to published measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xengym.machine.migration_state import WORKING_SET_DTYPE

PAGE_BYTES = 4096
PATTERNS = ("random", "sweep")
MAX_REGIONS = 8


@dataclass(frozen=True)
class Region:
    """Pages that are written alike.

    Attributes:
        pages: how many, of 4096 bytes.
        writes_per_s: page writes in a second in which the domain runs as it would alone.
        pattern: each write goes to any page (``random``), or it is written through again and again (``sweep``).
        stun_after: write faults in a round of a migration after which the process that owns it is stunned; 0: never.
    """

    pages: int
    writes_per_s: float = 0.0
    pattern: Literal["random", "sweep"] = "random"
    stun_after: int = 0

    def __post_init__(self) -> None:
        if self.pages < 1 or self.writes_per_s < 0 or self.stun_after < 0:
            raise ValueError(f"region: pages must be positive and rates not negative, found {self}")
        if self.pattern not in PATTERNS:
            raise ValueError(f"region: pattern must be one of {', '.join(PATTERNS)}, found {self.pattern!r}")


@dataclass(frozen=True)
class MemoryModel:
    """A domain's memory: regions, and pages that its operating system does not use.

    Attributes:
        regions: at most 8.
        free_pages: beside them.
    """

    regions: tuple[Region, ...]
    free_pages: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.regions) <= MAX_REGIONS:
            raise ValueError(f"memory: expected 1..{MAX_REGIONS} regions, found {len(self.regions)}")
        if self.free_pages < 0:
            raise ValueError(f"memory: free_pages must not be negative, found {self.free_pages}")

    @property
    def pages(self) -> int:
        """All of the domain's pages."""
        return sum(region.pages for region in self.regions) + self.free_pages

    def write_to(self, record: Any) -> None:
        """Fill a ``WORKING_SET_DTYPE`` record; nothing is dirty."""
        record[()] = np.zeros((), dtype=WORKING_SET_DTYPE)
        record["num_regions"] = len(self.regions)
        record["free_pages"] = self.free_pages
        for i, region in enumerate(self.regions):
            record["pages"][i] = region.pages
            record["writes_per_s"][i] = region.writes_per_s
            record["pattern"][i] = PATTERNS.index(region.pattern)
            record["stun_after"][i] = region.stun_after

    def record(self) -> NDArray[Any]:
        """A ``WORKING_SET_DTYPE`` array of shape ``(1,)`` in which nothing is dirty."""
        record = np.zeros(1, dtype=WORKING_SET_DTYPE)
        self.write_to(record[0:1].reshape(()))
        return record

    def scaled(self, pages: int) -> MemoryModel:
        """The same shape in a domain of ``pages`` pages: every region grows in proportion, at the same rate a page."""
        factor = pages / self.pages
        regions = tuple(
            Region(max(1, round(r.pages * factor)), r.writes_per_s * factor, r.pattern, r.stun_after)
            for r in self.regions
        )
        return MemoryModel(regions, max(0, pages - sum(region.pages for region in regions)))
