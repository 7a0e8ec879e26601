"""The control interface for devices: network cards, virtual interfaces, clients, as Dom0's tools use it.

Devices come, are restricted and go through here. Only a privileged domain may call, as with ``Domctl``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from xengym.guests.os.kind import OsKind
from xengym.guests.os.specs import Clients
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.block_state import VBD_MODES
from xengym.machine.disk_model import DISKS, DiskModel
from xengym.machine.io_state import VIF_MODES

VbdMode = Literal["split", "tap", "emulated", "inline", "native"]
VifMode = Literal["flip", "copy", "inline", "native", "emulated"]

#: Bytes of the line's rate in Mbit/s turned into the time that a MiB takes.
_BITS_PER_MIB = 8 * 2**20


def ns_per_mib(mbit_per_s: float) -> int:
    """Time that a MiB takes at a rate, ns."""
    return round(_BITS_PER_MIB * 1000 / mbit_per_s)


class VifStatus(NamedTuple):
    """What an interface is and did.

    Attributes:
        domid: its domain.
        backend: domain that serves it; None: the hypervisor.
        mode: one of ``VIF_MODES``.
        is_connected: both ends agree on their rings.
        rx_packets, tx_packets: packets given to the domain and taken from it.
        rx_dropped, tx_dropped: packets for it and from it that were lost on this host.
    """

    domid: int
    backend: int | None
    mode: str
    is_connected: bool
    rx_packets: int
    tx_packets: int
    rx_dropped: int
    tx_dropped: int


class Devctl:
    """Control operations on the devices of one host on behalf of a calling domain.

    Args:
        host: the machine; one of its guest kinds must be ``OsKind``.
        caller: id of the calling domain.

    Every operation raises ``PrivilegeError`` if the caller is not privileged and ``ValueError`` for impossible
    arguments; nothing is changed then.
    """

    def __init__(self, host: Host, caller: int = 0) -> None:
        kinds = [kind for kind in host.guest_kinds if isinstance(kind, OsKind)]
        if not kinds:
            raise ValueError("this host has no devices: 'os' is not among its guest kinds")
        self.host = host
        self.kind = kinds[0]
        self._control = Domctl(host, caller)

    # -- network cards -------------------------------------------------------------------------------------------

    def create_nic(
        self,
        backend: int | None,
        *,
        mbit_per_s: float = 1000.0,
        delay_ns: int = 50_000,
        irq_gap_ns: int = 20_000,
        rx_buffers: int = 256,
        loss_frac: float = 0.0,
    ) -> int:
        """Plug in a network card.

        Args:
            backend: id of the domain that has its driver; None: the hypervisor, or a domain without one.
            mbit_per_s: rate of its line.
            delay_ns: to the clients, one way.
            irq_gap_ns: its interrupts are at least so far apart.
            rx_buffers: packets it can hold until the driver takes them, 1..512.
            loss_frac: packets lost on the network by chance.

        Returns:
            Its number.
        """
        self._control.authorise()
        slot = -1 if backend is None else self._os_slot(backend, "back end")
        _check_range("mbit_per_s", mbit_per_s, 0.001, 1e6)
        _check_range("delay_ns", delay_ns, 0, 10**12)
        _check_range("irq_gap_ns", irq_gap_ns, 0, 10**9)
        _check_range("rx_buffers", rx_buffers, 1, 512)
        _check_range("loss_frac", loss_frac, 0, 1)
        return self.kind.add_nic(
            slot,
            ns_per_mib=ns_per_mib(mbit_per_s),
            delay_ns=delay_ns,
            irq_gap_ns=irq_gap_ns,
            rx_buffers=rx_buffers,
            loss_ppm=round(1e6 * loss_frac),
        )

    def restrict_nic(self, nic: int, domids: list[int] | None) -> None:
        """Let only these domains have interfaces on a card (None: any); interfaces that exist stay."""
        self._control.authorise()
        self._check_in_use("nic", nic, "network card")
        self.host.sections["nic"]["denied"][nic] = self._denied(domids)

    # -- virtual interfaces --------------------------------------------------------------------------------------

    def create_vif(
        self,
        domid: int,
        *,
        nic: int | None = None,
        backend: int | None = None,
        mode: VifMode = "flip",
        mtu: int = 1500,
        is_offloading: bool = False,
        credit_bytes: int = 0,
        credit_ns: int = 0,
        first_index: int = 0,
    ) -> int:
        """Give a domain a virtual network interface and connect it.

        Args:
            domid: the domain.
            nic: card of its traffic with the outside; None: it talks to domains behind the same back end only.
            backend: id of the domain that serves it; None: the card's.
            mode: ``flip`` or ``copy`` (split driver), ``emulated`` (an HVM guest's card), ``inline`` (driver in the
                hypervisor) or ``native`` (the domain drives the card itself).
            mtu: bytes of a packet, 68..1500.
            is_offloading: it hands over up to 64 KiB at once.
            credit_bytes: it may send so much in every ``credit_ns``; 0: no limit.
            credit_ns: see there.
            first_index: where the rings' indices begin, 0..2**32-1.

        Returns:
            Its number.
        """
        self._control.authorise()
        front = self._os_slot(domid, "domain")
        if mode not in VIF_MODES:
            raise ValueError(f"mode must be one of {', '.join(VIF_MODES)}, found {mode!r}")
        if nic is not None:
            self._check_in_use("nic", nic, "network card")
            if int(self.host.sections["nic"]["denied"][nic]) >> front & 1:
                raise ValueError(f"domain {domid} may not use network card {nic}")
        back = -1
        if mode not in ("inline", "native"):
            if backend is None and nic is None:
                raise ValueError(f"domain {domid}: a {mode} interface needs a back end; name it or a network card")
            back = (
                int(self.host.sections["nic"]["backend"][nic])
                if backend is None
                else self._os_slot(backend, "back end")
            )
            if back < 0:
                raise ValueError(f"domain {domid}: a {mode} interface needs a back end, but card {nic} has none")
        if back == front:
            raise ValueError(f"domain {domid} cannot be the back end of its own interface")
        drives = nic is not None and int(self.host.sections["nic"]["backend"][nic]) == front
        if (
            nic is not None
            and int(self.host.sections["nic"]["backend"][nic]) != back
            and not (mode == "native" and drives)
        ):
            raise ValueError(f"domain {domid}: the card's driver and the interface's back end must be one domain")
        _check_range("mtu", mtu, 68, 1500)
        _check_credit(credit_bytes, credit_ns, back)
        return self.kind.add_vif(
            front,
            back,
            nic=-1 if nic is None else nic,
            mode=VIF_MODES.index(mode),
            mtu=mtu,
            is_offloading=is_offloading,
            credit_bytes=credit_bytes,
            credit_ns=credit_ns,
            first_index=first_index,
        )

    def set_vif_credit(self, vif: int, *, credit_bytes: int, credit_ns: int) -> None:
        """Limit what an interface may send; 0 bytes: no limit."""
        self._control.authorise()
        self._check_in_use("vif", vif, "virtual interface")
        _check_credit(credit_bytes, credit_ns, int(self.host.sections["vif"]["backend"][vif]))
        self.kind.set_credit(vif, credit_bytes, credit_ns)

    def destroy_vif(self, vif: int) -> None:
        """Take an interface away; what is in its rings is lost, and counted."""
        self._control.authorise()
        self._check_in_use("vif", vif, "virtual interface")
        self.kind.remove_vif(vif)

    def vif_status(self, vif: int) -> VifStatus:
        """What an interface is and did so far."""
        self._check_in_use("vif", vif, "virtual interface")
        record = self.host.sections["vif"][vif]
        domids = self.host.sections["domain"]["domid"]
        backend = int(record["backend"])
        return VifStatus(
            int(domids[record["frontend"]]),
            None if backend < 0 else int(domids[backend]),
            VIF_MODES[record["mode"]],
            bool(record["is_connected"]),
            *(int(record[name]) for name in ("rx_packets", "tx_packets", "rx_dropped", "tx_dropped")),
        )

    # -- disks ---------------------------------------------------------------------------------------------------

    def create_disk(self, backend: int | None, model: DiskModel = DISKS["scsi_10k"]) -> int:
        """Plug in a disk whose driver is in domain ``backend`` (None: the hypervisor, or no hypervisor).

        Returns:
            Its number.
        """
        self._control.authorise()
        return self.kind.add_disk(-1 if backend is None else self._os_slot(backend, "back end"), model)

    def restrict_disk(self, disk: int, domids: list[int] | None) -> None:
        """Let only these domains have block devices on a disk (None: any); devices that exist stay."""
        self._control.authorise()
        self._check_in_use("disk", disk, "disk")
        self.host.sections["disk"]["denied"][disk] = self._denied(domids)

    def create_vbd(
        self,
        domid: int,
        *,
        disk: int,
        num_sectors: int,
        start_sector: int = 0,
        is_read_only: bool = False,
        mode: VbdMode = "split",
        first_index: int = 0,
    ) -> int:
        """Give a domain a virtual block device on a part of a disk, and connect it.

        Args:
            domid: the domain.
            disk: number of the disk; its driver's domain serves the device.
            num_sectors: size in sectors of 512 bytes.
            start_sector: where on the disk it begins.
            is_read_only: writes are refused.
            mode: ``split``, ``tap`` (blktap: through a process of the back end's domain), ``emulated`` (an HVM
                guest's disk), ``inline`` (driver in the hypervisor) or ``native``.
            first_index: where the ring's indices begin, 0..2**32-1.

        Returns:
            Its number.
        """
        self._control.authorise()
        front = self._os_slot(domid, "domain")
        self._check_in_use("disk", disk, "disk")
        if mode not in VBD_MODES:
            raise ValueError(f"mode must be one of {', '.join(VBD_MODES)}, found {mode!r}")
        record = self.host.sections["disk"][disk]
        if int(record["denied"]) >> front & 1:
            raise ValueError(f"domain {domid} may not use disk {disk}")
        return self.kind.add_vbd(
            front,
            int(record["backend"]),
            disk=disk,
            num_sectors=num_sectors,
            start_sector=start_sector,
            read_only=is_read_only,
            mode=VBD_MODES.index(mode),
            first_index=first_index,
        )

    def destroy_vbd(self, vbd: int) -> None:
        """Take a block device away; what was asked of it fails, and is reported so."""
        self._control.authorise()
        self._check_in_use("vbd", vbd, "virtual block device")
        self.kind.remove_vbd(vbd)

    # -- who uses them -------------------------------------------------------------------------------------------

    def create_clients(self, domid: int, clients: Clients, *, nic: int | None = None, start_ns: int = 0) -> int:
        """Let a population of clients outside talk to a domain from ``start_ns`` on; returns its number."""
        self._control.authorise()
        if nic is not None:
            self._check_in_use("nic", nic, "network card")
        return self.kind.add_population(self._os_slot(domid, "domain"), clients, -1 if nic is None else nic, start_ns)

    def create_transfer(self, source: int | None, target: int | None, *, window: int = 64) -> int:
        """Begin a bulk transfer between two domains, or between one and the outside (None); returns its number."""
        self._control.authorise()
        if source is None and target is None:
            raise ValueError("a transfer needs a domain at one end at least")
        slots = [-1 if domid is None else self._os_slot(domid, "domain") for domid in (source, target)]
        _check_range("window", window, 1, 4096)
        return self.kind.add_transfer(slots[0], slots[1], nic=-1, window=window)

    def set_callee(self, domid: int, callee: int) -> None:
        """The service of a domain asks that of another one."""
        self._control.authorise()
        self.kind.set_callee(self._os_slot(domid, "domain"), self._os_slot(callee, "domain"))

    def set_traffic(self, domid: int, allowed: bool) -> None:
        """Stop a domain's network traffic, or let it pass again."""
        self._control.authorise()
        self.kind.allow_traffic(self._os_slot(domid, "domain"), allowed)

    def crash(self, domid: int, *, down_ns: int = 100_000_000, boot_ns: int = 150_000_000) -> None:
        """A domain that serves devices crashes now, and is started again.

        Args:
            domid: the driver domain.
            down_ns: until it is started.
            boot_ns: CPU time it then takes until it serves (both defaults are assumed).
        """
        self._control.authorise()
        slot = self._os_slot(domid, "domain")
        _check_range("down_ns", down_ns, 1, 10**12)
        _check_range("boot_ns", boot_ns, 0, 10**12)
        self.kind.crash(slot, down_ns=down_ns, boot_ns=boot_ns)

    # -- details -------------------------------------------------------------------------------------------------

    def _os_slot(self, domid: int, what: str) -> int:
        slot = self._control.slot(domid)
        if not self.host.sections["os_domain"]["has_os"][slot]:
            raise ValueError(f"{what} {domid} runs no operating system (program 'os'), so it can have no devices")
        return slot

    def _denied(self, domids: list[int] | None) -> int:
        """The bits of the domain slots that are not among these."""
        everybody = (1 << 64) - 1
        if domids is None:
            return 0
        return ~sum(1 << self._control.slot(domid) for domid in set(domids)) & everybody

    def _check_in_use(self, section: str, number: int, what: str) -> None:
        in_use = self.host.sections[section]["in_use"]
        if not 0 <= number < len(in_use) or not in_use[number]:
            raise ValueError(f"no {what} {number} on this host")


def _check_credit(credit_bytes: int, credit_ns: int, backend: int) -> None:
    _check_range("credit_bytes", credit_bytes, 0, 2**40)
    _check_range("credit_ns", credit_ns, 1 if credit_bytes else 0, 10**12)
    if credit_bytes and backend < 0:
        raise ValueError(f"credit_bytes must be 0 without a back end, which is who limits, found {credit_bytes}")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low:g}..{high:g}, found {value!r}")
