"""The control interface: life of domains and vCPUs, who may ask, and that a refusal changes nothing."""

import numpy as np
import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, Server, WorkList
from xengym.guests.server import ServerKind
from xengym.hypervisor.domctl import MAX_DOMID, Domctl, PrivilegeError
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.random import DistributionSpec
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
NEVER = 2**63 - 1
ONCE_A_MS = DistributionSpec("constant", MS)


def make_host(num_pcpus=1, version="4.5", *, max_domains=4, max_vcpus=8, topology=None):
    kinds = [HogKind(), PeriodicKind(), ListKind(), ServerKind()]
    host = Host(
        topology or Topology.flat(num_pcpus),
        CreditScheduler(version),
        kinds,
        max_domains=max_domains,
        max_vcpus=max_vcpus,
    )
    host.start_trace()
    return host, Domctl(host)


def dispatches(host, since=0):
    """``(at_ns, pcpu, vcpu)`` of every context switch from ``since`` on; None for idle."""
    max_vcpus = len(host.sections["guest_kind"])
    return [
        (at_ns, pcpu, vcpu if vcpu < max_vcpus else None)
        for at_ns, _, vcpu, _, kind, pcpu in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and at_ns >= since
    ]


def times_ms(host, vcpu):
    return {name: spent / MS for name, spent in host.runstate_ns(vcpu).items()}


def armed_guest_timers(host):
    first = 3 * host.num_pcpus + 1
    return np.flatnonzero(host.sections["timer"]["at_ns"][first:] != NEVER).tolist()


class TestPrivilege:
    CALLS = (
        ("create_domain", (9, Hog()), {}),
        ("destroy_domain", (1,), {}),
        ("pause_domain", (1,), {}),
        ("unpause_domain", (1,), {}),
        ("set_vcpu_online", (1, 0, False), {}),
        ("set_affinity", (1, 0), {"hard": [0]}),
        ("adjust_domain", (1,), {"weight": 512}),
        ("adjust_scheduler", (), {"tslice_ms": 5}),
    )

    @pytest.mark.parametrize(("call", "arguments", "options"), CALLS, ids=[name for name, *_ in CALLS])
    @pytest.mark.parametrize(
        ("caller", "reason"),
        [(1, "domain 1 is not privileged and may not use"), (7, "domain 7 does not exist and may not use")],
    )
    def test_a_caller_without_privilege_is_refused_and_changes_nothing(self, call, arguments, options, caller, reason):
        host, control = make_host()
        control.create_domain(1, Hog())
        host.run_until(MS)
        before = host.digest()
        with pytest.raises(PrivilegeError, match=f"{reason} the control interface"):
            getattr(Domctl(host, caller=caller), call)(*arguments, **options)
        assert host.digest() == before

    def test_a_domain_that_was_given_privilege_may_ask_until_it_is_destroyed(self):
        host, control = make_host()
        control.create_domain(3, Hog(), is_privileged=True)
        Domctl(host, caller=3).create_domain(4, Hog())
        assert host.sections["domain"]["is_privileged"].tolist() == [1, 0, 0, 0]
        control.destroy_domain(3)
        with pytest.raises(PrivilegeError, match="domain 3 does not exist"):
            Domctl(host, caller=3).destroy_domain(4)

    def test_dom0_is_privileged_without_asking_for_it(self):
        host, control = make_host()
        control.create_domain(0, Hog())
        assert host.sections["domain"]["is_privileged"][0] == 1


