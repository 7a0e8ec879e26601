"""ARINC653 worked by hand: windows of a major frame, late passes, new tables, and what makes an impossible one."""

import copy
import pickle

import numpy as np
import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.arinc653 import MAX_ENTRIES, MAX_NS, Arinc653Scheduler
from xengym.policies.schedulers.registry import make_scheduler, scheduler_versions
from xengym.policies.schedulers.tunables import Share
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
MAX_VCPUS = 8
A, B, IDLE = 0, 1, None


def table_ms(*entries):
    """Entries of ``(domid, ms)``, each for the domain's first vCPU."""
    return [(domid, 0, round(ms * MS)) for domid, ms in entries]


def make_host(*programs, table=(), frame_ms=None, num_pcpus=1, first_domid=1):
    """A traced host; each program is a domain of one vCPU, ids from 1 on."""
    scheduler = Arinc653Scheduler(table=table, major_frame_ns=None if frame_ms is None else frame_ms * MS)
    host = Host(
        Topology.flat(num_pcpus), scheduler, [HogKind(), ListKind()], max_domains=MAX_VCPUS, max_vcpus=MAX_VCPUS
    )
    host.start_trace()
    for number, program in enumerate(programs):
        Domctl(host).create_domain(first_domid + number, program)
    return host, Domctl(host)


def dispatches(host, since_ms=0.0, until_ms=1e9):
    """``(at_ms, vcpu)`` of every context switch in that time; None for idle."""
    return [
        (at_ns / MS, vcpu if vcpu < MAX_VCPUS else IDLE)
        for at_ns, _, vcpu, _, kind, _ in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and since_ms <= at_ns / MS < until_ms
    ]


def passes_ms(host):
    kinds = (TraceKind.SWITCH, TraceKind.CONTINUE)
    return [at_ns / MS for at_ns, *_, kind, _ in host.trace_records().tolist() if kind in kinds]


