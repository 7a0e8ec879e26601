"""What the hypervisor must know of a guest program: which kind runs it. The rest is the guests' affair."""

from __future__ import annotations

from typing import ClassVar, Protocol


class ProgramSpec(Protocol):
    """A description of what a vCPU runs."""

    kind: ClassVar[str]
