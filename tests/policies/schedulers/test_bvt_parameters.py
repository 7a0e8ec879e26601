"""What can be set on BVT, and what is refused with which words."""

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
from xengym.policies.schedulers.bvt import BvtScheduler
from xengym.policies.schedulers.bvt_rules import BVT_RELEASES, bvt_rules
from xengym.policies.schedulers.tunables import Share, Tunable
from xengym.scenarios.config import parse_scenario

US = 1_000
MS = 1_000_000
S = 1_000 * MS
DEFAULTS = {"mcu_adv": 10, "warpback": 0, "warpvalue": 0, "warpl_ms": 2000, "warpu_ms": 1000}


def make_host(version, *params):
    """A host of hogs with those parameters, ids from 1 on."""
    host = Host(Topology.flat(1), BvtScheduler(version), [HogKind()], max_domains=8, max_vcpus=8)
    for number, given in enumerate(params):
        Domctl(host).create_domain(number + 1, Hog(), params=given)
    return host, Domctl(host)


class TestVersionsAndOptions:
    def test_current_is_the_last_release_of_xen(self):
        assert BvtScheduler().version == "3.0.2"
        assert list(BVT_RELEASES) == ["ideal", "2.0", "3.0.0", "3.0.2", "current"]
        assert BvtScheduler.versions == tuple(BVT_RELEASES)

    @pytest.mark.parametrize("version", ["3.0.3", "bvt", "", None])
    def test_an_unknown_release_is_refused_and_the_known_ones_are_listed(self, version):
        message = rf"unknown version {version!r} of scheduler 'bvt'; expected one of ideal, .*current"
        with pytest.raises(ValueError, match=message):
            bvt_rules(version)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ctx_allow_ns": 9_999}, r"ctx_allow_ns must be an integer 10000\.\.1000000000, found 9999"),
            ({"ctx_allow_ns": S + 1}, r"ctx_allow_ns must be an integer 10000\.\.1000000000"),
            ({"ctx_allow_ns": 5e6}, r"ctx_allow_ns must be an integer .*, found 5000000\.0"),
            ({"mcu_ns": 999}, r"mcu_ns must be an integer 1000\.\.1000000, found 999"),
            ({"mcu_ns": 50_000}, "mcu_ns is fixed at 100000 in Xen, found 50000"),
        ],
    )
    def test_impossible_options_are_refused(self, options, message):
        with pytest.raises(ValueError, match=r"scheduler bvt 3\.0\.0: " + message):
            BvtScheduler("3.0.0", **options)

    def test_copies_and_pickles_keep_version_and_options(self):
        scheduler = BvtScheduler("ideal", ctx_allow_ns=2 * MS, mcu_ns=50_000)
        for again in (copy.copy(scheduler), pickle.loads(pickle.dumps(scheduler))):
            assert again.is_like(scheduler)
            assert not again.is_like(BvtScheduler("ideal", ctx_allow_ns=2 * MS))
            assert not again.is_like(BvtScheduler("3.0.0", ctx_allow_ns=2 * MS))

    def test_the_allowance_can_be_changed_while_running(self):
        host, control = make_host("3.0.0", None)
        assert host.scheduler.params() == {"ctx_allow_ns": 5 * MS}
        control.adjust_scheduler(ctx_allow_ns=10 * US)
        assert host.scheduler.params() == {"ctx_allow_ns": 10 * US}
        for wrong, message in (
            ({"ctx_allow_ns": 0}, "ctx_allow_ns must be an integer"),
            ({"tslice_ms": 5, "ctx_allow_ns": MS}, "unknown parameter tslice_ms; expected ctx_allow_ns"),
        ):
            with pytest.raises(ValueError, match=message):
                control.adjust_scheduler(**wrong)
            assert host.scheduler.params() == {"ctx_allow_ns": 10 * US}
        control.adjust_scheduler()
        host.reset(0)
        assert host.scheduler.params() == {"ctx_allow_ns": 5 * MS}


