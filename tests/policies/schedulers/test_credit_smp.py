"""Credit on several pCPUs, worked by hand: whom a wake-up asks, who steals from whom, and who is placed where.

Ticks and accounting stay out of the way (first at 1000 s) unless a case is about them.
"""

import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
FAR_NS = 1_000_000 * MS
BOOST, UNDER, OVER = 0, -1, -2
MAX_VCPUS = 16
LATE = ("4.5", "4.8", "current")


class Machine:
    """A traced host on which each vCPU is a domain of its own; vCPU n is domain n + 1."""

    def __init__(self, version, topology, *, ticks=False, **options):
        if isinstance(topology, int):
            topology = Topology.flat(topology)
        self.scheduler = CreditScheduler(version, idle_ticks=True, **options)
        self.host = Host(topology, self.scheduler, [HogKind(), ListKind()], max_domains=MAX_VCPUS, max_vcpus=MAX_VCPUS)
        if not ticks:
            self.scheduler.set_phase([FAR_NS] * topology.num_pcpus, FAR_NS)
        self.control = Domctl(self.host)
        self.host.start_trace()
        self.count = 0

    def add(self, program, pcpu=None, **options):
        """A vCPU, on ``pcpu`` at first."""
        self.count += 1
        pcpus = None if pcpu is None else [pcpu]
        self.control.create_domain(self.count, program, pcpus=pcpus, **options)

    def run(self, until_ms):
        self.host.run_until(int(until_ms * MS))

    def set_priorities(self, *priorities):
        """Of vCPUs 0, 1, ..., as accounting would have left them; also forget that they are new."""
        self.host.sections["credit_vcpu"]["priority"][: len(priorities)] = priorities
        self.host.sections["credit_vcpu"]["just_moved"][: len(priorities)] = 0

    def records(self, *kinds, since_ms=0.0):
        """``(at_ms, pcpu, vcpu, other)``."""
        wanted = [TraceKind[kind] for kind in kinds]
        return [
            (at_ns / MS, pcpu, vcpu, other)
            for at_ns, _, vcpu, other, kind, pcpu in self.host.trace_records().tolist()
            if kind in wanted and at_ns >= since_ms * MS
        ]

    def dispatches(self, since_ms=0.0):
        """``(at_ms, pcpu, vcpu)``; None for idle."""
        return [
            (at, pcpu, vcpu if vcpu < MAX_VCPUS else None)
            for at, pcpu, vcpu, _ in self.records("SWITCH", since_ms=since_ms)
        ]

    def tickled(self, since_ms=0.0):
        return [other for *_, other in self.records("TICKLE", since_ms=since_ms)]

    def shares(self):
        now_ns = self.host.now_ns
        return [self.host.runstate_ns(vcpu)["running"] / now_ns for vcpu in range(self.count)]


def sleeper(run_ms, then_ms=1_000_000):
    """Runs so long, sleeps, and runs again."""
    return WorkList(((int(run_ms * MS), int(then_ms * MS)),))


class TestLongRunShares:
    @pytest.mark.parametrize("version", ["3.2", "4.8", "current"])
    @pytest.mark.parametrize(
        ("num_pcpus", "weights", "expected"),
        [
            (2, [256] * 3, [2 / 3] * 3),
            (4, [256] * 5, [0.8] * 5),
            (2, [256, 256, 512, 512], [1 / 3, 1 / 3, 2 / 3, 2 / 3]),
            (2, [256, 256, 1024], [0.5, 0.5, 1.0]),  # what the heavy one cannot use goes to the others
        ],
    )
    def test_hogs_share_all_pcpus_by_weight_and_none_idles(self, version, num_pcpus, weights, expected):
        machine = Machine(version, num_pcpus, ticks=True)
        for weight in weights:
            machine.add(Hog(), params={"weight": weight})
        machine.run(60_000)
        assert machine.shares() == pytest.approx(expected, abs=0.002)
        assert sum(machine.shares()) == pytest.approx(num_pcpus, abs=1e-9)


