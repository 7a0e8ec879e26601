"""What a disk is like: how long it takes to move its heads, to turn and to transfer, each figure with its source."""

from __future__ import annotations

from dataclasses import dataclass, fields

MAX_DEPTH = 128
MAX_SECTORS = 2**32


@dataclass(frozen=True)
class DiskModel:
    """A disk with one set of heads. Sectors have 512 bytes.

    A request that continues the one before takes command and transfer only. Any other one takes command, seek, on
    average half a turn, and transfer. The seek over a part x of the disk takes
    ``seek_min + (seek_max - seek_min) * sqrt(x)``: the shape of short and middle seeks in Ruemmler and Wilkes, "An
    introduction to disk drive modeling", IEEE Computer 1994; that it holds for long ones as well is a simplification.

    The defaults are a 10,000 rpm SCSI disk of about 2002, the class that Barham et al. 2003 used: 6 ms a turn from the
    name, 0.5 ms to the next track and 4.7 ms on average from data sheets of that time, from memory (over uniformly
    random distances the mean of sqrt(x) is 8/15, hence 8.4 ms over the whole disk); 60 MB/s assumed, as are the rest.

    Attributes:
        num_sectors: size.
        seek_min_us: seek to the next track.
        seek_max_us: seek over the whole disk.
        rotation_us: one turn; the part of it that a request waits is drawn uniformly.
        transfer_mb_per_s: transfer, in 10**6 bytes.
        command_us: taking in a command and answering it.
        depth: requests that disk and queue before it hold at most.
        batch: requests of one device that the elevator takes into one sweep, while other devices have some.
    """

    num_sectors: int = 71_000_000
    seek_min_us: int = 500
    seek_max_us: int = 8_400
    rotation_us: int = 6_000
    transfer_mb_per_s: int = 60
    command_us: int = 100
    depth: int = 64
    batch: int = 8

    def __post_init__(self) -> None:
        highest = {"num_sectors": MAX_SECTORS, "depth": MAX_DEPTH, "batch": MAX_DEPTH}
        for field in fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name.endswith("_us") else 1
            most = highest.get(field.name, 10**6)
            if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= most:
                raise ValueError(f"disk: {field.name} must be an integer {lowest}..{most}, found {value!r}")
        if self.seek_max_us < self.seek_min_us:
            raise ValueError(f"disk: seek_max_us {self.seek_max_us} is less than seek_min_us {self.seek_min_us}")

    @property
    def ns_per_mib(self) -> int:
        """Time to transfer 2**20 bytes, in ns."""
        return 2**20 * 1000 // self.transfer_mb_per_s


#: Presets by the name that configurations use.
DISKS = {"scsi_10k": DiskModel()}
