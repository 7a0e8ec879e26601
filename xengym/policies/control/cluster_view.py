"""What a migration policy sees of a cluster, and what it says: it never acts itself."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xengym.machine.cluster_state import POWERS

ON = POWERS.index("on")
SUSPENDED = POWERS.index("suspended")
#: Utilisations at or above this count as this: a volume has to be finite.
FULL_FRAC = 0.99


class View(NamedTuple):
    """A cluster at one instant. The arrays are the cluster's own: to be read.

    Attributes:
        now_ns: simulated time.
        hosts: ``CLUSTER_HOST_DTYPE``, shape ``(hosts,)``.
        domains: ``CLUSTER_DOMAIN_DTYPE``, shape ``(slots,)``.
        sites: ``CLUSTER_SITE_DTYPE``, shape ``(sites,)``.
        mask: bool, shape ``(slots, hosts)``: moves that would be accepted now.
        moves_per_host: that may leave a host at once, and come to it.
    """

    now_ns: int
    hosts: NDArray[Any]
    domains: NDArray[Any]
    sites: NDArray[Any]
    mask: NDArray[np.bool_]
    moves_per_host: int

    @classmethod
    def of(cls, cluster: Any, mask: NDArray[np.bool_] | None = None) -> View:
        """A view of a cluster of any fidelity; ``mask``: an array to be used for the mask."""
        return cls(
            cluster.now_ns,
            cluster.hosts,
            cluster.domains,
            cluster.sites,
            cluster.move_mask(mask),
            int(cluster.clock["moves_per_host"][0]),
        )

    def cpu_frac(self) -> NDArray[np.float64]:
        """Demand of each host's guests, as part of its capacity; above 1 if they want more than there is."""
        demand: NDArray[np.float64] = self.hosts["demand_pcpus"] / self.hosts["capacity_pcpus"]
        return demand

    def is_on(self) -> NDArray[np.bool_]:
        """Which hosts are on."""
        on: NDArray[np.bool_] = self.hosts["power"] == ON
        return on


class Decision(NamedTuple):
    """What a policy wants done, in this order.

    Attributes:
        wake: hosts.
        moves: slot of a domain and host.
        suspend: hosts, which have to be empty.
    """

    wake: list[int] = []
    moves: list[tuple[int, int]] = []
    suspend: list[int] = []


class MigrationPolicy(Protocol):
    """Decides at every control interval; what it remembers begins anew with ``begin``."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    def begin(self) -> None:
        """An episode begins."""

    def decide(self, view: View) -> Decision:
        """What to do now."""


def carry_out(cluster: Any, decision: Decision) -> int:
    """Let a cluster of any fidelity do what was decided; returns how many moves were accepted."""
    for host in decision.wake:
        cluster.wake(host)
    accepted = sum(cluster.order_move(domain, host) == 0 for domain, host in decision.moves)
    for host in decision.suspend:
        cluster.suspend(host)
    return int(accepted)
