"""Credit2 on one pCPU, worked by hand: who runs when and for how long, what it burns, and when an epoch ends.

Credits are nanoseconds of the heaviest vCPU's time; everybody starts with 10 ms. Times are in ms unless they say us.
"""

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit2 import Credit2Scheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
NEVER_NS = 1_000_000 * MS
MAX_VCPUS = 8
ALL = ("4.8", "4.8fix", "current")
SLEEPER = WorkList(((US, NEVER_NS),))


class Machine:
    """A traced host of one pCPU; vCPU n is domain n + 1, given as ``program`` or ``(program, weight)``."""

    def __init__(self, version, *domains, **options):
        self.host = Host(
            Topology.flat(1),
            Credit2Scheduler(version, **options),
            [HogKind(), PeriodicKind(), ListKind()],
            max_domains=MAX_VCPUS,
            max_vcpus=MAX_VCPUS,
        )
        self.control = Domctl(self.host)
        self.host.start_trace()
        self.count = 0
        for domain in domains:
            program, weight = domain if isinstance(domain, tuple) else (domain, 256)
            self.add(program, weight)

    def add(self, program, weight=256, start_ms=0.0):
        self.count += 1
        self.control.create_domain(self.count, program, params={"weight": weight}, start_ns=int(start_ms * MS))

    def run(self, until_ms):
        self.host.run_until(int(until_ms * MS))
        return self

    def state(self, field, v=0):
        return int(self.host.sections["credit2_vcpu"][field][v])

    def credit_ms(self, v=0):
        return self.state("credit", v) / MS

    def set_credits(self, *credits_ms):
        for v, credit_ms in enumerate(credits_ms):
            self.host.sections["credit2_vcpu"]["credit"][v] = int(credit_ms * MS)

    def records(self, *kinds):
        wanted = {TraceKind[kind] for kind in kinds}
        return [record for record in self.host.trace_records().tolist() if record[4] in wanted]

    def passes(self):
        """``(at, vcpu, slice)`` of every pass; vCPU None is idle, and so is its slice."""
        return [
            (at_ns / MS, vcpu, slice_ns / MS) if vcpu < MAX_VCPUS else (at_ns / MS, None, None)
            for at_ns, slice_ns, vcpu, *_ in self.records("SWITCH", "CONTINUE")
        ]

    def resets(self):
        return [at_ns / MS for at_ns, *_ in self.records("RESET")]

    def shares(self):
        return [self.host.runstate_ns(v)["running"] / self.host.now_ns for v in range(self.count)]


