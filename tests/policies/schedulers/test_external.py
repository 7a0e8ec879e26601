"""Decisions from outside, worked by hand: when time stops, what may be answered, what becomes of a wrong answer."""

import pickle

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.topology import Topology
from xengym.policies.schedulers.external import ExternalScheduler
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000


def make_host(num_pcpus, *programs, connected=True, **options):
    scheduler = ExternalScheduler(connected=connected, **options)
    host = Host(Topology.flat(num_pcpus), scheduler, [HogKind(), ListKind(), PeriodicKind()])
    control = Poolctl(host)
    for i, program in enumerate(programs):
        control.create_domain(i + 1, program, pcpus=[i % num_pcpus])
    host.start_trace()
    return host, control


def dispatches(host):
    idle = len(host.sections["guest_kind"])
    records = host.trace_records()
    records = records[records["kind"] == TraceKind.SWITCH]
    return [(t, p, v if v < idle else None) for t, p, v in records[["at_ns", "pcpu", "vcpu"]].tolist()]


def answer_all(host, until_ns, choose):
    """Run with ``choose(host, pcpu)`` answering; returns the decisions asked for."""
    asked = []
    while not host.run_until(until_ns):
        asked.append((host.now_ns, host.awaiting_pcpu))
        vcpu, slice_ns = choose(host, host.awaiting_pcpu)
        host.decide(vcpu, slice_ns=slice_ns)
    return asked


class TestUnconnected:
    def test_it_is_round_robin_with_a_fixed_slice(self):
        host, _ = make_host(1, Hog(), Hog(), Hog(), connected=False, slice_us=10_000)
        assert host.run_until(45 * MS)
        assert dispatches(host) == [(10 * k * MS, 0, k % 3) for k in range(5)]

    def test_a_wake_up_takes_an_idle_pcpu_and_otherwise_asks_its_own(self):
        program = Periodic(MS, 10 * MS, 5 * MS)
        host, _ = make_host(2, Hog(), program, connected=False)
        host.run_until(20 * MS)
        assert host.sections["vcpu"]["migrations"].tolist()[:2] == [0, 0]
        assert host.sections["vcpu"]["wake_latency_max_ns"][1] == 0

    def test_it_may_be_asked_to_ask_everybody(self):
        # Both pCPUs are busy when the third wakes; asked first, the lower one gives way.
        for wake_asks, pcpu in (("own", 1), ("all", 0)):
            host, control = make_host(2, Hog(), Hog(), connected=False, wake_asks=wake_asks)
            control.create_domain(9, WorkList(((MS, 0),), loop=False), pcpus=[1], start_ns=5 * MS)
            host.run_until(7 * MS)
            assert (5 * MS, pcpu, 2) in dispatches(host)