class TestTickle:
    def test_up_to_4_0_a_waker_preempts_and_every_idle_pcpu_is_asked_too(self):
        machine = Machine("3.2", 4)
        machine.add(Hog(), 0)
        machine.add(sleeper(1), 0, start_ns=5 * MS)
        machine.run(4)
        machine.set_priorities(UNDER)
        machine.run(5.5)
        assert machine.tickled(since_ms=1) == [0, 1, 2, 3]
        # pCPU 0 comes first and takes the waker; pCPU 1 then finds the hog waiting.
        assert machine.dispatches(since_ms=1) == [(5, 0, 1), (5, 1, 0)]

    @pytest.mark.parametrize("version", LATE)
    def test_later_one_idle_pcpu_is_asked_and_nobody_is_preempted(self, version):
        machine = Machine(version, 4)
        machine.add(Hog(), 0)
        machine.add(sleeper(1), 0, start_ns=5 * MS)
        machine.run(4)
        machine.set_priorities(UNDER, UNDER)
        machine.run(5.5)
        assert machine.tickled(since_ms=1) == [1]
        assert machine.dispatches(since_ms=1) == [(5, 1, 1)]

    @pytest.mark.parametrize("version", LATE)
    def test_or_every_idle_pcpu_if_the_option_says_so(self, version):
        machine = Machine(version, 4, tickle_one_idle=False)
        machine.add(Hog(), 0)
        machine.add(sleeper(1), 0, start_ns=5 * MS)
        machine.run(6)
        assert machine.tickled(since_ms=1) == [1, 2, 3]

    @pytest.mark.parametrize("version", LATE)
    def test_the_idle_pcpus_take_turns_by_the_waking_pcpus_own_pointer(self, version):
        # First starts execute on pCPU 0, whose pointer begins at 0; the busy pCPU 2 is passed over.
        machine = Machine(version, 4)
        machine.add(Hog(), 0)
        machine.add(Hog(), 2)
        for start_ms in (5, 6, 7):
            machine.add(sleeper(0.2), 0, start_ns=start_ms * MS)
        machine.run(8)
        assert machine.tickled(since_ms=1) == [1, 3, 1]

    @pytest.mark.parametrize(
        ("version", "asked", "dispatches"),
        [
            # Both ask pCPU 1, which takes the first; the second waits behind the hog, though it has a boost.
            ("4.5", [1, 1], [(5, 1, 1)]),
            ("4.8", [1, 1], [(5, 1, 1)]),
            # The second finds no pCPU idle any more and preempts; pCPU 0, first of the two, takes the first waker.
            ("current", [1, 0], [(5, 0, 1), (5, 1, 2)]),
        ],
    )
    def test_from_4_9_on_a_pcpu_once_asked_counts_as_idle_no_more(self, version, asked, dispatches):
        machine = Machine(version, 2)
        machine.add(Hog(), 0)
        machine.add(Hog(), 0, start_ns=5 * MS)
        machine.add(Hog(), 0, start_ns=5 * MS)
        machine.run(4)
        machine.set_priorities(UNDER, UNDER, UNDER)
        machine.run(6)
        assert machine.tickled(since_ms=1) == asked
        assert machine.dispatches(since_ms=1) == dispatches


class TestPushAway:
    @pytest.mark.parametrize(
        ("version", "hog_may_run_on", "dispatches"),
        [
            # An idle pCPU exists on which the waker may not run: the hog that it preempts may be moved there.
            ("4.5", [0, 1], [(5, 0, 1), (5, 1, 0)]),
            ("4.8", [0, 1], [(5, 0, 1), (5, 1, 0)]),
            ("current", [0, 1], [(5, 0, 1)]),  # from 4.13 on it waits
            ("3.2", [0, 1], [(5, 0, 1)]),
            # 4.5 moves it without looking where it may run: it comes back to its queue, boosted.
            ("4.5", [0], [(5, 0, 1)]),
            ("4.8", [0], [(5, 0, 1)]),
        ],
    )
    def test_a_pinned_waker_and_the_hog_it_preempts(self, version, hog_may_run_on, dispatches):
        machine = Machine(version, 2)
        machine.add(Hog(), 0, hard_affinity=hog_may_run_on)
        machine.add(Hog(), 0, start_ns=5 * MS, hard_affinity=[0])
        machine.run(4)
        machine.set_priorities(UNDER, UNDER)
        machine.run(6)
        assert machine.dispatches(since_ms=1) == dispatches
        is_boosted = machine.host.sections["credit_vcpu"]["priority"][0] == BOOST
        assert is_boosted == (version == "4.5")


