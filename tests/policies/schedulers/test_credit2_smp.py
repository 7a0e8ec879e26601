"""Credit2 on several pCPUs, worked by hand: who shares a run queue, whom a wake-up asks, and how loads are balanced.

Times are in ms.
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
MAX_VCPUS = 16
ALL = ("4.8", "4.8fix", "current")
TWO_SOCKETS = Topology(sockets=2, cores_per_socket=2)
TWO_CORES_OF_TWO = Topology(cores_per_socket=2, threads_per_core=2)


def pcpus(words):
    return {64 * word + bit for word, value in enumerate(words) for bit in range(64) if int(value) >> bit & 1}


class Machine:
    """A traced host on which each vCPU is a domain of its own; vCPU n is domain n + 1."""

    def __init__(self, version, topology, **options):
        if isinstance(topology, int):
            topology = Topology.flat(topology)
        self.host = Host(
            topology,
            Credit2Scheduler(version, **options),
            [HogKind(), ListKind()],
            max_domains=MAX_VCPUS,
            max_vcpus=MAX_VCPUS,
        )
        self.control = Domctl(self.host)
        self.host.start_trace()
        self.count = 0

    def add(self, program=None, pcpu=None, start_ms=0.0, **options):
        """A vCPU, on ``pcpu`` at first, that runs for ever or ``program``."""
        self.count += 1
        placed = None if pcpu is None else [pcpu]
        self.control.create_domain(self.count, program or Hog(), pcpus=placed, start_ns=int(start_ms * MS), **options)
        return self

    def run(self, until_ms):
        self.host.run_until(int(until_ms * MS))
        return self

    def run_instant(self):
        """Everything that happens now, the passes included."""
        self.host.run_until(self.host.now_ns, inclusive=True)
        return self

    def set_credits(self, *credits_ms):
        for v, credit_ms in enumerate(credits_ms):
            self.host.sections["credit2_vcpu"]["credit"][v] = int(credit_ms * MS)
            self.host.sections["credit2_vcpu"]["start_ns"][v] = self.host.now_ns

    def running(self):
        """The vCPU on each pCPU; None is idle."""
        return [v if v < MAX_VCPUS else None for v in self.host.sections["pcpu"]["curr"].tolist()]

    def records(self, kind, since_ms=0.0):
        """``(at, pcpu, vcpu, other)``."""
        return [
            (at_ns / MS, pcpu, vcpu, other)
            for at_ns, _, vcpu, other, k, pcpu in self.host.trace_records().tolist()
            if k == TraceKind[kind] and at_ns >= since_ms * MS
        ]

    def asked(self, since_ms=0.0):
        return [other for *_, other in self.records("TICKLE", since_ms)]

    def runqueues(self):
        rows = self.host.sections["credit2_runqueue"]
        return [pcpus(row["active"]) for row in rows if row["num_pcpus"]]

    def assigned(self):
        """Run queue of each vCPU."""
        return self.host.sections["credit2_vcpu"]["runqueue"][: self.count].tolist()

    def shares(self):
        return [self.host.runstate_ns(v)["running"] / self.host.now_ns for v in range(self.count)]


class TestRunqueues:
    CASES = (
        (4, {}, [{0, 1, 2, 3}]),
        (TWO_SOCKETS, {}, [{0, 1}, {2, 3}]),
        (TWO_SOCKETS, {"runqueue": "node"}, [{0, 1}, {2, 3}]),
        (TWO_SOCKETS, {"runqueue": "all"}, [{0, 1, 2, 3}]),
        (TWO_SOCKETS, {"runqueue": "core"}, [{0}, {1}, {2}, {3}]),
        (TWO_CORES_OF_TWO, {"runqueue": "core"}, [{0, 1}, {2, 3}]),
        (TWO_CORES_OF_TWO, {"runqueue": "cpu"}, [{0}, {1}, {2}, {3}]),
        (16, {}, [set(range(16))]),
    )
    # At most 16 pCPUs, and as even as floor(pCPUs / run queues) allows.
    BOUNDED = (
        (24, {}, [set(range(12)), set(range(12, 24))]),
        (17, {}, [set(range(8)), set(range(8, 16)), {16}]),
        (6, {"max_cpus_runqueue": 4}, [{0, 1, 2}, {3, 4, 5}]),
        (6, {"max_cpus_runqueue": 1}, [{0}, {1}, {2}, {3}, {4}, {5}]),
        # At most 3 here, but siblings stay together, and room is kept for those to come.
        (Topology(cores_per_socket=3, threads_per_core=2), {"max_cpus_runqueue": 4}, [{0, 1}, {2, 3}, {4, 5}]),
        # With one queue for all no room is kept; the sibling of pCPU 2 joins it all the same.
        (
            Topology(cores_per_socket=3, threads_per_core=2),
            {"max_cpus_runqueue": 4, "runqueue": "all"},
            [{0, 1, 2, 3}, {4, 5}],
        ),
        (Topology(threads_per_core=2), {"max_cpus_runqueue": 1}, [{0, 1}]),
        (Topology(sockets=2, cores_per_socket=12), {}, [set(range(12)), set(range(12, 24))]),
    )

    @pytest.mark.parametrize(("topology", "options", "expected"), CASES)
    @pytest.mark.parametrize("version", ALL)
    def test_who_shares_one(self, version, topology, options, expected):
        assert Machine(version, topology, **options).runqueues() == expected

    @pytest.mark.parametrize(("topology", "options", "expected"), BOUNDED)
    def test_their_size_is_bounded(self, topology, options, expected):
        assert Machine("current", topology, **options).runqueues() == expected

    def test_in_4_8_it_is_not(self):
        assert Machine("4.8", 24).runqueues() == [set(range(24))]


class TestAskingIdlePcpus:
    @pytest.mark.parametrize("version", ALL)
    def test_its_own_if_that_is_idle_else_the_next_round(self, version):
        machine = Machine(version, 4).add(pcpu=2).add(pcpu=2).add(pcpu=2).add(pcpu=2)
        assert machine.run(0.1).asked() == [2, 3, 0, 1]
        assert machine.running() == [2, 3, 0, 1]

    @pytest.mark.parametrize("version", ALL)
    def test_only_where_it_may_run(self, version):
        machine = Machine(version, 4).add(pcpu=1, hard_affinity=[1, 3]).add(pcpu=1, hard_affinity=[1, 3])
        machine.add(pcpu=1, hard_affinity=[1])
        assert machine.run(0.1).asked() == [1, 3]
        assert machine.host.scheduler.queued() == [2]
        assert sum(machine.run(2000).shares()) == pytest.approx(2)
        assert (machine.running()[0], machine.running()[2]) == (None, None)

    @pytest.mark.parametrize("version", ALL)
    def test_a_core_that_idles_as_a_whole_comes_before_the_own_pcpu_beside_a_busy_one(self, version):
        machine = Machine(version, TWO_CORES_OF_TWO).add(pcpu=0).add(pcpu=1).add(pcpu=1).add(pcpu=3)
        assert machine.run(0.1).asked() == [0, 2, 1, 3]

    @pytest.mark.parametrize("version", ALL)
    def test_to_save_power_it_is_the_other_way_round(self, version):
        machine = Machine(version, TWO_CORES_OF_TWO, smt_power_savings=True).add(pcpu=0).run(0.1)
        machine.add(pcpu=3)
        assert machine.run(0.2).asked() == [0, 1]

    @pytest.mark.parametrize("version", ALL)
    def test_a_core_idles_as_a_whole_again_when_its_last_sibling_does(self, version):
        machine = Machine(version, TWO_CORES_OF_TWO)
        machine.add(WorkList(((MS, NEVER_NS),)), pcpu=0).add(WorkList(((2 * MS, NEVER_NS),)), pcpu=2)
        whole = machine.host.sections["credit2_runqueue"]["smt_idle"]
        seen = [pcpus(whole[0]) for at in (0.5, 1.5, 2.5) if machine.run(at)]
        assert seen == [set(), {0, 1}, {0, 1, 2, 3}]

    @pytest.mark.parametrize("version", ALL)
    def test_a_core_of_which_one_sibling_was_asked_does_not_idle_as_a_whole(self, version):
        # vCPU 1 has asked pCPU 1. When vCPU 0 comes off pCPU 0, to be placed anew (on pCPU 1), pCPU 0 is what is left.
        machine = Machine(version, TWO_CORES_OF_TWO).add(pcpu=0).run(1).add(pcpu=1, hard_affinity=[1])
        machine.control.set_affinity(1, 0, hard=[0, 1])
        assert machine.run_instant().asked(1) == [0, 1, 0]
        assert machine.records("PICKED")[-1][3] == 1
        assert machine.running() == [0, 1, None, None]

    def test_soft_affinity_comes_first(self):
        machine = Machine("current", 4).add(pcpu=0, soft_affinity=[2, 3]).add(pcpu=2, soft_affinity=[2])
        machine.add(pcpu=2, soft_affinity=[2])
        # vCPU 0 goes to pCPU 2. The others find it asked already, and take what is idle: from pCPU 2 on.
        assert machine.run(0.1).asked() == [2, 3, 0]

    @pytest.mark.parametrize("version", ["4.8", "4.8fix"])
    def test_4_8_does_not_know_soft_affinity(self, version):
        assert Machine(version, 4).add(pcpu=0, soft_affinity=[2, 3]).run(0.1).asked() == [0]

    @pytest.mark.parametrize("version", ALL)
    def test_a_change_of_pcpu_earns_50_us_of_credit(self, version):
        machine = Machine(version, 2).add(pcpu=0).add(pcpu=0).run(0.1)
        assert machine.running() == [0, 1]
        assert machine.host.sections["credit2_vcpu"]["credit"][:2].tolist() == [10 * MS, 10_050_000]


class TestAskingBusyPcpus:
    def busy(self, version, own_ms, other_ms, new_ms, *, pcpu=0, wakes_ms=2.0, **options):
        """vCPU 0 and 1 run on pCPU 0 and 1 with some credit left; vCPU 2 wakes on ``pcpu``. Whom it asked."""
        machine = Machine(version, 2, **options).add(pcpu=0).add(pcpu=1).run(wakes_ms).add(pcpu=pcpu)
        machine.set_credits(own_ms, other_ms, new_ms)
        machine.host.run_until(machine.host.now_ns, inclusive=True)
        return machine.asked(wakes_ms)[:1]

    @pytest.mark.parametrize("version", ALL)
    def test_its_own_if_it_has_more_credit_than_who_runs_there(self, version):
        assert self.busy(version, 8, 3, 8.001) == [0]
        assert self.busy(version, 3, 8, 8.001, pcpu=1) == [1]

    @pytest.mark.parametrize("version", ALL)
    def test_else_one_where_it_has_half_a_millisecond_more(self, version):
        assert self.busy(version, 8, 3, 7) == [1]
        assert self.busy(version, 8, 6.499, 7) == [1]
        assert self.busy(version, 8, 6.501, 7) == []
        assert self.busy(version, 8, 7.999, 8, migrate_resist_us=0) == [1]

    def test_with_exactly_that_much_more_only_4_8_asks(self):
        assert self.busy("4.8", 8, 6.5, 7) == [1]
        assert self.busy("current", 8, 6.5, 7) == []

    def test_nobody_within_the_rate_limit_except_in_4_8(self):
        assert self.busy("current", 8, 3, 7, wakes_ms=0.5) == []
        assert self.busy("4.8", 8, 3, 7, wakes_ms=0.5) == [1]

    def test_one_in_its_soft_affinity_is_worth_10_ms_more(self):
        # Beside its own, where it does not want to be, pCPU 2 offers more credit and pCPU 1 its affinity.
        machine = Machine("current", 3).add(pcpu=0).add(pcpu=1).add(pcpu=2).run(2).add(pcpu=0, soft_affinity=[1])
        machine.set_credits(4, 5, 3, 8)
        assert machine.run_instant().asked(2)[:1] == [1]

    def test_one_whose_vcpu_would_rather_be_elsewhere_too(self):
        machine = Machine("current", 3).add(pcpu=0).add(pcpu=1, soft_affinity=[0]).add(pcpu=2).run(2)
        assert machine.running() == [0, 1, 2]
        machine.add(pcpu=0)
        machine.set_credits(9, 5, 3, 8)
        assert machine.run_instant().asked(2)[:1] == [1]

    def test_in_4_8_it_is_the_one_with_least_credit_the_first_of_equals(self):
        machine = Machine("4.8", 4).add(pcpu=0).add(pcpu=1).add(pcpu=2).add(pcpu=3).run(2).add(pcpu=0)
        machine.set_credits(9, 4, 3, 3, 8)
        assert machine.run_instant().asked(2)[:1] == [2]


class TestTakingFromTheQueue:
    def decided(self, version, running_ms, waiting_ms):
        """pCPU 1, where vCPU 1 runs, decides at 4 ms while vCPU 2 waits, which was last on pCPU 0."""
        machine = Machine(version, 2).add(pcpu=0).add(pcpu=1).run(4).add(pcpu=0)
        machine.set_credits(9, 6, -2)  # as it wakes nobody has less
        machine.run_instant().set_credits(9, running_ms, waiting_ms)
        machine.control.pause_domain(2)
        machine.control.unpause_domain(2)
        return machine.run_instant()

    @pytest.mark.parametrize("version", ALL)
    @pytest.mark.parametrize(("waiting_ms", "is_taken"), [(6.4, False), (6.499, False), (6.5, True), (6.6, True)])
    def test_one_that_last_ran_elsewhere_needs_half_a_millisecond_more(self, version, waiting_ms, is_taken):
        assert (self.decided(version, 6, waiting_ms).running()[1] == 2) == is_taken

    @pytest.mark.parametrize("version", ALL)
    def test_an_idle_pcpu_takes_it_with_however_little(self, version):
        machine = Machine(version, 2).add(pcpu=0).add(WorkList(((2 * MS, NEVER_NS),)), pcpu=1).run(1).add(pcpu=0)
        machine.set_credits(9, 9, -3)
        machine.run(3)
        assert machine.running() == [0, 2]
        assert machine.records("SWITCH", 1) == [(2, 1, 2, 1)]

    def test_in_4_8_one_that_is_passed_over_holds_the_reset_off(self):
        # vCPU 1 is out of credit and vCPU 2 even more so.
        assert len(self.decided("current", -1, -2).records("RESET")) == 1
        assert len(self.decided("4.8", -1, -2).records("RESET")) == 0
        assert len(self.decided("4.8fix", -1, -2).records("RESET")) == 0

    @pytest.mark.parametrize(
        ("version", "credits_ms"), [("4.8", [10, 10.5]), ("4.8fix", [10, 10]), ("current", [10, 10])]
    )
    def test_at_a_reset_4_8_forgets_what_others_are_running(self, version, credits_ms):
        # At 10 ms pCPU 0 begins an epoch while vCPU 1 has run for 10 ms that are not charged yet.
        machine = Machine(version, 2).add(pcpu=0).add(pcpu=1).run(10.1)
        assert [at for at, *_ in machine.records("RESET")] == [10]
        assert (machine.host.sections["credit2_vcpu"]["credit"][:2] / MS).tolist() == credits_ms

    def test_a_vcpu_is_called_away_to_an_idle_pcpu_it_prefers(self):
        # pCPU 1, which vCPU 0 prefers, is busy until 3 ms. At the end of its slice it moves there.
        machine = Machine("current", 2).add(WorkList(((3 * MS, NEVER_NS),)), pcpu=1)
        machine.run(1).add(pcpu=0, soft_affinity=[1]).run(12)
        assert machine.records("SWITCH", 4) == [(11, 0, MAX_VCPUS, 1), (11, 1, 1, MAX_VCPUS + 1)]

    @pytest.mark.parametrize("version", ALL)
    def test_pinned_ones_share_their_pcpu_and_leave_the_other_idle(self, version):
        machine = Machine(version, 2)
        machine.add(hard_affinity=[0]).add(hard_affinity=[0]).run(10_000)
        assert machine.shares() == pytest.approx([0.5, 0.5], abs=0.001)
        assert machine.running()[1] is None

    def test_shares_of_three_hogs_on_two_pcpus(self):
        # In 4.8 who runs elsewhere at a reset is not charged for that stretch; one of them has far less for it.
        def run(version):
            return Machine(version, 2).add(pcpu=0).add(pcpu=1).add(pcpu=0).run(30_000).shares()

        assert run("4.8") == pytest.approx([0.52, 0.73, 0.75], abs=0.003)
        assert run("4.8fix") == pytest.approx([2 / 3] * 3, abs=0.002)
        # Those that change pCPU all the time earn 50 us by each change, which is some percent of their slices.
        assert run("current") == pytest.approx([2 / 3] * 3, abs=0.025)


class TestPlacement:
    @pytest.mark.parametrize("version", ALL)
    def test_the_run_queue_of_least_load_and_its_pcpus_in_turn(self, version):
        # All count half a pCPU at first. The turn of a run queue begins after its first pCPU.
        machine = Machine(version, TWO_SOCKETS)
        for _ in range(5):
            machine.add()
        assert [other for *_, other in machine.records("PICKED")] == [1, 3, 0, 2, 1]
        assert machine.assigned() == [0, 1, 0, 1, 0]

    @pytest.mark.parametrize("version", ALL)
    def test_only_where_it_may_run(self, version):
        machine = Machine(version, TWO_SOCKETS).add(hard_affinity=[0]).add(hard_affinity=[0, 1]).add(hard_affinity=[1])
        assert [other for *_, other in machine.records("PICKED")] == [0, 1, 1]
        machine.control.set_affinity(3, 0, hard=[2])
        assert machine.run(1).assigned() == [0, 0, 1]
        assert machine.running()[2] == 2

    def test_the_least_loaded_of_those_with_preferred_pcpus(self):
        machine = Machine("current", TWO_SOCKETS).add(pcpu=0).add(pcpu=0).add(soft_affinity=[1])
        # The turn used is that of the other socket, which has less load; so it is there that it moves on.
        assert machine.records("PICKED")[-1][3] == 1
        assert machine.host.sections["credit2_runqueue"]["pick_bias"][:2].tolist() == [0, 1]
        assert machine.assigned() == [0, 0, 0]

    @pytest.mark.parametrize("version", ALL)
    def test_its_own_load_does_not_count_when_it_is_placed_anew(self, version):
        machine = Machine(version, TWO_SOCKETS).add(pcpu=3).run(5)
        machine.control.set_affinity(1, 0, hard=[0, 1, 2, 3])
        # Both would be empty: the first.
        assert machine.run(6).assigned() == [0]
        machine.add(pcpu=3)
        machine.control.set_affinity(1, 0, hard=[0, 1, 2, 3])
        assert machine.run(7).assigned() == [0, 1]


class TestBalancing:
    @pytest.mark.parametrize("version", ALL)
    def test_one_is_pushed_at_each_reset_until_loads_are_alike(self, version):
        machine = Machine(version, Topology(sockets=2))
        for _ in range(4):
            machine.add(pcpu=0)
        machine.run(39)
        assert machine.assigned() == [0] * 4
        machine.run(200)
        assert sorted(machine.assigned()) == [0, 0, 1, 1]
        resets = sorted({at for at, pcpu, *_ in machine.records("RESET") if pcpu == 0})
        arrivals = [at for at, pcpu, vcpu, _ in machine.records("SWITCH") if pcpu == 1 and vcpu < MAX_VCPUS]
        assert arrivals[0] == resets[0]
        assert machine.run(20_000).shares() == pytest.approx([0.5] * 4, abs=0.01)

    @pytest.mark.parametrize("version", ALL)
    def test_the_less_loaded_one_fetches(self, version):
        # The hog on pCPU 1 ends its epoch at 10 ms, the three on pCPU 0 much later. All count alike: the first.
        machine = Machine(version, Topology(sockets=2))
        for pcpu in (0, 0, 0, 1):
            machine.add(pcpu=pcpu)
        assert machine.run(9.9).assigned() == [0, 0, 0, 1]
        assert machine.run(10.1).assigned() == [1, 0, 0, 1]
        assert [(at, pcpu) for at, pcpu, *_ in machine.records("RESET")] == [(10, 1)]

    @pytest.mark.parametrize("version", ALL)
    def test_with_idle_capacity_only_a_whole_pcpus_worth_is_balanced(self, version):
        # Two of eight pCPUs busy, in one socket: its load grows beyond 1, and then one of the two leaves.
        machine = Machine(version, Topology(sockets=2, cores_per_socket=4)).add(pcpu=0).add(pcpu=1).run(3000)
        assert sorted(machine.assigned()) == [0, 1]
        # A single one stays.
        assert Machine(version, Topology(sockets=2, cores_per_socket=4)).add(pcpu=0).run(3000).assigned() == [0]

    @pytest.mark.parametrize("version", ALL)
    def test_how_much_is_worth_it_can_be_set(self, version):
        def assigned(**options):
            machine = Machine(version, Topology(sockets=2, cores_per_socket=4), **options)
            return sorted(machine.add(pcpu=0).add(pcpu=1).run(3000).assigned())

        assert assigned(balance_under=1) == [0, 0]
        assert assigned(balance_under=-8) == [0, 1]

    @pytest.mark.parametrize("version", ALL)
    def test_nobody_is_sent_where_it_may_not_run(self, version):
        machine = Machine(version, Topology(sockets=2))
        for _ in range(3):
            machine.add(hard_affinity=[0])
        machine.add(pcpu=0).run(3000)
        assert machine.assigned() == [0, 0, 0, 1]
        assert machine.run(6000).running()[1] == 3

    @pytest.mark.parametrize("version", ALL)
    def test_one_that_sleeps_is_reassigned_without_running(self, version):
        # The hogs may not move. The third has not started yet and counts half a pCPU, which the other socket can have.
        machine = Machine(version, Topology(sockets=2)).add(hard_affinity=[0]).add(hard_affinity=[0])
        machine.add(pcpu=0, start_ms=1000).run(15)
        assert machine.assigned() == [0, 0, 0]
        machine.run(25)
        assert machine.assigned() == [0, 0, 1]
        assert machine.host.sections["vcpu"]["pcpu"][2] == 1
        assert machine.records("RUNSTATE")[-1][2] != 2

    @pytest.mark.parametrize("version", ALL)
    def test_a_running_one_is_sent_when_it_comes_off(self, version):
        machine = Machine(version, Topology(sockets=2)).add(pcpu=0).add(pcpu=0).run(100)
        # The one chosen at the first reset is to go. It comes to run and is taken off again at once.
        at = 20.5 if version == "current" else 20
        came_off = [(20.5, 0, 0, 1)] if version == "current" else []  # in 4.8 it ran before, too
        assert machine.records("SWITCH", 20) == [*came_off, (at, 0, 1, 0), (at, 1, 0, MAX_VCPUS + 1)]
        assert machine.run(5000).shares() == pytest.approx([1, 1], abs=0.01)
