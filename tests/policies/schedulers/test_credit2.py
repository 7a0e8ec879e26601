"""Credit2 worked by hand: epochs, slices, rate limit, caps, run queues by topology (4.8 against its twin:
test_models)."""

import pickle

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit2 import Credit2Scheduler
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
SECOND = 1_000 * MS
IDLE = None


def make_host(topology, *programs, version="current", params=(), pcpus=None, **options):
    topology = Topology.flat(topology) if isinstance(topology, int) else topology
    host = Host(topology, Credit2Scheduler(version, **options), [HogKind(), ListKind(), PeriodicKind()])
    control = Domctl(host)
    for i, program in enumerate(programs):
        given = params[i] if i < len(params) else {}
        placed = {} if pcpus is None else {"pcpus": [pcpus[i]]}
        control.create_domain(i + 1, program, params=given, **placed)
    host.start_trace()
    return host, control


def dispatches(host):
    idle = len(host.sections["guest_kind"])
    records = host.trace_records()
    records = records[records["kind"] == TraceKind.SWITCH]
    return [(t / MS, v if v < idle else IDLE) for t, v in records[["at_ns", "vcpu"]].tolist()]


def shares(host, count):
    return [host.runstate_ns(v)["running"] / host.now_ns for v in range(count)]


class TestEpochs:
    def test_two_equal_hogs_take_turns_of_the_rate_limit(self):
        host, _ = make_host(1, Hog(), Hog())
        host.run_until(8 * MS)
        # Each turn the other one's credit is a millisecond away, and no slice is shorter than the rate limit.
        assert dispatches(host)[:5] == [(0, 0), (1, 1), (2.5, 0), (3.5, 1), (4.5, 0)]
        host.run_until(4 * SECOND)
        assert shares(host, 2) == pytest.approx([0.5, 0.5], abs=0.001)

    def test_under_4_8_they_run_until_they_are_out_of_credit(self):
        host, _ = make_host(1, Hog(), Hog(), version="4.8")
        host.run_until(45 * MS)
        assert dispatches(host) == [(0, 0), (1, 1), (11, 0), (20.5, 1), (30.5, 0), (40.5, 1)]

    @pytest.mark.parametrize(
        ("weights", "expected"),
        [((256, 512), (1 / 3, 2 / 3)), ((256, 768), (0.25, 0.75)), ((512, 256, 256), (0.5, 0.25, 0.25))],
    )
    def test_shares_follow_the_weights(self, weights, expected):
        host, _ = make_host(1, *[Hog()] * len(weights), params=[{"weight": weight} for weight in weights])
        host.run_until(6 * SECOND)
        assert shares(host, len(weights)) == pytest.approx(expected, abs=0.005)

    def test_a_lone_hog_has_slices_of_10_ms_and_a_reset_at_the_end_of_each(self):
        host, _ = make_host(1, Hog())
        host.run_until(55 * MS)
        records = host.trace_records()
        assert (records["at_ns"][records["kind"] == TraceKind.RESET] / MS).tolist() == [10, 20, 30, 40, 50]
        assert dispatches(host) == [(0, 0)]

    @pytest.mark.parametrize(("version", "is_fair"), [("4.8", False), ("4.8fix", True), ("current", True)])
    def test_three_hogs_on_two_pcpus(self, version, is_fair):
        # 4.8 forgets at a reset what running vCPUs have not been charged for yet.
        host, _ = make_host(2, Hog(), Hog(), Hog(), version=version, pcpus=[0, 1, 0])
        host.run_until(20 * SECOND)
        got = sorted(shares(host, 3))
        assert sum(got) == pytest.approx(2, abs=1e-6)
        if is_fair:
            assert got == pytest.approx([2 / 3] * 3, abs=0.02)
        else:
            assert got == pytest.approx([0.52, 0.73, 0.75], abs=0.02)


class TestRateLimit:
    @pytest.mark.parametrize(("ratelimit_us", "waits_ms"), [(0, 0), (1000, 10.6)])
    def test_who_wakes_soon_after_a_switch_has_to_wait(self, ratelimit_us, waits_ms):
        # The second runs at 1 ms (or at once), blocks, and wakes 0.4 ms after the hog was switched in again. Within the
        # limit the hog cannot be preempted and nobody asks for a pass: it runs to the end of its slice of 10 ms and
        # more.
        program = WorkList(((100_000, 400_000), (100_000, SECOND)), loop=False)
        host, _ = make_host(1, Hog(), program, ratelimit_us=ratelimit_us)
        host.run_until(100 * MS)
        waited_ms = host.sections["vcpu"]["wake_latency_max_ns"][1] / MS
        assert waited_ms == pytest.approx(waits_ms, abs=1e-6) if ratelimit_us == 0 else 0.6 <= waited_ms <= waits_ms

    @pytest.mark.parametrize("value", [50, 500_001, -1, 1.5])
    def test_impossible_limits_are_named(self, value):
        with pytest.raises(ValueError, match="ratelimit_us"):
            Credit2Scheduler(ratelimit_us=value)


