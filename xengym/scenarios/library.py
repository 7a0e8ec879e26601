"""Scenarios by name: those that come with the package, files, and numbered random ones."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from xengym.scenarios.config import NAMED_SCENARIOS_DIR, ScenarioConfig, ScenarioError, load_scenario_file

#: The name that stands for a random scenario, drawn anew for each episode (``generator.py``).
RANDOM = "random"

#: The same for a random scenario with devices (``io_generator.py``).
RANDOM_IO = "random-io"

#: The same for a random scenario with balloons (``memory_generator.py``).
RANDOM_MEMORY = "random-memory"


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the package, sorted."""
    return sorted(path.stem for path in NAMED_SCENARIOS_DIR.glob("*.yaml"))


@lru_cache(maxsize=64)
def _load_cached(path: Path, modified_ns: int) -> ScenarioConfig:
    return load_scenario_file(path)


def load_scenario(scenario: str | Path | ScenarioConfig) -> ScenarioConfig:
    """A scenario by name or from a YAML file.

    Args:
        scenario: one of ``scenario_names()``, a path to a YAML file, or a finished configuration.

    Raises:
        ScenarioError: no such name or file, or its content is wrong.
    """
    if isinstance(scenario, ScenarioConfig):
        return scenario
    path = Path(scenario)
    if path.suffix not in (".yaml", ".yml"):
        path = NAMED_SCENARIOS_DIR / f"{scenario}.yaml"
        if str(scenario) not in scenario_names():
            names = ", ".join([*scenario_names(), RANDOM, RANDOM_IO, RANDOM_MEMORY])
            raise ScenarioError(
                f"unknown scenario {str(scenario)!r}; expected a path to a .yaml file or one of {names}"
            )
    if not path.is_file():
        raise ScenarioError(f"{path}: no such scenario file")
    return _load_cached(path, path.stat().st_mtime_ns)
