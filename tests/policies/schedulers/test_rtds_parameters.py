"""What can be set on RTDS, from when it counts, what is refused with which words; and control at awkward moments."""

import pickle

import numpy as np
import pytest

from xengym.envs.host.env import HostEnv
from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler, scheduler_versions
from xengym.policies.schedulers.rtds import RtdsScheduler
from xengym.policies.schedulers.rtds_rules import RTDS_RELEASES, rtds_rules
from xengym.policies.schedulers.tunables import Share
from xengym.scenarios.config import ScenarioConfig
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
MAX_VCPUS = 8
BOTH = ("4.8", "current")
MAX_PERIOD_US = 4611686018427387


def make_host(version="current", *domains, num_pcpus=1):
    """A traced host; each domain is ``(program, params)``, ids from 1 on."""
    host = Host(
        Topology.flat(num_pcpus),
        RtdsScheduler(version),
        [HogKind(), ListKind()],
        max_domains=MAX_VCPUS,
        max_vcpus=MAX_VCPUS,
    )
    host.start_trace()
    for number, (program, params) in enumerate(domains):
        Domctl(host).create_domain(number + 1, program, params=params)
    return host, Domctl(host)


def dispatches(host, since_ms=0.0, until_ms=1e9):
    """``(at_ms, vcpu)`` of every context switch in that time; None for idle."""
    return [
        (at_ns / MS, vcpu if vcpu < MAX_VCPUS else None)
        for at_ns, _, vcpu, _, kind, _ in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and since_ms <= at_ns / MS < until_ms
    ]


class TestVersions:
    def test_current_is_the_newest_release(self):
        assert RtdsScheduler().version == "4.22"
        assert rtds_rules("current") is rtds_rules("4.22")
        assert scheduler_versions("rtds") == list(RTDS_RELEASES) == ["4.8", "4.22", "current"]

    @pytest.mark.parametrize("version", ["4.5", "rtds", "", None])
    def test_an_unknown_release_is_refused_and_the_known_ones_are_listed(self, version):
        with pytest.raises(
            ValueError, match=r"unknown version .* of scheduler 'rtds'; expected one of 4\.8, 4\.22, cur"
        ):
            RtdsScheduler(version)

    def test_it_has_no_options_and_no_parameters_of_its_own(self):
        with pytest.raises(ValueError, match=r"scheduler 'rtds': .*ratelimit_us"):
            make_scheduler("rtds", "4.8", ratelimit_us=1000)
        host, control = make_host()
        assert host.scheduler.params() == {}
        with pytest.raises(ValueError, match="has no parameters; found period_us"):
            control.adjust_scheduler(period_us=1000)