class TestDomainParameters:
    def test_defaults_and_what_was_set(self):
        _, control = make_host("3.0.0", None, {"warpvalue": 70})
        assert control.domain_params(1) == DEFAULTS
        assert control.domain_params(2) == {**DEFAULTS, "warpvalue": 70}
        control.adjust_domain(2, mcu_adv=np.int64(3), warpback=1, warpl_ms=0)
        assert control.domain_params(2) == {**DEFAULTS, "mcu_adv": 3, "warpback": 1, "warpvalue": 70, "warpl_ms": 0}

    @pytest.mark.parametrize(
        "params",
        [{"mcu_adv": 1}, {"mcu_adv": 65535}, {"warpvalue": 2**31 - 1}, {"warpl_ms": 2**31 - 1}, {"warpu_ms": 0}],
    )
    def test_the_ends_of_the_ranges_are_legal(self, params):
        host, control = make_host("3.0.0", None)
        control.adjust_domain(1, **params)
        assert control.domain_params(1) == {**DEFAULTS, **params}
        host.run_until(S)

    REFUSED = (
        ({"mcu_adv": 0}, r"mcu_adv must be an integer 1\.\.65535, found 0"),
        ({"mcu_adv": 65536}, r"mcu_adv must be an integer 1\.\.65535, found 65536"),
        ({"mcu_adv": 10.0}, r"mcu_adv must be an integer 1\.\.65535, found 10\.0"),
        ({"mcu_adv": True}, "mcu_adv must be an integer .*, found True"),
        ({"warpback": 2}, r"warpback must be an integer 0\.\.1, found 2"),
        ({"warpvalue": -1}, r"warpvalue must be an integer 0\.\.2147483647, found -1"),
        ({"warpl_ms": -1}, r"warpl_ms must be an integer 0\.\.2147483647, found -1"),
        ({"warpu_ms": 2**31}, r"warpu_ms must be an integer 0\.\.2147483647, found 2147483648"),
        ({"mcu_adv": 20, "warpback": None}, "warpback must be an integer .*, found None"),
        ({"weight": 5}, "unknown parameter weight; expected one of mcu_adv, warpback, warpvalue, warpl_ms, warpu_ms"),
    )

    @pytest.mark.parametrize(("params", "message"), REFUSED)
    def test_what_is_impossible_is_refused_and_nothing_changes(self, params, message):
        host, control = make_host("3.0.0", None)
        before = host.digest()
        with pytest.raises(ValueError, match=r"domain 1, scheduler bvt 3\.0\.0: " + message):
            control.adjust_domain(1, **params)
        assert host.digest() == before
        with pytest.raises(ValueError, match=r"domain 2, scheduler bvt 3\.0\.0: " + message):
            control.create_domain(2, Hog(), params=params)
        assert host.digest() == before

    def test_an_empty_request_changes_nothing(self):
        host, control = make_host("3.0.0", {"warpback": 1, "warpvalue": 5, "warpl_ms": 20, "warpu_ms": 30})
        host.run_until(25 * MS)
        before = host.digest()
        control.adjust_domain(1)
        assert host.digest() == before

    def test_there_are_no_parameters_of_single_vcpus(self):
        _, control = make_host("3.0.0", None)
        with pytest.raises(ValueError, match="scheduler 'bvt' has no parameters of single vCPUs; found mcu_adv"):
            control.adjust_vcpu(1, 0, mcu_adv=5)


def environment():
    domains = [{"name": name, "vcpus": 1, "program": {"kind": "hog"}} for name in "ab"]
    data = {
        "name": "small",
        "description": "two hogs on one pCPU",
        "machine": {"cores_per_socket": 1},
        "scheduler": {"name": "bvt", "version": "3.0.0"},
        "domains": domains,
        "control": {"interval_ms": 300, "episode_s": 9, "warmup_ms": 0},
        "limits": {"max_domains": 2, "max_vcpus": 2},
    }
    env = HostEnv(parse_scenario(data, "test"))
    env.reset(seed=0)
    return env


