"""Run a conformance scenario on the kernel and state what happened in the scenario file's own terms.

The conventions of the original driver are kept: no costs but the stated one, ticks that never stop, phases as given,
a wake-up executed where the vCPU blocked, parameter changes between the completions and the wake-ups of an instant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.formats.oracle import HogWorkload, ListWorkload, OracleScenario, PeriodicWorkload, Workload
from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, ProgramSpec, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.costs import Costs
from xengym.machine.topology import Topology
from xengym.policies.schedulers.api import Scheduler
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.policies.schedulers.credit_rules import PRIORITIES
from xengym.policies.schedulers.registry import make_scheduler, scheduler_names, scheduler_versions
from xengym.sim.trace_kinds import INACTIVE, TraceKind

SECOND_NS = 1_000_000_000
TRACE_END_NS = 2 * SECOND_NS

#: Upper edges of the wake-to-run histogram (ns); a last bin holds the rest.
_HISTOGRAM_EDGES_NS = [
    1, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 30_000_000,
    50_000_000, 100_000_000,
]  # fmt: skip

_PRIORITY_NAMES = {value: name.upper() for name, value in PRIORITIES.items()}


#: The file's names of parameters that carry their unit here.
_PARAM_NAMES = {"period": "period_ns", "slice": "slice_ns", "latency": "latency_ns"}


def build_scheduler(scenario: OracleScenario) -> Scheduler | None:
    """The scheduling policy a scenario asks for, or None where it is not implemented."""
    family, _, version = scenario.implementation.partition("-")
    if family not in scheduler_names() or version not in scheduler_versions(family):
        return None
    options: dict[str, Any] = dict(scenario.options)
    if family == "credit":
        options["idle_ticks"] = True
    return make_scheduler(family, version, **options)


def _params(scenario: OracleScenario, params: dict[str, int]) -> dict[str, int]:
    if scenario.scheduler != "sedf":
        return params
    return {_PARAM_NAMES.get(name, name): value for name, value in params.items()}


def _program(workload: Workload) -> ProgramSpec:
    if isinstance(workload, HogWorkload):
        return Hog()
    if isinstance(workload, PeriodicWorkload):
        return Periodic(workload.run_ns, workload.period_ns, workload.offset_ns)
    assert isinstance(workload, ListWorkload)
    return WorkList(tuple(workload.pairs_ns), workload.loop)


@dataclass
class _VcpuStory:
    """What the trace tells of one vCPU."""

    waits_ns: list[int] = field(default_factory=list)
    dones_ns: list[int] = field(default_factory=list)
    max_wait_ns: int = 0
    max_stretch_ns: int = 0
    waiting_since_ns: int | None = None
    running_since_ns: int | None = None
    woken_at_ns: int | None = None
    job_from_ns: int | None = None
    is_blocked: bool = True
    has_started: bool = False


@dataclass
class Run:
    """A finished scenario: the ``outcomes`` and traces of the scenario file's schema."""

    outcomes: dict[str, Any]
    dispatch_trace_2s: list[list[int | str]]
    credit_trace_2s: list[list[Any]]


def run_scenario(scenario: OracleScenario) -> Run | None:
    """Simulate a scenario; None where its implementation does not exist yet.

    Raises:
        ValueError: a parameter or option is impossible; the message names the scenario.
    """
    try:
        scheduler = build_scheduler(scenario)
        if scheduler is None:
            return None
        host = _build_host(scenario, scheduler)
        windows = _simulate(scenario, host)
    except ValueError as error:
        raise ValueError(f"scenario {scenario.id}: {error}") from error
    return _report(scenario, host, windows)


def _build_host(scenario: OracleScenario, scheduler: Scheduler) -> Host:
    num_vcpus = sum(len(domain.vcpus) for domain in scenario.domains)
    host = Host(
        Topology.flat(scenario.n_pcpus),
        scheduler,
        [HogKind(), PeriodicKind(), ListKind()],
        costs=Costs(context_switch_ns=scenario.context_switch_cost_ns),
        max_domains=len(scenario.domains),
        max_vcpus=num_vcpus,
    )
    if scenario.tick_phase is not None and isinstance(scheduler, CreditScheduler):
        scheduler.set_phase(scenario.tick_phase.first_tick_ns, scenario.tick_phase.first_acct_ns)
    control = Domctl(host)
    for domain in scenario.domains:
        placed = [
            v.initial_pcpu if v.initial_pcpu_chosen_by_scheduler is None else v.initial_pcpu_chosen_by_scheduler
            for v in domain.vcpus
        ]
        control.create_domain(
            domain.id,
            [_program(v.workload) for v in domain.vcpus],
            num_vcpus=len(domain.vcpus),
            params=_params(scenario, domain.params),
            start_ns=[v.start_ns for v in domain.vcpus],
            pcpus=placed,
        )
    host.start_trace()
    return host


