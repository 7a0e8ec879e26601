"""A disk that moves, block by block and message by message: what the compiled model's averages are held against.

One writer, one line, in-order delivery. Every block has a version, the number of the write that made it. The bulk copy
carries the version that it reads; a delta carries its own. Slow and plain on purpose.
"""

from collections import deque
from dataclasses import dataclass, field


@dataclass
class BlockMove:
    """One copy of a disk.

    Attributes:
        num_blocks: of the image.
        block_bytes, header_bytes: of a block, and of a delta beside it.
        bytes_per_s: of the line.
    """

    num_blocks: int
    block_bytes: int
    header_bytes: int
    bytes_per_s: float
    now_s: float = 0.0
    is_line_up: bool = True
    is_recording: bool = True
    writes: int = 0
    next_block: int = 0
    carried_bytes: float = 0.0
    source: list[int] = field(default_factory=list)
    destination: dict[int, int] = field(default_factory=dict)
    queue: deque = field(default_factory=deque)
    waiting: dict[int, list[int]] = field(default_factory=dict)
    applied: list[tuple[int, int]] = field(default_factory=list)
    _sending: tuple | None = None
    _left_bytes: float = 0.0

    def __post_init__(self):
        self.source = [0] * self.num_blocks

    def write(self, block):
        """The domain writes a block: locally, and as a delta."""
        self.writes += 1
        self.source[block] = self.writes
        if self.is_recording:
            self.queue.append((block, self.writes))

    def run(self, dt_s):
        """The line sends for so long: deltas first, then the image in order."""
        left_s = dt_s
        while left_s > 1e-15 and self.is_line_up:
            if self._sending is None and not self._take():
                break
            needed_s = self._left_bytes / self.bytes_per_s
            used_s = min(needed_s, left_s)
            self._left_bytes -= used_s * self.bytes_per_s
            self.carried_bytes += used_s * self.bytes_per_s
            left_s -= used_s
            if self._left_bytes <= 1e-9:
                self._land()
        self.now_s += dt_s

    def cut(self):
        """The line goes down: what is on it is lost, and will be sent again from its beginning."""
        self.is_line_up = False
        if self._sending is not None:
            kind, *what = self._sending
            if kind == "delta":
                self.queue.appendleft(tuple(what))
            else:
                self.next_block -= 1
            self._sending = None

    def mend(self):
        self.is_line_up = True

    @property
    def is_done(self):
        return self.next_block == self.num_blocks and not self.queue and self._sending is None

    @property
    def num_waiting(self):
        return sum(map(len, self.waiting.values()))

    def _take(self):
        if self.queue:
            block, version = self.queue.popleft()
            self._sending = ("delta", block, version)
            self._left_bytes = self.block_bytes + self.header_bytes
        elif self.next_block < self.num_blocks:
            self._sending = ("bulk", self.next_block, self.source[self.next_block])
            self._left_bytes = self.block_bytes
            self.next_block += 1
        else:
            return False
        return True

    def _land(self):
        kind, block, version = self._sending
        self._sending = None
        if kind == "bulk":
            self.destination[block] = version
            for later in self.waiting.pop(block, []):
                self._apply(block, later)
        elif block in self.destination:
            self._apply(block, version)
        else:
            self.waiting.setdefault(block, []).append(version)

    def _apply(self, block, version):
        self.applied.append((block, version))
        self.destination[block] = version
