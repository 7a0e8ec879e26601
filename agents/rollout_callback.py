"""What happens between two rollouts of a training run: curves, evaluation, checkpoints, an early end."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from agents.checkpoint import Row, save_checkpoint
from agents.config import TrainConfig
from agents.progress import ProgressReport
from agents.run_folder import RunFolder
from agents.trained import TrainedAgent
from xengym.baselines.compare import run_episodes, summarise
from xengym.envs.episodic import TERM_NAMES
from xengym.scenarios.episodes import SEED_RANGES

_EVAL_STREAM = 0xE7A1


class TrainingStopped(Exception):  # noqa: N818  (not an error: what the user asked for)
    """Training ended early as asked, with everything saved."""


def evaluation_seeds(num: int, *, seed: int) -> list[int]:
    """Episodes to watch training with.

    They are from the training split, which is so large that none of them is ever trained on: the test split stays
    unseen until the agent is final.
    """
    rng = np.random.default_rng([seed, _EVAL_STREAM])
    return [int(x) for x in rng.integers(*SEED_RANGES["train"], size=num)]


class RolloutCallback(BaseCallback):
    """Runs at each rollout boundary, where SB3 holds nothing that is half used.

    Args:
        config: of the run.
        folder: of the run.
        progress: to report to.
        curve: rows of the learning curve so far; extended.
        is_asked_to_stop: asked at each boundary.
    """

    model: PPO

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        progress: ProgressReport,
        curve: list[Row],
        is_asked_to_stop: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._config = config
        self._folder = folder
        self._progress = progress
        self._curve = curve
        self._is_asked_to_stop = is_asked_to_stop
        self._eval_seeds = evaluation_seeds(config.eval.num_episodes, seed=config.seed)
        self.elapsed_s = 0.0

    # -- SB3's hooks ---------------------------------------------------------------------------------------------

    def _on_training_start(self) -> None:
        self._begun = self._known = self.model.num_timesteps
        self._started_s = time.monotonic()

    def _on_step(self) -> bool:
        self._progress.update(self.num_timesteps)
        return True

    def _on_rollout_end(self) -> None:
        for name, value in self._episode_means().items():
            if value is not None and name != "reward":
                self.logger.record(f"rollout/{name}", value)

    def _on_rollout_start(self) -> None:
        self._at_boundary(is_last=False)

    def _on_training_end(self) -> None:
        self._at_boundary(is_last=True)

    # -- details -------------------------------------------------------------------------------------------------

    def _at_boundary(self, *, is_last: bool) -> None:
        steps = self.model.num_timesteps
        self.elapsed_s = time.monotonic() - self._started_s
        is_asked_to_stop = not is_last and self._is_asked_to_stop()
        if steps > self._known:
            row: Row = {"steps": steps, **self._episode_means(), **dict.fromkeys(_EVAL_COLUMNS)}
            if is_last or self._is_due(self._config.eval.every_steps, steps):
                row |= self._evaluate(steps)
            self._curve.append(row)
            if is_last or is_asked_to_stop or self._is_due(self._config.checkpoint_every_steps, steps):
                save_checkpoint(self._folder.checkpoints, self.model, self._curve)
                self._folder.write_curve(self._curve)
        self._known = steps
        if is_asked_to_stop:
            raise TrainingStopped

    def _is_due(self, every_steps: int, steps: int) -> bool:
        """Whether a multiple of a period was passed in the last rollout; the same in a resumed run."""
        return steps // every_steps > (steps - self._config.rollout_steps) // every_steps

    def _episode_means(self) -> Row:
        """Means per step over the last episodes that ended; None while there are none."""
        episodes = self.model.ep_info_buffer
        if not episodes:
            return dict.fromkeys(("reward", *TERM_NAMES))
        means: Row = {"reward": float(np.mean([episode["r"] / episode["l"] for episode in episodes]))}
        return means | {name: float(np.mean([episode[name] for episode in episodes])) for name in TERM_NAMES}

    def _evaluate(self, steps: int) -> Row:
        normaliser = self.model.get_vec_normalize_env()
        assert normaliser is not None
        agent = TrainedAgent(self.model, normaliser)
        results = run_episodes(agent, self._config.scenario, self._eval_seeds, data=self._config.data)
        (summary,) = summarise(results)
        self.logger.record("eval/reward", summary.median)
        self._progress.note(
            f"  step {steps:,}: reward {summary.median:.3f} [{summary.low:.3f}, {summary.high:.3f}] over "
            f"{summary.num} episodes not trained on"
        )
        return dict(zip(_EVAL_COLUMNS, (summary.median, summary.low, summary.high), strict=True))


_EVAL_COLUMNS = ("eval_reward", "eval_low", "eval_high")
