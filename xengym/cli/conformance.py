"""`xengym conformance`: does the kernel do what the original code did, event for event?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xengym.cli.progress import progress_bar
from xengym.formats.oracle import load_oracle
from xengym.testing.conformance import Report, check_scenarios, write_outcomes, write_verdicts


def conformance(
    file: Annotated[Path, typer.Argument(help="scenario file (schema xen-sched-oracle/1)")],
    json: Annotated[Path | None, typer.Option(help="write one verdict a scenario here")] = None,
    outcomes: Annotated[
        Path | None, typer.Option(help="write what was simulated here, in the file's own schema")
    ] = None,
) -> None:
    """Run every scenario of FILE whose scheduler exists; exit with 1 if one differs from its recorded outcome."""
    scenarios, raw = load_oracle(file)
    with progress_bar("running scenarios", len(scenarios)) as advance:
        report = check_scenarios(scenarios, raw, advance)
    if json is not None:
        write_verdicts(report, json)
    if outcomes is not None:
        write_outcomes(report, outcomes)
    _print(report)
    if not report.is_good:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for implementation in dict.fromkeys(verdict.implementation for verdict in report.verdicts):
        verdicts = [v for v in report.verdicts if v.implementation == implementation]
        errors = [v.max_share_error for v in verdicts if v.max_share_error is not None]
        parts = [
            f"{len(verdicts)} scenarios",
            _count("dispatch traces identical", [v.trace_exact for v in verdicts]),
            _count("credit traces identical", [v.credit_trace_exact for v in verdicts]),
            _count("counters identical", [v.counters_exact for v in verdicts]),
            f"largest share error {max(errors):.6f}" if errors else "no shares to compare",
            _count("inside the perturbed range", [v.within_perturbed for v in verdicts]),
        ]
        good = all(v.is_good for v in verdicts)
        console.print(f"{implementation:<14} {'ok  ' if good else 'FAIL'} {', '.join(parts)}", markup=False)
        for verdict in verdicts:
            if not verdict.is_good:
                console.print(f"  differs: {verdict.id}", markup=False)
    for implementation, count in report.missing.items():
        console.print(f"{implementation:<14} --   {count} scenarios not run: not implemented yet", markup=False)


def _count(what: str, outcomes: list[bool | None]) -> str:
    known = [outcome for outcome in outcomes if outcome is not None]
    return f"{what} {sum(known)}/{len(known)}" if known else f"{what} -"
