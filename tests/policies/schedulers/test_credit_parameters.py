"""What can be set on Credit, from when a change counts, and what is refused with which words."""

import numpy as np
import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.policies.schedulers.credit_rules import CREDIT_RELEASES, credit_rules
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
BOOST, UNDER, OVER = 0, -1, -2
ALL = ("3.0.3", "3.2", "4.5", "4.8", "current")


def make_host(version, *domains, num_pcpus=1, **options):
    """A traced host; each domain is ``(program, params)``, ids from 1 on."""
    scheduler = CreditScheduler(version, idle_ticks=True, **options)
    host = Host(Topology.flat(num_pcpus), scheduler, [HogKind(), ListKind()], max_domains=8, max_vcpus=8)
    host.start_trace()
    for number, (program, params) in enumerate(domains):
        Domctl(host).create_domain(number + 1, program, params=params)
    return host, Domctl(host)


def times_ms(host, kind):
    return [at_ns / MS for at_ns, *_, record, _ in host.trace_records().tolist() if record == TraceKind[kind]]


def shares(host, num_vcpus):
    return [host.runstate_ns(vcpu)["running"] / host.now_ns for vcpu in range(num_vcpus)]


class TestVersions:
    def test_current_is_the_newest_release(self):
        assert CreditScheduler().version == "4.22"
        assert credit_rules("current") is credit_rules("4.22")
        assert list(CREDIT_RELEASES) == ["3.0.3", "3.2", "4.5", "4.8", "4.22", "current"]

    @pytest.mark.parametrize("version", ["4.6", "credit", "", None])
    def test_an_unknown_release_is_refused_and_the_known_ones_are_listed(self, version):
        message = rf"unknown version {version!r} of scheduler 'credit'; expected one of 3\.0\.3, .*current"
        with pytest.raises(ValueError, match=message):
            CreditScheduler(version)


class TestDomainParameters:
    def test_defaults_and_what_was_set(self):
        _, control = make_host("4.5", (Hog(), None), (Hog(), {"cap": 30}))
        assert control.domain_params(1) == {"weight": 256, "cap": 0}
        control.adjust_domain(2, weight=65535)
        assert control.domain_params(2) == {"weight": 65535, "cap": 30}

    @pytest.mark.parametrize("params", [{"weight": 1}, {"weight": 65535}, {"cap": 100}, {"cap": np.int64(1)}])
    def test_the_ends_of_the_ranges_are_legal(self, params):
        _, control = make_host("4.5", (Hog(), None))
        control.adjust_domain(1, **params)
        assert control.domain_params(1) == {"weight": 256, "cap": 0, **params}

    WEIGHT = r"domain 1, scheduler credit 4\.5: weight must be an integer 1\.\.65535, found "
    CAP = r"domain 1, .*: cap \(percent of one pCPU, 0 for none\) must be an integer 0\.\.100, found "
    REFUSED = (
        ({"weight": 0}, WEIGHT + "0"),
        ({"weight": 65536}, WEIGHT + "65536"),
        ({"weight": -256}, WEIGHT + "-256"),
        ({"weight": 256.0}, WEIGHT + r"256\.0"),
        ({"weight": float("nan")}, WEIGHT + "nan"),
        ({"weight": True}, WEIGHT + "True"),
        ({"weight": "256"}, WEIGHT + "'256'"),
        ({"weight": None}, WEIGHT + "None"),
        ({"cap": -1}, CAP + "-1"),
        ({"cap": 101}, CAP + "101"),
        ({"cap": 50.0}, CAP + r"50\.0"),
        ({"cap": False}, CAP + "False"),
        ({"weight": 512, "cap": 101}, CAP + "101"),
        ({"wieght": 512}, "domain 1, .*: unknown parameter wieght; expected weight or cap"),
        ({"tslice_ms": 5, "credit": 1}, "unknown parameter credit, tslice_ms; expected weight or cap"),
    )

    @pytest.mark.parametrize(("params", "message"), REFUSED)
    def test_an_impossible_value_is_refused_and_changes_nothing(self, params, message):
        host, control = make_host("4.5", (Hog(), None))
        host.run_until(40 * MS)
        before = host.digest()
        with pytest.raises(ValueError, match=message):
            control.adjust_domain(1, **params)
        assert host.digest() == before

    def test_a_cap_may_be_as_much_as_all_its_vcpus(self):
        _, control = make_host("4.5")
        control.create_domain(1, Hog(), num_vcpus=3, params={"cap": 300})
        with pytest.raises(ValueError, match=r"must be an integer 0\.\.300, found 301"):
            control.adjust_domain(1, cap=301)

    @pytest.mark.parametrize("version", ALL)
    def test_a_new_weight_counts_from_the_next_accounting(self, version):
        host, control = make_host(version, (Hog(), None), (Hog(), None))
        host.run_until(30_000 * MS)
        assert shares(host, 2) == pytest.approx([0.5, 0.5], abs=0.005)
        control.adjust_domain(1, weight=512)
        host.run_until(90_000 * MS)
        assert shares(host, 2) == pytest.approx([11 / 18, 7 / 18], abs=0.005)  # 1/2 of 30 s, 2/3 of 60 s

    def test_a_change_under_3_2_wakes_anew_what_is_queued_and_leaves_alone_what_runs(self):
        host, control = make_host("3.2", (Hog(), None), (Hog(), None))
        host.run_until(15 * MS)
        host.sections["credit_vcpu"]["priority"][1] = UNDER
        control.adjust_domain(1, weight=300)
        assert times_ms(host, "SLEEP")[-1:] != [15]
        control.adjust_domain(2, weight=300)
        assert times_ms(host, "SLEEP")[-1:] == [15]
        host.run_until(16 * MS)
        # Boosted by that, vCPU 1 preempts; vCPU 0 lost its boost at 10 ms.
        assert times_ms(host, "SWITCH") == [0, 15]

    def test_a_change_under_4_5_disturbs_nobody(self):
        host, control = make_host("4.5", (Hog(), None), (Hog(), None))
        host.run_until(15 * MS)
        host.sections["credit_vcpu"]["priority"][1] = UNDER
        control.adjust_domain(2, weight=300, cap=40)
        host.run_until(16 * MS)
        assert host.sections["credit_vcpu"]["priority"][1] == UNDER
        assert times_ms(host, "SWITCH") == [0]


