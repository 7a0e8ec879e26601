"""Typed, closed description of a scenario: a machine, its scheduler, its domains, and what an agent is rewarded for.

Unknown keys and impossible values are errors that name the file, the key, what was found and what was expected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from xengym.machine.memory_costs import FLOOR_PAGES, HOST_PAGES, PAGES_PER_MIB
from xengym.scenarios.closed import Closed, DistributionConfig, NonNegativeMs, PositiveMs
from xengym.scenarios.devices import ClientsConfig, DevicesConfig, OsConfig, TransferConfig, VbdConfig, VifConfig
from xengym.scenarios.memory import MemoryConfig, MemoryCostsConfig, Mib

NAMED_SCENARIOS_DIR = Path(__file__).parent / "named"


class ScenarioError(ValueError):
    """A scenario cannot be used; the message names file and key."""


class HogConfig(Closed):
    """Always wants to run."""

    kind: Literal["hog"]


class PeriodicConfig(Closed):
    """Runs so long, then blocks until the next period."""

    kind: Literal["periodic"]
    run_ms: PositiveMs
    period_ms: PositiveMs
    offset_ms: NonNegativeMs = 0.0


class ListConfig(Closed):
    """A list of [run, block] pairs in ms; block -1 yields."""

    kind: Literal["list"]
    pairs_ms: Annotated[list[tuple[float, float]], Field(min_length=1)]
    loop: bool = True


class OnOffConfig(Closed):
    """Random work and random sleep in turn (``on`` and ``off`` would be booleans in YAML)."""

    kind: Literal["onoff"]
    run: DistributionConfig
    sleep: DistributionConfig


class ServerConfig(Closed):
    """Open arrivals with a queue."""

    kind: Literal["server"]
    arrival: DistributionConfig
    service: DistributionConfig


class ReplayConfig(Closed):
    """Demand from a utilisation trace (PlanetLab day, or the calibrated generator).

    Attributes:
        vm: row of the day, or None for a random one in each episode.
        mean_pct: a random VM's mean utilisation lies in this range.
        first_sample: where in the day to begin, or None for a random sample in each episode.
        sample_s: simulated length of one 5-minute sample; 300 is real time.
        job_period_ms: how finely demand is spread.
        spread: burstiness of single jobs (0: none).
    """

    kind: Literal["replay"]
    vm: Annotated[int, Field(ge=0)] | None = None
    mean_pct: tuple[float, float] = (0.0, 100.0)
    first_sample: Annotated[int, Field(ge=0)] | None = None
    sample_s: PositiveFloat = 300.0
    job_period_ms: PositiveMs = 20.0
    spread: Annotated[float, Field(ge=0, le=4)] = 0.0


class ProcessConfig(Closed):
    """Operations of a guest's kernel: forks, page faults and the like; what each costs depends on the domain's type.

    Attributes:
        preset: a named load of ``guests.programs.PROCESS_PRESETS``; either this or ``mix``.
        mix: weight of each operation, by its name in ``machine.privilege.OPERATIONS``.
        ops_per_s: operations in a second; 0: as many as it gets CPU for. Default the preset's, or 0.
        burst_ops: operations in a piece of work. Default the preset's, or 16.
        user_us: CPU time of the program itself beside each operation. Default the preset's, or 0.
    """

    kind: Literal["process"]
    preset: Literal["fork_and_fault", "fork_bomb", "memory_toucher"] | None = None
    mix: dict[str, PositiveFloat] | None = None
    ops_per_s: Annotated[float, Field(ge=0, le=1e9)] | None = None
    burst_ops: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    user_us: Annotated[float, Field(ge=0, le=1e9)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ProcessConfig:
        if (self.preset is None) == (self.mix is None):
            raise ValueError("a process needs either a preset or a mix")
        return self


class XenbakedConfig(Closed):
    """The monitor's process in Dom0; it has something to do only if ``costs.monitor_record_us`` is above 0."""

    kind: Literal["xenbaked"]
    period_ms: PositiveMs = 100.0


ProgramConfig = Annotated[
    HogConfig
    | PeriodicConfig
    | ListConfig
    | OnOffConfig
    | ServerConfig
    | ReplayConfig
    | ProcessConfig
    | XenbakedConfig
    | MemoryConfig
    | OsConfig,
    Field(discriminator="kind"),
]


