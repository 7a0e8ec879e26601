"""What can be set on Credit2, from when a change counts, and what is refused with which words."""

import copy
import pickle

import numpy as np
import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit2 import Credit2Scheduler
from xengym.policies.schedulers.credit2_rules import CREDIT2_RELEASES, credit2_rules
from xengym.policies.schedulers.registry import make_scheduler, scheduler_names, scheduler_versions
from xengym.policies.schedulers.tunables import Share
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
ALL = ("4.8", "4.8fix", "current")


def make_host(version, *domains, num_pcpus=1, **options):
    """A traced host; each domain is ``(program, params)``, ids from 1 on."""
    scheduler = Credit2Scheduler(version, **options)
    host = Host(Topology.flat(num_pcpus), scheduler, [HogKind(), ListKind()], max_domains=8, max_vcpus=8)
    host.start_trace()
    for number, (program, params) in enumerate(domains):
        Domctl(host).create_domain(number + 1, program, params=params)
    return host, Domctl(host)


def slices_ms(host):
    wanted = (TraceKind.SWITCH, TraceKind.CONTINUE)
    return [(at_ns / MS, value / MS) for at_ns, value, _, _, kind, _ in host.trace_records().tolist() if kind in wanted]


def shares(host, num_vcpus):
    return [host.runstate_ns(vcpu)["running"] / host.now_ns for vcpu in range(num_vcpus)]


class TestVersions:
    def test_current_is_the_newest_release(self):
        assert "credit2" in scheduler_names()
        assert scheduler_versions("credit2") == ["4.8", "4.8fix", "4.22", "current"] == list(CREDIT2_RELEASES)
        assert Credit2Scheduler().version == "4.22"
        assert credit2_rules("current") is credit2_rules("4.22")
        assert make_scheduler("credit2", "4.8").name == "credit2"

    @pytest.mark.parametrize("version", ["4.9", "credit2", "", None])
    def test_an_unknown_release_is_refused_and_the_known_ones_are_listed(self, version):
        message = rf"unknown version {version!r} of scheduler 'credit2'; expected one of 4\.8, .*current"
        with pytest.raises(ValueError, match=message):
            Credit2Scheduler(version)

    def test_the_correction_of_2017_is_one_rule(self):
        old, new = credit2_rules("4.8"), credit2_rules("4.8fix")
        differ = {name for name in vars(old) if getattr(old, name) != getattr(new, name)}
        assert differ == {"release", "reset_burns_running"}


