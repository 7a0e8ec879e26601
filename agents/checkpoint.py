"""Checkpoints: everything that decides how a training run goes on, written whole or not at all.

A checkpoint is a folder, ``step-000000204800``. It is taken between two rollouts, when SB3 holds nothing that is half
used. ``model.zip`` and ``vecnormalize.pkl`` are SB3's own files; ``state.pkl`` has the rest: the hosts, the running
statistics SB3 does not save, the states of all random generators and the learning curve.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from agents.batch_vec_env import BatchSnapshot, BatchVecEnv

Row = dict[str, float | int | None]

#: The files of an agent: SB3's model, and the statistics its observations are normalised with.
AGENT_FILES = ("model.zip", "vecnormalize.pkl")

_NUM_KEPT = 2
_PARTIAL = ".partial"


class TrainingState(NamedTuple):
    """What SB3's own files leave out.

    Attributes:
        hosts: the batch.
        normaliser: what ``VecNormalize`` does not pickle, by attribute.
        generators: states of Python's, NumPy's and torch's global random generators.
        pending_log: values SB3's logger has been given and not yet written.
        curve: rows of the learning curve.
    """

    hosts: BatchSnapshot
    normaliser: dict[str, Any]
    generators: tuple[Any, Any, torch.Tensor]
    pending_log: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
    curve: list[Row]


def newest_checkpoint(folder: Path) -> Path | None:
    """The last complete checkpoint in a folder, or None."""
    return max(_complete(folder), default=None)


def save_checkpoint(folder: Path, model: PPO, curve: list[Row]) -> Path:
    """Write a checkpoint; the name appears only when all of it is on disk. Older ones but one are removed.

    Args:
        folder: where checkpoints are.
        model: between two rollouts, on a ``VecNormalize`` over a ``BatchVecEnv``.
        curve: rows of the learning curve so far.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(f"*{_PARTIAL}"):
        shutil.rmtree(left_over)
    target = folder / f"step-{model.num_timesteps:012d}"
    if target.exists():
        return target
    partial = target.with_name(target.name + _PARTIAL)
    partial.mkdir()
    save_agent(partial, model)
    with (partial / "state.pkl").open("wb") as file:
        pickle.dump(_capture(model, curve), file, protocol=pickle.HIGHEST_PROTOCOL)
    for path in partial.iterdir():
        _flush(path)
    _flush(partial)
    partial.rename(target)
    _flush(folder)
    for old in sorted(_complete(folder))[:-_NUM_KEPT]:
        shutil.rmtree(old)
    return target


def load_checkpoint(checkpoint: Path, normaliser: VecNormalize) -> tuple[PPO, TrainingState]:
    """Rebuild the model of a checkpoint and put its environment back to where it was.

    The random generators are left alone: making a model draws from them. Call ``restore_generators`` last.

    Args:
        checkpoint: its folder.
        normaliser: over a fresh ``BatchVecEnv``, made with the same arguments as that of the checkpoint.

    Returns:
        The model and the state that SB3's files leave out.
    """
    with (checkpoint / "state.pkl").open("rb") as file:
        state: TrainingState = pickle.load(file)
    # SB3 would otherwise forget the last observation and reset the environment.
    model = PPO.load(checkpoint / "model.zip", env=normaliser, device="cpu", force_reset=False)
    batch = normaliser.venv
    assert isinstance(batch, BatchVecEnv)
    batch.restore(state.hosts)
    for name, value in state.normaliser.items():
        setattr(normaliser, name, value)
    return model, state


def restore_generators(state: TrainingState) -> None:
    """Put the global random generators back to where they were."""
    python_state, numpy_state, torch_state = state.generators
    random.setstate(python_state)
    np.random.set_state(numpy_state)  # noqa: NPY002  (SB3 draws minibatches from the global generator)
    torch.set_rng_state(torch_state)


def restore_pending_log(model: PPO, state: TrainingState) -> None:
    """Give SB3's logger the values that were waiting to be written (losses of the last update)."""
    values, counts, excluded = state.pending_log
    model.logger.name_to_value.update(values)
    model.logger.name_to_count.update(counts)
    model.logger.name_to_excluded.update(excluded)


def save_agent(folder: Path, model: PPO) -> None:
    """Write what is needed to use an agent; each file is replaced whole."""
    normaliser = model.get_vec_normalize_env()
    assert normaliser is not None
    model_file, normaliser_file = (folder / f"{_PARTIAL}-{name}" for name in AGENT_FILES)
    model.save(model_file)
    normaliser.save(str(normaliser_file))
    for written, name in zip((model_file, normaliser_file), AGENT_FILES, strict=True):
        written.replace(folder / name)


def _capture(model: PPO, curve: list[Row]) -> TrainingState:
    normaliser = model.get_vec_normalize_env()
    assert normaliser is not None
    batch = normaliser.venv
    assert isinstance(batch, BatchVecEnv)
    names = ("returns", "old_obs", "old_reward", "ret_rms", "obs_rms")
    logger = model.logger
    return TrainingState(
        batch.snapshot(),
        {name: getattr(normaliser, name) for name in names if name in vars(normaliser)},
        (random.getstate(), np.random.get_state(), torch.get_rng_state()),  # noqa: NPY002  (as above)
        (dict(logger.name_to_value), dict(logger.name_to_count), dict(logger.name_to_excluded)),
        list(curve),
    )


def _complete(folder: Path) -> list[Path]:
    return [path for path in folder.glob("step-*") if path.suffix != _PARTIAL]


def _flush(path: Path) -> None:
    """Have the system write a file or a folder's entries to disk: a name must not outlive its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
