"""The Azure Public Dataset's traces of virtual machines, V1 (2017) and V2 (2019), in their original form.

Two kinds of files, plain or gzipped. *Readings*: ``timestamp, id, min, max, avg`` of the CPU's use in per cent, a
line every 300 s, timestamps in seconds from the beginning. *Tables*: a line for each machine with ``id, subscription,
deployment, created, deleted, max, avg, 95th percentile of max, category, cores, memory in GB``. The publisher's files
have no header; selections made by others have one, which is recognised by its first word, and may have further
columns, which are ignored.

V1 has exact cores and memory. V2 has buckets, the last ones open: ``>24`` cores are taken as 32 and ``>64`` GB as 128
(assumed: the next sizes on offer). V1 spells a category ``Unkown``; it becomes ``Unknown``. Identifiers
contain ``/``, ``+`` and ``=``.

Source: E. Cortez et al., "Resource Central", SOSP 2017; the data are published under CC-BY-4.0.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from xengym.formats.vm_traces import TO_THE_END_S, VmTraces, as_demand, hold_last

SAMPLE_S = 300
READING_COLUMNS = 5
TABLE_COLUMNS = 11
LONGEST_HOLE = 12
"""Samples without any reading after which the traces end."""
_HEADERS = ("timestamp", "vm_id", "vmid")
_OPEN_CORES = {">24": 32}
_OPEN_GB = {">64": 128.0}
_GIB = 1 << 30


class AzureError(ValueError):
    """A file is not in the format. The message begins with ``file:line:`` where a line is at fault."""


@dataclass(frozen=True)
class Machine:
    """A line of a table.

    Attributes:
        vm: identifier.
        created_s: from the beginning of the trace.
        deleted_s: likewise.
        category: ``Interactive``, ``Delay-insensitive`` or ``Unknown``.
        cores: of its size, or of its bucket.
        memory_gb: likewise.
    """

    vm: str
    created_s: int
    deleted_s: int
    category: str
    cores: int
    memory_gb: float


def _lines(path: Path, num_columns: int) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields of a file, without its header."""
    if not path.is_file():
        raise AzureError(f"{path}: found no file there")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise AzureError(f"{path}: is not text, or not gzip: {error}") from error
    for number, fields in enumerate(csv.reader(io.StringIO(text)), start=1):
        if number == 1 and fields and fields[0].strip().lower() in _HEADERS:
            continue
        if not fields:
            continue
        if len(fields) < num_columns:
            raise AzureError(f"{path}:{number}: found {len(fields)} fields, expected at least {num_columns}")
        yield number, fields


def load_table(path: str | Path) -> list[Machine]:
    """Read a table of machines.

    Raises:
        AzureError: no such file, or a line is not in the format.
    """
    path = Path(path)
    machines = []
    for number, fields in _lines(path, TABLE_COLUMNS):
        try:
            machine = Machine(
                vm=fields[0],
                created_s=int(fields[3]),
                deleted_s=int(fields[4]),
                category="Unknown" if fields[8] == "Unkown" else fields[8],
                cores=_OPEN_CORES.get(fields[9]) or int(fields[9]),
                memory_gb=_OPEN_GB.get(fields[10]) or float(fields[10]),
            )
        except ValueError as error:
            raise AzureError(f"{path}:{number}: {error}, expected a machine's line") from error
        if (
            machine.created_s < 0
            or machine.deleted_s < machine.created_s
            or machine.cores < 1
            or machine.memory_gb <= 0
        ):
            raise AzureError(f"{path}:{number}: found {machine}, expected created <= deleted and a positive size")
        machines.append(machine)
    if not machines:
        raise AzureError(f"{path}: found no machine in the table, expected at least one")
    return machines