class TestDomainParameters:
    @pytest.mark.parametrize("version", ALL)
    def test_defaults_and_what_was_set(self, version):
        _, control = make_host(version, (Hog(), None), (Hog(), {"weight": 512}))
        expected = {"weight": 256, "cap": 0} if version == "current" else {"weight": 256}
        assert control.domain_params(1) == expected
        assert control.domain_params(2) == {**expected, "weight": 512}

    @pytest.mark.parametrize("params", [{"weight": 1}, {"weight": 65535}, {"cap": 100}, {"cap": np.int64(1)}])
    def test_the_ends_of_the_ranges_are_legal(self, params):
        _, control = make_host("current", (Hog(), None))
        control.adjust_domain(1, **params)
        assert control.domain_params(1) == {"weight": 256, "cap": 0, **params}

    WEIGHT = r"domain 1, scheduler credit2 4\.22: weight must be an integer 1\.\.65535, found "
    CAP = r"domain 1, .*: cap \(percent of one pCPU, 0 for none\) must be an integer 0\.\.100, found "
    REFUSED = (
        ({"weight": 0}, WEIGHT + "0"),
        ({"weight": 65536}, WEIGHT + "65536"),
        ({"weight": 256.0}, WEIGHT + r"256\.0"),
        ({"weight": True}, WEIGHT + "True"),
        ({"weight": None}, WEIGHT + "None"),
        ({"cap": -1}, CAP + "-1"),
        ({"cap": 101}, CAP + "101"),
        ({"weight": 512, "cap": 101}, CAP + "101"),
        ({"wieght": 512}, "domain 1, .*: unknown parameter wieght; expected weight or cap"),
        ({"period": 1, "budget": 2}, "unknown parameter budget, period; expected weight or cap"),
    )

    @pytest.mark.parametrize(("params", "message"), REFUSED)
    def test_what_is_impossible_is_refused_and_changes_nothing(self, params, message):
        host, control = make_host("current", (Hog(), {"weight": 300, "cap": 40}))
        before = host.digest()
        with pytest.raises(ValueError, match=message):
            control.adjust_domain(1, **params)
        assert host.digest() == before

    @pytest.mark.parametrize("cap", [0, 50])
    def test_there_are_no_caps_in_4_8(self, cap):
        host, control = make_host("4.8", (Hog(), None))
        with pytest.raises(ValueError, match=rf"credit2 4\.8: there are no caps before Xen 4\.10, found cap={cap}"):
            control.adjust_domain(1, cap=cap)
        with pytest.raises(ValueError, match=r"unknown parameter budget; expected weight$"):
            control.adjust_domain(1, budget=3)
        with pytest.raises(ValueError, match=r"domain 2.*no caps"):
            control.create_domain(2, Hog(), params={"cap": cap})
        assert host.sections["clock"]["num_domains"][0] == 1

    def test_a_cap_may_be_as_large_as_all_vcpus(self):
        _, control = make_host("current", num_pcpus=2)
        control.create_domain(1, Hog(), num_vcpus=3, params={"cap": 300})
        with pytest.raises(ValueError, match=r"must be an integer 0\.\.300, found 301"):
            control.adjust_domain(1, cap=301)

    @pytest.mark.parametrize("version", ALL)
    def test_a_change_of_weight_while_running(self, version):
        host, control = make_host(version, (Hog(), None), (Hog(), None))
        host.run_until(10_000 * MS)
        control.adjust_domain(2, weight=768)
        host.run_until(30_000 * MS)
        # Half of 10 s, then a quarter of 20 s.
        assert shares(host, 2) == pytest.approx([1 / 3, 2 / 3], abs=0.001)


class TestOptions:
    REFUSED = (
        ({"ratelimit_us": 99}, "ratelimit_us must be 0 or 100..500000, found 99"),
        ({"ratelimit_us": 500_001}, r"ratelimit_us must be an integer 0\.\.500000, found 500001"),
        ({"ratelimit_us": 1000.0}, "ratelimit_us must be an integer"),
        ({"migrate_resist_us": -1}, r"migrate_resist_us must be an integer 0\.\.1000000, found -1"),
        ({"balance_under": -19}, r"balance_under must be an integer -18\.\.32, found -19"),
        ({"balance_over": 33}, r"balance_over must be an integer -18\.\.32, found 33"),
        ({"cap_period_ms": 0}, r"cap_period_ms must be an integer 1\.\.60000, found 0"),
        ({"load_precision_shift": 3}, r"load_precision_shift must be an integer 4\.\.24, found 3"),
        ({"load_window_shift": 10}, r"load_window_shift must be an integer 11\.\.35, found 10"),
        ({"runqueue": "cluster"}, "runqueue must be one of cpu, core, socket, node, all, found 'cluster'"),
        ({"max_cpus_runqueue": 0}, r"max_cpus_runqueue must be an integer 1\.\.256, found 0"),
    )

    @pytest.mark.parametrize(("options", "message"), REFUSED)
    def test_what_is_impossible_is_refused(self, options, message):
        with pytest.raises(ValueError, match=r"scheduler credit2 4\.22: " + message):
            Credit2Scheduler("current", **options)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"cap_period_ms": 10}, "there are no caps before Xen 4.10, found cap_period_ms=10"),
            ({"max_cpus_runqueue": 16}, "run queues are not limited before Xen 4.15, found max_cpus_runqueue=16"),
        ],
    )
    def test_4_8_does_not_know_all_of_them(self, options, message):
        with pytest.raises(ValueError, match=message):
            Credit2Scheduler("4.8", **options)

    def test_an_unknown_one_is_refused(self):
        with pytest.raises(ValueError, match=r"scheduler 'credit2': .*tslice_ms"):
            make_scheduler("credit2", tslice_ms=30)

    @pytest.mark.parametrize("version", ALL)
    def test_the_extreme_ones_work(self, version):
        for options in (
            {"load_precision_shift": 24, "load_window_shift": 35, "balance_under": 32, "balance_over": -24},
            {"load_precision_shift": 4, "load_window_shift": 11, "balance_under": -4, "balance_over": -4},
            {"ratelimit_us": 500_000, "migrate_resist_us": 1_000_000},
        ):
            host, _ = make_host(version, *[(Hog(), None)] * 5, num_pcpus=2, runqueue="cpu", **options)
            host.run_until(5000 * MS)
            assert sum(shares(host, 5)) == pytest.approx(2)
            assert min(host.sections["credit2_runqueue"]["b_avgload"]) >= 0

    def test_rebuilt_equal_and_different(self):
        scheduler = Credit2Scheduler("4.8", ratelimit_us=500, runqueue="core", smt_power_savings=True)
        for other in (copy.copy(scheduler), pickle.loads(pickle.dumps(scheduler))):
            assert other.is_like(scheduler)
        assert not Credit2Scheduler("4.8fix", ratelimit_us=500, runqueue="core").is_like(scheduler)
        assert not Credit2Scheduler("4.8", ratelimit_us=500, smt_power_savings=True).is_like(scheduler)
        assert Credit2Scheduler("current", cap_period_ms=10, max_cpus_runqueue=16).is_like(Credit2Scheduler("4.22"))

    def test_a_host_starts_anew_with_its_options(self):
        host, _ = make_host("current", (Hog(), None), ratelimit_us=5000, cap_period_ms=20)
        Domctl(host).adjust_scheduler(ratelimit_us=0)
        host.run_until(100 * MS)
        host.reset(0)
        assert host.sections["credit2"][["ratelimit_ns", "cap_period_ns"]][0].tolist() == (5 * MS, 20 * MS)


