"""The part of a scenario that describes input and output: operating systems, devices, clients."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from xengym.scenarios.closed import Closed, DistributionConfig, Fraction, NonNegativeMs

Bytes = Annotated[int, Field(ge=1, le=2**30)]


class ModelModes(NamedTuple):
    """What a model of input and output means.

    Attributes:
        vif: the way of a guest's packets.
        vbd: the way of its block requests.
        costs: the table of costs that belongs to it, of ``machine.io_costs.IO_COSTS``.
    """

    vif: Literal["flip", "copy", "inline", "native"]
    vbd: Literal["split", "inline", "native"]
    costs: str


IO_MODELS: dict[str, ModelModes] = {
    "xen3_split_flip": ModelModes("flip", "split", "split"),
    "xen3_split_copy": ModelModes("copy", "split", "split"),
    "xen1_in_hypervisor": ModelModes("inline", "inline", "inline"),
    "native": ModelModes("native", "native", "inline"),
}
IoModel = Literal["xen3_split_flip", "xen3_split_copy", "xen1_in_hypervisor", "native"]


class ServiceConfig(Closed):
    """Answers requests; ``guests.os.specs.Service`` explains each field."""

    before: DistributionConfig
    after: DistributionConfig = DistributionConfig(kind="constant", mean_ms=0)
    sizes_bytes: Annotated[list[tuple[float, Bytes]], Field(min_length=1, max_length=4)] = [(1.0, 8192)]
    dynamic_frac: Fraction = 0.0
    dynamic: DistributionConfig = DistributionConfig(kind="constant", mean_ms=0)
    disk_frac: Fraction = 0.0
    disk_bytes: Bytes = 16384
    is_writing: bool = False
    calls: Annotated[int, Field(ge=0, le=64)] = 0
    call_bytes: Bytes = 256
    processes: Annotated[int, Field(ge=1, le=256)] = 64


class LoopConfig(Closed):
    """A process that computes, uses the disk and sleeps; ``guests.os.specs.Loop`` explains each field."""

    work: DistributionConfig
    think: DistributionConfig = DistributionConfig(kind="constant", mean_ms=0)
    disk_frac: Fraction = 0.0
    disk_bytes: Bytes = 4096
    is_writing: bool = False
    is_barrier: bool = False
    is_sequential: bool = False


class OsConfig(Closed):
    """A domain with an operating system: it can have devices, or serve them."""

    kind: Literal["os"]
    service: ServiceConfig | None = None
    loops: list[LoopConfig] = Field(default_factory=list)
    background: bool = False
    memory_mib: Annotated[int, Field(ge=4, le=4096)] = 64
    scans_round_robin: bool = False


class NicConfig(Closed):
    """A network card.

    Attributes:
        name: by which interfaces name it.
        backend: name of the domain with its driver; None: the hypervisor's, or native.
        mbit_per_s: rate of its line.
        delay_ms: to the clients, one way.
        irq_gap_us: its interrupts are at least so far apart.
        rx_buffers: packets it holds until the driver takes them.
        loss_frac: packets lost on the network by chance.
        allowed: names of the domains that may have interfaces on it; None: any.
    """

    name: Annotated[str, Field(min_length=1, max_length=32)]
    backend: str | None = None
    mbit_per_s: PositiveFloat = 1000.0
    delay_ms: NonNegativeMs = 0.1
    irq_gap_us: Annotated[float, Field(ge=0, le=1e6)] = 20.0
    rx_buffers: Annotated[int, Field(ge=1, le=512)] = 256
    loss_frac: Fraction = 0.0
    allowed: list[str] | None = None


class DiskConfig(Closed):
    """A disk.

    Attributes:
        name: by which block devices name it.
        backend: name of the domain with its driver; None: the hypervisor's, or native.
        model: one of ``machine.disk_model.DISKS``.
        allowed: names of the domains that may have block devices on it; None: any.
    """

    name: Annotated[str, Field(min_length=1, max_length=32)]
    backend: str | None = None
    model: Literal["scsi_10k"] = "scsi_10k"
    allowed: list[str] | None = None


class VbdConfig(Closed):
    """A virtual block device; the devices of a disk lie one after the other on it.

    Attributes:
        disk: the disk.
        mib: size.
        mode: ``split``, ``tap``, ``emulated``, ``inline`` or ``native``; None: as ``devices.model`` says, and
            ``emulated`` for an HVM guest.
        is_read_only: writes are refused.
    """

    disk: str
    mib: Annotated[int, Field(ge=1, le=2**20)] = 1024
    mode: Literal["split", "tap", "emulated", "inline", "native"] | None = None
    is_read_only: bool = False


class VifConfig(Closed):
    """A virtual network interface.

    Attributes:
        nic: card of its traffic with the outside; None: only domains behind the same back end.
        backend: name of the domain that serves it; None: the card's.
        mode: ``flip``, ``copy``, ``emulated``, ``inline`` or ``native``; None: as ``devices.model`` says, and
            ``emulated`` for an HVM guest.
        mtu: bytes of a packet.
        is_offloading: it hands over up to 64 KiB at once.
        credit_kib: it may send so much in every ``credit_ms``; 0: no limit.
        credit_ms: see there.
    """

    nic: str | None = None
    backend: str | None = None
    mode: Literal["flip", "copy", "emulated", "inline", "native"] | None = None
    mtu: Annotated[int, Field(ge=68, le=1500)] = 1500
    is_offloading: bool = False
    credit_kib: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    credit_ms: NonNegativeMs = 50.0


class ClientsConfig(Closed):
    """A population of clients outside; ``guests.os.specs.Clients`` explains each field."""

    kind: Literal["closed", "open", "stream", "flood", "ping"]
    think: DistributionConfig
    num: Annotated[int, Field(ge=1, le=4096)] = 1
    request_bytes: Bytes = 300
    deadline_ms: NonNegativeMs = 0.0
    window: Annotated[int, Field(ge=1, le=1024)] = 32
    start_ms: NonNegativeMs = 0.0


class TransferConfig(Closed):
    """A bulk transfer without end.

    Attributes:
        direction: whether the domain sends or receives.
        peer: name of the domain at the other end; None: outside.
        window: packets on their way at most.
    """

    direction: Literal["send", "receive"] = "send"
    peer: str | None = None
    window: PositiveInt = 64


class DevicesConfig(Closed):
    """Real devices, and how guests reach them.

    Attributes:
        model: how input and output work on this host: Xen 3.x with split drivers that exchange pages (flip) or copy,
            Xen 1.x with drivers in the hypervisor, or no hypervisor.
        nics: network cards.
        disks: disks.
    """

    model: IoModel = "xen3_split_flip"
    nics: list[NicConfig] = Field(default_factory=list)
    disks: list[DiskConfig] = Field(default_factory=list)

    @model_validator(mode="after")
    def _unique(self) -> DevicesConfig:
        for what, names in (("nics", [nic.name for nic in self.nics]), ("disks", [disk.name for disk in self.disks])):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{what}: name {name!r} is used {names.count(name)} times, expected once")
        return self