class TestDomainParameters:
    def test_defaults_and_what_was_set(self):
        _, control = make_host("current", (Hog(), None), (Hog(), {"period_us": 500, "budget_us": 10, "extratime": 0}))
        assert control.domain_params(1) == {"period_us": 10_000, "budget_us": 4000, "extratime": 1}
        control.adjust_domain(2, budget_us=np.int64(500))
        assert control.domain_params(2) == {"period_us": 500, "budget_us": 500, "extratime": 0}
        _, control = make_host("4.8", (Hog(), None))
        assert control.domain_params(1) == {"period_us": 10_000, "budget_us": 4000}

    @pytest.mark.parametrize(
        "params", [{"period_us": 10, "budget_us": 10}, {"period_us": MAX_PERIOD_US, "budget_us": MAX_PERIOD_US}]
    )
    @pytest.mark.parametrize("version", BOTH)
    def test_the_ends_of_the_ranges_are_legal_and_run(self, version, params):
        host, control = make_host(version, (Hog(), params))
        assert params.items() <= control.domain_params(1).items()
        host.run_until(40 * MS)
        assert host.runstate_ns(0)["running"] == (40 if version == "current" else 34) * MS

    PERIOD = rf"domain 1, scheduler rtds 4\.22: period_us must be an integer 10\.\.{MAX_PERIOD_US}, found "
    BUDGET = r"domain 1, .*: budget_us \(at most the period\) must be an integer 10\.\."
    REFUSED = (
        ({"period_us": 9, "budget_us": 9}, PERIOD + "9"),
        ({"period_us": MAX_PERIOD_US + 1}, PERIOD + str(MAX_PERIOD_US + 1)),
        ({"period_us": 10_000.0}, PERIOD + r"10000\.0"),
        ({"period_us": True}, PERIOD + "True"),
        ({"period_us": None}, PERIOD + "None"),
        ({"period_us": 3999}, BUDGET + r"3999, found 4000"),
        ({"budget_us": 9}, BUDGET + r"10000, found 9"),
        ({"budget_us": 10_001}, BUDGET + r"10000, found 10001"),
        ({"budget_us": float("nan")}, BUDGET + r"10000, found nan"),
        ({"extratime": 2}, r"extratime must be an integer 0\.\.1, found 2"),
        ({"extratime": True}, r"extratime must be an integer 0\.\.1, found True"),
        ({"period": 10_000}, "domain 1, .*: unknown parameter period; expected period_us, budget_us, extratime"),
    )

    @pytest.mark.parametrize(("params", "message"), REFUSED)
    def test_an_impossible_value_is_refused_and_changes_nothing(self, params, message):
        host, control = make_host("current", (Hog(), None))
        host.run_until(15 * MS)
        before = host.digest()
        with pytest.raises(ValueError, match=message):
            control.adjust_domain(1, **params)
        with pytest.raises(ValueError, match=message.replace("domain 1", "domain 1 vCPU 0")):
            control.adjust_vcpu(1, 0, **params)
        with pytest.raises(ValueError, match=message.replace("domain 1", "domain 7")):
            control.create_domain(7, Hog(), params=params)
        assert host.digest() == before

    def test_4_8_has_no_extratime(self):
        _, control = make_host("4.8", (Hog(), None))
        for value in (0, 1):
            with pytest.raises(
                ValueError, match=r"rtds 4\.8: this release has no extratime, found extratime=" + str(value)
            ):
                control.adjust_domain(1, extratime=value)

    def test_vcpus_may_differ_and_keep_what_is_not_given(self):
        host, control = make_host()
        control.create_domain(1, Hog(), num_vcpus=3)
        control.adjust_vcpu(1, 1, period_us=20_000, extratime=0)
        control.adjust_vcpu(1, 2, budget_us=1000)
        control.adjust_domain(1, budget_us=2000)
        assert [host.scheduler.vcpu_params(vcpu) for vcpu in range(3)] == [
            {"period_us": 10_000, "budget_us": 2000, "extratime": 1},
            {"period_us": 20_000, "budget_us": 2000, "extratime": 0},
            {"period_us": 10_000, "budget_us": 2000, "extratime": 1},
        ]
        assert control.domain_params(1) == host.scheduler.vcpu_params(0)
        # All are checked before any is changed: 15 ms fit into the period of vCPU 1 only.
        before = host.digest()
        with pytest.raises(ValueError, match="found 15000"):
            control.adjust_domain(1, budget_us=15_000)
        assert host.digest() == before


class TestFromWhenAChangeCounts:
    @pytest.mark.parametrize("version", BOTH)
    def test_period_and_budget_from_the_next_replenishment(self, version):
        off = {} if version == "4.8" else {"extratime": 0}
        host, control = make_host(version, (Hog(), off))
        host.run_until(12 * MS)
        control.adjust_domain(1, period_us=30_000, budget_us=6000)
        host.run_until(60 * MS)
        # The budget of 4 ms under way and its deadline at 20 stay.
        assert dispatches(host, since_ms=10) == [(10, 0), (14, None), (20, 0), (26, None), (50, 0), (56, None)]

    def test_extra_time_from_the_next_time_the_budget_is_used_up(self):
        host, control = make_host("current", (Hog(), None))
        host.run_until(5 * MS)
        control.adjust_domain(1, extratime=0)
        host.run_until(13 * MS)
        control.adjust_domain(1, extratime=1)
        host.run_until(20 * MS)
        # Its second budget ends at 8, without a third; the one of 10 ends at 14, with another.
        assert dispatches(host) == [(0, 0), (8, None), (10, 0)]

    def test_extra_time_does_not_call_back_who_is_depleted(self):
        host, control = make_host("current", (Hog(), {"extratime": 0}))
        host.run_until(5 * MS)
        control.adjust_domain(1, extratime=1)
        host.run_until(30 * MS)
        assert dispatches(host) == [(0, 0), (4, None), (10, 0)]