class TestCreation:
    def test_a_new_domain_is_written_down_and_starts_at_its_time(self):
        host, control = make_host(2)
        host.run_until(3 * MS)
        agreed = {"latency_target_ns": MS, "agreed_pcpus": 0.5}
        slot = control.create_domain(12, Hog(), num_vcpus=2, name="web", start_ns=[5 * MS, 9 * MS], **agreed)
        assert (slot, control.slot(12), control.vcpu_number(12, 1)) == (0, 0, 1)
        assert host.domain_names == {0: "web"}
        domain = host.sections["domain"][0]
        assert (domain["domid"], domain["num_vcpus"], domain["created_at_ns"]) == (12, 2, 3 * MS)
        assert (domain["latency_target_ns"], domain["agreed_pcpus"]) == (MS, 0.5)
        host.run_until(10 * MS)
        assert dispatches(host) == [(5 * MS, 0, 0), (9 * MS, 1, 1)]
        # Its vCPUs exist from 3 ms on and are offline until they start.
        assert times_ms(host, 1) == {"running": 1, "runnable": 0, "blocked": 0, "offline": 6}

    def test_a_start_in_the_past_is_a_start_now(self):
        host, control = make_host()
        host.run_until(3 * MS)
        control.create_domain(1, Hog(), start_ns=MS)
        host.run_until(4 * MS)
        assert dispatches(host) == [(3 * MS, 0, 0)]

    def test_each_vcpu_may_run_another_program(self):
        host, control = make_host(2)
        control.create_domain(1, [Hog(), WorkList(((MS, 3 * MS),))], num_vcpus=2)
        host.run_until(8 * MS)
        assert [times_ms(host, vcpu)["running"] for vcpu in (0, 1)] == [8, 2]

    SERVER = Server(ONCE_A_MS, ONCE_A_MS)
    REFUSED = (
        ((-1, Hog()), {}, r"domain id must be an integer 0\.\.32751, found -1"),
        ((MAX_DOMID + 1, Hog()), {}, r"domain id must be an integer 0\.\.32751, found 32752"),
        ((1.0, Hog()), {}, r"domain id must be an integer 0\.\.32751, found 1\.0"),
        ((5, Hog()), {}, "domain 5 exists already"),
        ((1, Hog()), {"num_vcpus": 0}, "domain 1: num_vcpus must be a positive integer, found 0"),
        ((1, Hog()), {"num_vcpus": 1.5}, r"domain 1: num_vcpus must be a positive integer, found 1\.5"),
        ((1, [Hog()]), {"num_vcpus": 2}, "domain 1: 2 vCPUs but 1 programs"),
        ((1, Hog()), {"num_vcpus": 8}, "domain 1: no room for 8 vCPUs; 1 of at most 8 are in use"),
        ((1, Hog()), {"hard_affinity": []}, r"must name at least one of pCPUs 0\.\.1, found none"),
        ((1, Hog()), {"hard_affinity": [2]}, r"hard_affinity names pCPU 2; this host has pCPUs 0\.\.1"),
        ((1, Hog()), {"soft_affinity": [-1]}, r"soft_affinity names pCPU -1; this host has pCPUs 0\.\.1"),
        ((1, Hog()), {"soft_affinity": [0.5]}, r"soft_affinity names pCPU 0\.5"),
        ((1, Hog()), {"pcpus": [2]}, r"domain 1: initial pCPU 2 is not among pCPUs 0\.\.1 of its affinity"),
        ((1, Hog()), {"pcpus": [0], "hard_affinity": [1]}, "domain 1: initial pCPU 0 is not among"),
        ((1, Hog()), {"pcpus": [0], "num_vcpus": 2}, "domain 1: 2 vCPUs but 1"),
        ((1, Hog()), {"start_ns": [0], "num_vcpus": 2}, "domain 1: 2 vCPUs but 1"),
        ((1, Hog()), {"start_ns": [0, -1], "num_vcpus": 2}, "domain 1: start_ns must be .*, found -1"),
        ((1, Hog()), {"start_ns": 2**70}, f"domain 1: start_ns must be .*, found {2**70}"),
        ((1, Hog()), {"latency_target_ns": -1}, "domain 1: latency_target_ns must be .*, found -1"),
        ((1, Hog()), {"agreed_pcpus": float("nan")}, "domain 1: agreed_pcpus must be .*, found nan"),
        ((1, Hog()), {"agreed_pcpus": -0.5}, r"domain 1: agreed_pcpus must be .*, found -0\.5"),
        ((1, Hog()), {"params": {"weight": 0}}, "domain 1, .*: weight must be an integer"),
        ((1, Hog()), {"params": {"weight": 300, "cap": 101}}, "domain 1, .*: cap .* found 101"),
        ((1, Hog()), {"params": {"tickets": 3}}, "domain 1, .*: unknown parameter tickets"),
    )

    @pytest.mark.parametrize(("arguments", "options", "message"), REFUSED)
    def test_an_impossible_domain_is_refused_and_changes_nothing(self, arguments, options, message):
        host, control = make_host(2)
        control.create_domain(5, WorkList(((MS, MS),)))
        host.run_until(3 * MS)
        before, names = host.digest(), dict(host.domain_names)
        with pytest.raises(ValueError, match=message):
            control.create_domain(*arguments, **options)
        assert host.digest() == before
        assert host.domain_names == names

    def test_a_program_this_host_does_not_know_is_refused_by_name(self):
        host = Host(Topology.flat(1), CreditScheduler(), [HogKind(), ListKind()])
        with pytest.raises(ValueError, match="unknown program 'periodic'; this host knows hog, list"):
            Domctl(host).create_domain(1, Periodic(MS, MS))

    OTHER = Server(ONCE_A_MS, DistributionSpec("constant", 1))

    @pytest.mark.parametrize("programs", [[SERVER, Hog()], [Hog(), SERVER], [SERVER, OTHER]])
    def test_a_server_shares_its_domain_with_no_other_program(self, programs):
        # Its vCPUs share one queue and one stream of requests, which belong to the whole domain.
        _, control = make_host(2)
        with pytest.raises(ValueError, match=r"domain 1: .*server"):
            control.create_domain(1, programs, num_vcpus=2)

    def test_the_limits_can_be_reached_but_not_passed(self):
        host, control = make_host(2, max_domains=3, max_vcpus=4)
        control.create_domain(0, Hog(), num_vcpus=2)
        control.create_domain(MAX_DOMID, Hog())
        control.create_domain(1, Hog())
        with pytest.raises(ValueError, match="domain 2: the host holds its maximum of 3 domains"):
            control.create_domain(2, Hog())
        control.destroy_domain(1)
        with pytest.raises(ValueError, match="domain 2: no room for 2 vCPUs; 3 of at most 4 are in use"):
            control.create_domain(2, Hog(), num_vcpus=2)
        control.create_domain(2, Hog())
        host.run_until(40 * MS)
        assert sum(times_ms(host, vcpu)["running"] for vcpu in range(4)) == 80

    def test_the_first_vcpu_goes_where_fewest_are_and_the_others_follow_cyclically(self):
        host, control = make_host(3)
        control.create_domain(1, Hog(), num_vcpus=2)  # pCPUs 0, 1
        control.create_domain(2, Hog(), num_vcpus=2)  # pCPU 2 has none, then 0
        control.create_domain(3, Hog())  # 1 and 2 have one: the lower
        assert host.sections["vcpu"]["pcpu"][:5].tolist() == [0, 1, 2, 0, 1]

    def test_the_placement_follows_the_hard_affinity_and_a_given_pcpu(self):
        host, control = make_host(4)
        control.create_domain(1, Hog(), num_vcpus=3, hard_affinity=[1, 3])
        control.create_domain(2, Hog(), num_vcpus=2, pcpus=[2, 2])
        assert host.sections["vcpu"]["pcpu"][:5].tolist() == [1, 3, 1, 2, 2]


