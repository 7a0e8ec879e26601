"""The published results that the simulator is held against: one row each, run by `xengym reproduce`.

A row's tolerance is stated before it is measured and is part of the table. A row that is missed stays in it, with
what came out and the reason, if it is known. Rows whose mechanisms do not exist yet are listed as open. What a source
says and what is derived from an algorithm that it describes is told apart in `source`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """What a row's experiment gave.

    Attributes:
        ours: the measured figures, as text.
        is_met: they lie within the row's tolerance.
        why: if they do not, what stands in the way, as far as it is known; "" if it is not, which is an error to look
        for.
    """

    ours: str
    is_met: bool
    why: str = ""


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
    """A row and what came of it.

    ``verdict`` is ``met``, ``missed`` or ``open``; ``why`` is the reason of a miss, if it is known.
    """

    row: str
    setup: str
    published: str
    source: str
    ours: str | None
    tolerance: str
    verdict: str
    why: str = ""


def run_rows(rows: Iterable[Row], progress: Callable[[], None] | None = None) -> list[Result]:
    """Run every row that can be run.

    Args:
        rows: some of ``ROWS``.
        progress: called after each row.
    """
    results = []
    for row in rows:
        ours, verdict, why = None, "open", ""
        if row.measure is not None:
            ours, is_met, reason = row.measure()
            verdict, why = ("met", "") if is_met else ("missed", reason)
        results.append(Result(row.row, row.setup, row.published, row.source, ours, row.tolerance, verdict, why))
        if progress is not None:
            progress()
    return results


def as_plain_data(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Results as a list of dicts."""
    return [asdict(result) for result in results]
