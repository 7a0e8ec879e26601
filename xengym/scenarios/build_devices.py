"""From a scenario's devices to those of a running machine."""

from __future__ import annotations

from collections.abc import Callable

from xengym.guests.os.devctl import Devctl
from xengym.guests.os.kind import OsKind
from xengym.guests.os.specs import Clients, Loop, Os, Service
from xengym.hypervisor.host import Host
from xengym.machine.disk_model import DISKS
from xengym.machine.io_costs import IO_COSTS
from xengym.scenarios.closed import DistributionConfig
from xengym.scenarios.config import DomainConfig, ScenarioConfig
from xengym.scenarios.devices import IO_MODELS, ClientsConfig, LoopConfig, OsConfig, ServiceConfig, VbdConfig
from xengym.sim.random import DistributionSpec
from xengym.units import MS_NS, ms_to_ns, us_to_ns

_PAGES_PER_MIB = 256
_SECTORS_PER_MIB = 2048

#: Connections to spare beside those that clients, services and transfers need.
_SPARE_FLOWS = 16


def has_devices(config: ScenarioConfig) -> bool:
    """Whether any domain runs an operating system."""
    return any(isinstance(domain.program, OsConfig) for domain in config.domains)


def device_kind(config: ScenarioConfig) -> OsKind:
    """The guest kind that drives the scenario's devices, with room for just what it needs."""
    domains = config.domains
    programs = [domain.program for domain in domains if isinstance(domain.program, OsConfig)]
    populations = [clients for domain in domains for clients in domain.clients]
    processes = sum(program.service.processes for program in programs if program.service is not None)
    transfers = sum(len(domain.transfers) for domain in domains)
    num_clients = sum(clients.num for clients in populations)
    if config.limits.devices is not None:
        limits = config.limits.devices.model_dump()
    else:
        limits = {
            "max_nics": max(1, len(config.devices.nics)),
            "max_disks": max(1, len(config.devices.disks)),
            "max_vifs": max(1, sum(len(domain.vifs) for domain in domains)),
            "max_vbds": max(1, sum(len(domain.vbds) for domain in domains)),
            "max_flows": num_clients + processes + transfers + _SPARE_FLOWS,
            "max_requests": max(1, processes),
            "max_loops": max(1, sum(len(program.loops) for program in programs)),
            "max_populations": max(1, len(populations)),
            "max_clients": max(1, num_clients),
        }
    return OsKind(
        IO_COSTS[IO_MODELS[config.devices.model].costs],
        config.limits.max_domains,
        config.limits.max_vcpus,
        **limits,
    )


def os_program(program: OsConfig, vbds: list[VbdConfig]) -> Os:
    """What a domain with an operating system and these block devices runs; its loops use the first one.

    Raises:
        ValueError: it is impossible; names the part and what was expected.
    """
    num_sectors = vbds[0].mib * _SECTORS_PER_MIB if vbds else 1
    return Os(
        service=None if program.service is None else _service(program.service),
        loops=tuple(_loop(loop, num_sectors) for loop in program.loops),
        background=program.background,
        memory_pages=program.memory_mib * _PAGES_PER_MIB,
        scans_round_robin=program.scans_round_robin,
    )


