"""Credit2's caps, worked by hand: the budget of each period, who takes it, who is parked, and what setting a cap does.

With the period of 10 ms a cap of c percent is c/10 ms of CPU time in each. Times are in ms.
"""

import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit2 import Credit2Scheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
NEVER_NS = 1_000_000 * MS
MAX_VCPUS = 8
NO_CAP = 2**63 - 1


class Machine:
    """A traced host; each domain is ``(program or programs, cap)``, ids from 1 on."""

    def __init__(self, *domains, num_pcpus=1, **options):
        scheduler = Credit2Scheduler(**options)
        self.host = Host(
            Topology.flat(num_pcpus), scheduler, [HogKind(), ListKind()], max_domains=MAX_VCPUS, max_vcpus=MAX_VCPUS
        )
        self.control = Domctl(self.host)
        self.host.start_trace()
        for number, (program, cap) in enumerate(domains):
            num_vcpus = len(program) if isinstance(program, list) else 1
            self.control.create_domain(number + 1, program, num_vcpus=num_vcpus, params={"cap": cap})

    def run(self, until_ms):
        self.host.run_until(int(until_ms * MS))
        return self

    def dispatches(self, pcpu=0):
        """``(at, vcpu)`` of every switch on a pCPU; None is idle."""
        return [
            (at_ns / MS, vcpu if vcpu < MAX_VCPUS else None)
            for at_ns, _, vcpu, _, kind, p in self.host.trace_records().tolist()
            if kind == TraceKind.SWITCH and p == pcpu
        ]

    def records(self, kind):
        """``(at, vcpu, value)``."""
        records = self.host.trace_records().tolist()
        return [(at_ns / MS, vcpu, value) for at_ns, value, vcpu, _, k, _ in records if k == TraceKind[kind]]

    def parked(self, at_ms):
        return [vcpu for at, vcpu, value in self.records("PARK") if at == at_ms and value]

    def released(self, at_ms):
        return [vcpu for at, vcpu, value in self.records("PARK") if at == at_ms and not value]

    def state(self, field, v=0):
        return int(self.host.sections["credit2_vcpu"][field][v])

    def pool_ms(self, slot=0):
        return self.host.sections["credit2_domain"]["budget_ns"][slot] / MS

    def shares(self, num_vcpus):
        return [self.host.runstate_ns(v)["running"] / self.host.now_ns for v in range(num_vcpus)]


