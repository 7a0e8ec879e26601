"""What can be set on SEDF, from when a change counts, and what is refused with which words."""

import copy
import pickle

import numpy as np
import pytest

from xengym.envs.host.env import HostEnv
from xengym.guests.cpu import HogKind
from xengym.guests.programs import Hog
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.sedf import SedfScheduler
from xengym.policies.schedulers.sedf_rules import SEDF_RELEASES, sedf_rules
from xengym.policies.schedulers.tunables import Share, Tunable
from xengym.scenarios.config import parse_scenario
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
S = 1_000 * MS


def make_host(version, *params, num_pcpus=1, first_domid=1):
    """A traced host of hogs with those parameters."""
    host = Host(Topology.flat(num_pcpus), SedfScheduler(version), [HogKind()], max_domains=8, max_vcpus=8)
    host.start_trace()
    for number, given in enumerate(params):
        Domctl(host).create_domain(number + first_domid, Hog(), params=given)
    return host, Domctl(host)


def time_driven(period_ms, slice_ms, extratime=0):
    return {"period_ns": int(period_ms * MS), "slice_ns": int(slice_ms * MS), "extratime": extratime}


def dispatches(host, since_ms=0):
    return [
        (at_ns / MS, vcpu if vcpu < 8 else None)
        for at_ns, _, vcpu, _, kind, _ in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and at_ns >= since_ms * MS
    ]


def field(host, name, vcpu=0):
    return int(host.sections["sedf_vcpu"][name][vcpu])


class TestVersions:
    def test_current_is_the_last_release(self):
        assert SedfScheduler().version == "4.5"
        assert list(SEDF_RELEASES) == ["3.0.0", "3.0.2", "3.0.3", "4.2", "4.5", "current"]
        assert SedfScheduler.versions == tuple(SEDF_RELEASES)

    @pytest.mark.parametrize("version", ["4.6", "sedf", "", None])
    def test_an_unknown_release_is_refused_and_the_known_ones_are_listed(self, version):
        message = rf"unknown version {version!r} of scheduler 'sedf'; expected one of 3\.0\.0, .*current"
        with pytest.raises(ValueError, match=message):
            sedf_rules(version)

    @pytest.mark.parametrize(
        ("version", "extraweight", "is_reserved"),
        [("3.0.0", 0, True), ("3.0.2", 0, True), ("3.0.3", 1, True), ("4.2", 1, False), ("4.5", 1, False)],
    )
    def test_defaults_of_domain_0_and_of_others(self, version, extraweight, is_reserved):
        host, control = make_host(version, None, None, first_domid=0)
        expected = time_driven(20, 15, 1) if is_reserved else {"weight": 1, "extratime": 1}
        assert control.domain_params(0) == {"latency_ns": 0, **expected}
        assert field(host, "extraweight", 0) == extraweight
        assert control.domain_params(1) == {"latency_ns": 0, "weight": 1, "extratime": 1}
        assert field(host, "period_ns", 1) == 100 * MS

    def test_copies_and_pickles_keep_version_and_options(self):
        scheduler = SedfScheduler("3.0.2", unblock="burst")
        for again in (copy.copy(scheduler), pickle.loads(pickle.dumps(scheduler))):
            assert again.is_like(scheduler)
            assert not again.is_like(SedfScheduler("3.0.2"))
            assert not again.is_like(SedfScheduler("3.0.0", unblock="burst"))


