"""What moving memory costs: the balloon's hypercalls and the swap disk, each figure with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xengym.machine.disk_model import DiskModel

PAGE_BYTES = 4096
PAGES_PER_MIB = 256

#: Page frames of a host unless said otherwise: 4 GiB.
HOST_PAGES = 1 << 20

#: Page frames that a domain's kernel needs: 8 MiB. The smallest guest of Barham et al. 2003 (section 4.5) had 6.2 MB.
FLOOR_PAGES = 2048

#: Page frames of a host at most: 16 TiB.
MAX_PAGES = 1 << 32

_SWAP_DISK = DiskModel()

#: Part of the disk that the swap partition takes. Assumed: 2 GiB of 36 GB.
_SWAP_PART = 0.06

#: Pages that are written to the swap partition side by side. Assumed, of Linux's order.
_SWAP_CLUSTER = 32


def transfer_ns(disk: DiskModel = _SWAP_DISK) -> int:
    """Time to transfer a page."""
    return disk.ns_per_mib * PAGE_BYTES // 2**20


def swap_in_ns(disk: DiskModel = _SWAP_DISK) -> int:
    """Time of the swap disk to read one page: a random read within the swap partition.

    Command, seek over a random distance within the partition (the mean of sqrt(x) over two random places of a part p is
    8/15 sqrt(p)), half a turn, transfer (``DiskModel``).
    """
    seek_us = disk.seek_min_us + (disk.seek_max_us - disk.seek_min_us) * 8 / 15 * math.sqrt(_SWAP_PART)
    return round(1000 * (disk.command_us + seek_us + disk.rotation_us / 2)) + transfer_ns(disk)


def swap_out_ns(disk: DiskModel = _SWAP_DISK) -> int:
    """Time to write one page: its part of a cluster that is written at one place."""
    return (swap_in_ns(disk) - transfer_ns(disk)) // _SWAP_CLUSTER + transfer_ns(disk)


@dataclass(frozen=True)
class MemoryCosts:
    """Costs of a host's memory, ns.

    Attributes:
        hypercall_ns: entry into Xen and back for a batch of pages. Derived: 1.97 - 0.77 us (Barham et al. 2003,
            table 4, context switch of two processes without data), which includes a change of page-table base.
        page_ns: CPU time of one page of a batch: its entry in the page tables taken out or validated. Derived: half of
            2.73 - 1.42 us (table 5, page fault), which updates an entry within two entries into Xen.
        retry_ns: until a balloon that got nothing asks again: 1 s, as a driver of Xen 3.0 that finds no free frame.
        swap_in_ns: time of the swap disk for one page read. Derived from ``machine.disk_model`` (``swap_in_ns``).
        swap_ahead_ns: for one more page that lies next to it. Derived likewise: its transfer.
        swap_out_ns: for one page written, in clusters. Derived likewise; the cluster is assumed.
    """

    hypercall_ns: int = 1_200
    page_ns: int = 650
    retry_ns: int = 1_000_000_000
    swap_in_ns: int = swap_in_ns()
    swap_ahead_ns: int = transfer_ns()
    swap_out_ns: int = swap_out_ns()

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            lowest = 1 if name == "retry_ns" else 0
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise ValueError(f"memory: {name} must be an integer >= {lowest} (ns), found {value!r}")