class TestPeriods:
    def test_half_a_pcpu_runs_for_half_of_each_period(self):
        machine = Machine((Hog(), 50)).run(40)
        assert machine.dispatches() == [
            (at + late, None if late else 0) for at in (0, 10, 20, 30) for late in (0, 5)
        ]  # fmt: skip
        assert machine.host.runstate_ns(0)["offline"] == 20 * MS
        assert machine.host.sections["vcpu"]["held_ns"][0] == 15 * MS  # the last time is not over yet
        assert machine.host.sections["credit2_runqueue"]["load"][0] == 0

    def test_the_period_begins_when_the_cap_is_set(self):
        machine = Machine((Hog(), 0)).run(3)
        machine.control.adjust_domain(1, cap=50)
        # What it had run by then is not charged to the budget.
        assert machine.run(24).dispatches() == [(0, 0), (8, None), (13, 0), (18, None), (23, 0)]

    def test_two_vcpus_take_half_of_the_budget_each(self):
        machine = Machine(([Hog(), Hog()], 100), num_pcpus=2).run(12)
        assert sorted(machine.dispatches(0) + machine.dispatches(1), key=lambda entry: entry[0]) == [
            (0, 1), (0, 0), (5, None), (5, None), (10, 1), (10, 0),
        ]  # fmt: skip
        assert machine.parked(5) == [1, 0]
        assert machine.released(10) == [0, 1]  # the last one parked comes first

    def test_who_stops_gives_back_what_it_has_left_and_the_other_takes_it(self):
        # Quotas of 2.5 ms; they take turns by the millisecond, and run 5 ms together.
        machine = Machine(([Hog(), Hog()], 50)).run(10)
        assert machine.dispatches() == [(0, 0), (1, 1), (2.5, 0), (3.5, 1), (5, None)]
        assert [(at, vcpu, taken / MS) for at, vcpu, taken in machine.records("REPLENISH")] == [
            (0, 0, 2.5), (1, 1, 2.5), (2.5, 0, 1.5), (3.5, 1, 1), (4.5, 1, 0.5),
        ]  # fmt: skip
        # At 4.5 ms vCPU 1 took the last; vCPU 0, which had more credit and came next, was parked in the queue.
        assert (machine.parked(4.5), machine.parked(5)) == ([0], [1])

    def test_budget_that_is_returned_releases_who_was_parked(self):
        # vCPU 1, on pCPU 0, takes all that there is; vCPU 0 finds nothing. At 3 ms vCPU 1 blocks and gives 7 ms back.
        machine = Machine(([Hog(), WorkList(((3 * MS, NEVER_NS),))], 100), num_pcpus=2)
        machine.host.sections["credit2_domain"]["quota_ns"][0] = 10 * MS
        machine.run(12)
        assert (machine.parked(0), machine.released(3)) == ([0], [0])
        assert machine.records("REPLENISH")[:2] == [(0, 1, 10 * MS), (3, 0, 7 * MS)]
        # It goes on at 10 ms, since a period begins then.
        assert (machine.dispatches(0), machine.dispatches(1)) == ([(0, 1), (3, None)], [(3, 0)])

    @pytest.mark.parametrize(
        ("cap", "starts"),
        # Half a millisecond is allowed in a period, but a slice lasts for one: the debt is paid in the next period.
        [(5, [0, 20, 40]), (2, [0, 50]), (10, [0, 10, 20, 30, 40, 50])],
    )
    def test_an_overrun_is_paid_back(self, cap, starts):
        machine = Machine((Hog(), cap)).run(59)
        assert [at for at, vcpu in machine.dispatches() if vcpu == 0] == starts
        assert [at for at, vcpu in machine.dispatches() if vcpu is None] == [at + 1 for at in starts]

    @pytest.mark.parametrize("cap", [1, 10, 33, 50])
    def test_in_the_long_run_it_has_its_cap_and_the_others_the_rest(self, cap):
        assert Machine((Hog(), cap), (Hog(), 0)).run(20_000).shares(2) == pytest.approx([cap / 100, 1 - cap / 100])

    @pytest.mark.parametrize("cap", [50, 100, 150])
    @pytest.mark.parametrize("cap_period_ms", [2, 10, 100])
    def test_the_vcpus_of_a_domain_share_its_cap(self, cap, cap_period_ms):
        machine = Machine(([Hog(), Hog()], cap), num_pcpus=2, cap_period_ms=cap_period_ms).run(20_000)
        assert machine.shares(2) == pytest.approx([cap / 200] * 2, abs=0.01)

    def test_a_cap_above_its_fair_share_does_not_bind(self):
        assert Machine((Hog(), 90), (Hog(), 0)).run(20_000).shares(2) == pytest.approx([0.5, 0.5], abs=0.001)

    def test_budget_does_not_pile_up_while_it_sleeps(self):
        machine = Machine((WorkList(((US, 95 * MS), (NEVER_NS, 0))), 30)).run(120)
        # Woken at 95.001 ms it has 3 ms until 100 ms, and 3 more in each period.
        assert machine.dispatches()[2:] == [(95.001, 0), (98.001, None), (100, 0), (103, None), (110, 0), (113, None)]