class DomainConfig(Closed):
    """One domain.

    Attributes:
        name: for tables; unique.
        id: domain id; default its place in the list.
        type: paravirtualised (``pv``), or fully virtualised with the processor's help (``hvm``).
        vcpus: number of vCPUs.
        params: scheduler parameters, in the scheduler's own words.
        params_under: parameters in place of ``params`` under other schedulers, by the scheduler's name.
        program: what its vCPUs run.
        start_ms: when it starts.
        cpus: pCPUs it may run on (hard affinity); default all.
        cpus_soft: pCPUs it prefers; default all.
        latency_target_ms: agreed response time of its jobs; 0: none.
        agreed_pcpus: CPU agreed on, in pCPUs; 0: none.
        memory_mib: memory that it starts with; default what its program says (``os``, ``memory``), else none counts.
        max_memory_mib: that its balloon may take it to; default ``memory_mib``.
        min_memory_mib: that its kernel needs and its balloon leaves it.
        vifs: its virtual network interfaces; its program must be an operating system (``os``).
        vbds: its virtual block devices, likewise.
        clients: populations of clients outside that talk to it.
        transfers: bulk transfers that it begins or takes part in.
        calls: name of the domain whose service its own service asks.
    """

    name: Annotated[str, Field(min_length=1, max_length=32)]
    id: Annotated[int, Field(ge=0, le=32751)] | None = None
    type: Literal["pv", "hvm"] = "pv"
    vcpus: PositiveInt = 1
    params: dict[str, int] = Field(default_factory=dict)
    params_under: dict[str, dict[str, int]] = Field(default_factory=dict)
    program: ProgramConfig
    start_ms: NonNegativeMs = 0.0
    cpus: list[int] | None = None
    cpus_soft: list[int] | None = None
    latency_target_ms: NonNegativeMs = 0.0
    agreed_pcpus: Annotated[float, Field(ge=0, le=256)] = 0.0
    memory_mib: Mib | None = None
    max_memory_mib: Mib | None = None
    min_memory_mib: Mib = FLOOR_PAGES // PAGES_PER_MIB
    vifs: list[VifConfig] = Field(default_factory=list)
    vbds: list[VbdConfig] = Field(default_factory=list)
    clients: list[ClientsConfig] = Field(default_factory=list)
    transfers: list[TransferConfig] = Field(default_factory=list)
    calls: str | None = None

    @property
    def has_balloon(self) -> bool:
        """Whether its memory counts, so that a balloon can move it."""
        return self.memory_mib is not None or isinstance(self.program, MemoryConfig | OsConfig)


class MachineConfig(Closed):
    """Shape of the machine.

    Attributes:
        memory_mib: that domains may have.
        memory: what moving it costs.
    """

    sockets: PositiveInt = 1
    cores_per_socket: PositiveInt = 4
    threads_per_core: PositiveInt = 1
    memory_mib: Mib = HOST_PAGES // PAGES_PER_MIB
    memory: MemoryCostsConfig = MemoryCostsConfig()


class SchedulerConfig(Closed):
    """Scheduler, release and boot options."""

    name: str = "credit"
    version: str = "current"
    options: dict[str, Any] = Field(default_factory=dict)


class CostsConfig(Closed):
    """Costs paid at a switch to another vCPU, and for being monitored (0: not); sources in ``machine.costs``."""

    context_switch_us: Annotated[float, Field(ge=0, le=1e6)] = 3.0
    cache_refill_us: Annotated[float, Field(ge=0, le=1e6)] = 20.0
    monitor_record_us: Annotated[float, Field(ge=0, le=1e6)] = 0.0


class ControlConfig(Closed):
    """When the agent acts, in simulated time."""

    interval_ms: PositiveMs = 10.0
    episode_s: PositiveFloat = 5.0
    warmup_ms: NonNegativeMs = 100.0


class RewardConfig(Closed):
    """Weights of the reward's terms."""

    sla: float = 1.0
    isolation: float = 0.5
    work: float = 0.1
    switching: float = 0.5
    goodput: float = 0.0
    taken: float = 0.0
    swapping: float = 0.0
    ballooning: float = 0.0


class DeviceLimitsConfig(Closed):
    """Most devices, connections and the like at once; hosts of one layout have the same. ``OsKind`` explains each."""

    max_nics: PositiveInt = 1
    max_disks: PositiveInt = 1
    max_vifs: PositiveInt = 1
    max_vbds: PositiveInt = 1
    max_flows: PositiveInt = 64
    max_requests: Annotated[int, Field(ge=1, le=480)] = 64
    max_loops: PositiveInt = 1
    max_populations: PositiveInt = 1
    max_clients: PositiveInt = 64
    max_streams: Annotated[int, Field(ge=0, le=64)] = 0


class LimitsConfig(Closed):
    """Largest machine state an episode may need; spaces are sized by it.

    Attributes:
        max_domains: domains.
        max_vcpus: guest vCPUs.
        devices: what belongs to devices; None: just what the scenario has.
    """

    max_domains: PositiveInt = 8
    max_vcpus: PositiveInt = 32
    devices: DeviceLimitsConfig | None = None