class TestCaps:
    def test_half_a_pcpu_is_5_ms_of_every_10(self):
        host, _ = make_host(1, Hog(), params=[{"cap": 50}])
        host.run_until(60 * MS)
        stretches = dispatches(host)
        assert [v for _, v in stretches[:6]] == [0, IDLE, 0, IDLE, 0, IDLE]
        assert [round(t, 3) for t, _ in stretches[1:6]] == [5, 10, 15, 20, 25]
        host.run_until(10 * SECOND)
        assert shares(host, 1) == pytest.approx([0.5], abs=0.001)

    def test_a_cap_is_the_domain_s(self):
        host = Host(Topology.flat(2), Credit2Scheduler(), [HogKind()])
        Domctl(host).create_domain(1, Hog(), num_vcpus=2, params={"cap": 100})
        host.run_until(10 * SECOND)
        assert sum(shares(host, 2)) == pytest.approx(1, abs=0.01)
        assert shares(host, 2) == pytest.approx([0.5, 0.5], abs=0.02)

    def test_what_is_capped_leaves_the_rest_to_others_and_gets_it_back_without(self):
        host, control = make_host(1, Hog(), Hog(), params=[{"cap": 20}])
        host.run_until(10 * SECOND)
        assert shares(host, 2) == pytest.approx([0.2, 0.8], abs=0.01)
        control.adjust_domain(1, cap=0)
        before = host.runstate_ns(0)["running"]
        host.run_until(20 * SECOND)
        assert (host.runstate_ns(0)["running"] - before) / (10 * SECOND) == pytest.approx(0.5, abs=0.01)

    def test_4_8_has_none(self):
        _, control = make_host(1, Hog(), version="4.8")
        with pytest.raises(ValueError, match="cap"):
            control.adjust_domain(1, cap=50)


class TestRunQueues:
    @pytest.mark.parametrize(
        ("topology", "arrangement", "groups"),
        [
            (Topology.flat(4), "socket", [{0, 1, 2, 3}]),
            (Topology.flat(4), "cpu", [{0}, {1}, {2}, {3}]),
            (Topology(sockets=2, cores_per_socket=2), "socket", [{0, 1}, {2, 3}]),
            (Topology(sockets=2, cores_per_socket=2), "all", [{0, 1, 2, 3}]),
            (Topology(cores_per_socket=2, threads_per_core=2), "core", [{0, 1}, {2, 3}]),
        ],
    )
    def test_pcpus_share_one_by_topology(self, topology, arrangement, groups):
        host, _ = make_host(topology, runqueue=arrangement)
        numbers = host.sections["credit2_pcpu"]["runqueue"].tolist()
        assert [
            {p for p, number in enumerate(numbers) if number == wanted} for wanted in sorted(set(numbers))
        ] == groups

    def test_two_sockets_are_balanced(self):
        host, _ = make_host(Topology(sockets=2, cores_per_socket=2), *[Hog()] * 4, pcpus=[0, 0, 1, 1])
        host.run_until(10 * SECOND)
        assert sum(shares(host, 4)) > 3.6

    def test_hard_affinity_is_kept(self):
        host, control = make_host(2, Hog(), Hog(), Hog())
        control.set_affinity(1, 0, hard=[1])
        host.run_until(2 * SECOND)
        records = host.trace_records()
        moved = records[(records["kind"] == TraceKind.SWITCH) & (records["vcpu"] == 0) & (records["at_ns"] > MS)]
        assert set(moved["pcpu"].tolist()) <= {1}


def test_a_snapshot_in_mid_run_continues_identically():
    host, _ = make_host(2, Hog(), Periodic(MS, 7 * MS), WorkList(((3 * MS, 2 * MS),)), Hog(), params=[{"cap": 60}])
    host.run_until(333 * MS)
    other = pickle.loads(pickle.dumps(host))
    for each in (host, other):
        each.run_until(SECOND)
    assert host.digest() == other.digest()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weight": 0}, r"weight must be an integer 1\.\.65535, found 0"),
        ({"weight": 65536}, "weight must be an integer"),
        ({"cap": 101}, "cap"),
        ({"slice": 5}, "unknown parameter slice"),
    ],
)
def test_impossible_parameters_are_named_and_change_nothing(params, message):
    host, control = make_host(1, Hog())
    before = host.digest()
    with pytest.raises(ValueError, match=message):
        control.adjust_domain(1, **params)
    assert host.digest() == before


def test_unknown_versions_and_options_are_named():
    with pytest.raises(ValueError, match=r"unknown version '4\.7' of scheduler 'credit2'; expected one of 4\.8"):
        Credit2Scheduler("4.7")
    with pytest.raises(ValueError, match="runqueue"):
        Credit2Scheduler(runqueue="rack")
