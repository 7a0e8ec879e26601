"""From a scenario to a running machine."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from xengym.guests.cpu import HogKind, ListKind, OnOffKind, PeriodicKind
from xengym.guests.memory_worker import MemoryWorkerKind
from xengym.guests.os.specs import Os
from xengym.guests.process import ProcessKind
from xengym.guests.programs import (
    PROCESS_PRESETS,
    Hog,
    OnOff,
    Periodic,
    Process,
    ProgramSpec,
    Replay,
    Server,
    WorkList,
    Xenbaked,
)
from xengym.guests.server import ReplayKind, ServerKind
from xengym.guests.xenbaked import XenbakedKind
from xengym.hypervisor.core import GuestKind
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.costs import MONITOR_RECORD_NS, Costs
from xengym.machine.memory_costs import PAGES_PER_MIB
from xengym.machine.topology import Topology
from xengym.policies.schedulers.api import Scheduler
from xengym.policies.schedulers.registry import make_scheduler, scheduler_names
from xengym.scenarios.build_devices import create_devices, device_kind, has_devices, os_program
from xengym.scenarios.closed import DistributionConfig
from xengym.scenarios.config import (
    DomainConfig,
    HogConfig,
    ListConfig,
    OnOffConfig,
    PeriodicConfig,
    ProcessConfig,
    ProgramConfig,
    ReplayConfig,
    ScenarioConfig,
    ScenarioError,
    SchedulerConfig,
    ServerConfig,
    XenbakedConfig,
)
from xengym.scenarios.demand import DemandSource, find_demand
from xengym.scenarios.devices import OsConfig
from xengym.scenarios.memory import MemoryConfig, memory_program
from xengym.sim.random import DistributionSpec
from xengym.units import MS_NS, ms_to_ns, s_to_ns, us_to_ns

#: Seed of the day that stands in where no trace is given: a fixed data set, not a part of an episode's randomness.
SYNTHETIC_DAY_SEED = 20110303

#: Mixed into an episode's seed for what is drawn when it is set up, so that set-up and kernel streams are unrelated.
_SETUP_STREAM = 0x5E7


@lru_cache(maxsize=4)
def demand_source(data: Path | None) -> DemandSource:
    """The trace folder given, or the calibrated generator; read once."""
    return find_demand(data, seed=SYNTHETIC_DAY_SEED)


def needs_demand(config: ScenarioConfig) -> bool:
    """Whether any domain replays a trace."""
    return any(isinstance(domain.program, ReplayConfig) for domain in config.domains)


def build_scheduler(config: SchedulerConfig) -> Scheduler:
    """The scheduling policy of a scenario.

    Raises:
        ScenarioError: unknown scheduler, version or option, or an impossible value.
    """
    try:
        return make_scheduler(config.name, config.version, **config.options)
    except (ValueError, TypeError) as error:
        raise ScenarioError(f"key 'scheduler': {error}") from error


def parse_scheduler(text: str) -> SchedulerConfig:
    """A scheduler from its name (``"sedf"``) or name and version (``"credit-3.2"``).

    Raises:
        ScenarioError: there is no such scheduler.
    """
    if text in scheduler_names():
        return SchedulerConfig(name=text)
    name, _, version = text.rpartition("-")
    if name not in scheduler_names():
        raise ScenarioError(
            f"unknown scheduler {text!r}; expected one of {', '.join(scheduler_names())}, or one of them "
            "with a version, as credit-4.5"
        )
    return SchedulerConfig(name=name, version=version)


def with_scheduler(config: ScenarioConfig, scheduler: str | SchedulerConfig | None) -> ScenarioConfig:
    """The scenario under another scheduler.

    Domains get the parameters that the scenario states for it (``params_under``); else theirs carry over where they
    have a counterpart.

    Args:
        config: the scenario.
        scheduler: name, name and version, or configuration; None: the scenario as it is.

    Raises:
        ScenarioError: unknown scheduler, version or option.
    """
    if scheduler is None:
        return config
    if isinstance(scheduler, str):
        scheduler = parse_scheduler(scheduler)
    if scheduler == config.scheduler:
        return config
    target = build_scheduler(scheduler)
    domains = list(config.domains)
    if any(domain.params or domain.params_under for domain in domains):
        host = build_host(config)
        populate(host, config, seed=0)
        shares = [host.scheduler.share(slot) for slot in range(len(domains))]
        for i, (domain, share) in enumerate(zip(domains, shares, strict=True)):
            if scheduler.name in domain.params_under:
                domains[i] = domain.model_copy(update={"params": domain.params_under[scheduler.name]})
            elif domain.params:
                params, _ = target.params_from(share, domain.vcpus)
                domains[i] = domain.model_copy(update={"params": params})
    return config.model_copy(update={"scheduler": scheduler, "domains": domains})


def with_monitor(config: ScenarioConfig) -> ScenarioConfig:
    """The scenario with XenMon running on its host: what that costs is charged, and its process has a domain.

    That is domain 0, if the scenario has none; otherwise one of its own with the next free id, for a domain of a
    scenario runs one program.
    """
    ids = [config.domid(i) for i in range(len(config.domains))]
    domid = 0 if 0 not in ids else max(ids) + 1
    names = {domain.name for domain in config.domains}
    name = next(name for name in ("dom0", "xenbaked", f"xenbaked-{domid}") if name not in names)
    # Ids that follow from the place in the list are written down, so that they stay.
    domains = [domain.model_copy(update={"id": ids[i]}) for i, domain in enumerate(config.domains)]
    domains.append(DomainConfig(name=name, id=domid, program=XenbakedConfig(kind="xenbaked")))
    limits = config.limits
    return config.model_copy(
        update={
            "domains": domains,
            "costs": config.costs.model_copy(update={"monitor_record_us": MONITOR_RECORD_NS / 1e3}),
            "limits": limits.model_copy(
                update={"max_domains": limits.max_domains + 1, "max_vcpus": limits.max_vcpus + 1}
            ),
        }
    )


def build_host(config: ScenarioConfig) -> Host:
    """An empty machine as the scenario describes it.

    Raises:
        ScenarioError: the machine or its scheduler cannot exist.
    """
    try:
        topology = Topology(config.machine.sockets, config.machine.cores_per_socket, config.machine.threads_per_core)
    except ValueError as error:
        raise ScenarioError(f"key 'machine': {error}") from error
    costs = Costs(
        us_to_ns(config.costs.context_switch_us),
        us_to_ns(config.costs.cache_refill_us),
        monitor_record_ns=us_to_ns(config.costs.monitor_record_us),
    )
    kinds: list[GuestKind] = [
        HogKind(), PeriodicKind(), ListKind(), OnOffKind(), ServerKind(), ReplayKind(), ProcessKind(), XenbakedKind(),
        MemoryWorkerKind(),
    ]  # fmt: skip
    if has_devices(config):
        try:
            kinds.append(device_kind(config))
        except ValueError as error:
            raise ScenarioError(f"key 'limits': {error}") from error
    return Host(
        topology,
        build_scheduler(config.scheduler),
        kinds,
        costs=costs,
        max_domains=config.limits.max_domains,
        max_vcpus=config.limits.max_vcpus,
        memory_pages=config.machine.memory_mib * PAGES_PER_MIB,
        memory_costs=config.machine.memory.costs(),
    )


class Plan:
    """A scenario made ready to be set up many times, once for each episode.

    Args:
        config: the scenario.
        data: folder with PlanetLab days for replayed demand; None: ``XENGYM_DATA``, else the generator.

    Raises:
        ScenarioError: a program is impossible; names the domain and what was expected.
    """

    def __init__(self, config: ScenarioConfig, data: Path | None = None) -> None:
        self.config = config
        self._source = demand_source(data) if needs_demand(config) else None
        self._domains = [(config.domid(i), domain, _program(domain)) for i, domain in enumerate(config.domains)]
        self._arguments: list[dict[str, Any]] = [
            {
                "num_vcpus": domain.vcpus,
                "name": domain.name,
                "params": domain.params,
                "start_ns": ms_to_ns(domain.start_ms),
                "hard_affinity": domain.cpus,
                "soft_affinity": domain.cpus_soft,
                "latency_target_ns": ms_to_ns(domain.latency_target_ms),
                "agreed_pcpus": domain.agreed_pcpus,
                "is_hvm": domain.type == "hvm",
                "memory_pages": _pages(domain.memory_mib),
                "max_memory_pages": _pages(domain.max_memory_mib),
                "min_memory_pages": domain.min_memory_mib * PAGES_PER_MIB,
            }
            for domain in config.domains
        ]

    def populate(self, host: Host, *, seed: int) -> None:
        """Return a host to time 0 and create the scenario's domains on it.

        Args:
            host: from ``build_host`` of this scenario, or of one with the same machine, scheduler and limits.
            seed: the episode's seed: every random choice of set-up and of the run follows from it.

        Raises:
            ScenarioError: a domain cannot exist; names it and what was expected.
        """
        host.reset(seed)
        control = Domctl(host)
        setup: np.random.Generator | None = None
        for index, (domid, domain, program) in enumerate(self._domains):
            if program is None:
                setup = np.random.default_rng([seed, _SETUP_STREAM]) if setup is None else setup
                assert self._source is not None
                program = _replay(domain, self._source, setup)
            try:
                control.create_domain(domid, program, **self._arguments[index])
            except ValueError as error:
                raise ScenarioError(f"key 'domains.{index}' ({domain.name}): {error}") from error
        if has_devices(self.config):
            try:
                create_devices(host, self.config)
            except ValueError as error:
                raise ScenarioError(str(error)) from error


def populate(host: Host, config: ScenarioConfig, *, seed: int, data: Path | None = None) -> None:
    """Set a scenario up once; see ``Plan``, which does it many times."""
    Plan(config, data).populate(host, seed=seed)


def check_scenario(config: ScenarioConfig, source: str, *, data: Path | None = None) -> None:
    """Set a scenario up once, so that every impossible value shows now and with the file's name.

    Raises:
        ScenarioError: names ``source``, key, what was found and what was expected.
    """
    try:
        populate(build_host(config), config, seed=0, data=data)
    except ScenarioError as error:
        raise ScenarioError(f"{source}: {error}") from error


def _pages(mib: int | None) -> int | None:
    return None if mib is None else mib * PAGES_PER_MIB


def _distribution(config: DistributionConfig) -> DistributionSpec:
    return DistributionSpec(config.kind, config.mean_ms * MS_NS, config.spread)


def _program(domain: DomainConfig) -> ProgramSpec | Os | None:
    """What a domain runs; None for replayed demand, which is drawn anew for each episode."""
    program: ProgramConfig = domain.program
    try:
        match program:
            case HogConfig():
                return Hog()
            case PeriodicConfig():
                return Periodic(ms_to_ns(program.run_ms), ms_to_ns(program.period_ms), ms_to_ns(program.offset_ms))
            case ListConfig():
                pairs = tuple(
                    (ms_to_ns(run), -1 if block == -1 else ms_to_ns(block)) for run, block in program.pairs_ms
                )
                return WorkList(pairs, program.loop)
            case OnOffConfig():
                return OnOff(_distribution(program.run), _distribution(program.sleep))
            case MemoryConfig():
                return memory_program(program)
            case ServerConfig():
                return Server(_distribution(program.arrival), _distribution(program.service))
            case OsConfig():
                return os_program(program, domain.vbds)
            case ReplayConfig():
                return None
            case ProcessConfig():
                return _process(program)
            case XenbakedConfig():
                return Xenbaked(ms_to_ns(program.period_ms))
            case _:
                assert_never(program)
    except ValueError as error:
        raise ScenarioError(f"domain {domain.name!r}, key 'program': {error}") from error


def _process(program: ProcessConfig) -> Process:
    base = Process(tuple(program.mix.items())) if program.mix is not None else PROCESS_PRESETS[program.preset or ""]
    given: dict[str, Any] = {
        "ops_per_s": program.ops_per_s,
        "burst_ops": program.burst_ops,
        "user_ns": None if program.user_us is None else us_to_ns(program.user_us),
    }
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def _replay(domain: DomainConfig, source: DemandSource, setup: np.random.Generator) -> Replay:
    program = domain.program
    assert isinstance(program, ReplayConfig)
    day = source.day
    where = f"domain {domain.name!r}, key 'program'"
    if program.vm is not None:
        if program.vm >= day.num_vms:
            raise ScenarioError(f"{where}: vm must be 0..{day.num_vms - 1} in {source.description}, found {program.vm}")
        row = program.vm
    else:
        low, high = program.mean_pct
        means = vm_means(source)
        rows = np.flatnonzero((means >= low) & (means <= high))
        if len(rows) == 0:
            raise ScenarioError(f"{where}: no VM has a mean of {low}..{high} % in {source.description}")
        row = int(rows[setup.integers(len(rows))])
    series = day.cpu_pct[row]
    first = program.first_sample if program.first_sample is not None else int(setup.integers(len(series)))
    try:
        return Replay(
            series,
            sample_ns=s_to_ns(program.sample_s),
            job_period_ns=ms_to_ns(program.job_period_ms),
            first_sample=first,
            spread=program.spread,
        )
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}") from error


@lru_cache(maxsize=4)
def _means(source: DemandSource) -> NDArray[np.float64]:
    return np.asarray(source.day.cpu_pct.mean(axis=1), dtype=np.float64)


def vm_means(source: DemandSource) -> NDArray[np.float64]:
    """Mean utilisation of each VM of the day, percent, shape ``(num_vms,)``."""
    return _means(source)
