"""One migration between two sites as a scenario: typed, closed, from YAML by name; episodes differ by their seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, ValidationError, model_validator

from xengym.hypervisor.move_spec import MoveSpec
from xengym.hypervisor.wide_spec import (
    MAX_CONDITIONS,
    MAX_THINK_S,
    AudienceSpec,
    ConditionSpec,
    DiskSpec,
    Extent,
    LineSpec,
    WideSpec,
)
from xengym.machine.memory_model import MAX_REGIONS, PAGE_BYTES, MemoryModel, Region
from xengym.scenarios.closed import Closed, Fraction, NonNegativeMs
from xengym.scenarios.config import ScenarioError, explain, read_yaml
from xengym.scenarios.episodes import SEED_RANGES

MIB = 1 << 20
NAMED_DIR = Path(__file__).parent / "wide_area_named"

#: The name that stands for another migration in each episode.
RANDOM_MOVE = "random"

#: Streams of the random numbers of an episode's phases, and of random scenarios.
_PHASES, _SHAPES = 0xB1, 0xB2

_Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
_NonNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Range = tuple[_NonNegative, _NonNegative]


class RegionConfig(Closed):
    """Memory that is written alike: size, page writes a second, and how (``machine.memory_model.Region``)."""

    mib: _Positive
    writes_per_s: _NonNegative = 0.0
    pattern: Literal["random", "sweep"] = "random"


class MemoryConfig(Closed):
    """A domain's memory: regions, and what its operating system does not use."""

    regions: Annotated[tuple[RegionConfig, ...], Field(min_length=1, max_length=MAX_REGIONS)]
    free_mib: _NonNegative = 0.0


class ExtentConfig(Closed):
    """A range of the disk that is written alike: size, and blocks a second."""

    mib: _Positive
    writes_per_s: _NonNegative = 0.0


class DiskConfig(Closed):
    """The disk that moves along (``hypervisor.wide_spec.DiskSpec``)."""

    extents: Annotated[tuple[ExtentConfig, ...], Field(min_length=1, max_length=8)]
    block_bytes: Annotated[int, Field(ge=512, le=MIB)] = 4096
    apply_mib_per_s: _Positive = 30.0
    record_overhead_frac: Annotated[float, Field(ge=0, lt=1)] = 0.02
    threshold_writes: Annotated[int, Field(ge=0, le=2**40)] = 0


class LineConfig(Closed):
    """The line between the sites (``hypervisor.wide_spec.LineSpec``)."""

    mbit_per_s: _Positive
    delay_ms: NonNegativeMs = 0.1
    own_share_frac: Fraction = 0.5
    window_kib: _NonNegative = 0.0
    patience_s: _Positive = 60.0


class AudienceConfig(Closed):
    """Who is connected (``hypervisor.wide_spec.AudienceSpec``)."""

    num_clients: Annotated[int, Field(ge=0, le=1024)] = 0
    think_s: Annotated[float, Field(ge=0, le=MAX_THINK_S, allow_inf_nan=False)] = 5.0
    exchanges: Annotated[float, Field(ge=1, le=1e6)] = 10.0
    exchange_ms: Annotated[float, Field(ge=1, le=1e9)] = 200.0
    keeps_address: bool = False
    ttl_s: _NonNegative = 5.0
    timeout_s: _Positive = 924.0


