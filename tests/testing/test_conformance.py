"""Exact agreement with the original schedulers: their measured scenarios, and some small ones worked by hand.

The measured file cannot be shipped; where it is absent its test skips, and the hand-worked scenarios still say whether
the same conventions are kept.
"""

import copy
import json
from pathlib import Path

import pytest

from xengym.formats.oracle import SCHEMA, load_oracle
from xengym.testing.conformance import check_scenarios, compare
from xengym.testing.conformance_run import run_scenario

MS = 1_000_000
HOG = {"type": "hog"}


def periodic(run_ms, period_ms, offset_ms):
    return {"type": "periodic", "run_ns": run_ms * MS, "period_ns": period_ms * MS, "offset_ns": offset_ms * MS}


def listed(*pairs_us, loop=True):
    return {"type": "list", "pairs_ns": [[run * 1000, block * 1000] for run, block in pairs_us], "loop": loop}


def scenario(name, implementation, duration_ms, *domains, n_pcpus=1, **keys):
    """Domain n + 1 is ``(workload, params, pcpu, start_ms)``; the last ones may be left out."""
    rows = []
    for number, (workload, *rest) in enumerate(domains):
        params, pcpu, start_ms = [*rest, *[{}, 0, 0][len(rest) :]]
        vcpu = {"id": 0, "initial_pcpu": pcpu, "start_ns": start_ms * MS, "workload": workload}
        rows.append({"id": number + 1, "params": params, "vcpus": [vcpu]})
    return {
        "id": name,
        "scheduler": "credit",
        "implementation": implementation,
        "n_pcpus": n_pcpus,
        "duration_ns": duration_ms * MS,
        "tick_phase": {"first_tick_ns": [10 * MS] * n_pcpus, "first_acct_ns": 30 * MS},
        "domains": rows,
        **keys,
    }


def dispatches(*entries):
    """``(at_us, domain)`` or ``(at_us, pcpu, domain)`` as the file writes them."""
    full = [entry if len(entry) == 3 else (entry[0], 0, entry[1]) for entry in entries]
    return [[at_us * 1000, pcpu, f"d{who}v0" if isinstance(who, int) else who] for at_us, pcpu, who in full]


def credits_(*rows):
    """Rows of ``(at_ms, (credit, priority, is_active), ...)``, one triple a domain."""
    return [
        [at * MS, [
            {"v": f"d{number + 1}v0", "credit": credit, "pri": priority, "active": active}
            for number, (credit, priority, active) in enumerate(vcpus)
        ]]
        for at, *vcpus in rows
    ]  # fmt: skip