class TestWindows:
    TABLE = table_ms((1, 30), (2, 20))

    def test_the_frame_repeats_exactly(self):
        host, _ = make_host(Hog(), Hog(), table=self.TABLE, frame_ms=100)
        host.run_until(1000 * MS)
        frame = [(0, A), (30, B), (50, IDLE)]
        assert dispatches(host) == [(100 * n + at_ms, vcpu) for n in range(10) for at_ms, vcpu in frame]
        assert [host.runstate_ns(vcpu)["running"] for vcpu in (A, B)] == [300 * MS, 200 * MS]
        # One pass for each window and one for the idle rest; the two wake-ups at 0 are one.
        assert len(passes_ms(host)) == 30

    def test_a_blocked_vcpu_leaves_its_window_idle(self):
        host, _ = make_host(WorkList(((10 * MS, 15 * MS), (500 * MS, 1))), Hog(), table=self.TABLE, frame_ms=100)
        host.run_until(100 * MS)
        assert dispatches(host) == [(0, A), (10, IDLE), (25, A), (30, B), (50, IDLE)]

    def test_a_wake_up_in_another_window_changes_nothing_until_its_own(self):
        host, _ = make_host(WorkList(((20 * MS, 20 * MS), (500 * MS, 1))), Hog(), table=self.TABLE, frame_ms=100)
        host.run_until(110 * MS)
        assert dispatches(host) == [(0, A), (20, IDLE), (30, B), (50, IDLE), (100, A)]
        assert 40 in passes_ms(host)

    @pytest.mark.parametrize(("late_ms", "vcpu", "next_ms"), [(135, B, 150), (110, A, 130), (160, IDLE, 200)])
    def test_a_late_pass_goes_to_the_window_that_time_has_reached(self, late_ms, vcpu, next_ms):
        host, _ = make_host(Hog(), Hog(), table=self.TABLE, frame_ms=100)
        host.run_until(60 * MS)
        host.sections["timer"]["at_ns"][0] = late_ms * MS  # as if the slice timer of the only pCPU came late
        host.run_until((next_ms + 1) * MS)
        expected = [] if vcpu is IDLE else [(late_ms, vcpu)]
        following = {B: IDLE, A: B, IDLE: A}[vcpu]
        assert dispatches(host, 60) == [*expected, (next_ms, following)]
        assert passes_ms(host)[-2:] == [late_ms, next_ms]

    def test_frames_that_were_missed_altogether_keep_the_phase(self):
        host, _ = make_host(Hog(), Hog(), table=self.TABLE, frame_ms=100)
        host.run_until(60 * MS)
        host.sections["timer"]["at_ns"][0] = 735 * MS
        host.run_until(801 * MS)
        assert dispatches(host, 60) == [(735, B), (750, IDLE), (800, A)]

    def test_a_vcpu_may_have_several_windows(self):
        host, _ = make_host(Hog(), Hog(), table=table_ms((1, 5), (2, 10), (1, 5)))
        host.run_until(30 * MS)
        # No idle rest, so the last window goes on into the first.
        assert dispatches(host) == [(0, A), (5, B), (15, A), (25, B)]

    def test_windows_of_those_who_are_not_there_are_idle(self):
        host, control = make_host(Hog(), table=[(2, 0, 10 * MS), (1, 3, 10 * MS), (1, 0, 10 * MS)])
        host.run_until(60 * MS)
        assert dispatches(host) == [(20, A), (30, IDLE), (50, A)]
        control.create_domain(2, Hog())
        host.run_until(95 * MS)
        assert dispatches(host, 60) == [(60, B), (70, IDLE), (80, A), (90, B)]
        control.destroy_domain(2)
        host.run_until(120 * MS)
        assert dispatches(host, 95) == [(95, IDLE), (110, A)]

    def test_time_is_not_given_to_those_who_are_not_named(self):
        host, _ = make_host(Hog(), Hog(), table=table_ms((1, 30)), frame_ms=100)
        host.run_until(1000 * MS)
        assert host.runstate_ns(B)["running"] == 0
        assert host.scheduler.queued() == [A, B]

    def test_who_lives_on_another_pcpu_runs_there(self):
        host, control = make_host(num_pcpus=2, table=self.TABLE, frame_ms=100)
        control.create_domain(1, Hog(), pcpus=[0])
        control.create_domain(2, Hog(), pcpus=[1])
        host.run_until(100 * MS)
        switches = [r for r in host.trace_records().tolist() if r[4] == TraceKind.SWITCH]
        assert [(at_ns / MS, pcpu, vcpu) for at_ns, _, vcpu, _, _, pcpu in switches] == [
            (0, 0, A), (30, 0, MAX_VCPUS), (30, 1, B), (50, 1, MAX_VCPUS + 1),
        ]  # fmt: skip


class TestAwake:
    def test_paused_in_its_window_and_back(self):
        host, control = make_host(Hog(), Hog(), table=table_ms((1, 30), (2, 20)), frame_ms=100)
        host.run_until(10 * MS)
        control.pause_domain(1)
        host.run_until(20 * MS)
        control.unpause_domain(1)
        host.run_until(35 * MS)
        control.pause_domain(1)
        host.run_until(120 * MS)
        assert dispatches(host) == [(0, A), (10, IDLE), (20, A), (30, B), (50, IDLE)]
        control.unpause_domain(1)
        host.run_until(121 * MS)
        assert dispatches(host, 120) == [(120, A)]

    def test_offline_and_back(self):
        host, control = make_host(Hog(), table=table_ms((1, 30)), frame_ms=100)
        host.run_until(10 * MS)
        control.set_vcpu_online(1, 0, False)
        host.run_until(110 * MS)
        control.set_vcpu_online(1, 0, True)
        host.run_until(111 * MS)
        assert dispatches(host) == [(0, A), (10, IDLE), (110, A)]

    def test_a_change_of_affinity_takes_it_off_for_no_time(self):
        host, control = make_host(Hog(), table=table_ms((1, 30)), frame_ms=100, num_pcpus=2)
        host.run_until(10 * MS)
        control.set_affinity(1, 0, hard=[1])
        host.run_until(20 * MS)
        assert host.runstate_ns(A)["running"] == 20 * MS
        assert host.sections["vcpu"]["pcpu"][A] == 1


