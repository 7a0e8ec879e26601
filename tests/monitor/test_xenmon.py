"""XenMon's figures, worked by hand, and its identity under any scheduler and whatever an operator does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.subjects import SUBJECTS
from xengym.guests.cpu import HogKind, ListKind, OnOffKind, PeriodicKind
from xengym.guests.programs import Hog, OnOff, Periodic, WorkList, Xenbaked
from xengym.guests.xenbaked import XenbakedKind
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.costs import Costs
from xengym.machine.topology import Topology
from xengym.monitor.xenmon import XenMon
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.render.xenmon import xenmon_table
from xengym.sim.random import DistributionSpec

MS = 1_000_000
SECOND = 1_000_000_000


def make_host(scheduler=None, num_pcpus=1, **keys):
    kinds = [HogKind(), PeriodicKind(), ListKind(), OnOffKind(), XenbakedKind()]
    return Host(Topology.flat(num_pcpus), scheduler or CreditScheduler("3.2"), kinds, **keys)


def set_io(host, slot, **counters):
    for name, value in counters.items():
        host.sections["domain_io"][name][slot] = value


class TestByHand:
    def test_a_domain_alone(self):
        host = make_host()
        Domctl(host).create_domain(1, Periodic(20 * MS, 100 * MS), name="web")
        monitor = XenMon(host)
        monitor.run_until(2 * SECOND)
        window = monitor.window(SECOND)
        assert (window.start_ns, window.end_ns) == (SECOND, 2 * SECOND)
        (web,) = window.domains
        assert (web.name, web.domid, web.vcpu, web.interval_ns) == ("web", 1, None, SECOND)
        assert (web.gotten_ns, web.waited_ns, web.blocked_ns, web.offline_ns) == (200 * MS, 0, 800 * MS, 0)
        assert (web.executions, web.allocations) == (10, 10)
        assert web.pct(web.gotten_ns) == 20
        assert web.per_execution(web.gotten_ns) == 20 * MS
        assert (web.allocated_mean_ns, web.allocated_min_ns, web.allocated_max_ns) == (30 * MS, 30 * MS, 30 * MS)
        assert web.executions_per_s == 10
        assert (web.io_pages, web.io_per_execution, web.blocked_per_io_ns) == (0, 0, None)
        assert window.driver == []

    def test_two_hogs_take_turns(self):
        host = make_host()
        for domid in (1, 2):
            Domctl(host).create_domain(domid, Hog())
        monitor = XenMon(host)
        monitor.run_until(600 * MS)
        one, two = monitor.window().domains
        assert one.gotten_ns == two.gotten_ns == one.waited_ns == two.waited_ns == 300 * MS
        assert one.executions == two.executions == 10
        assert one.per_execution(one.waited_ns) == 30 * MS

    def test_a_domain_is_the_sum_of_its_vcpus(self):
        host = make_host()
        Domctl(host).create_domain(1, [Hog(), Periodic(10 * MS, 50 * MS)], num_vcpus=2)
        monitor = XenMon(host)
        monitor.run_until(SECOND)
        window = monitor.window()
        (domain,) = window.domains
        assert [vcpu.vcpu for vcpu in window.vcpus] == [0, 1]
        for field in ("interval_ns", "gotten_ns", "waited_ns", "blocked_ns", "executions", "allocated_ns"):
            assert getattr(domain, field) == sum(getattr(vcpu, field) for vcpu in window.vcpus), field
        assert domain.gotten_ns == SECOND
        assert domain.elapsed_ns == SECOND

    def test_time_offline_is_blocked_and_told_apart(self):
        host = make_host()
        Domctl(host).create_domain(1, Hog())
        monitor = XenMon(host)
        monitor.run_until(100 * MS)
        Domctl(host).pause_domain(1)
        monitor.run_until(400 * MS)
        Domctl(host).unpause_domain(1)
        monitor.run_until(500 * MS)
        (hog,) = monitor.window().domains
        assert (hog.gotten_ns, hog.waited_ns, hog.blocked_ns, hog.offline_ns) == (200 * MS, 0, 300 * MS, 300 * MS)

    def test_a_younger_domain_has_an_interval_from_its_creation(self):
        host = make_host()
        control = Domctl(host)
        control.create_domain(1, Hog())
        monitor = XenMon(host)
        monitor.run_until(250 * MS)
        control.destroy_domain(1)
        control.create_domain(1, Periodic(10 * MS, 50 * MS, 250 * MS))  # in the same slot
        monitor.run_until(350 * MS)
        (domain,) = monitor.window().domains
        assert domain.interval_ns == 100 * MS
        assert domain.gotten_ns + domain.waited_ns + domain.blocked_ns == 100 * MS
        assert domain.gotten_ns == 20 * MS
        assert domain.executions == 2

    def test_a_domain_newer_than_the_newest_sample_is_not_shown(self):
        host = make_host()
        monitor = XenMon(host)
        Domctl(host).create_domain(1, Hog())
        assert monitor.window().domains == []

    def test_the_ring_forgets(self):
        host = make_host()
        Domctl(host).create_domain(1, Hog())
        monitor = XenMon(host, sample_ns=10 * MS, history_ns=50 * MS)
        monitor.run_until(SECOND)
        assert monitor.window().start_ns == SECOND - 50 * MS
        assert monitor.window(20 * MS).domains[0].gotten_ns == 20 * MS

    def test_a_sample_cut_short_is_replaced_when_it_is_whole(self):
        host = make_host()
        Domctl(host).create_domain(1, Hog())
        monitor = XenMon(host, history_ns=300 * MS)
        for until_ms in (100, 150, 170, 200, 300, 330):
            monitor.run_until(until_ms * MS)
        # The ring holds 100, 200, 300 and 330.
        assert monitor.window().start_ns == 100 * MS
        assert monitor.window().domains[0].gotten_ns == 230 * MS

    def test_lengths_must_be_positive(self):
        with pytest.raises(ValueError, match="1 <= sample_ns <= history_ns"):
            XenMon(make_host(), sample_ns=0)


class TestSlices:
    def test_what_is_cut_short_was_allocated_all_the_same(self):
        # A boosted domain interrupts the hog every 10 ms: the hog never uses up the 30 ms that it is given.
        host = make_host()
        Domctl(host).create_domain(1, Hog())
        Domctl(host).create_domain(2, Periodic(MS, 7 * MS, 3 * MS))
        monitor = XenMon(host)
        monitor.run_until(SECOND)
        hog = monitor.window().domains[0]
        assert hog.allocated_mean_ns == 30 * MS
        assert hog.per_execution(hog.gotten_ns) < 8 * MS

    def test_dispatches_without_a_slice_do_not_count(self):
        subject = SUBJECTS["null"]
        host = make_host(subject.make())
        Domctl(host).create_domain(1, WorkList(((10 * MS, 10 * MS),)))
        monitor = XenMon(host)
        monitor.run_until(SECOND)
        (domain,) = monitor.window().domains
        assert domain.executions == 50
        assert (domain.allocations, domain.allocated_mean_ns, domain.allocated_max_ns) == (0, None, 0)
        assert "-" in xenmon_table(monitor.window())

    def test_shortest_and_longest_are_of_the_window_where_xenbaked_runs(self):
        host = make_host(CreditScheduler("4.5", tslice_ms=30))
        control = Domctl(host)
        control.create_domain(0, Xenbaked())
        control.create_domain(1, Hog())
        monitor = XenMon(host)
        monitor.run_until(500 * MS)
        control.adjust_scheduler(tslice_ms=5)
        monitor.run_until(SECOND)
        whole, late = (monitor.window(length_ms * MS).domains[1] for length_ms in (1000, 300))
        assert (whole.allocated_min_ns, whole.allocated_max_ns) == (5 * MS, 30 * MS)
        assert (late.allocated_min_ns, late.allocated_max_ns) == (5 * MS, 5 * MS)


class TestIo:
    def host(self):
        host = make_host()
        control = Domctl(host)
        control.create_domain(0, Periodic(40 * MS, 100 * MS), name="dom0")
        for domid in (1, 2):
            control.create_domain(domid, Periodic(10 * MS, 100 * MS))
        return host

    def exchange(self, host):
        set_io(host, 0, is_backend=1, page_exchanges=400, page_transfers=100)  # as the mechanisms count
        set_io(host, 1, page_exchanges=300, page_transfers=100, rx_packets=200, tx_packets=100, served_ns=30 * MS)
        set_io(host, 2, page_exchanges=100, page_transfers=0, rx_packets=0, tx_packets=100, served_ns=10 * MS)

    def test_pages_count_for_the_guest_and_for_the_driver_domain(self):
        host = self.host()
        monitor = XenMon(host)
        self.exchange(host)
        monitor.run_until(SECOND)
        window = monitor.window()
        assert [domain.io_pages for domain in window.domains] == [400, 300, 100]
        guest = window.domains[1]
        assert guest.io_per_execution == 300 / guest.executions
        assert guest.blocked_per_io_ns == guest.blocked_ns / 300

    def test_xen_3_0_sees_transfers_only(self):
        host = self.host()
        monitor = XenMon(host, count_transfers_only=True)
        self.exchange(host)
        monitor.run_until(SECOND)
        assert [domain.io_pages for domain in monitor.window().domains] == [100, 100, 0]

    def test_executions_of_the_driver_domain_without_a_flip(self):
        host = make_host(costs=Costs(monitor_record_ns=1))
        Domctl(host).create_domain(0, Periodic(40 * MS, 100 * MS))
        Domctl(host).create_domain(1, Periodic(10 * MS, 100 * MS, 50 * MS), start_ns=50 * MS)
        set_io(host, 0, is_backend=1)
        monitor = XenMon(host)
        for until_ms in range(20, 1000, 100):
            host.run_until(until_ms * MS)  # it runs
            if until_ms < 700:
                set_io(host, 1, page_transfers=until_ms)
            monitor.run_until((until_ms + 80) * MS)
        driver, guest = monitor.window().domains
        assert (driver.executions, driver.flip_free, guest.flip_free) == (10, 3, 0)

    def test_the_split_of_the_driver_domain_and_its_table(self):
        host = self.host()
        monitor = XenMon(host)
        self.exchange(host)
        monitor.run_until(SECOND)
        window = monitor.window()
        assert [share.domid for share in window.driver] == [1, 2]
        assert [share.by_packets_ns for share in window.driver] == [300 * MS, 100 * MS]
        assert [share.true_ns for share in window.driver] == [30 * MS, 10 * MS]
        assert window.driver_error == pytest.approx(0)
        assert "by packets(%)" in xenmon_table(window)
        assert window.as_plain_data()["driver"][0]["true_ns"] == 30 * MS


means_ns = st.integers(MS // 5, 20 * MS)
programs = st.one_of(
    st.just(Hog()),
    st.builds(Periodic, means_ns, means_ns),
    st.builds(
        OnOff,
        st.builds(DistributionSpec, st.just("exponential"), means_ns),
        st.builds(DistributionSpec, st.just("exponential"), means_ns),
    ),
)
steps = st.tuples(
    st.sampled_from(["run", "pause", "unpause", "offline", "online", "recreate"]), st.integers(0, 300 * MS)
)


@given(
    data=st.data(),
    name=st.sampled_from(sorted(SUBJECTS)),
    num_pcpus=st.integers(1, 3),
    costs=st.sampled_from([None, Costs(3_000, 20_000), Costs(3_000, 20_000, monitor_record_ns=150)]),
    loads=st.lists(st.tuples(st.integers(1, 2), programs), min_size=1, max_size=4),
    history=st.lists(steps, min_size=1, max_size=6),
    start_ns=st.integers(0, 150 * MS),
)
def test_gotten_waited_and_blocked_are_the_interval(data, name, num_pcpus, costs, loads, history, start_ns):
    subject = SUBJECTS[name]
    host = make_host(subject.make(**data.draw(subject.options)), num_pcpus, costs=costs, max_domains=5, max_vcpus=10)
    control = Domctl(host)
    control.create_domain(0, Xenbaked())
    for domid, (num_vcpus, program) in enumerate(loads, start=1):
        try:
            control.create_domain(domid, program, num_vcpus=num_vcpus, start_ns=start_ns)
        except ValueError as error:  # no room under a scheduler that gives each vCPU a place of its own
            assert "scheduler" in str(error)  # noqa: PT017
    monitor = XenMon(host)
    paused = 0
    for what, length_ns in history:
        if what == "pause":
            control.pause_domain(0)
            paused += 1
        elif what == "unpause" and paused:
            control.unpause_domain(0)
            paused -= 1
        elif what in ("offline", "online"):
            control.set_vcpu_online(0, 0, what == "online")
        elif what == "recreate":
            control.destroy_domain(0)
            control.create_domain(0, Xenbaked())
            paused = 0
        monitor.run_until(host.now_ns + length_ns)
        for window in (monitor.window(), monitor.window(100 * MS)):
            for vcpu in window.vcpus:
                assert vcpu.gotten_ns + vcpu.waited_ns + vcpu.blocked_ns == vcpu.interval_ns
                assert min(vcpu.gotten_ns, vcpu.waited_ns, vcpu.blocked_ns) >= 0
                assert 0 <= vcpu.offline_ns <= vcpu.blocked_ns
                assert vcpu.interval_ns <= window.end_ns - window.start_ns
                assert 0 <= vcpu.allocations <= vcpu.executions
            if all(domain.interval_ns == window.end_ns - window.start_ns for domain in window.domains):
                used_ns = sum(domain.gotten_ns for domain in window.domains)
                assert used_ns <= num_pcpus * (window.end_ns - window.start_ns)
