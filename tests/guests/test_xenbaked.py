"""What being monitored costs, worked by hand: a record written, and a record worked through."""

import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList, Xenbaked
from xengym.guests.xenbaked import XenbakedKind
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.costs import Costs
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler

US = 1_000
MS = 1_000_000
RECORD = 1 * US


def make_host(record_ns=RECORD, num_pcpus=1):
    costs = Costs(monitor_record_ns=record_ns)
    return Host(Topology.flat(num_pcpus), CreditScheduler("3.2"), [HogKind(), ListKind(), XenbakedKind()], costs=costs)


def records(host):
    return int(host.sections["clock"]["monitor_records"][0])


def test_records_are_counted_and_paid_by_whoever_is_switched_in_next():
    host = make_host()
    # 10 ms of work, then 20 ms of sleep, on a pCPU of its own.
    Domctl(host).create_domain(1, WorkList(((10 * MS, 20 * MS),)))
    assert records(host) == 1  # domain added
    host.run_until(5 * MS)
    # Made runnable and switched in (two records): it pays for all four so far.
    assert records(host) == 4
    assert host.sections["vcpu"]["overhead_ns"][0] == 4 * RECORD
    host.run_until(20 * MS)
    # Blocked, switched out: borne by the idle pCPU.
    assert records(host) == 7
    assert host.runstate_ns(0)["running"] == 10 * MS + 4 * RECORD
    host.run_until(35 * MS)
    # Woken and switched in.
    assert records(host) == 10
    assert host.sections["vcpu"]["overhead_ns"][0] == 7 * RECORD


def test_two_hogs_pay_two_records_a_switch():
    host = make_host()
    for domid in (1, 2):
        Domctl(host).create_domain(domid, Hog())
    host.run_until(301 * MS)
    switches = int(host.sections["clock"]["context_switches"][0])
    # Two domains added, two made runnable; then the switches.
    assert records(host) == 4 + 2 * switches
    assert host.sections["vcpu"]["overhead_ns"][:2].sum() == records(host) * RECORD


def test_an_unmonitored_host_counts_and_pays_nothing():
    host = make_host(0)
    Domctl(host).create_domain(1, WorkList(((10 * MS, 20 * MS),)))
    host.run_until(100 * MS)
    assert records(host) == 0
    assert host.sections["vcpu"]["overhead_ns"][0] == 0


def test_what_is_kept_as_a_trace_changes_nothing():
    hosts = [make_host(), make_host(), make_host()]
    hosts[1].start_trace()
    hosts[2].start_trace(ring=2)
    for host in hosts:
        Domctl(host).create_domain(1, WorkList(((10 * MS, 20 * MS),)))
        host.run_until(50 * MS)
    hosts[1].stop_trace()
    for host in hosts:
        host.run_until(100 * MS)
    assert hosts[0] == hosts[1] == hosts[2]
    assert len(hosts[1].trace_records()) > 10


def test_xenbaked_wakes_at_the_end_of_each_sample_and_works_through_its_records():
    host = make_host(0)  # records are free to write and not counted: only the sample itself is left
    Domctl(host).create_domain(0, Xenbaked(sample_ns=1 * MS))
    host.run_until(1000 * MS)
    assert host.sections["xenbaked"]["samples"][0] == 9
    assert host.runstate_ns(0)["running"] == 9 * MS

    host = make_host()
    control = Domctl(host)
    control.create_domain(0, Xenbaked(record_ns=10 * US, sample_ns=1 * MS))
    control.create_domain(1, WorkList(((10 * MS, 10 * MS),)), pcpus=[0])
    host.run_until(199 * MS)
    seen = int(host.sections["xenbaked"]["records"][0])
    worked_ns = int(host.sections["domain"]["work_submitted_ns"][0])
    # Those written between its start and 100 ms.
    before_start = (worked_ns - 1 * MS) // (10 * US)
    assert 0 < before_start <= seen
    host.run_until(299 * MS)
    more = int(host.sections["xenbaked"]["records"][0]) - seen
    assert int(host.sections["domain"]["work_submitted_ns"][0]) - worked_ns == 1 * MS + more * 10 * US
    # Some 5 wake-ups of the guest, of 6 records each, and its own.
    assert 30 <= more <= 60


def test_page_transfers_are_records_too():
    host = make_host()
    control = Domctl(host)
    control.create_domain(0, Xenbaked(record_ns=1 * US))
    slot = control.create_domain(1, Hog())
    host.run_until(150 * MS)
    before_ns = int(host.sections["domain"]["work_submitted_ns"][0])
    seen = int(host.sections["xenbaked"]["records"][0])
    host.sections["domain_io"]["page_transfers"][slot] = 500
    host.run_until(250 * MS)
    more = int(host.sections["xenbaked"]["records"][0]) - seen
    work_ns = int(host.sections["domain"]["work_submitted_ns"][0]) - before_ns
    assert work_ns == Xenbaked().sample_ns + (more + 500) * US
    # The domain goes, and its count with it: nothing is paid back.
    control.destroy_domain(1)
    host.run_until(350 * MS)
    assert host.sections["xenbaked"]["transfers"][0] == 0


def test_the_shortest_and_longest_slice_are_those_of_the_sample():
    host = make_host(0)
    control = Domctl(host)
    control.create_domain(0, Xenbaked())
    control.create_domain(1, Hog())
    host.run_until(50 * MS)
    assert host.sections["vcpu"][["allocated_min_ns", "allocated_max_ns"]][1].tolist() == (30 * MS, 30 * MS)
    host.run_until(100 * MS)
    assert host.sections["vcpu"]["allocated_max_ns"][1] == 30 * MS
    host.run_until(100 * MS, before_control=True)
    # At 100 ms xenbaked wakes with a boost and interrupts the hog, which then is given a slice anew.
    host.run_until(100 * MS, inclusive=True)
    assert host.sections["vcpu"]["allocated_max_ns"][1] == 0


@pytest.mark.parametrize("field", ["period_ns", "record_ns", "sample_ns"])
def test_what_cannot_be_is_named(field):
    with pytest.raises(ValueError, match=f"xenbaked: {field} must be"):
        Xenbaked(**{field: -1})


def test_a_cost_of_a_record_is_a_number_of_nanoseconds():
    with pytest.raises(ValueError, match="monitor_record_ns must be an integer >= 0"):
        Costs(monitor_record_ns=-1)
