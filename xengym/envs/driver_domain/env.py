"""`xengym/DriverDomain-v0`: an agent limits what guests use, driver domains' work for them included."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from xengym.envs.driver_domain.stepper import DriverDomainStepper
from xengym.envs.host.env import HostEnv
from xengym.envs.host.stepper import HostStepper
from xengym.scenarios.config import ScenarioConfig, ScenarioError, SchedulerConfig

#: The scheduler whose limits the agent sets: SEDF-DC and ShareGuard together.
LIMITING_SCHEDULER = SchedulerConfig(name="share-guard", version="3.0.2", options={"collects_debts": True})


class DriverDomainEnv(HostEnv):
    """Limit what each guest of a host uses, the work of driver domains for it included.

    ## Description
    A guest's packets cost CPU in the domain that owns the network card, and under a plain scheduler that CPU is
    charged to nobody: a guest with a reservation of 30 % may use 50 % in all, and a flood of packets that nobody
    asked for takes a host down. Gupta et al. (2006) answered with SEDF-DC, which takes a driver domain's work off the
    guest's reservation, and ShareGuard, which stops the traffic of a guest that keeps driver domains too busy, both
    with fixed limits. Here the agent sets both limits anew for every guest in every control interval.

    ## Action Space
    `action="box"` (default): `Box(-1, 1, (max_domains * 2,), float32)`, at entries 2 d and 2 d + 1 those of domain
    slot d:
    - combined limit, of CPU of the guest and of driver domains for it: -1 is 1 % of a pCPU for each of its vCPUs, 0
      what was agreed on, 1 a whole pCPU for each; between them linear;
    - traffic limit, of driver domains' CPU for it: [-1, 0) is up to a whole pCPU, [0, 1] is none.

    The zero vector is SEDF-DC at what was agreed on. Entries outside [-1, 1] are clipped; a domain whose entries are
    not numbers keeps its limits and counts in `info["refused"]`. Entries of absent domains and of driver domains have
    no effect.

    `action="steps"`: `MultiDiscrete([3] * (max_domains * 2))`: 0 lowers, 1 keeps, 2 raises a limit by a tenth of its
    range.

    ## Observation Space
    `Box(0, 1, (max_domains * 18 + 4,), float32)`: as `Host-v0` on a host with devices: for each domain slot present,
    cpu, steal, blocked, wake_latency, demand, attainment, backlog, agreed; packets, dropped, block, rings, served,
    serving, response; and its two limits; then for the host utilisation, switches, domains, agreed.

    ## Starting State
    The scenario's domains with its parameters, after a warm-up (`control.warmup_ms`). Episodes of `split="train"` and
    `split="test"` never coincide.

    ## Reward
    Weighted sum of named terms of the interval, with the scenario's weights, as in `Host-v0`; those made for this:
    `sla` (mean attainment), `goodput` (jobs in time among all that ended), `isolation` (minus the shortfall against
    agreed CPU) and `taken` (minus CPU used beyond agreements, driver domains' work included, while others fell
    short).

    ## Episode End
    Truncated after `control.episode_s` of simulated time; never terminated.

    ## Information
    As of `Host-v0`.

    ## Arguments
    - `scenario`: a name (default `"isolation"`), `"random-io"` (a random host in each episode), a YAML file or a
      `ScenarioConfig`; some domain must run an operating system.
    - `split`, `action`, `data`, `render_mode`: as of `Host-v0`.

    The scheduler is always `share-guard` with `collects_debts`, that is SEDF-DC and ShareGuard together, on the rules
    of Xen 3.0.2.

    ## Version History
    - v0: first version.
    """

    stepper_class: ClassVar[type[HostStepper]] = DriverDomainStepper

    def __init__(
        self,
        scenario: str | Path | ScenarioConfig = "isolation",
        *,
        split: str = "train",
        action: Literal["box", "steps"] = "box",
        data: str | Path | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            scenario, split=split, action=action, scheduler=LIMITING_SCHEDULER, data=data, render_mode=render_mode
        )
        if self.host.sections.get("os_domain") is None:
            raise ScenarioError(
                f"scenario {self.episode.config.name!r} has no domain whose program is 'os', so there are no driver "
                "domains to limit; xengym/Host-v0 runs it"
            )