def load_readings(paths: Iterable[str | Path]) -> dict[str, dict[int, float]]:
    """Read files of readings.

    Returns:
        For each machine, in order of appearance, the mean CPU use in per cent by sample (a number of 300 s). Of two
        readings for one sample the first counts.

    Raises:
        AzureError: no such file, or a line is not in the format.
    """
    readings: dict[str, dict[int, float]] = {}
    for path in map(Path, paths):
        for number, fields in _lines(path, READING_COLUMNS):
            try:
                at_s, lowest, highest, mean = int(fields[0]), *map(float, fields[2:5])
            except ValueError as error:
                raise AzureError(f"{path}:{number}: {error}, expected time, id, min, max and avg") from error
            # The publisher's numbers are rounded in the last digits.
            if at_s < 0 or at_s % SAMPLE_S or not -1e-6 <= lowest <= mean + 1e-4 <= highest + 2e-4 <= 101:
                raise AzureError(
                    f"{path}:{number}: found {fields[0]} s, min {lowest:g}, max {highest:g}, avg {mean:g}; expected a "
                    f"multiple of {SAMPLE_S} s and 0 <= min <= avg <= max <= 100"
                )
            readings.setdefault(fields[1], {}).setdefault(at_s // SAMPLE_S, mean)
    if not readings:
        raise AzureError("found no reading, expected at least one")
    return readings


def find_files(root: str | Path) -> tuple[list[Path], list[Path]]:
    """Files of readings and tables at a place: itself, or its sub-folders ``azure-v2`` and ``azure-v1``.

    Returns:
        Files whose names contain ``readings``, and those whose names contain ``vmtable`` or ``vms``; of the first
        folder with readings.
    """
    root = Path(root)
    for folder in (root, root / "azure-v2", root / "azure-v1"):
        files = sorted(folder.glob("*.csv*")) if folder.is_dir() else []
        readings = [path for path in files if "readings" in path.name]
        if readings:
            return readings, [path for path in files if "vmtable" in path.name or "vms" in path.name]
    return [], []


def load_traces(readings: Iterable[str | Path], tables: Iterable[str | Path] = ()) -> VmTraces:
    """Demand of all machines that have readings, with their sizes and lives as far as the tables know them.

    From a machine's first reading to its last, a sample that is missing holds the value before it. The traces end where
    there is no reading of any machine for more than an hour: a selection of files may hold a few readings of
    later ones.

    Raises:
        AzureError: a file is malformed, or there is no reading.
    """
    by_vm = load_readings(readings)
    known = {machine.vm: machine for path in tables for machine in load_table(path)}
    present = sorted({sample for samples in by_vm.values() for sample in samples})
    holes = [sample for sample, following in pairwise(present) if following - sample > LONGEST_HOLE]
    num_samples = 1 + (holes[0] if holes else present[-1])
    by_vm = {
        vm: kept
        for vm, samples in by_vm.items()
        if (kept := {sample: value for sample, value in samples.items() if sample < num_samples})
    }
    demand = np.zeros((len(by_vm), num_samples), dtype=np.uint16)
    for row, samples in enumerate(by_vm.values()):
        first, last = min(samples), max(samples)
        values, is_known = np.zeros(last - first + 1), np.zeros(last - first + 1, dtype=np.bool_)
        for sample, value in samples.items():
            values[sample - first], is_known[sample - first] = value, True
        demand[row, first : last + 1] = as_demand(hold_last(values, is_known))
    machines = [known.get(vm) for vm in by_vm]
    end_s = num_samples * SAMPLE_S
    return VmTraces(
        name="azure",
        vm_names=tuple(by_vm),
        demand=demand,
        vcpus=np.array([m.cores if m else 0 for m in machines], np.int32),
        mhz=np.zeros(len(machines)),
        memory_bytes=np.array([round(m.memory_gb * _GIB) if m else 0 for m in machines], np.int64),
        sent_bytes_per_s=np.zeros(len(machines)),
        created_s=np.array([m.created_s if m else 0 for m in machines], np.int64),
        deleted_s=np.array([m.deleted_s if m and m.deleted_s < end_s else TO_THE_END_S for m in machines], np.int64),
    )