class TestTable:
    def test_without_one_guests_stand_still(self):
        host, control = make_host(Hog())
        host.run_until(100 * MS)
        assert dispatches(host) == []
        assert host.scheduler.params() == {"major_frame_ns": 10 * MS, "table": []}
        control.adjust_scheduler(table=table_ms((1, 10)))
        host.run_until(101 * MS)
        assert dispatches(host) == [(100, A)]

    def test_dom0_enters_itself(self):
        host, control = make_host()
        control.create_domain(0, Hog(), num_vcpus=3)
        assert host.scheduler.params() == {
            "major_frame_ns": 30 * MS,
            "table": [(0, 0, 10 * MS), (0, 1, 10 * MS), (0, 2, 10 * MS)],
        }
        control.create_domain(1, Hog())
        host.run_until(70 * MS)
        assert dispatches(host) == [(0, 0), (10, 1), (20, 2), (30, 0), (40, 1), (50, 2), (60, 0)]

    def test_dom0_enters_itself_as_long_as_there_is_room(self):
        full = [(1, 0, MS)] * (MAX_ENTRIES - 1)
        host, control = make_host(table=full)
        control.create_domain(0, Hog(), num_vcpus=2)
        params = host.scheduler.params()
        assert (len(params["table"]), params["table"][-1]) == (MAX_ENTRIES, (0, 0, 10 * MS))
        assert params["major_frame_ns"] == (MAX_ENTRIES - 1 + 10) * MS

    def test_a_new_table_counts_from_the_next_pass_in_frames_from_its_setting(self):
        host, _ = make_host(Hog(), Hog(), table=table_ms((1, 30), (2, 20)), frame_ms=100)
        host.run_until(35 * MS)
        host.scheduler.set_table(20 * MS, table_ms((1, 8), (2, 4)))
        host.run_until(95 * MS)
        # The window under way ends at 50, 15 ms into a frame that began at 35: its idle rest.
        assert dispatches(host, 30) == [(30, B), (50, IDLE), (55, A), (63, B), (67, IDLE), (75, A), (83, B), (87, IDLE)]

    def test_frame_and_windows_can_be_set_one_at_a_time(self):
        host, control = make_host(Hog(), Hog(), table=table_ms((1, 30), (2, 20)), frame_ms=100)
        control.adjust_scheduler(major_frame_ns=60 * MS)
        assert host.scheduler.params() == {"major_frame_ns": 60 * MS, "table": table_ms((1, 30), (2, 20))}
        control.adjust_scheduler(table=table_ms((2, 60)))
        assert host.scheduler.params() == {"major_frame_ns": 60 * MS, "table": table_ms((2, 60))}

    def test_no_parameter_is_no_new_table(self):
        host, control = make_host(Hog(), table=table_ms((1, 30)), frame_ms=100)
        host.run_until(10 * MS)
        before = host.digest()
        control.adjust_scheduler()
        assert host.digest() == before

    FIVE = table_ms((1, 5))
    REFUSED = (
        ({"table": table_ms((1, 60), (2, 50)), "major_frame_ns": 100 * MS},
         "the windows take 110000000 ns, more than the major frame of 100000000 ns"),
        ({"table": []}, r"the table must have 1\.\.64 entries, found 0"),
        ({"table": FIVE * 65}, r"the table must have 1\.\.64 entries, found 65"),
        ({"table": 5}, "table must be a sequence of .*, found 5"),
        ({"table": [5]}, r"table entry 0: expected \(domid, vcpu_in_domain, runtime_ns\), found 5"),
        ({"table": [(1, 0)]}, r"table entry 0: expected .*, found \(1, 0\)"),
        ({"table": [*FIVE, (1, 0, 0)]}, r"table entry 1: runtime_ns must be an integer 1\.\.\d+, found 0"),
        ({"table": [(1, 0, 1.5)]}, r"table entry 0: runtime_ns must be an integer .*, found 1\.5"),
        ({"table": [(-1, 0, 1)]}, r"table entry 0: domid must be an integer 0\.\.32751, found -1"),
        ({"table": [(32752, 0, 1)]}, r"domid must be an integer 0\.\.32751, found 32752"),
        ({"table": [(1, -1, 1)]}, "table entry 0: vcpu_in_domain must be an integer .*, found -1"),
        ({"major_frame_ns": 0, "table": FIVE}, r"major_frame_ns must be an integer 1\.\.\d+, found 0"),
        ({"major_frame_ns": MAX_NS + 1, "table": FIVE}, r"major_frame_ns must be an integer 1\.\.\d+, found 4611"),
        ({"major_frame_ns": "10", "table": FIVE}, "major_frame_ns must be an integer .*, found '10'"),
    )  # fmt: skip

    @pytest.mark.parametrize(("params", "message"), REFUSED)
    def test_an_impossible_table_is_refused_and_changes_nothing(self, params, message):
        host, control = make_host(Hog(), table=table_ms((1, 30)), frame_ms=100)
        host.run_until(10 * MS)
        before = host.digest()
        with pytest.raises(ValueError, match=r"scheduler arinc653 4\.22: .*" + message):
            control.adjust_scheduler(**params)
        assert host.digest() == before
        with pytest.raises(ValueError, match=message):
            make_scheduler("arinc653", **params)

    def test_the_longest_table_runs(self):
        host, _ = make_host(Hog(), table=[(1, 0, np.int64(MS))] * MAX_ENTRIES, frame_ms=MAX_ENTRIES)
        host.run_until(1000 * MS)
        assert dispatches(host) == [(0, A)]
        assert len(passes_ms(host)) == 1000


