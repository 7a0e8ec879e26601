"""The `xengym` command as a user calls it: output, files, exit codes."""

import json
import subprocess
import sys

import pytest

from xengym.formats.oracle import SCHEMA

TWO_HOGS = {
    "id": "two-hogs",
    "scheduler": "credit",
    "implementation": "credit-4.5",
    "source_version": "test",
    "description": "hand-worked",
    "n_pcpus": 1,
    "duration_ns": 90_000_000,
    "options": {},
    "context_switch_cost_ns": 0,
    "tick_phase": {"first_tick_ns": [3_000_000], "first_acct_ns": 3_000_000},
    "domains": [
        {
            "id": 1,
            "params": {"weight": 256},
            "vcpus": [{"id": 0, "initial_pcpu": 0, "start_ns": 0, "workload": {"type": "hog"}}],
        },
        {
            "id": 2,
            "params": {"weight": 256},
            "vcpus": [{"id": 0, "initial_pcpu": 0, "start_ns": 0, "workload": {"type": "hog"}}],
        },
    ],
    "param_changes": [],
    # The first starts at once, with BOOST; the other waits for the end of its 30 ms slice; then they alternate.
    "dispatch_trace_2s": [[0, 0, "d1v0"], [30_000_000, 0, "d2v0"], [60_000_000, 0, "d1v0"]],
}


def xengym(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "xengym.cli.app", *map(str, args)], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.fixture
def scenario_file(tmp_path):
    def write(*scenarios):
        path = tmp_path / "scenarios.json"
        path.write_text(json.dumps({"schema": SCHEMA, "scenarios": list(scenarios)}), encoding="utf-8")
        return path

    return write


def test_run_prints_the_table_and_says_which_demand_it_used():
    done = xengym("run", "consolidation", "--seconds", 1)
    assert done.returncode == 0
    assert "batch2" in done.stdout
    assert "demand: synthetic day calibrated" in done.stdout


def test_run_as_json_adds_up():
    done = xengym("run", "consolidation", "--seconds", 1, "--json")
    report = json.loads(done.stdout)
    used = sum(row["cpu_pct"] for row in report["domains"])
    assert used == pytest.approx(report["utilisation_pct"] * report["pcpus"])
    assert report["time_s"] == 1.0


