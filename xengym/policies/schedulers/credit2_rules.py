"""The releases of Xen's Credit2 scheduler as one table of rules.

One engine (`credit2.pyx`) with switches; a release is a column of this table. 4.22 stands as its source reads. What 4.8
does otherwise was settled by comparing with measured runs of the original code, which the conformance command repeats.
"4.8fix" is 4.8 with the correction of March 2017 that charges running vCPUs before their credits are reset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

#: Credits are nanoseconds of CPU as the heaviest vCPU of a run queue pays for it. What a reset gives.
CREDIT_INIT = 10_000_000


class TickleRule(IntEnum):
    """Which busy pCPU a newly queued vCPU interrupts, where no idle one is left for it."""

    LEAST_CREDIT = 0  #: its own if the one there has less credit, else the one with the least (4.8)
    SCORE = 1  #: where it gains most, soft affinity counted; not within a rate limit (4.10 on)


class ResetWhen(IntEnum):
    """When the credits of a run queue are reset."""

    NONE_SKIPPED = 0  #: the chosen one has none left, and nobody was passed over to find it (4.8)
    NONE_LEFT = 1  #: neither the chosen one nor the first in the queue has any left


@dataclass(frozen=True)
class Credit2Rules:
    """One release of the Credit2 scheduler.

    Attributes:
        credit_min: credits never fall below this.
        idle_credit: what idle counts as in comparisons.
        tickle_rule: see `TickleRule`.
        reset_when: see `ResetWhen`.
        reset_repeats: a reset lifts who was chosen above zero, however deep its debt (4.8); later it gives once, or
            twice to a run queue whose best is at the floor.
        reset_burns_running: vCPUs running elsewhere are charged before a reset; else they run the rest for free.
        credit_test_first: who has less credit than the running vCPU ends the search; else, if it last ran elsewhere, it
            is passed over.
        counts_inflight: a vCPU that is being switched out limits its successor's slice as if it were queued already.
        has_soft_affinity: soft affinity is known (4.10 on).
        has_caps: domains can be capped (4.10 on).
        limits_runqueues: a run queue takes a bounded number of pCPUs (4.15 on).
    """

    release: str
    credit_min: int = -CREDIT_INIT
    idle_credit: int = -CREDIT_INIT - 1
    tickle_rule: TickleRule = TickleRule.SCORE
    reset_when: ResetWhen = ResetWhen.NONE_LEFT
    reset_repeats: bool = False
    reset_burns_running: bool = True
    credit_test_first: bool = True
    counts_inflight: bool = True
    has_soft_affinity: bool = True
    has_caps: bool = True
    limits_runqueues: bool = True


#: Xen 4.22 (2026) and what follows it.
_CURRENT = Credit2Rules(release="4.22")

_V4_8 = replace(
    _CURRENT,
    release="4.8",
    credit_min=-(1 << 61),  # no floor
    idle_credit=-(1 << 62),  # below any credit (-(1 << 30) in Xen, whose credits have 32 bits)
    tickle_rule=TickleRule.LEAST_CREDIT,
    reset_when=ResetWhen.NONE_SKIPPED,
    reset_repeats=True,
    reset_burns_running=False,
    credit_test_first=False,
    counts_inflight=False,
    has_soft_affinity=False,
    has_caps=False,
    limits_runqueues=False,
)

#: Release name to rules; "current" is the newest.
CREDIT2_RELEASES: dict[str, Credit2Rules] = {
    "4.8": _V4_8,
    "4.8fix": replace(_V4_8, release="4.8fix", reset_burns_running=True),
    "4.22": _CURRENT,
    "current": _CURRENT,
}


def credit2_rules(version: str) -> Credit2Rules:
    """Rules of a release.

    Raises:
        ValueError: the release is not known; the message lists those that are.
    """
    try:
        return CREDIT2_RELEASES[version]
    except KeyError:
        known = ", ".join(CREDIT2_RELEASES)
        raise ValueError(f"unknown version {version!r} of scheduler 'credit2'; expected one of {known}") from None
