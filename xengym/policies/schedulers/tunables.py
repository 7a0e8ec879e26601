"""What an agent may set on a domain: named parameters with their ranges."""

from __future__ import annotations

from typing import NamedTuple


class Tunable(NamedTuple):
    """One scheduler parameter of a domain.

    Attributes:
        name: the parameter's name in the scheduler's own words.
        low: least legal value.
        high: greatest legal value, or None for "100 % of each of the domain's vCPUs".
        default: value of a new domain.
        log_scale: equal steps of an action are equal ratios of the value.
        zero_means_none: 0 switches the limit off.
    """

    name: str
    low: int
    high: int | None
    default: int
    log_scale: bool
    zero_means_none: bool = False
