"""Where admission and the control interface meet: a domain is created if Dom0's policy agrees.

Otherwise the error says what was wanted and what there is.

What domains were created with beside what a host knows (devices, groups) is Dom0's own record, as its tools keep it; a
domain that is gone is forgotten at the next look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.hypervisor.program import ProgramSpec
from xengym.policies.control.admission import (
    DeviceOnHost,
    DomainWish,
    HostView,
    Promise,
    Reason,
    Refusal,
    admit,
    place_shares,
)


class AdmissionError(ValueError):
    """A host does not take a domain.

    Attributes:
        refusal: reason, what was wanted and what there is.
    """

    def __init__(self, name: str, refusal: Refusal) -> None:
        super().__init__(
            f"{name} is not admitted ({refusal.reason}): wanted {refusal.wanted}, but there is {refusal.found}"
        )
        self.refusal = refusal

    @property
    def reason(self) -> Reason:
        """What does not fit."""
        return self.refusal.reason


@dataclass(frozen=True)
class _Admitted:
    """What Dom0 remembers of a domain."""

    name: str
    devices: tuple[str, ...]
    exclusive: frozenset[str]
    group: str | None


class AdmissionControl:
    """Creates domains on one host for which there is everything that they want.

    Args:
        control: through which they are created; its caller must be privileged.
        devices: of the host: names, and who may use them. Users are filled in here.
    """

    def __init__(self, control: Domctl, devices: Iterable[DeviceOnHost] = ()) -> None:
        self.control = control
        self.devices = tuple(devices)
        self._admitted: dict[int, _Admitted] = {}

    @property
    def host(self) -> Host:
        """The machine."""
        return self.control.host

    def view(self, pool: int = 0) -> HostView:
        """What admission sees of the host, for a domain that is to run in this cpupool."""
        self._forget_those_gone()
        sections = self.host.sections
        scheduler = self.host.schedulers[pool]
        domains, vcpus = sections["domain"], sections["vcpu"]
        pcpus = [p for p in range(self.host.num_pcpus) if sections["pcpu"]["pool"][p] == pool]
        reserved = [0] * len(pcpus)
        for d in ((domains["in_use"] != 0) & (domains["pool"] == pool)).nonzero()[0]:
            for v in range(domains["first_vcpu"][d], domains["first_vcpu"][d] + domains["num_vcpus"][d]):
                reserved[pcpus.index(int(vcpus["pcpu"][v]))] += scheduler.reserved_ppm(v)
        promise: Promise = scheduler.promise  # type: ignore[assignment]
        memory = sections["host_memory"][0]
        return HostView(
            free_pages=int(memory["free_pages"] - memory["lent_pages"]),
            num_pcpus=len(pcpus),
            promise=promise,
            shares_ppm=(sum(reserved),) if promise == "global" else tuple(reserved),
            devices=tuple(self._with_users(device) for device in self.devices),
            groups=frozenset(known.group for known in self._admitted.values() if known.group is not None),
        )

    def create_domain(
        self,
        domid: int,
        program: ProgramSpec | list[ProgramSpec],
        *,
        group: str | None = None,
        devices: Iterable[str] = (),
        exclusive: Iterable[str] = (),
        **arguments: Any,
    ) -> int:
        """Create a domain if the host has everything that it wants.

        Under a scheduler that promises shares of each pCPU by itself, its vCPUs are put where they fit, unless
        ``pcpus`` says where.

        Args:
            domid: as of ``Domctl.create_domain``.
            program: likewise.
            group: anti-affinity group: no two domains of one group on a host.
            devices: names of devices that it uses.
            exclusive: of them, those that it wants for itself.
            arguments: as of ``Domctl.create_domain``.

        Returns:
            The domain's slot in the state arrays.

        Raises:
            PrivilegeError: the caller may not create domains.
            AdmissionError: something does not fit; nothing is changed.
            ValueError: impossible arguments.
        """
        self.control.authorise()
        pool = arguments.get("pool", 0)
        if pool not in self.host.schedulers:
            raise ValueError(f"domain {domid}: no cpupool {pool!r} on this host")
        name = arguments.get("name") or f"dom{domid}"
        view = self.view(pool)
        wish = DomainWish(
            name=name,
            pages=self._pages(program, arguments.get("memory_pages")),
            shares_ppm=(self.host.schedulers[pool].wanted_ppm(arguments.get("params") or {}),)
            * arguments.get("num_vcpus", 1),
            allowed_pcpus=self._places(pool, arguments.get("hard_affinity")),
            devices=tuple(devices),
            exclusive=frozenset(exclusive),
            group=group,
        )
        unknown = wish.exclusive - set(wish.devices)
        if unknown:
            raise ValueError(f"{name}: wants {', '.join(sorted(unknown))} for itself, which is not among its devices")
        placed = self._places(pool, arguments.get("pcpus"), in_order=True)
        refusal = admit(wish if placed is None else replace(wish, places=placed), view)
        if refusal is not None:
            raise AdmissionError(name, refusal)
        if view.promise == "partitioned" and any(wish.shares_ppm) and placed is None:
            places = place_shares(wish.shares_ppm, view.shares_ppm, wish.allowed_pcpus)
            assert places is not None
            pcpus = self._pcpus(pool)
            arguments["pcpus"] = [pcpus[place] for place in places]
        slot = self.control.create_domain(domid, program, **arguments)
        self._admitted[domid] = _Admitted(name, wish.devices, wish.exclusive, group)
        return slot

    def _pages(self, program: ProgramSpec | list[ProgramSpec], given: int | None) -> int:
        if given is not None:
            return given
        first = program[0] if isinstance(program, list | tuple) else program
        kinds = {kind.name: kind for kind in self.host.guest_kinds}
        return kinds[first.kind].memory_pages(first) if first.kind in kinds else 0

    def _pcpus(self, pool: int) -> list[int]:
        return [p for p in range(self.host.num_pcpus) if self.host.sections["pcpu"]["pool"][p] == pool]

    def _places(self, pool: int, pcpus: Iterable[int] | None, *, in_order: bool = False) -> tuple[int, ...] | None:
        """Numbers of pCPUs as places within the pool; None stays None. ``Domctl`` refuses what is not in it."""
        if pcpus is None:
            return None
        members = self._pcpus(pool)
        places = tuple(members.index(p) for p in pcpus if p in members)
        return places if in_order else tuple(sorted(places))

    def _with_users(self, device: DeviceOnHost) -> DeviceOnHost:
        users = [known for known in self._admitted.values() if device.name in known.devices]
        return replace(
            device,
            users=(*device.users, *(known.name for known in users)),
            is_taken=device.is_taken or any(device.name in known.exclusive for known in users),
        )

    def _forget_those_gone(self) -> None:
        domains = self.host.sections["domain"]
        names = {int(domains["domid"][d]): self.host.domain_names[int(d)] for d in domains["in_use"].nonzero()[0]}
        self._admitted = {domid: known for domid, known in self._admitted.items() if names.get(domid) == known.name}
