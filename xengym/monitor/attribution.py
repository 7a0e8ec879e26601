"""Whose is the CPU time of a driver domain? The heuristic of XenMon's users, beside what only a simulator knows.

A driver domain works on behalf of guests, and Xen accounts its time to itself. XenMon's users divide it among the
guests in proportion to the packets sent and received for each (Gupta et al. 2006; survey, section 4.3), or to the pages
that changed hands (Cherkasova and Gardner 2005). The mechanisms here write down for whom each piece of work was done
(`DomainIo.served_ns`), so both can be shown, and how far the one is off.

Everything is an array by domain slot, read from the state; a host without back ends has zeros everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.host import Host


class IoCounters(NamedTuple):
    """The counters of one instant.

    Attributes:
        driver_ns: CPU time of all back ends' domains so far.
        io: copy of the state's section ``domain_io``, shape ``(max_domains,)``.
        created_at_ns: when the domain in each slot was created; -1: there is none.
    """

    driver_ns: int
    io: NDArray[Any]
    created_at_ns: NDArray[np.int64]


def io_counters(host: Host) -> IoCounters:
    """Read them now."""
    domains, io, vcpus = (host.sections[name] for name in ("domain", "domain_io", "vcpu"))
    backends = np.flatnonzero((io["is_backend"] != 0) & (domains["in_use"] != 0))
    driver_ns = 0
    for slot in backends:
        first, count = int(domains["first_vcpu"][slot]), int(domains["num_vcpus"][slot])
        rows = vcpus[first : first + count]
        driver_ns += int(rows["runstate_ns"][:, 0].sum())
        driver_ns += int((host.now_ns - rows["runstate_at_ns"])[rows["runstate"] == 0].sum())
    created_at_ns = np.where(domains["in_use"] != 0, domains["created_at_ns"], -1)
    return IoCounters(driver_ns, io.copy(), created_at_ns)


def _gained(before: IoCounters, after: IoCounters, *fields: str) -> NDArray[np.int64]:
    """What guests' counters gained, summed over ``fields``; a slot's new domain began at 0, one that is gone has 0."""
    is_same = before.created_at_ns == after.created_at_ns
    is_guest = (after.created_at_ns >= 0) & (after.io["is_backend"] == 0)
    new = np.sum([after.io[field] for field in fields], axis=0, dtype=np.int64)
    old = np.sum([before.io[field] for field in fields], axis=0, dtype=np.int64)
    return np.asarray(np.where(is_guest, new - np.where(is_same, old, 0), 0), dtype=np.int64)


def split_true(before: IoCounters, after: IoCounters) -> NDArray[np.int64]:
    """CPU time that back ends spent on each guest's behalf between two instants, ns.

    It comes to less than the driver domains' CPU time: what they spent for nobody in particular, and on switches, is
    left.
    """
    return _gained(before, after, "served_ns")


def split_by_packets(before: IoCounters, after: IoCounters) -> NDArray[np.float64]:
    """The driver domains' CPU time divided in proportion to each guest's packets, sent and received, ns."""
    return _proportional(after.driver_ns - before.driver_ns, _gained(before, after, "rx_packets", "tx_packets"))


def split_by_pages(before: IoCounters, after: IoCounters) -> NDArray[np.float64]:
    """The same in proportion to the pages exchanged with each guest, ns."""
    return _proportional(after.driver_ns - before.driver_ns, _gained(before, after, "page_exchanges"))


def split_error(split: NDArray[np.float64], before: IoCounters, after: IoCounters) -> float:
    """How much of the driver domains' CPU time that was spent for guests a split books to the wrong ones, 0..1.

    The split is scaled to the true sum first: that it also hands out what was spent for nobody is another matter.
    """
    true = split_true(before, after).astype(np.float64)
    if true.sum() <= 0 or split.sum() <= 0:
        return 0.0
    return float(np.abs(split / split.sum() - true / true.sum()).sum() / 2)


def _proportional(total_ns: int, shares: NDArray[np.int64]) -> NDArray[np.float64]:
    whole = int(shares.sum())
    if whole <= 0:
        return np.zeros(len(shares))
    return total_ns * (shares / whole)
