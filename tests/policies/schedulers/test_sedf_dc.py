"""SEDF-DC worked by hand: what driver domains spend for a guest comes off its slices.

Times are in ms. vCPU n is domain n + 1's. Domain 1 is the driver domain; what it does for whom is written into the
domains' records by hand, every ms. A reservation of s in p begins its first period at s.
"""

import pickle

import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
MAX = 6
DRIVER, GUEST = 0, 1


def reserved(period_ms, slice_ms):
    return {"period_ns": int(period_ms * MS), "slice_ns": int(slice_ms * MS), "extratime": 0}


def make_host(*domains, scheduler="sedf-dc", **options):
    """Each domain is ``(program or programs, params)``; the first one is a driver domain."""
    host = Host(
        Topology.flat(1), make_scheduler(scheduler, **options), [HogKind(), ListKind()], max_domains=MAX, max_vcpus=MAX
    )
    host.start_trace()
    for number, (program, params) in enumerate(domains):
        num_vcpus = len(program) if isinstance(program, list) else 1
        Domctl(host).create_domain(number + 1, program, num_vcpus=num_vcpus, params=params)
    host.sections["domain_io"]["is_backend"][DRIVER] = 1
    return host


def running_ms(host, vcpu):
    return host.runstate_ns(vcpu)["running"] / MS


def serve(host, until_ms, packets_per_ms, sent_per_ms=None):
    """Run on, the driver domain working for guests in proportion to those numbers of packets by domain slot."""
    io = host.sections["domain_io"]
    total = sum(packets_per_ms.values()) + sum((sent_per_ms or {}).values())
    while host.now_ns < until_ms * MS:
        before = host.runstate_ns(DRIVER)["running"]
        host.run_until(host.now_ns + MS)
        spent_ns = host.runstate_ns(DRIVER)["running"] - before
        for kind, numbers in (("rx", packets_per_ms), ("tx", sent_per_ms or {})):
            for slot, packets in numbers.items():
                io[f"{kind}_packets"][slot] += packets
                io["page_exchanges"][slot] += packets
                io["served_ns"][slot] += spent_ns * packets // total


def dispatches(host, since_ms, until_ms=1e9):
    return [
        (at_ns / MS, vcpu if vcpu < MAX else None)
        for at_ns, _, vcpu, _, kind, _ in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and since_ms <= at_ns / MS < until_ms
    ]


def debt(host, name, vcpu=GUEST):
    return int(host.sections["sedf_debt"][name][vcpu]) / MS


def charged_ms(host, slot=GUEST):
    return int(host.sections["sedf_charge"]["charged_ns"][slot]) / MS


ATTRIBUTIONS = ("packets", "pages", "true")


class TestTheLimitIsOnBothTogether:
    @pytest.mark.parametrize("attribution", ATTRIBUTIONS)
    def test_a_guest_of_30_pct_whose_driver_domain_spends_20(self, attribution):
        host = make_host((Hog(), reserved(10, 2)), (Hog(), reserved(10, 3)), attribution=attribution)
        serve(host, 1_000, {GUEST: 4})
        before = running_ms(host, DRIVER), running_ms(host, GUEST)
        serve(host, 11_000, {GUEST: 4})
        assert running_ms(host, DRIVER) - before[0] == pytest.approx(2_000, abs=5)
        assert running_ms(host, GUEST) - before[1] == pytest.approx(1_000, abs=5)

    def test_under_sedf_it_is_50_pct(self):
        host = make_host((Hog(), reserved(10, 2)), (Hog(), reserved(10, 3)), scheduler="sedf")
        serve(host, 1_000, {GUEST: 4})
        before = running_ms(host, DRIVER) + running_ms(host, GUEST)
        serve(host, 11_000, {GUEST: 4})
        assert running_ms(host, DRIVER) + running_ms(host, GUEST) - before == pytest.approx(5_000, abs=5)

    @pytest.mark.parametrize("feedback_ms", [50, 100, 500])
    def test_dispatch_by_dispatch(self, feedback_ms):
        # A fifth of the interval was spent for the guest; its next periods have 3 - 2 ms.
        host = make_host((Hog(), reserved(10, 2)), (Hog(), reserved(10, 3)), feedback_ms=feedback_ms)
        serve(host, feedback_ms + 25, {GUEST: 1})
        assert charged_ms(host) == feedback_ms / 5
        at = feedback_ms
        assert dispatches(host, at - 8, at + 25) == [
            (at - 8, 0), (at - 6, 1), (at - 3, None),
            (at + 2, 0), (at + 4, 1), (at + 5, None),
            (at + 12, 0), (at + 14, 1), (at + 15, None),
            (at + 22, 0), (at + 24, 1),
        ]  # fmt: skip
        assert debt(host, "paid_ns") == 6
        assert debt(host, "owed_ns") == feedback_ms / 5 - 6

    def test_work_that_grows_with_the_guests_own_settles_both(self):
        # Half a second for each of its own: 30 / 1.5 and 10.
        host = make_host((Hog(), reserved(10, 2)), (Hog(), reserved(10, 3)), attribution="true")
        served, before = 0, 0
        while host.now_ns < 6_000 * MS:
            host.run_until(host.now_ns + MS)
            served = host.runstate_ns(GUEST)["running"] // 2
            host.sections["domain_io"]["served_ns"][GUEST] = served
            if host.now_ns == 4_000 * MS:
                before = served
        assert (served - before) / MS == pytest.approx(200, abs=3)

    def test_with_a_period_longer_than_the_interval_one_period_pays_it_all(self):
        host = make_host((Hog(), reserved(10, 2)), (Hog(), reserved(1_000, 300)))
        serve(host, 4_300, {GUEST: 1})
        before = running_ms(host, GUEST)
        serve(host, 14_300, {GUEST: 1})
        assert running_ms(host, GUEST) - before == pytest.approx(1_000, abs=20)


