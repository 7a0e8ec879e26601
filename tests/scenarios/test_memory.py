"""The part of a scenario that describes memory, and random hosts with balloons."""

import pytest

from xengym.guests.memory_worker import MemoryWorkerKind
from xengym.machine.memory_costs import HOST_PAGES, MemoryCosts
from xengym.scenarios.build import build_host, populate
from xengym.scenarios.config import ScenarioError, parse_scenario
from xengym.scenarios.library import load_scenario
from xengym.scenarios.memory_generator import random_memory_scenario

PROGRAM = {
    "kind": "memory",
    "arrival": {"kind": "exponential", "mean_ms": 20},
    "service": {"kind": "constant", "mean_ms": 5},
    "phases": [{"s": 10, "mib": 64}, {"s": 5, "mib": 96}],
}


def scenario(machine=None, program=None, **domain):
    guest = {"name": "guest", "program": {**PROGRAM, **(program or {})}, **domain}
    return {"name": "test", "description": "a guest", "machine": machine or {}, "domains": [guest]}


def built(*arguments, **others):
    config = parse_scenario(scenario(*arguments, **others), "test.yaml")
    host = build_host(config)
    populate(host, config, seed=3)
    return host


def test_what_a_file_says_is_what_the_machine_has():
    machine = {"memory_mib": 512, "memory": {"hypercall_us": 2, "page_us": 1.5, "retry_ms": 250, "swap_in_ms": 8}}
    host = built(machine, memory_mib=64, max_memory_mib=128, min_memory_mib=16)
    memory = host.sections["memory"][0]
    assert [int(memory[f"{name}_pages"]) for name in ("initial", "max", "floor")] == [64 * 256, 128 * 256, 16 * 256]
    assert host.sections["host_memory"]["free_pages"][0] == (512 - 64) * 256
    costs = host.memory_costs
    assert (costs.hypercall_ns, costs.page_ns, costs.retry_ns, costs.swap_in_ns) == (2000, 1500, 250_000_000, 8_000_000)
    assert costs.swap_out_ns == MemoryCosts().swap_out_ns


def test_defaults_are_those_of_the_machine():
    host = built()
    assert host.memory_pages == HOST_PAGES
    assert host.memory_costs == MemoryCosts()
    assert host.sections["memory"]["pages"][0] == (96 + 8) * 256  # the most that it wants, and its kernel


def test_other_programs_count_if_their_memory_is_stated():
    config = load_scenario("consolidation")
    host = build_host(config)
    populate(host, config, seed=0)
    assert not host.sections["memory"]["pages"].any()
    assert any(isinstance(kind, MemoryWorkerKind) for kind in host.guest_kinds)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_mib": 4097}, r"key 'domains.0' \(guest\): domain 0: needs 1048832 pages, but 1048576 are free"),
        ({"memory_mib": 64, "max_memory_mib": 32}, "max_memory_pages must be at least"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_domain(changes, message):
    with pytest.raises(ScenarioError, match=message):
        built(**changes)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ({"phases": []}, "domains.0.program.memory.phases"),
        ({"phases": [{"s": 0, "mib": 1}]}, "phases.0.s"),
        ({"phases": [{"s": 1, "mib": 0}]}, "phases.0.mib"),
        ({"spread": 2}, "spread"),
        ({"touch": 2}, "not known here"),
    ],
)
def test_a_wrong_key_or_value_is_named(program, message):
    with pytest.raises(ScenarioError, match=message):
        parse_scenario(scenario(program=program), "test.yaml")


@pytest.mark.parametrize("number", range(20))
def test_random_hosts_can_be_set_up_and_are_short_of_memory(number):
    config = random_memory_scenario(number)
    assert config == random_memory_scenario(number)
    populate(build_host(config), config, seed=number)
    most = sum(max(phase.mib for phase in domain.program.phases) for domain in config.domains[1:])
    assert most > config.machine.memory_mib
    assert config.machine == random_memory_scenario(0).machine