class TestPause:
    def test_pauses_nest_and_the_time_counts_as_offline(self):
        host, control = make_host()
        control.create_domain(1, Hog())
        host.run_until(2 * MS)
        control.pause_domain(1)
        control.pause_domain(1)
        host.run_until(5 * MS)
        control.unpause_domain(1)
        host.run_until(9 * MS)
        control.unpause_domain(1)
        host.run_until(10 * MS)
        assert dispatches(host) == [(0, 0, 0), (2 * MS, 0, None), (9 * MS, 0, 0)]
        assert times_ms(host, 0) == {"running": 3, "runnable": 0, "blocked": 0, "offline": 7}

    def test_more_unpausing_than_pausing_is_refused(self):
        _, control = make_host()
        control.create_domain(1, Hog())
        control.pause_domain(1)
        control.unpause_domain(1)
        with pytest.raises(ValueError, match="domain 1 is not paused"):
            control.unpause_domain(1)

    def test_a_queued_vcpu_leaves_its_queue(self):
        host, control = make_host(version="3.2")
        control.create_domain(1, Hog())
        control.create_domain(2, Hog())
        host.run_until(10 * MS)
        control.pause_domain(2)
        host.run_until(70 * MS)
        assert dispatches(host) == [(0, 0, 0)]
        assert times_ms(host, 1) == {"running": 0, "runnable": 10, "blocked": 0, "offline": 60}

    def test_a_wake_up_while_paused_takes_effect_at_the_unpause(self):
        host, control = make_host()
        control.create_domain(1, WorkList(((2 * MS, 3 * MS),)))
        host.run_until(4 * MS)
        control.pause_domain(1)
        host.run_until(9 * MS)
        control.unpause_domain(1)
        host.run_until(12 * MS)
        # Blocked from 2 to 5 ms also while paused; then offline.
        assert times_ms(host, 0) == {"running": 4, "runnable": 0, "blocked": 4, "offline": 4}
        assert dispatches(host, since=3 * MS) == [(9 * MS, 0, 0), (11 * MS, 0, None)]

    def test_a_domain_paused_before_its_start_begins_at_the_unpause(self):
        host, control = make_host()
        control.create_domain(1, Hog(), start_ns=5 * MS)
        control.pause_domain(1)
        host.run_until(8 * MS)
        control.unpause_domain(1)
        host.run_until(9 * MS)
        assert dispatches(host) == [(8 * MS, 0, 0)]