class TestWhatAnAgentSets:
    SCENARIO = {
        "name": "two",
        "description": "two hogs",
        "machine": {"cores_per_socket": 1},
        "domains": [{"name": "a", "vcpus": 2, "program": {"kind": "hog"}}, {"name": "b", "program": {"kind": "hog"}}],
    }

    def make_env(self, version):
        scenario = ScenarioConfig.model_validate({**self.SCENARIO, "scheduler": {"name": "rtds", "version": version}})
        env = HostEnv(scenario)
        env.reset(seed=1)
        return env

    @pytest.mark.parametrize("version", BOTH)
    def test_period_share_of_it_and_extra_time(self, version):
        env = self.make_env(version)
        host = env.stepper.host
        names = [tunable.name for tunable in host.scheduler.tunables()]
        assert names == ["period_us", "budget_ppm", "extratime"][: 2 if version == "4.8" else 3]
        action = np.zeros(env.action_space.shape, dtype=np.float32)
        values = [[250, 333_333, 0], [1_000_000, 10_000, 1]]
        action[: 2 * len(names)] = env.stepper.actions.encode(
            [row[: len(names)] for row in values] + [[10_000, 400_000, 1]] * 6
        )[: 2 * len(names)]
        env.step(action)
        # 333333 ppm of 250 us are 83.33 us.
        expected = [{"period_us": 250, "budget_us": 83}] * 2 + [{"period_us": 1_000_000, "budget_us": 10_000}]
        if version == "current":
            expected = [{**params, "extratime": on} for params, on in zip(expected, [0, 0, 1], strict=True)]
        assert [host.scheduler.vcpu_params(vcpu) for vcpu in range(3)] == expected
        # What was set is what is found, not what whole microseconds make of it.
        set_by = host.sections["rtds_domain"][:2]
        assert set_by["budget_ppm"].tolist() == [333_333, 10_000]

    def test_the_least_budget_is_10_us(self):
        env = self.make_env("current")
        env.step(-np.ones(env.action_space.shape, dtype=np.float32))
        assert env.stepper.host.scheduler.domain_params(0) == {"period_us": 100, "budget_us": 10, "extratime": 0}

    def test_setting_what_is_set_changes_nothing(self):
        env = self.make_env("current")
        host = env.stepper.host
        control = Domctl(host)
        control.adjust_domain(0, period_us=7000, budget_us=3000)
        control.adjust_vcpu(0, 1, period_us=9000)
        before = [host.scheduler.vcpu_params(vcpu) for vcpu in range(3)]
        env.step(env.stepper.actions.encode())
        assert [host.scheduler.vcpu_params(vcpu) for vcpu in range(3)] == before


class TestCarriedOver:
    def test_a_server_carries_over_whole(self):
        host, _ = make_host("current", (Hog(), {"period_us": 20_000, "budget_us": 5000, "extratime": 0}))
        share = host.scheduler.share(0)
        assert share == Share(slice_ns=5 * MS, period_ns=20 * MS, extra_time=False)
        params = {"period_us": 20_000, "budget_us": 5000}
        assert RtdsScheduler("current").params_from(share, 1) == ({**params, "extratime": 0}, [])
        assert RtdsScheduler("4.8").params_from(share, 1) == (params, [])

    EXTRA = Share(slice_ns=3 * MS, period_ns=10 * MS, extra_time=True, weight=256)
    HALF_CAP = Share(weight=512, cap_pct=50)
    BEST_EFFORT = Share(slice_ns=0, period_ns=100 * MS, extra_time=True)  # of SEDF
    CASES = (
        ("current", EXTRA, 1, {"period_us": 10_000, "budget_us": 3000, "extratime": 1}, ["weight"]),
        ("4.8", EXTRA, 1, {"period_us": 10_000, "budget_us": 3000}, ["weight", "extra_time"]),
        ("current", Share(weight=512), 1, {}, ["weight"]),
        (
            "current",
            Share(weight=512, cap_pct=50),
            2,
            {"period_us": 10_000, "budget_us": 2500, "extratime": 0},
            ["weight"],
        ),
        ("4.8", Share(cap_pct=200), 2, {"period_us": 10_000, "budget_us": 10_000}, []),
        ("current", Share(cap_pct=1), 64, {"period_us": 10_000, "budget_us": 10, "extratime": 0}, []),
        ("current", Share(cap_pct=50, extra_time=True), 1, {"extratime": 1}, ["cap_pct"]),
        # A best-effort domain of SEDF: no guarantee.
        (
            "current",
            Share(slice_ns=0, period_ns=100 * MS, extra_time=True),
            1,
            {"extratime": 1},
            ["slice_ns", "period_ns"],
        ),
        # Finer than microseconds, and shorter than can be.
        ("current", Share(slice_ns=1, period_ns=5), 1, {"period_us": 10, "budget_us": 10}, []),
        ("current", Share(), 1, {}, []),
    )

    @pytest.mark.parametrize(("version", "share", "num_vcpus", "params", "lost"), CASES)
    def test_from_what_others_say(self, version, share, num_vcpus, params, lost):
        scheduler = RtdsScheduler(version)
        assert scheduler.params_from(share, num_vcpus) == (params, lost)
        scheduler.check_domain_params("here", num_vcpus, params)


