"""RTDS 4.8 against its plain-Python twin on random scenarios of the kinds that the measured ones are of."""

import random

import pytest

from tests.policies.schedulers.rtds_model import ModelVcpu, RtdsModel
from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.rtds import RtdsScheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
DURATION_NS = 3_000 * MS


def random_program(draw):
    kind = draw.choice(["hog", "hog", "periodic", "periodic", "list"])
    if kind == "hog":
        return ("hog",)
    if kind == "periodic":
        period_ns = draw.randrange(1000, 30_000) * US
        return ("periodic", draw.randrange(50, 8000) * US, period_ns, draw.choice([0, draw.randrange(0, 40_000)]) * US)
    pairs = tuple(
        (draw.randrange(50, 10_000) * US, draw.choice([-1, 0, *[draw.randrange(50, 8000) * US] * 6]))
        for _ in range(draw.randrange(1, 8))
    )
    return ("list", pairs, draw.random() < 0.8)


def random_scenario(seed):
    """Number of pCPUs, and of each vCPU: program, period and budget in us, pCPU, start."""
    draw = random.Random(seed)
    num_pcpus = draw.randrange(1, 5)
    vcpus = []
    for number in range(draw.randrange(1, 2 + 3 * num_pcpus)):
        # Few periods, so that deadlines tie; loads from light to more than there is.
        period_us = draw.choice([5000, 10_000, 20_000, 30_000, 100_000, draw.randrange(1000, 50_000)])
        budget_us = max(10, round(period_us * draw.choice([0.1, 0.2, 0.3, 0.5, 0.6, 0.8, 1.0, draw.random()])))
        start_ns = draw.choice([0, 0, 0, draw.randrange(0, 60_000) * US])
        vcpus.append((random_program(draw), period_us, budget_us, number % num_pcpus, start_ns))
    return num_pcpus, vcpus


def as_spec(program):
    kind, *arguments = program
    return {"hog": Hog, "periodic": Periodic, "list": WorkList}[kind](*arguments)


def compiled(num_pcpus, vcpus):
    host = Host(
        Topology.flat(num_pcpus),
        RtdsScheduler("4.8"),
        [HogKind(), PeriodicKind(), ListKind()],
        max_domains=len(vcpus),
        max_vcpus=len(vcpus),
    )
    host.start_trace()
    for number, (program, period_us, budget_us, pcpu, start_ns) in enumerate(vcpus):
        params = {"period_us": period_us, "budget_us": budget_us}
        Domctl(host).create_domain(number + 1, as_spec(program), params=params, pcpus=[pcpu], start_ns=start_ns)
    host.run_until(DURATION_NS)
    trace = [
        (at_ns, pcpu, vcpu if vcpu < len(vcpus) else None)
        for at_ns, _, vcpu, _, kind, pcpu in host.trace_records().tolist()
        if kind == TraceKind.SWITCH
    ]
    ran_ns = [host.runstate_ns(vcpu)["running"] for vcpu in range(len(vcpus))]
    return trace, ran_ns, host.sections["pcpu"]["invocations"].tolist()


def modelled(num_pcpus, vcpus):
    model = RtdsModel(
        num_pcpus,
        [
            ModelVcpu(program, period_us * US, budget_us * US, pcpu, start_ns)
            for program, period_us, budget_us, pcpu, start_ns in vcpus
        ],
    )
    model.run(DURATION_NS)
    return model.trace, [vcpu.ran_ns for vcpu in model.vcpus], model.passes


@pytest.mark.parametrize("seed", range(40))
def test_every_dispatch_and_pass_is_the_same(seed):
    scenario = random_scenario(seed)
    assert compiled(*scenario) == modelled(*scenario)


def test_the_scenarios_are_worth_it():
    scenarios = [random_scenario(seed) for seed in range(40)]
    assert {num_pcpus for num_pcpus, _ in scenarios} == {1, 2, 3, 4}
    loads = [sum(vcpu[2] / vcpu[1] for vcpu in vcpus) / num_pcpus for num_pcpus, vcpus in scenarios]
    assert sum(load > 1 for load in loads) >= 10
    assert sum(load < 0.8 for load in loads) >= 10
    assert sum(len(modelled(*scenario)[0]) for scenario in scenarios) > 20_000