class TestDomainParameters:
    @pytest.mark.parametrize(
        "params",
        [
            time_driven(100, 30),
            {**time_driven(100, 30, 1), "latency_ns": 5 * MS},
            {"weight": 3, "extratime": 0},
            {"weight": 3, "extratime": 1},
            {"weight": 3, "extratime": 1, "period_ns": 100 * MS},
            {"period_ns": 10 * US, "slice_ns": 5 * US, "extratime": 0},
            {"period_ns": 10 * S, "slice_ns": 10 * S, "extratime": 0},
            {"weight": 65535, "extratime": 1},
            {"weight": np.int64(7), "extratime": 0},
        ],
    )
    def test_what_is_set_is_reported_in_the_same_form(self, params):
        _, control = make_host("4.5", None)
        control.adjust_domain(1, **params)
        assert control.domain_params(1) == {"latency_ns": 0, **params}
        control.adjust_domain(1, **control.domain_params(1))
        assert control.domain_params(1) == {"latency_ns": 0, **params}

    @pytest.mark.parametrize(
        ("params", "weight", "extraweight", "slice_ns", "aware"),
        [
            ({"weight": 3, "extratime": 1}, 0, 3, 0, 1),
            ({"weight": 3, "extratime": 0}, 3, 1, 95 * MS, 0),
            ({"weight": 3, "extratime": 1, "period_ns": 1}, 3, 1, 95 * MS, 1),
            ({"weight": 3}, 0, 3, 0, 1),  # extra time as it was
            (time_driven(10, 3, 1), 0, 0, 3 * MS, 1),
        ],
    )
    def test_the_three_forms(self, params, weight, extraweight, slice_ns, aware):
        host, control = make_host("4.5", None)
        control.adjust_domain(1, **params)
        names = ("weight", "extraweight", "slice_ns", "is_extra_aware")
        assert [field(host, name) for name in names] == [weight, extraweight, slice_ns, aware]

    WHERE = r"domain 1, scheduler sedf 4\.5: "
    REFUSED = (
        ({"period": 5}, "unknown parameter period; expected one of period_ns, slice_ns, latency_ns, extratime, weight"),
        ({"extratime": 1}, "needs a weight, or period_ns and slice_ns; found extratime"),
        ({"latency_ns": 0}, "needs a weight, or period_ns and slice_ns"),
        ({"period_ns": 0, "slice_ns": 5 * US, "weight": 0}, "needs a weight, or period_ns and slice_ns"),
        ({"period_ns": 10 * MS}, "needs a weight, or period_ns and slice_ns; found period_ns"),
        ({"slice_ns": 10 * MS}, "needs a weight, or period_ns and slice_ns; found slice_ns"),
        ({"period_ns": 9_999, "slice_ns": 5_000}, r"period_ns must be an integer 10000\.\.10000000000, found 9999"),
        ({"period_ns": 10 * S + 1, "slice_ns": 5_000}, r"period_ns must be an integer 10000\.\.10000000000"),
        ({"period_ns": 10 * MS, "slice_ns": 4_999}, r"slice_ns must be an integer 5000\.\.10000000, found 4999"),
        ({"period_ns": 10 * MS, "slice_ns": 0}, r"slice_ns must be an integer 5000\.\.10000000, found 0"),
        ({"period_ns": 10 * MS, "slice_ns": 10 * MS + 1}, r"slice_ns must be an integer 5000\.\.10000000"),
        ({"period_ns": 1e7, "slice_ns": 5_000}, r"period_ns must be an integer .*, found 10000000\.0"),
        ({"period_ns": 10 * MS, "slice_ns": 5 * MS, "extratime": 2}, r"extratime must be an integer 0\.\.1, found 2"),
        ({"period_ns": 10 * MS, "slice_ns": 5 * MS, "latency_ns": -1}, "latency_ns must be an integer 0"),
        ({"weight": 1, "latency_ns": 9_999}, "latency_ns must be 0 or at least 10000, found 9999"),
        ({"weight": 65536}, r"weight must be an integer 0\.\.65535, found 65536"),
        ({"weight": -1}, r"weight must be an integer 0\.\.65535, found -1"),
        ({"weight": True}, r"weight must be an integer 0\.\.65535, found True"),
        ({"weight": 2, "slice_ns": 5 * MS}, "a weight makes the slice; slice_ns must be 0, found 5000000"),
        ({"weight": 2, "period_ns": -5}, r"period_ns must be an integer 0\.\.10000000000, found -5"),
    )

    @pytest.mark.parametrize(("params", "message"), REFUSED)
    def test_what_is_impossible_is_refused_and_nothing_changes(self, params, message):
        host, control = make_host("4.5", None, time_driven(20, 5))
        host.run_until(3 * MS)
        before = host.digest()
        with pytest.raises(ValueError, match=self.WHERE + message):
            control.adjust_domain(1, **params)
        assert host.digest() == before

    @pytest.mark.parametrize(("params", "message"), REFUSED)
    def test_the_same_is_refused_at_creation(self, params, message):
        host, control = make_host("4.5")
        before = host.digest()
        with pytest.raises(ValueError, match=self.WHERE + message):
            control.create_domain(1, Hog(), params=params)
        assert host.digest() == before

    def test_3_0_0_has_no_limits_but_those_of_arithmetic(self):
        _, control = make_host("3.0.0", None)
        control.adjust_domain(1, period_ns=2_000, slice_ns=1)
        control.adjust_domain(1, period_ns=20 * S, slice_ns=20 * S)
        for wrong in ({"period_ns": 1_000 * S + 1, "slice_ns": 1}, {"period_ns": 1, "slice_ns": 0}):
            with pytest.raises(ValueError, match="must be an integer 1"):
                control.adjust_domain(1, **wrong)

    def test_an_empty_request_changes_nothing(self):
        host, control = make_host("3.0.3", None, time_driven(20, 5))
        host.run_until(3 * MS)
        before = host.digest()
        control.adjust_domain(1)
        assert host.digest() == before

    def test_one_vcpu_can_be_set_alone(self):
        host, control = make_host("4.5")
        control.create_domain(1, [Hog(), Hog()], num_vcpus=2)
        control.adjust_vcpu(1, 1, **time_driven(10, 4))
        assert [field(host, "slice_ns", vcpu) for vcpu in (0, 1)] == [0, 4 * MS]
        with pytest.raises(ValueError, match=r"domain 1 vCPU 1, scheduler sedf 4\.5: needs a weight"):
            control.adjust_vcpu(1, 1, extratime=1)

    def test_the_scheduler_itself_has_no_parameters(self):
        _, control = make_host("4.5")
        with pytest.raises(ValueError, match="scheduler 'sedf' has no parameters; found tslice_ms"):
            control.adjust_scheduler(tslice_ms=5)


