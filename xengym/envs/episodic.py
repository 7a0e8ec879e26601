"""Episodes of one simulated host: what its environments share, whatever an agent decides in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from xengym.envs.host.rewards import REWARD_TERMS
from xengym.envs.options import known_options
from xengym.envs.stepping import Stepper
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.hypervisor.snapshot import Snapshot
from xengym.render.frames import ScheduleFrame
from xengym.render.xentop import xentop_table
from xengym.scenarios.build import Plan
from xengym.scenarios.config import ScenarioConfig, SchedulerConfig
from xengym.scenarios.episodes import Episode, EpisodeSource
from xengym.units import ms_to_ns, s_to_ns

TERM_NAMES = tuple(name for name, _ in REWARD_TERMS)

_RESET_OPTIONS = ("episode_seed", "params")

StepperT = TypeVar("StepperT", bound=Stepper)


class EnvSnapshot(NamedTuple):
    """Everything that decides how an environment goes on."""

    host: Snapshot
    episode: Episode
    intervals: tuple[NDArray[Any], NDArray[Any]]
    num_steps: int
    rng_state: dict[str, Any] | None


class EpisodicHostEnv(gym.Env[NDArray[np.float32], NDArray[Any]], Generic[StepperT]):
    """Base of the environments of one host: episodes, reset, snapshots, pickling, rendering.

    A subclass says how a host is stepped (``_make_stepper``) and defines the spaces.

    Args:
        scenario: a name, a YAML file, a ``ScenarioConfig``, or ``"random"``.
        split: ``"train"`` or ``"test"``: from which range episode seeds are drawn.
        scheduler: in place of the scenario's.
        data: folder with PlanetLab days for replayed demand, or None.
        render_mode: one of ``metadata["render_modes"]``, or None.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 10}

    def __init__(
        self,
        scenario: str | Path | ScenarioConfig,
        *,
        split: str,
        scheduler: str | SchedulerConfig | None,
        data: str | Path | None,
        render_mode: str | None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']} or None, found {render_mode!r}"
            )
        self.render_mode = render_mode
        self._data = Path(data) if data is not None else None
        self.episodes = EpisodeSource(scenario, split, self._data, scheduler)
        self.episode = Episode(self.episodes.shape, 0)
        self._frame: ScheduleFrame | None = None
        self._plan = Plan(self.episode.config, self._data)
        self.stepper: StepperT = self._make_stepper(self.episode.config)
        self._action_dtype = np.int64 if self.stepper.takes_integers else np.float32

    def _make_stepper(self, config: ScenarioConfig) -> StepperT:
        """An empty host of the scenario's kind, ready to be stepped."""
        raise NotImplementedError

    # -- Gymnasium's interface -----------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin the next episode.

        Args:
            seed: of the stream of episodes; None goes on in it.
            options: ``episode_seed`` runs that very episode; ``params`` maps domain names to scheduler parameters to
                begin with.

        Raises:
            ValueError: an option is unknown or impossible.
        """
        super().reset(seed=seed)
        options = known_options(options, _RESET_OPTIONS)
        if "episode_seed" in options:
            episode = self.episodes.episode(options["episode_seed"])
        else:
            episode = self.episodes.draw(self.np_random)
        self._begin(episode, options.get("params") or {})
        info: dict[str, Any] = dict.fromkeys(TERM_NAMES, 0.0)
        info["refused"] = 0
        info["domain_mask"] = self.stepper.monitor.domain_records["is_present"] != 0
        info["time_s"] = self.host.now_ns * 1e-9
        info |= self.stepper.extras()
        if self.stepper.num_masks:
            info["action_mask"] = self.stepper.masks()
        info["scenario"] = episode.config.name
        info["episode_seed"] = episode.seed
        return self.stepper.observe(), info

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            ValueError: the action has the wrong shape.
        """
        action = np.asarray(action, dtype=self._action_dtype, order="C")
        if action.shape != self.action_space.shape:
            raise ValueError(f"action: expected shape {self.action_space.shape}, found {action.shape}")
        before = self.stepper.num_steps
        obs, reward, truncated, info = self.stepper.step(action)
        if self._frame is not None and self.stepper.num_steps > before:
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

    def snapshot(self) -> EnvSnapshot:
        """Copy everything that decides how the environment goes on, the stream of episodes included."""
        monitor = self.stepper.monitor
        rng = self._np_random
        return EnvSnapshot(
            self.host.snapshot(),
            self.episode,
            (monitor.host_record.copy(), monitor.domain_records.copy()),
            self.stepper.num_steps,
            None if rng is None else dict(rng.bit_generator.state),
        )

    def restore(self, snapshot: EnvSnapshot) -> None:
        """Return to a snapshot of this environment, or of one made with the same arguments.

        Raises:
            ValueError: the snapshot's host has another layout.
        """
        if snapshot.episode.config is not self.episode.config:
            self.episode = snapshot.episode
            self.stepper = self._make_stepper(self.episode.config)
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
        self.stepper = self._make_stepper(self.episode.config)
        self.restore(state["snapshot"])

    # -- details -------------------------------------------------------------------------------------------------

    def _begin(self, episode: Episode, params: dict[str, dict[str, int]]) -> None:
        self.episode = episode
        config = episode.config
        if self._plan.config is not config:
            self._plan = Plan(config, self._data)
        self._plan.populate(self.host, seed=episode.seed)
        self._override(params)
        self._set_episode_length()
        self._warm_up(ms_to_ns(config.control.warmup_ms))
        self.stepper.begin()
        if self.render_mode == "rgb_array":
            self._frame = ScheduleFrame(self.host)

    def _warm_up(self, until_ns: int) -> None:
        self.host.run_until(until_ns, inclusive=True)

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
