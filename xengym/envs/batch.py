"""A native batch of hosts: one call steps every host, on as many threads as wanted."""

from __future__ import annotations

import copy
import os
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from xengym.envs.episodic import TERM_NAMES, EnvSnapshot, EpisodicHostEnv
from xengym.envs.stepping import BatchStepper


class BatchedHostEnv(gym.vector.VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """N hosts stepped by one call, bit-identical to N single environments, whatever the number of threads.

    Sub-environment i of ``reset(seed=s)`` is seeded with ``s + i``, as in Gymnasium's own vector environments; pass a
    list for other seeds. An episode that ends is followed by the next one in the same step
    (``AutoresetMode.SAME_STEP``): the observation returned is the new episode's first, the old one's last is in
    ``info["final_obs"]``.

    Args:
        num_envs: number of hosts.
        num_threads: threads to step on; default the CPUs this process may use.
        render_mode: not supported; render a single environment.
        args, kwargs: arguments of the single environment, ``env_class``.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
    env_class: ClassVar[type[EpisodicHostEnv[Any]]]
    batch_class: ClassVar[type[Any]] = BatchStepper

    def __init__(
        self,
        num_envs: int = 1,
        *args: Any,
        num_threads: int | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, found {num_envs}")
        if num_threads is None:
            num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, found {num_threads}")
        if render_mode is not None:
            raise ValueError(f"a batch does not render; make a single environment for render_mode={render_mode!r}")
        self.render_mode = None
        self.num_envs = num_envs
        self.envs = [self.env_class(*args, **kwargs) for _ in range(num_envs)]
        first = self.envs[0]
        self.single_action_space = first.action_space
        self.single_observation_space = first.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.batch = self.batch_class([env.stepper for env in self.envs], num_threads)
        self._action_dtype = np.int64 if first.stepper.takes_integers else np.float32
        self._num_actions = first.stepper.num_actions
        self._everywhere = np.ones(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a new episode in every host (or in those of ``options["reset_mask"]``).

        Raises:
            ValueError: not one seed for each host, or an impossible option.
        """
        seeds: list[int | None]
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed: expected one for each of {self.num_envs} hosts, found {len(seeds)}")
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        obs = np.empty((self.num_envs, self.single_observation_space.shape[0]), dtype=np.float32)  # type: ignore[index]
        infos: dict[str, Any] = {}
        for i, env in enumerate(self.envs):
            if mask is not None and not mask[i]:
                obs[i] = env.stepper.observe()
                continue
            obs[i], info = env.reset(seed=seeds[i], options=options or None)
            self._renew(i)
            infos = self._add_info(infos, info, i)
        return obs, infos

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one action in every host.

        Raises:
            ValueError: the actions have the wrong shape.
        """
        actions = np.ascontiguousarray(actions, dtype=self._action_dtype)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"actions: expected shape {self.action_space.shape}, found {actions.shape}")
        obs, rewards, truncated, terms, infos = self.batch.step(actions.reshape(self.num_envs, self._num_actions))
        infos |= {name: terms[:, k] for k, name in enumerate(TERM_NAMES)}
        infos |= {f"_{name}": self._everywhere for name in list(infos)}
        if truncated.any():
            infos = self._restart(truncated, obs, infos)
        return obs, rewards, np.zeros(self.num_envs, dtype=bool), truncated, infos

    def _restart(self, done: NDArray[np.bool_], obs: NDArray[np.float32], infos: dict[str, Any]) -> dict[str, Any]:
        """Begin the next episode of every host that is done; its last observation and info go to ``final_*``."""
        names = [name for name in infos if not name.startswith("_")]
        for i in np.flatnonzero(done):
            final = {name: copy.copy(infos[name][i]) for name in names}
            infos = self._add_info(infos, {"final_obs": obs[i].copy(), "final_info": final}, int(i))
            obs[i], info = self.envs[i].reset()
            self._renew(int(i))
            for name in names:
                infos[name][i] = info.pop(name)
            infos = self._add_info(infos, info, int(i))
        return infos

    def _renew(self, i: int) -> None:
        self.batch.replace(i, self.envs[i].stepper)

    def snapshot(self) -> list[EnvSnapshot]:
        """Snapshots of all hosts."""
        return [env.snapshot() for env in self.envs]

    def restore(self, snapshots: list[EnvSnapshot]) -> None:
        """Return to what ``snapshot`` gave.

        Raises:
            ValueError: not one snapshot for each host, or of other hosts.
        """
        if len(snapshots) != self.num_envs:
            raise ValueError(f"restore: expected {self.num_envs} snapshots, found {len(snapshots)}")
        for i, (env, snapshot) in enumerate(zip(self.envs, snapshots, strict=True)):
            env.restore(snapshot)
            self._renew(i)