class TestWhatDoesNotFit:
    def flooded(self, until_ms):
        """In 100 ms the driver domain spends 50 for a guest that may have 30."""
        host = make_host((Hog(), reserved(10, 5)), (Hog(), reserved(10, 3)))
        serve(host, until_ms, {GUEST: 1})
        return host

    def test_the_guest_gets_nothing_and_the_driver_domain_goes_on(self):
        host = self.flooded(100)
        assert (running_ms(host, DRIVER), running_ms(host, GUEST)) == (49, 30)
        serve(host, 601, {GUEST: 1})
        assert (running_ms(host, DRIVER), running_ms(host, GUEST)) == (300, 30)
        # Charged 300 up to now; ten slices of 3 ms were taken in each of five intervals.
        assert debt(host, "owed_ns") == 6 * 50 - 5 * 30
        assert debt(host, "paid_ns") == 5 * 30

    def test_what_is_owed_is_paid_when_the_flood_is_over(self):
        host = self.flooded(600)
        host.run_until(1_100 * MS)  # 150 owed: fifty slices
        assert running_ms(host, GUEST) == 30  # as at 100
        assert debt(host, "owed_ns") == 0
        host.run_until(1_200 * MS)
        assert running_ms(host, GUEST) == 60

    def test_slices_of_periods_that_it_slept_through_pay_too(self):
        # It computes for 1 ms in 100 and is charged 20 ms; 30 were reserved.
        sleeper = WorkList(((1 * MS, 99 * MS),))
        host = make_host((Hog(), reserved(10, 2)), (sleeper, reserved(10, 3)))
        serve(host, 5_000, {GUEST: 1})
        assert running_ms(host, GUEST) >= 49
        assert debt(host, "owed_ns") <= 20
        assert debt(host, "forgiven_ns") > 800

    def test_nothing_of_a_charge_is_lost(self):
        host = make_host((Hog(), reserved(10, 4)), (WorkList(((3 * MS, 40 * MS),)), reserved(7, 2)))
        for until_ms in range(100, 2_000, 100):
            serve(host, until_ms, {GUEST: 3})
            total = int(host.sections["sedf_charge"]["charged_total_ns"][GUEST]) / MS
            assert total == pytest.approx(sum(debt(host, name) for name in ("owed_ns", "paid_ns", "forgiven_ns")))