# Each: the scenario; its dispatch trace; its credit trace or None; counters of each vCPU; idle ms, context switches and
# scheduler passes of each pCPU. Ticks at multiples of 10 ms, accounting at multiples of 30 ms.
BY_HAND = [
    # 3.2 debits 100 at each tick to whoever runs, and hands out 300 by weight among those found active: only domain 1
    # at 30 ms, then 100 and 200. Equal classes take turns; whoever is OVER comes last.
    (
        scenario("weights", "credit-3.2", 180, (HOG, {"weight": 256}), (HOG, {"weight": 512})),
        dispatches((0, 1), (30_000, 2), (60_000, 1), (90_000, 2), (120_000, 1), (150_000, 2)),
        credits_(
            (30, (0, "UNDER", True), (0, "BOOST", False)),
            (60, (100, "UNDER", True), (-100, "OVER", True)),
            (90, (-100, "OVER", True), (100, "UNDER", True)),
            (120, (0, "UNDER", True), (0, "UNDER", True)),
            (150, (-200, "OVER", True), (200, "UNDER", True)),
        ),
        [{"cpu_ns": 90 * MS, "dispatches": 3, "wakes": 0, "max_runnable_wait_ns": 30 * MS}] * 2,
        [(0, 6, 6)],
    ),
    # A cap of 50 % grants 150 a period. 4.5 accounts before the tick of that instant, so 200 are paid at 30 ms and
    # 300 later; below -150 it parks at 60 ms, and at 120 ms it is back at 0, released and boosted.
    (
        scenario("cap", "credit-4.5", 240, (HOG, {"cap": 50})),
        dispatches((0, 1), (60_000, "idle"), (120_000, 1), (180_000, "idle")),
        credits_(
            (30, (-50, "OVER", True)),
            (60, (-200, "OVER", True)),
            (90, (-150, "OVER", True)),
            (120, (0, "BOOST", True)),
            (150, (-50, "OVER", True)),
            (180, (-200, "OVER", True)),
            (210, (-150, "OVER", True)),
        ),
        [{"cpu_ns": 120 * MS, "dispatches": 2, "max_runnable_wait_ns": 60 * MS, "max_run_stretch_ns": 60 * MS}],
        [(120, 4, 6)],
    ),
    # 3.0.3: 15 of 30 credits a period; in debt the vCPU is below idle and does not run until the debt is paid. Idle
    # has slices too, hence a pass every 30 ms.
    (
        scenario("cap-below-idle", "credit-3.0.3", 120, (HOG, {"cap": 50})),
        dispatches((0, 1), (30_000, "idle"), (60_000, 1), (90_000, "idle")),
        credits_((30, (-15, "PARKED", True)), (60, (0, "UNDER", True)), (90, (-15, "PARKED", True))),
        [{"cpu_ns": 60 * MS, "dispatches": 2}],
        [(60, 4, 4)],
    ),
    # The waker starts at 5 ms beside a hog that is still boosted from its own start, so it waits for the slice's end.
    # From then on it finds the hog UNDER and preempts it at once.
    (
        scenario("boost", "credit-4.5", 50, (HOG,), (periodic(2, 10, 5), {}, 0, 5)),
        dispatches((0, 1), (30_000, 2), (32_000, 1), (35_000, 2), (37_000, 1), (45_000, 2), (47_000, 1)),
        None,
        [
            {"cpu_ns": 44 * MS, "dispatches": 4, "max_run_stretch_ns": 30 * MS},
            {
                "cpu_ns": 6 * MS, "dispatches": 3, "wakes": 2, "blocks": 3, "segments_done": 3,
                "max_runnable_wait_ns": 25 * MS,
                "wake_to_run_ns": {"n": 2, "mean": 0, "p50": 0, "p95": 0, "p99": 0, "max": 0},
                "wake_to_done_ns": {"n": 2, "mean": 2 * MS, "p50": 2 * MS, "p95": 2 * MS, "p99": 2 * MS, "max": 2 * MS},
            },
        ],
        [(0, 7, 7)],
    ),
    # 4.8, first wake-ups are not boosted. From 30.6 ms on the waker comes 0.5 ms after the hog was switched in; the
    # pass lets the hog go on for the rest of its millisecond.
    (
        scenario("ratelimit", "credit-4.8", 35, (HOG,), (listed((100, 500)),)),
        dispatches(
            (0, 1), (30_000, 2), (30_100, 1), (31_100, 2), (31_200, 1), (32_200, 2), (32_300, 1), (33_300, 2),
            (33_400, 1), (34_400, 2), (34_500, 1),
        ),
        None,
        [
            {"cpu_ns": 34_500_000, "dispatches": 6},
            {
                "cpu_ns": 500_000, "dispatches": 5, "wakes": 4, "blocks": 5,
                "wake_to_run_ns": {"n": 4, "mean": 5e5, "p50": 500_000, "p95": 500_000, "p99": 500_000, "max": 500_000},
            },
        ],
        # Passes: at 0, 30, 30.1 ms; then for each wake-up the refused one, the switch, and the block.
        [(0, 11, 3 + 4 * 3)],
    ),
    # Three hogs on two pCPUs. At 90 ms domain 2, alone on pCPU 1 so far, is OVER, and its pCPU takes domain 1, which
    # waits UNDER on pCPU 0: nobody idles, and each has had two thirds of a pCPU but for the last turn.
    (
        scenario("stealing", "credit-4.5", 120, (HOG, {}, 0), (HOG, {}, 1), (HOG, {}, 0), n_pcpus=2),
        dispatches((0, 0, 1), (0, 1, 2), (30_000, 0, 3), (60_000, 0, 1), (90_000, 0, 3), (90_000, 1, 1)),
        credits_(
            (30, (100, "UNDER", True), (100, "UNDER", True), (0, "BOOST", False)),
            (60, (200, "UNDER", True), (0, "UNDER", True), (0, "UNDER", True)),
            (90, (200, "UNDER", True), (-100, "OVER", True), (100, "UNDER", True)),
        ),
        [
            {"cpu_ns": 90 * MS, "dispatches": 3, "migrations": 1},
            {"cpu_ns": 90 * MS, "dispatches": 1, "migrations": 0},
            {"cpu_ns": 60 * MS, "dispatches": 2, "migrations": 0},
        ],
        [(0, 4, 4), (0, 2, 4)],
    ),
    # A change of domain 1's weight falls on the end of domain 2's work at 35 ms: it comes before the pass of that
    # instant. 3.2 pauses and unpauses what is queued, so domain 1 is boosted when it is switched in; domain 3, woken
    # at 37 ms, cannot preempt it and waits for the end of its slice.
    (
        scenario(
            "change-before-pass", "credit-3.2", 70,
            (HOG,), (listed((5_000, 900_000)),), (periodic(1, 500, 0), {}, 0, 37),
            param_changes=[{"t_ns": 35 * MS, "domain": 1, "params": {"weight": 512}}],
        ),
        dispatches((0, 1), (30_000, 2), (35_000, 1), (65_000, 3), (66_000, 1)),
        None,
        [
            {"cpu_ns": 64 * MS, "dispatches": 3},
            {"cpu_ns": 5 * MS, "dispatches": 1, "blocks": 1},
            {"cpu_ns": MS, "dispatches": 1, "max_runnable_wait_ns": 28 * MS},
        ],
        [(0, 5, 5)],
    ),
]  # fmt: skip


