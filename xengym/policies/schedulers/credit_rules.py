"""The releases of Xen's Credit scheduler as one table of rules.

One engine (`credit.pyx`) with switches; a release is a column of this table. Sources: Xen's history by release
branch, as listed with each rule. Rules that differ from a literal reading of the source were settled by comparing
with measured runs of the original code; the conformance command repeats that comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

MS_NS = 1_000_000

#: Priorities, highest first. PARKED exists in 3.0.3 only.
PRIORITIES = {"boost": 0, "under": -1, "over": -2, "idle": -64, "parked": -65}


class Debit(IntEnum):
    """How CPU time is charged."""

    SAMPLED = 0  #: a whole tick to whoever runs at the tick (to 3.4)
    EXACT = 1  #: by the clock, the remainder kept (4.3 on)


class CapRule(IntEnum):
    """How a cap is enforced."""

    PRIORITY = 0  #: a priority below idle (3.0.3)
    PAUSE = 1  #: the vCPU is paused by the accounting (3.0.4 on)


class UnparkRule(IntEnum):
    """Whether a vCPU released from parking is boosted by its own wake-up."""

    PLAIN = 0  #: no: unpaused while still marked parked (3.x), or the race was mended (4.13 on)
    BOOSTED = 1  #: yes: the mark is cleared first, so the wake-up is an ordinary one (4.x to 4.12)


class RatelimitRule(IntEnum):
    """What slice a vCPU gets that may not be preempted yet."""

    NONE = 0
    FULL = 1  #: a whole rate limit again (4.2 to 4.7)
    REMAINING = 2  #: what is left of it; a yield is not limited (4.8 on)


class TickleRule(IntEnum):
    """Which pCPUs a wake-up asks to reschedule."""

    ALL_IDLERS = 0  #: its own and every idle one (to 4.0)
    IDLERS_FIRST = 1  #: one idle one, its own only if there is none (4.3 on)


class StealRule(IntEnum):
    """In which order other run queues are searched."""

    RING = 0  #: from the next pCPU round, skipping those that run idle (3.0.3)
    RING_BUSY = 1  #: the same ring over pCPUs not in the idle mask (3.0.4 to 4.2)
    ASCENDING = 2  #: busy pCPUs by ascending number, whoever asks (4.3 to 4.8)
    NODE_BIAS = 3  #: per NUMA node from where the last theft succeeded (4.9 on)


class PushRule(IntEnum):
    """Whether the vCPU preempted by a wake-up is pushed to an idle pCPU."""

    NEVER = 0
    HARD_AFFINITY = 1  #: if an idle pCPU is in its hard affinity (4.8 to 4.12)
    ALWAYS = 2  #: 4.3 to 4.6


@dataclass(frozen=True)
class CreditRules:
    """One release of the Credit scheduler.

    Attributes:
        credits_per_tick: what a tick debits under sampled debit; a pCPU hands out three times as much a period.
        timeslice_fixed: the timeslice cannot be set (before 4.2).
        has_boost: wake-ups of UNDER vCPUs get BOOST (3.0.4 on).
        boost_after_move: also the wake-up that ends a migration, and the first one (to 4.6).
        weight_per_vcpu: every active vCPU carries its domain's whole weight (4.1 on); before, they share it.
        halve_on_leave: a vCPU leaving the active list keeps half its credit (4.1 on); before, none.
        starts_active: new vCPUs are on the active list at once (3.0.3).
        balance_before_reset: the balance counts the credit a leaving vCPU had before it was reset (3.0.3).
        has_yield: a yield puts the vCPU behind one of lower priority (4.1 on).
        yield_is_sticky: the mark stays until the vCPU leaves a queue, and keeps it from being stolen (4.18 on).
        ticks_account: accounting is every third tick of the first pCPU (to 3.4); later a timer of its own.
        idle_slice: idle is given a 30 ms slice (to 3.4).
        repick_at_tick: a running active vCPU is placed anew at each tick (3.0.4 on).
        count_self_idle: the vCPU's own pCPU counts as idle in placement only if nothing is queued there (4.3 on).
        idle_bias: placement rotates over the idle pCPUs of the group that it chose (4.0 on).
        socket_bar: another socket must be so many times idler to be chosen.
        soft_affinity: soft affinity is known (4.5 on).
        pinned_fast_path: a pinned waker asks its own idle pCPU at once (4.11 on).
        tickle_clears_idle: a tickled pCPU leaves the idle mask at once (4.9 on).
        skip_lonely_peers: pCPUs with at most one runnable vCPU are not searched (4.9 on).
        balance_ratelimit_ns: least time between two searches of one pCPU (4.18 on).
        min_slice_guard: a rate-limited pass within 100 us of the switch gives 100 us (after 4.8).
        tslice_sets_pool: changing the timeslice while running changes the credits handed out too.
        params_pause: setting parameters pauses and unpauses the domain (3.x).
        ticks_stop_on_idle: an idle pCPU has no tick (3.4 on).
    """

    release: str
    credits_per_tick: int = 100
    debit: Debit = Debit.EXACT
    cap_rule: CapRule = CapRule.PAUSE
    unpark_rule: UnparkRule = UnparkRule.PLAIN
    ratelimit_rule: RatelimitRule = RatelimitRule.REMAINING
    tickle_rule: TickleRule = TickleRule.IDLERS_FIRST
    steal_rule: StealRule = StealRule.NODE_BIAS
    push_rule: PushRule = PushRule.NEVER
    timeslice_fixed: bool = False
    has_boost: bool = True
    boost_after_move: bool = False
    weight_per_vcpu: bool = True
    halve_on_leave: bool = True
    starts_active: bool = False
    balance_before_reset: bool = False
    has_yield: bool = True
    yield_is_sticky: bool = False
    ticks_account: bool = False
    idle_slice: bool = False
    repick_at_tick: bool = True
    count_self_idle: bool = True
    idle_bias: bool = True
    socket_bar: int = 2
    soft_affinity: bool = True
    pinned_fast_path: bool = True
    tickle_clears_idle: bool = True
    skip_lonely_peers: bool = True
    balance_ratelimit_ns: int = 0
    min_slice_guard: bool = True
    tslice_sets_pool: bool = True
    params_pause: bool = False
    ticks_stop_on_idle: bool = True


#: Xen 4.22 (2026) and what follows it.
_CURRENT = CreditRules(release="4.22", yield_is_sticky=True, balance_ratelimit_ns=1 * MS_NS)

_V4_8 = replace(
    _CURRENT,
    release="4.8",
    unpark_rule=UnparkRule.BOOSTED,
    steal_rule=StealRule.ASCENDING,
    push_rule=PushRule.HARD_AFFINITY,
    yield_is_sticky=False,
    pinned_fast_path=False,
    tickle_clears_idle=False,
    skip_lonely_peers=False,
    balance_ratelimit_ns=0,
    min_slice_guard=False,
    tslice_sets_pool=False,
)

_V4_5 = replace(
    _V4_8,
    release="4.5",
    ratelimit_rule=RatelimitRule.FULL,
    push_rule=PushRule.ALWAYS,
    boost_after_move=True,
)

_V3_2 = replace(
    _V4_5,
    release="3.2",
    debit=Debit.SAMPLED,
    unpark_rule=UnparkRule.PLAIN,
    ratelimit_rule=RatelimitRule.NONE,
    tickle_rule=TickleRule.ALL_IDLERS,
    steal_rule=StealRule.RING_BUSY,
    push_rule=PushRule.NEVER,
    timeslice_fixed=True,
    weight_per_vcpu=False,
    halve_on_leave=False,
    has_yield=False,
    ticks_account=True,
    idle_slice=True,
    count_self_idle=False,
    idle_bias=False,
    socket_bar=1,
    soft_affinity=False,
    params_pause=True,
    ticks_stop_on_idle=False,
)

_V3_0_3 = replace(
    _V3_2,
    release="3.0.3",
    credits_per_tick=10,
    cap_rule=CapRule.PRIORITY,
    steal_rule=StealRule.RING,
    has_boost=False,
    starts_active=True,
    balance_before_reset=True,
    repick_at_tick=False,
)

#: Release name to rules; "current" is the newest.
CREDIT_RELEASES: dict[str, CreditRules] = {
    "3.0.3": _V3_0_3,
    "3.2": _V3_2,
    "4.5": _V4_5,
    "4.8": _V4_8,
    "4.22": _CURRENT,
    "current": _CURRENT,
}


def credit_rules(version: str) -> CreditRules:
    """Rules of a release.

    Raises:
        ValueError: the release is not known; the message lists those that are.
    """
    try:
        return CREDIT_RELEASES[version]
    except KeyError:
        known = ", ".join(CREDIT_RELEASES)
        raise ValueError(f"unknown version {version!r} of scheduler 'credit'; expected one of {known}") from None