class ScenarioConfig(Closed):
    """A whole scenario."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_.:-]*$")]
    description: str
    machine: MachineConfig = MachineConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    costs: CostsConfig = CostsConfig()
    domains: Annotated[list[DomainConfig], Field(min_length=1)]
    devices: DevicesConfig = DevicesConfig()
    control: ControlConfig = ControlConfig()
    reward: RewardConfig = RewardConfig()
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _fits(self) -> ScenarioConfig:
        if len(self.domains) > self.limits.max_domains:
            raise ValueError(
                f"domains: at most limits.max_domains = {self.limits.max_domains}, found {len(self.domains)}"
            )
        num_vcpus = sum(domain.vcpus for domain in self.domains)
        if num_vcpus > self.limits.max_vcpus:
            raise ValueError(
                f"domains: at most limits.max_vcpus = {self.limits.max_vcpus} vCPUs in all, found {num_vcpus}"
            )
        names: list[str | int] = [domain.name for domain in self.domains]
        ids: list[str | int] = [self.domid(i) for i in range(len(self.domains))]
        for what, values in (("name", names), ("id", ids)):
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"domains: {what} {value!r} is used {values.count(value)} times, expected once")
        for i, domain in enumerate(self.domains):
            _check_devices(f"domains.{i} ({domain.name})", domain, self)
        return self

    def index_of(self, name: str) -> int:
        """Place of a domain in the list, by name."""
        return [domain.name for domain in self.domains].index(name)

    def domid(self, index: int) -> int:
        """Id of the domain at a place of the list."""
        domid = self.domains[index].id
        return index if domid is None else domid


def _check_devices(where: str, domain: DomainConfig, scenario: ScenarioConfig) -> None:
    """What a domain says of its devices must fit what else there is."""
    names = [other.name for other in scenario.domains]
    with_os = [other.name for other in scenario.domains if isinstance(other.program, OsConfig)]
    nics = [nic.name for nic in scenario.devices.nics]
    uses_devices = domain.vifs or domain.vbds or domain.clients or domain.transfers or domain.calls
    if uses_devices and domain.name not in with_os:
        raise ValueError(f"{where}: only a domain whose program is 'os' has devices, clients or calls")
    for vif in domain.vifs:
        if vif.nic is not None and vif.nic not in nics:
            raise ValueError(f"{where}: vifs: nic {vif.nic!r} is not among devices.nics ({', '.join(nics) or 'none'})")
        if vif.backend is not None and vif.backend not in with_os:
            raise ValueError(f"{where}: vifs: backend {vif.backend!r} is no domain whose program is 'os'")
    disks = [disk.name for disk in scenario.devices.disks]
    for vbd in domain.vbds:
        if vbd.disk not in disks:
            raise ValueError(
                f"{where}: vbds: disk {vbd.disk!r} is not among devices.disks ({', '.join(disks) or 'none'})"
            )
    for peer in (*(transfer.peer for transfer in domain.transfers), domain.calls):
        if peer is not None and peer not in with_os:
            known = ", ".join(names)
            raise ValueError(f"{where}: {peer!r} is no domain whose program is 'os'; the domains are {known}")
    if isinstance(domain.program, OsConfig) and not domain.vbds:
        service = domain.program.service
        if any(loop.disk_frac > 0 for loop in domain.program.loops) or (service is not None and service.disk_frac > 0):
            raise ValueError(
                f"{where}: a program goes to the disk (disk_frac above 0), so a block device (vbds) is needed"
            )
    if domain.clients and not domain.vifs:
        raise ValueError(f"{where}: clients need a network interface (vifs) to talk to")


def explain(error: ValidationError, source: str) -> str:
    """The first problem of a validation error in one line: source, key, what was expected, what was found."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
    kind = first["type"]
    if kind == "extra_forbidden":
        return f"{source}: key {key!r}: not known here; check its spelling and place, found {first['input']!r:.60}"
    if kind == "missing":
        return f"{source}: key {key!r}: is missing"
    found = "" if kind == "value_error" else f", found {first['input']!r:.60}"
    return f"{source}: key {key!r}: {first['msg']}{found}"


def parse_scenario(data: Any, source: str) -> ScenarioConfig:
    """Validate plain data as a scenario.

    Raises:
        ScenarioError: says where (``source`` and key) and what was expected.
    """
    if not isinstance(data, dict):
        raise ScenarioError(
            f"{source}: expected a mapping with keys name, description, domains ..., found {type(data).__name__}"
        )
    try:
        return ScenarioConfig.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(explain(error, source)) from error


def read_yaml(path: Path) -> Any:
    """Plain data of a YAML file (no code is run, nothing is evaluated).

    Raises:
        ScenarioError: missing, or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ScenarioError(f"{path}{line}: is not YAML: {getattr(error, 'problem', error)}") from error


def load_scenario_file(path: str | Path) -> ScenarioConfig:
    """Load a scenario from a YAML file.

    Raises:
        ScenarioError: missing, not YAML, or not a scenario.
    """
    path = Path(path)
    return parse_scenario(read_yaml(path), str(path))
