"""The releases of Xen's RTDS scheduler as one table of rules.

One engine (`rtds.pyx`) with switches; a release is a column of this table. Sources: Xen's history by release branch.
The rules of 4.8 were settled by comparing with measured runs of the original code; the conformance command repeats
that comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum


class TickleRule(IntEnum):
    """Which pCPU a newly queued vCPU asks to reschedule; a pCPU that was asked and has not answered is passed over."""

    #: Its own if that runs idle, even if it was asked already (the two requests are one pass then); otherwise the
    #: lowest idle one; otherwise the one that runs the latest deadline, the lowest number among equals (4.8).
    OWN_IDLE_FIRST = 0
    #: From its own round: the first idle one; otherwise the one that runs the lowest priority, the first met among
    #: equals (after 4.8).
    RING = 1


@dataclass(frozen=True)
class RtdsRules:
    """One release of the RTDS scheduler.

    Attributes:
        has_extratime: a vCPU may go on beyond its budget, at a lower priority (after 4.8).
        lifo_ties: who enters a queue goes before its equals (4.8), not behind them.
        tie_keeps_current: the running vCPU keeps its pCPU against an equal (4.8); later it gives way.
        tickle_rule: see ``TickleRule``.
    """

    release: str
    has_extratime: bool = True
    lifo_ties: bool = False
    tie_keeps_current: bool = False
    tickle_rule: TickleRule = TickleRule.RING


#: Xen 4.22 (2026) and what follows it.
_CURRENT = RtdsRules(release="4.22")

_V4_8 = replace(
    _CURRENT,
    release="4.8",
    has_extratime=False,
    lifo_ties=True,
    tie_keeps_current=True,
    tickle_rule=TickleRule.OWN_IDLE_FIRST,
)

#: Release name to rules; "current" is the newest.
RTDS_RELEASES: dict[str, RtdsRules] = {"4.8": _V4_8, "4.22": _CURRENT, "current": _CURRENT}


def rtds_rules(version: str) -> RtdsRules:
    """Rules of a release.

    Raises:
        ValueError: the release is not known; the message lists those that are.
    """
    try:
        return RTDS_RELEASES[version]
    except KeyError:
        known = ", ".join(RTDS_RELEASES)
        raise ValueError(f"unknown version {version!r} of scheduler 'rtds'; expected one of {known}") from None
