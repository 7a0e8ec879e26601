"""Typed, closed description of a cluster: hosts, network, domains and where their demand comes from.

A file says ``kind: cluster`` at its top, which tells it from a host's scenario. Errors name file, key, what was found
and expected.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from xengym.hypervisor.move_spec import MoveSpec
from xengym.scenarios.closed import Closed, Fraction, NonNegativeMs
from xengym.scenarios.config import ScenarioError, explain

#: Idle and busy watts of machines that studies of consolidation use (SPECpower_ssj2008, as in Beloglazov and Buyya,
#: Concurrency and Computation 24(13), 2012).
POWER_PRESETS = {"hp-ml110-g4": (86.0, 117.0), "hp-ml110-g5": (93.7, 135.0)}

#: Devices by name; a host has some, a domain needs some.
MAX_DEVICES = 63


class PowerConfig(Closed):
    """A host's power.

    Attributes:
        preset: idle and busy watts by name.
        idle_watts: without a preset.
        busy_watts: likewise.
        suspended_watts: assumed; the studies count a suspended host as 0.
        suspend_s: how long suspending takes; assumed.
        wake_s: and waking.
    """

    preset: Literal["hp-ml110-g4", "hp-ml110-g5"] | None = None
    idle_watts: NonNegativeFloat | None = None
    busy_watts: NonNegativeFloat | None = None
    suspended_watts: NonNegativeFloat = 5.0
    suspend_s: NonNegativeFloat = 8.0
    wake_s: NonNegativeFloat = 12.0

    @model_validator(mode="after")
    def _is_complete(self) -> PowerConfig:
        if (self.preset is None) != (self.idle_watts is not None and self.busy_watts is not None):
            raise ValueError("expected either a preset, or idle_watts and busy_watts")
        if self.idle_watts is not None and self.busy_watts is not None and self.idle_watts > self.busy_watts:
            raise ValueError(f"expected idle_watts <= busy_watts, found {self.idle_watts} and {self.busy_watts}")
        return self

    @property
    def watts(self) -> tuple[float, float]:
        """Idle and busy."""
        if self.preset is not None:
            return POWER_PRESETS[self.preset]
        return float(self.idle_watts or 0), float(self.busy_watts or 0)


class HostGroupConfig(Closed):
    """Hosts that are alike.

    Attributes:
        name: of the group; unique.
        count: how many.
        pcpus: of each.
        speed: of a pCPU, in reference pCPUs.
        memory_mib: for guests.
        racks: names of racks over which they are spread, in equal stretches.
        subnet: number.
        storage: ``shared`` by all hosts of a site, or ``local``.
        devices: names.
        scheduler: how their pCPUs are shared.
        nic_mbit_per_s: of the network card, each way.
        dom0_pcpus: reference pCPUs that Dom0 has for moves at most.
        power: watts and times.
    """

    name: Annotated[str, Field(min_length=1, max_length=32)]
    count: PositiveInt
    pcpus: PositiveInt = 4
    speed: PositiveFloat = 1.0
    memory_mib: PositiveInt = 16384
    racks: Annotated[list[str], Field(min_length=1)] = ["rack"]
    subnet: NonNegativeInt = 0
    storage: Literal["shared", "local"] = "shared"
    devices: list[str] = Field(default_factory=list)
    scheduler: Literal["credit", "sedf"] = "credit"
    nic_mbit_per_s: PositiveFloat = 1000.0
    dom0_pcpus: PositiveFloat = 1.0
    power: PowerConfig = PowerConfig(preset="hp-ml110-g4")


class SiteConfig(Closed):
    """A place.

    Attributes:
        name: unique.
        peak_h: hour of the simulated day at which most clients are nearest to it; None for all sites: clients are
            everywhere.
    """

    name: Annotated[str, Field(min_length=1)]
    peak_h: Annotated[float, Field(ge=0, lt=24)] | None = None


class RackConfig(Closed):
    """A rack at a site, with its uplink."""

    name: Annotated[str, Field(min_length=1)] = "rack"
    site: str = "site"
    uplink_mbit_per_s: PositiveFloat | None = None
    delay_ms: NonNegativeMs = 0.0


class SiteLinkConfig(Closed):
    """A link between two sites, alike both ways."""

    between: tuple[str, str]
    mbit_per_s: PositiveFloat
    delay_ms: NonNegativeMs = 0.0


class MemoryConfig(Closed):
    """How a domain writes to its memory: a hot part and the rest (Clark et al., NSDI 2005, section 4).

    Attributes:
        hot_frac: part of its pages that is hot.
        hot_writes_per_s: page writes there, at full activity.
        cold_writes_per_s: page writes elsewhere.
        free_frac: part that its operating system does not use.
    """

    hot_frac: Annotated[float, Field(gt=0, lt=1)] = 0.02
    hot_writes_per_s: NonNegativeFloat = 2000.0
    cold_writes_per_s: NonNegativeFloat = 100.0
    free_frac: Annotated[float, Field(ge=0, lt=1)] = 0.0


class ConstantDemand(Closed):
    """The same at all times."""

    kind: Literal["constant"]
    pct: Annotated[float, Field(ge=0, le=100)] = 50.0


class WaveDemand(Closed):
    """A daily or other wave, with noise; drawn from the episode's seed.

    Attributes:
        low_pct: mean at its lowest.
        high_pct: and at its highest.
        period_h: length.
        peak_h: when it is highest, since the beginning.
        spread_pct: standard deviation of the noise from sample to sample.
    """

    kind: Literal["wave"]
    low_pct: Annotated[float, Field(ge=0, le=100)] = 10.0
    high_pct: Annotated[float, Field(ge=0, le=100)] = 80.0
    period_h: PositiveFloat = 24.0
    peak_h: NonNegativeFloat = 12.0
    spread_pct: NonNegativeFloat = 5.0


class PlanetLabDemand(Closed):
    """A PlanetLab day if there is one among the data, else the generator with its statistics.

    Attributes:
        order: ``rows``: domain i follows row i; ``random``: rows are drawn anew in each episode.
        phase: ``aligned``: all begin at the day's first sample; ``random``: each somewhere else.
    """

    kind: Literal["planetlab"]
    order: Literal["rows", "random"] = "random"
    phase: Literal["aligned", "random"] = "aligned"


class BitbrainsDemand(Closed):
    """Bitbrains machines if there are some among the data, else the generator with their statistics.

    Attributes:
        days: length.
        sizes: ``trace``: vCPUs and memory are the machine's; ``group``: the group's.
        order: ``rows`` or ``random``; more domains than machines take machines again, at other times of the trace.
        phase: as for PlanetLab.
    """

    kind: Literal["bitbrains"]
    days: Annotated[int, Field(ge=1, le=30)] = 7
    sizes: Literal["trace", "group"] = "trace"
    order: Literal["rows", "random"] = "random"
    phase: Literal["aligned", "random"] = "aligned"


class AzureDemand(Closed):
    """Azure's machines; there have to be some among the data. Attributes as for Bitbrains."""

    kind: Literal["azure"]
    sizes: Literal["trace", "group"] = "trace"
    order: Literal["rows", "random"] = "random"
    phase: Literal["aligned", "random"] = "aligned"


