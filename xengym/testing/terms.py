"""The terms in which the survey compares schedulers (section 4), found by experiment and not by reading.

Each function runs a small machine under one scheduler and says which side of a distinction it falls on, with the number
that shows it. Parameters are given as a `Share`, in terms that belong to no scheduler, so the experiments are the same
for all; what a scheduler cannot express counts as its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, ProgramSpec, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler
from xengym.policies.schedulers.tunables import Share

MS, SECOND = 1_000_000, 1_000_000_000

#: The schedulers compared, each as its newest release; of BVT the last without the double charging of 3.0.2.
COMPARED = ("bvt-3.0.0", "sedf", "credit", "credit2", "rtds", "null", "arinc653")


class Finding(NamedTuple):
    """What an experiment shows.

    Attributes:
        value: the term.
        evidence: the figure it rests on.
    """

    value: str
    evidence: str


def _host(scheduler: str, num_pcpus: int, *domains: tuple[ProgramSpec, Share], pcpu: int | None = None) -> Host:
    """Domains 1, 2, ...; ARINC653 has a table with 10 ms for each."""
    name, _, version = scheduler.partition("-")
    options: dict[str, Any] = {}
    if scheduler == "arinc653":
        table = [(i + 1, 0, 10 * MS) for i in range(len(domains))]
        options = {"table": table, "major_frame_ns": len(table) * 10 * MS}
    policy = make_scheduler(name, version or "current", **options)
    host = Host(
        Topology.flat(num_pcpus), policy, [HogKind(), PeriodicKind(), ListKind()],
        max_domains=len(domains), max_vcpus=len(domains),
    )  # fmt: skip
    for i, (program, share) in enumerate(domains):
        params, _ = host.scheduler.params_from(share, 1)
        placed: dict[str, Any] = {} if pcpu is None else {"pcpus": [pcpu]}
        Domctl(host).create_domain(i + 1, program, params=params, **placed)
    return host


def _got(host: Host, v: int, length_ns: int) -> float:
    """Share of a pCPU that vCPU ``v`` gets in the next ``length_ns``."""
    before = host.runstate_ns(v)["running"]
    host.run_until(host.now_ns + length_ns)
    return (host.runstate_ns(v)["running"] - before) / length_ns


def weights(scheduler: str) -> Finding:
    """Two CPU-bound domains of weights 1 : 2 on one pCPU, 6 s: by weight, by reservation, or neither?"""
    host = _host(scheduler, 1, (Hog(), Share(weight=256)), (Hog(), Share(weight=512)))
    _, lost = host.scheduler.params_from(Share(weight=512), 1)
    host.run_until(6 * SECOND)
    first, second = (host.runstate_ns(v)["running"] / host.now_ns for v in range(2))
    ratio = f"{first:.2f} : {second:.2f}"
    if "weight" in lost:
        return Finding("no weights", f"{ratio} whatever the weight")
    return Finding("by weight" if abs(first / (first + second) - 1 / 3) < 0.05 else "not by weight", ratio)


def history(scheduler: str) -> Finding:
    """A domain that has slept for 2 s beside an equal, CPU-bound one: more than half of the next 100 ms?"""
    host = _host(scheduler, 1, (Hog(), Share()), (WorkList(((1, 2 * SECOND), (10 * SECOND, 0)), loop=False), Share()))
    host.run_until(2 * SECOND + 40 * MS)
    # From its wake-up on; where it runs only later, from there.
    while host.runstate_ns(1)["running"] < MS and host.now_ns < 3 * SECOND:
        host.run_until(host.now_ns + MS)
    if host.runstate_ns(1)["running"] < MS:
        return Finding("does not apply", "it never runs again: the pCPU is not its own")
    share = _got(host, 1, 100 * MS)
    evidence = f"{100 * share:.0f} % of 100 ms after 2 s of sleep"
    if share > 0.65:
        return Finding("fair share: what was not used counts", evidence)
    return Finding("proportional share: the past does not count", evidence)


def conservation(scheduler: str) -> Finding:
    """A lone CPU-bound domain, as it comes and with a limit of 30 %: is what nobody else wants given away?"""
    free = _got(_host(scheduler, 1, (Hog(), Share())), 0, 6 * SECOND)
    limit = Share(cap_pct=30, slice_ns=30 * MS, period_ns=100 * MS, extra_time=False)
    limited = _got(_host(scheduler, 1, (Hog(), limit)), 0, 6 * SECOND)
    evidence = f"{100 * free:.0f} % as it comes, {100 * limited:.0f} % with a limit of 30 %"
    if scheduler == "arinc653":
        host = _host(scheduler, 1, (Hog(), Share()), (WorkList(((1, 100 * SECOND),), loop=False), Share()))
        host.run_until(SECOND)
        share = _got(host, 0, 2 * SECOND)
        return Finding("never", f"{100 * share:.0f} % beside a domain that sleeps in its window")
    if free < 0.99:
        return Finding("never", evidence)
    return Finding("both, by parameter" if limited < 0.35 else "always", evidence)


def preemption(scheduler: str) -> Finding:
    """A domain wakes every 97 ms for 0.3 ms beside a CPU-bound one on one pCPU: how long until it runs?"""
    host = _host(scheduler, 1, (Hog(), Share()), (Periodic(300_000, 97 * MS, 5 * MS), Share()))
    host.run_until(20 * SECOND)
    vcpu = host.sections["vcpu"][1]
    if int(vcpu["wake_latency_count"]) < 10:
        return Finding("no", "it never runs: the pCPU is not its own")
    mean_ms = int(vcpu["wake_latency_ns"]) / int(vcpu["wake_latency_count"]) / 1e6
    worst_ms = int(vcpu["wake_latency_max_ns"]) / 1e6
    evidence = f"{mean_ms:.2f} ms from wake-up to dispatch on average, {worst_ms:.1f} at most"
    return Finding("yes" if mean_ms < 1 else "no", evidence)


def balancing(scheduler: str) -> Finding:
    """Three CPU-bound domains placed on one of two pCPUs, 2 s: is the other pCPU used?"""
    host = _host(scheduler, 2, *[(Hog(), Share())] * 3, pcpu=0)
    host.run_until(2 * SECOND)
    used = sum(host.runstate_ns(v)["running"] for v in range(3)) / host.now_ns
    moves = int(host.sections["vcpu"]["migrations"][:3].sum())
    evidence = f"{used:.2f} of 2 pCPUs used, {moves} moves"
    if used <= 1.9:
        return Finding("per pCPU", evidence)
    return Finding("global" if moves else "at placement only", evidence)


#: What is compared, and by which experiment.
TERMS: dict[str, Callable[[str], Finding]] = {
    "shares": weights,
    "history": history,
    "work-conserving": conservation,
    "preemptive": preemption,
    "balancing": balancing,
}


def terms_table() -> dict[str, dict[str, Finding]]:
    """Every finding, by scheduler and term."""
    return {name: {term: experiment(name) for term, experiment in TERMS.items()} for name in COMPARED}
