"""The fluid cluster's error, by case: what is steady agrees, and what is known to differ is measured, not hidden."""

import pytest
from typer.testing import CliRunner

from xengym.cli.app import app
from xengym.testing.fidelity import CASES, measure_case

#: Bounds by case: median and worst error of a domain's CPU time, of energy, of what is short (points), all in per cent.
BOUNDS = {
    "light": (0.5, 1.5, 0.5, 1.5),
    "overload": (0.5, 2.0, 0.5, 1.0),
    "weights": (4.0, 12.0, 0.5, 4.0),
    "caps": (0.5, 4.0, 0.5, 5.0),
    "sedf": (0.5, 5.0, 0.5, 8.0),
}


@pytest.mark.parametrize("name", list(BOUNDS))
def test_errors_stay_within_their_bounds(name):
    case = next(case for case in CASES if case.name == name)
    median, worst, energy, short = BOUNDS[name]
    error = measure_case(case, num_seeds=1)
    assert error.cpu_median_pct <= median
    assert error.cpu_worst_pct <= worst
    assert abs(error.energy_pct) <= energy
    assert abs(error.violation_fluid_pct - error.violation_event_pct) <= short


def test_the_command_prints_every_figure():
    result = CliRunner().invoke(app, ["fidelity", "light", "--seeds", "1"])
    assert result.exit_code == 0
    assert "CPU error %" in result.output
    assert "light" in result.output


def test_an_unknown_case_is_named():
    result = CliRunner().invoke(app, ["fidelity", "dark"])
    assert isinstance(result.exception, ValueError)
    assert "expected some of light, busy" in str(result.exception)