DemandConfig = Annotated[
    ConstantDemand | WaveDemand | PlanetLabDemand | BitbrainsDemand | AzureDemand, Field(discriminator="kind")
]


class DomainGroupConfig(Closed):
    """Domains that are alike.

    Attributes:
        name: of the group; unique.
        count: how many; None: as many as the demand's source has machines.
        vcpus: of each.
        size_pcpus: reference pCPUs that a demand of 100 % stands for, or several, taken in turn; None: as many as
            vCPUs.
        memory_mib: of each, or several, taken in turn.
        memory: how they write to it.
        weight, cap_pct: as Xen's.
        slice_ms, period_ms, extra: reservation of each vCPU under SEDF; period 0: none.
        spread_over: so many consecutive domains are an anti-affinity group; 0: none.
        devices: names of devices that they need.
        pinned: they may not be moved.
        demand: where it comes from.
        net_mbit_per_s: that each sends at a demand of 100 %.
        connections: open ones of each.
        disk_mib: of its disk.
        hosts: names of host groups or racks where they begin; None: the placement rule decides among all.
    """

    name: Annotated[str, Field(min_length=1, max_length=32)]
    count: PositiveInt | None = None
    vcpus: PositiveInt = 1
    size_pcpus: list[PositiveFloat] | PositiveFloat | None = None
    memory_mib: list[PositiveInt] | PositiveInt = 1024
    memory: MemoryConfig = MemoryConfig()
    weight: Annotated[int, Field(ge=1, le=65535)] = 256
    cap_pct: NonNegativeInt = 0
    slice_ms: NonNegativeMs = 0.0
    period_ms: NonNegativeMs = 0.0
    extra: bool = True
    spread_over: NonNegativeInt = 0
    devices: list[str] = Field(default_factory=list)
    pinned: bool = False
    demand: DemandConfig
    net_mbit_per_s: NonNegativeFloat = 0.0
    connections: NonNegativeInt = 0
    disk_mib: NonNegativeInt = 0
    hosts: list[str] | None = None


class ArrivalsConfig(Closed):
    """Domains that come and go: a Poisson process, and exponential lives.

    Attributes:
        group: name of the domain group that they are like.
        per_hour: mean arrivals.
        life_h: mean life.
    """

    group: str
    per_hour: PositiveFloat
    life_h: PositiveFloat


