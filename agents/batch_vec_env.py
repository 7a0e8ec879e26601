"""The native batch of `xengym/Host-v0` as Stable-Baselines3 wants it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from xengym.envs.episodic import TERM_NAMES, EnvSnapshot
from xengym.envs.host.vector import HostVectorEnv


class BatchSnapshot(NamedTuple):
    """Everything that decides how a batch goes on, its running episode statistics included."""

    hosts: list[EnvSnapshot]
    totals: NDArray[np.float64]
    lengths: NDArray[np.int64]


class BatchVecEnv(VecEnv):
    """One call steps all hosts; Python touches a single host only when its episode ends.

    The info of a host is one shared empty dict until its episode ends. Then it holds ``terminal_observation``,
    ``TimeLimit.truncated`` and, as from ``VecMonitor``, ``episode``: total reward ``r``, length ``l``, wall-clock
    seconds ``t`` since this object was made; and there the mean of each reward term per step.

    Args:
        batch: from ``gym.make_vec("xengym/Host-v0", vectorization_mode="vector_entry_point", ...)``.
    """

    def __init__(self, batch: HostVectorEnv) -> None:
        self.batch = batch
        self._no_infos: list[dict[str, Any]] = [{}] * batch.num_envs
        self._actions = np.zeros(batch.action_space.shape or (), dtype=np.float32)
        # Reward first, then its terms: one addition a step keeps all of an episode's sums.
        self._totals = np.zeros((batch.num_envs, 1 + len(TERM_NAMES)))
        self._lengths = np.zeros(batch.num_envs, dtype=np.int64)
        #: Wall-clock time spent in the native batch.
        self.stepping_s = 0.0
        self._started_s = time.monotonic()
        super().__init__(batch.num_envs, batch.single_observation_space, batch.single_action_space)

    # -- stepping ------------------------------------------------------------------------------------------------

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Give each host a seed of its own at the next ``reset``.

        They are drawn, not counted up from ``seed``: runs with neighbouring seeds must not share most of their hosts.
        """
        drawn = np.random.SeedSequence(seed).generate_state(self.num_envs, np.uint64)
        self._seeds = [int(x) for x in drawn]
        return self._seeds

    def reset(self) -> NDArray[np.float32]:
        """Begin a new episode in every host: observations, ``float32`` of shape ``(num_envs, size)``."""
        obs, _ = self.batch.reset(seed=list(self._seeds))
        self._reset_seeds()
        self._reset_options()
        self._totals[:] = 0.0
        self._lengths[:] = 0
        return obs

    def step_async(self, actions: NDArray[Any]) -> None:
        """Note the actions, shape ``(num_envs, action size)``; ``step_wait`` does the work."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step every host: observations, rewards, whether an episode ended (both of shape ``(num_envs,)``), infos."""
        begun_s = time.perf_counter()
        obs, rewards, _, truncated, batch_info = self.batch.step(self._actions)
        self.stepping_s += time.perf_counter() - begun_s
        self._totals[:, 0] += rewards
        for k, name in enumerate(TERM_NAMES, 1):
            self._totals[:, k] += batch_info[name]
        self._lengths += 1
        infos = self._no_infos
        if truncated.any():
            infos = list(infos)
            # The terms of a host that ended are those of its next episode's first observation by now: all zero.
            for i in np.flatnonzero(truncated):
                self._totals[i, 1:] += [batch_info["final_info"][name][i] for name in TERM_NAMES]
                infos[i] = {
                    "terminal_observation": batch_info["final_obs"][i],
                    "TimeLimit.truncated": True,
                    "episode": self._episode(int(i)),
                }
            self._totals[truncated] = 0.0
            self._lengths[truncated] = 0
        return obs, rewards.astype(np.float32), truncated, infos

    def _episode(self, i: int) -> dict[str, float]:
        length = int(self._lengths[i])
        terms = dict(zip(TERM_NAMES, (float(x) / length for x in self._totals[i, 1:]), strict=True))
        elapsed_s = round(time.monotonic() - self._started_s, 6)
        return {"r": float(self._totals[i, 0]), "l": length, "t": elapsed_s, **terms}

    def close(self) -> None:
        """Release the batch."""
        self.batch.close()

    # -- going on later ------------------------------------------------------------------------------------------

    def snapshot(self) -> BatchSnapshot:
        """Copy everything that decides how the batch goes on; it can be pickled."""
        return BatchSnapshot(self.batch.snapshot(), self._totals.copy(), self._lengths.copy())

    def restore(self, snapshot: BatchSnapshot) -> None:
        """Return to a snapshot of this batch or of one made with the same arguments.

        Raises:
            ValueError: the snapshot is of another number of hosts, or of hosts of another layout.
        """
        self.batch.restore(snapshot.hosts)
        self._totals[:] = snapshot.totals
        self._lengths[:] = snapshot.lengths
        # A seed that was given for a first reset is not meant for a batch that goes on.
        self._reset_seeds()

    # -- what SB3 asks of single environments --------------------------------------------------------------------

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of some of the single environments."""
        return [getattr(env, attr_name) for env in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of some of the single environments."""
        for env in self._chosen(indices):
            setattr(env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of some of the single environments."""
        return [getattr(env, method_name)(*method_args, **method_kwargs) for env in self._chosen(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """No single environment of a native batch is wrapped."""
        return [False for _ in self._chosen(indices)]

    def _chosen(self, indices: VecEnvIndices) -> list[Any]:
        chosen: Iterable[int] = self._get_indices(indices)
        return [self.batch.envs[i] for i in chosen]


def make_batch(
    scenario: Any, *, num_envs: int, num_threads: int = 1, data: str | Path | None = None, split: str = "train"
) -> BatchVecEnv:
    """A batch of hosts for SB3.

    Args:
        scenario: as for `xengym/Host-v0`.
        num_envs: hosts.
        num_threads: threads to step them on; more than one pays from some 64 hosts on.
        data: folder with PlanetLab days, or None.
        split: which episodes to draw.
    """
    batch = gym.make_vec(
        "xengym/Host-v0",
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        num_threads=num_threads,
        scenario=scenario,
        data=data,
        split=split,
    )
    assert isinstance(batch.unwrapped, HostVectorEnv)
    return BatchVecEnv(batch.unwrapped)