class TestConnected:
    def test_time_stops_where_there_is_a_choice(self):
        host, _ = make_host(1, Hog(), Hog())
        assert not host.run_until(100 * MS)
        assert (host.now_ns, host.awaiting_pcpu) == (0, 0)
        host.decide(1, slice_ns=3 * MS)
        assert not host.run_until(100 * MS)
        assert (host.now_ns, host.awaiting_pcpu) == (3 * MS, 0)
        host.decide(0, slice_ns=4 * MS)
        assert not host.run_until(100 * MS)
        assert host.now_ns == 7 * MS
        assert dispatches(host) == [(0, 0, 1), (3 * MS, 0, 0)]

    def test_without_a_choice_nobody_is_asked(self):
        host, _ = make_host(2, WorkList(((2 * MS, 3 * MS),)))
        asked = answer_all(host, 20 * MS, lambda host, pcpu: (0, None))
        # Only when it has woken: an idle pCPU with nobody waiting needs no answer.
        assert asked == [(t * MS, 0) for t in (0, 5, 10, 15)]

    def test_to_let_a_pcpu_idle_is_a_choice(self):
        host, _ = make_host(1, Hog())
        plan = iter([(None, 5 * MS), (0, 2 * MS), (None, 5 * MS), (0, None)])
        answer_all(host, 20 * MS, lambda host, pcpu: next(plan))
        assert dispatches(host) == [(5 * MS, 0, 0), (7 * MS, 0, None), (12 * MS, 0, 0)]

    def test_several_pcpus_are_asked_in_ascending_order_and_see_each_other_s_answers(self):
        host, _ = make_host(3, Hog(), Hog(), Hog())
        picked = []

        def choose(host, pcpu):
            waiting = host.scheduler.queued()
            picked.append((pcpu, waiting))
            return waiting[-1], None

        answer_all(host, 10 * MS, choose)
        assert picked == [(0, [0, 1, 2]), (1, [0, 1]), (2, [0])]

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(lambda host: 17, id="no such vCPU"),
            pytest.param(lambda host: -5, id="no vCPU"),
            pytest.param(lambda host: 1, id="runs elsewhere"),
            pytest.param(lambda host: 2, id="blocked"),
            pytest.param(lambda host: len(host.sections["guest_kind"]) + 1, id="another's idle"),
        ],
    )
    def test_an_illegal_answer_is_counted_and_replaced_by_who_has_waited_longest(self, wrong):
        host, control = make_host(2, Hog(), Hog(), WorkList(((MS, 500 * MS),)), Hog())
        control.set_affinity(2, 0, hard=[1])
        plan = {0: [2, 0], 1: [1]}
        answers = {p: iter(vcpus) for p, vcpus in plan.items()}

        def choose(host, pcpu):
            if host.now_ns < 5 * MS:
                return next(answers[pcpu], 0), 5 * MS if pcpu == 0 else 50 * MS
            return wrong(host), 3 * MS

        answer_all(host, 7 * MS, choose)
        assert host.scheduler.counters()["refused"] == 1
        assert host.sections["pcpu"]["curr"].tolist() == [3, 1]
        refused = host.trace_records()
        assert (refused["kind"] == TraceKind.REFUSED).sum() == 1

    def test_an_answer_outside_the_affinity_is_refused(self):
        host, control = make_host(2, Hog(), Hog())
        control.set_affinity(1, 0, hard=[1])
        control.set_affinity(2, 0, hard=[1])
        asked = answer_all(host, MS, lambda host, pcpu: (0, None))
        assert [p for _, p in asked] == [1]
        assert host.scheduler.counters()["refused"] == 0

    def test_a_decision_that_nobody_awaits_is_an_error(self):
        host, _ = make_host(1, Hog())
        with pytest.raises(ValueError, match="no decision is awaited at 0 ns"):
            host.decide(0)
        host.run_until(MS)
        with pytest.raises(ValueError, match="slice_ns must be positive, found 0"):
            host.decide(0, slice_ns=0)

    def test_a_snapshot_while_a_decision_is_awaited_continues_identically(self):
        host, _ = make_host(2, Hog(), WorkList(((MS, 2 * MS),)), Hog())

        def choose(host, pcpu):
            waiting = host.scheduler.queued()
            return (waiting[0] if waiting else None), 3 * MS

        answer_all(host, 10 * MS, choose)
        assert not host.run_until(50 * MS)
        other = pickle.loads(pickle.dumps(host))
        assert other.awaiting_pcpu == host.awaiting_pcpu
        for each in (host, other):
            answer_all(each, 50 * MS, choose)
        assert host.digest() == other.digest()

    def test_a_domain_may_go_while_a_decision_is_awaited(self):
        host, control = make_host(1, Hog(), Hog())
        assert not host.run_until(10 * MS)
        control.destroy_domain(1)
        host.decide(0)
        answer_all(host, 10 * MS, lambda host, pcpu: (1, None))
        assert host.scheduler.counters()["refused"] == 1
        assert host.sections["pcpu"]["curr"][0] == 1

    def test_operations_that_cannot_wait_take_the_default(self):
        host, control = make_host(1, Hog(), Hog())
        answer_all(host, 5 * MS, lambda host, pcpu: (0, None))
        control.destroy_domain(1)
        assert host.sections["pcpu"]["curr"][0] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slice_us": 50}, r"slice_us must be an integer 100\.\.1000000, found 50"),
        ({"wake_asks": "some"}, "wake_asks must be one of own, all, found 'some'"),
        ({"version": "4.5"}, "unknown version '4.5' of scheduler 'external'; expected one of current"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ExternalScheduler(**options)
