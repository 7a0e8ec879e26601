"""A picture of one episode of `xengym/Memory-v0`: what each guest has and wants, and how busy the swap disk is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xengym.baselines.memory_policies import MemoryPolicy
from xengym.envs.memory.env import MemoryEnv
from xengym.machine.memory_costs import PAGES_PER_MIB
from xengym.scenarios.config import ScenarioConfig

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")


class Course(NamedTuple):
    """An episode step by step.

    Attributes:
        policy: whose.
        names: of the domains that say what they want.
        time_s: end of each interval, shape ``(num_steps,)``.
        pages_mib: that they have, shape ``(num_steps, num_domains)``.
        wanted_mib: and want, same shape.
        swap_busy_frac: of the swap disk, shape ``(num_steps,)``.
        sla: mean attainment, shape ``(num_steps,)``.
    """

    policy: str
    names: tuple[str, ...]
    time_s: NDArray[np.float64]
    pages_mib: NDArray[np.float64]
    wanted_mib: NDArray[np.float64]
    swap_busy_frac: NDArray[np.float64]
    sla: NDArray[np.float64]


def follow_memory(
    policy: MemoryPolicy, scenario: str | Path | ScenarioConfig, episode_seed: int, *, data: Path | None = None
) -> Course:
    """Run one episode and note what happens in each interval."""
    env = MemoryEnv(scenario, split="test", data=data)
    obs, _ = env.reset(options={"episode_seed": episode_seed})
    policy.begin(env, episode_seed)
    slots = np.flatnonzero(env.host.sections["memory"]["wanted_pages"] > 0)
    rows: list[tuple[float, NDArray[np.float64], NDArray[np.float64], float, float]] = []
    truncated = False
    while not truncated:
        obs, _, _, truncated, info = env.step(policy.act(obs))
        memory = env.host.sections["memory"][slots]
        rows.append(
            (
                info["time_s"],
                memory["pages"] / PAGES_PER_MIB,
                memory["wanted_pages"] / PAGES_PER_MIB,
                -info["swapping"],
                info["sla"],
            )
        )
    names = tuple(env.host.domain_names[int(slot)] for slot in slots)
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Course(policy.name, names, *columns)


def plot_courses(courses: Sequence[Course], path: Path, *, title: str = "") -> None:
    """Draw the same episode under several policies, one column each, as a PNG (needs matplotlib)."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    num_rows = len(courses[0].names) + 1
    size = (5.2 * len(courses), 1.5 * num_rows + 0.8)
    figure, axes = plt.subplots(
        num_rows, len(courses), figsize=size, sharex=True, sharey="row", layout="constrained", squeeze=False
    )
    for column, course in enumerate(courses):
        for row, name in enumerate(course.names):
            axis = axes[row][column]
            axis.fill_between(course.time_s, course.pages_mib[:, row], step="pre", color=_COLOURS[row % 8], alpha=0.35)
            axis.step(course.time_s, course.wanted_mib[:, row], where="pre", color="#222222", linewidth=1.2)
            axis.set_ylim(bottom=0)
            if column == 0:
                axis.set_ylabel(f"{name}\nMiB")
            if row == 0:
                disk_pct = 100 * course.swap_busy_frac.mean()
                axis.set_title(f"{course.policy}: attainment {course.sla.mean():.2f}, disk {disk_pct:.0f} %")
        axis = axes[-1][column]
        axis.fill_between(course.time_s, 100 * course.swap_busy_frac, step="pre", color="#999999")
        axis.set_ylim(0, 100)
        axis.set_xlabel("s")
        if column == 0:
            axis.set_ylabel("swap disk\nbusy, %")
    figure.suptitle(title or "area: memory a guest has; line: memory it wants")
    figure.savefig(path, dpi=110)
    plt.close(figure)