class TestWhoIsCharged:
    def test_by_packets_a_received_one_counts_a_tenth_more(self):
        params = reserved(10, 3)
        host = make_host((Hog(), reserved(10, 2)), (Hog(), params), (Hog(), params))
        serve(host, 101, {1: 1}, {2: 1})
        assert charged_ms(host, 1) == pytest.approx(20 * 11 / 21, abs=1e-5)
        assert charged_ms(host, 2) == pytest.approx(20 * 10 / 21, abs=1e-5)

    def test_by_pages_they_count_alike(self):
        params = reserved(10, 3)
        host = make_host((Hog(), reserved(10, 2)), (Hog(), params), (Hog(), params), attribution="pages")
        serve(host, 101, {1: 3}, {2: 1})
        assert (charged_ms(host, 1), charged_ms(host, 2)) == (15, 5)

    def test_the_truth_may_be_another(self):
        host = make_host(
            (Hog(), reserved(10, 2)), (Hog(), reserved(10, 3)), (Hog(), reserved(10, 3)), attribution="true"
        )
        io = host.sections["domain_io"]
        io["rx_packets"][1:3] = 5
        io["served_ns"][1:3] = [MS, 7 * MS]
        host.run_until(101 * MS)
        assert [charged_ms(host, slot) for slot in range(3)] == [0, 1, 7]

    def test_nobody_if_there_were_no_packets(self):
        host = make_host((Hog(), reserved(10, 2)), (Hog(), reserved(10, 3)))
        host.run_until(500 * MS)
        assert charged_ms(host) == debt(host, "owed_ns") == 0

    def test_not_a_driver_domain_nor_who_lives_on_extra_time(self):
        host = make_host((Hog(), reserved(10, 2)), (Hog(), {"weight": 1, "extratime": 1}))
        io = host.sections["domain_io"]
        io["rx_packets"][:2] = 5
        host.run_until(101 * MS)
        assert [charged_ms(host, slot) for slot in range(2)] == [0, 20]
        assert host.sections["sedf_debt"]["owed_ns"].tolist() == [0] * MAX
        before = running_ms(host, GUEST)
        host.run_until(201 * MS)
        assert running_ms(host, GUEST) - before == pytest.approx(80, abs=5)

    def test_vcpus_owe_in_proportion_to_what_they_have_reserved(self):
        host = make_host((Hog(), reserved(10, 1)), ([Hog(), Hog()], reserved(10, 2)))
        Domctl(host).adjust_vcpu(2, 1, **reserved(20, 12))
        serve(host, 101, {GUEST: 1})
        assert [debt(host, "owed_ns", vcpu) for vcpu in (1, 2)] == [2.5, 7.5]

    def test_a_domain_in_the_slot_of_another_begins_without_debts(self):
        host = make_host((Hog(), reserved(10, 5)), (Hog(), reserved(10, 3)))
        serve(host, 150, {GUEST: 1})
        assert debt(host, "owed_ns") > 0
        Domctl(host).destroy_domain(2)
        assert Domctl(host).create_domain(3, Hog(), params=reserved(10, 3)) == GUEST
        assert debt(host, "owed_ns") == 0
        host.run_until(250 * MS)
        assert charged_ms(host) == debt(host, "owed_ns") == 0

    def test_a_driver_domain_under_another_scheduler_counts(self):
        kinds = [HogKind()]
        host = Host(Topology.flat(2), make_scheduler("sedf-dc"), kinds, max_domains=MAX, max_vcpus=MAX)
        control = Poolctl(host)
        control.remove_pcpu(1)
        control.add_pcpu(control.create_pool(make_scheduler("credit")), 1)
        control.create_domain(1, Hog(), params={"cap": 20}, pool=1)
        control.create_domain(2, Hog(), params=reserved(10, 3))
        host.sections["domain_io"]["is_backend"][DRIVER] = 1
        serve(host, 4_000, {GUEST: 1})
        assert running_ms(host, DRIVER) == pytest.approx(800, abs=40)
        before = running_ms(host, GUEST)
        serve(host, 14_000, {GUEST: 1})
        assert running_ms(host, GUEST) - before == pytest.approx(1_000, abs=60)

    def test_charges_begin_with_the_scheduler(self):
        host = make_host((Hog(), reserved(10, 2)), (Hog(), reserved(10, 3)), scheduler="sedf")
        serve(host, 1_000, {GUEST: 1})
        Poolctl(host).change_scheduler(make_scheduler("sedf-dc"))
        serve(host, 1_101, {GUEST: 1})
        assert charged_ms(host) == pytest.approx(20, abs=2)


class TestOptions:
    def test_they_are_kept_by_copies_and_pickles(self):
        scheduler = make_scheduler("sedf-dc", "3.0.2", feedback_ms=50, attribution="pages")
        again = pickle.loads(pickle.dumps(scheduler))
        assert again.is_like(scheduler)
        assert (again.name, again.version) == ("sedf-dc", "3.0.2")
        assert not again.is_like(make_scheduler("sedf-dc", "3.0.2"))
        assert not make_scheduler("sedf-dc").is_like(make_scheduler("sedf"))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"feedback_ms": 0}, r"scheduler sedf-dc 4\.5: feedback_ms must be an integer 1\.\.60000, found 0"),
            ({"attribution": "bytes"}, "attribution must be one of packets, pages, true; found 'bytes'"),
            (
                {"version": "4.6"},
                r"unknown version '4\.6' of scheduler 'sedf-dc'; expected one of 3\.0\.2, 4\.5, current",
            ),
            ({"unblock": "edf"}, "scheduler 'sedf-dc': .*unblock"),
        ],
    )
    def test_what_is_impossible_is_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            make_scheduler("sedf-dc", **options)

    def test_the_combined_limit_is_what_an_agent_sets(self):
        names = [tunable.name for tunable in make_scheduler("sedf-dc").tunables()]
        assert names == ["period_us", "slice_ppm", "extratime"]

    def test_a_snapshot_goes_on_identically(self):
        host = make_host((Hog(), reserved(10, 4)), (Hog(), reserved(10, 3)))
        serve(host, 250, {GUEST: 1})
        snapshot = host.snapshot()
        serve(host, 600, {GUEST: 1})
        digest = host.digest()
        host.restore(snapshot)
        serve(host, 600, {GUEST: 1})
        assert host.digest() == digest