def load(folder, *scenarios):
    path = folder / "scenarios.json"
    path.write_text(json.dumps({"schema": SCHEMA, "scenarios": scenarios}))
    return load_oracle(path)


@pytest.mark.parametrize(
    ("given", "trace", "credits", "vcpus", "pcpus"), BY_HAND, ids=[case[0]["id"] for case in BY_HAND]
)
def test_a_scenario_worked_by_hand(tmp_path: Path, given, trace, credits, vcpus, pcpus):
    (loaded,), _ = load(tmp_path, given)
    run = run_scenario(loaded)
    assert run.dispatch_trace_2s == trace
    if credits is not None:
        assert run.credit_trace_2s == credits
    for row, expected in zip(run.outcomes["vcpus"], vcpus, strict=True):
        assert {key: row[key] for key in expected} == expected
    got = [
        (row["idle_ns"] / MS, row["context_switches"], row["scheduler_invocations"]) for row in run.outcomes["pcpus"]
    ]
    assert got == pcpus
    assert run.outcomes["total_context_switches"] == sum(switches for _, switches, _ in pcpus)
    assert run.outcomes["total_idle_ns"] == sum(idle * MS for idle, _, _ in pcpus)


def test_every_measured_scenario_is_exact_in_everything(shared_dir: Path):
    path = shared_dir / "conformance" / "scenarios.json"
    if not path.is_file():
        pytest.skip(f"the measured scenarios are not in {path}")
    differences = []
    scenarios = load_oracle(path)[0]
    assert scenarios
    for measured in scenarios:
        run = run_scenario(measured)
        if run is None:
            differences.append((measured.id, "not implemented"))
            continue
        pairs = {
            "dispatch_trace_2s": (measured.dispatch_trace_2s, run.dispatch_trace_2s),
            "credit_trace_2s": (measured.credit_trace_2s, run.credit_trace_2s),
        }
        for name, (theirs, ours) in pairs.items():
            if theirs is not None and [list(entry) for entry in theirs] != ours:
                differences.append((measured.id, name))
        for section in ("vcpus", "domains", "pcpus"):
            for theirs, ours in zip(measured.outcomes[section], run.outcomes[section], strict=True):
                # Every measure of ours is one of theirs; they also state ideals, which are no outcome.
                differences += [
                    (measured.id, section, key, theirs[key], ours[key]) for key in ours if ours[key] != theirs[key]
                ]
        for key in ("total_context_switches", "total_idle_ns", "deadline_exceeded_messages"):
            if measured.outcomes.get(key) != run.outcomes.get(key):
                differences.append((measured.id, key))
    assert differences == []