class PhasesConfig(Closed):
    """How the surroundings change: phases of random length, each with values drawn evenly from ranges.

    Attributes:
        mean_s: of a phase, exponential; never less than a tenth of it.
        write_factor: writes to the disk, in times those of the extents.
        memory_factor: likewise, of the memory's activity.
        competing_frac: of the line, that others want.
        outage_chance: that the line goes down at the end of a phase.
        outage_s: for so long.
    """

    mean_s: _Positive = 120.0
    write_factor: _Range = (1.0, 1.0)
    memory_factor: _Range = (1.0, 1.0)
    competing_frac: _Range = (0.0, 0.0)
    outage_chance: Fraction = 0.0
    outage_s: _Range = (0.0, 0.0)

    @model_validator(mode="after")
    def _in_order(self) -> PhasesConfig:
        for name in ("write_factor", "memory_factor", "competing_frac", "outage_s"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: expected the lower value first, found [{low}, {high}]")
        return self


class TimesConfig(Closed):
    """What a move takes beside the copying, ms (``hypervisor.move_spec.MoveSpec``)."""

    request_ms: NonNegativeMs = 10.0
    suspend_ms: NonNegativeMs = 18.0
    resume_ms: NonNegativeMs = 20.0
    commit_ms: NonNegativeMs = 0.2


class MoveControlConfig(Closed):
    """How often the agent decides, and after how many decisions the move is given up."""

    interval_s: Annotated[float, Field(ge=0.001, le=3600)] = 10.0
    max_intervals: Annotated[int, Field(ge=1, le=100_000)] = 1000


class MoveRewardConfig(Closed):
    """Weight of each term of the reward (``envs.wan_migration.stepper.MOVE_TERMS``)."""

    downtime: float = 1.0
    time: float = 0.02
    throttling: float = 0.05
    competing: float = 0.1
    traffic: float = 20.0
    lost: float = 50.0
    outcome: float = 100.0


class MoveScenario(Closed):
    """One migration between two sites."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str = ""
    memory: MemoryConfig
    disk: DiskConfig
    line: LineConfig
    audience: AudienceConfig = AudienceConfig()
    phases: PhasesConfig = PhasesConfig()
    times: TimesConfig = TimesConfig()
    control: MoveControlConfig = MoveControlConfig()
    reward: MoveRewardConfig = MoveRewardConfig()

    def conditions(self, seed: int) -> tuple[ConditionSpec, ...]:
        """What changes in the episode of this seed."""
        rng = np.random.default_rng([_PHASES, seed])
        phases = self.phases
        found: list[ConditionSpec] = []
        at_s = 0.0
        while len(found) < MAX_CONDITIONS - 1:
            write, memory, competing = (
                float(rng.uniform(*getattr(phases, name)))
                for name in ("write_factor", "memory_factor", "competing_frac")
            )
            others = competing * self.line.mbit_per_s
            found.append(ConditionSpec(at_s, write, memory, others))
            at_s += max(0.1 * phases.mean_s, float(rng.exponential(phases.mean_s)))
            outage_s = float(rng.uniform(*phases.outage_s))
            if rng.random() < phases.outage_chance and outage_s > 0:
                found.append(ConditionSpec(at_s, write, memory, others, 0.0))
                at_s += outage_s
        if found[-1].line_factor == 0:
            found[-1] = ConditionSpec(found[-1].from_s)
        return tuple(found)

    def spec(self, seed: int) -> WideSpec:
        """The move of one episode; somebody outside decides about rounds and the stop."""
        line, times = self.line, self.times
        regions = tuple(
            Region(max(1, round(region.mib * MIB / PAGE_BYTES)), region.writes_per_s, region.pattern)
            for region in self.memory.regions
        )
        disk = self.disk
        return WideSpec(
            MoveSpec(
                law="constant",
                stop_rule="asked",
                min_mbit_per_s=line.mbit_per_s,
                max_mbit_per_s=line.mbit_per_s,
                has_disk=True,
                **times.model_dump(),
            ),
            MemoryModel(regions, round(self.memory.free_mib * MIB / PAGE_BYTES)),
            DiskSpec(
                tuple(Extent(extent.mib, extent.writes_per_s) for extent in disk.extents),
                block_bytes=disk.block_bytes,
                apply_mib_per_s=disk.apply_mib_per_s,
                record_overhead_frac=disk.record_overhead_frac,
                threshold_writes=disk.threshold_writes,
            ),
            LineSpec(
                line.mbit_per_s,
                line.delay_ms,
                own_share_frac=line.own_share_frac,
                window_bytes=round(line.window_kib * 1024),
                patience_s=line.patience_s,
            ),
            AudienceSpec(extra_ms=2 * line.delay_ms, **self.audience.model_dump()),
            self.conditions(seed),
            "request",
            seed=seed,
        )


def random_move(number: int) -> MoveScenario:
    """The random migration of this number: between sites or inside one, small or large, quiet or busy."""
    rng = np.random.default_rng([_SHAPES, number])
    is_wide = bool(rng.random() < 0.7)
    mbit = float(2 ** rng.uniform(2, 6) if is_wide else 2 ** rng.uniform(6, 10))
    line_mib = mbit / 8.388608  # MiB a second
    memory_mib = float(rng.choice([128, 256, 512, 1024]))
    image_mib = float(2 ** rng.uniform(8, 12))
    hot_mib = float(rng.uniform(0.01, 0.12)) * memory_mib
    warm_mib = float(rng.uniform(0.1, 0.3)) * memory_mib
    # Disk writes, from next to nothing to more than the line carries.
    write_mib = float(line_mib * 10 ** rng.uniform(-2, 0.2))
    busy = float(rng.uniform(0.3, 0.95))
    high = float(rng.uniform(0.0, 0.8))
    hot_writes, warm_writes = float(rng.uniform(200, 6000)), float(rng.uniform(0, 200))
    total_s = (memory_mib + image_mib) / line_mib
    extents = (
        {"mib": busy * image_mib, "writes_per_s": 0.0},
        {"mib": (1 - busy) * image_mib, "writes_per_s": write_mib * 256},
    )
    return MoveScenario.model_validate(
        {
            "name": f"random-{number}",
            "memory": {
                "regions": (
                    {"mib": hot_mib, "writes_per_s": hot_writes},
                    {"mib": warm_mib, "writes_per_s": warm_writes},
                    {"mib": 0.4 * memory_mib},
                ),
                "free_mib": memory_mib - hot_mib - warm_mib - 0.4 * memory_mib,
            },
            "disk": {"extents": extents, "threshold_writes": int(rng.choice([0, 1000, 10_000]))},
            "line": {
                "mbit_per_s": mbit,
                "delay_ms": float(rng.uniform(5, 100) if is_wide else rng.uniform(0.05, 0.5)),
                "patience_s": 120.0,
            },
            "audience": {"num_clients": int(rng.integers(10, 100)), "keeps_address": not is_wide},
            "phases": {
                "mean_s": float(total_s * rng.uniform(0.05, 0.4)),
                "write_factor": (0.2, 2.0),
                "memory_factor": (0.3, 1.2),
                "competing_frac": (0.0, high),
                "outage_chance": 0.05,
                "outage_s": (1.0, 60.0),
            },
            # About a hundred decisions, were the line free and nothing written.
            "control": {"interval_s": round(max(0.1, total_s / 100), 3), "max_intervals": 500},
        }
    )


def move_scenario_names() -> list[str]:
    """Names of the migrations that come with the package, sorted."""
    return sorted(path.stem for path in NAMED_DIR.glob("*.yaml"))


def parse_move_scenario(data: Any, source: str) -> MoveScenario:
    """A scenario from plain data.

    Raises:
        ScenarioError: it is not one; the message names file, key, what was found and what is wrong.
    """
    if not isinstance(data, dict):
        raise ScenarioError(
            f"{source}: expected a mapping with keys name, memory, disk ..., found {type(data).__name__}"
        )
    try:
        return MoveScenario.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(explain(error, source)) from error


def load_move_scenario(scenario: str | Path | MoveScenario) -> MoveScenario:
    """A migration by name or from a YAML file.

    Raises:
        ScenarioError: no such name or file, or its content is wrong.
    """
    if isinstance(scenario, MoveScenario):
        return scenario
    path = Path(scenario)
    if path.suffix not in (".yaml", ".yml"):
        if str(scenario) not in move_scenario_names():
            names = ", ".join([*move_scenario_names(), RANDOM_MOVE])
            raise ScenarioError(
                f"unknown migration {str(scenario)!r}; expected a path to a .yaml file or one of {names}"
            )
        path = NAMED_DIR / f"{scenario}.yaml"
    return parse_move_scenario(read_yaml(path), str(path))


class MoveEpisode(NamedTuple):
    """One episode: what moves, and the seed that all its chance follows from."""

    config: MoveScenario
    seed: int


class MoveEpisodes:
    """Draws episodes of one migration, or of random ones, from disjoint ranges for training and testing.

    Args:
        scenario: name, YAML file, configuration, or ``"random"``.
        split: which range of seeds to draw from.

    Raises:
        ScenarioError: the scenario or split is unknown.
    """

    def __init__(self, scenario: str | Path | MoveScenario, split: str) -> None:
        if split not in SEED_RANGES:
            raise ScenarioError(f"split must be one of {', '.join(SEED_RANGES)}, found {split!r}")
        self.range = SEED_RANGES[split]
        self.fixed = None if str(scenario) == RANDOM_MOVE else load_move_scenario(scenario)

    def draw(self, rng: np.random.Generator) -> MoveEpisode:
        """The next episode of a stream."""
        return self.episode(int(rng.integers(*self.range)))

    def episode(self, seed: int) -> MoveEpisode:
        """The episode of a given seed, whatever its split."""
        return MoveEpisode(self.fixed if self.fixed is not None else random_move(seed), seed)