class TestSlices:
    def test_two_equals_alternate_by_the_millisecond(self):
        # At 2 ms the second has 9 ms left, as much as the first, and stays for the shortest slice. From then on who
        # comes off is behind by half a millisecond only and bounds its successor: the rate limit is the slice.
        machine = Machine("current", Hog(), Hog()).run(6)
        assert machine.passes() == [
            (0, 0, 1),
            (1, 1, 1),
            (2, 1, 0.5),
            (2.5, 0, 1),
            (3.5, 1, 1),
            (4.5, 0, 1),
            (5.5, 1, 1),
        ]

    def test_they_are_given_new_credit_when_the_better_one_has_none(self):
        # At 20.5 ms vCPU 0 has run 10 ms and vCPU 1, which is ahead by one shortest slice, 10.5; then 10 each again.
        assert Machine("current", Hog(), Hog()).run(100).resets() == [20.5, 40.5, 60.5, 80.5]

    @pytest.mark.parametrize("version", ["4.8", "4.8fix"])
    def test_in_4_8_who_comes_off_does_not_bound_its_successor(self, version):
        machine = Machine(version, Hog(), Hog()).run(41)
        assert machine.passes() == [
            (0, 0, 1),
            (1, 1, 10),
            (11, 0, 9),
            (20, 0, 0.5),  # a new epoch, in which both have 10 ms
            (20.5, 1, 10),
            (30.5, 0, 9.5),
            (40, 0, 0.5),
            (40.5, 1, 10),
        ]
        assert machine.resets() == [20, 40]

    @pytest.mark.parametrize("version", ALL)
    def test_a_single_one_runs_for_the_longest_slice_and_begins_an_epoch_at_each_end(self, version):
        machine = Machine(version, Hog()).run(35)
        assert machine.passes() == [(at, 0, 10) for at in (0, 10, 20, 30)]
        assert machine.resets() == [10, 20, 30]

    @pytest.mark.parametrize("version", ALL)
    @pytest.mark.parametrize(
        ("weights", "epoch_ms"),
        # The heaviest runs 10 ms in an epoch, the others less by weight.
        [((256, 512), 15), ((256, 768), 40 / 3), ((512, 256, 256), 20), ((256, 256, 256), 30)],
    )
    def test_shares_are_as_the_weights_and_an_epoch_lasts_as_long_as_all_need(self, version, weights, epoch_ms):
        machine = Machine(version, *[(Hog(), weight) for weight in weights]).run(30_000)
        assert machine.shares() == pytest.approx([weight / sum(weights) for weight in weights], abs=0.001)
        resets = machine.resets()
        assert (resets[-1] - resets[0]) / (len(resets) - 1) == pytest.approx(epoch_ms, rel=0.001)

    @pytest.mark.parametrize("version", ALL)
    def test_a_slice_is_credit_turned_into_the_vcpus_own_time(self, version):
        # A quarter of the heaviest one's weight: 10 ms of credit are 2.5 ms.
        assert Machine(version, (SLEEPER, 1024), (Hog(), 256)).run(1).passes()[-1] == (0.001, 1, 2.5)

    @pytest.mark.parametrize(("ratelimit_us", "slice_ms"), [(0, 0.5), (100, 0.5), (700, 0.7), (3000, 3)])
    def test_no_slice_is_shorter_than_half_a_millisecond_or_the_rate_limit(self, ratelimit_us, slice_ms):
        assert Machine("current", Hog(), Hog(), ratelimit_us=ratelimit_us).run(0.1).passes() == [(0, 0, slice_ms)]

    @pytest.mark.parametrize("version", ALL)
    def test_who_goes_on_has_the_rest_of_its_rate_limit(self, version):
        machine = Machine(version, Hog(), Hog(), ratelimit_us=3000).run(1)
        machine.control.pause_domain(1)
        machine.control.unpause_domain(1)
        assert machine.run(2).passes() == [(0, 0, 3), (1, 0, 2)]