class TestComparison:
    """The verdict on a run names what differs, and nothing else."""

    def outcomes_of(self, tmp_path):
        """A scenario with its own run as the expected outcome, as plain data."""
        (loaded,), (raw,) = load(tmp_path, BY_HAND[3][0])
        report = check_scenarios([loaded], [raw])
        (simulated,) = report.simulated
        vcpus = [
            {"dom": row["dom"], "vcpu": row["vcpu"], "wake_to_run_max_ns": [0, 0, 0]}
            for row in simulated["outcomes"]["vcpus"]
        ]
        domains = [
            {"dom": row["dom"], "share_min_mean_max": [row["share_of_one_pcpu"]] * 3}
            for row in simulated["outcomes"]["domains"]
        ]
        simulated["outcomes"]["perturbed"] = {"vcpus": vcpus, "domains": domains}
        return simulated

    def verdict(self, tmp_path, data):
        (loaded,), _ = load(tmp_path, data)
        return compare(loaded, run_scenario(loaded))

    def test_nothing_differs_from_what_was_simulated_itself(self, tmp_path):
        verdict = self.verdict(tmp_path, self.outcomes_of(tmp_path))
        assert (verdict.trace_exact, verdict.credit_trace_exact, verdict.counters_exact) == (True, True, True)
        assert (verdict.max_share_error, verdict.within_perturbed, verdict.is_good) == (0, True, True)

    @pytest.mark.parametrize(
        ("path", "value", "wrong"),
        [
            (("dispatch_trace_2s", 0, 0), 1, "trace_exact"),
            (("dispatch_trace_2s", 1, 2), "idle", "trace_exact"),
            (("credit_trace_2s", 0, 1, 0, "credit"), 12345, "credit_trace_exact"),
            (("outcomes", "vcpus", 1, "blocks"), 99, "counters_exact"),
            (("outcomes", "pcpus", 0, "scheduler_invocations"), 99, "counters_exact"),
            (("outcomes", "perturbed", "vcpus", 1, "wake_to_run_max_ns"), [5 * MS] * 3, None),
            (("outcomes", "domains", 0, "share_of_one_pcpu"), 0.5, None),
        ],
    )
    def test_one_difference_is_seen_in_its_place(self, tmp_path, path, value, wrong):
        data = copy.deepcopy(self.outcomes_of(tmp_path))
        *inner, last = path
        at = data
        for key in inner:
            at = at[key]
        assert at[last] != value
        at[last] = value
        if path[-1] == "share_of_one_pcpu":
            data["outcomes"]["perturbed"]["domains"][0]["share_min_mean_max"] = [value] * 3
        verdict = self.verdict(tmp_path, data)
        fields = {"trace_exact", "credit_trace_exact", "counters_exact", "within_perturbed"}
        expected_wrong = {wrong or "within_perturbed"}
        if wrong is None and path[1] == "perturbed":
            # Nominal outcomes count as one of the runs, so the range reaches from there to what was perturbed.
            expected_wrong = set()
        assert {name for name in fields if getattr(verdict, name) is False} == expected_wrong
        assert verdict.is_good == (not expected_wrong)

    def test_what_the_file_does_not_state_is_not_judged(self, tmp_path):
        verdict = self.verdict(tmp_path, BY_HAND[0][0])
        assert (verdict.trace_exact, verdict.credit_trace_exact, verdict.counters_exact) == (None, None, None)
        assert (verdict.max_share_error, verdict.within_perturbed, verdict.is_good) == (None, None, True)

    def test_implementations_that_do_not_exist_are_counted(self, tmp_path):
        other = {**BY_HAND[0][0], "scheduler": "sedf", "implementation": "sedf-9.9"}
        loaded, raw = load(tmp_path, other, BY_HAND[1][0], {**other, "id": "again"})
        done = []
        report = check_scenarios(loaded, raw, progress=lambda: done.append(1))
        assert report.missing == {"sedf-9.9": 2}
        assert [verdict.id for verdict in report.verdicts] == ["cap"]
        assert len(done) == 3

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (scenario("it", "credit-4.5", 50, (HOG, {"weight": 0})), r"weight must be an integer 1\.\.65535, found 0"),
            (scenario("it", "credit-4.5", 50, (HOG, {"slice": 5})), "unknown parameter slice"),
            (scenario("it", "credit-4.5", 50, (HOG, {}, 1)), "initial pCPU 1 is not among"),
            (scenario("it", "credit-4.5", 50, (HOG,), options={"ratelimit_us": 5}), "ratelimit_us must be 0 or 100"),
            (scenario("it", "credit-3.2", 50, (HOG,), options={"tslice_ms": 5}), "tslice_ms is fixed at 30"),
            (scenario("it", "credit-4.5", 50, (HOG,), options={"ctx_allow_ns": 5}), "ctx_allow_ns"),
            (
                scenario("it", "credit-4.5", 50, (HOG,), tick_phase={"first_tick_ns": [], "first_acct_ns": 1}),
                "first_tick_ns: expected one entry for each of 1 pCPUs, found 0",
            ),
            (
                scenario(
                    "it", "credit-4.5", 50, (HOG,), param_changes=[{"t_ns": 5, "domain": 9, "params": {"cap": 5}}]
                ),
                "no domain 9 on this host",
            ),
        ],
    )
    def test_an_impossible_scenario_is_an_error_that_names_it(self, tmp_path, wrong, message):
        (loaded,), _ = load(tmp_path, wrong)
        with pytest.raises(ValueError, match=f"scenario it: .*{message}"):
            run_scenario(loaded)
