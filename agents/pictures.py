"""Pictures of a training run: its learning curve, and what a host looks like under the agent."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agents.checkpoint import Row
from agents.trained import TrainedAgent
from xengym.baselines.compare import Summary
from xengym.envs.host.env import HostEnv

mpl.use("Agg")

import matplotlib.pyplot as plt

_TRAINING, _EVALUATION, _BASELINES = "#56b4e9", "#d55e00", ("#555555", "#009e73", "#0072b2", "#cc79a7")
_LINE_STYLES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def draw_learning_curve(rows: list[Row], baselines: list[Summary], path: Path, *, title: str) -> None:
    """Draw reward against environment steps as a PNG.

    Args:
        rows: of the learning curve.
        baselines: medians to draw as level lines.
        path: where to write.
        title: above the picture.
    """
    figure, axis = plt.subplots(figsize=(8, 5.2), layout="constrained")
    label = "training episodes, with exploration noise (mean of the last 100)"
    axis.plot(*_columns(rows, "steps", "reward"), color=_TRAINING, label=label)
    steps, median, low, high = _columns(rows, "steps", "eval_reward", "eval_low", "eval_high")
    if len(steps):
        axis.errorbar(
            steps, median, (median - low, high - median), color=_EVALUATION, marker="o", markersize=4, capsize=3,
            label="episodes not trained on, no noise (median, 95 % interval)",
        )  # fmt: skip
    for k, summary in enumerate(baselines):
        style = _LINE_STYLES[k % len(_LINE_STYLES)]
        color = _BASELINES[k % len(_BASELINES)]
        axis.axhline(summary.median, color=color, linestyle=style, label=f"{summary.policy} (median)")
    axis.set_xlabel("environment steps (control intervals)")
    axis.set_ylabel("reward, mean per step")
    axis.set_title(title)
    axis.grid(color="#dddddd")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _columns(rows: list[Row], *names: str) -> list[NDArray[np.float64]]:
    """Columns of those rows in which none of them is empty."""
    complete = [values for row in rows if None not in (values := [row[name] for name in names])]
    return list(np.array(complete, dtype=np.float64).reshape(-1, len(names)).T)


def draw_schedule(
    agent: TrainedAgent, scenario: str, episode_seed: int, path: Path, *, data: Path | None = None
) -> None:
    """Draw the last interval of an episode under the agent, and the domains' shares until then, as a PNG."""
    env = HostEnv(scenario, split="test", data=data, render_mode="rgb_array")
    obs, _ = env.reset(options={"episode_seed": episode_seed})
    agent.begin(env, episode_seed)
    truncated = False
    while not truncated:
        obs, _, _, truncated, _ = env.step(agent.act(obs))
    Image.fromarray(env.render()).save(path)
