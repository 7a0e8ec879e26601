"""A host's whole state at one instant, as something to keep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.policies.schedulers.api import Scheduler


class PolicyState:
    """A scheduler with its whole state at one instant.

    Attributes:
        scheduler: the scheduling policy, for what it is; its own state may be another by now.
        block: copy of its arena, ``uint8`` of shape ``(num_bytes,)``.
        extra: what else it goes on from (policies written in Python); None if nothing.
    """

    __slots__ = ("block", "extra", "scheduler")

    def __init__(self, scheduler: Scheduler, block: NDArray[np.uint8], extra: Any) -> None:
        self.scheduler = scheduler
        self.block = block
        self.extra = extra

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PolicyState)
            and (self.scheduler.name, self.scheduler.version) == (other.scheduler.name, other.scheduler.version)
            and self.block.tobytes() == other.block.tobytes()
            and self.extra == other.extra
        )

    __hash__ = None  # type: ignore[assignment]


class Snapshot:
    """A host's whole state at one instant; restore it into the same host or one built alike.

    Attributes:
        block: copy of the machine's and the guests' state, ``uint8`` of shape ``(num_bytes,)``.
        policies: ``PolicyState`` of each cpupool's scheduler, by number of the pool; None where there is no such pool.
        programs: immutable program data of each guest kind.
        domain_names: names by domain slot.
        seed: the episode's seed.
    """

    __slots__ = ("block", "domain_names", "policies", "programs", "seed")

    def __init__(
        self,
        block: NDArray[np.uint8],
        policies: list[PolicyState | None],
        programs: list[Any],
        domain_names: dict[int, str],
        seed: int,
    ) -> None:
        self.block = block
        self.policies = policies
        self.programs = programs
        self.domain_names = domain_names
        self.seed = seed

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Snapshot)
            and self.block.tobytes() == other.block.tobytes()
            and self.policies == other.policies
        )

    __hash__ = None  # type: ignore[assignment]
