"""`xengym/Cluster-v0`, `xengym/Datacenter-v0`: moving domains between hosts, and their schedulers' parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from xengym.envs.cluster.episodes import ClusterEpisode, ClusterEpisodes
from xengym.envs.cluster.stepper import CAP_LEVELS, CLUSTER_TERMS, WEIGHT_LEVELS, ClusterStepper
from xengym.envs.options import known_options
from xengym.hypervisor.cluster.interface import Cluster
from xengym.render.cluster_frame import cluster_table, draw_cluster
from xengym.scenarios.cluster_build import FIDELITIES, make_cluster
from xengym.scenarios.cluster_config import ClusterConfig
from xengym.units import s_to_ns


class ClusterSnapshot(NamedTuple):
    """Everything that decides how an environment goes on."""

    cluster: Any
    episode: ClusterEpisode
    marks: NDArray[Any]
    num_steps: int
    rng_state: dict[str, Any] | None


class ClusterEnv(gym.Env[NDArray[np.float32], Any]):
    """Move domains between the hosts of a cluster.

    ## Description

    A cluster of hosts with domains whose demand changes all day. Every control interval (5 minutes unless the scenario
    says otherwise) the agent may order one live migration. Full hosts make domains late; empty hosts can be suspended,
    which saves energy; a move takes Dom0's processors and the network at both ends, and the domain stands still at its
    end.

    An operator's rule looks after power: one empty host is kept on as a spare, further ones are suspended, and one is
    woken when there is none.

    ## Action Space

    `Discrete(1 + slots * hosts)`: 0 is nothing; `1 + slot * hosts + host` moves the domain in a slot to a host. An
    order that is not possible is refused, and `info["refused"]` says why. `action_masks()` (and `info["action_mask"]`)
    says which are possible.

    ## Observation Space

    `Box(-1, 1)`, `float32`: features of the cluster, then of each host, then of each domain slot
    (`xengym.envs.cluster.observations` names them). A slot without a domain is a row of zeros.

    ## Starting State

    The scenario's domains where the scenario's placement rule puts them; which demand each follows is drawn from the
    episode's seed.

    ## Rewards

    The weighted sum of `violations`, `downtime`, `energy`, `migrations` and `remote` (`CLUSTER_TERMS`), none of which
    is above 0; weights are the scenario's (`reward`). `info` has each term.

    ## Episode End

    Truncated after the scenario's `control.episode_s`.

    ## Information

    The reward's terms by name, `refused`, `time_s`, `action_mask`, `fidelity`; at reset also `scenario`, `episode_seed`
    and `demand` (where it comes from).

    ## Arguments

    - `scenario`: name of a cluster (`xengym scenarios`), YAML file, or `ClusterConfig`.
    - `fidelity`: `"fluid"` (each host's scheduler is replaced by its steady-state shares) or `"event"` (each host is
      the full model).
    - `split`: `"train"` or `"test"`: from which range episode seeds are drawn.
    - `data`: folder with traces for scenarios that replay them, or None: generators.
    - `keeps_spare`: the operator's rule looks after power; else all hosts stay on.
    - `render_mode`: `"ansi"`, `"rgb_array"` or None.

    ## Version History

    * v0: first version
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}
    sets_params: ClassVar[bool] = False

    def __init__(
        self,
        scenario: str | Path | ClusterConfig = "cluster-small",
        *,
        fidelity: Literal["fluid", "event"] = "fluid",
        split: Literal["train", "test"] = "train",
        data: str | Path | None = None,
        keeps_spare: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']} or None, found {render_mode!r}"
            )
        if fidelity not in FIDELITIES:
            raise ValueError(f"fidelity must be one of {', '.join(FIDELITIES)}, found {fidelity!r}")
        self.render_mode = render_mode
        self.fidelity = fidelity
        self._keeps_spare = keeps_spare
        self.episodes = ClusterEpisodes(scenario, split, Path(data) if data is not None else None)
        self.episode = self.episodes.episode(0)
        self.stepper = self._make_stepper(self.episode)
        self._history: list[tuple[float, float, float]] = []
        clusters = self.stepper.cluster
        self.num_hosts, self.num_slots = len(clusters.hosts), len(clusters.domains)
        self.observation_space = spaces.Box(-1.0, 1.0, (self.stepper.num_features,), np.float32)
        self.action_space = self._make_action_space()

    def _make_action_space(self) -> spaces.Space[Any]:
        return spaces.Discrete(1 + self.num_slots * self.num_hosts)

    def _make_stepper(self, episode: ClusterEpisode) -> ClusterStepper:
        config = self.episodes.config
        stepper = ClusterStepper(
            make_cluster(episode.built.spec, seed=episode.seed, fidelity=self.fidelity),
            s_to_ns(config.control.interval_s),
            config.reward.model_dump(),
            sets_params=self.sets_params,
            keeps_spare=self._keeps_spare,
        )
        stepper.episode_steps = max(1, round(config.control.episode_s / config.control.interval_s))
        return stepper

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
            self.episode = self.episodes.episode(options["episode_seed"])
        else:
            self.episode = self.episodes.draw(self.np_random)
        self.stepper = self._make_stepper(self.episode)
        self._history = []
        self._note()
        info: dict[str, Any] = {name: 0.0 for name, _ in CLUSTER_TERMS}
        info["refused"] = ""
        info["time_s"] = 0.0
        info["action_mask"] = self.stepper.masks()
        info["fidelity"] = self.fidelity
        info["scenario"] = self.episodes.config.name
        info["episode_seed"] = self.episode.seed
        info["demand"] = "; ".join(self.episode.built.demand)
        return self.stepper.observe(), info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            ValueError: the action is not one of the space.
        """
        numbers = np.atleast_1d(np.asarray(action, dtype=np.int64))
        if not self.action_space.contains(
            numbers if self.sets_params else int(numbers[0]) if numbers.size == 1 else -1
        ):
            raise ValueError(f"action: expected one of {self.action_space}, found {action!r}")
        obs, reward, truncated, info = self.stepper.step(np.ascontiguousarray(numbers))
        info["fidelity"] = self.fidelity
        self._note()
        return obs, reward, False, truncated, info

    def render(self) -> Any:
        """The hosts as text or picture, by ``render_mode``; None without one."""
        if self.render_mode == "ansi":
            return cluster_table(self.cluster, self.episode.built.host_names)
        if self.render_mode == "rgb_array":
            return draw_cluster(self.cluster, self.episode.built.host_names, self._history)
        return None

    # -- what else it offers -------------------------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        """The simulated cluster, to look at."""
        return self.stepper.cluster  # type: ignore[no-any-return]

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are possible now, in the form of sb3-contrib's ``MaskablePPO``."""
        return self.stepper.masks()

    def digest(self) -> str:
        """A hash of everything that is simulated."""
        return self.cluster.digest()

    def snapshot(self) -> ClusterSnapshot:
        """Copy everything that decides how the environment goes on, the stream of episodes included."""
        rng = self._np_random
        return ClusterSnapshot(
            self.cluster.snapshot(),
            self.episode,
            self.stepper.mark_records.copy(),
            self.stepper.num_steps,
            None if rng is None else dict(rng.bit_generator.state),
        )

    def restore(self, snapshot: ClusterSnapshot) -> None:
        """Return to a snapshot of this environment, or of one made with the same arguments."""
        if snapshot.episode is not self.episode:
            self.episode = snapshot.episode
            self.stepper = self._make_stepper(self.episode)
        self.cluster.restore(snapshot.cluster)
        self.stepper.mark_records[:] = snapshot.marks
        self.stepper.num_steps = snapshot.num_steps
        if snapshot.rng_state is not None:
            self.np_random.bit_generator.state = snapshot.rng_state

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["stepper"] = None
        return {"attributes": state, "snapshot": self.snapshot()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        self.stepper = self._make_stepper(self.episode)
        self.restore(state["snapshot"])

    def _note(self) -> None:
        """For the picture: how busy and how much in use the cluster is."""
        if self.render_mode == "rgb_array":
            hosts = self.cluster.hosts
            is_on = hosts["watts"] > hosts["suspended_watts"]
            capacity = max(1e-9, float(hosts["capacity_pcpus"][is_on].sum()))
            self._history.append(
                (self.cluster.now_ns * 1e-9, float(hosts["demand_pcpus"].sum()) / capacity, float(is_on.mean()))
            )


class DatacenterEnv(ClusterEnv):
    """Move domains between hosts, and set their schedulers' parameters.

    ## Description

    As Cluster-v0, and the agent sets the scheduler's parameters of every domain as well: moves and shares in one
    action.

    ## Action Space

    `MultiDiscrete`: the move as in Cluster-v0, then for each domain slot a level of its weight and one of its cap.
    Level 0 is Xen's default (weight 256, no cap), so the action of zeros does nothing. Weights are `WEIGHT_LEVELS`,
    caps `CAP_LEVELS` per cent of the domain's vCPUs. On hosts under SEDF the first level is the part of each vCPU that
    is reserved (`RESERVED_FRACS`), and any level of the second but 0 takes extra time away; a reservation that does
    not fit is not made.

    ## Observation Space

    As Cluster-v0; each domain's weight and cap are among its features.

    ## Starting State

    As Cluster-v0.

    ## Rewards

    As Cluster-v0.

    ## Episode End

    As Cluster-v0.

    ## Information

    As Cluster-v0. `action_mask` has the move's part first, then that of all levels, which are always possible.

    ## Arguments

    As Cluster-v0.

    ## Version History

    * v0: first version
    """

    sets_params: ClassVar[bool] = True

    def _make_action_space(self) -> spaces.Space[Any]:
        levels = [len(WEIGHT_LEVELS), len(CAP_LEVELS)] * self.num_slots
        return spaces.MultiDiscrete([1 + self.num_slots * self.num_hosts, *levels])