def test_run_is_reproducible_and_depends_on_the_seed():
    first, again, other = (xengym("run", "random", "--seconds", 1, "--seed", s, "--json").stdout for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_run_under_another_scheduler():
    done = xengym("run", "consolidation", "--seconds", 1, "--scheduler", "sedf-3.0.3", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["scheduler"] == "sedf 3.0.3"
    assert report["utilisation_pct"] > 95


def test_run_changes_the_scheduler_under_way():
    done = xengym("run", "consolidation", "--seconds", 1.5, "--switch", "1:null", "--switch", "0.5:bvt", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    first, second = report["changes"]
    assert (first["time_s"], first["scheduler"]) == (0.5, "bvt 3.0.2")
    assert first["domains"]["web1"] == {"params": {"mcu_adv": 10}, "lost": []}
    assert second["domains"]["web1"] == {"params": {}, "lost": ["weight"]}
    assert report["scheduler"].startswith("null")
    text = xengym("run", "consolidation", "--seconds", 1, "--switch", "0.5:null").stdout
    assert "web1: its defaults; no counterpart for weight" in text


def test_run_watched_by_xenmon():
    done = xengym("run", "consolidation", "--seconds", 1.5, "--xenmon")
    assert done.returncode == 0, done.stderr
    assert "xenmon  0.5 .. 1.5 s" in done.stdout
    assert "xenmon  0.0 .. 1.5 s" in done.stdout
    watched, plain = (
        json.loads(xengym("run", "consolidation", "--seconds", 1.5, "--json", *more).stdout)
        for more in (["--xenmon"], [])
    )
    assert "xenmon" not in plain
    # Its process has a domain of its own, since Dom0 runs something else there.
    assert [row["name"] for row in watched["domains"]] == [*(row["name"] for row in plain["domains"]), "xenbaked"]
    second, all_of_it = watched["xenmon"]
    assert (second["start_ns"], all_of_it["start_ns"]) == (500_000_000, 0)
    for vcpu in second["vcpus"] + all_of_it["vcpus"]:
        assert vcpu["gotten_ns"] + vcpu["waited_ns"] + vcpu["blocked_ns"] == vcpu["interval_ns"]
    for row, domain in zip(watched["domains"], all_of_it["domains"], strict=True):
        assert domain["gotten_pct"] == pytest.approx(row["cpu_pct"])


def test_xenmon_goes_with_a_change_of_scheduler_under_way():
    done = xengym("run", "consolidation", "--seconds", 0.5, "--xenmon", "--switch", "0.25:sedf", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["xenmon"][0]["end_ns"] == 500_000_000


@pytest.mark.parametrize("switch", ["sedf", "x:sedf", "-1:sedf", "1:sedf", "0.5:fifo"])
def test_an_impossible_change_of_scheduler_is_named(switch):
    done = xengym("run", "consolidation", "--seconds", 1, "--switch", switch)
    assert done.returncode == 2
    assert ("unknown scheduler 'fifo'" if "fifo" in switch else f"found '{switch}'") in done.stderr


def test_compare_holds_schedulers_against_each_other():
    done = xengym(
        "compare",
        "consolidation",
        "--episodes",
        2,
        "--budget",
        20,
        "--scheduler",
        "sedf",
        "--scheduler",
        "null",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    names = [row["policy"] for row in json.loads(done.stdout)["summaries"]["reward"]]
    assert names == [
        "credit default", "credit tuned", "sedf default", "sedf tuned", "null default", "round-robin caps", "random",
    ]  # fmt: skip


def test_run_writes_the_trace(tmp_path):
    path = tmp_path / "trace.csv"
    assert xengym("run", "consolidation", "--seconds", 0.1, "--trace", path).returncode == 0
    lines = path.read_text().splitlines()
    assert lines[0] == "at_ns,pcpu,kind,vcpu,other,value"
    assert any(",switch," in line for line in lines)


def test_compare_holds_the_baselines_against_each_other(tmp_path):
    csv = tmp_path / "results.csv"
    done = xengym("compare", "consolidation", "--episodes", 3, "--budget", 40, "--csv", csv, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rows = {row["policy"]: row for row in report["summaries"]["reward"]}
    assert set(rows) == {"credit default", "credit tuned", "round-robin caps", "random"}
    assert all(row["low"] <= row["median"] <= row["high"] for row in rows.values())
    assert rows["credit tuned"]["median"] > rows["credit default"]["median"]
    assert len(csv.read_text().splitlines()) == 1 + 4 * 3


def test_compare_holds_rules_that_divide_memory_against_each_other(tmp_path):
    csv, picture = tmp_path / "results.csv", tmp_path / "memory.png"
    options = ("--balloons", "--episodes", 3, "--csv", csv, "--picture", picture)
    done = xengym("compare", "memory-pressure", *options)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("static split", "proportional to wanted", "max-min fair", "random"))
    assert len(csv.read_text().splitlines()) == 1 + 4 * 3
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = json.loads(xengym("compare", "memory-pressure", "--balloons", "--episodes", 2, "--json").stdout)["episodes"]
    assert len(rows) == 4 * 2


def test_scenarios_lists_and_describes():
    assert "consolidation" in xengym("scenarios").stdout
    described = xengym("scenarios", "random", "--seed", 3)
    assert described.returncode == 0
    assert "dom0" in described.stdout


def test_parameters_are_shown_in_ms_whatever_the_scheduler_counts_in():
    described = xengym("scenarios", "reservations").stdout
    assert "period 10 ms, slice 2 ms, extratime 0" in described
    assert "periodic: run 1.5 ms, period 10 ms" in described
    assert "table: [[1, 0, 10000000]" in xengym("scenarios", "partitions").stdout
    heading, _, control, *_ = xengym("run", "reservations", "--seconds", 0.1).stdout.splitlines()[1:]
    assert "latency ms  extratime  period ms  slice ms  weight" in heading
    assert control.split()[:7] == ["control", "1", "0", "0", "10", "2", "-"]


def test_conformance_of_an_exact_scenario(scenario_file, tmp_path):
    verdicts, outcomes = tmp_path / "verdicts.json", tmp_path / "outcomes.json"
    done = xengym("conformance", scenario_file(TWO_HOGS), "--json", verdicts, "--outcomes", outcomes)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "credit-4.5" in done.stdout
    (verdict,) = json.loads(verdicts.read_text())
    assert verdict == {
        "id": "two-hogs",
        "implementation": "credit-4.5",
        "trace_exact": True,
        "credit_trace_exact": None,
        "counters_exact": None,
        "max_share_error": None,
        "within_perturbed": None,
    }
    (simulated,) = json.loads(outcomes.read_text())["scenarios"]
    assert simulated["dispatch_trace_2s"] == TWO_HOGS["dispatch_trace_2s"]
    assert [row["cpu_ns"] for row in simulated["outcomes"]["vcpus"]] == [60_000_000, 30_000_000]
    assert simulated["credit_trace_2s"][0][0] == 3_000_000


def test_conformance_fails_where_something_differs(scenario_file):
    wrong = TWO_HOGS | {"dispatch_trace_2s": [[0, 0, "d2v0"]]}
    done = xengym("conformance", scenario_file(wrong))
    assert done.returncode == 1
    assert "differs: two-hogs" in done.stdout


def test_conformance_lists_what_does_not_exist_yet(scenario_file):
    done = xengym("conformance", scenario_file(TWO_HOGS | {"scheduler": "new", "implementation": "new-1.0"}))
    assert done.returncode == 0
    assert "1 scenarios not run: not implemented yet" in done.stdout


def test_conformance_of_simulated_outcomes_is_exact(scenario_file, tmp_path):
    outcomes = tmp_path / "outcomes.json"
    bare = {key: value for key, value in TWO_HOGS.items() if key != "dispatch_trace_2s"}
    assert xengym("conformance", scenario_file(bare), "--outcomes", outcomes).returncode == 0
    done = xengym("conformance", outcomes)
    assert done.returncode == 0
    assert "counters identical 1/1" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("run", "nosuch"), "unknown scenario 'nosuch'"),
        (("run", "consolidation", "--data", "/nonexistent-folder"), "/nonexistent-folder"),
        (("conformance", "nosuch.json"), "nosuch.json: cannot be read"),
        (("compare", "nosuch.yaml"), "no such scenario file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(args, message, tmp_path):
    done = xengym(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_options_are_usage_errors():
    assert xengym("run", "consolidation", "--wrong").returncode == 2


def test_speed_reports_ratios_as_json():
    done = xengym("speed", "--json", "--runs", 1, "--wall-ms", 5)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kernel"]["mixed"]["events_per_s"] > 0
    assert report["ratios"]["environment_to_cartpole"] > 0
    assert [row["num_envs"] for row in report["batch_steps_per_s"]] == [1, 8, 64, 512]
