"""null worked by hand: who has which pCPU, who waits, and what lets a waiting vCPU in."""

import pickle

import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.null import NullScheduler
from xengym.policies.schedulers.registry import make_scheduler, scheduler_versions
from xengym.policies.schedulers.tunables import Share
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
MAX_VCPUS = 8
IDLE = None


def make_host(num_pcpus, *programs, **place):
    """A traced host; each program is a domain of one vCPU, ids from 1 on."""
    host = Host(
        Topology.flat(num_pcpus),
        NullScheduler(),
        [HogKind(), ListKind()],
        max_domains=MAX_VCPUS,
        max_vcpus=MAX_VCPUS,
    )
    host.start_trace()
    for number, program in enumerate(programs):
        Domctl(host).create_domain(number + 1, program, **place)
    return host, Domctl(host)


def switches(host, since_ms=0.0):
    """``(at_ms, pcpu, vcpu)`` of every context switch; None for idle."""
    return [
        (at_ns / MS, pcpu, vcpu if vcpu < MAX_VCPUS else IDLE)
        for at_ns, _, vcpu, _, kind, pcpu in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and at_ns / MS >= since_ms
    ]


def assigned(host):
    """Who each pCPU is assigned to; None for nobody."""
    return [vcpu if vcpu >= 0 else None for vcpu in host.sections["null_pcpu"]["vcpu"].tolist()]


def running_ms(host, num_vcpus):
    return [host.runstate_ns(vcpu)["running"] / MS for vcpu in range(num_vcpus)]


class TestVersions:
    def test_there_is_one(self):
        assert scheduler_versions("null") == ["4.22", "current"]
        assert make_scheduler("null").version == "4.22"
        with pytest.raises(ValueError, match=r"unknown version '4\.8' of scheduler 'null'; expected one of 4\.22"):
            NullScheduler("4.8")


class TestNothingCanBeSet:
    def test_parameters_are_refused(self):
        host, control = make_host(1, Hog())
        assert (host.scheduler.tunables(), host.scheduler.params(), control.domain_params(1)) == ([], {}, {})
        with pytest.raises(ValueError, match=r"domain 2, .*: there are no domain parameters; found weight"):
            control.create_domain(2, Hog(), params={"weight": 256})
        with pytest.raises(ValueError, match="there are no domain parameters; found cap"):
            control.adjust_domain(1, cap=10)
        with pytest.raises(ValueError, match="scheduler 'null' has no parameters; found ratelimit_us"):
            control.adjust_scheduler(ratelimit_us=1000)
        with pytest.raises(ValueError, match=r"scheduler 'null': .*slice_ms"):
            make_scheduler("null", slice_ms=5)

    def test_whatever_another_scheduler_gave_is_lost(self):
        host, _ = make_host(1, Hog())
        share = Share(weight=256, cap_pct=50, slice_ns=MS, period_ns=10 * MS, extra_time=True)
        assert host.scheduler.params_from(share, 2) == ({}, list(Share._fields))
        assert host.scheduler.share(0) == Share()


class TestOnePcpuEach:
    def test_as_many_vcpus_as_pcpus_switch_once(self):
        host, _ = make_host(2, Hog(), Hog())
        host.run_until(10_000 * MS)
        assert switches(host) == [(0, 0, 0), (0, 1, 1)]
        assert running_ms(host, 2) == [10_000, 10_000]
        assert host.sections["pcpu"]["invocations"].tolist() == [1, 1]

    def test_a_wake_up_runs_at_once_and_a_block_leaves_the_pcpu_idle(self):
        host, _ = make_host(2, WorkList(((3 * MS, 4 * MS),)), Hog())
        host.run_until(15 * MS)
        assert switches(host) == [
            (0, 0, 0), (0, 1, 1), (3, 0, IDLE), (7, 0, 0), (10, 0, IDLE), (14, 0, 0),
        ]  # fmt: skip
        assert host.sections["vcpu"]["wake_latency_max_ns"][0] == 0

    def test_a_yield_goes_on_with_the_same_vcpu(self):
        host, _ = make_host(1, WorkList(((1 * MS, -1),)), Hog())
        host.run_until(5 * MS)
        assert switches(host) == [(0, 0, 0)]
        assert host.sections["vcpu"]["yields"][0] == 4

    def test_the_vcpus_of_a_domain_spread(self):
        host, control = make_host(4)
        control.create_domain(1, Hog(), num_vcpus=3)
        host.run_until(1 * MS)
        assert assigned(host) == [0, 1, 2, None]


