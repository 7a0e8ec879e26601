"""A domain that goes on at another host: its programs notice nothing but the time that they stood still."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.guests.cpu import HogKind, ListKind, OnOffKind, PeriodicKind
from xengym.guests.memory_worker import MemoryWorkerKind
from xengym.guests.process import ProcessKind
from xengym.guests.programs import (
    PROCESS_PRESETS,
    Hog,
    Memory,
    OnOff,
    Periodic,
    Process,
    Replay,
    Server,
    WorkList,
    Xenbaked,
    hot_and_cold,
)
from xengym.guests.server import ReplayKind, ServerKind
from xengym.guests.xenbaked import XenbakedKind
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.handover import load_domain, save_domain
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.policies.schedulers.null import NullScheduler
from xengym.sim.random import DistributionSpec

MS = 1_000_000

PROGRAMS = {
    "hog": Hog(),
    "periodic": Periodic(run_ns=3 * MS, period_ns=20 * MS),
    "list": WorkList(((2 * MS, 5 * MS), (1 * MS, 3 * MS), (4 * MS, -1))),
    "onoff": OnOff(DistributionSpec("exponential", 2 * MS), DistributionSpec("uniform", 5 * MS, 0.5)),
    "server": Server(DistributionSpec("exponential", 4 * MS), DistributionSpec("exponential", 3 * MS)),
    "replay": Replay(np.array([30, 90, 10], dtype=np.uint8), sample_ns=100 * MS, spread=0.5),
    "memory": Memory(
        DistributionSpec("exponential", 4 * MS),
        DistributionSpec("exponential", 3 * MS),
        ((40 * MS, 500), (30 * MS, 900)),
        hot_and_cold(900, 0.2, 0.8),
        spread=0.5,
    ),
    "fork-bomb": PROCESS_PRESETS["fork_bomb"],
    "process": Process((("fork", 1.0), ("page_fault", 2.0)), ops_per_s=2000.0),
}


def a_host(scheduler=None, seed=1):
    kinds = [
        HogKind(),
        PeriodicKind(),
        ListKind(),
        OnOffKind(),
        ServerKind(),
        MemoryWorkerKind(),
        ReplayKind(),
        ProcessKind(),
        XenbakedKind(),
    ]
    return Host(Topology.flat(4), scheduler or CreditScheduler(), kinds, max_domains=4, max_vcpus=16, seed=seed)


def counters(host, domid):
    d = Domctl(host).slot(domid)
    names = ("jobs_submitted", "jobs_done", "jobs_dropped", "work_submitted_ns", "response_ns", "response_max_ns")
    record = host.sections["domain"][d]
    return {name: int(record[name]) for name in names} | {"bins": record["response_bins"].tolist()}


def paused(host, domid):
    Domctl(host).pause_domain(domid)
    host.run_until(host.now_ns, inclusive=True)
    return save_domain(host, domid)


def move(source, target, domid, program, **settings):
    image = paused(source, domid)
    Domctl(source).destroy_domain(domid)
    target.run_until(source.now_ns, inclusive=True)
    load_domain(target, domid, image, program, **settings)
    Domctl(target).unpause_domain(domid)
    target.run_until(target.now_ns, inclusive=True)


@pytest.mark.parametrize("name", list(PROGRAMS))
@given(times_ms=st.lists(st.integers(1, 150), min_size=1, max_size=4), num_vcpus=st.integers(1, 3))
def test_what_a_domain_does_is_the_same_wherever_it_is(name, times_ms, num_vcpus):
    """With a pCPU for each vCPU and nothing that costs, a move in no time changes nothing that the guest does."""
    program = PROGRAMS[name]
    alone = a_host()
    hosts = [a_host(), a_host(NullScheduler())]
    for host in (alone, hosts[0]):
        Domctl(host).create_domain(3, program, num_vcpus=num_vcpus, pcpus=range(num_vcpus))
    now_ns = 0
    for turn, time_ms in enumerate(times_ms):
        now_ns += time_ms * MS
        hosts[turn % 2].run_until(now_ns, inclusive=True)
        move(hosts[turn % 2], hosts[1 - turn % 2], 3, program, pcpus=range(num_vcpus))
    end_ns = now_ns + 100 * MS
    last = hosts[len(times_ms) % 2]
    for host in (alone, last):
        host.run_until(end_ns, inclusive=True)
    assert counters(last, 3) == counters(alone, 3)


def test_a_balloon_that_was_on_its_way_gets_there_elsewhere():
    """In the middle of a batch: the program's work is not lost, the batch begins anew, and pages stay counted."""
    source, target = a_host(), a_host()
    program = WorkList(((50 * MS, 10 * MS),))
    Domctl(source).create_domain(1, program, memory_pages=20_000, max_memory_pages=30_000)
    source.run_until(10 * MS)
    Domctl(source).set_memory_target(1, 15_000)
    source.run_until(12 * MS, inclusive=True)
    assert source.sections["vcpu"]["in_kernel"].any()
    pages = Domctl(source).memory(1)["pages"]
    move(source, target, 1, program)
    memory = Domctl(target).memory(1)
    assert (memory["pages"], memory["max_pages"], memory["target_pages"]) == (pages, 30_000, 15_000)
    target.run_until(100 * MS)
    memory = Domctl(target).memory(1)
    assert memory["pages"] == memory["initial_pages"] - memory["inflated_pages"] == 15_000
    for host in (source, target):
        sections = host.sections
        assert sections["memory"]["pages"].sum() + sections["host_memory"]["free_pages"][0] == host.memory_pages
    # 50 ms of work, and what the balloon took of the same CPU.
    first, overhead_ns = Domctl(target).slot(1), int(target.sections["vcpu"]["overhead_ns"][0])
    assert target.sections["domain"]["in_use"][first]
    assert overhead_ns > 0


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_what_stood_still_is_only_later(name):
    """While it is on its way nothing is lost: requests that came meanwhile wait for it."""
    source, target = a_host(), a_host()
    program = PROGRAMS[name]
    Domctl(source).create_domain(1, program)
    source.run_until(90 * MS, inclusive=True)
    before = counters(source, 1)
    Domctl(source).pause_domain(1)
    source.run_until(130 * MS, inclusive=True)
    image = save_domain(source, 1)
    waiting = counters(source, 1)
    assert waiting["jobs_done"] == before["jobs_done"]
    Domctl(source).destroy_domain(1)
    target.run_until(130 * MS, inclusive=True)
    load_domain(target, 1, image, program)
    target.run_until(150 * MS, inclusive=True)
    assert counters(target, 1)["jobs_done"] == before["jobs_done"]
    assert counters(target, 1)["jobs_submitted"] >= waiting["jobs_submitted"]
    Domctl(target).unpause_domain(1)
    target.run_until(1_500 * MS, inclusive=True)
    after = counters(target, 1)
    assert after["jobs_done"] > before["jobs_done"] or name == "hog"
    running = target.runstate_ns(Domctl(target).vcpu_number(1))["running"]
    assert running > 100 * MS


def test_a_vcpu_that_has_not_begun_begins_at_its_time():
    source, target = a_host(), a_host()
    Domctl(source).create_domain(1, Hog(), start_ns=50 * MS)
    source.run_until(10 * MS, inclusive=True)
    move(source, target, 1, Hog())
    target.run_until(60 * MS, inclusive=True)
    assert target.runstate_ns(Domctl(target).vcpu_number(1))["running"] == 10 * MS


def test_it_must_be_paused_and_off_the_cpu_and_movable():
    host = a_host()
    Domctl(host).create_domain(1, Hog())
    Domctl(host).create_domain(2, Xenbaked())
    host.run_until(10 * MS, inclusive=True)
    with pytest.raises(ValueError, match="domain 1 must be paused before its state is taken"):
        save_domain(host, 1)
    Domctl(host).pause_domain(1)
    with pytest.raises(ValueError, match="vCPU 0 has not left its pCPU yet"):
        save_domain(host, 1)
    with pytest.raises(ValueError, match="a domain that runs 'xenbaked' cannot be moved to another host"):
        paused(host, 2)