class MoveConfig(Closed):
    """How domains are moved; each as in ``hypervisor.move_spec.MoveSpec``, which has the sources."""

    kind: Literal["live", "stop", "self"] = "live"
    law: Literal["paper", "shipped", "constant"] = "paper"
    stop_rule: Literal["paper", "shipped", "rounds"] = "shipped"
    min_mbit_per_s: PositiveFloat = 100.0
    max_mbit_per_s: PositiveFloat = 500.0
    step_mbit_per_s: NonNegativeFloat = 50.0
    max_rounds: Annotated[int, Field(ge=1, le=40)] = 4
    gives_back_free: bool = False
    stuns_from_round: NonNegativeInt = 0
    request_ms: NonNegativeMs = 1.0
    suspend_ms: NonNegativeMs = 18.0
    resume_ms: NonNegativeMs = 20.0
    commit_ms: NonNegativeMs = 0.2
    per_host: PositiveInt = 4
    at_once: PositiveInt | None = None
    crosses_subnets: bool = False
    least_link_frac: Fraction = 0.1

    def spec(self) -> MoveSpec:
        """What the engine takes."""
        ours = {"per_host", "at_once", "crosses_subnets", "least_link_frac"}
        return MoveSpec(**self.model_dump(exclude=ours))


class ClusterControlConfig(Closed):
    """When policies and agents act, in simulated time."""

    interval_s: PositiveFloat = 300.0
    episode_s: PositiveFloat = 86_400.0


class ClusterRewardConfig(Closed):
    """Weights of the reward's terms, each of which is at most 0 (``envs.cluster.stepper.CLUSTER_TERMS``)."""

    violations: float = 10.0
    downtime: float = 100.0
    energy: float = 1.0
    migrations: float = 0.05
    remote: float = 0.0


class ClusterConfig(Closed):
    """A whole cluster."""

    kind: Literal["cluster"]
    name: Annotated[str, Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_.:-]*$")]
    description: str
    sites: Annotated[list[SiteConfig], Field(min_length=1)] = [SiteConfig(name="site")]
    racks: Annotated[list[RackConfig], Field(min_length=1)] = [RackConfig()]
    site_links: list[SiteLinkConfig] = Field(default_factory=list)
    hosts: Annotated[list[HostGroupConfig], Field(min_length=1)]
    domains: Annotated[list[DomainGroupConfig], Field(min_length=1)]
    arrivals: list[ArrivalsConfig] = Field(default_factory=list)
    placement: Literal["first-fit", "best-fit", "worst-fit", "balance"] = "balance"
    moves: MoveConfig = MoveConfig()
    control: ClusterControlConfig = ClusterControlConfig()
    reward: ClusterRewardConfig = ClusterRewardConfig()
    max_domains: PositiveInt | None = None

    @model_validator(mode="after")
    def _fits(self) -> ClusterConfig:
        _once("sites", [site.name for site in self.sites])
        _once("racks", [rack.name for rack in self.racks])
        _once("hosts", [group.name for group in self.hosts])
        _once("domains", [group.name for group in self.domains])
        sites, racks = {site.name for site in self.sites}, {rack.name for rack in self.racks}
        for rack in self.racks:
            _known(f"racks ({rack.name}): site", rack.site, sites)
        for link in self.site_links:
            for end in link.between:
                _known("site_links: between", end, sites)
        for group in self.hosts:
            for name in group.racks:
                _known(f"hosts ({group.name}): racks", name, racks)
        places = racks | {group.name for group in self.hosts}
        for domains in self.domains:
            for name in domains.hosts or ():
                _known(f"domains ({domains.name}): hosts", name, places)
            if domains.count is None and domains.demand.kind in ("constant", "wave"):
                raise ValueError(f"domains ({domains.name}): count is needed with demand {domains.demand.kind!r}")
            if domains.slice_ms > domains.period_ms:
                raise ValueError(f"domains ({domains.name}): slice_ms must not exceed period_ms")
        for arrivals in self.arrivals:
            _known("arrivals: group", arrivals.group, {group.name for group in self.domains})
        if len(self.device_names()) > MAX_DEVICES:
            raise ValueError(f"devices: at most {MAX_DEVICES} different names")
        peaks = [site.peak_h is not None for site in self.sites]
        if any(peaks) and not all(peaks):
            raise ValueError("sites: either all have a peak_h or none")
        return self

    def device_names(self) -> list[str]:
        """All names of devices, in the order of their bits."""
        names = [name for hosts in self.hosts for name in hosts.devices]
        names += [name for domains in self.domains for name in domains.devices]
        return list(dict.fromkeys(names))


def _once(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what}: name {name!r} is used {names.count(name)} times, expected once")


def _known(what: str, name: str, known: set[str]) -> None:
    if name not in known:
        raise ValueError(f"{what}: {name!r} is not one of {', '.join(sorted(known))}")


def parse_cluster(data: Any, source: str) -> ClusterConfig:
    """Validate plain data as a cluster.

    Raises:
        ScenarioError: says where (``source`` and key) and what was expected.
    """
    if not isinstance(data, dict):
        raise ScenarioError(f"{source}: expected a mapping with kind: cluster, found {type(data).__name__}")
    try:
        return ClusterConfig.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(explain(error, source)) from error