class TestTheWaitQueue:
    def three_on_two(self, *programs):
        host, control = make_host(2, *(programs or (Hog(), Hog())), Hog())
        host.run_until(20 * MS)
        assert host.scheduler.queued() == [2]
        return host, control

    def test_one_too_many_never_runs_though_others_block(self):
        host, _ = self.three_on_two(WorkList(((1 * MS, 9 * MS),)), WorkList(((2 * MS, 8 * MS),)))
        host.run_until(1000 * MS)
        assert running_ms(host, 3) == [100, 200, 0]

    def test_nor_when_they_are_paused(self):
        host, control = self.three_on_two()
        control.pause_domain(1)
        host.run_until(30 * MS)
        assert switches(host, 20) == [(20, 0, IDLE)]
        assert assigned(host) == [0, 1]
        control.unpause_domain(1)
        host.run_until(31 * MS)
        assert switches(host, 30) == [(30, 0, 0)]

    @pytest.mark.parametrize("how", ["destroyed", "offline"])
    def test_it_runs_once_another_is_gone(self, how):
        host, control = self.three_on_two()
        if how == "destroyed":
            control.destroy_domain(2)
        else:
            control.set_vcpu_online(2, 0, False)
        host.run_until(30 * MS)
        # Torn down, the vCPU leaves its pCPU first; taken offline, it is followed directly.
        gone = [(20, 1, IDLE)] if how == "destroyed" else []
        assert switches(host, 20) == [*gone, (20, 1, 2)]
        assert running_ms(host, 3)[2] == 10

    def test_who_comes_back_online_waits_in_its_turn(self):
        host, control = self.three_on_two()
        control.set_vcpu_online(1, 0, False)
        host.run_until(21 * MS)
        assert assigned(host) == [2, 1]
        control.set_vcpu_online(1, 0, True)
        control.create_domain(4, Hog())
        host.run_until(22 * MS)
        assert host.scheduler.queued() == [0, 3]
        control.destroy_domain(2)
        assert assigned(host) == [2, 0]
        control.destroy_domain(3)
        assert assigned(host) == [3, 0]
        assert host.scheduler.queued() == [3, 0]  # for the passes of pCPU 0 and 1 that hand them over
        host.run_until(23 * MS)
        assert host.scheduler.queued() == []

    def test_who_waits_may_go_offline_or_be_destroyed(self):
        host, control = self.three_on_two()
        control.create_domain(4, Hog())
        control.create_domain(5, Hog())
        host.run_until(21 * MS)
        assert host.scheduler.queued() == [2, 3, 4]
        control.set_vcpu_online(4, 0, False)
        assert host.scheduler.queued() == [2, 4]
        control.destroy_domain(3)
        assert host.scheduler.queued() == [4]
        control.destroy_domain(1)
        assert assigned(host) == [4, 1]

    def test_a_paused_one_keeps_its_place_and_takes_a_pcpu_for_nothing(self):
        host, control = self.three_on_two()
        control.create_domain(4, Hog())
        host.run_until(21 * MS)
        control.pause_domain(3)
        assert host.scheduler.queued() == [3]
        control.destroy_domain(1)
        host.run_until(30 * MS)
        assert assigned(host) == [2, 1]
        assert running_ms(host, 4)[2:] == [0, 0]

    def test_the_first_that_may_use_the_pcpu_not_the_first(self):
        host, control = self.three_on_two()
        control.set_affinity(3, 0, hard=[0])
        control.create_domain(4, Hog())
        host.run_until(21 * MS)
        assert host.scheduler.queued() == [2, 3]
        control.destroy_domain(2)
        assert assigned(host) == [0, 3]

    def test_who_prefers_the_pcpu_goes_first(self):
        host, control = self.three_on_two()
        control.create_domain(4, Hog(), soft_affinity=[1])
        host.run_until(21 * MS)
        assert host.scheduler.queued() == [2, 3]
        control.destroy_domain(2)
        assert assigned(host) == [0, 3]

    def test_offline_and_back_before_the_pass(self):
        host, control = self.three_on_two()
        # Its pCPU goes to vCPU 2 at once, and its wake-up finds it running still: it queues when it has left.
        control.set_vcpu_online(1, 0, False)
        control.set_vcpu_online(1, 0, True)
        host.run_until(21 * MS)
        assert assigned(host) == [2, 1]
        assert host.scheduler.queued() == [0]
        # With nobody waiting it gets the pCPU back.
        control.destroy_domain(1)
        control.set_vcpu_online(2, 0, False)
        control.set_vcpu_online(2, 0, True)
        host.run_until(22 * MS)
        assert assigned(host) == [2, 1]
        assert switches(host, 21) == [(21, 1, IDLE), (21, 1, 1)]


