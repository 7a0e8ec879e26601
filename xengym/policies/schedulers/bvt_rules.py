"""The releases of Xen's BVT scheduler, and BVT as it was published, as one table of rules.

One engine (`bvt.pyx`) with switches; a release is a column of this table. Xen had BVT from 2.0 (its default then) to
August 2006, before 3.0.3. Two slips make it differ from the design: a slice hardly depends on the lead in virtual time
(all releases), and time is charged twice (from February 2006, commit eefccca99e). Both are kept here, as measured. The
profile "ideal" has neither: K. J. Duda and D. R. Cheriton, "Borrowed-virtual-time (BVT) scheduling", SOSP 1999.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class BvtRules:
    """One release of BVT.

    Attributes:
        refresh_stamp: every pass notes the time from which the vCPU is charged next. If not, only a switch does, and a
            vCPU that is chosen again pays for its whole stretch once more (3.0.2).
        whole_mcus: time is charged in whole minimum charging units, a part of one counting as one, and virtual time
            counts units times advance in 32 bits. If not, it is charged exactly.
        unit_slip: how long the lead in virtual time lasts comes out in charging units, and is added to the context
            switch allowance as nanoseconds (Xen); so a slice is the allowance and next to nothing.
        holds_allowance: whoever runs may go on until it is a context switch allowance behind the best of the others,
            whatever asks for a pass before; the system's virtual time is up to date at every wake-up; a tie goes to
            the lower number (as published). If not, a pass switches to the least effective virtual time, first queued
            first, and the system's virtual time is that of the last pass (Xen).
    """

    release: str
    refresh_stamp: bool = True
    whole_mcus: bool = True
    unit_slip: bool = True
    holds_allowance: bool = False


_V3_0_0 = BvtRules(release="3.0.0")
_V2_0 = replace(_V3_0_0, release="2.0")
_V3_0_2 = replace(_V3_0_0, release="3.0.2", refresh_stamp=False)
_IDEAL = BvtRules(release="ideal", whole_mcus=False, unit_slip=False, holds_allowance=True)

#: Release name to rules; "current" is the last release of Xen that had it, 3.0.2 (2006).
BVT_RELEASES: dict[str, BvtRules] = {
    "ideal": _IDEAL,
    "2.0": _V2_0,
    "3.0.0": _V3_0_0,
    "3.0.2": _V3_0_2,
    "current": _V3_0_2,
}


def bvt_rules(version: str) -> BvtRules:
    """Rules of a release.

    Raises:
        ValueError: the release is not known; the message lists those that are.
    """
    try:
        return BVT_RELEASES[version]
    except KeyError:
        known = ", ".join(BVT_RELEASES)
        raise ValueError(f"unknown version {version!r} of scheduler 'bvt'; expected one of {known}") from None