def _simulate(scenario: OracleScenario, host: Host) -> NDArray[np.int64]:
    """Run to the end; returns the CPU time of each vCPU up to the end of each 1 s window, shape (windows, vcpus)."""
    control = Domctl(host)
    changes = sorted(scenario.param_changes, key=lambda change: change.t_ns)
    ends = [min(t, scenario.duration_ns) for t in range(SECOND_NS, scenario.duration_ns + SECOND_NS, SECOND_NS)]
    num_vcpus = len(host.sections["guest_kind"])
    received = np.zeros((len(ends), num_vcpus), dtype=np.int64)
    for window, end in enumerate(ends):
        while changes and changes[0].t_ns < end:
            change = changes.pop(0)
            host.run_until(change.t_ns, before_control=True)
            if change.domain is None:
                control.adjust_scheduler(**_params(scenario, change.params))
            else:
                control.adjust_domain(change.domain, **_params(scenario, change.params))
        host.run_until(end)
        received[window] = [host.runstate_ns(v)["running"] for v in range(num_vcpus)]
    return received


def _report(scenario: OracleScenario, host: Host, received: NDArray[np.int64]) -> Run:
    vcpus = host.sections["vcpu"]
    num_vcpus = received.shape[1]
    duration_ns = scenario.duration_ns
    names = [f"d{domain.id}v{vcpu.id}" for domain in scenario.domains for vcpu in domain.vcpus]
    stories = [_VcpuStory() for _ in range(num_vcpus)]
    dispatches: list[list[int | str]] = []
    credits_: list[list[Any]] = []
    _read_trace(host, names, stories, dispatches, credits_)
    vcpu_rows = []
    domain_rows = []
    number = 0
    for domain in scenario.domains:
        first = number
        for vcpu in domain.vcpus:
            vcpu_rows.append(
                _vcpu_row(domain.id, vcpu.id, vcpus[number], stories[number], received[-1, number], duration_ns)
            )
            number += 1
        total = received[:, first:number].sum(axis=1)
        domain_rows.append(
            {
                "dom": domain.id,
                "cpu_ns": int(total[-1]),
                "share_of_one_pcpu": round(int(total[-1]) / duration_ns, 6),
                "window_cpu_ns": [int(x) for x in np.diff(total, prepend=0)],
            }
        )
    pcpu_rows = []
    for p in range(scenario.n_pcpus):
        idle_ns = host.runstate_ns(num_vcpus + p)["running"]
        state = host.sections["pcpu"][p]
        pcpu_rows.append(
            {
                "pcpu": p,
                "idle_ns": idle_ns,
                "context_switches": int(state["context_switches"]),
                "scheduler_invocations": int(state["invocations"]),
            }
        )
    outcomes = {
        "vcpus": vcpu_rows,
        "domains": domain_rows,
        "pcpus": pcpu_rows,
        "total_context_switches": sum(row["context_switches"] for row in pcpu_rows),
        "total_idle_ns": sum(row["idle_ns"] for row in pcpu_rows),
        **host.scheduler.counters(),
    }
    return Run(outcomes, dispatches, credits_)