def create_devices(host: Host, config: ScenarioConfig) -> None:
    """Create a scenario's devices on a host whose domains exist.

    Raises:
        ValueError: something is impossible; names the domain or device.
    """
    control = Devctl(host)
    is_split = config.devices.model.startswith("xen3")

    def is_emulated(domain: DomainConfig) -> bool:
        """A fully virtualised guest knows real devices only, which the back end's domain emulates."""
        return is_split and domain.type == "hvm"

    domids = {domain.name: config.domid(i) for i, domain in enumerate(config.domains)}
    nics = {}
    for nic in config.devices.nics:
        if nic.backend is not None and nic.backend not in domids:
            raise ValueError(f"devices: nics: backend {nic.backend!r} of {nic.name!r} is no domain of this scenario")
        nics[nic.name] = control.create_nic(
            None if nic.backend is None else domids[nic.backend],
            mbit_per_s=nic.mbit_per_s,
            delay_ns=ms_to_ns(nic.delay_ms),
            irq_gap_ns=us_to_ns(nic.irq_gap_us),
            rx_buffers=nic.rx_buffers,
            loss_frac=nic.loss_frac,
        )
        if nic.allowed is not None:
            control.restrict_nic(nics[nic.name], [domids[name] for name in nic.allowed])
    for name, domain in zip(domids, config.domains, strict=True):
        for vif in domain.vifs:
            control.create_vif(
                domids[name],
                nic=None if vif.nic is None else nics[vif.nic],
                backend=None if vif.backend is None else domids[vif.backend],
                mode=vif.mode or ("emulated" if is_emulated(domain) else IO_MODELS[config.devices.model].vif),
                mtu=vif.mtu,
                is_offloading=vif.is_offloading,
                credit_bytes=round(vif.credit_kib * 1024),
                credit_ns=ms_to_ns(vif.credit_ms) if vif.credit_kib else 0,
            )
    _create_disks(control, config, domids, is_emulated)
    # Who talks to whom comes when every interface is there.
    for name, domain in zip(domids, config.domains, strict=True):
        if domain.calls is not None:
            control.set_callee(domids[name], domids[domain.calls])
        for clients in domain.clients:
            control.create_clients(domids[name], _clients(clients), start_ns=ms_to_ns(clients.start_ms))
        for transfer in domain.transfers:
            peer = None if transfer.peer is None else domids[transfer.peer]
            ends = (domids[name], peer) if transfer.direction == "send" else (peer, domids[name])
            control.create_transfer(*ends, window=transfer.window)


def _create_disks(
    control: Devctl, config: ScenarioConfig, domids: dict[str, int], is_emulated: Callable[[DomainConfig], bool]
) -> None:
    disks, next_sector = {}, {}
    for disk in config.devices.disks:
        if disk.backend is not None and disk.backend not in domids:
            raise ValueError(f"devices: disks: backend {disk.backend!r} of {disk.name!r} is no domain of this scenario")
        backend = None if disk.backend is None else domids[disk.backend]
        disks[disk.name] = control.create_disk(backend, DISKS[disk.model])
        next_sector[disk.name] = 0
        if disk.allowed is not None:
            control.restrict_disk(disks[disk.name], [domids[name] for name in disk.allowed])
    for name, domain in zip(domids, config.domains, strict=True):
        for vbd in domain.vbds:
            num_sectors = vbd.mib * _SECTORS_PER_MIB
            control.create_vbd(
                domids[name],
                disk=disks[vbd.disk],
                num_sectors=num_sectors,
                start_sector=next_sector[vbd.disk],
                is_read_only=vbd.is_read_only,
                mode=vbd.mode or ("emulated" if is_emulated(domain) else IO_MODELS[config.devices.model].vbd),
            )
            next_sector[vbd.disk] += num_sectors


def _distribution(config: DistributionConfig) -> DistributionSpec:
    return DistributionSpec(config.kind, config.mean_ms * MS_NS, config.spread)


def _service(config: ServiceConfig) -> Service:
    return Service(
        before=_distribution(config.before),
        after=_distribution(config.after),
        sizes_bytes=tuple(config.sizes_bytes),
        dynamic_frac=config.dynamic_frac,
        dynamic=_distribution(config.dynamic),
        disk_frac=config.disk_frac,
        disk_bytes=config.disk_bytes,
        is_writing=config.is_writing,
        calls=config.calls,
        call_bytes=config.call_bytes,
        processes=config.processes,
    )


def _loop(config: LoopConfig, num_sectors: int) -> Loop:
    return Loop(
        work=_distribution(config.work),
        think=_distribution(config.think),
        disk_frac=config.disk_frac,
        disk_bytes=config.disk_bytes,
        is_writing=config.is_writing,
        is_barrier=config.is_barrier,
        is_sequential=config.is_sequential,
        num_sectors=num_sectors,
    )


def _clients(config: ClientsConfig) -> Clients:
    return Clients(
        kind=config.kind,
        think=_distribution(config.think),
        num=config.num,
        request_bytes=config.request_bytes,
        deadline_ns=ms_to_ns(config.deadline_ms),
        window=config.window,
    )
