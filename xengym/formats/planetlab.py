"""The PlanetLab CPU-utilisation traces, in their original form.

One day is a folder ``YYYYMMDD/``. Every file in it is one VM (a PlanetLab slice on a node, named
``<node>_<slice>``; no extension, and the name may hold a SPACE). A file has no header and exactly 288 lines,
each one integer 0 to 100: the CPU utilisation in percent over 300 s. The VM's size, its memory and the time
of day of the first line are not recorded.

Reading is strict: whatever is not exactly that is an error which names the file and the line, because a trace
read wrongly looks just like a trace read rightly. Only three liberties are taken. Lines may end in CR LF (a
checkout on Windows rewrites them), the last line may lack its line end, and sub-folders and files whose name
starts with a dot are no VMs.

Source: the CoMon monitoring data of PlanetLab, March and April 2011, as distributed with CloudSim; described
in A. Beloglazov and R. Buyya, "Optimal Online Deterministic Algorithms and Adaptive Heuristics for Energy and
Performance Efficient Dynamic Consolidation of Virtual Machines in Cloud Data Centers", Concurrency and
Computation: Practice and Experience 24(13), 2012.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_S = 300
"""Seconds that one sample covers."""

SAMPLES_PER_DAY = 288
"""Samples of one VM in one day: 24 h of 300 s."""

MAX_CPU_PCT = 100
"""The largest utilisation in the format. The traces themselves stop at 99."""

# A table of the 101 legal lines is both the strictest parser (no sign, blank, underscore or leading zero gets
# through, as int() would let them) and the fastest one.
_PCT_OF_LINE = {str(pct): pct for pct in range(MAX_CPU_PCT + 1)}
_LINE_OF_PCT = tuple(f"{pct}\n" for pct in range(MAX_CPU_PCT + 1))
_PLAIN_INTEGER = re.compile(r"-?[1-9][0-9]*")
_DAY_NAME = re.compile(r"[0-9]{8}")
_SHOWN_CHARACTERS = 40


class PlanetLabError(ValueError):
    """A file, folder or ``Day`` is not in the PlanetLab format.

    The message begins with ``file:line:`` where a line is at fault, otherwise with the path or the day.
    """


@dataclass(frozen=True, eq=False)
class Day:
    """The utilisation of many VMs over one day.

    Two days are equal only if they are the same object: compare the fields to compare the contents.

    Attributes:
        name: name of the day, ``YYYYMMDD`` for the traces.
        vm_names: names of the VMs, strictly ascending, each usable as a file name.
        cpu_pct: (num_vms, 288) uint8, percent 0..100 of the VM's CPU; row i is ``vm_names[i]``. Held as a
            read-only view, as one day is shared by all the environments that replay it.
    """

    name: str
    vm_names: tuple[str, ...]
    cpu_pct: NDArray[np.uint8]  # (num_vms, SAMPLES_PER_DAY)

    def __post_init__(self) -> None:
        """Check the fields against each other.

        Raises:
            PlanetLabError: there is no VM, a name cannot be a file of a day folder, the names are not
                strictly ascending, or ``cpu_pct`` has another shape, dtype or range.
        """
        if not self.vm_names:
            raise PlanetLabError(f"day {self.name!r}: found no VM, expected at least one")
        for vm_name in self.vm_names:
            if not vm_name or vm_name.startswith(".") or "/" in vm_name or "\0" in vm_name:
                raise PlanetLabError(
                    f"day {self.name!r}: found VM name {vm_name!r}, expected a file name without "
                    "'/' or NUL that does not start with a dot"
                )
        for before, after in zip(self.vm_names, self.vm_names[1:], strict=False):
            if before >= after:
                raise PlanetLabError(
                    f"day {self.name!r}: found VM {before!r} before {after!r}, expected different names in "
                    "ascending order"
                )
        expected_shape = (len(self.vm_names), SAMPLES_PER_DAY)
        if self.cpu_pct.shape != expected_shape or self.cpu_pct.dtype != np.uint8:
            raise PlanetLabError(
                f"day {self.name!r}: found cpu_pct of shape {self.cpu_pct.shape} and dtype "
                f"{self.cpu_pct.dtype}, expected {expected_shape} and uint8"
            )
        highest_pct = int(self.cpu_pct.max())
        if highest_pct > MAX_CPU_PCT:
            raise PlanetLabError(
                f"day {self.name!r}: found a utilisation of {highest_pct} %, expected 0 to {MAX_CPU_PCT}"
            )
        view = self.cpu_pct.view()
        view.flags.writeable = False
        object.__setattr__(self, "cpu_pct", view)

    @property
    def num_vms(self) -> int:
        """Number of VMs, the length of ``vm_names``."""
        return len(self.vm_names)


def load_vm(path: str | Path) -> NDArray[np.uint8]:
    """Read the file of one VM.

    Args:
        path: the file.

    Returns:
        (288,) uint8, CPU utilisation in percent, one value for every 300 s.

    Raises:
        PlanetLabError: there is no such file, it is not UTF-8, a line is not an integer 0 to 100, or there
            are more or fewer than 288 lines (for a short file the message names the line after the last one).
        OSError: the file exists and cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        found = "something that is not a file" if path.exists() else "nothing"
        raise PlanetLabError(f"{path}: found {found} there, expected the file of one VM")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_number = content.count(b"\n", 0, error.start) + 1
        raise PlanetLabError(
            f"{path}:{line_number}: found byte 0x{content[error.start]:02x}, which is not UTF-8, expected an "
            f"integer from 0 to {MAX_CPU_PCT}"
        ) from error
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        # What follows the line end of the last line, not a line.
        lines.pop()
    cpu_pct = np.empty(SAMPLES_PER_DAY, dtype=np.uint8)
    try:
        values = [_PCT_OF_LINE[line] for line in lines[:SAMPLES_PER_DAY]]
    except KeyError:
        raise _bad_line(path, lines) from None
    if len(values) < SAMPLES_PER_DAY:
        raise PlanetLabError(
            f"{path}:{len(lines) + 1}: found the end of the file after {len(lines)} lines, expected "
            f"{SAMPLES_PER_DAY} lines"
        )
    if len(lines) > SAMPLES_PER_DAY:
        raise PlanetLabError(
            f"{path}:{SAMPLES_PER_DAY + 1}: found {_shown(lines[SAMPLES_PER_DAY])} ({len(lines)} lines in "
            f"all), expected the end of the file after {SAMPLES_PER_DAY} lines"
        )
    cpu_pct[:] = values
    return cpu_pct


