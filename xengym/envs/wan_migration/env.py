"""`xengym/WanMigration-v0`: an agent takes one domain, disk included, from one site to another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from xengym.envs.options import known_options
from xengym.envs.wan_migration.stepper import DELAY_LEVELS_MS, MOVE_TERMS, RATE_LEVELS, MoveStepper
from xengym.hypervisor.wide_move import WideMove
from xengym.machine.migration_state import REASONS
from xengym.render.move_frame import MoveFrame
from xengym.render.move_table import move_table
from xengym.scenarios.wide_area import MoveEpisode, MoveEpisodes, MoveScenario
from xengym.units import s_to_ns


class MoveSnapshot(NamedTuple):
    """Everything that decides how an environment goes on."""

    episode: MoveEpisode
    parts: list[NDArray[Any]]
    samples: NDArray[Any]
    num_steps: int
    rng_state: dict[str, Any] | None


class WanMigrationEnv(gym.Env[NDArray[np.float32], NDArray[Any]]):
    """Take one domain with its disk to another site.

    ## Description
    A domain moves to another site while it runs (Bradford et al., 2007): the disk's image is copied and every write
    follows as a delta, then memory is copied round by round, then the domain stops for the rest. Deltas go before all
    else, so a domain that writes faster than the line carries never arrives unless its writes are held up; others use
    the line, too; and the longer one waits with the stop, the more is sent twice. How much the domain writes, what
    others want of the line and whether it stands change in phases. Every control interval the agent sets how much of
    the line the move may take, by how much a write is held up, and whether to stop when the round of memory ends.

    ## Action Space
    `action="levels"` (default): `MultiDiscrete([8, 8, 2])`
    - rate: at most 5, 10, 20, 35, 50, 70, 85 % of the line for the move, or no limit (level 7);
    - throttle: each write beyond the scenario's threshold is held up by 0, 0.5, 1, 2, 5, 10, 30 or 100 ms;
    - stop: 0 goes on with another round; 1 stops the domain when the round of memory that is under way ends.

    `info["action_mask"]`, shape `(18,)`, says what is possible: throttle levels above 0 only while the domain runs,
    stop only in rounds of memory. What is not possible counts in `info["refused"]` and is replaced by no limit, no
    delay and no stop.

    `action="box"`: `Box(-1, 1, (3,), float32)`: rate: [-1, 0) is 5 to 100 % of the line (logarithmic), [0, 1] is no
    limit; throttle: [-1, 0] is none, (0, 1] is 0.1 to 100 ms (logarithmic); stop: above 0, where it is possible.
    Entries beyond are clipped; one that is no number changes nothing and counts in `info["refused"]`. The zero vector
    is Bradford's move without throttle, which never stops.

    ## Observation Space
    `Box(0, 1, (30,), float32)`, what the two hosts' daemons can measure; the table below has each. Rates are in parts
    of the line's, amounts in the time that the line would need.

    ## Starting State
    The destination is about to be asked. Phases differ by the episode's seed; with `scenario="random"` so do image,
    memory, working set, write rate and line. Episodes of `split="train"` and `split="test"` never coincide.

    ## Reward
    Weighted sum of named terms of the interval, with the scenario's weights: `downtime`, `time`, `throttling`,
    `competing` (all minus seconds), `traffic`, `lost` and `outcome`; the table below has each.

    ## Episode End
    Terminated when the move is done, or aborted: because the line was down for longer than the move's patience, or
    because whoever ordered the move gives it up after `control.max_intervals` intervals, which the observation shows.
    Never truncated.

    ## Information
    The terms before weighting, by name; `refused`; `time_s` and `downtime_s` since the beginning, `carried_bytes`,
    `stage` and `reason` (numbers of `xengym.machine.migration_state.STAGES` and `REASONS`), `round`; with levels
    `action_mask`; from `reset` also `scenario` and `episode_seed`.

    ## Arguments
    - `scenario`: `"wan-web-server"` (default), `"lan-web-server"`, `"wan-database"`, `"random"`, a YAML file or a
      `MoveScenario`.
    - `split`: `"train"` (default) or `"test"`: from which range episode seeds are drawn.
    - `action`: `"levels"` or `"box"`.
    - `render_mode`: `"ansi"` (a table) or `"rgb_array"` (rates, queue and stages over time).

    `reset(options={"episode_seed": ...})` runs that very episode. `reset()` without a seed goes on in the stream of
    episodes and does not repeat.

    ## Version History
    - v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 10}

    def __init__(
        self,
        scenario: str | Path | MoveScenario = "wan-web-server",
        *,
        split: str = "train",
        action: Literal["levels", "box"] = "levels",
        render_mode: str | None = None,
    ) -> None:
        if action not in ("levels", "box"):
            raise ValueError(f"action must be 'levels' or 'box', found {action!r}")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']} or None, found {render_mode!r}"
            )
        self.render_mode = render_mode
        self.episodes = MoveEpisodes(scenario, split)
        self.episode = self.episodes.episode(self.episodes.range[0])
        self.stepper = MoveStepper(self.episode.config.reward.model_dump(), action == "levels")
        self._frame: MoveFrame | None = None
        self._begin(self.episode)
        self._action_dtype = np.int64 if self.stepper.takes_integers else np.float32
        self.action_space: spaces.Space[Any]
        if self.stepper.takes_integers:
            self.action_space = spaces.MultiDiscrete([len(RATE_LEVELS), len(DELAY_LEVELS_MS), 2])
        else:
            self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.observation_space = spaces.Box(0.0, 1.0, (self.stepper.num_features,), np.float32)

    # -- Gymnasium's interface -----------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin the next episode.

        Args:
            seed: of the stream of episodes; None goes on in it.
            options: ``episode_seed`` runs that very episode.

        Raises:
            ValueError: an option is unknown.
        """
        super().reset(seed=seed)
        options = known_options(options, ("episode_seed",))
        if "episode_seed" in options:
            episode = self.episodes.episode(options["episode_seed"])
        else:
            episode = self.episodes.draw(self.np_random)
        self._begin(episode)
        info: dict[str, Any] = dict.fromkeys((name for name, _ in MOVE_TERMS), 0.0)
        info["refused"] = 0
        info |= self.stepper.figures()
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
        result = self.stepper.step(action)
        if self._frame is not None:
            self._frame.observe(self.stepper)
        return result

    def render(self) -> Any:
        """The move so far as text or picture, by ``render_mode``; None without one."""
        if self.render_mode == "ansi":
            return move_table(self.stepper)
        if self._frame is not None:
            return self._frame.draw(self.episode.config.name)
        return None

    # -- what else it offers -------------------------------------------------------------------------------------

    @property
    def move(self) -> WideMove:
        """The simulated move, to look at."""
        return self.stepper.move

    @property
    def reason(self) -> str:
        """Why the move was aborted; "" if it was not."""
        return REASONS[int(self.move.migration["reason"][0])]

    def action_masks(self) -> NDArray[np.bool_]:
        """What is possible now, shape ``(18,)``, for maskable agents (``action="levels"``)."""
        return self.stepper.masks()

    def digest(self) -> str:
        """A hash of the move's whole state, the same in every process."""
        state = hashlib.blake2b(digest_size=16)
        for part in self.move.parts_of_state():
            state.update(part.tobytes())
        return state.hexdigest()

    def snapshot(self) -> MoveSnapshot:
        """Copy everything that decides how the environment goes on, the stream of episodes included."""
        rng = self._np_random
        return MoveSnapshot(
            self.episode,
            self.move.parts_of_state(),
            self.stepper.samples.copy(),
            self.stepper.num_steps,
            None if rng is None else dict(rng.bit_generator.state),
        )

    def restore(self, snapshot: MoveSnapshot) -> None:
        """Return to a snapshot of this environment, or of one made with the same arguments."""
        if snapshot.episode != self.episode:
            self._begin(snapshot.episode)
        self.move.set_parts_of_state(snapshot.parts)
        self.stepper.samples[:] = snapshot.samples
        self.stepper.num_steps = snapshot.num_steps
        if snapshot.rng_state is not None:
            self.np_random.bit_generator.state = snapshot.rng_state

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["stepper"] = None
        state["_frame"] = None
        return {
            "attributes": state,
            "snapshot": self.snapshot(),
            "takes_integers": self.stepper.takes_integers,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        self.stepper = MoveStepper(self.episode.config.reward.model_dump(), state["takes_integers"])
        self._begin(self.episode)
        self.restore(state["snapshot"])

    # -- details -------------------------------------------------------------------------------------------------

    def _begin(self, episode: MoveEpisode) -> None:
        self.episode = episode
        control = episode.config.control
        self.stepper.set_weights(episode.config.reward.model_dump())
        self.stepper.begin(
            WideMove(episode.config.spec(episode.seed)), s_to_ns(control.interval_s), control.max_intervals
        )
        if self.render_mode == "rgb_array":
            self._frame = MoveFrame(self.stepper)
