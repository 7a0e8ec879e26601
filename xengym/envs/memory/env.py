"""`xengym/Memory-v0`: an agent sets the balloon targets of a host's guests while what they need changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from xengym.envs.episodic import EpisodicHostEnv
from xengym.envs.memory.stepper import MemoryStepper
from xengym.scenarios.build import build_host
from xengym.scenarios.config import ScenarioConfig, ScenarioError, SchedulerConfig
from xengym.units import ms_to_ns


class MemoryEnv(EpisodicHostEnv[MemoryStepper]):
    """Divide a host's memory among its guests.

    ## Description
    Guests serve requests that touch memory. Their working sets grow and shrink; a guest that has less memory than it
    works on swaps, to a disk that it shares with the others, and answers late. The host has less memory than all of
    them may want at once, but mostly enough for what they want at the same time. Every control interval the agent sets
    the target of each guest's balloon driver, as `xl mem-set` would. The drivers take it from there: in batches, with
    their guests' CPU time, and upwards only as far as the host has free pages. What one gets, another has to give
    first, and what a guest gets back it still has to read from the swap disk, page by page.

    ## Action Space
    `Box(-1, 1, (max_domains,), float32)`, entry d for domain slot d: -1 is what its kernel needs, 0 the memory it was
    created with, 1 its maximum; between them linear, in whole pages. The zero vector is no ballooning: the static split
    of the scenario. Entries outside [-1, 1] are clipped; a domain whose entry is not a number keeps its target and
    counts in `info["refused"]`. Entries of absent domains, and of those whose memory does not count, have no effect.

    ## Observation Space
    `Box(0, 1, (max_domains * 16 + 5,), float32)`: for each domain slot present, pages, target, wanted, maximum, floor,
    swapped, reads, touches, waiting, moved, cpu, steal, attainment, response, backlog; then for the host free, wanted,
    swap_disk, utilisation, domains. All refer to the last control interval or its end; `wanted` is what a balloon
    daemon in the guest would report (its committed memory). Absent domains are all zeros; `info["domain_mask"]` says
    which are present.

    ## Starting State
    The scenario's domains with the memory it gives them, after a warm-up (`control.warmup_ms`). Episodes of
    `split="train"` and `split="test"` never coincide.

    ## Reward
    Weighted sum of named terms of the interval, with the scenario's weights, as in `Host-v0`; those made for this:
    `sla` (mean attainment of response-time targets), `swapping` (minus the time that the swap disk was busy, as a
    fraction of the interval) and `ballooning` (minus the pages that balloons have moved, as a fraction of the host's).

    ## Episode End
    Truncated after `control.episode_s` of simulated time; never terminated.

    ## Information
    `sla`, `isolation`, `work`, `switching`, `goodput`, `taken`, `swapping`, `ballooning`: the terms before weighting;
    `refused`; `domain_mask`: bool, shape `(max_domains,)`; `time_s`; from `reset` also `scenario` and `episode_seed`.

    ## Arguments
    - `scenario`: a name (default `"memory-pressure"`), `"random-memory"` (a random host in each episode), a YAML file
      or a `ScenarioConfig`; the memory of some domain must count (`memory_mib`).
    - `split`: `"train"` (default) or `"test"`: from which range episode seeds are drawn.
    - `scheduler`: in place of the scenario's: a name, a name with a version, or a `SchedulerConfig`.
    - `data`: folder with PlanetLab days for replayed demand; default `XENGYM_DATA`, else a calibrated generator.
    - `render_mode`: `"ansi"` (an xentop-like table) or `"rgb_array"` (per-pCPU schedule and shares over time).

    `reset(options=...)`: `episode_seed` runs that very episode; `params` maps domain names to scheduler parameters to
    begin with. `reset()` without a seed goes on in the stream of episodes and does not repeat.

    ## Version History
    - v0: first version.
    """

    def __init__(
        self,
        scenario: str | Path | ScenarioConfig = "memory-pressure",
        *,
        split: str = "train",
        scheduler: str | SchedulerConfig | None = None,
        data: str | Path | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(scenario, split=split, scheduler=scheduler, data=data, render_mode=render_mode)
        config = self.episode.config
        if not any(domain.has_balloon for domain in config.domains):
            raise ScenarioError(
                f"scenario {config.name!r} has no domain whose memory could be moved (memory_mib, or a program that "
                "says how much it needs), so an agent would have nothing to decide; xengym/Host-v0 runs it"
            )
        self.action_space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (self.stepper.num_actions,), np.float32)
        self.observation_space = spaces.Box(0.0, 1.0, (self.stepper.num_features,), np.float32)

    def current_action(self) -> NDArray[np.float32]:
        """The action that leaves every target as it is, shape ``(num_actions,)``."""
        return self.stepper.actions.encode()

    def _make_stepper(self, config: ScenarioConfig) -> MemoryStepper:
        return MemoryStepper(
            build_host(config),
            config.limits.max_domains,
            ms_to_ns(config.control.interval_ms),
            config.reward.model_dump(),
        )
