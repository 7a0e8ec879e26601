"""`xengym/Host-v0`: one Xen host whose scheduler parameters an agent tunes while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from xengym.envs.episodic import EpisodicHostEnv
from xengym.envs.host.stepper import HostStepper
from xengym.scenarios.build import build_host
from xengym.scenarios.config import ScenarioConfig, SchedulerConfig
from xengym.units import ms_to_ns


class HostEnv(EpisodicHostEnv[HostStepper]):
    """Tune the scheduler of one Xen host.

    ## Description
    A host runs several domains under one of Xen's schedulers (Credit unless the scenario or `scheduler` says
    otherwise), simulated event for event. Every control interval the agent sees what Dom0 could measure and sets each
    domain's scheduler parameters, as `xl sched-credit` would. Domains have service levels (response-time targets,
    agreed CPU) and conflicting needs.

    ## Action Space
    With k parameters a domain (Credit: weight and cap, so k = 2; the table below has every scheduler's), and the
    parameters of domain slot d at entries k d to k d + k - 1:

    `action="box"` (default): `Box(-1, 1, (max_domains * k,), float32)`. -1 is a parameter's least value, 0 its default,
    1 its greatest; between them the scale is linear or, where the table says so, logarithmic. A cap maps [-1, 0) to
    1..100 % of the domain's vCPUs and [0, 1] to none. The zero vector is the scheduler's defaults. Entries outside [-1,
    1] are clipped; a domain whose entries are not numbers keeps its parameters and counts in `info["refused"]`. Entries
    of absent domains have no effect. Dom0 and driver domains are slots like any other: their parameters decide how soon
    packets and block requests of all others are served.

    `action="steps"`: `MultiDiscrete([3] * (max_domains * k))`: 0 lowers, 1 keeps, 2 raises; a logarithmic parameter
    halves or doubles, a linear one moves by a tenth of its range, a cap by 10 % of the domain's vCPUs. `action_masks()`
    tells which steps would change something.

    ## Observation Space
    `Box(0, 1, (max_domains * (9 + k) + 4,), float32)`: for each domain slot present, cpu, steal, blocked, wake_latency,
    demand, attainment, backlog, agreed and its k parameters; then for the host utilisation, switches, domains, agreed.
    If the scenario has devices (some domain's program is `os`), seven more for each domain, before its parameters:
    packets, dropped, block, rings, served (CPU that driver domains spent for it), serving (CPU that it spent for
    others), response.
    All refer to the last control interval; `xengym.envs.host.observations` explains each. Absent domains are all zeros;
    `info["domain_mask"]` says which are present.

    ## Starting State
    The scenario's domains with its parameters, after a warm-up (`control.warmup_ms`). With `scenario="random"` each
    episode is another random host. Episodes of `split="train"` and `split="test"` never coincide.

    ## Reward
    Weighted sum of named terms of the interval, with the scenario's weights: `sla` (mean attainment of service
    levels), `isolation` (minus the shortfall against agreed CPU), `work` (useful CPU), `switching` (minus time lost
    to switches), `goodput` (jobs in time among all that ended), `taken` (minus CPU used beyond agreements, driver
    domains' work included, while others fell short).

    ## Episode End
    Truncated after `control.episode_s` of simulated time; never terminated.

    ## Information
    `sla`, `isolation`, `work`, `switching`, `goodput`, `taken`: the terms before weighting; `refused`: domains
    whose action was refused; `domain_mask`: bool, shape `(max_domains,)`; `time_s`: simulated time since the start of
    the episode, warm-up included; from `reset` also `scenario` and `episode_seed`.

    ## Arguments
    - `scenario`: a name (`xengym scenarios` lists them), a YAML file, a `ScenarioConfig`, `"random"`, or
      `"random-io"` (with devices).
    - `split`: `"train"` (default) or `"test"`: from which range episode seeds are drawn.
    - `action`: `"box"` or `"steps"`.
    - `scheduler`: in place of the scenario's: a name (`"sedf"`), a name with a version (`"credit-3.2"`), or a
      `SchedulerConfig`. The scenario's parameters carry over where they have a counterpart.
    - `data`: folder with PlanetLab days for replayed demand; default `XENGYM_DATA`, else a calibrated generator.
    - `render_mode`: `"ansi"` (an xentop-like table) or `"rgb_array"` (per-pCPU schedule and shares over time).

    `reset(options=...)`: `episode_seed` runs that very episode; `params` maps domain names to scheduler parameters to
    begin with. `reset()` without a seed goes on in the stream of episodes and does not repeat.

    ## Version History
    - v0: first version.
    """

    #: Whether a scheduler without domain parameters is an error: an agent would have nothing to decide.
    needs_parameters: ClassVar[bool] = True
    #: What a step does.
    stepper_class: ClassVar[type[HostStepper]] = HostStepper

    def __init__(
        self,
        scenario: str | Path | ScenarioConfig = "consolidation",
        *,
        split: str = "train",
        action: Literal["box", "steps"] = "box",
        scheduler: str | SchedulerConfig | None = None,
        data: str | Path | None = None,
        render_mode: str | None = None,
    ) -> None:
        if action not in ("box", "steps"):
            raise ValueError(f"action must be 'box' or 'steps', found {action!r}")
        self._is_discrete = action == "steps"
        super().__init__(scenario, split=split, scheduler=scheduler, data=data, render_mode=render_mode)
        size = self.stepper.num_actions
        if size == 0 and self.needs_parameters:
            raise ValueError(
                f"scheduler {self.host.scheduler.name!r} has no domain parameters that an agent could set; "
                "xengym/Dispatch-v0 lets an agent schedule in its place"
            )
        self.action_space: spaces.Space[Any]
        if self._is_discrete:
            self.action_space = spaces.MultiDiscrete(np.full(size, 3))
        else:
            self.action_space = spaces.Box(-1.0, 1.0, (size,), np.float32)
        self.observation_space = spaces.Box(0.0, 1.0, (self.stepper.num_features,), np.float32)

    def action_masks(self) -> NDArray[np.bool_]:
        """Steps that would change something, shape ``(3 * num_actions,)``, for maskable agents (``action="steps"``)."""
        return self.stepper.actions.masks()

    def current_action(self) -> NDArray[np.float32]:
        """The box action that keeps every parameter as it is, shape ``(num_actions,)``."""
        return self.stepper.actions.encode()

    def _make_stepper(self, config: ScenarioConfig) -> HostStepper:
        return self.stepper_class(
            build_host(config),
            config.limits.max_domains,
            ms_to_ns(config.control.interval_ms),
            config.reward.model_dump(),
            self._is_discrete,
        )