def _vcpu_row(
    domid: int, vcpu: int, state: np.void, story: _VcpuStory, cpu_ns: np.int64, duration_ns: int
) -> dict[str, Any]:
    since = story.waiting_since_ns
    longest_wait = story.max_wait_ns if since is None else max(story.max_wait_ns, duration_ns - since)
    since = story.running_since_ns
    longest_run = story.max_stretch_ns if since is None else max(story.max_stretch_ns, duration_ns - since)
    row: dict[str, Any] = {
        "dom": domid,
        "vcpu": vcpu,
        "cpu_ns": int(cpu_ns),
        "share": round(int(cpu_ns) / duration_ns, 6),
        "dispatches": int(state["dispatches"]),
        "migrations": int(state["migrations"]),
        "wakes": int(state["wakes"]),
        "blocks": int(state["blocks"]),
        "yields": int(state["yields"]),
        "segments_done": int(state["segments"]),
        "max_runnable_wait_ns": longest_wait,
        "max_run_stretch_ns": longest_run,
        "wake_to_run_ns": _distribution(story.waits_ns),
        "wake_to_done_ns": _distribution(story.dones_ns),
    }
    if story.waits_ns:
        bins = np.searchsorted(_HISTOGRAM_EDGES_NS, story.waits_ns, side="right")
        row["wake_to_run_hist"] = [int(n) for n in np.bincount(bins, minlength=len(_HISTOGRAM_EDGES_NS) + 1)]
    return row


def _distribution(values: list[int]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    ordered = sorted(values)
    n = len(ordered)

    def nearest_rank(q: float) -> int:
        return ordered[max(0, math.ceil(q * n) - 1)]

    return {
        "n": n,
        "mean": round(sum(ordered) / n, 1),
        "p50": nearest_rank(0.50),
        "p95": nearest_rank(0.95),
        "p99": nearest_rank(0.99),
        "max": ordered[-1],
    }


def _read_trace(
    host: Host,
    names: list[str],
    stories: list[_VcpuStory],
    dispatches: list[list[int | str]],
    credits_: list[list[Any]],
) -> None:
    num_vcpus = len(names)
    wanted = (
        TraceKind.SWITCH, TraceKind.BLOCK, TraceKind.WAKE, TraceKind.SEGMENT, TraceKind.ACCOUNTING, TraceKind.CREDIT,
    )  # fmt: skip
    records = host.trace_records()
    records = records[np.isin(records["kind"], [int(kind) for kind in wanted])]
    for at_ns, value, vcpu, other, kind, pcpu in records.tolist():
        if kind == TraceKind.SWITCH:
            if at_ns < TRACE_END_NS:
                dispatches.append([at_ns, pcpu, names[vcpu] if vcpu < num_vcpus else "idle"])
            if other < num_vcpus:
                _switched_out(stories[other], at_ns)
            if vcpu < num_vcpus:
                _switched_in(stories[vcpu], at_ns)
        elif kind == TraceKind.WAKE:
            if stories[vcpu].is_blocked and not value:
                _woken(stories[vcpu], at_ns)
        elif kind == TraceKind.BLOCK:
            stories[vcpu].is_blocked = True
        elif kind == TraceKind.SEGMENT:
            story = stories[vcpu]
            if story.job_from_ns is not None:
                story.dones_ns.append(at_ns - story.job_from_ns)
                story.job_from_ns = None
        elif kind == TraceKind.ACCOUNTING:
            if at_ns < TRACE_END_NS:
                credits_.append([at_ns, []])
        elif kind == TraceKind.CREDIT and at_ns < TRACE_END_NS:
            is_active = other < INACTIVE // 2
            priority = other if is_active else other - INACTIVE
            credits_[-1][1].append(
                {"v": names[vcpu], "credit": value, "pri": _PRIORITY_NAMES[priority], "active": is_active}
            )


def _woken(story: _VcpuStory, at_ns: int) -> None:
    story.is_blocked = False
    if story.running_since_ns is None:
        story.waiting_since_ns = at_ns
    # The first start is not a wake-up.
    if story.has_started:
        story.woken_at_ns = at_ns
        story.job_from_ns = at_ns
    story.has_started = True


def _switched_in(story: _VcpuStory, at_ns: int) -> None:
    if story.waiting_since_ns is not None:
        story.max_wait_ns = max(story.max_wait_ns, at_ns - story.waiting_since_ns)
        story.waiting_since_ns = None
    if story.woken_at_ns is not None:
        story.waits_ns.append(at_ns - story.woken_at_ns)
        story.woken_at_ns = None
    story.running_since_ns = at_ns


def _switched_out(story: _VcpuStory, at_ns: int) -> None:
    if story.running_since_ns is not None:
        story.max_stretch_ns = max(story.max_stretch_ns, at_ns - story.running_since_ns)
        story.running_since_ns = None
    if not story.is_blocked:
        story.waiting_since_ns = at_ns
