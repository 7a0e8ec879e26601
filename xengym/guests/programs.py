"""What a vCPU may run: typed, immutable descriptions of guest programs (CPU side)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from xengym.machine.memory_model import MemoryModel, Region
from xengym.machine.privilege import OPERATIONS
from xengym.sim.random import DistributionSpec

MS_NS = 1_000_000


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class Hog:
    """Always wants to run."""

    kind: ClassVar[str] = "hog"


@dataclass(frozen=True)
class Periodic:
    """Uses ``run_ns`` of CPU time, then blocks until the next instant ``offset_ns + k period_ns`` (k >= 0).

    Instants that pass while it runs are skipped. The first job starts when the vCPU does.

    Attributes:
        run_ns: CPU time of one job, at least 1.
        period_ns: at least 1.
        offset_ns: absolute simulated time, >= 0.
    """

    run_ns: int
    period_ns: int
    offset_ns: int = 0
    kind: ClassVar[str] = "periodic"

    def __post_init__(self) -> None:
        _require(self.run_ns >= 1, f"periodic: run_ns must be >= 1, found {self.run_ns}")
        _require(self.period_ns >= 1, f"periodic: period_ns must be >= 1, found {self.period_ns}")
        _require(self.offset_ns >= 0, f"periodic: offset_ns must be >= 0, found {self.offset_ns}")


@dataclass(frozen=True)
class WorkList:
    """A closed loop of ``(run_ns, block_ns)`` pairs: so much CPU time, then blocked for so long.

    A block of 0 goes straight on; -1 yields the CPU instead of blocking. After the last pair it starts over, or
    blocks for ever.
    """

    pairs_ns: tuple[tuple[int, int], ...]
    loop: bool = True
    kind: ClassVar[str] = "list"

    def __post_init__(self) -> None:
        _require(len(self.pairs_ns) > 0, "list: at least one [run, block] pair is needed, found none")
        for i, (run_ns, block_ns) in enumerate(self.pairs_ns):
            _require(run_ns >= 0, f"list: pair {i}: run must be >= 0 ns, found {run_ns}")
            _require(block_ns >= -1, f"list: pair {i}: block must be >= 0 ns, or -1 to yield, found {block_ns}")
        if self.loop:
            advances = any(run_ns > 0 or block_ns > 0 for run_ns, block_ns in self.pairs_ns)
            _require(advances, "list: a looping list must let time pass, but all runs and blocks are 0")


@dataclass(frozen=True)
class OnOff:
    """Alternates CPU work and blocking, each of random length from a named distribution (closed loop)."""

    on: DistributionSpec
    off: DistributionSpec
    kind: ClassVar[str] = "onoff"

    def __post_init__(self) -> None:
        self.on.check("onoff: on")
        self.off.check("onoff: off")
        _require(self.on.mean_ns > 0, "onoff: on must have a mean above 0")


@dataclass(frozen=True)
class Server:
    """An open-arrival server: requests arrive whatever its state, queue first come first served, and are answered.

    The domain's vCPUs share the queue. A request's response time runs from its arrival to the end of its work.

    Attributes:
        arrival: time between requests.
        service: CPU time of one request.
    """

    arrival: DistributionSpec
    service: DistributionSpec
    kind: ClassVar[str] = "server"

    def __post_init__(self) -> None:
        self.arrival.check("server: arrival")
        self.service.check("server: service")
        _require(self.arrival.mean_ns >= 1, "server: arrival must have a mean of at least 1 ns")
        _require(self.service.mean_ns >= 1, "server: service must have a mean of at least 1 ns")


@dataclass(frozen=True, eq=False)
class Replay:
    """Demand from a utilisation trace: every ``job_period_ns`` each vCPU is given its share of that time as work.

    Work not done in time queues up, so demand is what the trace says whatever the domain gets.

    Attributes:
        cpu_pct: percent of one vCPU, one value per sample, ``uint8`` of shape ``(num_samples,)``; repeats at its end.
        sample_ns: length of a sample in simulated time.
        job_period_ns: how finely a sample's demand is spread.
        first_sample: where in the trace to begin.
        spread: 0: each job has exactly its share; otherwise the standard deviation of the logarithm of a lognormal
            factor with mean 1, so that demand is bursty with the same mean.
    """

    cpu_pct: NDArray[np.uint8]
    sample_ns: int = 300_000 * MS_NS
    job_period_ns: int = 20 * MS_NS
    first_sample: int = 0
    spread: float = 0.0
    kind: ClassVar[str] = "replay"

    def __post_init__(self) -> None:
        size = len(self.cpu_pct)
        _require(size > 0, "replay: the trace has no samples")
        _require(int(self.cpu_pct.max()) <= 100, "replay: cpu_pct must be 0..100")
        _require(self.sample_ns >= 1, f"replay: sample_ns must be >= 1, found {self.sample_ns}")
        _require(self.job_period_ns >= 100, f"replay: job_period_ns must be >= 100, found {self.job_period_ns}")
        _require(
            0 <= self.first_sample < size, f"replay: first_sample must be 0..{size - 1}, found {self.first_sample}"
        )
        _require(0 <= self.spread <= 4, f"replay: spread must be 0..4, found {self.spread}")


@dataclass(frozen=True)
class Process:
    """Operations of a guest's kernel, one burst after the other; each costs what the domain's type makes it cost.

    Attributes:
        mix: ``(operation, weight)``; names are those of ``machine.privilege.OPERATIONS``. A burst is of one operation,
            drawn by weight.
        ops_per_s: operations in a second; 0: as many as it gets CPU for.
        burst_ops: operations in a burst. One piece of work; a small one costs the simulation time, not the guest.
        user_ns: CPU time of the program itself beside each operation.
    """

    mix: tuple[tuple[str, float], ...]
    ops_per_s: float = 0.0
    burst_ops: int = 16
    user_ns: int = 0
    kind: ClassVar[str] = "process"

    def __post_init__(self) -> None:
        _require(len(self.mix) > 0, "process: at least one operation is needed, found none")
        names = [name for name, _ in self.mix]
        for name, weight in self.mix:
            _require(
                name in OPERATIONS, f"process: unknown operation {name!r}; expected one of {', '.join(OPERATIONS)}"
            )
            _require(names.count(name) == 1, f"process: operation {name!r} is named {names.count(name)} times")
            _require(0 < weight < float("inf"), f"process: the weight of {name} must be above 0, found {weight}")
        _require(0 <= self.ops_per_s <= 1e9, f"process: ops_per_s must be 0..1e9, found {self.ops_per_s}")
        _require(1 <= self.burst_ops <= 1_000_000, f"process: burst_ops must be 1..1000000, found {self.burst_ops}")
        _require(0 <= self.user_ns <= 10**12, f"process: user_ns must be 0..1e12, found {self.user_ns}")


#: Loads that do nothing but ask: a shell script's mill of processes; the fork bomb and the toucher of memory of the
#: isolation experiment of Barham et al. 2003, section 4.3 (it gives no rates: each takes all the CPU it is given).
PROCESS_PRESETS: dict[str, Process] = {
    "fork_and_fault": Process((("fork", 1.0), ("page_fault", 4.0), ("context_switch", 2.0))),
    "fork_bomb": Process((("fork", 1.0),), burst_ops=4),
    "memory_toucher": Process((("page_fault", 0.95), ("mmap", 0.05)), burst_ops=64),
}


#: CPU time of xenbaked for one trace record: 900 ns. Assumed, FITTED: with `machine.costs.MONITOR_RECORD_NS` a web load
#: of some 3000 executions a second then costs the 1 to 2 % of a CPU that XenMon's README claims.
XENBAKED_RECORD_NS = 900

#: And for a sample whatever it holds, its wake-up and the display's part: 100 us. Assumed.
XENBAKED_SAMPLE_NS = 100_000


@dataclass(frozen=True)
class Xenbaked:
    """The process in Dom0 that turns XenMon's trace records into samples: wakes every period, works through what came.

    Attributes:
        period_ns: length of a sample; they end at its multiples.
        record_ns: CPU time for one record.
        sample_ns: and for the sample itself, at least 1.
    """

    period_ns: int = 100 * MS_NS
    record_ns: int = XENBAKED_RECORD_NS
    sample_ns: int = XENBAKED_SAMPLE_NS
    kind: ClassVar[str] = "xenbaked"

    def __post_init__(self) -> None:
        _require(self.period_ns >= 1, f"xenbaked: period_ns must be >= 1, found {self.period_ns}")
        _require(self.record_ns >= 0, f"xenbaked: record_ns must be >= 0, found {self.record_ns}")
        _require(self.sample_ns >= 1, f"xenbaked: sample_ns must be >= 1, found {self.sample_ns}")


#: Most phases that a program's demand for memory goes through.
MAX_PHASES = 16


def hot_and_cold(pages: int, hot_frac: float, hot_touch_frac: float) -> MemoryModel:
    """A working set in two regions; ``writes_per_s`` are the parts of all touches.

    Args:
        pages: of the whole.
        hot_frac: part of them that is hot.
        hot_touch_frac: part of touches that goes there.
    """
    hot = max(1, min(pages - 1, round(hot_frac * pages)))
    return MemoryModel((Region(hot, hot_touch_frac), Region(pages - hot, 1 - hot_touch_frac)))


@dataclass(frozen=True)
class Memory:
    """Requests that need CPU time and memory (``guests.memory_worker``).

    Attributes:
        arrival: time between requests.
        service: CPU time of one request, page faults apart.
        phases: ``(length_ns, pages)``: the working set through time, round and round.
        model: how touches are spread over the working set; its sizes and rates count in proportion.
        touches: different pages that a request touches.
        spread: the phases' lengths are uniform in mean * (1 - spread) .. mean * (1 + spread).
        starts_anywhere: it begins at a random place of the round.
        write_frac: of evicted pages, those that have to be written to the swap disk.
    """

    arrival: DistributionSpec
    service: DistributionSpec
    phases: tuple[tuple[int, int], ...]
    model: MemoryModel
    touches: int = 64
    spread: float = 0.0
    starts_anywhere: bool = False
    write_frac: float = 0.5
    kind: ClassVar[str] = "memory"

    def __post_init__(self) -> None:
        self.arrival.check("memory: arrival")
        self.service.check("memory: service")
        _require(self.arrival.mean_ns >= 1, "memory: arrival must have a mean of at least 1 ns")
        _require(self.service.mean_ns >= 1, "memory: service must have a mean of at least 1 ns")
        _require(
            1 <= len(self.phases) <= MAX_PHASES, f"memory: phases must be 1..{MAX_PHASES}, found {len(self.phases)}"
        )
        for i, (length_ns, pages) in enumerate(self.phases):
            _require(length_ns >= 1, f"memory: phase {i} must be longer than 0 ns, found {length_ns}")
            _require(1 <= pages <= 2**30, f"memory: phase {i} must have 1..2**30 pages, found {pages}")
        touched = [region.writes_per_s for region in self.model.regions]
        _require(sum(touched) > 0, "memory: model must have a region that is touched")
        _require(1 <= self.touches <= 10**6, f"memory: touches must be 1..1000000, found {self.touches}")
        _require(0 <= self.spread <= 1, f"memory: spread must be 0..1, found {self.spread}")
        _require(0 <= self.write_frac <= 1, f"memory: write_frac must be 0..1, found {self.write_frac}")


ProgramSpec = Hog | Periodic | WorkList | OnOff | Server | Replay | Process | Xenbaked | Memory
