"""Where the CPU demand of the domains comes from: a PlanetLab day, or the generator when there is none."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xengym.formats.planetlab import Day, PlanetLabError, find_days, load_day
from xengym.scenarios.synthetic_day import synthesize_day

DATA_VARIABLE = "XENGYM_DATA"
"""Environment variable that names the trace folder; unset or empty means that there is none."""


@dataclass(frozen=True)
class DemandSource:
    """A day of demand and where it comes from.

    Attributes:
        day: the utilisation of the VMs.
        origin: "planetlab" for a trace, "synthetic" for the generator.
        description: one line for the user, so that nobody takes a synthetic day for a measured one.
    """

    day: Day
    origin: Literal["planetlab", "synthetic"]
    description: str


def find_demand(data: Path | None, *, seed: int) -> DemandSource:
    """Find the demand to simulate.

    The trace folder is ``data``; if that is None, the one named by the environment variable ``XENGYM_DATA``.
    With neither, a day is generated. A folder that was named and holds no trace is an error and never
    replaced by the generator, as the results would pass for those of the trace.

    Args:
        data: a PlanetLab day folder, or a folder that holds day folders, itself or in its sub-folder
            ``planetlab``. Of several days the earliest is taken: name a day's own folder to choose another.
        seed: seed of the generated day, 0 or more; no effect on a trace.

    Returns:
        The day, all of its VMs, and its origin.

    Raises:
        PlanetLabError: the folder does not exist, has no day in it, or a file of the day is malformed.
        ValueError: a day is to be generated and ``seed`` is negative.
        OSError: the folder or a file in it cannot be read.
    """
    folder = data
    named_by = ""
    if folder is None and (value := os.environ.get(DATA_VARIABLE)):
        folder = Path(value)
        named_by = f" (named by the environment variable {DATA_VARIABLE})"
    if folder is None:
        day = synthesize_day(seed=seed)
        return DemandSource(
            day=day,
            origin="synthetic",
            description="synthetic day calibrated to the published statistics of PlanetLab 20110303 "
            f"(no trace folder given), {day.num_vms} VMs, seed {seed}",
        )
    if not folder.is_dir():
        raise PlanetLabError(f"{folder}: found no folder there{named_by}, expected one of PlanetLab days")
    days = find_days(folder)
    if not days:
        raise PlanetLabError(
            f"{folder}: found no PlanetLab day in the folder{named_by}, expected a folder YYYYMMDD with one "
            "file per VM: this one, one in it, or one in its sub-folder planetlab"
        )
    day = load_day(days[0])
    return DemandSource(
        day=day,
        origin="planetlab",
        description=f"PlanetLab day {day.name}, {day.num_vms} VMs, from {days[0]}",
    )