class TestCredit:
    @pytest.mark.parametrize("version", ALL)
    def test_the_remainder_of_a_division_is_kept(self, version):
        # At 1000/300 credits per ns, 100 ns cost 333 and a third; it is charged at every pass.
        machine = Machine(version, (WorkList(((100, -1),) * 6 + ((NEVER_NS, 0),)), 300), (Hog(), 1000))
        machine.control.pause_domain(2)
        charged = []
        for passes in range(1, 7):
            machine.host.run_until(100 * passes + 1)
            charged.append(10_000_000 - machine.state("credit"))
        assert charged == [333, 666, 1000, 1333, 1666, 2000]

    @pytest.mark.parametrize("version", ALL)
    def test_sleepers_are_given_credit_too_but_keep_at_most_half_a_millisecond(self, version):
        machine = Machine(version, Hog(), WorkList(((200 * US, NEVER_NS),)), WorkList(((2 * MS, NEVER_NS),))).run(9)
        # In 4.8 vCPU 2 still has half a millisecond to run, after vCPU 0, which nobody bounds at 2.7 ms.
        assert [machine.credit_ms(v) for v in (1, 2)] == [9.8, 8 if version == "current" else 8.5]
        machine.run(13)
        assert machine.resets() == [12.2]
        assert [machine.credit_ms(v) for v in (1, 2)] == [10.5, 10.5]
        assert machine.credit_ms(0) == 10

    def test_the_floor_and_the_double_reset(self):
        # A 64th of the weight: a millisecond after each switch costs 64 ms, half a one later 32. Only 20 ever count.
        machine = Machine("current", (Hog(), 1), (SLEEPER, 64)).run(2.6)
        assert machine.resets() == [1.001, 2.001, 2.501]
        assert [record[1] / MS for record in machine.records("RESET")] == [20, 20, 20]
        assert machine.credit_ms() == 10
        # Shallower debts are made up for once.
        machine = Machine("current", (Hog(), 1), (SLEEPER, 16)).run(1.2)
        assert machine.credit_ms() == 10 - 16 * 1 + 10

    def test_in_4_8_there_is_no_floor_and_a_reset_is_as_large_as_it_must_be(self):
        # 10 - 64 ms after the first millisecond: six times 10 ms bring it to 6. The sleeper has as much as anyone may.
        machine = Machine("4.8", (Hog(), 1), (SLEEPER, 64)).run(1.2)
        assert machine.records("RESET")[0][1] == 60 * MS
        assert [machine.credit_ms(v) for v in (0, 1)] == [6, 10.5]

    @pytest.mark.parametrize("version", ALL)
    def test_a_change_of_weight_counts_at_once_also_for_time_not_charged_yet(self, version):
        # After 4 ms of a slice of 10 a sleeper comes to weigh four times as much: all 10 ms are charged fourfold.
        machine = Machine(version, Hog()).run(4)
        machine.add(SLEEPER, start_ms=100)
        machine.control.adjust_domain(2, weight=1024)
        assert machine.host.sections["credit2_runqueue"]["max_weight"][0] == 1024
        machine.run(10.1)
        # 10 - 40 is at the floor, which doubles the reset; in 4.8 it takes four times 10 ms to be above zero.
        assert machine.records("RESET")[0][1] == (20 if version == "current" else 40) * MS
        assert machine.credit_ms() == 10
        machine.control.adjust_domain(2, weight=1)
        assert machine.host.sections["credit2_runqueue"]["max_weight"][0] == 256

    @pytest.mark.parametrize("version", ALL)
    def test_the_greatest_weight_is_that_of_all_who_are_there(self, version):
        machine = Machine(version, (Hog(), 256), (SLEEPER, 700), (SLEEPER, 300)).run(2)
        heaviest = machine.host.sections["credit2_runqueue"]["max_weight"]
        assert heaviest[0] == 700
        machine.control.destroy_domain(2)
        assert heaviest[0] == 300
        machine.control.destroy_domain(3)
        machine.control.destroy_domain(1)
        assert heaviest[0] == 1


