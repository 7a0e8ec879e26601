"""Clusters by name: those that come with the package, and files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from xengym.scenarios.cluster_config import ClusterConfig, parse_cluster
from xengym.scenarios.config import ScenarioError, read_yaml

CLUSTERS_DIR = Path(__file__).resolve().parent / "clusters"


def cluster_names() -> list[str]:
    """Names of the clusters that come with the package, sorted."""
    return sorted(path.stem for path in CLUSTERS_DIR.glob("*.yaml"))


@lru_cache(maxsize=64)
def _load_cached(path: Path, modified_ns: int) -> ClusterConfig:
    return parse_cluster(read_yaml(path), str(path))


def load_cluster(cluster: str | Path | ClusterConfig) -> ClusterConfig:
    """A cluster by name or from a YAML file.

    Args:
        cluster: one of ``cluster_names()``, a path to a YAML file, or a finished configuration.

    Raises:
        ScenarioError: no such name or file, or its content is wrong.
    """
    if isinstance(cluster, ClusterConfig):
        return cluster
    path = Path(cluster)
    if path.suffix not in (".yaml", ".yml"):
        if str(cluster) not in cluster_names():
            raise ScenarioError(
                f"unknown cluster {str(cluster)!r}; expected a path to a .yaml file or one of "
                f"{', '.join(cluster_names())}"
            )
        path = CLUSTERS_DIR / f"{cluster}.yaml"
    if not path.is_file():
        raise ScenarioError(f"{path}: no such scenario file")
    return _load_cached(path, path.stat().st_mtime_ns)


def is_cluster(scenario: str | Path) -> bool:
    """Whether a scenario's name or file is a cluster's; a file that cannot be read is none."""
    path = Path(scenario)
    if path.suffix not in (".yaml", ".yml"):
        return str(scenario) in cluster_names()
    try:
        data = read_yaml(path)
    except ScenarioError:
        return False
    return isinstance(data, dict) and data.get("kind") == "cluster"
