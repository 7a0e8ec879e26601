"""Which episode of a cluster comes next: its seed decides which domains there are and what they demand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from xengym.scenarios.cluster_build import Built, build_spec
from xengym.scenarios.cluster_config import ClusterConfig
from xengym.scenarios.cluster_library import load_cluster
from xengym.scenarios.config import ScenarioError
from xengym.scenarios.episodes import SEED_RANGES


class ClusterEpisode(NamedTuple):
    """One episode: what is set up, and the seed all its chance follows from."""

    built: Built
    seed: int


class ClusterEpisodes:
    """Draws episodes of one cluster.

    Args:
        cluster: name, YAML file or configuration.
        split: ``"train"`` or ``"test"``: which range of seeds to draw from.
        data: folder with traces, or None.

    Raises:
        ScenarioError: the cluster or split is unknown or cannot be set up.
    """

    def __init__(self, cluster: str | Path | ClusterConfig, split: str, data: Path | None) -> None:
        if split not in SEED_RANGES:
            raise ScenarioError(f"split must be one of {', '.join(SEED_RANGES)}, found {split!r}")
        self.range = SEED_RANGES[split]
        self.config = load_cluster(cluster)
        self.data = data
        if self.config.arrivals and self.config.max_domains is None:
            raise ScenarioError(
                f"cluster {self.config.name!r}: key 'max_domains': is needed where domains arrive, "
                "so that observations of all episodes have one shape"
            )

    def draw(self, rng: np.random.Generator) -> ClusterEpisode:
        """The next episode of a stream."""
        return self.episode(int(rng.integers(*self.range)))

    def episode(self, seed: int) -> ClusterEpisode:
        """The episode of a given seed, whatever its split."""
        return ClusterEpisode(build_spec(self.config, seed=seed, data=self.data), seed)