class TestStealing:
    def test_only_a_strictly_higher_class_is_taken_from_another_queue(self):
        # At 30 ms both slices end. pCPU 0 goes on to vCPU 1 and queues vCPU 0; pCPU 1 has OVER vCPU 2.
        stolen = {}
        for priority in (UNDER, OVER):
            machine = Machine("4.5", 2)
            machine.add(Hog(), 0)
            machine.add(Hog(), 0)
            machine.add(Hog(), 1)
            machine.run(5)
            machine.set_priorities(priority, priority, OVER)
            machine.run(31)
            stolen[priority] = machine.records("STOLEN")
        assert stolen == {UNDER: [(30, 1, 0, 0)], OVER: []}

    @pytest.mark.parametrize("version", ["3.0.3", "3.2", *LATE])
    @pytest.mark.parametrize("priority", [UNDER, OVER])
    def test_an_idle_pcpu_takes_anything(self, version, priority):
        machine = Machine(version, 2)
        machine.add(Hog(), 0)
        machine.add(Hog(), 0)
        machine.add(sleeper(5), 1)
        machine.run(4)
        machine.set_priorities(UNDER, priority)
        machine.run(6)
        assert machine.dispatches(since_ms=1) == [(5, 1, 1)]

    def thief(self, version, thief_runs_ms, sources, topology=4, **options):
        """The last pCPU's own vCPU 0 sleeps at 5 ms; ``sources`` are pCPUs with one hog running and more waiting."""
        machine = Machine(version, topology, **options)
        pcpu, waiting = thief_runs_ms
        machine.add(sleeper(5), pcpu)
        for source in sources:
            machine.add(Hog(), source)
        for source, run_ms in waiting:
            machine.add(sleeper(run_ms), source)
        machine.run(20)
        return [(at, other) for at, _, _, other in machine.records("STOLEN")]

    @pytest.mark.parametrize(
        ("version", "first"),
        [
            ("3.0.3", 3),  # round from the next pCPU
            ("3.2", 3),
            ("4.5", 0),  # ascending from the lowest, whoever asks
            ("4.8", 0),
            ("current", 0),  # round from where the node was last stolen from, at first its lowest
        ],
    )
    def test_which_queue_is_searched_first(self, version, first):
        assert self.thief(version, (1, [(0, 100), (3, 100)]), [0, 2, 3]) == [(5, first)]

    @pytest.mark.parametrize(
        ("version", "order"), [("3.2", [0, 0, 1, 2]), ("4.5", [0, 0, 1, 2]), ("current", [0, 1, 2, 0])]
    )
    def test_and_which_next(self, version, order):
        # What is stolen runs 2 ms each time, so that the limit of one search a millisecond is no hindrance.
        waiting = [(0, 2), (0, 2), (1, 2), (2, 2)]
        assert self.thief(version, (3, waiting), [0, 1, 2]) == [(5 + 2 * k, pcpu) for k, pcpu in enumerate(order)]

    def test_from_4_9_on_the_own_socket_comes_before_the_others(self):
        two_sockets = Topology(sockets=2, cores_per_socket=2)
        waiting = [(0, 2), (2, 2)]
        assert self.thief("4.8", (3, waiting), [0, 1, 2], two_sockets) == [(5, 0), (7, 2)]
        assert self.thief("current", (3, waiting), [0, 1, 2], two_sockets) == [(5, 2), (7, 0)]

    def test_from_4_18_on_a_pcpu_searches_at_most_once_a_millisecond(self):
        # What it takes at 5 ms runs 1 ms: at 6 ms it may not search yet.
        waiting = [(0, 1), (0, 1), (0, 1)]
        assert self.thief("4.8", (3, waiting), [0]) == [(5, 0), (6, 0), (7, 0)]
        assert self.thief("current", (3, waiting), [0]) == [(5, 0)]

    @pytest.mark.parametrize("version", LATE)
    def test_the_first_search_may_be_at_the_very_start(self, version):
        machine = Machine(version, 2)
        machine.add(Hog(), 0)
        machine.add(Hog(), 0)
        machine.add(sleeper(0), 1)
        machine.run(1)
        assert machine.records("STOLEN") == [(0, 1, 1, 0)]

    @pytest.mark.parametrize(("delay_us", "stolen"), [(0, True), (2000, True), (2001, False), (5000, False)])
    def test_what_left_its_pcpu_less_than_the_migration_delay_ago_is_cache_hot(self, delay_us, stolen):
        # vCPU 0 is switched out at 30 ms; pCPU 1 goes idle at 32 ms.
        machine = Machine("current", 2, migration_delay_us=delay_us)
        machine.add(Hog(), 0)
        machine.add(Hog(), 0)
        machine.add(sleeper(32), 1)
        machine.run(33)
        assert [vcpu for _, _, vcpu, _ in machine.records("STOLEN")] == ([0] if stolen else [])

    @pytest.mark.parametrize(("version", "stolen"), [("4.8", True), ("current", False)])
    def test_from_4_18_on_who_has_yielded_is_not_taken(self, version, stolen):
        machine = Machine(version, 2)
        machine.add(WorkList(((2 * MS, -1), (FAR_NS, 0))), 0)
        machine.add(Hog(), 0)
        machine.add(sleeper(4), 1)
        machine.run(5)
        assert bool(machine.records("STOLEN")) == stolen

    @pytest.mark.parametrize("version", ["3.2", *LATE])
    def test_nothing_is_taken_to_where_it_may_not_run(self, version):
        machine = Machine(version, 2)
        machine.add(Hog(), 0)
        machine.add(Hog(), 0, hard_affinity=[0])
        machine.add(sleeper(5), 1)
        machine.run(29)
        assert machine.records("STOLEN") == []

    @pytest.mark.parametrize(("version", "taken"), [("3.2", 1), ("4.5", 2), ("4.8", 2), ("current", 2)])
    def test_from_4_5_on_those_that_prefer_the_thief_come_first(self, version, taken):
        machine = Machine(version, 2)
        machine.add(Hog(), 0)
        machine.add(Hog(), 0)
        machine.add(Hog(), 0, soft_affinity=[1])
        machine.add(sleeper(5), 1)
        machine.run(6)
        assert [vcpu for _, _, vcpu, _ in machine.records("STOLEN")] == [taken]