class TestWakeUp:
    def waker(self, version, wakes_ms, **options):
        """vCPU 0 runs from 0 on and has 4 ms of credit; vCPU 1 wakes with 10."""
        machine = Machine(version, Hog(), **options)
        machine.add(Hog(), start_ms=wakes_ms)
        machine.set_credits(4, 10)
        return machine

    def test_within_the_rate_limit_nobody_is_asked(self):
        machine = self.waker("current", 0.2).run(4.5)
        assert machine.passes()[:2] == [(0, 0, 4), (4, 1, 10)]

    def test_from_50_us_before_its_end_on_the_pcpu_is_asked_but_keeps_its_vcpu_for_the_shortest_slice(self):
        machine = self.waker("current", 0.96).run(2)
        assert machine.passes() == [(0, 0, 4), (0.96, 0, 0.5), (1.46, 1, pytest.approx(7.46))]

    @pytest.mark.parametrize(("wakes_ms", "is_asked"), [(0.95, False), (0.950001, True), (3, True)])
    def test_the_tolerance_ends_50_us_before(self, wakes_ms, is_asked):
        machine = self.waker("current", wakes_ms).run(wakes_ms + 0.001)
        assert (len(machine.passes()) == 2) == is_asked

    @pytest.mark.parametrize("version", ["4.8", "4.8fix"])
    def test_in_4_8_it_is_always_asked_and_gives_the_rest_of_the_rate_limit(self, version):
        machine = self.waker(version, 0.2).run(1.1)
        assert machine.passes() == [(0, 0, 4), (0.2, 0, 0.8), (1, 1, 10)]
        # The rest is shorter than any slice.
        assert self.waker(version, 0.7).run(1.3).passes() == [(0, 0, 4), (0.7, 0, 0.5), (1.2, 1, 10)]

    @pytest.mark.parametrize("version", ALL)
    def test_without_a_rate_limit_it_preempts_at_once(self, version):
        machine = self.waker(version, 0.2, ratelimit_us=0).run(0.3)
        assert [entry[:2] for entry in machine.passes()] == [(0, 0), (0.2, 1)]

    @pytest.mark.parametrize("version", ALL)
    def test_who_wakes_with_less_credit_waits(self, version):
        machine = Machine(version, Hog())
        machine.add(Hog(), start_ms=3)
        machine.set_credits(10, 6.9)
        # 7 ms against 6.9 at 3 ms: the slice given at 0 goes on.
        assert machine.run(9.9).passes() == [(0, 0, 10)]

    @pytest.mark.parametrize("version", ALL)
    def test_io_without_boost_wins_because_it_has_more_credit(self, version):
        machine = Machine(version, Hog(), Periodic(200 * US, 7 * MS, 5 * MS), ratelimit_us=0).run(2000)
        vcpu = machine.host.sections["vcpu"][1]
        assert vcpu["wake_latency_count"] == 285
        assert vcpu["wake_latency_max_ns"] <= 500 * US


class TestYield:
    def machine(self, version):
        machine = Machine(version, WorkList(((300 * US, -1), (NEVER_NS, 0))), Hog(), Hog())
        machine.set_credits(10, 3, 2)
        return machine.run(1.25)

    @pytest.mark.parametrize("version", ALL)
    def test_the_first_in_the_queue_runs_with_less_credit_and_within_the_rate_limit(self, version):
        # In 4.8 the one that yielded asks the pCPU at once, as soon as it is queued, and finds the rate limit.
        again = [] if version == "current" else [(0.3, 1)]
        assert [entry[:2] for entry in self.machine(version).passes()] == [(0, 0), (0.3, 1), *again]

    def test_the_one_that_yielded_bounds_the_slice(self):
        # vCPU 0 has 9.7 ms, more than vCPU 1: the shortest slice, which the rate limit makes 1 ms.
        assert self.machine("current").passes()[1] == (0.3, 1, 1)
        assert self.machine("4.8").passes()[1] == (0.3, 1, 1)

    @pytest.mark.parametrize("version", ALL)
    def test_alone_it_goes_on(self, version):
        machine = Machine(version, WorkList(((300 * US, -1), (NEVER_NS, 0)))).run(1)
        assert machine.passes() == [(0, 0, 10), (0.3, 0, 9.7)]
        assert machine.state("is_yielding") == 0


