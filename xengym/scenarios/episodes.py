"""Which episode comes next: scenario and seed, from disjoint ranges for training and testing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from xengym.scenarios.build import check_scenario, with_scheduler
from xengym.scenarios.config import ScenarioConfig, ScenarioError, SchedulerConfig
from xengym.scenarios.generator import random_scenario
from xengym.scenarios.io_generator import random_io_scenario
from xengym.scenarios.library import RANDOM, RANDOM_IO, RANDOM_MEMORY, load_scenario
from xengym.scenarios.memory_generator import random_memory_scenario

#: Scenarios that are drawn anew for each episode.
_GENERATORS = {RANDOM: random_scenario, RANDOM_IO: random_io_scenario, RANDOM_MEMORY: random_memory_scenario}

Split = Literal["train", "test"]

#: Episode seeds of each split: ``[low, high)``. No training episode can ever be a test episode.
SEED_RANGES: dict[str, tuple[int, int]] = {"train": (0, 2**62), "test": (2**62, 2**63)}


class Episode(NamedTuple):
    """One episode: what is set up, and the seed all its chance follows from."""

    config: ScenarioConfig
    seed: int


class EpisodeSource:
    """Draws episodes of one scenario, or of random scenarios.

    Args:
        scenario: name, YAML file, configuration, ``"random"``, ``"random-io"`` or ``"random-memory"``.
        split: which range of seeds to draw from.
        data: folder with PlanetLab days, or None.
        scheduler: in place of the scenario's (``build.with_scheduler``).

    Raises:
        ScenarioError: the scenario, split or scheduler is unknown or cannot be set up.
    """

    def __init__(
        self,
        scenario: str | Path | ScenarioConfig,
        split: str,
        data: Path | None,
        scheduler: str | SchedulerConfig | None = None,
    ) -> None:
        if split not in SEED_RANGES:
            raise ScenarioError(f"split must be one of {', '.join(SEED_RANGES)}, found {split!r}")
        self.range = SEED_RANGES[split]
        self.fixed: ScenarioConfig | None = None
        self._scheduler = scheduler
        self._generate = _GENERATORS.get(str(scenario))
        if self._generate is None:
            self.fixed = with_scheduler(load_scenario(scenario), scheduler)
            check_scenario(self.fixed, f"scenario {self.fixed.name!r}", data=data)
        #: A scenario of the shape that all episodes have.
        self.shape = self.fixed if self.fixed is not None else self._random(self.range[0])

    def draw(self, rng: np.random.Generator) -> Episode:
        """The next episode of a stream."""
        return self.episode(int(rng.integers(*self.range)))

    def episode(self, seed: int) -> Episode:
        """The episode of a given seed, whatever its split."""
        return Episode(self.fixed if self.fixed is not None else self._random(seed), seed)

    def _random(self, number: int) -> ScenarioConfig:
        assert self._generate is not None
        return with_scheduler(self._generate(number), self._scheduler)
