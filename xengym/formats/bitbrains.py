"""The Bitbrains traces ("GWA-T-12, rnd"): machines of a hosting centre for businesses, in their original form.

A month is a folder with one file for each machine, ``<number>.csv`` or ``<number>.csv.gz``: a header, then a line
about every 300 s with eleven numbers, separated by a semicolon and a tab. What is odd about them, and what is done:

- The column ``Timestamp [ms]`` holds Unix *seconds*. Readings go to the nearest sample of a grid of 300 s; if several
  meet in one (jitter, or stamps that occur twice), their mean counts. A sample without a reading holds the value
  before it.
- Numbers may be in Java's style (``2.097152E7``).
- The CPU's use exceeds what is provisioned in many machines; it is cut at 100 %. The per cent are computed anew from
  MHz, for what is provisioned may change in the middle.
- Provisioned memory drops to a few KB while a machine is reconfigured: the median counts. So it does for cores and MHz.
- A machine that is switched off has 0 cores and 0 MHz: it cannot be used, and is named in ``VmTraces.left_out``.

Source: S. Shen, V. van Beek and A. Iosup, "Statistical Characterization of Business-Critical Workloads Hosted in Cloud
Datacenters", CCGrid 2015; the Grid Workloads Archive.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xengym.formats.vm_traces import TO_THE_END_S, VmTraces, as_demand, hold_last

SAMPLE_S = 300
SAMPLES_PER_DAY = 288

COLUMNS = (
    "Timestamp [ms]", "CPU cores", "CPU capacity provisioned [MHZ]", "CPU usage [MHZ]", "CPU usage [%]",
    "Memory capacity provisioned [KB]", "Memory usage [KB]", "Disk read throughput [KB/s]",
    "Disk write throughput [KB/s]",
    "Network received throughput [KB/s]", "Network transmitted throughput [KB/s]",
)  # fmt: skip

_FILE = re.compile(r"([0-9]+)\.csv(\.gz)?")
_KB = 1024


class BitbrainsError(ValueError):
    """A file or folder is not in the format. The message begins with ``file:line:`` where a line is at fault."""


@dataclass(frozen=True, eq=False)
class VmMonth:
    """What a file says.

    Attributes:
        name: the file's number.
        readings: ``float64`` of shape ``(lines, 11)``, as in ``COLUMNS``, in the file's order.
    """

    name: str
    readings: NDArray[np.float64]


def load_vm(path: str | Path) -> VmMonth:
    """Read one machine's file.

    Raises:
        BitbrainsError: it does not exist, or is not in the format.
    """
    path = Path(path)
    if not path.is_file():
        raise BitbrainsError(f"{path}: found no file there, expected one of a machine")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BitbrainsError(f"{path}: is not text, or not gzip: {error}") from error
    header = tuple(name.strip() for name in lines[0].split(";")) if lines else ()
    if header != COLUMNS:
        raise BitbrainsError(
            f"{path}:1: found {'; '.join(header)[:80]!r}, expected the header {COLUMNS[0]!r} and so on"
        )
    values = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = [float(word) for word in line.split(";")]
        except ValueError as error:
            raise BitbrainsError(f"{path}:{number}: {error}, expected numbers separated by ';'") from error
        if len(row) != len(COLUMNS):
            raise BitbrainsError(f"{path}:{number}: found {len(row)} numbers, expected {len(COLUMNS)}")
        values.append(row)
    if not values:
        raise BitbrainsError(f"{path}:2: found the end of the file, expected readings")
    readings = np.array(values)
    bad = ~np.isfinite(readings).all(axis=1) | (readings < 0).any(axis=1)
    if bad.any():
        number = int(np.argmax(bad)) + 2
        raise BitbrainsError(f"{path}:{number}: found a number that is negative or not finite, expected none")
    return VmMonth(path.name.split(".")[0], readings)


def find_files(root: str | Path) -> list[Path]:
    """Files of machines at a place, in order of their numbers; of one machine the uncompressed one.

    Args:
        root: a month's folder, or one that holds such folders, itself or in its sub-folder ``bitbrains-rnd``.

    Returns:
        The files of all folders directly under it whose files are named so; empty if there are none.
    """
    root = Path(root)
    folders = [root, *sorted(p for p in root.glob("*") if p.is_dir()), *sorted((root / "bitbrains-rnd").glob("*"))]
    found: dict[int, Path] = {}
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            match = _FILE.fullmatch(path.name)
            if match is not None and (int(match[1]) not in found or not match[2]):
                found[int(match[1])] = path
    return [found[number] for number in sorted(found)]


def load_traces(files: list[Path], *, first_day: int = 0, days: int = 7) -> VmTraces:
    """Read machines onto one grid.

    Args:
        files: one for each machine.
        first_day: where to begin, in days after the earliest reading of all.
        days: how many.

    Raises:
        BitbrainsError: a file is malformed, or no machine can be used.
    """
    machines = [load_vm(path) for path in files]
    if not machines:
        raise BitbrainsError("found no file of a machine, expected at least one")
    start_s = min(float(machine.readings[:, 0].min()) for machine in machines) + 86_400 * first_day
    num_samples = SAMPLES_PER_DAY * days
    rows, names, sizes, left_out = [], [], [], []
    for machine in machines:
        readings = machine.readings
        mhz, cores = float(np.median(readings[:, 2])), round(float(np.median(readings[:, 1])))
        if mhz <= 0 or cores < 1:
            left_out.append(f"{machine.name}: switched off (0 cores or 0 MHz)")
            continue
        sample = np.rint((readings[:, 0] - start_s) / SAMPLE_S).astype(np.int64)
        inside = (sample >= 0) & (sample < num_samples)
        if not inside.any():
            left_out.append(f"{machine.name}: no reading in these days")
            continue
        capacity = np.maximum(readings[:, 2], 1e-9)
        pct = np.where(readings[:, 2] > 0, 100.0 * readings[:, 3] / capacity, 0.0)
        count = np.bincount(sample[inside], minlength=num_samples)
        total = np.bincount(sample[inside], weights=pct[inside], minlength=num_samples)
        rows.append(as_demand(hold_last(total / np.maximum(count, 1), count > 0)))
        names.append(machine.name)
        sent = float(readings[inside, 10].mean()) * _KB
        sizes.append((cores, mhz, int(np.median(readings[:, 5])) * _KB, sent))
    if not rows:
        raise BitbrainsError(f"{files[0].parent}: no machine can be used: {'; '.join(left_out)}")
    table = np.array(sizes)
    return VmTraces(
        name=f"bitbrains-day{first_day}-{first_day + days - 1}",
        vm_names=tuple(names),
        demand=np.stack(rows),
        vcpus=table[:, 0].astype(np.int32),
        mhz=table[:, 1],
        memory_bytes=table[:, 2].astype(np.int64),
        sent_bytes_per_s=table[:, 3],
        created_s=np.zeros(len(rows), np.int64),
        deleted_s=np.full(len(rows), TO_THE_END_S, np.int64),
        left_out=tuple(left_out),
    )