class TestControlAtAwkwardMoments:
    def equal_hogs(self, version, *, num_pcpus=1):
        off = {} if version == "4.8" else {"extratime": 0}
        host, control = make_host(version, (Hog(), off), (Hog(), off), num_pcpus=num_pcpus)
        host.run_until(1 * MS)
        return host, control, int(host.sections["pcpu"]["curr"][0])

    @pytest.mark.parametrize("version", BOTH)
    def test_pausing_who_runs_keeps_the_rest_of_its_budget(self, version):
        host, control, running = self.equal_hogs(version)
        control.pause_domain(running + 1)
        host.run_until(7 * MS)
        control.unpause_domain(running + 1)
        host.run_until(20 * MS)
        other = 1 - running
        # The other has 4 ms from 1 on; then the 3 ms that were left, of which the deadline at 10 makes 4 more.
        assert dispatches(host, 1)[:3] == [(1, other), (5, None), (7, running)]
        assert host.runstate_ns(running)["running"] == 8 * MS
        assert host.runstate_ns(other)["running"] == 8 * MS

    @pytest.mark.parametrize("version", BOTH)
    def test_pausing_the_depleted_and_waking_it_after_its_deadline(self, version):
        host, control, first = self.equal_hogs(version)
        host.run_until(5 * MS)
        assert host.scheduler.queued() == [first]
        control.pause_domain(first + 1)
        assert host.scheduler.queued() == []
        host.run_until(12 * MS)
        control.unpause_domain(first + 1)
        assert host.sections["rtds_vcpu"]["deadline_ns"].tolist()[first] == 20 * MS
        host.run_until(20 * MS)
        assert host.runstate_ns(first)["running"] == 8 * MS

    @pytest.mark.parametrize("version", BOTH)
    def test_destroying_who_runs_hands_over_at_once(self, version):
        host, control, running = self.equal_hogs(version)
        control.destroy_domain(running + 1)
        host.run_until(5 * MS + 1)
        assert dispatches(host, 1) == [(1, 1 - running), (5, None)]
        control.destroy_domain(2 - running)
        assert host.sections["rtds"]["event_head"][0] == -1
        host.run_until(50 * MS)
        assert dispatches(host, 6) == []

    @pytest.mark.parametrize("version", BOTH)
    def test_offline_and_back_within_an_instant_is_one_pass_and_nothing_more(self, version):
        host, control, running = self.equal_hogs(version)
        other = 1 - running
        control.set_vcpu_online(running + 1, 0, False)
        control.set_vcpu_online(running + 1, 0, True)
        host.run_until(3 * MS)
        # The pass finds it runnable. Only 4.8 keeps it against an equal.
        assert dispatches(host, 1) == ([] if version == "4.8" else [(1, other)])
        control.set_vcpu_online(running + 1, 0, False)
        host.run_until(11 * MS)
        assert dispatches(host, 3, 10) == ([(3, other), (7, None)] if version == "4.8" else [(5, None)])

    @pytest.mark.parametrize("version", BOTH)
    def test_an_affinity_moves_who_runs_with_its_budget(self, version):
        host, control = make_host(version, (Hog(), {} if version == "4.8" else {"extratime": 0}), num_pcpus=3)
        host.run_until(1 * MS)
        control.set_affinity(1, 0, hard=[2])
        host.run_until(9 * MS)
        switches = [r for r in host.trace_records().tolist() if r[4] == TraceKind.SWITCH]
        assert [(at_ns / MS, pcpu, vcpu) for at_ns, _, vcpu, _, _, pcpu in switches] == [
            (0, 0, 0), (1, 0, MAX_VCPUS), (1, 2, 0), (4, 2, MAX_VCPUS + 2),
        ]  # fmt: skip

    @pytest.mark.parametrize("version", BOTH)
    def test_a_snapshot_in_mid_run_goes_on_alike(self, version):
        off = {} if version == "4.8" else {"extratime": 0}
        programs = [Hog(), WorkList(((3 * MS, 2 * MS), (MS, 9 * MS))), Hog(), WorkList(((5 * MS, -1),))]
        host, control = make_host(
            version, *[(program, off if n % 2 else None) for n, program in enumerate(programs)], num_pcpus=2
        )
        control.adjust_domain(3, period_us=7000, budget_us=2500)
        host.run_until(123 * MS + 456)
        snapshot = host.snapshot()
        copy = pickle.loads(pickle.dumps(host))
        fresh, _ = make_host(version, num_pcpus=2)
        fresh.restore(snapshot)
        host.run_until(500 * MS)
        for other in (copy, fresh):
            other.run_until(500 * MS)
            assert other.digest() == host.digest()
        host.restore(snapshot)
        host.run_until(500 * MS)
        assert host.digest() == copy.digest()