class TestHotPlug:
    def test_a_vcpu_goes_on_where_it_was(self):
        host, control = make_host()
        control.create_domain(1, WorkList(((6 * MS, 4 * MS),)))
        host.run_until(2 * MS)
        control.set_vcpu_online(1, 0, False)
        control.set_vcpu_online(1, 0, False)  # once more is no more
        host.run_until(5 * MS)
        control.set_vcpu_online(1, 0, True)
        control.set_vcpu_online(1, 0, True)
        host.run_until(10 * MS)
        assert dispatches(host) == [(0, 0, 0), (2 * MS, 0, None), (5 * MS, 0, 0), (9 * MS, 0, None)]
        assert times_ms(host, 0) == {"running": 6, "runnable": 0, "blocked": 1, "offline": 3}

    def test_a_wake_up_while_offline_takes_effect_when_it_is_back(self):
        host, control = make_host()
        control.create_domain(1, WorkList(((2 * MS, 3 * MS),)))
        host.run_until(4 * MS)
        control.set_vcpu_online(1, 0, False)
        host.run_until(7 * MS)
        assert times_ms(host, 0) == {"running": 2, "runnable": 0, "blocked": 3, "offline": 2}
        control.set_vcpu_online(1, 0, True)
        host.run_until(8 * MS)
        assert dispatches(host, since=3 * MS) == [(7 * MS, 0, 0)]

    def test_a_vcpu_brought_online_early_starts_once(self):
        host, control = make_host()
        control.create_domain(1, WorkList(((2 * MS, 100 * MS),)), start_ns=9 * MS)
        host.run_until(4 * MS)
        control.set_vcpu_online(1, 0, True)
        host.run_until(20 * MS)
        assert dispatches(host) == [(4 * MS, 0, 0), (6 * MS, 0, None)]

    def test_the_others_of_its_domain_stay(self):
        host, control = make_host(2)
        control.create_domain(1, Hog(), num_vcpus=2)
        host.run_until(MS)
        control.set_vcpu_online(1, 1, False)
        host.run_until(3 * MS)
        assert [times_ms(host, vcpu)["running"] for vcpu in (0, 1)] == [3, 1]

    @pytest.mark.parametrize("vcpu", [-1, 2])
    def test_a_vcpu_the_domain_has_not_is_refused(self, vcpu):
        _, control = make_host()
        control.create_domain(1, Hog(), num_vcpus=2)
        with pytest.raises(ValueError, match=rf"domain 1 has vCPUs 0\.\.1, found {vcpu}"):
            control.set_vcpu_online(1, vcpu, False)


class TestAffinity:
    def test_masks_are_kept_apart_and_none_leaves_one_as_it_is(self):
        _, control = make_host(4)
        control.create_domain(1, Hog(), num_vcpus=2, hard_affinity=[0, 2])
        control.set_affinity(1, 1, soft=[2, 3])
        assert control.affinity(1, 0) == ([0, 2], [0, 1, 2, 3])
        assert control.affinity(1, 1) == ([0, 2], [2, 3])
        control.set_affinity(1, 1, hard=[3])
        assert control.affinity(1, 1) == ([3], [2, 3])

    @pytest.mark.parametrize(
        ("hard", "soft", "is_effective"),
        [
            ([0, 1, 2, 3], [1], True),
            ([0, 1, 2, 3], [0, 1, 2, 3], False),  # no preference
            ([1], [0, 1], False),  # wholly inside the preference
            ([0, 1], [2, 3], False),  # cannot be met
            ([0, 1, 2], [2, 3], True),
        ],
    )
    def test_a_preference_counts_where_it_narrows_the_choice_and_can_be_met(self, hard, soft, is_effective):
        host, control = make_host(4)
        control.create_domain(1, Hog(), hard_affinity=hard, soft_affinity=soft)
        assert host.sections["vcpu"]["soft_is_effective"][0] == is_effective

    REFUSED = ({"hard": []}, {"hard": [4]}, {"soft": []}, {"hard": [0], "soft": [-1]})

    @pytest.mark.parametrize("masks", REFUSED)
    def test_an_affinity_to_no_pcpu_of_this_host_is_refused_and_changes_nothing(self, masks):
        host, control = make_host(4)
        control.create_domain(1, Hog())
        host.run_until(MS)
        before = host.digest()
        with pytest.raises(ValueError, match=r"domain 1 vCPU 0: (hard|soft)_affinity .*pCPUs 0\.\.3"):
            control.set_affinity(1, 0, **masks)
        assert host.digest() == before

    def test_an_offline_vcpu_is_placed_at_once_and_starts_there(self):
        host, control = make_host(3)
        control.create_domain(1, Hog(), start_ns=5 * MS)
        control.set_affinity(1, 0, hard=[2])
        host.run_until(6 * MS)
        assert dispatches(host) == [(5 * MS, 2, 0)]