class TestParking:
    def test_the_parked_are_released_in_the_reverse_order_and_to_the_queue(self):
        machine = Machine(([Hog(), Hog(), Hog()], 30)).run(9)
        order = [vcpu for at in range(90) for vcpu in machine.parked(at / 10)]
        assert sorted(order) == [0, 1, 2]
        machine.run(10.5)
        assert machine.released(10) == order[::-1]
        assert len(machine.host.scheduler.queued()) == 2

    def test_one_that_uses_up_its_budget_as_it_blocks_is_not_run_when_it_wakes(self):
        # It blocks at 1 ms, half a millisecond over its budget, and wakes at 3 ms; there is budget from 20 ms on.
        machine = Machine((WorkList(((MS, 2 * MS), (NEVER_NS, 0))), 5)).run(30)
        assert machine.parked(1) == [0]
        assert machine.dispatches() == [(0, 0), (1, None), (20, 0), (21, None)]
        assert machine.host.runstate_ns(0) == {
            "running": 2 * MS, "runnable": 0, "blocked": 2 * MS, "offline": 17 * MS + 9 * MS,
        }  # fmt: skip

    def test_one_that_sleeps_on_is_released_and_stays_blocked(self):
        machine = Machine((WorkList(((MS, 40 * MS), (NEVER_NS, 0))), 5)).run(30)
        assert machine.released(20) == [0]
        assert machine.host.runstate_ns(0)["blocked"] == 29 * MS
        assert machine.run(43).dispatches() == [(0, 0), (1, None), (41, 0), (42, None)]

    def test_paused_while_parked_it_stays_paused(self):
        machine = Machine((Hog(), 50)).run(7)
        machine.control.pause_domain(1)
        machine.run(15)
        assert (machine.released(10), machine.dispatches()) == ([0], [(0, 0), (5, None)])
        machine.control.unpause_domain(1)
        # 5 ms until 20 ms, where the next period begins.
        assert machine.run(29).dispatches()[2:] == [(15, 0), (25, None)]

    def test_destroyed_while_parked(self):
        machine = Machine(([Hog(), Hog()], 50), (Hog(), 50), num_pcpus=2).run(8)
        machine.control.destroy_domain(1)
        machine.control.create_domain(1, Hog(), params={"cap": 20})
        # Its own period of 10 ms begins at 8 ms.
        assert machine.run(19).state("is_parked", 0) == 0
        assert machine.shares(1) == pytest.approx([3 / 19])

    def test_taken_offline_and_back_while_parked(self):
        machine = Machine((Hog(), 50)).run(6)
        machine.control.set_vcpu_online(1, 0, False)
        machine.run(12)
        machine.control.set_vcpu_online(1, 0, True)
        assert machine.run(19).dispatches() == [(0, 0), (5, None), (12, 0), (17, None)]


class TestSettingACap:
    def test_taking_it_away_releases_at_once(self):
        machine = Machine((Hog(), 50)).run(7)
        machine.control.adjust_domain(1, cap=0)
        assert machine.run(40).dispatches() == [(0, 0), (5, None), (7, 0)]
        assert machine.state("budget_ns") == NO_CAP

    def test_a_change_counts_from_the_next_replenishment_on(self):
        machine = Machine((Hog(), 50)).run(2)
        machine.control.adjust_domain(1, cap=20)
        assert machine.run(19).dispatches() == [(0, 0), (5, None), (10, 0), (12, None)]

    def test_the_same_cap_again_changes_nothing(self):
        machine = Machine((Hog(), 50)).run(2)
        before = machine.host.digest()
        machine.control.adjust_domain(1, cap=50)
        assert machine.host.digest() == before

    def test_a_quota_is_at_least_half_a_millisecond(self):
        machine = Machine(([Hog(), Hog()], 4))
        assert machine.host.sections["credit2_domain"][["total_budget_ns", "quota_ns"]][0].tolist() == (
            400_000,
            500_000,
        )

    def test_a_snapshot_within_a_period_goes_on_identically(self):
        machine, other = (Machine(([Hog(), Hog()], 70), (Hog(), 20), num_pcpus=2) for _ in range(2))
        other.host.restore(machine.run(47.3).host.snapshot())
        assert other.run(500).host.digest() == machine.run(500).host.digest()
