"""The table of published results: every row is run or open, and a row that is missed says so."""

import json

import pytest
from typer.testing import CliRunner

from xengym.cli.app import app
from xengym.testing.reproduce import Outcome, Row, run_rows
from xengym.testing.reproduce_rows import ROWS

#: What can be run so far.
RUN = [
    *("R1", "R2", "R3", "R3b", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "R16"),
    *("R17", "R18", "R19", "R20", "R21", "R22", "R23", "R24", "R25"),
    *("R26", "R27", "R28", "R29", "R30", "R31", "R32", "R33", "R34", "R35", "R36", "R37"),
]
#: Of them, those that are missed for a known reason.
MISSED = ["R3b", "R16", "R25"]
#: More than 5 s.
SLOW = ["R25"]


def a_row(name, measure):
    return Row(name, "set-up", "1", "source", "exact", "nothing", measure)


def test_the_rows_are_numbered_and_each_says_what_it_needs():
    names = [row.row for row in ROWS]
    assert names == ["R1", "R2", "R3", "R3b", *(f"R{n}" for n in range(4, 39))]
    assert all(all((row.setup, row.published, row.source, row.tolerance, row.needs)) for row in ROWS)
    assert [row.row for row in ROWS if row.measure is not None] == RUN


def test_verdicts_follow_from_the_outcome():
    rows = [
        a_row("A", lambda: Outcome("1", True)),
        a_row("B", lambda: Outcome("7", False)),
        a_row("C", None),
        a_row("D", lambda: Outcome("8", False, "the wind")),
        a_row("E", lambda: Outcome("9", True, "not needed")),
    ]
    done = []
    results = run_rows(rows, lambda: done.append(1))
    assert [(result.ours, result.verdict, result.why) for result in results] == [
        ("1", "met", ""), ("7", "missed", ""), (None, "open", ""), ("8", "missed", "the wind"), ("9", "met", ""),
    ]  # fmt: skip
    assert len(done) == 5


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in RUN])
def test_what_can_be_run_is_met_or_known_to_be_missed(name):
    (result,) = run_rows([row for row in ROWS if row.row == name])
    assert result.verdict == ("missed" if name in MISSED else "met"), result.ours
    assert bool(result.why) == (name in MISSED)


class TestCommand:
    def test_some_rows_as_json(self):
        result = CliRunner().invoke(app, ["reproduce", "R1", "R38", "--json"])
        assert result.exit_code == 0
        first, second = json.loads(result.stdout)
        assert list(first) == ["row", "setup", "published", "source", "ours", "tolerance", "verdict", "why"]
        assert (first["row"], first["verdict"]) == ("R1", "met")
        assert (second["row"], second["ours"], second["verdict"]) == ("R38", None, "open")

    def test_a_table(self):
        result = CliRunner().invoke(app, ["reproduce", "R1", "R38"])
        assert result.exit_code == 0
        assert "1 met, 0 missed, 1 open" in result.stdout

    def test_an_unknown_row_is_named(self):
        result = CliRunner().invoke(app, ["reproduce", "R99"])
        assert isinstance(result.exception, ValueError)
        assert "no row R99; there are R1, R2" in str(result.exception)

    def test_a_missed_row_is_a_failed_check(self, monkeypatch):
        monkeypatch.setattr("xengym.cli.reproduce.ROWS", (a_row("B", lambda: Outcome("7", False)),))
        result = CliRunner().invoke(app, ["reproduce"])
        assert result.exit_code == 1
        assert "1 missed" in result.stdout

    def test_a_row_that_is_missed_for_a_known_reason_is_printed_with_it(self, monkeypatch):
        row = a_row("B", lambda: Outcome("7", False, "the wind blew"))
        monkeypatch.setattr("xengym.cli.reproduce.ROWS", (row,))
        result = CliRunner().invoke(app, ["reproduce"])
        assert result.exit_code == 0
        assert "1 missed" in result.stdout
        assert "why        the wind blew" in result.stdout
