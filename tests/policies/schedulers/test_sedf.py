"""SEDF worked by hand: who runs when, what a block costs, who takes extra time.

Times are in ms. A reservation of s in p begins its first period at s: what wakes up for the first time counts as one
that blocked in the period before. Unless said otherwise there is one pCPU and vCPU n is domain n + 1's.
"""

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.sedf import SedfScheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
NEVER_NS = 1_000_000 * MS
MAX_VCPUS = 8
ALL = ("3.0.0", "3.0.2", "3.0.3", "4.2", "4.5")


def reserved(period_ms, slice_ms, extratime=0):
    return {"period_ns": int(period_ms * MS), "slice_ns": int(slice_ms * MS), "extratime": extratime}


def run_and_block(*pairs_ms):
    """``(run, block)`` in ms, once; then asleep for ever."""
    return WorkList(tuple((int(run * MS), int(block * MS)) for run, block in pairs_ms), loop=False)


def make_host(version, *domains, num_pcpus=1, first_domid=1, **options):
    """A traced host; each domain is ``(program, params)`` or ``(program, params, how else it is created)``."""
    kinds = [HogKind(), PeriodicKind(), ListKind()]
    scheduler = SedfScheduler(version, **options)
    host = Host(Topology.flat(num_pcpus), scheduler, kinds, max_domains=MAX_VCPUS, max_vcpus=MAX_VCPUS)
    host.start_trace()
    for number, (program, params, *how) in enumerate(domains):
        num_vcpus = len(program) if isinstance(program, list) else 1
        Domctl(host).create_domain(
            number + first_domid, program, num_vcpus=num_vcpus, params=params, **(how[0] if how else {})
        )
    return host


def dispatches(host, since_ms=0, until_ms=1e9, pcpu=0):
    """``(at_ms, vcpu)`` of every context switch in that time; None for idle."""
    return [
        (at_ns / MS, vcpu if vcpu < MAX_VCPUS else None)
        for at_ns, _, vcpu, _, kind, where in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and where == pcpu and since_ms <= at_ns / MS < until_ms
    ]


def stretches(host, vcpu):
    """``(from, to)`` in ms of every stretch for which a vCPU ran."""
    found, since = [], None
    for at_ns, _, to, before, kind, _ in host.trace_records().tolist():
        if kind == TraceKind.SWITCH and before == vcpu:
            found.append((since / MS, at_ns / MS))
        if kind == TraceKind.SWITCH and to == vcpu:
            since = at_ns
    return found


def shares(host, num_vcpus):
    return [host.runstate_ns(vcpu)["running"] / host.now_ns for vcpu in range(num_vcpus)]


def messages(host):
    return host.scheduler.counters()["deadline_exceeded_messages"]


class TestReservations:
    @pytest.mark.parametrize("version", ALL)
    def test_the_earliest_deadline_runs_and_what_is_not_reserved_stays_idle(self, version):
        host = make_host(version, (Hog(), reserved(10, 5)), (Hog(), reserved(20, 5)))
        host.run_until(1005 * MS)
        cycle = [(5, 0), (10, 1), (15, 0), (20, None)]
        assert dispatches(host) == [(at + 20 * turn, vcpu) for turn in range(50) for at, vcpu in cycle]
        assert messages(host) == 0

    def test_a_slice_is_interrupted_when_an_earlier_deadline_appears_and_resumed(self):
        # Of 0: period 8, slice 2, from 2 on. Of 1: period 30, slice 9, from 9 on.
        host = make_host("4.5", (Hog(), reserved(8, 2)), (Hog(), reserved(30, 9)))
        host.run_until(30 * MS)
        expected = [(2, 0), (4, None), (9, 1), (10, 0), (12, 1), (18, 0), (20, 1), (22, None), (26, 0), (28, None)]
        assert dispatches(host) == expected

    def test_equal_deadlines_are_served_in_the_order_of_arrival(self):
        host = make_host("4.5", (Hog(), reserved(10, 3)), (Hog(), reserved(10, 3)), (Hog(), reserved(10, 3)))
        host.run_until(15 * MS)
        assert dispatches(host) == [(3, 0), (6, 1), (9, 2), (12, None), (13, 0)]

    @pytest.mark.parametrize(("version", "expected"), [("4.5", 1), ("3.0.3", 0)])
    def test_promising_more_than_there_is_misses_deadlines_and_is_not_refused(self, version, expected):
        host = make_host(version, (Hog(), reserved(10, 6)), (Hog(), reserved(10, 6)))
        host.run_until(61 * MS)
        # At 48 the second one's deadline of 46 has passed: it starts anew in the period that ends at 56.
        assert dispatches(host) == [(6, 0), (12, 1), (18, 0), (24, 1), (30, 0), (36, 1), (42, 0), (54, 1), (60, 0)]
        assert messages(host) == expected

    def test_an_overrun_slice_is_carried_over(self):
        # A switch costs the slice nothing, but a pass that comes late would: the carry is visible in the state only.
        host = make_host("4.5", (Hog(), reserved(10, 5)))
        host.run_until(8 * MS)
        host.sections["sedf_vcpu"]["used_ns"][0] = 3 * MS
        host.run_until(16 * MS)
        assert dispatches(host) == [(5, 0), (10, None), (15, 0)]
        assert host.sections["sedf_vcpu"]["used_ns"][0] == 3 * MS