class TestOtherParameters:
    def test_there_are_no_others(self):
        host, control = make_host(Hog(), table=table_ms((1, 30)), frame_ms=100)
        assert (host.scheduler.tunables(), control.domain_params(1)) == ([], {})
        with pytest.raises(ValueError, match="unknown parameter ratelimit_us; expected major_frame_ns or table"):
            control.adjust_scheduler(ratelimit_us=1000)
        with pytest.raises(ValueError, match="there are no domain parameters; found weight"):
            control.adjust_domain(1, weight=256)
        with pytest.raises(ValueError, match="the table must have"):
            make_scheduler("arinc653", major_frame_ns=MS)
        with pytest.raises(ValueError, match=r"unknown version '4\.8' of scheduler 'arinc653'; expected one of 4\.22"):
            make_scheduler("arinc653", "4.8")
        assert scheduler_versions("arinc653") == ["4.22", "current"]

    def test_whatever_another_scheduler_gave_is_lost(self):
        share = Share(weight=256, cap_pct=50, slice_ns=MS, period_ns=10 * MS, extra_time=True)
        assert Arinc653Scheduler().params_from(share, 2) == ({}, list(Share._fields))


class TestState:
    def test_a_reset_brings_back_the_table_of_the_boot(self):
        host, control = make_host(Hog(), table=table_ms((1, 30)), frame_ms=100)
        control.adjust_scheduler(table=table_ms((1, 50)))
        host.reset(1)
        assert host.scheduler.params() == {"major_frame_ns": 100 * MS, "table": table_ms((1, 30))}

    def test_copies_have_the_boot_options(self):
        for scheduler in (Arinc653Scheduler(), Arinc653Scheduler(table=table_ms((1, 30)), major_frame_ns=100 * MS)):
            for other in (copy.copy(scheduler), pickle.loads(pickle.dumps(scheduler))):
                assert other.is_like(scheduler)
        assert not Arinc653Scheduler().is_like(scheduler)

    def test_a_snapshot_holds_the_table_that_was_set_and_goes_on_alike(self):
        host, control = make_host(Hog(), WorkList(((3 * MS, 2 * MS),)), Hog(), table=table_ms((1, 30), (2, 20)))
        control.adjust_scheduler(major_frame_ns=60 * MS, table=table_ms((2, 17), (3, 5), (1, 7), (2, 1)))
        host.run_until(333 * MS)
        twin = pickle.loads(pickle.dumps(host))
        fresh, _ = make_host(table=table_ms((1, 30), (2, 20)))
        fresh.restore(host.snapshot())
        for other in (host, twin, fresh):
            other.run_until(1000 * MS)
        assert host.digest() == twin.digest() == fresh.digest()
        assert fresh.scheduler.params() == host.scheduler.params()
