"""Whose is a driver domain's CPU time: the heuristic and the truth, by hand and by their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.guests.cpu import HogKind
from xengym.guests.programs import Hog
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.monitor.attribution import io_counters, split_by_packets, split_by_pages, split_error, split_true
from xengym.policies.schedulers.credit import CreditScheduler

MS = 1_000_000


def make_host(num_guests=3):
    """Domain 0 computes alone on pCPU 0, for the guests; they are on pCPU 1."""
    host = Host(Topology.flat(2), CreditScheduler("3.2"), [HogKind()], max_domains=6)
    control = Domctl(host)
    control.create_domain(0, Hog(), hard_affinity=[0])
    for domid in range(1, num_guests + 1):
        control.create_domain(domid, Hog(), hard_affinity=[1])
    host.sections["domain_io"]["is_backend"][0] = 1
    return host, control


def add(host, field, values):
    host.sections["domain_io"][field][1 : 1 + len(values)] += np.array(values)


def test_a_host_without_back_ends_has_nothing_to_split():
    host, _ = make_host()
    host.sections["domain_io"]["is_backend"][0] = 0
    before = io_counters(host)
    host.run_until(10 * MS)
    after = io_counters(host)
    assert after.driver_ns == 0
    assert split_by_packets(before, after).tolist() == split_by_pages(before, after).tolist() == [0.0] * 6
    assert split_true(before, after).tolist() == [0] * 6
    assert split_error(split_by_packets(before, after), before, after) == 0


def test_by_hand():
    host, _ = make_host()
    add(host, "rx_packets", [1000, 0, 0])  # before it begins: does not count
    before = io_counters(host)
    host.run_until(100 * MS)
    add(host, "rx_packets", [10, 0, 10])
    add(host, "tx_packets", [10, 20, 0])
    add(host, "page_exchanges", [1, 1, 2])
    add(host, "served_ns", [30 * MS, 20 * MS, 30 * MS])
    after = io_counters(host)
    assert after.driver_ns - before.driver_ns == 100 * MS
    assert split_by_packets(before, after).tolist() == [0, 40 * MS, 40 * MS, 20 * MS, 0, 0]
    assert split_by_pages(before, after).tolist() == [0, 25 * MS, 25 * MS, 50 * MS, 0, 0]
    assert split_true(before, after).tolist() == [0, 30 * MS, 20 * MS, 30 * MS, 0, 0]
    # True shares .375 .25 .375; by packets .4 .4 .2: .175 of it goes to the wrong domains.
    assert split_error(split_by_packets(before, after), before, after) == pytest.approx(0.175)


def test_a_domain_that_came_meanwhile_begins_at_nothing_and_one_that_went_has_none():
    host, control = make_host()
    add(host, "tx_packets", [100, 100, 100])
    before = io_counters(host)
    host.run_until(100 * MS)
    control.destroy_domain(1)
    control.destroy_domain(2)
    control.create_domain(7, Hog(), hard_affinity=[1])  # into the slot of domain 1
    add(host, "tx_packets", [30, 0, 10])
    after = io_counters(host)
    assert split_by_packets(before, after).tolist() == [0, 75 * MS, 0, 25 * MS, 0, 0]


counts = st.lists(st.integers(0, 10**6), min_size=3, max_size=3)


@given(packets=counts, served=counts)
def test_nothing_is_lost_and_errors_are_a_part(packets, served):
    host, _ = make_host()
    before = io_counters(host)
    host.run_until(50 * MS)
    add(host, "rx_packets", packets)
    add(host, "served_ns", served)
    after = io_counters(host)
    split = split_by_packets(before, after)
    assert split.sum() == pytest.approx(50 * MS if sum(packets) else 0)
    assert split_true(before, after).sum() == sum(served)
    assert 0 <= split_error(split, before, after) <= 1 + 1e-12
    add(host, "served_ns", np.array(packets) - np.array(served))  # the truth is what the heuristic says
    assert split_error(split, before, io_counters(host)) == pytest.approx(0, abs=1e-9)