class TestPlacement:
    """Where a vCPU is put when it appears, and where the tick sends one that runs in a bad place."""

    SMT = Topology(cores_per_socket=2, threads_per_core=2)

    @pytest.mark.parametrize(("version", "pcpu"), [("3.0.3", 1), ("3.2", 2), ("4.5", 2), ("4.8", 2), ("current", 2)])
    def test_a_new_vcpu_goes_to_an_idle_core_rather_than_an_idle_thread(self, version, pcpu):
        machine = Machine(version, self.SMT)
        machine.add(Hog(), 0)
        machine.run(5)
        machine.add(Hog())  # pCPU 1 has none yet, but shares its core with the hog; 3.0.3 does not look
        assert machine.host.sections["vcpu"]["pcpu"][1] == pcpu

    @pytest.mark.parametrize("version", ["3.2", *LATE])
    def test_at_a_tick_one_of_two_hogs_leaves_the_core_they_share(self, version):
        # The first tick finds them active, the second places them anew; boosted for it up to 4.6.
        machine = Machine(version, self.SMT)
        machine.scheduler.set_phase([10 * MS, 15 * MS, 10 * MS, 10 * MS], FAR_NS)
        machine.add(Hog(), 0)
        machine.add(Hog(), 1)
        machine.run(20.5)
        assert machine.dispatches(since_ms=1) == [(20, 0, None), (20, 2, 0)]
        is_boosted = machine.host.sections["credit_vcpu"]["priority"][0] == BOOST
        assert is_boosted == (version in ("3.2", "4.5"))
        machine.run(200)
        assert machine.shares() == pytest.approx([1, 1])
        assert len(machine.dispatches(since_ms=21)) == 0

    def test_under_3_0_3_they_stay(self):
        machine = Machine("3.0.3", self.SMT, ticks=True)
        machine.add(Hog(), 0)
        machine.add(Hog(), 1)
        machine.run(200)
        assert len(machine.dispatches()) == 2

    @pytest.mark.parametrize(("version", "moves"), [("3.2", True), ("4.5", False), ("4.8", False), ("current", False)])
    def test_another_socket_must_be_twice_as_idle_from_4_1_on(self, version, moves):
        # One idle pCPU here (its own, as it would leave it), two there.
        machine = Machine(version, Topology(sockets=2, cores_per_socket=2), ticks=True)
        machine.add(Hog(), 0)
        machine.add(Hog(), 1)
        machine.run(100)
        sockets = {machine.host.topology.socket_of(pcpu) for pcpu in machine.host.sections["vcpu"]["pcpu"][:2]}
        assert sockets == ({0, 1} if moves else {0})

    @pytest.mark.parametrize("version", ["3.2", *LATE])
    def test_and_more_than_that_moves_one(self, version):
        machine = Machine(version, Topology(sockets=2, cores_per_socket=4), ticks=True)
        for pcpu in range(4):
            machine.add(Hog(), pcpu)
        machine.run(100)
        sockets = [machine.host.topology.socket_of(pcpu) for pcpu in machine.host.sections["vcpu"]["pcpu"][:4]]
        assert set(sockets) == {0, 1}

    @pytest.mark.parametrize("version", LATE)
    def test_at_a_tick_who_runs_where_others_wait_goes_to_an_idle_pcpu(self, version):
        # Both started on pCPU 0 at one instant, when everybody was idle, so pCPU 1 was not asked.
        machine = Machine(version, 2, ticks=True)
        machine.add(Hog(), 0)
        machine.add(Hog(), 0)
        machine.run(20.5)
        assert machine.dispatches(since_ms=1) == [(20, 0, 1), (20, 1, 0)]

    @pytest.mark.parametrize(("version", "pcpu"), [("3.2", 0), ("4.5", 2), ("4.8", 2), ("current", 2)])
    def test_from_4_5_on_a_soft_affinity_is_where_it_is_put(self, version, pcpu):
        machine = Machine(version, 3)
        machine.add(Hog(), soft_affinity=[2])
        machine.run(1)
        assert machine.dispatches() == [(0, pcpu, 0)]

    @pytest.mark.parametrize("version", LATE)
    def test_if_none_it_prefers_is_idle_any_idle_one_will_do(self, version):
        machine = Machine(version, 3)
        machine.add(Hog(), 2)
        machine.add(Hog(), 2, soft_affinity=[2])
        machine.run(5)
        machine.control.set_affinity(2, 0, soft=[2])
        machine.run(6)
        assert {vcpu for _, _, vcpu in machine.dispatches()} == {0, 1}


