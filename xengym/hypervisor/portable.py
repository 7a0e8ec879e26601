"""Rows of a host's state that belong to one domain: copied out, and taken over on another host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from xengym.hypervisor.host import Host

#: A section, its rows of each domain, its rows of each vCPU (one of both is 0), and fields that stay as configured.
PortableSection = tuple[str, int, int, tuple[str, ...]]


def save_rows(host: Host, d: int, portable: list[PortableSection]) -> dict[str, NDArray[Any]]:
    """Copies of what domain slot ``d`` has in these sections, by section."""
    return {section[0]: _rows_of(host, d, section).copy() for section in portable}


def load_rows(host: Host, d: int, portable: list[PortableSection], state: dict[str, NDArray[Any]]) -> None:
    """Write such copies into the rows of domain slot ``d``, but for the fields that stay."""
    for section in portable:
        rows = _rows_of(host, d, section)
        own = [(field, rows[field].copy()) for field in section[3]]
        rows[:] = state[section[0]]
        for field, values in own:
            rows[field] = values


def _rows_of(host: Host, d: int, section: PortableSection) -> NDArray[Any]:
    name, of_domain, of_vcpu, _ = section
    first, count = d * of_domain, of_domain
    if of_vcpu:
        domain = host.arena.sections["domain"][d]
        first, count = int(domain["first_vcpu"]) * of_vcpu, int(domain["num_vcpus"]) * of_vcpu
    return host.arena.sections[name][first : first + count]
