"""`xengym reproduce`: run the published results, and say of each whether ours lies within its tolerance."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from xengym.cli.progress import progress_bar
from xengym.testing.reproduce import Result, as_plain_data, run_rows
from xengym.testing.reproduce_rows import ROWS

_STYLES = {"met": "green", "missed": "red", "open": "dim"}


def reproduce(
    rows: Annotated[list[str] | None, typer.Argument(help="rows to run, as R3 R15; default all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of the table")] = False,
) -> None:
    """Run the published results, all or some, and compare with the figures; exit with 1 if one is missed unexplained.

    Rows whose mechanisms do not exist yet are listed as open; of those that are known to be missed, the reason is
    printed.
    """
    known = {row.row: row for row in ROWS}
    unknown = set(rows or ()) - set(known)
    if unknown:
        raise ValueError(f"no row {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in rows] if rows else list(ROWS)
    with progress_bar("reproducing", len(chosen)) as advance:
        results = run_rows(chosen, advance)
    if as_json:
        print(json.dumps(as_plain_data(results), indent=1))
    else:
        _print(results, {name: row.needs for name, row in known.items()})
    if any(result.verdict == "missed" and not result.why for result in results):
        raise typer.Exit(1)


def _print(results: list[Result], needs: dict[str, str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for result in results:
        style = _STYLES[result.verdict]
        console.print(f"{result.row:<4} [{style}]{result.verdict:<6}[/{style}] {result.setup}")
        if result.ours is None:
            published = f"published: {result.published} ({result.source})"
            console.print(f"{'':12}needs {needs[result.row]}; {published}", style="dim", markup=False)
            continue
        console.print(f"{'':12}published  {result.published} ({result.source})", markup=False)
        console.print(f"{'':12}ours       {result.ours}", markup=False)
        console.print(f"{'':12}tolerance  {result.tolerance}", markup=False)
        if result.why:
            console.print(f"{'':12}why        {result.why}", markup=False)
    counts = {verdict: sum(result.verdict == verdict for result in results) for verdict in _STYLES}
    tally = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    console.print(f"{tally}: the open ones need what is not built yet")