class TestChangesWhileRunning:
    def test_a_longer_slice_counts_at_the_next_pass_and_so_does_a_shorter_one(self):
        host, control = make_host("4.5", time_driven(20, 10))
        host.run_until(12 * MS)
        control.adjust_domain(1, **time_driven(20, 15))
        # Runs from 10; the pass at 20 finds 5 of 15 left. In the next period the slice shrinks, which is found when the
        # old one ends: 10 too much, and so the period from 50 on is missed, with a message.
        host.run_until(38 * MS)
        control.adjust_domain(1, **time_driven(20, 5))
        host.run_until(76 * MS)
        assert dispatches(host) == [(10, 0), (25, None), (30, 0), (45, None), (70, 0), (75, None)]
        assert host.scheduler.counters() == {"deadline_exceeded_messages": 1}

    def test_taking_part_in_extra_time_begins_and_ends_at_once(self):
        host, control = make_host("4.5", time_driven(10, 5), None)
        host.run_until(20 * MS)
        control.adjust_domain(1, **time_driven(10, 5, 1))
        host.run_until(30 * MS)
        assert host.runstate_ns(0)["running"] > 13 * MS
        assert host.sections["sedf_vcpu"]["in_extra"][0].tolist() == [0, 1]
        control.adjust_domain(1, **time_driven(10, 5, 0))
        assert host.sections["sedf_vcpu"]["in_extra"][0].tolist() == [0, 0]
        before_ns = host.runstate_ns(0)["running"]
        host.run_until(130 * MS)
        assert host.runstate_ns(0)["running"] - before_ns == pytest.approx(50 * MS, abs=MS)

    def test_leaving_extra_time_in_the_middle_of_a_turn(self):
        host, control = make_host("4.5", time_driven(10, 2, 1))
        host.run_until(5 * MS + 100 * US)
        control.adjust_domain(1, **time_driven(10, 2, 0))
        host.run_until(13 * MS)
        assert dispatches(host) == [(0, 0), (5.5, None), (12, 0)]

    @pytest.mark.parametrize(
        ("version", "expected"),
        [
            # 0 (deadline 25) waits for 1 (deadline 15) from 5 to 10. A pause makes it lose its slice of this period.
            ("4.5", [(5, 1), (10, 0), (15, 1), (20, None)]),
            ("4.2", [(5, 1), (10, 0), (15, 1), (20, None)]),
            ("3.0.3", [(5, 1), (10, None), (15, 1), (20, None)]),
            ("3.0.2", [(5, 1), (10, 0), (15, 1), (20, None)]),
        ],
    )
    def test_the_control_call_of_3_x_pauses_what_waits(self, version, expected):
        host, control = make_host(version, time_driven(20, 5), time_driven(10, 5))
        host.run_until(7 * MS)
        control.adjust_domain(1, **time_driven(20, 5))
        host.run_until(24 * MS)
        assert dispatches(host) == expected

    def test_and_leaves_alone_what_runs(self):
        host, control = make_host("3.0.3", time_driven(10, 5))
        host.run_until(7 * MS)
        control.adjust_domain(1, **time_driven(10, 5))
        host.run_until(11 * MS)
        assert dispatches(host) == [(5, 0), (10, None)]


