"""The releases of Xen's SEDF scheduler as one table of rules.

One engine (`sedf.pyx`) with switches; a release is a column of this table. The algorithm hardly changed between its
first release (3.0.0, 2005) and its last (4.5, 2015): what differs is who gets what by default, what a short block is
compensated with, and what the control call accepts. Sources: Xen's history, by the commits named with each rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

US_NS = 1_000
MS_NS = 1_000_000


class UnblockRule(IntEnum):
    """What a vCPU is given that wakes up before its deadline (short block) or after it (long block).

    Chosen when Xen 3.0.0 to 3.0.2 was built; later only ``EXTRA_SUPPORT`` is left.
    """

    ISOCHRONOUS = 0  #: next period, in step with the old ones
    EDF = 1  #: next period; after a long block a period that begins now
    ATROPOS = 2  #: as EDF, but after a long block with the latency hint as the period, and a slice in proportion
    SHORT_RESUME = 3  #: time blocked counts as used; what is left of the slice, if worth it, may be used at once
    BURST = 4  #: as short resume; a vCPU whose slice is gone has its period shortened to its rhythm of waking up
    EXTRA_SUPPORT = 5  #: next period, and one quantum of extra time before everybody else for what was lost


#: Names of the boot option ``unblock``.
UNBLOCK_NAMES: dict[str, UnblockRule] = {rule.name.lower(): rule for rule in UnblockRule}


@dataclass(frozen=True)
class SedfRules:
    """One release of SEDF.

    Attributes:
        dom0_is_reserved: each vCPU of domain 0 starts with 15 ms in 20 ms (to 4.1); later it is a domain like others.
        dom0_extraweight: extra weight of a reserved domain 0; 0: its part of extra time goes by its utilisation.
        penalty_until_repaid: a vCPU stays in the penalty queue until extra time has repaid what a short block cost it
            (to 3.0.2); later it gets one quantum.
        has_unblock_option: the rule for blocks can be chosen (to 3.0.2).
        counts_messages: missed deadlines are reported (4.x); 3.0.3 is silent.
        place_by_vcpu: a placement takes the pCPU of that number among the allowed ones (2013 on); before, the lowest.
        params_pause: setting parameters pauses and unpauses the domain (3.0.3 to 3.4).
        min_period_ns: least period of a reservation.
        max_period_ns: greatest.
        min_slice_ns: least slice of a reservation.
    """

    release: str
    dom0_is_reserved: bool = False
    dom0_extraweight: int = 1
    penalty_until_repaid: bool = False
    has_unblock_option: bool = False
    counts_messages: bool = True
    place_by_vcpu: bool = True
    params_pause: bool = False
    min_period_ns: int = 10 * US_NS
    max_period_ns: int = 10_000 * MS_NS
    min_slice_ns: int = 5 * US_NS


#: The last release that had it; removed in 4.6.
_V4_5 = SedfRules(release="4.5")

#: Placement by vCPU number came in 2013 (commit e6a6fd6365); domain 0 lost its reservation in 4.2 (4da8a5edbd).
_V4_2 = replace(_V4_5, release="4.2", place_by_vcpu=False)

#: Also 3.0.4 to 3.4. That the control call pauses is known of these releases' framework; for SEDF it was not measured.
_V3_0_3 = replace(_V4_2, release="3.0.3", dom0_is_reserved=True, counts_messages=False, params_pause=True)

#: Before commit 1d13b43fea (June 2006), which gave domain 0 its extra weight and the penalty queue its one quantum.
_V3_0_2 = replace(
    _V3_0_3,
    release="3.0.2",
    dom0_extraweight=0,
    penalty_until_repaid=True,
    has_unblock_option=True,
    params_pause=False,
)

#: Before the limits of March 2006 (commit 23abfb62a5). Xen 3.0.0 takes anything; what is refused here would divide by 0
#: or overflow there.
_V3_0_0 = replace(_V3_0_2, release="3.0.0", min_period_ns=1, max_period_ns=1_000_000 * MS_NS, min_slice_ns=1)

#: Release name to rules; "current" is the last there was.
SEDF_RELEASES: dict[str, SedfRules] = {
    "3.0.0": _V3_0_0,
    "3.0.2": _V3_0_2,
    "3.0.3": _V3_0_3,
    "4.2": _V4_2,
    "4.5": _V4_5,
    "current": _V4_5,
}


def sedf_rules(version: str, scheduler: str = "sedf", versions: tuple[str, ...] = tuple(SEDF_RELEASES)) -> SedfRules:
    """Rules of a release.

    Args:
        version: the release.
        scheduler: name of the scheduler that has those rules.
        versions: releases on which that scheduler is based.

    Raises:
        ValueError: the release is not known; the message lists those that are.
    """
    if version not in versions:
        raise ValueError(
            f"unknown version {version!r} of scheduler {scheduler!r}; expected one of {', '.join(versions)}"
        )
    return SEDF_RELEASES[version]