class TestRuntime:
    def test_the_rate_limit_counts_from_the_next_pass_on(self):
        host, control = make_host("current", (Hog(), None), (Hog(), None))
        host.run_until(int(6.2 * MS))
        assert host.scheduler.params() == {"ratelimit_us": 1000}
        control.adjust_scheduler(ratelimit_us=3000)
        host.run_until(8 * MS)
        # At 6.5 ms who has run for 1 ms is kept for the other two.
        assert slices_ms(host)[-2:] == [(5.5, 1), (6.5, 2)]
        assert host.scheduler.params() == {"ratelimit_us": 3000}

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"ratelimit_us": 50}, r"scheduler credit2 4\.22: ratelimit_us must be 0 or 100"),
            ({"ratelimit_us": True}, "must be an integer"),
            ({"tslice_ms": 30}, "unknown parameter tslice_ms; expected ratelimit_us"),
        ],
    )
    def test_what_is_impossible_is_refused_and_changes_nothing(self, params, message):
        host, control = make_host("current")
        with pytest.raises(ValueError, match=message):
            control.adjust_scheduler(**params)
        assert host.scheduler.params() == {"ratelimit_us": 1000}


class TestForAgentsAndOtherSchedulers:
    def test_what_an_agent_may_set(self):
        weight, cap = Credit2Scheduler().tunables()
        assert weight == ("weight", 1, 65535, 256, True, False)
        assert cap == ("cap", 0, None, 0, False, True)
        assert [tunable.name for tunable in Credit2Scheduler("4.8").tunables()] == ["weight"]

    def test_what_it_is_given_carries_over(self):
        host, _ = make_host("current", (Hog(), {"weight": 700, "cap": 30}), (WorkList(((US, US),)), None))
        assert host.scheduler.share(0) == Share(weight=700, cap_pct=30)
        assert host.scheduler.share(1) == Share(weight=256)

    def test_what_others_gave_is_taken_over_as_far_as_possible(self):
        assert Credit2Scheduler().params_from(Share(weight=99.6, cap_pct=400), 2) == ({"weight": 100, "cap": 200}, [])
        reserved = Share(slice_ns=3 * MS, period_ns=10 * MS, extra_time=False)
        assert Credit2Scheduler().params_from(reserved, 1) == ({"cap": 30}, ["slice_ns", "period_ns"])
        assert Credit2Scheduler("4.8").params_from(Share(weight=512, cap_pct=40), 1) == ({"weight": 512}, ["cap_pct"])
        assert Credit2Scheduler("4.8").params_from(reserved, 1) == ({}, ["slice_ns", "period_ns", "extra_time"])