class TestAffinity:
    def test_pinned_to_a_taken_pcpu_it_waits_beside_a_free_one(self):
        host, control = make_host(2)
        control.create_domain(1, Hog(), hard_affinity=[1])
        control.create_domain(2, Hog(), hard_affinity=[1])
        host.run_until(100 * MS)
        assert assigned(host) == [None, 0]
        assert running_ms(host, 2) == [100, 0]

    def test_the_lowest_free_preferred_pcpu_then_the_lowest_free_one(self):
        host, control = make_host(4)
        control.create_domain(1, Hog(), soft_affinity=[2, 3])
        host.run_until(1 * MS)
        control.create_domain(2, Hog(), soft_affinity=[2, 3])
        host.run_until(2 * MS)
        control.create_domain(3, Hog(), soft_affinity=[2, 3])
        host.run_until(3 * MS)
        assert assigned(host) == [2, None, 0, 1]

    @pytest.mark.parametrize(("lives", "prefers"), [(0, 1), (1, 0)])
    def test_where_it_lives_is_not_where_it_would_be_so_the_first_free_pcpu_that_looks_takes_it(self, lives, prefers):
        host, control = make_host(2)
        control.create_domain(1, Hog(), pcpus=[lives], soft_affinity=[prefers])
        host.run_until(1 * MS)
        assert switches(host) == [(0, 0, 0)]
        assert host.sections["pcpu"]["invocations"].tolist() == [1, 1]

    def test_a_running_vcpu_moves_to_a_free_pcpu(self):
        host, control = make_host(3, Hog())
        host.run_until(1 * MS)
        control.set_affinity(1, 0, hard=[1, 2])
        host.run_until(2 * MS)
        assert switches(host, 1) == [(1, 0, IDLE), (1, 1, 0)]
        assert assigned(host) == [None, 0, None]

    def test_its_own_pcpu_is_good_enough_though_lower_ones_are_free(self):
        host, control = make_host(3)
        control.create_domain(1, Hog(), pcpus=[2])
        host.run_until(1 * MS)
        control.set_affinity(1, 0, hard=[0, 1, 2])
        host.run_until(2 * MS)
        assert assigned(host) == [None, None, 0]

    def test_a_running_vcpu_that_moves_to_a_taken_pcpu_waits_there(self):
        host, control = make_host(2, Hog(), Hog())
        host.run_until(1 * MS)
        control.set_affinity(1, 0, hard=[1])
        host.run_until(2 * MS)
        assert switches(host, 1) == [(1, 0, IDLE)]
        assert host.scheduler.queued() == [0]
        control.destroy_domain(2)
        host.run_until(3 * MS)
        assert switches(host, 2) == [(2, 1, IDLE), (2, 1, 0)]

    def test_any_change_of_affinity_offers_its_pcpu_to_who_waits(self):
        host, control = make_host(1, Hog(), Hog())
        host.run_until(1 * MS)
        control.set_affinity(1, 0, hard=[0])
        host.run_until(2 * MS)
        assert assigned(host) == [1]
        assert host.scheduler.queued() == [0]

    def test_a_blocked_vcpu_takes_its_assignment_along(self):
        host, control = make_host(3, WorkList(((1 * MS, 9 * MS),)))
        host.run_until(5 * MS)
        control.set_affinity(1, 0, hard=[2])
        assert assigned(host) == [None, None, 0]
        host.run_until(11 * MS)
        assert switches(host, 5) == [(10, 2, 0)]


def test_a_snapshot_in_mid_run_goes_on_alike():
    programs = [WorkList(((3 * MS, 4 * MS),)), Hog(), Hog(), WorkList(((5 * MS, MS),))]
    host, _ = make_host(2, *programs)
    host.run_until(50 * MS + 1)
    copy = pickle.loads(pickle.dumps(host))
    fresh, _ = make_host(2)
    fresh.restore(host.snapshot())
    for other in (host, copy, fresh):
        Domctl(other).destroy_domain(2)
        other.run_until(100 * MS)
    assert host.digest() == copy.digest() == fresh.digest()
    assert assigned(host) == [0, 2]
