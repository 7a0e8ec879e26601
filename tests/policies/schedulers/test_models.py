"""Schedulers against their plain-Python twins, on random scenarios of the kinds that the measured ones are of."""

import random
from functools import partial

import pytest

from tests.policies.schedulers.models.bvt import BvtModel
from tests.policies.schedulers.models.credit2 import Credit2Model
from tests.policies.schedulers.models.machine import Vcpu
from tests.policies.schedulers.models.rtds import RtdsModel
from tests.policies.schedulers.models.sedf import SedfModel
from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
DURATION_NS = 2_000 * MS
NUM_SEEDS = 12


def credit2_params(draw):
    return {"weight": draw.choice([256, 256, 512, 128, 1024, draw.randrange(1, 3000)])}


def bvt_params(draw):
    params = {"mcu_adv": draw.choice([10, 10, 5, 20, 40, draw.randrange(1, 200)])}
    if draw.random() < 0.3:
        params |= {
            "warpback": 1, "warpvalue": draw.choice([10, 100, 1000, draw.randrange(1, 3000)]),
            "warpl_ms": draw.choice([0, 1, 5, 20, 2000]), "warpu_ms": draw.choice([0, 1, 10, 50, 1000]),
        }  # fmt: skip
    return params


def sedf_params(draw):
    kind = draw.random()
    if kind < 0.25:
        return {}
    if kind < 0.4:
        return {"weight": draw.randrange(1, 6), "extratime": 1}
    period_ns = draw.choice([10, 20, 50, 100, draw.randrange(3, 120)]) * MS
    slice_ns = int(period_ns * draw.choice([0.1, 0.2, 0.3, 0.5, draw.random()]))
    return {"period_ns": period_ns, "slice_ns": max(5 * US, slice_ns), "extratime": draw.choice([0, 1])}


def rtds_params(draw):
    # Few periods, so that deadlines tie; loads from light to more than there is.
    period_us = draw.choice([5000, 10_000, 20_000, 30_000, 100_000, draw.randrange(1000, 50_000)])
    budget_us = round(period_us * draw.choice([0.1, 0.2, 0.3, 0.5, 0.6, 0.8, 1.0, draw.random()]))
    return {"period_us": period_us, "budget_us": max(10, budget_us)}


def credit2(*host, ratelimit_us=1000, fixed=False):
    return Credit2Model(*host, ratelimit_ns=ratelimit_us * US, burns_at_reset=fixed)


RATELIMITS = [{}, {"ratelimit_us": 0}, {"ratelimit_us": 300}, {"ratelimit_us": 5000}]
ALLOWANCES = [{}, {"ctx_allow_ns": 1 * MS}, {"ctx_allow_ns": 50 * MS}]

#: By implementation: the twin, parameters of a domain, boot options.
KINDS = {
    "credit2-4.8": (credit2, credit2_params, RATELIMITS),
    "credit2-4.8fix": (partial(credit2, fixed=True), credit2_params, RATELIMITS),
    "bvt-3.0.0": (BvtModel, bvt_params, ALLOWANCES),
    "bvt-3.0.2": (partial(BvtModel, refreshes=False), bvt_params, ALLOWANCES),
    "sedf-4.5": (SedfModel, sedf_params, [{}]),
    "sedf-3.0.3": (SedfModel, sedf_params, [{}]),
    "rtds-4.8": (RtdsModel, rtds_params, [{}]),
}


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


def random_scenario(kind, seed):
    """Boot options, number of pCPUs; of each vCPU (a domain of its own) program, parameters, pCPU and start."""
    draw = random.Random(f"{kind} {seed}")
    num_pcpus = draw.randrange(1, 5)
    vcpus = [
        (
            random_program(draw), KINDS[kind][1](draw), draw.randrange(num_pcpus),
            draw.choice([0, 0, 0, draw.randrange(0, 60_000) * US]),
        )
        for _ in range(draw.randrange(1, 2 + 3 * num_pcpus))
    ]  # fmt: skip
    return draw.choice(KINDS[kind][2]), num_pcpus, vcpus


def compiled(kind, options, num_pcpus, vcpus):
    """The switches, the CPU time of each vCPU, the passes of each pCPU."""
    name, _, version = kind.partition("-")
    host = Host(
        Topology.flat(num_pcpus), make_scheduler(name, version, **options), [HogKind(), PeriodicKind(), ListKind()],
        max_domains=len(vcpus), max_vcpus=len(vcpus),
    )  # fmt: skip
    host.start_trace()
    programs = {"hog": Hog, "periodic": Periodic, "list": WorkList}
    for number, ((what, *arguments), params, pcpu, start_ns) in enumerate(vcpus, start=1):
        Domctl(host).create_domain(number, programs[what](*arguments), params=params, pcpus=[pcpu], start_ns=start_ns)
    host.run_until(DURATION_NS)
    trace = [
        (at_ns, pcpu, vcpu if vcpu < len(vcpus) else None)
        for at_ns, _, vcpu, _, record, pcpu in host.trace_records().tolist()
        if record == TraceKind.SWITCH
    ]
    ran_ns = [host.runstate_ns(vcpu)["running"] for vcpu in range(len(vcpus))]
    return trace, ran_ns, host.sections["pcpu"]["invocations"].tolist()


def modelled(kind, options, num_pcpus, vcpus):
    """The same of the twin."""
    model = KINDS[kind][0](
        num_pcpus,
        [Vcpu(program, pcpu, start_ns, params=params) for program, params, pcpu, start_ns in vcpus],
        **options,
    )
    model.run(DURATION_NS)
    return model.trace, [vcpu.ran_ns for vcpu in model.vcpus], model.passes


@pytest.mark.parametrize("seed", range(NUM_SEEDS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_dispatch_and_pass_is_the_same(kind, seed):
    scenario = random_scenario(kind, seed)
    assert compiled(kind, *scenario) == modelled(kind, *scenario)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_and_in_many_more(kind):
    for seed in range(NUM_SEEDS, 150):
        scenario = random_scenario(kind, seed)
        assert compiled(kind, *scenario) == modelled(kind, *scenario), seed


@pytest.mark.parametrize("kind", KINDS)
def test_the_scenarios_are_worth_it(kind):
    scenarios = [random_scenario(kind, seed) for seed in range(NUM_SEEDS)]
    assert len({num_pcpus for _, num_pcpus, _ in scenarios}) >= 3
    assert {program[0] for *_, vcpus in scenarios for program, *_ in vcpus} == {"hog", "periodic", "list"}
    assert sum(len(vcpus) > num_pcpus for _, num_pcpus, vcpus in scenarios) >= NUM_SEEDS // 2
    assert sum(len(compiled(kind, *scenario)[0]) for scenario in scenarios) > 2_000
