"""The folder of a training run: what is in it, what it says about itself, and who may write there.

- ``config.yaml``: what the run is
- ``manifest.json``: what it ran with: seeds, versions, commit, demand
- ``checkpoints/``: the newest two, to resume from
- ``tensorboard/``: curves while it runs
- ``curve.csv``: the learning curve
- ``model.zip``, ``vecnormalize.pkl``: the agent, once the run is finished
"""

from __future__ import annotations

import csv
import fcntl
import importlib.metadata
import io
import json
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.checkpoint import AGENT_FILES, Row, newest_checkpoint
from agents.config import TrainConfig, dump_train_config, load_train_config
from xengym.formats.files import write_whole
from xengym.scenarios.build import demand_source, needs_demand
from xengym.scenarios.library import RANDOM, RANDOM_IO, RANDOM_MEMORY, load_scenario

#: May differ between a run and its resumption: none of them changes what a step does.
_FREE_TO_CHANGE = ("total_steps", "num_threads", "checkpoint_every_steps")

_LOCK = ".lock"

_PACKAGES = ("xengym", "gymnasium", "numpy", "stable_baselines3", "torch")


class RunFolderError(RuntimeError):
    """A run folder cannot be used as asked; the message says what to do."""


class RunFolder:
    """One run's folder.

    Args:
        path: of the folder; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.manifest_file = path / "manifest.json"
        self.checkpoints = path / "checkpoints"
        self.tensorboard = path / "tensorboard"
        self.curve_file = path / "curve.csv"

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.config_file.exists()

    @property
    def is_abandoned(self) -> bool:
        """Whether a run was about to begin here and never did."""
        begun = (_LOCK, self.manifest_file.name, self.config_file.name)
        return not self.exists and all(path.name.startswith(begun) for path in self.path.iterdir())

    @property
    def is_finished(self) -> bool:
        """Whether the agent was saved at the end of a run."""
        return all((self.path / name).exists() for name in AGENT_FILES)

    def reopen(self) -> None:
        """Training goes on: what was the run's end is no longer."""
        for name in AGENT_FILES:
            (self.path / name).unlink(missing_ok=True)

    def begin(self, config: TrainConfig) -> None:
        """Make the folder of a new run.

        Raises:
            RunFolderError: there is something already.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path} is not a folder: give another --out")
        if self.exists:
            raise RunFolderError(
                f"{self.path} holds a run already: go on with --resume, give another --out, or remove it"
            )
        if self.path.exists() and not self.is_abandoned:
            raise RunFolderError(f"{self.path} is not empty and holds no run: give another --out")
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.manifest_file, json.dumps(manifest(config), indent=2) + "\n")
        # Last: a folder with a configuration is one that can be resumed.
        write_whole(self.config_file, dump_train_config(config))

    def resume(self, config: TrainConfig, *, total_steps: int | None = None) -> TrainConfig:
        """Check that a run can go on here as what it was.

        Args:
            config: as asked for now.
            total_steps: new end of the run; None: as begun.

        Returns:
            The run's own configuration, with the values of ``config`` that make no difference to its steps.

        Raises:
            RunFolderError: there is no run, or it was begun with another configuration or demand.
        """
        if not self.exists:
            raise RunFolderError(f"{self.path} holds no run to resume: start one without --resume")
        begun = load_train_config(self.config_file)
        differences = _differences(begun.model_dump(mode="json"), config.model_dump(mode="json"))
        if differences:
            raise RunFolderError(
                f"{self.path} was begun with {', '.join(differences)}: undo the change, or start another run with --out"
            )
        was, now = json.loads(self.manifest_file.read_text(encoding="utf-8"))["demand"], describe_demand(config)
        if was != now:
            raise RunFolderError(f"{self.path} was begun with {was}; now there is {now}: name the same --data")
        resumed = begun.changed(
            total_steps=total_steps,
            num_threads=config.num_threads,
            checkpoint_every_steps=config.checkpoint_every_steps,
        )
        write_whole(self.config_file, dump_train_config(resumed))
        return resumed

    def changed_versions(self) -> list[str]:
        """Packages that are no longer what the run was begun with: results may differ in the last bits."""
        begun = json.loads(self.manifest_file.read_text(encoding="utf-8"))["versions"]
        return [f"{name} {begun.get(name)} -> {now}" for name, now in _versions().items() if begun.get(name) != now]

    def agent_folder(self) -> Path:
        """Where the agent's files are: the run's end, else its newest checkpoint.

        Raises:
            RunFolderError: there is no agent yet.
        """
        if self.is_finished:
            return self.path
        newest = newest_checkpoint(self.checkpoints)
        if newest is None:
            raise RunFolderError(f"{self.path} holds no trained agent: expected the folder of a run of agents.train")
        return newest

    def write_curve(self, rows: list[Row]) -> None:
        """Write the learning curve, one line a rollout; the file is replaced whole."""
        text = io.StringIO()
        if rows:
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        write_whole(self.curve_file, text.getvalue())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training here; the system ends this with the process, however it ends.

        Raises:
            RunFolderError: another process trains here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunFolderError(f"{self.path}: another process is training here") from error
            yield


def describe_demand(config: TrainConfig) -> str:
    """One line on where the domains' CPU demand comes from."""
    if config.scenario == RANDOM or (
        config.scenario not in (RANDOM_IO, RANDOM_MEMORY) and needs_demand(load_scenario(config.scenario))
    ):
        return demand_source(config.data).description
    return "no trace: no domain of this scenario replays one"


def manifest(config: TrainConfig) -> dict[str, Any]:
    """What a run is made with, as plain data."""
    return {
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
        "episodes": {"training": "drawn from the split 'train'", "held out": "the split 'test' is never drawn from"},
        "demand": describe_demand(config),
        "versions": _versions(),
        "commit": _commit(),
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    return versions | {name: importlib.metadata.version(name) for name in _PACKAGES}


def _commit() -> str | None:
    """The commit of the checkout this file is in, with a mark if something in it was changed; None if there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _differences(begun: dict[str, Any], asked: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in begun.items():
        if prefix + key in _FREE_TO_CHANGE:
            continue
        if isinstance(value, dict):
            found += _differences(value, asked[key], f"{prefix}{key}.")
        elif value != asked[key]:
            found.append(f"{prefix}{key} = {value!r} (now {asked[key]!r})")
    return found