def environment(**scheduler):
    domains = [{"name": name, "vcpus": 1, "program": {"kind": "hog"}} for name in "ab"]
    data = {
        "name": "small",
        "description": "two hogs on one pCPU",
        "machine": {"cores_per_socket": 1},
        "scheduler": {"name": "sedf", **scheduler},
        "domains": domains,
        "control": {"interval_ms": 300, "episode_s": 9, "warmup_ms": 0},
        "limits": {"max_domains": 2, "max_vcpus": 2},
    }
    env = HostEnv(parse_scenario(data, "test"))
    env.reset(seed=0)
    return env


def act(env, *values):
    """Let the environment set ``(period_us, slice_ppm, extratime)`` of both domains."""
    decoder = env.stepper.actions
    action = decoder.encode(np.array(values))
    env.step(action)
    return decoder.decode(action).tolist()


def present(env):
    """What `get_tunables` says, through the action that keeps it."""
    decoder = env.stepper.actions
    return decoder.decode(decoder.encode()).tolist()


def test_a_scenario_can_choose_the_rule_for_blocks():
    env = environment(version="3.0.2", options={"unblock": "burst"})
    assert env.host.scheduler.is_like(SedfScheduler("3.0.2", unblock="burst"))


class TestTunables:
    DEFAULT = [100_000, 0, 1]

    def test_their_ranges(self):
        assert SedfScheduler().tunables() == [
            Tunable("period_us", 100, 1_000_000, 100_000, log_scale=True),
            Tunable("slice_ppm", 0, 1_000_000, 0, log_scale=False),
            Tunable("extratime", 0, 1, 1, log_scale=False),
        ]

    def test_a_new_domain_has_the_defaults(self):
        env = environment()
        assert present(env)[0] == self.DEFAULT

    def test_what_was_set_is_what_is_read(self):
        env = environment()
        for values in ([10_000, 333_333, 0], [1_000_000, 0, 0], [100, 1, 1], [100_000, 1_000_000, 1]):
            # An action is a float32: these numbers are few enough for it.
            assert act(env, values, self.DEFAULT)[0] == values
            assert present(env)[0] == values

    def test_the_same_again_changes_nothing(self):
        # Under 3.0.3 a change pauses the domain that waits, and that is recorded.
        env = environment(version="3.0.3")
        values = [30_000, 200_000, 0]
        paused = []
        for change in (values, values, [30_000, 200_000, 1]):
            env.host.start_trace()
            act(env, change, change)
            paused.append(TraceKind.SLEEP in env.host.trace_records()["kind"])
        assert paused == [True, False, True]

    @pytest.mark.parametrize("extratime", [0, 1])
    def test_a_slice_is_so_many_millionths_of_the_period(self, extratime):
        env = environment()
        act(env, [10_000, 300_000, extratime], self.DEFAULT)
        params = env.host.scheduler.domain_params(0)
        assert params == {"period_ns": 10 * MS, "slice_ns": 3 * MS, "extratime": extratime, "latency_ns": 0}

    def test_a_slice_is_at_least_5_us(self):
        env = environment()
        act(env, [100, 1, 0], self.DEFAULT)
        params = env.host.scheduler.domain_params(0)
        assert params["slice_ns"] == 5 * US

    def test_no_slice_is_best_effort_and_never_nothing(self):
        env = environment()
        act(env, [10_000, 500_000, 0], [10_000, 500_000, 0])
        act(env, [10_000, 0, 0], [10_000, 500_000, 0])
        assert env.host.scheduler.domain_params(0) == {"latency_ns": 0, "extratime": 1, "weight": 1}

    def test_other_control_calls_are_reflected(self):
        env = environment()
        act(env, [10_000, 300_000, 0], self.DEFAULT)
        Domctl(env.host).adjust_domain(1, period_ns=40 * MS, slice_ns=10 * MS, extratime=1)
        slot = Domctl(env.host).slot(1)
        assert present(env)[slot] == [40_000, 250_000, 1]


