"""`xengym fidelity`: the fluid cluster beside the one of full hosts, and its error by scenario."""

from __future__ import annotations

from math import isnan
from typing import Annotated

import typer

from xengym.cli.progress import progress_bar
from xengym.render.text_table import text_table
from xengym.testing.fidelity import CASES, measure_case


def fidelity(
    cases: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(case.name for case in CASES)}.")] = None,
    seeds: Annotated[int, typer.Option(help="Clusters of each case.", min=1)] = 3,
) -> None:
    """Measure the error of the fluid cluster model, by scenario."""
    known = {case.name: case for case in CASES}
    for name in cases or ():
        if name not in known:
            raise ValueError(f"CASES: expected some of {', '.join(known)}, found {name!r}")
    chosen = [known[name] for name in cases] if cases else list(CASES)
    with progress_bar("clusters", len(chosen)) as advance:
        errors = []
        for case in chosen:
            errors.append(measure_case(case, num_seeds=seeds))
            advance()
    header = (
        "case", "CPU error %", "worst domain", "energy %", "short, event %", "short, fluid %", "move time %",
        "downtime %",
    )  # fmt: skip
    rows = [
        (
            error.name, f"{error.cpu_median_pct:.2f}", f"{error.cpu_worst_pct:.2f}", f"{error.energy_pct:+.2f}",
            f"{error.violation_event_pct:.1f}", f"{error.violation_fluid_pct:.1f}",
            *("-" if isnan(value) else f"{value:+.1f}" for value in (error.move_pct, error.downtime_pct)),
        )
        for error in errors
    ]  # fmt: skip
    print(text_table(header, rows))
    print()
    for case in chosen:
        print(f"{case.name}: {case.what}")
