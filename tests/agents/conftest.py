"""A training run small enough for a test."""

import pytest

from agents.config import parse_train_config

TINY = {
    "name": "tiny",
    "num_envs": 2,
    "total_steps": 512,
    "ppo": {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "gamma": 0.98},
    "network": {"pi": [8], "vf": [8]},
    "normalise": {"norm_obs": True, "norm_reward": True},
    "checkpoint_every_steps": 128,
    "eval": {"every_steps": 256, "num_episodes": 2},
}


@pytest.fixture
def tiny_config(monkeypatch):
    """Four rollouts of two hosts, with a checkpoint after each, on generated demand."""
    monkeypatch.delenv("XENGYM_DATA", raising=False)
    return parse_train_config(TINY, "tiny")


@pytest.fixture
def tiny_file(tiny_config, tmp_path):
    """The same as a file."""
    from agents.config import dump_train_config

    path = tmp_path / "tiny.yaml"
    path.write_text(dump_train_config(tiny_config))
    return path
