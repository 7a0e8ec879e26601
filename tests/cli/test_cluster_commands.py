"""The `xengym` command on clusters."""

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import xengym


def test_run_prints_a_short_table() -> None:
    done = xengym("run", "cluster-small", "--policy", "consolidation", "--seconds", 3600)
    assert done.returncode == 0, done.stderr
    assert "cluster-small, 1 h, fluid fidelity, placement balance, migration policy consolidation" in done.stdout
    for word in ("hosts", "domains", "moves", "energy", "violations", "demand: synthetic day"):
        assert word in done.stdout


def test_run_as_json() -> None:
    report = json.loads(xengym("run", "two-sites", "--seconds", 900, "--json").stdout)
    assert report["fidelity"] == "fluid"
    assert report["hours"] == 0.25
    assert report["remote_gb"] > 0


def test_compare_prints_one_table_and_writes_a_file(tmp_path: Path) -> None:
    done = xengym(
        "compare", "cluster-small", "--episodes", 2, "--policy", "never", "--policy", "threshold-balance", "--csv",
        tmp_path / "x.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fluid fidelity" in done.stdout
    assert len((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "cluster-small", "--scheduler", "credit"), "--scheduler is for scenarios of one host"),
        (("run", "consolidation", "--policy", "never"), "--policy is for clusters"),
        (("compare", "cluster-small", "--limits"), "--limits is for scenarios of one host"),
        (("run", "cluster-small", "--policy", "x"), "unknown migration policy 'x'"),
        (("run", "cluster-small", "--fidelity", "x"), "unknown fidelity 'x'"),
        (("speed", "--only", "x"), "--only: expected 'hosts' or 'clusters'"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: tuple[str, ...], message: str) -> None:
    done = xengym(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_scenarios_lists_and_describes_clusters() -> None:
    assert "two-sites" in xengym("scenarios").stdout
    described = xengym("scenarios", "rack-hotspots").stdout
    assert "decisions every 300 s" in described
    assert "rack-a, rack-b, rack-c, rack-d" in described


def test_speed_measures_clusters() -> None:
    done = xengym("speed", "--only", "clusters", "--wall-ms", 5, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["clusters"]
    assert report["masks_per_s"] > 0
    assert [day["domains"] for day in report["days"]] == [100, 1000]


@pytest.mark.slow
def test_real_traces_in_one_table_over_all_policies(shared_dir: Path) -> None:
    for scenario, trace in (("planetlab-day", "PlanetLab day"), ("bitbrains-week", "Bitbrains 2013-8")):
        done = xengym("compare", scenario, "--episodes", 2, "--data", shared_dir / "data")
        assert done.returncode == 0, done.stderr
        assert f"demand: {trace}" in done.stdout
        for column in ("energy kWh", "violations", "moves", "downtime s"):
            assert column in done.stdout
