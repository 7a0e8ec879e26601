"""What became of a cluster, in a few numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

from xengym.units import S_NS

_KWH_J = 3.6e6


class ClusterTotals(NamedTuple):
    """Sums over an episode up to now; domains that have left are part of them.

    Attributes:
        fidelity: ``fluid`` or ``event``.
        hours: simulated.
        energy_kwh: of all hosts.
        hosts_on: mean number of hosts that were on.
        violation_frac: part of the domains' time in which they got less CPU than they demanded.
        unmet_frac: part of the CPU time demanded that they did not get.
        moves: completed.
        aborted: moves that failed.
        downtime_s: of all domains, for moves.
        move_s: mean length of a move that is over; 0 without any.
        moved_gb: bytes of moves, in 10^9.
        remote_gb: sent by guests to clients of another site.
        arrived, left: domains.
        refused: arrivals without a host.
    """

    fidelity: str
    hours: float
    energy_kwh: float
    hosts_on: float
    violation_frac: float
    unmet_frac: float
    moves: int
    aborted: int
    downtime_s: float
    move_s: float
    moved_gb: float
    remote_gb: float
    arrived: int
    left: int
    refused: int


def totals(cluster: Any) -> ClusterTotals:
    """The totals of a cluster of any fidelity now."""
    clock, hosts = cluster.clock[0], cluster.hosts
    domains = cluster.domains[cluster.domains["in_use"] == 1]
    now_ns = int(clock["now_ns"])
    life_s = float(clock["gone_s"]) + float((now_ns - domains["arrived_ns"]).astype(float).sum()) / S_NS
    demanded_s = float(clock["gone_demanded_s"]) + float(domains["demanded_ns"].astype(float).sum()) / S_NS
    granted_s = float(clock["gone_granted_s"]) + float(domains["granted_ns"].astype(float).sum()) / S_NS
    violation_s = float(clock["gone_violation_s"]) + float(domains["violation_ns"].astype(float).sum()) / S_NS
    over = int(clock["moves_done"]) + int(clock["moves_aborted"].sum())
    return ClusterTotals(
        fidelity=cluster.fidelity,
        hours=now_ns / S_NS / 3600,
        energy_kwh=float(hosts["energy_nj"].astype(float).sum()) * 1e-9 / _KWH_J,
        hosts_on=float(hosts["on_ns"].astype(float).sum()) / now_ns if now_ns else 0.0,
        violation_frac=violation_s / life_s if life_s > 0 else 0.0,
        unmet_frac=max(0.0, 1.0 - granted_s / demanded_s) if demanded_s > 0 else 0.0,
        moves=int(clock["moves_done"]),
        aborted=int(clock["moves_aborted"].sum()),
        downtime_s=int(clock["downtime_ns"]) / S_NS,
        move_s=int(clock["move_ns"]) / S_NS / over if over else 0.0,
        moved_gb=float(clock["moved_bytes"]) * 1e-9,
        remote_gb=float(clock["remote_bytes"]) * 1e-9,
        arrived=int(clock["arrived"]),
        left=int(clock["left"]),
        refused=int(clock["refused_arrivals"].sum()),
    )
