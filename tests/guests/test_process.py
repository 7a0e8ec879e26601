"""Programs that work their kernel: rates, mixes, what the domain's type costs, and their hypercalls."""

import pickle

import numpy as np
import pytest

from xengym.guests.cpu import HogKind
from xengym.guests.process import ProcessKind
from xengym.guests.programs import PROCESS_PRESETS, Process
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.privilege import OPERATIONS, Platform, PrivilegeCosts, price
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler

MS = 1_000_000
SECOND = 1_000_000_000


def make_host(*programs, is_hvm=False, costs=None, seed=0, num_pcpus=1):
    host = Host(Topology.flat(num_pcpus), CreditScheduler("3.2"), [HogKind(), ProcessKind(costs)], seed=seed)
    for domid, program in enumerate(programs, start=1):
        Domctl(host).create_domain(domid, program, is_hvm=is_hvm)
    return host


def done(host, v=0):
    counts = host.sections["process"]["done"][v].tolist()
    return {name: count for name, count in zip(OPERATIONS, counts, strict=False) if count}


@pytest.mark.parametrize(("is_hvm", "platform"), [(False, Platform.PV), (True, Platform.HVM)])
def test_a_burst_is_worked_by_hand(is_hvm, platform):
    host = make_host(Process((("page_fault", 1.0),), burst_ops=1000, user_ns=500), is_hvm=is_hvm)
    paid = price(OPERATIONS["page_fault"], platform)
    burst_ns = 1000 * (paid.time_ns + 500)
    assert host.sections["domain"]["is_hvm"][0] == is_hvm
    host.run_until(3 * burst_ns - 1, inclusive=True)
    assert done(host) == {"page_fault": 2000}
    host.run_until(3 * burst_ns, inclusive=True)
    assert done(host) == {"page_fault": 3000}
    vcpu = host.sections["vcpu"][0]
    assert vcpu["hypercalls"] == 3000 * paid.hypercalls
    assert vcpu["hypervisor_entries"] == 3000 * paid.entries
    assert host.sections["domain"]["jobs_done"][0] == 3


def test_a_rate_is_kept_and_the_rest_of_the_time_it_sleeps():
    host = make_host(Process((("fork", 1.0),), ops_per_s=100, burst_ops=2))
    host.run_until(10 * SECOND)
    # Bursts of 2 at 0, 20 ms ... 9980 ms.
    assert done(host) == {"fork": 1000}
    fork_ns = price(OPERATIONS["fork"], Platform.PV).time_ns
    assert host.runstate_ns(0)["running"] == 1000 * fork_ns
    assert host.runstate_ns(0)["blocked"] == 10 * SECOND - 1000 * fork_ns


def test_instants_that_pass_while_it_works_are_skipped():
    host = make_host(Process((("sh", 1.0),), ops_per_s=1000, burst_ops=1))
    host.run_until(10 * SECOND)
    # 4.8 ms of work each: at 0, 5, 10 ... ms.
    assert done(host) == {"sh": 2000}


def test_operations_come_by_weight():
    host = make_host(Process((("null_call", 3.0), ("page_fault", 1.0)), burst_ops=100))
    host.run_until(5 * SECOND)
    counts = done(host)
    assert set(counts) == {"null_call", "page_fault"}
    share = counts["null_call"] / sum(counts.values())
    num_bursts = sum(counts.values()) / 100
    assert abs(share - 0.75) < 5 * np.sqrt(0.75 * 0.25 / num_bursts)


def test_streams_are_each_vcpus_own_and_follow_the_seed():
    mix = Process((("null_call", 1.0), ("page_fault", 1.0)), burst_ops=10)

    def run(seed):
        host = make_host(mix, mix, seed=seed, num_pcpus=2)
        host.run_until(SECOND)
        return done(host, 0), done(host, 1)

    assert run(1) == run(1) != run(2)
    assert run(1)[0] != run(1)[1]


@pytest.mark.parametrize("name", PROCESS_PRESETS)
def test_the_presets_take_all_they_are_given_and_make_hypercalls(name):
    host = make_host(PROCESS_PRESETS[name])
    host.run_until(SECOND)
    assert host.runstate_ns(0)["running"] == SECOND
    assert host.sections["vcpu"]["hypercalls"][0] > 1000


def test_a_stray_event_does_no_work():
    host = make_host(Process((("fork", 1.0),), ops_per_s=10, burst_ops=1))
    host.run_until(50 * MS)
    before = done(host)
    host.send_event(0)
    host.run_until(99 * MS)
    assert done(host) == before == {"fork": 1}


def test_unit_costs_can_be_anothers_and_survive_a_pickle():
    free = PrivilegeCosts(**dict.fromkeys(vars(PrivilegeCosts()), 0))
    host = make_host(Process((("fork", 1.0),), burst_ops=1), costs=free)
    host.run_until(SECOND, inclusive=True)
    assert done(host) == {"fork": SECOND // OPERATIONS["fork"].native_ns}
    copy = pickle.loads(pickle.dumps(host))
    for each in (host, copy):
        each.run_until(2 * SECOND, inclusive=True)
    assert copy == host
    assert done(copy)["fork"] > 15_000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mix": ()}, "at least one operation"),
        ({"mix": (("knit", 1.0),)}, "unknown operation 'knit'; expected one of null_call"),
        ({"mix": (("fork", 0.0),)}, "weight of fork must be above 0"),
        ({"mix": (("fork", 1.0), ("fork", 2.0))}, "fork' is named 2 times"),
        ({"mix": (("fork", 1.0),), "ops_per_s": -1.0}, "ops_per_s must be"),
        ({"mix": (("fork", 1.0),), "burst_ops": 0}, "burst_ops must be"),
        ({"mix": (("fork", 1.0),), "user_ns": -1}, "user_ns must be"),
    ],
)
def test_what_cannot_be_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Process(**fields)