def load_day(folder: str | Path, *, limit: int | None = None) -> Day:
    """Read the folder of one day.

    Args:
        folder: the day folder. Every file in it is a VM, except names that start with a dot; sub-folders are
            passed over.
        limit: read only the first ``limit`` VMs in the order of their names; all of them if None or if there
            are fewer.

    Returns:
        The day, named as the folder, with its VMs in ascending order of their names.

    Raises:
        PlanetLabError: there is no such folder, it has no VM file, or one of the files read is not as
            ``load_vm`` expects.
        ValueError: ``limit`` is below 1.
        OSError: the folder or a file exists and cannot be read.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected at least 1, or None for all VMs")
    folder = Path(folder)
    _require_folder(folder, "the folder of one day, YYYYMMDD")
    vm_names = _vm_names(folder)
    if not vm_names:
        raise PlanetLabError(f"{folder}: found no VM file in the folder, expected one file per VM")
    vm_names = vm_names[:limit]
    cpu_pct = np.stack([load_vm(folder / vm_name) for vm_name in vm_names])
    # Made absolute, as "." and ".." have no name of their own.
    return Day(name=Path(os.path.abspath(folder)).name, vm_names=tuple(vm_names), cpu_pct=cpu_pct)


def find_days(root: str | Path) -> list[Path]:
    """Find the day folders at a place.

    A day folder has a name of 8 digits and holds at least one file whose name does not start with a dot; the
    files are not opened.

    Args:
        root: a day folder, or a folder that holds day folders, itself or in a sub-folder ``planetlab``.

    Returns:
        ``[root]`` if ``root`` is a day folder; otherwise the day folders directly under ``root`` and under
        ``root/planetlab``, in ascending order of day and then of path; empty if there is none.

    Raises:
        PlanetLabError: ``root`` is not a folder.
        OSError: a folder exists and cannot be read.
    """
    root = Path(root)
    _require_folder(root, "a folder of day folders YYYYMMDD")
    if _is_day(root):
        return [root]
    days = [
        child
        for parent in (root, root / "planetlab")
        if parent.is_dir()
        for child in parent.iterdir()
        if _is_day(child)
    ]
    return sorted(days, key=lambda day: (day.name, day))


def save_day(day: Day, folder: str | Path) -> None:
    """Write a day as a folder of VM files, the form that ``load_day`` reads.

    The files are written in a temporary folder beside the target which is renamed at the end: the target is
    either absent or whole, even if the writing is interrupted.

    Args:
        day: what to write. Its ``name`` is not written: reading takes the name of the folder.
        folder: the folder to create. ``find_days`` needs a name of 8 digits.

    Raises:
        FileExistsError: there is something at ``folder`` already.
        FileNotFoundError: the folder that is to hold ``folder`` does not exist.
        OSError: writing failed.
    """
    target = Path(os.path.abspath(folder))
    if os.path.lexists(target):
        raise FileExistsError(f"{target}: exists already, expected a new folder (nothing is overwritten)")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: found no folder there, expected one to hold {target.name}")
    with tempfile.TemporaryDirectory(prefix=".planetlab-", dir=target.parent) as temporary:
        # A folder inside, because the temporary one is readable by its owner only.
        written = Path(temporary) / target.name
        written.mkdir()
        for vm_name, row in zip(day.vm_names, day.cpu_pct.tolist(), strict=True):
            # "x": on a file system that takes two of the names for the same, fail instead of losing a VM.
            with open(written / vm_name, "x", encoding="ascii", newline="\n") as file:
                file.write("".join([_LINE_OF_PCT[pct] for pct in row]))
        written.rename(target)


def _require_folder(path: Path, expected: str) -> None:
    """Raise PlanetLabError unless there is a folder at ``path``; ``expected`` says what it should hold."""
    if not path.is_dir():
        found = "something that is not a folder" if path.exists() else "nothing"
        raise PlanetLabError(f"{path}: found {found} there, expected {expected}")


def _vm_names(folder: Path) -> list[str]:
    """Return the names of the VM files of a day folder in ascending order.

    Whatever is neither a folder nor a dotfile is listed, so that a broken link is an error when it is read
    and not a VM silently missing.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not (entry.name.startswith(".") or entry.is_dir()))


def _is_day(path: Path) -> bool:
    """Return whether ``path`` is a folder with a name of 8 digits that holds a VM file."""
    name = Path(os.path.abspath(path)).name
    return _DAY_NAME.fullmatch(name) is not None and path.is_dir() and bool(_vm_names(path))


def _bad_line(path: Path, lines: list[str]) -> PlanetLabError:
    """Return the error for the first of ``lines`` that is not an integer 0 to 100; there must be one."""
    line_number, line = next((number, line) for number, line in enumerate(lines, start=1) if line not in _PCT_OF_LINE)
    if _PLAIN_INTEGER.fullmatch(line):
        found = f"{_shown(line)}, which is out of range"
    elif line.strip():
        found = f"{_shown(line)}, which is not a plain decimal integer"
    else:
        found = "a blank line"
    return PlanetLabError(f"{path}:{line_number}: found {found}, expected an integer from 0 to {MAX_CPU_PCT}")


def _shown(line: str) -> str:
    """Return a line quoted for a message, cut when it is long (the file may be no text at all)."""
    return repr(line if len(line) <= _SHOWN_CHARACTERS else line[:_SHOWN_CHARACTERS] + "...")
