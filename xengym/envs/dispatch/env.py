"""`xengym/Dispatch-v0`: one Xen host on which the agent is the scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from xengym.envs.dispatch.stepper import DispatchStepper
from xengym.envs.episodic import EpisodicHostEnv
from xengym.policies.schedulers.external import ExternalScheduler
from xengym.scenarios.build import build_host
from xengym.scenarios.config import ScenarioConfig, SchedulerConfig
from xengym.units import ms_to_ns


class DispatchEnv(EpisodicHostEnv[DispatchStepper]):
    """Be the scheduler of one Xen host.

    ## Description
    The machine of `Host-v0`, but nobody schedules it: whenever a pCPU needs a decision, time stops and the agent says
    which vCPU runs there next (and, if it wants to, for how long). Decisions are needed when a slice ends, when the
    running vCPU blocks, and when a wake-up asks: an idle pCPU where the vCPU may run, or if there is none its own
    (`wake_asks="all"`: every pCPU where it may run). Where there is no choice nobody is asked.

    ## Action Space
    Without `slices_ms`: `Discrete(max_vcpus + 1)`: the number of a vCPU, or `max_vcpus` for idle. With it:
    `MultiDiscrete([max_vcpus + 1, len(slices_ms)])`; the second number is a place in that menu of slices.

    `action_masks()` and `info["action_mask"]` say what is legal: the vCPU that runs there if it can go on, those that
    wait and may run there, and idle. Another choice is refused, counts in `info["refused"]`, and is replaced by the
    default: whoever has waited longest; nobody waits: the one that runs.

    ## Observation Space
    `Box(0, 1, (max_vcpus * 12 + 4,), float32)`: for each vCPU slot present, legal, current, elsewhere, waited, ran,
    cpu, warm, agreed, owed, backlog, target; then of the decision pcpu, waiting, busy, window.
    `xengym.envs.dispatch.observations` explains each. Absent vCPUs are all zeros.

    ## Starting State
    The scenario's domains after a warm-up under the default choice (round-robin), at the first decision.

    ## Reward
    That of `Host-v0`, measured at the end of every control interval: a step returns the sum over the intervals that
    ended in it, mostly none or one. An episode's total is what the same schedule earns in `Host-v0`.

    ## Episode End
    Truncated after `control.episode_s` of simulated time; never terminated. The number of decisions varies.

    ## Information
    `sla`, `isolation`, `work`, `switching`: sums of the terms over the intervals that ended; `refused`; `action_mask`:
    bool; `pcpu`: which pCPU asks (-1 at the end of an episode); `decisions`: so far, warm-up included; `domain_mask`;
    `time_s`; from `reset` also `scenario` and `episode_seed`.

    ## Arguments
    - `scenario`: a name (`xengym scenarios` lists them), a YAML file, a `ScenarioConfig`, or `"random"`. Its scheduler
      and the domains' parameters do not count.
    - `split`: `"train"` (default) or `"test"`: from which range episode seeds are drawn.
    - `slices_ms`: menu of slices for the agent to choose from, at most 16; default: none, every slice is `slice_ms`.
    - `slice_ms`: slice where the agent does not choose, 0.1 to 1000.
    - `wake_asks`: `"own"` (default) or `"all"`: which busy pCPUs a wake-up asks.
    - `data`: folder with PlanetLab days for replayed demand; default `XENGYM_DATA`, else a calibrated generator.
    - `render_mode`: `"ansi"` (an xentop-like table) or `"rgb_array"` (per-pCPU schedule and shares over time).

    `reset(options=...)`: `episode_seed` runs that very episode. `reset()` without a seed goes on in the stream of
    episodes and does not repeat.

    ## Version History
    - v0: first version.
    """

    def __init__(
        self,
        scenario: str | Path | ScenarioConfig = "consolidation",
        *,
        split: str = "train",
        slices_ms: Sequence[float] = (),
        slice_ms: float = 10.0,
        wake_asks: str = "own",
        data: str | Path | None = None,
        render_mode: str | None = None,
    ) -> None:
        for slice_of_menu in (*slices_ms, slice_ms):
            if not 0.1 <= slice_of_menu <= 1000:
                raise ValueError(f"slices must be 0.1..1000 ms, found {slice_of_menu!r}")
        self._slices_ns = [ms_to_ns(x) for x in slices_ms]
        options = {"connected": True, "slice_us": round(1000 * slice_ms), "wake_asks": wake_asks}
        scheduler = SchedulerConfig(name="external", options=options)
        super().__init__(scenario, split=split, scheduler=scheduler, data=data, render_mode=render_mode)
        num_choices = self.stepper.actions.num_choices
        self.action_space: spaces.Space[Any]
        if self._slices_ns:
            self.action_space = spaces.MultiDiscrete([num_choices, len(self._slices_ns)])
        else:
            self.action_space = spaces.Discrete(num_choices)
        self.observation_space = spaces.Box(0.0, 1.0, (self.stepper.num_features,), np.float32)

    def action_masks(self) -> NDArray[np.bool_]:
        """What is legal now, shape ``(max_vcpus + 1 + len(slices_ms),)``, for maskable agents."""
        return self.stepper.masks()

    def default_action(self) -> NDArray[np.int64] | int:
        """The action that takes the default choice, with the first slice of the menu."""
        waiting = [v for v in self.host.scheduler.queued() if self.action_masks()[v]]
        current = self.host.sections["pcpu"]["curr"][self.host.awaiting_pcpu or 0]
        choice = waiting[0] if waiting else min(int(current), self.stepper.actions.num_choices - 1)
        return np.array([choice, 0]) if self._slices_ns else choice

    def _make_stepper(self, config: ScenarioConfig) -> DispatchStepper:
        return DispatchStepper(
            build_host(config),
            config.limits.max_domains,
            ms_to_ns(config.control.interval_ms),
            config.reward.model_dump(),
            self._slices_ns,
        )

    def _warm_up(self, until_ns: int) -> None:
        scheduler = self.host.scheduler
        assert isinstance(scheduler, ExternalScheduler)
        with scheduler.disconnected():
            self.host.run_until(until_ns)  # the decisions of that very instant are the agent's