class TestAwkwardMoments:
    @pytest.mark.parametrize("version", ALL)
    def test_paused_while_it_waits(self, version):
        machine = Machine(version, Hog(), Hog()).run(0.5)
        assert machine.host.scheduler.queued() == [1]
        machine.control.pause_domain(2)
        assert machine.host.scheduler.queued() == []
        assert machine.host.sections["credit2_runqueue"]["load"][0] == 1
        machine.run(30)
        assert {vcpu for _, vcpu, _ in machine.passes()} == {0}
        machine.control.unpause_domain(2)
        assert machine.host.scheduler.queued() == [1]

    @pytest.mark.parametrize("version", ALL)
    def test_paused_and_unpaused_before_the_pass_it_goes_on(self, version):
        machine = Machine(version, Hog()).run(0.5)
        machine.control.pause_domain(1)
        machine.control.unpause_domain(1)
        assert machine.run(1).passes() == [(0, 0, 10), (0.5, 0, 9.5)]

    @pytest.mark.parametrize("version", ALL)
    def test_destroyed_while_running_and_while_waiting(self, version):
        machine = Machine(version, Hog(), Hog(), Hog()).run(0.5)
        machine.control.destroy_domain(3)
        machine.control.destroy_domain(1)
        assert machine.run(0.6).passes()[-1][:2] == (0.5, 1)
        assert machine.host.sections["credit2_runqueue"]["load"][0] == 1
        machine.control.destroy_domain(2)
        assert machine.run(1).passes()[-1][:2] == (0.6, None)
        assert machine.host.sections["credit2_runqueue"][["load", "first_member"]][0].tolist() == (0, -1)

    @pytest.mark.parametrize("version", ALL)
    def test_taken_offline_and_back(self, version):
        machine = Machine(version, Hog(), Hog()).run(5)
        machine.control.set_vcpu_online(1, 0, False)
        machine.run(20)
        assert machine.host.runstate_ns(0)["offline"] == 15 * MS
        machine.control.set_vcpu_online(1, 0, True)
        # It has more credit than the other, which has run for long.
        assert machine.run(21).passes()[-1][:2] == (20, 0)

    @pytest.mark.parametrize("version", ALL)
    def test_a_snapshot_goes_on_identically(self, version):
        def make():
            return Machine(version, (Hog(), 300), Periodic(2 * MS, 9 * MS, 0), WorkList(((700 * US, -1), (MS, 3 * MS))))

        machine, other = make().run(123.456), make()
        other.host.restore(machine.host.snapshot())
        assert other.run(1000).host.digest() == machine.run(1000).host.digest()


class TestLoad:
    @pytest.mark.parametrize("version", ALL)
    def test_the_averages_of_a_first_epoch(self, version):
        # 10 ms are 9765 units of 1024 ns, the window has 2^20: 9765 * 2^18 / 2^20 = 2441. For balancing the newcomer
        # counts half a pCPU, 131072, of which 9765/2^20, 1220, have faded.
        machine = Machine(version, WorkList(((15 * MS, 5 * MS),))).run(12)
        runqueue = machine.host.sections["credit2_runqueue"][0]
        assert (runqueue["load"], runqueue["avgload"], runqueue["b_avgload"]) == (1, 2441, 131072 + 2441 - 1220)
        # It blocks at 15 ms, unit 14648; its own average: 14648 * 2^18 / 2^20 = 3662 more, 14648/8 = 1831 less.
        machine.run(16)
        assert machine.state("avgload") == 131072 + 3662 - 1831
        assert runqueue["load"] == 0

    def test_in_the_long_run_it_is_the_number_of_those_who_want_to_run(self):
        machine = Machine("current", Hog(), Hog(), Periodic(MS, 10 * MS, 0)).run(20_000)
        runqueue = machine.host.sections["credit2_runqueue"][0]
        assert runqueue["avgload"] / 2**18 == pytest.approx(2.2, abs=0.2)
        assert machine.state("avgload", 0) / 2**18 == pytest.approx(0.5)  # updated only when it changes

    def test_after_more_than_a_window_only_the_present_counts(self):
        machine = Machine("current", WorkList(((MS, 2000 * MS), (MS, NEVER_NS)))).run(1.5)
        assert machine.host.sections["credit2_runqueue"]["b_avgload"][0] > 0
        machine.run(2002.5)
        # At its wake-up, 2 s later, nothing of the past was left; it ran from unit 1954101 to 1955078.
        assert machine.host.sections["credit2_runqueue"]["avgload"][0] == 977 * 2**18 // 2**20
