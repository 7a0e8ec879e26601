"""The published results that the simulator is held against: one row each, run by `xengym reproduce`.

A row's tolerance is stated before it is measured and is part of the table. Rows whose mechanisms do not exist yet are
listed as open. What a source says and what is derived from an algorithm that it describes is told apart in `source`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from xengym.testing.figures import credit


class Outcome(NamedTuple):
    """What a row's experiment gave.

    Attributes:
        ours: the measured figures, as text.
        is_met: they lie within the row's tolerance.
    """

    ours: str
    is_met: bool


@dataclass(frozen=True)
class Row:
    """One published result.

    Attributes:
        row: its number.
        setup: the experiment.
        published: what was published.
        source: where; "derived" if it follows from the algorithm described there.
        tolerance: how far off still counts as met.
        needs: what has to exist for it.
        measure: runs it; None: cannot be run yet.
    """

    row: str
    setup: str
    published: str
    source: str
    tolerance: str
    needs: str
    measure: Callable[[], Outcome] | None = None


@dataclass(frozen=True)
class Result:
    """A row and what came of it; ``verdict`` is ``met``, ``missed`` or ``open``."""

    row: str
    setup: str
    published: str
    source: str
    ours: str | None
    tolerance: str
    verdict: str


def run_rows(rows: Iterable[Row], progress: Callable[[], None] | None = None) -> list[Result]:
    """Run every row that can be run.

    Args:
        rows: some of ``ROWS``.
        progress: called after each row.
    """
    results = []
    for row in rows:
        ours, verdict = None, "open"
        if row.measure is not None:
            ours, is_met = row.measure()
            verdict = "met" if is_met else "missed"
        results.append(Result(row.row, row.setup, row.published, row.source, ours, row.tolerance, verdict))
        if progress is not None:
            progress()
    return results


def as_plain_data(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Results as a list of dicts."""
    return [asdict(result) for result in results]


# -- Credit ------------------------------------------------------------------------------------------------------------


def _r10() -> Outcome:
    shares = credit.shares_by_weight()
    return Outcome(f"{shares[0]:.3f} : {shares[1]:.3f}", bool(np.abs(shares - [1 / 3, 2 / 3]).max() <= 0.02))


def _r11() -> Outcome:
    third = credit.third_domain_share()
    worst = sedf_bvt.worst_served_reservation()
    return Outcome(
        f"Credit: {100 * third:.1f} %; SEDF: a domain gets {100 * worst:.0f} % of its reservation",
        third >= 0.29 and worst < 0.97,
    )


def _r12() -> Outcome:
    worst_window, worst_mean, sizes = 0.0, 0.0, {}
    for cap in range(1, 100):
        shares_pct = 100 * credit.capped_window_shares("3.2", cap)
        worst_window = max(worst_window, float(np.abs(shares_pct - cap).max()))
        worst_mean = max(worst_mean, abs(float(shares_pct.mean()) - cap))
        sizes[cap] = float(np.abs(shares_pct / cap - 1).mean())
    falls = sizes[1] > sizes[5] > sizes[20] > sizes[50]
    return Outcome(
        f"worst window {worst_window:.1f} points, worst mean {worst_mean:.2f}; mean relative error at 1, 10, 50 %: "
        f"{100 * sizes[1]:.0f}, {100 * sizes[10]:.1f}, {100 * sizes[50]:.1f} %",
        worst_window <= 5 and worst_mean <= 0.1 and falls,
    )


def _r14() -> Outcome:
    sampled, exact = credit.evader_share("3.2"), credit.evader_share("4.5")
    return Outcome(f"{100 * sampled:.0f} % under 3.2; {100 * exact:.0f} % under 4.5", sampled >= 0.85 and exact <= 0.55)


def _r17() -> Outcome:
    parts, met = [], True
    for num_hogs in (1, 4):
        without, boosted = (credit.ping_waits_ms(version, num_hogs) for version in ("3.0.3", "3.2"))
        met = met and without[-1] <= 30 * num_hogs + 10 and boosted[-1] < 1
        met = met and np.median(without) >= 10 * max(np.median(boosted), 0.1)
        parts.append(f"{num_hogs} hogs: worst {without[-1]:.0f} ms before, {boosted[-1]:.2f} ms after")
    return Outcome("; ".join(parts), bool(met))


def _r18() -> Outcome:
    without, boosted = (credit.ping_waits_ms(version, 2, computes=True).mean() for version in ("3.0.3", "3.2"))
    ratio = without / boosted
    return Outcome(f"mean wait {without:.1f} ms before, {boosted:.1f} ms after", 1 / 1.5 <= ratio <= 1.5)


_BARHAM = "Barham et al. 2003"
_CLARK = "Clark et al. 2005"
_SURVEY = "survey (Reis and Cerqueira 2008)"
_MAIL = "Cherkasova, xen-devel 2007-04"

ROWS: tuple[Row, ...] = (
    Row("R10", "Credit, two hogs of weights 256 and 512, one pCPU, 3 s", "1 : 2", f"{_SURVEY}; Xen source", "2 points",
        "Credit", _r10),
    Row("R11", "domains of 80, 80 and 30 % on two pCPUs", "SEDF cannot place the third; Credit serves its 30 %", _SURVEY,
        "Credit >= 29 %; under SEDF a reservation is not met", "SEDF, Credit", _r11),
    Row("R12", "Credit, one hog with a cap of 1..99 %, windows of 1 s over 180 s (ALERT)",
        "errors of either sign, falling with the cap", f"{_MAIL}; table derived", "window 5 points, mean 0.1", "Credit",
        _r12),
    Row("R14", "Credit, a guest that sleeps across each tick, beside a hog", "about 95 % under sampled debit",
        "Xen, change to exact accounting", ">= 85 %; fair share later", "Credit", _r14),
    Row("R17", "Credit before and after BOOST, ping beside n hogs", "n slices of 30 ms at worst, then below 1 ms",
        "derived from the source", "worst <= 30 n + 10 ms; medians differ tenfold", "Credit", _r17),
    Row("R18", "the same, the pinged domain computes", "BOOST does not help", "derived from the source", "ratio <= 1.5",
        "Credit", _r18),
)  # fmt: skip
