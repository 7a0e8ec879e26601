"""`xengym/Host-v0`: one Xen host whose scheduler parameters an agent tunes while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from xengym.envs.host.rewards import REWARD_TERMS
from xengym.envs.host.stepper import Stepper
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host, Snapshot
from xengym.render.frames import ScheduleFrame
from xengym.render.xentop import xentop_table
from xengym.scenarios.build import Plan, build_host
from xengym.scenarios.config import ScenarioConfig
from xengym.scenarios.episodes import Episode, EpisodeSource
from xengym.units import ms_to_ns, s_to_ns

TERM_NAMES = tuple(name for name, _ in REWARD_TERMS)

_RESET_OPTIONS = ("episode_seed", "params")


class HostEnvSnapshot(NamedTuple):
    """Everything that decides how an environment goes on."""

    host: Snapshot
    episode: Episode
    intervals: tuple[NDArray[Any], NDArray[Any]]
    num_steps: int
    rng_state: dict[str, Any] | None


class HostEnv(gym.Env[NDArray[np.float32], NDArray[Any]]):
    """Tune the scheduler of one Xen host.

    ## Description
    A host runs several domains under Xen's Credit scheduler, simulated event for event. Every control interval the
    agent sees what Dom0 could measure and sets each domain's scheduler parameters, as `xl sched-credit` would.
    Domains have service levels (response-time targets, agreed CPU) and conflicting needs.

    ## Action Space
    `action="box"` (default): `Box(-1, 1, (max_domains * 2,), float32)`. For domain slot d, entry 2d is its weight and
    2d+1 its cap. Weight: log scale, -1 is 1, 0 is 256, 1 is 65535. Cap: [-1, 0) is 1..100 % of the domain's vCPUs,
    [0, 1] is no cap. The zero vector is default Credit. Entries outside [-1, 1] are clipped; a domain whose entries are
    not numbers keeps its parameters and counts in `info["refused"]`. Entries of absent domains have no effect.

    `action="steps"`: `MultiDiscrete([3] * (max_domains * 2))`: 0 lowers, 1 keeps, 2 raises; weights halve or double,
    caps move by 10 % of the domain's vCPUs. `action_masks()` tells which steps would change something.

    ## Observation Space
    `Box(0, 1, (max_domains * 11 + 4,), float32)`: for each domain slot present, cpu, steal, blocked, wake_latency,
    demand, attainment, backlog, agreed, weight, cap; then for the host utilisation, switches, domains, agreed. All
    refer to the last control interval; `xengym.envs.host.observations` explains each. Absent domains are all zeros;
    `info["domain_mask"]` says which are present.

    ## Starting State
    The scenario's domains with its parameters, after a warm-up (`control.warmup_ms`). With `scenario="random"` each
    episode is another random host. Episodes of `split="train"` and `split="test"` never coincide.

    ## Reward
    Weighted sum of named terms of the interval, with the scenario's weights: `sla` (mean attainment of service
    levels), `isolation` (minus the shortfall against agreed CPU), `work` (useful CPU), `switching` (minus time lost
    to switches).

    ## Episode End
    Truncated after `control.episode_s` of simulated time; never terminated.

    ## Information
    `sla`, `isolation`, `work`, `switching`: the terms before weighting; `refused`: domains whose action was refused;
    `domain_mask`: bool, shape `(max_domains,)`; `time_s`: simulated time since the start of the episode, warm-up
    included; from `reset` also `scenario` and `episode_seed`.

    ## Arguments
    - `scenario`: a name (`xengym scenarios` lists them), a YAML file, a `ScenarioConfig`, or `"random"`.
    - `split`: `"train"` (default) or `"test"`: from which range episode seeds are drawn.
    - `action`: `"box"` or `"steps"`.
    - `data`: folder with PlanetLab days for replayed demand; default `XENGYM_DATA`, else a calibrated generator.
    - `render_mode`: `"ansi"` (an xentop-like table) or `"rgb_array"` (per-pCPU schedule and shares over time).

    `reset(options=...)`: `episode_seed` runs that very episode; `params` maps domain names to scheduler parameters to
    begin with. `reset()` without a seed goes on in the stream of episodes and does not repeat.

    ## Version History
    - v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 10}

    def __init__(
        self,
        scenario: str | Path | ScenarioConfig = "consolidation",
        *,
        split: str = "train",
        action: Literal["box", "steps"] = "box",
        data: str | Path | None = None,
        render_mode: str | None = None,
    ) -> None:
        if action not in ("box", "steps"):
            raise ValueError(f"action must be 'box' or 'steps', found {action!r}")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']} or None, found {render_mode!r}"
            )
        self.render_mode = render_mode
        self._data = Path(data) if data is not None else None
        self._is_discrete = action == "steps"
        self.episodes = EpisodeSource(scenario, split, self._data)
        self.episode = Episode(self.episodes.shape, 0)
        self._frame: ScheduleFrame | None = None
        self._plan = Plan(self.episode.config, self._data)
        self.stepper = self._build()
        size = self.stepper.actions.size
        self.action_space: spaces.Space[Any]
        if self._is_discrete:
            self.action_space = spaces.MultiDiscrete(np.full(size, 3))
        else:
            self.action_space = spaces.Box(-1.0, 1.0, (size,), np.float32)
        self.observation_space = spaces.Box(0.0, 1.0, (self.stepper.observations.size,), np.float32)
        self._action_shape = (size,)
        self._action_dtype = np.int64 if self._is_discrete else np.float32

    # -- Gymnasium's interface -----------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin the next episode (see the class for options).

        Raises:
            ValueError: an option is unknown or impossible.
        """
        super().reset(seed=seed)
        options = options or {}
        unknown = set(options) - set(_RESET_OPTIONS)
        if unknown:
            raise ValueError(
                f"reset: unknown option {', '.join(sorted(unknown))}; expected {' or '.join(_RESET_OPTIONS)}"
            )
        if "episode_seed" in options:
            episode = self.episodes.episode(options["episode_seed"])
        else:
            episode = self.episodes.draw(self.np_random)
        self._begin(episode, options.get("params") or {})
        info: dict[str, Any] = dict.fromkeys(TERM_NAMES, 0.0)
        info["refused"] = 0
        info["domain_mask"] = self.stepper.monitor.domain_records["is_present"] != 0
        info["time_s"] = self.host.now_ns * 1e-9
        info["scenario"] = episode.config.name
        info["episode_seed"] = episode.seed
        return self.stepper.observe(), info

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Set the parameters and let one control interval pass.

        Raises:
            ValueError: the action has the wrong shape.
        """
        action = np.asarray(action, dtype=self._action_dtype, order="C")
        if action.shape != self._action_shape:
            raise ValueError(f"action: expected shape {self._action_shape}, found {action.shape}")
        obs, reward, truncated, info = self.stepper.step(action)
        if self._frame is not None:
            self._frame.observe(self.stepper.host, self.stepper.monitor)
        return obs, reward, False, truncated, info

    def render(self) -> Any:
        """The last interval as text or picture, by ``render_mode``; None without one."""
        if self.render_mode == "ansi":
            return xentop_table(self.host, self.stepper.monitor)
        if self.render_mode == "rgb_array" and self._frame is not None:
            return self._frame.draw(self.host)
        return None

    # -- what else it offers -------------------------------------------------------------------------------------

    @property
    def host(self) -> Host:
        """The simulated machine, to look at."""
        return self.stepper.host

    def action_masks(self) -> NDArray[np.bool_]:
        """Steps that would change something, shape ``(3 * size,)``, for maskable agents (``action="steps"``)."""
        return self.stepper.actions.masks()

    def current_action(self) -> NDArray[np.float32]:
        """The box action that keeps every parameter as it is, shape ``(size,)``."""
        return self.stepper.actions.encode()

    def snapshot(self) -> HostEnvSnapshot:
        """Copy everything that decides how the environment goes on, the stream of episodes included."""
        monitor = self.stepper.monitor
        rng = self._np_random
        return HostEnvSnapshot(
            self.host.snapshot(),
            self.episode,
            (monitor.host_record.copy(), monitor.domain_records.copy()),
            self.stepper.num_steps,
            None if rng is None else dict(rng.bit_generator.state),
        )

    def restore(self, snapshot: HostEnvSnapshot) -> None:
        """Return to a snapshot of this environment, or of one made with the same arguments.

        Raises:
            ValueError: the snapshot's host has another layout.
        """
        if snapshot.episode.config is not self.episode.config:
            self.episode = snapshot.episode
            self.stepper = self._build()
        self.host.restore(snapshot.host)
        self.episode = snapshot.episode
        self._set_episode_length()
        self.stepper.num_steps = snapshot.num_steps
        self.stepper.monitor.host_record[:] = snapshot.intervals[0]
        self.stepper.monitor.domain_records[:] = snapshot.intervals[1]
        if snapshot.rng_state is not None:
            self.np_random.bit_generator.state = snapshot.rng_state

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["stepper"] = None
        state["_frame"] = None
        return {"attributes": state, "snapshot": self.snapshot()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        self.stepper = self._build()
        self.restore(state["snapshot"])

    # -- details -------------------------------------------------------------------------------------------------

    def _build(self) -> Stepper:
        config = self.episode.config
        return Stepper(
            build_host(config),
            config.limits.max_domains,
            ms_to_ns(config.control.interval_ms),
            config.reward.model_dump(),
            self._is_discrete,
        )

    def _begin(self, episode: Episode, params: dict[str, dict[str, int]]) -> None:
        self.episode = episode
        config = episode.config
        if self._plan.config is not config:
            self._plan = Plan(config, self._data)
        self._plan.populate(self.host, seed=episode.seed)
        self._override(params)
        self._set_episode_length()
        self.stepper.num_steps = 0
        self.host.run_until(ms_to_ns(config.control.warmup_ms), inclusive=True)
        self.stepper.monitor.restart()
        if self.render_mode == "rgb_array":
            self._frame = ScheduleFrame(self.host)

    def _override(self, params: dict[str, dict[str, int]]) -> None:
        control = Domctl(self.host)
        domids = {domain.name: self.episode.config.domid(i) for i, domain in enumerate(self.episode.config.domains)}
        for name, values in params.items():
            if name not in domids:
                raise ValueError(f"reset: option 'params' names domain {name!r}; this scenario has {', '.join(domids)}")
            control.adjust_domain(domids[name], **values)

    def _set_episode_length(self) -> None:
        control = self.episode.config.control
        self.stepper.episode_steps = max(1, s_to_ns(control.episode_s) // ms_to_ns(control.interval_ms))
