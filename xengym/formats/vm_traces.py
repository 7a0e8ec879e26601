"""What all traces of virtual machines become: CPU demand on one grid of time, and sizes where they are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xengym.formats.planetlab import SAMPLE_S, Day

#: ``VmTraces.demand`` holds so many parts of a machine's whole CPU: hundredths of a per cent.
DEMAND_ONE = 10_000

#: A machine that is there to the end of the trace.
TO_THE_END_S = -1


@dataclass(frozen=True, eq=False)
class VmTraces:
    """Demand of several machines over one stretch of time.

    Attributes:
        name: what it is, for tables.
        vm_names: one for each machine.
        demand: ``uint16`` of shape ``(machines, samples)``, hundredths of a per cent of the machine's CPU.
        vcpus: ``int32`` of shape ``(machines,)``; 0: not known.
        mhz: ``float64``, of all its vCPUs together; 0: not known.
        memory_bytes: ``int64``; 0: not known.
        sent_bytes_per_s: ``float64``, mean of what it sends to the network; 0: nothing, or not known.
        created_s: ``int64``, when it comes, in seconds from the first sample; 0: it is there from the beginning.
        deleted_s: ``int64``, when it goes, or ``TO_THE_END_S``.
        sample_s: length of a sample.
        left_out: machines of the source that cannot be used, each with its reason.
    """

    name: str
    vm_names: tuple[str, ...]
    demand: NDArray[np.uint16]
    vcpus: NDArray[np.int32]
    mhz: NDArray[np.float64]
    memory_bytes: NDArray[np.int64]
    sent_bytes_per_s: NDArray[np.float64]
    created_s: NDArray[np.int64]
    deleted_s: NDArray[np.int64]
    sample_s: int = SAMPLE_S
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        num = len(self.vm_names)
        if num == 0 or self.demand.ndim != 2 or self.demand.shape[0] != num or self.demand.shape[1] == 0:
            raise ValueError(f"{self.name}: expected demand of {num} machines, found shape {self.demand.shape}")
        if self.demand.dtype != np.uint16 or int(self.demand.max()) > DEMAND_ONE:
            raise ValueError(
                f"{self.name}: expected demand as uint16 up to {DEMAND_ONE}, found {self.demand.dtype} up to "
                f"{self.demand.max()}"
            )
        for field in ("vcpus", "mhz", "memory_bytes", "sent_bytes_per_s", "created_s", "deleted_s"):
            if getattr(self, field).shape != (num,):
                raise ValueError(f"{self.name}: expected {field} of shape ({num},), found {getattr(self, field).shape}")
        view = self.demand.view()
        view.flags.writeable = False
        object.__setattr__(self, "demand", view)

    @property
    def num_vms(self) -> int:
        """Number of machines."""
        return len(self.vm_names)

    @property
    def mean_pct(self) -> NDArray[np.float64]:
        """``float64`` of shape ``(machines,)``: mean demand of each, per cent."""
        means: NDArray[np.float64] = self.demand.mean(axis=1) * (100.0 / DEMAND_ONE)
        return means

    @classmethod
    def of_day(cls, day: Day) -> Self:
        """A PlanetLab day; nothing is known of the machines but their demand."""
        num = day.num_vms
        return cls(
            name=day.name,
            vm_names=day.vm_names,
            demand=day.cpu_pct.astype(np.uint16) * 100,
            vcpus=np.zeros(num, np.int32),
            mhz=np.zeros(num),
            memory_bytes=np.zeros(num, np.int64),
            sent_bytes_per_s=np.zeros(num),
            created_s=np.zeros(num, np.int64),
            deleted_s=np.full(num, TO_THE_END_S, np.int64),
        )


def as_demand(pct: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Per cent as hundredths of a per cent; what is above 100 % is cut."""
    demand: NDArray[np.uint16] = np.rint(np.clip(pct, 0.0, 100.0) * (DEMAND_ONE / 100.0)).astype(np.uint16)
    return demand


def hold_last(values: NDArray[np.float64], is_known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fill what is not known with the value before it; at the beginning, with the first one known.

    Args:
        values: ``(samples,)``.
        is_known: likewise; at least one is.
    """
    place = np.where(is_known, np.arange(len(values)), -1)
    place = np.maximum.accumulate(place)
    place[place < 0] = int(np.argmax(is_known))
    filled: NDArray[np.float64] = values[place]
    return filled