class TestTunables:
    def act(self, env, *values):
        """Let the environment set ``(mcu_adv, warpvalue)`` of both domains; what it reads afterwards."""
        decoder = env.stepper.actions
        action = decoder.encode(np.array(values))
        env.step(action)
        arrived = decoder.decode(action).tolist()
        assert decoder.decode(decoder.encode()).tolist() == arrived
        return arrived

    def test_their_ranges(self):
        assert BvtScheduler().tunables() == [
            Tunable("mcu_adv", 1, 1000, 10, log_scale=True),
            Tunable("warpvalue", 0, 100_000, 0, log_scale=False),
        ]

    def test_what_is_set_is_read_and_a_warp_value_allows_to_warp(self):
        env = environment()
        decoder = env.stepper.actions
        assert decoder.decode(decoder.encode()).tolist() == [[10, 0], [10, 0]]
        scheduler = env.host.scheduler
        self.act(env, [1, 100_000], [1000, 0])
        assert scheduler.domain_params(0) == {**DEFAULTS, "mcu_adv": 1, "warpback": 1, "warpvalue": 100_000}
        assert scheduler.domain_params(1) == {**DEFAULTS, "mcu_adv": 1000}
        self.act(env, [1, 0], [1000, 50_000])
        assert scheduler.domain_params(0)["warpback"] == 0
        assert scheduler.domain_params(1)["warpback"] == 1

    def test_the_same_again_changes_nothing(self):
        # Setting parameters would make it warp again at once.
        env = environment()
        Domctl(env.host).adjust_domain(
            int(env.host.sections["domain"]["domid"][0]), warpback=1, warpvalue=100_000, warpl_ms=1, warpu_ms=100_000
        )
        env.host.sections["bvt_domain"]["is_warping"][0] = 0
        self.act(env, [10, 100_000], [10, 0])
        assert env.host.sections["bvt_domain"]["is_warping"][0] == 0
        self.act(env, [20, 100_000], [10, 0])
        env.host.sections["bvt_domain"]["is_warping"][0] = 0
        self.act(env, [20, 100_000], [20, 0])
        assert env.host.sections["bvt_domain"]["is_warping"][0] == 0

    def test_a_warp_that_is_off_reads_as_none(self):
        env = environment()
        Domctl(env.host).adjust_domain(1, warpback=0, warpvalue=500)
        slot = Domctl(env.host).slot(1)
        decoder = env.stepper.actions
        assert decoder.decode(decoder.encode()).tolist()[slot] == [10, 0]


class TestShare:
    def test_what_is_told_to_other_schedulers(self):
        host, _ = make_host("3.0.0", None, {"mcu_adv": 20}, {"mcu_adv": 3, "warpback": 1, "warpvalue": 9})
        assert [host.scheduler.share(d) for d in range(3)] == [
            Share(weight=256), Share(weight=128), Share(weight=2560 / 3)
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("share", "params", "lost"),
        [
            (Share(), {}, []),
            (Share(weight=256), {"mcu_adv": 10}, []),
            (Share(weight=1000), {"mcu_adv": 3}, []),
            (Share(weight=100_000), {"mcu_adv": 1}, []),
            (Share(weight=0.001), {"mcu_adv": 65535}, []),
            (Share(weight=512, cap_pct=50), {"mcu_adv": 5}, ["cap_pct"]),
            (Share(slice_ns=1, period_ns=2, extra_time=False), {}, ["slice_ns", "period_ns", "extra_time"]),
        ],
    )
    def test_what_is_understood_of_others(self, share, params, lost):
        assert BvtScheduler().params_from(share, 2) == (params, lost)

    def test_a_domain_that_goes_and_comes_back_has_its_advance(self):
        host, _ = make_host("3.0.0", None)
        for mcu_adv in (1, 2, 3, 7, 10, 50, 999, 65535):
            Domctl(host).adjust_domain(1, mcu_adv=mcu_adv)
            assert host.scheduler.params_from(host.scheduler.share(0), 1) == ({"mcu_adv": mcu_adv}, [])
