"""What schedulers' parameters mean: ranges for an agent, and terms that carry over from one scheduler to another."""

from __future__ import annotations

from typing import NamedTuple, SupportsInt

import numpy as np


def check_integer(where: str, name: str, value: SupportsInt, low: int, high: int) -> int:
    """``value`` as an int, if it is an integer ``low..high``.

    Raises:
        ValueError: it is not; the message begins with ``where`` and names the parameter, the range and the value.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{where}: {name} must be an integer {low}..{high}, found {value!r}")
    return int(value)


class Tunable(NamedTuple):
    """One scheduler parameter of a domain that an agent may set.

    Attributes:
        name: the parameter's name in the scheduler's own words.
        low: least legal value.
        high: greatest legal value, or None for "100 % of each of the domain's vCPUs".
        default: value of a new domain.
        log_scale: equal steps of an action are equal ratios of the value (``low`` is at least 1 then).
        zero_means_none: 0 switches the limit off.
    """

    name: str
    low: int
    high: int | None
    default: int
    log_scale: bool
    zero_means_none: bool = False


class Share(NamedTuple):
    """What a scheduler gives a domain, in terms that do not belong to one scheduler; None: says nothing about it.

    Attributes:
        weight: share in what is free, relative to others; 256 is everybody's default.
        cap_pct: at most so much, in percent of one pCPU.
        slice_ns: CPU time guaranteed to each vCPU in every period.
        period_ns: that period.
        extra_time: whether it may have more than is guaranteed.
    """

    weight: float | None = None
    cap_pct: int | None = None
    slice_ns: int | None = None
    period_ns: int | None = None
    extra_time: bool | None = None

    def stated(self) -> list[str]:
        """Names of the terms that say something."""
        return [name for name, value in self._asdict().items() if value is not None]


def weight_and_cap(share: Share, num_vcpus: int) -> tuple[dict[str, int], list[str]]:
    """Parameters of a scheduler that has weight and cap, from a share; and the terms that were lost.

    A reservation without extra time is a cap of the same size; a guarantee has no counterpart.
    """
    params: dict[str, int] = {}
    lost = share.stated()
    if share.weight is not None:
        params["weight"] = min(max(round(share.weight), 1), 65535)
        lost.remove("weight")
    cap_pct = share.cap_pct
    if share.extra_time is False and share.slice_ns is not None and share.period_ns:
        cap_pct = max(1, round(100 * num_vcpus * share.slice_ns / share.period_ns))
        lost.remove("extra_time")
    if cap_pct is not None:
        params["cap"] = min(max(cap_pct, 1), 100 * num_vcpus)
        if "cap_pct" in lost:
            lost.remove("cap_pct")
    return params, lost