class TestShare:
    def share(self, params, version="4.5"):
        host, _ = make_host(version, params)
        return host.scheduler.share(0)

    def test_what_is_told_to_other_schedulers(self):
        assert self.share(None) == Share(weight=256)
        assert self.share({"weight": 3, "extratime": 1}) == Share(weight=768)
        assert self.share(time_driven(10, 3)) == Share(slice_ns=3 * MS, period_ns=10 * MS, extra_time=False)
        assert self.share(time_driven(10, 3, 1)) == Share(slice_ns=3 * MS, period_ns=10 * MS, extra_time=True)
        assert self.share({"weight": 3, "extratime": 0}) == Share(
            slice_ns=95 * MS, period_ns=100 * MS, extra_time=False
        )

    @pytest.mark.parametrize(
        ("share", "num_vcpus", "params", "lost"),
        [
            (Share(), 1, {}, []),
            (Share(weight=256), 1, {"weight": 1, "extratime": 1}, []),
            (Share(weight=1024.0), 1, {"weight": 4, "extratime": 1}, []),
            (Share(weight=3), 1, {"weight": 1, "extratime": 1}, []),
            (Share(weight=256, cap_pct=50), 1, time_driven(100, 50), ["weight"]),
            (Share(cap_pct=50), 2, time_driven(100, 25), []),
            (Share(slice_ns=3 * MS, period_ns=10 * MS, extra_time=False), 1, time_driven(10, 3), []),
            (Share(slice_ns=3 * MS, period_ns=10 * MS), 1, time_driven(10, 3, 1), []),
            (Share(weight=9, slice_ns=1, period_ns=10 * MS), 1, time_driven(10, 0.005, 1), ["weight"]),
            (Share(slice_ns=10 * S, period_ns=40 * S), 1, time_driven(10_000, 2_500, 1), []),
            (Share(extra_time=True), 1, {}, ["extra_time"]),
        ],
    )
    def test_what_is_understood_of_others(self, share, num_vcpus, params, lost):
        scheduler = SedfScheduler()
        assert scheduler.params_from(share, num_vcpus) == (params, lost)
        scheduler.check_domain_params("here", num_vcpus, params)

    @pytest.mark.parametrize("params", [None, time_driven(20, 7), time_driven(20, 7, 1), {"weight": 5, "extratime": 1}])
    def test_a_domain_that_goes_and_comes_back_has_what_it_had(self, params):
        host, control = make_host("4.5", params)
        before = control.domain_params(1)
        given, lost = host.scheduler.params_from(host.scheduler.share(0), 1)
        assert lost == []
        control.adjust_domain(1, **given)
        assert control.domain_params(1) == before
