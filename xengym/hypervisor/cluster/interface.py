"""What a cluster is to those who control and watch it, whatever its fidelity.

`fluid`: every host's scheduler is replaced by its steady-state shares (`hypervisor.cluster.fluid`). `event`: every
host is the full model. Results always say which it was.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.cluster.specs import ClusterSpec

Fidelity = Literal["fluid", "event"]


@runtime_checkable
class Cluster(Protocol):
    """Hosts, domains on them, and moves under way.

    The arrays are live and of fixed length: read them, never write to them. Reason codes are
    ``machine.cluster_state.REASONS`` by name; ``REFUSALS[code]`` is the text.

    Attributes:
        spec: what it was built from.
        fidelity: ``fluid`` or ``event``.
        clock: ``CLUSTER_CLOCK_DTYPE`` record array of shape ``(1,)``: time and counters.
        hosts: ``CLUSTER_HOST_DTYPE``, shape ``(hosts,)``.
        domains: ``CLUSTER_DOMAIN_DTYPE``, shape ``(slots,)``; ``in_use`` says which are domains.
        moves: ``CLUSTER_MOVE_DTYPE``, shape ``(move slots,)``; ``in_use`` says which are under way.
        migrations: ``MIGRATION_DTYPE``, the engine's records of the same moves.
        working_sets: ``WORKING_SET_DTYPE``, shape ``(slots,)``: the memory of each domain.
        links: ``CLUSTER_LINK_DTYPE``: Dom0's and the network cards' of each host, then racks' uplinks, then sites'.
        sites: ``CLUSTER_SITE_DTYPE``, shape ``(sites,)``.
    """

    @property
    def spec(self) -> ClusterSpec:
        """What it was built from."""

    @property
    def fidelity(self) -> Fidelity:
        """``fluid`` or ``event``."""

    @property
    def now_ns(self) -> int:
        """Simulated time in ns."""

    @property
    def clock(self) -> NDArray[Any]:
        """See above."""

    @property
    def hosts(self) -> NDArray[Any]:
        """See above."""

    @property
    def domains(self) -> NDArray[Any]:
        """See above."""

    @property
    def moves(self) -> NDArray[Any]:
        """See above."""

    @property
    def migrations(self) -> NDArray[Any]:
        """See above."""

    @property
    def working_sets(self) -> NDArray[Any]:
        """See above."""

    @property
    def links(self) -> NDArray[Any]:
        """See above."""

    @property
    def sites(self) -> NDArray[Any]:
        """See above."""

    def run_until(self, t_ns: int) -> None:
        """Let time pass; everything in the arrays is true at ``t_ns``."""

    def order_move(self, domain: int, host: int) -> int:
        """Begin to move the domain in a slot to a host; returns the reason code, 0 if the move has begun."""

    def check_move(self, domain: int, host: int) -> int:
        """The reason code that ``order_move`` would return."""

    def move_mask(self, out: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Which moves would be accepted now, shape ``(slots, hosts)``; written into ``out`` if given."""

    def set_params(
        self,
        domain: int,
        *,
        weight: int | None = None,
        cap_pct: int | None = None,
        slice_ns: int | None = None,
        period_ns: int | None = None,
        has_extra: bool | None = None,
    ) -> int:
        """Change a domain's scheduler parameters; returns the reason code (a reservation may not fit its host)."""

    def suspend(self, host: int) -> int:
        """Begin to suspend an empty host; returns the reason code."""

    def wake(self, host: int) -> int:
        """Begin to wake a suspended or dead host; returns the reason code. Nothing to do is accepted."""

    def cancel_move(self, domain: int) -> bool:
        """Give up the move of a domain, as the operator may before the commitment; returns whether it was."""

    def fail_link(self, link: int) -> None:
        """Let a link go down: moves across it that are not committed are aborted."""

    def restore_link(self, link: int) -> None:
        """Let it come up again."""

    def fail_host(self, host: int) -> None:
        """Let a host die. Its domains get nothing until it is woken; moves from it and to it end as the engine says."""

    def snapshot(self) -> Any:
        """The whole state, to be given to ``restore``."""

    def restore(self, state: Any) -> None:
        """Go on from a snapshot of this cluster or of one built alike."""

    def digest(self) -> str:
        """A hash of the whole state: equal states have equal digests, on every platform."""