class TestDestruction:
    def test_nothing_of_a_running_domain_is_left(self):
        host, control = make_host(2)
        empty = host.sections["domain"].tobytes(), host.sections["vcpu"][:8].tobytes()
        control.create_domain(1, Server(ONCE_A_MS, ONCE_A_MS), num_vcpus=3)
        control.create_domain(2, Hog(), num_vcpus=2)
        host.run_until(20 * MS + 1)
        for domid in (1, 2):
            control.destroy_domain(domid)
        assert (host.sections["domain"].tobytes(), host.sections["vcpu"][:8].tobytes()) == empty
        assert armed_guest_timers(host) == []
        clock = host.sections["clock"][0]
        assert (clock["num_domains"], clock["num_vcpus"]) == (0, 0)
        assert host.sections["pcpu"]["curr"].tolist() == [8, 9]
        assert host.sections["pcpu"]["last_guest"].tolist() == [-1, -1]
        assert host.sections["credit"]["weight"][0] == 0
        host.run_until(500 * MS)
        assert dispatches(host, since=20 * MS + 2) == []

    def test_none_of_its_vcpus_is_dispatched_while_it_is_taken_down(self):
        host, control = make_host()
        control.create_domain(1, Hog(), num_vcpus=3)
        host.run_until(5 * MS)
        control.destroy_domain(1)
        host.run_until(6 * MS)
        assert dispatches(host, since=MS) == [(5 * MS, 0, None)]

    def test_what_waited_behind_it_runs_at_once(self):
        host, control = make_host(version="3.2")
        control.create_domain(1, Hog())
        control.create_domain(2, Hog())
        host.run_until(5 * MS)
        control.destroy_domain(1)
        host.run_until(6 * MS)
        assert dispatches(host) == [(0, 0, 0), (5 * MS, 0, 1)]

    @pytest.mark.parametrize("version", ["3.0.3", "3.2", "4.5", "4.8", "current"])
    @pytest.mark.parametrize("at_ms", [0, 3, 10, 30, 31, 60, 61, 75, 90, 100])
    def test_at_any_moment_whatever_its_vcpus_do(self, version, at_ms):
        # Capped and hence parked at times, blocked, queued, running, not started, moving.
        host, control = make_host(2, version)
        control.create_domain(1, Hog())
        programs = [Hog(), WorkList(((4 * MS, 3 * MS),)), Hog(), Hog()]
        control.create_domain(
            2, programs, num_vcpus=4, params={"cap": 30}, start_ns=[0, 0, 0, 61 * MS], pcpus=[0, 1, 1, 0]
        )
        host.run_until(at_ms * MS)
        control.set_affinity(2, 0, hard=[1])
        control.destroy_domain(2)
        host.run_until(at_ms * MS + 1)
        assert host.sections["vcpu"]["in_use"][:8].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
        assert set(host.sections["pcpu"]["curr"].tolist()) <= {0, 8, 9}
        assert armed_guest_timers(host) == []
        done = times_ms(host, 0)["running"]
        host.run_until(at_ms * MS + 500 * MS)
        # What is left has the machine to itself.
        assert times_ms(host, 0)["running"] - done == pytest.approx(500, abs=1e-4)

    def test_a_slot_is_used_again_without_memory_of_the_last_one(self):
        host, control = make_host()
        control.create_domain(1, Hog(), params={"weight": 999, "cap": 10})
        host.run_until(100 * MS)
        control.destroy_domain(1)
        assert control.create_domain(2, Hog()) == 0
        host.run_until(200 * MS)
        assert control.domain_params(2) == {"weight": 256, "cap": 0}
        assert times_ms(host, 0) == {"running": 100, "runnable": 0, "blocked": 0, "offline": 0}
        assert host.sections["vcpu"]["dispatches"][0] == 1

    @pytest.mark.parametrize(
        "call", ["destroy_domain", "pause_domain", "unpause_domain", "adjust_domain", "domain_params", "slot"]
    )
    def test_a_domain_that_is_not_there_is_refused(self, call):
        _, control = make_host()
        control.create_domain(1, Hog())
        control.destroy_domain(1)
        with pytest.raises(ValueError, match="no domain 1 on this host"):
            getattr(control, call)(1)
