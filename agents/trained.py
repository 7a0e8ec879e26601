"""A trained agent as a policy that can be compared with the baselines."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from agents.checkpoint import AGENT_FILES
from xengym.envs.host.env import HostEnv


class TrainedAgent:
    """Chooses the mean of what the actor would draw from, on normalised observations.

    Args:
        model: the actor and critic.
        normaliser: statistics of the observations it was trained on; they are used as they are and not updated.
        name: for tables.
    """

    #: It is judged under the scenario's own scheduler, the one that it was trained on.
    scheduler: str | None = None

    def __init__(self, model: PPO, normaliser: VecNormalize, name: str = "ppo agent") -> None:
        self.name = name
        self._model = model
        self._normaliser = normaliser

    @classmethod
    def load(cls, folder: Path, name: str = "ppo agent") -> TrainedAgent:
        """The agent of a finished run or of a checkpoint.

        Both files hold pickles, and those can run code: load only what you trust.

        Args:
            folder: holds ``model.zip`` and ``vecnormalize.pkl``.
            name: for tables.
        """
        model_file, normaliser_file = (folder / name for name in AGENT_FILES)
        with normaliser_file.open("rb") as file:
            normaliser = pickle.load(file)
        return cls(PPO.load(model_file, device="cpu"), normaliser, name)

    def begin(self, env: HostEnv, seed: int) -> None:
        """Check that the host has the layout the agent was trained on.

        Raises:
            ValueError: observations or actions have another shape.
        """
        for what, trained, given in (
            ("observation", self._model.observation_space, env.observation_space),
            ("action", self._model.action_space, env.action_space),
        ):
            if trained.shape != given.shape:
                raise ValueError(
                    f"{what}: the agent was trained on shape {trained.shape}, this scenario has {given.shape}"
                )

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The box action for an observation, without exploration noise."""
        action, _ = self._model.predict(self._normaliser.normalize_obs(obs), deterministic=True)
        return np.asarray(action, dtype=np.float32)