class TestSchedulerParameters:
    REFUSED = (
        ("current", {"tslice_ms": 0}, r"credit 4\.22: tslice_ms must be an integer 1\.\.1000, found 0"),
        ("current", {"tslice_ms": 1001}, r"tslice_ms must be an integer 1\.\.1000, found 1001"),
        ("current", {"tslice_ms": 5.0}, r"tslice_ms must be an integer 1\.\.1000, found 5\.0"),
        ("current", {"tslice_ms": True}, r"tslice_ms must be an integer 1\.\.1000, found True"),
        ("current", {"ratelimit_us": -1}, r"ratelimit_us must be an integer 0\.\.500000, found -1"),
        ("current", {"ratelimit_us": 99}, r"ratelimit_us must be 0 or 100\.\.500000, found 99"),
        ("current", {"ratelimit_us": 500_001}, r"ratelimit_us must be an integer 0\.\.500000, found 500001"),
        ("current", {"ratelimit_us": 1e3}, r"ratelimit_us must be an integer 0\.\.500000, found 1000\.0"),
        ("current", {"ratelimit_us": 30_001}, "ratelimit_us must not exceed the timeslice of 30 ms, found 30001"),
        ("current", {"tslice_ms": 1, "ratelimit_us": 1001}, "must not exceed the timeslice of 1 ms, found 1001"),
        ("current", {"migration_delay_us": -1}, r"migration_delay_us must be an integer 0\.\.100000, found -1"),
        ("current", {"migration_delay_us": 100_001}, r"must be an integer 0\.\.100000, found 100001"),
        ("3.2", {"tslice_ms": 10}, r"credit 3\.2: .*timeslice|credit 3\.2: tslice_ms is fixed at 30"),
        ("3.0.3", {"ratelimit_us": 1000}, r"credit 3\.0\.3: there is no ratelimit before Xen 4\.2, found"),
        ("3.2", {"ratelimit_us": 100}, "there is no ratelimit before"),
    )

    @pytest.mark.parametrize(("version", "params", "message"), REFUSED)
    def test_an_impossible_value_is_refused_at_boot(self, version, params, message):
        with pytest.raises(ValueError, match=message):
            CreditScheduler(version, **params)

    @pytest.mark.parametrize(("version", "params", "message"), REFUSED)
    def test_and_while_running_and_changes_nothing(self, version, params, message):
        host, control = make_host(version, (Hog(), None))
        host.run_until(40 * MS)
        before = host.digest()
        with pytest.raises(ValueError, match=message):
            control.adjust_scheduler(**params)
        assert host.digest() == before

    def test_an_unknown_parameter_is_refused_by_name(self):
        _, control = make_host("current")
        message = "unknown parameter slice; expected tslice_ms, ratelimit_us or migration_delay_us"
        with pytest.raises(ValueError, match=message):
            control.adjust_scheduler(slice=5)

    def test_defaults(self):
        late = {"tslice_ms": 30, "ratelimit_us": 1000, "migration_delay_us": 0}
        for version in ("4.5", "4.8", "current"):
            assert make_host(version)[0].scheduler.params() == late
        for version in ("3.0.3", "3.2"):
            assert make_host(version)[0].scheduler.params() == {**late, "ratelimit_us": 0}

    @pytest.mark.parametrize(
        "params",
        [
            {"tslice_ms": 1, "ratelimit_us": 1000},
            {"tslice_ms": 1000, "ratelimit_us": 500_000},
            {"ratelimit_us": 100, "migration_delay_us": 100_000},
            {"ratelimit_us": 0},
        ],
    )
    def test_the_ends_of_the_ranges_are_legal_at_boot_and_while_running(self, params):
        expected = {"tslice_ms": 30, "ratelimit_us": 1000, "migration_delay_us": 0, **params}
        assert make_host("current", **params)[0].scheduler.params() == expected
        host, control = make_host("current")
        control.adjust_scheduler(**params)
        assert host.scheduler.params() == expected

    @pytest.mark.parametrize(
        ("tslice_ms", "ticks_ms", "accountings_ms"),
        [
            (30, [10, 20, 30], [30, 60]),
            (5, [1.666, 3.332, 4.998], [5, 10]),  # a third of it in whole microseconds
            (3, [1, 2, 3], [3, 6]),
            (2, [2, 4, 6], [2, 4]),  # below 3 ms a tick is a timeslice
        ],
    )
    def test_ticks_and_accounting_follow_the_timeslice(self, tslice_ms, ticks_ms, accountings_ms):
        host, _ = make_host("4.5", tslice_ms=tslice_ms)
        timers = host.sections["timer"]
        tick = 2 * host.num_pcpus  # a slice and a completion timer for each pCPU, then the ticks
        seen = []
        while len(seen) < 3:
            at_ns = int(timers["at_ns"][tick])
            seen.append(at_ns / MS)
            host.run_until(at_ns + 1)
        assert seen == ticks_ms
        assert times_ms(host, "ACCOUNTING")[:2] == accountings_ms[: len(times_ms(host, "ACCOUNTING"))]

    @pytest.mark.parametrize("tslice_ms", [5, 10, 100])
    def test_at_boot_the_timeslice_keeps_the_weights(self, tslice_ms):
        domains = [(Hog(), {"weight": 256}), (Hog(), {"weight": 512})]
        host, _ = make_host("4.5", *domains, tslice_ms=tslice_ms)
        host.run_until(60_000 * MS)
        assert shares(host, 2) == pytest.approx([1 / 3, 2 / 3], abs=0.01)

    @pytest.mark.parametrize(
        ("version", "expected"),
        # Up to 4.8's predecessors a shorter timeslice goes on handing out the credits of the old one: six times too
        # much, everybody has all that he can use, and the weights count no more.
        [("4.5", [0.5, 0.5]), ("current", [1 / 3, 2 / 3])],
    )
    def test_a_shorter_timeslice_while_running(self, version, expected):
        domains = [(Hog(), {"weight": 256}), (Hog(), {"weight": 512})]
        host, control = make_host(version, *domains)
        host.run_until(10_000 * MS)
        before = [host.runstate_ns(vcpu)["running"] for vcpu in (0, 1)]
        control.adjust_scheduler(tslice_ms=5)
        host.run_until(40_000 * MS)
        got = [(host.runstate_ns(vcpu)["running"] - before[vcpu]) / (30_000 * MS) for vcpu in (0, 1)]
        assert got == pytest.approx(expected, abs=0.01)

    def test_timers_already_armed_stay_and_the_next_ones_follow_the_new_timeslice(self):
        host, control = make_host("4.5", (Hog(), None))
        host.run_until(35 * MS)
        control.adjust_scheduler(tslice_ms=6)
        host.run_until(75 * MS)
        assert times_ms(host, "ACCOUNTING") == [30, 60, 66, 72]

    def test_a_change_of_the_ratelimit_counts_at_once(self):
        host, control = make_host("current", (WorkList(((200_000, -1),)), None), (Hog(), None))
        host.run_until(MS)
        control.adjust_scheduler(ratelimit_us=0)
        assert host.sections["credit"]["ratelimit_ns"][0] == 0


class TestPhase:
    def test_a_tick_for_each_pcpu_is_needed(self):
        host, _ = make_host("4.5", num_pcpus=2)
        with pytest.raises(ValueError, match="first_tick_ns: expected one entry for each of 2 pCPUs, found 1"):
            host.scheduler.set_phase([MS], MS)

    @pytest.mark.parametrize(
        ("version", "first_accounting_ms"), [("3.2", 3), ("3.2", 13), ("3.2", 23), ("4.5", 17), ("current", 30)]
    )
    def test_accounting_runs_at_its_phase_and_every_30_ms_after(self, version, first_accounting_ms):
        host, _ = make_host(version, (Hog(), None))
        host.scheduler.set_phase([3 * MS], first_accounting_ms * MS)
        host.run_until(100 * MS)
        assert times_ms(host, "ACCOUNTING")[:3] == [first_accounting_ms + 30 * k for k in range(3)]