class TestIdleTicks:
    def ticks_ms(self, version, until_ms, **options):
        scheduler = CreditScheduler(version, **options)
        host = Host(Topology.flat(1), scheduler, [HogKind(), ListKind()], max_domains=1, max_vcpus=1)
        Domctl(host).create_domain(1, sleeper(20), start_ns=int(13.7 * MS))
        tick = host.sections["timer"]["at_ns"]
        seen = []
        for at_us in range(0, until_ms * 1000, 100):
            host.run_until(at_us * US)
            if tick[2] == at_us * US:  # slice and completion timer of the only pCPU, then its tick: about to fire
                seen.append(at_us / 1000)
        return seen

    @pytest.mark.parametrize("version", LATE)
    def test_an_idle_pcpu_does_not_tick_and_begins_again_at_a_multiple_of_the_period(self, version):
        # Busy from 13.7 to 33.7 ms.
        assert self.ticks_ms(version, 100) == [20, 30]

    @pytest.mark.parametrize(("version", "options"), [("3.2", {}), ("3.0.3", {}), ("current", {"idle_ticks": True})])
    def test_in_3_x_or_by_option_it_ticks_all_the_time(self, version, options):
        assert self.ticks_ms(version, 65, **options) == [10, 20, 30, 40, 50, 60]
