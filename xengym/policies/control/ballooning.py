"""How to divide a host's memory: pure functions over plain data, for Dom0's daemons and for baselines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pages = NDArray[np.int64]


def proportional_targets(wanted: Pages, floors: Pages, maxima: Pages, available: int) -> Pages:
    """Balloon targets in proportion to what domains want.

    If all they want fits, each gets it, and what is left is divided in proportion to what they want, so that whose
    demand grows has room until the next look. Otherwise all get the same part of what they want beyond their floors.
    Nobody gets more than its maximum or less than its floor.

    Args:
        wanted: pages that each domain wants, int64 of shape ``(num_domains,)``.
        floors: pages that each keeps at least, same shape.
        maxima: pages that each has at most, same shape.
        available: pages that may be given out in all.

    Returns:
        Targets, same shape; their sum is at most ``max(available, sum of floors)``.
    """
    targets = np.clip(wanted, floors, maxima)
    left = available - int(targets.sum())
    if left < 0:
        beyond = targets - floors
        spare = max(0, available - int(floors.sum()))
        return floors + beyond * spare // int(beyond.sum()) if beyond.any() else floors
    # Those that reach their maximum leave the rest to the others.
    while left > 0:
        open_ends = targets < maxima
        weights = np.where(open_ends, np.maximum(wanted, 1), 0)
        if not open_ends.any():
            break
        given = np.minimum(weights * left // int(weights.sum()), maxima - targets)
        if not given.any():
            break
        targets = targets + given
        left -= int(given.sum())
    return targets


def fair_targets(wanted: Pages, floors: Pages, maxima: Pages, available: int) -> Pages:
    """Balloon targets by max-min fairness: small wants are met first, what is left is divided evenly.

    Who wants little is spared the swap disk, whatever others want; and what nobody wants now lies where it can be used
    at once when a demand grows, with everybody alike.

    Args:
        wanted: pages that each domain wants, int64 of shape ``(num_domains,)``.
        floors: pages that each keeps at least, same shape.
        maxima: pages that each has at most, same shape.
        available: pages that may be given out in all.

    Returns:
        Targets, same shape; their sum is at most ``max(available, sum of floors)``.
    """
    targets = _raise_evenly(floors, np.clip(wanted, floors, maxima), available)
    return _raise_evenly(targets, maxima, available)


def _raise_evenly(targets: Pages, ends: Pages, available: int) -> Pages:
    """Give all the same, each up to its end, until all are there or nothing is left."""
    while True:
        left = available - int(targets.sum())
        is_open = targets < ends
        num_open = int(is_open.sum())
        if num_open == 0 or left < num_open:  # less than a page for each
            return targets
        targets = np.where(is_open, np.minimum(targets + left // num_open, ends), targets)
