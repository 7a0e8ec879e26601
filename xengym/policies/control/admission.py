"""Admission: whether a host has what a domain wants. Pure functions over plain data; nothing here acts.

A domain is refused for the first thing that does not fit, in the order of `CHECKS`:

- **memory**: free pages of the host.
- **reservation**: CPU time promised by a scheduler that promises any. SEDF keeps its promises on each pCPU by itself
  (earliest deadline first on one processor), so every vCPU needs a pCPU whose shares stay at most 1 (Liu and Layland
  1973); RTDS is one queue for the pool, where the necessary condition counts: all shares together at most the number of
  pCPUs, none more than one. That is what Xen's tools could check and do not: SEDF has no admission control.
- **devices**: each is there, may be used by the domain, and is not in use by another if either wants it alone.
- **anti-affinity**: no domain of the same group is on the host.

The first and the last hold for a host of any fidelity; where a domain could go instead is a question of placement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Reason = Literal["memory", "reservation", "devices", "anti-affinity"]

#: What schedulers promise: nothing, shares of each pCPU, shares of all of them.
Promise = Literal["none", "partitioned", "global"]

#: Shares are compared in parts per million, rounded up, so that sums of periods are exact.
PPM = 1_000_000


class Refusal(NamedTuple):
    """Why a domain is not admitted.

    Attributes:
        reason: what does not fit.
        wanted: how much of it was wanted, in words.
        found: what there is, in words.
    """

    reason: Reason
    wanted: str
    found: str


@dataclass(frozen=True)
class DeviceOnHost:
    """A device of a host.

    Attributes:
        name: by which domains ask for it.
        users: domains that use it.
        is_taken: one of them has it for itself.
        allowed: names of domains that may use it; None: all.
    """

    name: str
    users: tuple[str, ...] = ()
    is_taken: bool = False
    allowed: tuple[str, ...] | None = None


@dataclass(frozen=True)
class HostView:
    """What admission has to know of a host.

    Attributes:
        free_pages: that belong to nobody.
        num_pcpus: of the cpupool that the domain is to run in.
        promise: what the scheduler there promises.
        shares_ppm: reserved already, of each pCPU (``partitioned``) or one number for all (``global``).
        devices: of the host.
        groups: anti-affinity groups of the domains that are there.
    """

    free_pages: int
    num_pcpus: int
    promise: Promise = "none"
    shares_ppm: tuple[int, ...] = ()
    devices: tuple[DeviceOnHost, ...] = ()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DomainWish:
    """What a domain wants.

    Attributes:
        name: its name.
        pages: memory that it is created with.
        shares_ppm: of each vCPU: slice by period; 0: no reservation.
        allowed_pcpus: places of the pCPUs it may run on within the pool; None: all.
        places: the place of each vCPU, if it is not for the host to choose.
        devices: names of devices.
        exclusive: of them, those that nobody else may use meanwhile.
        group: anti-affinity group, or None.
    """

    name: str
    pages: int = 0
    shares_ppm: tuple[int, ...] = ()
    allowed_pcpus: tuple[int, ...] | None = None
    places: tuple[int, ...] | None = None
    devices: tuple[str, ...] = ()
    exclusive: frozenset[str] = field(default_factory=frozenset)
    group: str | None = None


def share_ppm(slice_ns: int, period_ns: int) -> int:
    """Part of a pCPU that a reservation takes, parts per million, rounded up."""
    return -(-slice_ns * PPM // period_ns)


def check_memory(wish: DomainWish, host: HostView) -> Refusal | None:
    """Whether the host has the pages."""
    if wish.pages <= host.free_pages:
        return None
    return Refusal("memory", f"{wish.pages} pages", f"{host.free_pages} free pages")


def check_reservation(wish: DomainWish, host: HostView) -> Refusal | None:
    """Whether the scheduler can keep what it would promise."""
    if host.promise == "none" or not any(wish.shares_ppm):
        return None
    wanted = f"{_pcpus(sum(wish.shares_ppm))} in {len(wish.shares_ppm)} vCPUs"
    reserved = sum(host.shares_ppm)
    if host.promise == "global":
        if max(wish.shares_ppm) <= PPM and sum(wish.shares_ppm) + reserved <= host.num_pcpus * PPM:
            return None
        return Refusal(
            "reservation", wanted, f"{_pcpus(host.num_pcpus * PPM - reserved)} of {host.num_pcpus} not reserved"
        )
    if wish.places is None:
        fits = place_shares(wish.shares_ppm, host.shares_ppm, wish.allowed_pcpus) is not None
    else:
        after = list(host.shares_ppm)
        for place, share in zip(wish.places, wish.shares_ppm, strict=False):
            after[place] += share
        fits = all(after[place] <= PPM for place in wish.places)
    if fits:
        return None
    left = ", ".join(_pcpus(max(0, PPM - share)) for share in host.shares_ppm)
    return Refusal("reservation", wanted, f"left on each pCPU: {left}")


def place_shares(
    shares_ppm: Sequence[int], reserved_ppm: Sequence[int], allowed: Sequence[int] | None = None
) -> list[int] | None:
    """Places for vCPUs on pCPUs of which none is reserved beyond 1; None if there are none.

    Largest first, each where least is left afterwards (best fit). That is no proof that there is no other way: packing
    is hard; a domain refused may have fitted.

    Args:
        shares_ppm: of each vCPU.
        reserved_ppm: of each pCPU.
        allowed: places of the pCPUs that may be used; None: all.

    Returns:
        The pCPU of each vCPU, in the order of ``shares_ppm``.
    """
    left = [PPM - reserved for reserved in reserved_ppm]
    candidates = range(len(left)) if allowed is None else [p for p in allowed if 0 <= p < len(left)]
    places = [-1] * len(shares_ppm)
    for i in sorted(range(len(shares_ppm)), key=lambda i: (-shares_ppm[i], i)):
        fitting = [p for p in candidates if left[p] >= shares_ppm[i]]
        if not fitting:
            return None
        places[i] = min(fitting, key=lambda p: (left[p], p))
        left[places[i]] -= shares_ppm[i]
    return places


def check_devices(wish: DomainWish, host: HostView) -> Refusal | None:
    """Whether each device is there and free to be used."""
    devices = {device.name: device for device in host.devices}
    for name in wish.devices:
        device = devices.get(name)
        if device is None:
            return Refusal("devices", name, f"devices of the host: {', '.join(devices) or 'none'}")
        if device.allowed is not None and wish.name not in device.allowed:
            return Refusal("devices", name, f"{name} is allowed to {', '.join(device.allowed) or 'nobody'}")
        others = [user for user in device.users if user != wish.name]
        if others and (device.is_taken or name in wish.exclusive):
            alone = "for itself" if device.is_taken else "with others"
            wanted = f"{name} for itself" if name in wish.exclusive else name
            return Refusal("devices", wanted, f"{name} is used by {', '.join(others)} {alone}")
    return None


def check_anti_affinity(wish: DomainWish, host: HostView) -> Refusal | None:
    """Whether the host is free of the domain's group."""
    if wish.group is None or wish.group not in host.groups:
        return None
    return Refusal("anti-affinity", f"a host without group {wish.group!r}", "a domain of that group")


#: In order; the first refusal counts.
CHECKS = (check_memory, check_reservation, check_devices, check_anti_affinity)


def admit(wish: DomainWish, host: HostView) -> Refusal | None:
    """None if the host can take the domain, else why not."""
    for check in CHECKS:
        refusal = check(wish, host)
        if refusal is not None:
            return refusal
    return None


def _pcpus(ppm: int) -> str:
    return f"{ppm / PPM:.3f} pCPUs"