class TestWeights:
    def test_weights_divide_95_of_100_ms(self):
        domains = [(Hog(), {"weight": weight, "extratime": 0}) for weight in (2, 3, 4, 2)]
        host = make_host("4.5", *domains)
        slices = [weight * 95 * MS // 11 for weight in (2, 3, 4, 2)]
        assert host.sections["sedf_vcpu"]["slice_ns"][:4].tolist() == slices
        host.run_until(10_000 * MS)
        assert shares(host, 4) == pytest.approx([slice_ / 100 / MS for slice_ in slices], abs=0.005)
        assert host.runstate_ns(MAX_VCPUS)["running"] / host.now_ns == pytest.approx(0.05, abs=0.005)

    def test_what_others_have_reserved_comes_off_first(self):
        host = make_host(
            "4.5",
            (Hog(), reserved(10, 3)),
            *[(Hog(), {"weight": weight, "extratime": 0}) for weight in (2, 7, 3)],
        )
        assert host.sections["sedf_vcpu"]["slice_ns"][1:4].tolist() == [weight * 65 * MS // 12 for weight in (2, 7, 3)]
        Domctl(host).adjust_domain(1, **reserved(10, 4))
        assert host.sections["sedf_vcpu"]["slice_ns"][1:4].tolist() == [weight * 55 * MS // 12 for weight in (2, 7, 3)]

    def test_the_sums_are_of_each_pcpu(self):
        host = make_host(
            "4.5", *[(Hog(), {"weight": 1, "extratime": 0}, {"pcpus": [p]}) for p in (0, 0, 1)], num_pcpus=2
        )
        assert host.sections["sedf_vcpu"]["slice_ns"][:3].tolist() == [47_500_000, 47_500_000, 95_000_000]

    def test_a_reservation_that_became_best_effort_still_counts(self):
        host = make_host("4.5", (Hog(), reserved(10, 5)), (Hog(), {"weight": 1, "extratime": 0}))
        Domctl(host).adjust_domain(1, weight=1, extratime=1)
        assert host.sections["sedf_vcpu"]["slice_ns"][:2].tolist() == [0, 45 * MS]

    def test_weights_beside_more_than_there_is_get_negative_slices_and_messages(self):
        host = make_host("4.5", (Hog(), reserved(10, 10)), (Hog(), {"weight": 1, "extratime": 0}))
        assert host.sections["sedf_vcpu"]["slice_ns"][1] == -5 * MS
        host.run_until(1000 * MS)
        assert messages(host) > 0


class TestExtraTime:
    def test_domain_0_has_three_quarters_and_takes_turns_in_the_rest(self):
        host = make_host("3.0.3", (Hog(), {}), (Hog(), {}), first_domid=0)
        host.run_until(20_000 * MS)
        # Domain 0 begins and the turns alternate; its period begins at 15, and again every 20.
        before = [(0.5 * turn, turn % 2) for turn in range(30)]
        after = [(30 + 0.5 * turn, turn % 2) for turn in range(1, 10)]
        assert dispatches(host, until_ms=35) == [*before, (15, 0), *after]
        assert shares(host, 2) == pytest.approx([0.875, 0.125], abs=0.001)

    @pytest.mark.parametrize("version", ["3.0.0", "3.0.2"])
    def test_before_3_0_3_domain_0_took_its_part_by_utilisation(self, version):
        host = make_host(version, (Hog(), {}), (Hog(), {}), first_domid=0)
        host.run_until(20_000 * MS)
        # A turn costs it 1024 * 20 / 15 = 1365, the guest 2 ** 17.
        part = 1365 / (1365 + 2**17)
        assert shares(host, 2) == pytest.approx([1 - part / 4, part / 4], abs=0.0005)

    @pytest.mark.parametrize("version", ALL)
    def test_reservations_share_the_rest_by_utilisation(self, version):
        host = make_host(version, (Hog(), reserved(10, 5, 1)), (Hog(), reserved(20, 5, 1)))
        host.run_until(20_000 * MS)
        assert shares(host, 2) == pytest.approx([2 / 3, 1 / 3], abs=0.001)

    def test_only_those_that_take_part_get_any(self):
        host = make_host("4.5", (Hog(), reserved(10, 5, 0)), (Hog(), reserved(20, 5, 1)))
        host.run_until(20_000 * MS)
        assert shares(host, 2) == pytest.approx([0.5, 0.5], abs=0.001)

    @pytest.mark.parametrize("weights", [(1, 2, 1), (128, 1, 1), (3, 5, 8)])
    def test_best_effort_is_shared_by_extra_weight(self, weights):
        host = make_host("4.5", *[(Hog(), {"weight": weight, "extratime": 1}) for weight in weights])
        host.run_until(30_000 * MS)
        assert shares(host, 3) == pytest.approx([weight / sum(weights) for weight in weights], abs=0.002)

    def test_a_best_effort_weight_of_128_is_worth_a_whole_reserved_pcpu(self):
        # 2 ** 17 / 128 = 1024 = 1024 p / s for p = s; with s = p / 4 a turn costs four times as much.
        host = make_host("4.5", (Hog(), {"weight": 128, "extratime": 1}), (Hog(), reserved(10, 2.5, 1)))
        host.run_until(20_000 * MS)
        assert shares(host, 2) == pytest.approx([0.75 * 0.8, 0.25 + 0.75 * 0.2], abs=0.002)

    def test_equal_domains_alternate_every_half_millisecond(self):
        host = make_host("4.5", (Hog(), {}), (Hog(), {}))
        host.run_until(1000 * MS)
        assert dispatches(host) == [(0.5 * turn, turn % 2) for turn in range(2000)]

    def test_less_than_a_turn_before_a_period_begins_is_not_given(self):
        host = make_host("4.5", (Hog(), reserved(10, 5.7)), (Hog(), {}))
        host.run_until(16 * MS)
        # From 11.4 until 15.7 there is room for eight turns and a rest of 0.3.
        assert dispatches(host) == [(0, 1), (5.5, None), (5.7, 0), (11.4, 1), (15.4, None), (15.7, 0)]

    def test_a_turn_costs_the_same_however_short_it_was(self):
        # 0 needs 0.2 ms a turn and waits as long as one; the others use theirs up. Yet it gets one turn in three.
        program = WorkList(((200 * US, 300 * US),))
        host = make_host("4.5", (program, {}), (Hog(), {}), (Hog(), {}))
        host.run_until(1000 * MS)
        turns = [len(stretches(host, vcpu)) for vcpu in range(3)]
        assert turns[0] == pytest.approx(turns[1], rel=0.02)
        assert turns[1] == pytest.approx(turns[2], abs=1)

    def test_nobody_awake_is_a_pass_a_second(self):
        host = make_host("4.5", (run_and_block((1, 1)), {}))
        host.run_until(4500 * MS)
        assert dispatches(host) == [(0, 0), (1, None)]
        # At 0, twice as its turns end, when it blocks (at the end of the second), and at 1001, 2001, 3001, 4001.
        assert host.sections["pcpu"]["invocations"][0] == 7


class TestBlocks:
    def test_a_short_block_forfeits_the_slice_for_one_turn_before_others(self):
        host = make_host("4.5", (run_and_block((2, 2), (3, 1000)), reserved(10, 5)), (Hog(), {}))
        host.run_until(18 * MS)
        # Slice from 5; it blocks at 7 with 3 left, and wakes at 9: one turn, though it takes no part in extra time.
        assert dispatches(host) == [(0, 1), (5, 0), (7, 1), (9, 0), (9.5, 1), (15, 0), (17.5, 1)]

    def test_until_3_0_2_turns_go_on_until_the_loss_is_repaid(self):
        host = make_host("3.0.2", (run_and_block((2, 2), (9, 1000)), reserved(10, 5)), (Hog(), {}))
        host.run_until(21 * MS)
        assert dispatches(host) == [(0, 1), (5, 0), (7, 1), (9, 0), (12, 1), (15, 0), (20, 1)]

    def test_a_long_block_begins_a_new_period_at_once(self):
        host = make_host("4.5", (run_and_block((2, 18), (8, 1000)), reserved(10, 5)), (Hog(), {}))
        host.run_until(39 * MS)
        assert stretches(host, 0) == [(5, 7), (25, 30), (35, 38)]
        assert host.sections["sedf_vcpu"]["deadline_ns"][0] == 45 * MS

    def test_blocking_in_extra_time_costs_nothing_of_the_next_slice(self):
        # A turn costs the reservation 2048 and the other, of weight 128, 1024.
        other = (Hog(), {"weight": 128, "extratime": 1})
        host = make_host("4.5", (run_and_block((1, 1), (1000, 1000)), reserved(10, 5, 1)), other)
        host.run_until(10_400_000)
        # It blocks at 2 and is back at 3; its slice is from 5 to 10 all the same.
        before = [(0, 0), (0.5, 1), (1.5, 0), (2, 1), (3, 0), (3.5, 1), (4.5, 0)]
        assert dispatches(host) == [*before, (10, 1)]

    def test_a_waker_may_be_given_the_turn_of_one_that_runs_in_extra_time(self):
        host = make_host("4.5", (Hog(), {}), (Hog(), {}, {"start_ns": 700_000}))
        host.run_until(1_800_000)
        # Its period begins as it wakes, so a pass is made. It comes with a score of 0, and the other has paid for its
        # second turn: the newcomer has two.
        assert dispatches(host) == [(0, 0), (0.7, 1), (1.7, 0)]

    def test_a_penalised_waker_does_not_preempt_guaranteed_time(self):
        # 0 blocks at 7 and wakes at 9, while 1 has its slice from 7 to 12 (deadline 27): 0 has to wait for its turn.
        host = make_host("4.5", (run_and_block((2, 2), (1, 1000)), reserved(10, 5)), (Hog(), reserved(20, 7)))
        host.run_until(15 * MS)
        assert dispatches(host) == [(5, 0), (7, 1), (14, 0), (14.5, None)]


class TestSeveralPcpus:
    @pytest.mark.parametrize("version", ALL)
    def test_nothing_moves_by_itself(self, version):
        domains = [(Hog(), reserved(10, 8), {"pcpus": [0]}), (Hog(), reserved(10, 8), {"pcpus": [0]})]
        host = make_host(version, *domains, num_pcpus=2)
        host.run_until(1000 * MS)
        assert dispatches(host, pcpu=1) == []
        assert sum(shares(host, 2)) == pytest.approx(1, abs=0.01)
        assert host.sections["vcpu"]["migrations"][:2].tolist() == [0, 0]

    @pytest.mark.parametrize(("version", "pcpus"), [("4.2", [1, 1, 1]), ("3.0.3", [1, 1, 1]), ("4.5", [1, 2, 3])])
    def test_a_change_of_affinity_places_anew(self, version, pcpus):
        host = make_host(version, ([Hog()] * 3, {}), num_pcpus=4)
        host.run_until(10 * MS)
        assert host.sections["vcpu"]["pcpu"][:3].tolist() == [0, 1, 2]
        for vcpu in range(3):
            Domctl(host).set_affinity(1, vcpu, hard=[1, 2, 3])
        host.run_until(20 * MS)
        assert host.sections["vcpu"]["pcpu"][:3].tolist() == pcpus

    def test_initial_placement_is_xens_own(self):
        host = make_host("4.2", ([Hog()] * 2, {}), (Hog(), {}), num_pcpus=3)
        assert host.sections["vcpu"]["pcpu"][:3].tolist() == [0, 1, 2]

    def test_a_moved_vcpu_takes_its_reservation_along(self):
        host = make_host("4.5", (Hog(), reserved(10, 5), {"pcpus": [0]}), num_pcpus=2)
        host.run_until(12 * MS)
        Domctl(host).set_affinity(1, 0, hard=[1])
        host.run_until(26 * MS)
        assert dispatches(host, pcpu=0) == [(5, 0), (10, None)]
        assert dispatches(host, pcpu=1) == [(15, 0), (20, None), (25, 0)]


class TestControlAtAwkwardMoments:
    def test_pausing_a_running_vcpu_is_a_block(self):
        host = make_host("4.5", (Hog(), reserved(10, 5)))
        host.run_until(16 * MS)
        Domctl(host).pause_domain(1)
        host.run_until(17 * MS)
        Domctl(host).unpause_domain(1)
        host.run_until(26 * MS)
        # It loses the 4 ms that were left, for one turn.
        assert dispatches(host) == [(5, 0), (10, None), (15, 0), (16, None), (17, 0), (17.5, None), (25, 0)]

    def test_pausing_and_unpausing_at_one_instant_goes_unnoticed(self):
        host = make_host("4.5", (Hog(), reserved(10, 5)))
        for at_ms in (6, 12):
            host.run_until(at_ms * MS)
            Domctl(host).pause_domain(1)
            Domctl(host).unpause_domain(1)
        host.run_until(21 * MS)
        assert stretches(host, 0) == [(5, 10), (15, 20)]

    def test_destroying_the_running_one_lets_the_next_run(self):
        host = make_host("4.5", (Hog(), reserved(10, 5)), (Hog(), reserved(20, 5)))
        host.run_until(7 * MS)
        Domctl(host).destroy_domain(1)
        host.run_until(31 * MS)
        assert dispatches(host) == [(5, 0), (7, 1), (12, None), (25, 1), (30, None)]

    def test_a_vcpu_taken_offline_leaves_every_queue_and_comes_back(self):
        host = make_host("4.5", ([Hog(), Hog()], {}), (Hog(), {}))
        host.run_until(10 * MS)
        assert sorted([*host.scheduler.queued(), int(host.sections["pcpu"]["curr"][0])]) == [0, 1, 2]
        Domctl(host).set_vcpu_online(1, 1, False)
        host.run_until(20 * MS)
        assert host.sections["sedf_vcpu"][["queue", "is_asleep"]][1].tolist() == (-1, 1)
        assert [vcpu for _, vcpu in dispatches(host, 11, 20)].count(1) == 0
        Domctl(host).set_vcpu_online(1, 1, True)
        host.run_until(1020 * MS)
        assert shares(host, 3) == pytest.approx([1 / 3] * 3, abs=0.01)

    def test_a_snapshot_goes_on_identically(self):
        host = make_host(
            "4.5",
            (Periodic(2 * MS, 13 * MS), reserved(10, 2, 1)),
            (Hog(), {"weight": 1, "extratime": 0}),
            (run_and_block((3, 1), (5, 7), (100, 1)), {}),
        )
        host.run_until(33 * MS)
        snapshot = host.snapshot()
        host.run_until(200 * MS)
        digest, first = host.digest(), messages(host)
        host.restore(snapshot)
        host.run_until(200 * MS)
        assert (host.digest(), messages(host)) == (digest, first)
