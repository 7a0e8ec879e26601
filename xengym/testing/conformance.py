"""Compare simulated scenarios with what the original code did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xengym.formats.files import write_whole
from xengym.formats.oracle import SCHEMA, OracleScenario
from xengym.testing.conformance_run import Run, run_scenario

#: Widening of the perturbed runs' range of shares.
SHARE_SLACK = 0.002

_VCPU_COUNTERS = ("cpu_ns", "dispatches", "migrations", "wakes", "blocks", "yields", "segments_done")
_HOST_COUNTERS = ("total_context_switches", "total_idle_ns", "deadline_exceeded_messages")
_PCPU_COUNTERS = ("idle_ns", "context_switches", "scheduler_invocations")


@dataclass(frozen=True)
class Verdict:
    """One scenario's comparison; None where the file has no such outcome.

    Attributes:
        id: scenario.
        implementation: scheduler and release.
        trace_exact: the dispatch trace is identical, event for event.
        credit_trace_exact: the credits after each accounting are identical.
        counters_exact: every counter of every vCPU and pCPU is identical.
        max_share_error: largest difference of a vCPU's share of a pCPU.
        within_perturbed: shares and wake-up latencies lie in the range of the original's nominal and perturbed runs.
    """

    id: str
    implementation: str
    trace_exact: bool | None
    credit_trace_exact: bool | None
    counters_exact: bool | None
    max_share_error: float | None
    within_perturbed: bool | None

    @property
    def is_good(self) -> bool:
        """Nothing differs where the file says what should come out."""
        return False not in (self.trace_exact, self.credit_trace_exact, self.counters_exact, self.within_perturbed)


def compare(scenario: OracleScenario, run: Run) -> Verdict:
    """Compare a finished run with the scenario's expected outcomes."""
    expected = scenario.outcomes
    trace: bool | None = None
    if scenario.dispatch_trace_2s is not None:
        trace = [list(entry) for entry in scenario.dispatch_trace_2s] == run.dispatch_trace_2s
    credit: bool | None = None
    if scenario.credit_trace_2s is not None:
        credit = [list(entry) for entry in scenario.credit_trace_2s] == run.credit_trace_2s
    if expected is None:
        return Verdict(scenario.id, scenario.implementation, trace, credit, None, None, None)
    vcpus = list(zip(expected["vcpus"], run.outcomes["vcpus"], strict=True))
    pcpus = list(zip(expected["pcpus"], run.outcomes["pcpus"], strict=True))
    counters = all(
        theirs[key] == ours[key] for theirs, ours in vcpus for key in _VCPU_COUNTERS if key in theirs
    ) and all(theirs[key] == ours[key] for theirs, ours in pcpus for key in _PCPU_COUNTERS if key in theirs)
    counters = counters and all(
        expected[key] == run.outcomes.get(key) for key in _HOST_COUNTERS if key in expected and key in run.outcomes
    )
    error = max(abs(theirs["share"] - ours["share"]) for theirs, ours in vcpus)
    within = _within_perturbed(expected, run.outcomes) if "perturbed" in expected else None
    return Verdict(scenario.id, scenario.implementation, trace, credit, counters, error, within)


def _within_perturbed(expected: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether our run could be one of the original's runs, nominal or perturbed."""
    perturbed = expected["perturbed"]
    nominal_domains = {row["dom"]: row for row in expected["domains"]}
    our_domains = {row["dom"]: row for row in ours["domains"]}
    for row in perturbed["domains"]:
        low, _, high = row["share_min_mean_max"]
        nominal = nominal_domains[row["dom"]]["share_of_one_pcpu"]
        share = our_domains[row["dom"]]["share_of_one_pcpu"]
        if not min(low, nominal) - SHARE_SLACK <= share <= max(high, nominal) + SHARE_SLACK:
            return False
    nominal_vcpus = {(row["dom"], row["vcpu"]): row for row in expected["vcpus"]}
    our_vcpus = {(row["dom"], row["vcpu"]): row for row in ours["vcpus"]}
    for row in perturbed["vcpus"]:
        key = row["dom"], row["vcpu"]
        for measure in ("mean", "p99", "max"):
            bounds = row.get(f"wake_to_run_{measure}_ns")
            latency = our_vcpus[key]["wake_to_run_ns"].get(measure)
            nominal = nominal_vcpus[key]["wake_to_run_ns"].get(measure)
            if bounds is None or latency is None:
                continue
            known = [bounds[0], bounds[2]] if nominal is None else [bounds[0], bounds[2], nominal]
            # The file rounds means to a tenth of a nanosecond.
            if not min(known) - 1 <= latency <= max(known) + 1:
                return False
    return True


@dataclass
class Report:
    """All scenarios of a file.

    Attributes:
        verdicts: of the scenarios that were run.
        missing: implementations that do not exist yet, with the number of their scenarios.
        simulated: what was simulated, in the scenario file's schema.
    """

    verdicts: list[Verdict]
    missing: dict[str, int]
    simulated: list[dict[str, Any]]

    @property
    def is_good(self) -> bool:
        """No scenario differs."""
        return all(verdict.is_good for verdict in self.verdicts)


def check_scenarios(
    scenarios: Iterable[OracleScenario], raw: Iterable[dict[str, Any]], progress: Callable[[], None] | None = None
) -> Report:
    """Run and compare scenarios.

    Args:
        scenarios: typed scenarios, from ``formats.oracle.load_oracle``.
        raw: the same as plain data.
        progress: called after each scenario.

    Raises:
        ValueError: a scenario asks for something impossible; names it.
    """
    report = Report([], {}, [])
    for scenario, data in zip(scenarios, raw, strict=True):
        run = run_scenario(scenario)
        if run is None:
            report.missing[scenario.implementation] = report.missing.get(scenario.implementation, 0) + 1
        else:
            report.verdicts.append(compare(scenario, run))
            simulated = {k: v for k, v in data.items() if k not in ("outcomes", "dispatch_trace_2s", "credit_trace_2s")}
            simulated["outcomes"] = run.outcomes
            simulated["dispatch_trace_2s"] = run.dispatch_trace_2s
            if scenario.scheduler == "credit":
                simulated["credit_trace_2s"] = run.credit_trace_2s
            report.simulated.append(simulated)
        if progress is not None:
            progress()
    return report


def write_verdicts(report: Report, path: Path) -> None:
    """Write the verdicts as a JSON list."""
    write_whole(path, json.dumps([asdict(verdict) for verdict in report.verdicts], indent=1) + "\n")


def write_outcomes(report: Report, path: Path) -> None:
    """Write what was simulated as a scenario file, one scenario a line."""
    lines = ",\n".join(json.dumps(scenario, separators=(",", ":")) for scenario in report.simulated)
    write_whole(path, f'{{"schema":"{SCHEMA}","scenarios":[\n{lines}\n]}}\n')
