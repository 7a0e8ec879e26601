"""The core of the hypervisor on hand-worked cases: who runs when, in which runstate, in which order.

The four cases named F1 to F4 are those by which Xen's core scheduler was specified: block and wake, block
with an event pending, collapsing soft interrupts, and an affinity change of a queued vCPU.
"""

import numpy as np
import pytest

from xengym.guests.cpu import HogKind, ListKind, OnOffKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.costs import Costs
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
FOR_EVER = -1
RUNNING, RUNNABLE, BLOCKED, OFFLINE = range(4)
MAX_VCPUS = 6
IDLE = MAX_VCPUS  # vCPU number of the first pCPU's idle vCPU


def make_host(num_pcpus=1, *programs, version="4.5", costs=None, pcpus=None, starts=None, **options):
    """A traced host; the n-th program is vCPU n, alone in domain n + 1. No tick or accounting before 1 s."""
    scheduler = CreditScheduler(version, idle_ticks=True, **options)
    kinds = [HogKind(), PeriodicKind(), ListKind(), OnOffKind()]
    host = Host(Topology.flat(num_pcpus), scheduler, kinds, costs=costs, max_domains=MAX_VCPUS, max_vcpus=MAX_VCPUS)
    scheduler.set_phase([1000 * MS] * num_pcpus, 1000 * MS)
    host.start_trace()
    control = Domctl(host)
    for number, program in enumerate(programs):
        control.create_domain(
            number + 1,
            program,
            pcpus=None if pcpus is None else [pcpus[number]],
            start_ns=0 if starts is None else starts[number],
        )
    return host, control


def events(host, *kinds, since=0):
    """``(at_ns, kind, vcpu, other, value)`` of the records of those kinds (default all) from ``since`` on."""
    wanted = kinds or tuple(kind.name for kind in TraceKind)
    return [
        (at_ns, TraceKind(kind).name, vcpu, other, value)
        for at_ns, value, vcpu, other, kind, _ in host.trace_records().tolist()
        if TraceKind(kind).name in wanted and at_ns >= since
    ]


def dispatches(host, since=0):
    """``(at_ns, pcpu, vcpu)`` of every context switch from ``since`` on."""
    return [
        (at_ns, pcpu, vcpu)
        for at_ns, _, vcpu, _, kind, pcpu in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and at_ns >= since
    ]


def times_ms(host, vcpu):
    return {name: spent / MS for name, spent in host.runstate_ns(vcpu).items()}


class TestBlockAndWake:
    @pytest.mark.parametrize(("version", "idle_slice_ns"), [("4.5", -1), ("3.2", 30 * MS)])
    def test_f1_a_block_and_a_wake_on_an_idle_pcpu(self, version, idle_slice_ns):
        host, _ = make_host(1, WorkList(((4 * MS, 5 * MS), (50 * MS, 0))), version=version)
        host.run_until(10 * MS)
        assert times_ms(host, 0) == {"running": 5, "runnable": 0, "blocked": 5, "offline": 0}
        assert times_ms(host, IDLE) == {"running": 5, "runnable": 5, "blocked": 0, "offline": 0}
        assert events(host, "BLOCK", "SWITCH", "RUNSTATE", since=1) == [
            (4 * MS, "BLOCK", 0, 0, 0),
            (4 * MS, "SWITCH", IDLE, 0, idle_slice_ns),
            (4 * MS, "RUNSTATE", 0, RUNNING, BLOCKED),
            (4 * MS, "RUNSTATE", IDLE, RUNNABLE, RUNNING),
            (9 * MS, "RUNSTATE", 0, BLOCKED, RUNNABLE),
            (9 * MS, "SWITCH", 0, IDLE, 30 * MS),
            (9 * MS, "RUNSTATE", IDLE, RUNNING, RUNNABLE),
            (9 * MS, "RUNSTATE", 0, RUNNABLE, RUNNING),
        ]

    def test_f2_a_block_with_an_event_pending_returns_at_once(self):
        host, _ = make_host(1, Hog())
        host.run_until(3 * MS)
        host.send_event(0)
        passes = host.sections["pcpu"]["invocations"][0]
        host.block_vcpu(0)
        host.run_until(5 * MS)
        assert host.sections["pcpu"]["invocations"][0] == passes
        assert events(host, "BLOCK") == []
        assert times_ms(host, 0)["running"] == 5
        # The event is used up: the next block is one.
        host.block_vcpu(0)
        host.run_until(6 * MS)
        assert events(host, "BLOCK") == [(5 * MS, "BLOCK", 0, 0, 0)]
        assert times_ms(host, 0) == {"running": 5, "runnable": 0, "blocked": 1, "offline": 0}

    @pytest.mark.parametrize("call", ["block_vcpu", "poll_vcpu"])
    def test_a_block_that_returns_at_once_loses_no_work(self, call):
        host, _ = make_host(1, WorkList(((10 * MS, 90 * MS),)))
        host.run_until(3 * MS)
        host.send_event(0)
        if call == "block_vcpu":
            host.block_vcpu(0)
        else:
            host.poll_vcpu(0, 5 * MS)
        host.run_until(50 * MS)
        assert dispatches(host) == [(0, 0, 0), (10 * MS, 0, IDLE)]
        assert host.sections["vcpu"]["segments"][0] == 1

    def test_an_event_wakes_a_blocked_vcpu_and_the_delay_to_its_dispatch_is_counted(self):
        # No boost under 3.0.3: the second vCPU, woken at 37 ms, waits for the end of the first one's slice.
        host, _ = make_host(1, Hog(), Hog(), version="3.0.3")
        host.run_until(31 * MS)
        host.block_vcpu(1)
        host.run_until(37 * MS)
        host.send_event(1)
        host.run_until(70 * MS)
        assert dispatches(host) == [(0, 0, 0), (30 * MS, 0, 1), (31 * MS, 0, 0), (61 * MS, 0, 1)]
        vcpu = host.sections["vcpu"][1]
        assert (vcpu["wakes"], vcpu["blocks"], vcpu["dispatches"]) == (1, 1, 2)
        assert (vcpu["wake_latency_count"], vcpu["wake_latency_ns"], vcpu["wake_latency_max_ns"]) == (
            1,
            24 * MS,
            24 * MS,
        )

    def test_an_event_that_comes_before_the_vcpu_has_left_its_pcpu_keeps_it_there(self):
        host, _ = make_host(1, Hog())
        host.run_until(2 * MS)
        host.block_vcpu(0)
        host.send_event(0)
        host.run_until(4 * MS)
        assert dispatches(host) == [(0, 0, 0)]
        assert times_ms(host, 0)["running"] == 4
        assert host.sections["vcpu"][0]["wakes"] == 1

    def test_a_poll_without_timeout_lasts_until_an_event(self):
        host, _ = make_host(1, Hog())
        host.run_until(MS)
        host.poll_vcpu(0, FOR_EVER)
        host.run_until(500 * MS)
        assert times_ms(host, 0)["blocked"] == 499
        host.send_event(0)
        host.run_until(501 * MS)
        assert times_ms(host, 0)["running"] == 2

    def test_a_poll_ends_at_its_timeout(self):
        host, _ = make_host(1, Hog())
        host.run_until(MS)
        host.poll_vcpu(0, 3 * MS)
        host.run_until(10 * MS)
        assert dispatches(host) == [(0, 0, 0), (MS, 0, IDLE), (4 * MS, 0, 0)]

    def test_an_event_ends_a_poll_and_its_timeout_does_not_fire_later(self):
        host, _ = make_host(1, Hog())
        host.run_until(MS)
        host.poll_vcpu(0, 3 * MS)
        host.run_until(2 * MS)
        host.send_event(0)
        host.run_until(3 * MS)
        host.block_vcpu(0)
        host.run_until(10 * MS)
        assert dispatches(host) == [(0, 0, 0), (MS, 0, IDLE), (2 * MS, 0, 0), (3 * MS, 0, IDLE)]
        assert host.sections["vcpu"][0]["wakes"] == 1

    def test_a_poll_with_an_event_pending_returns_at_once_and_sets_no_timeout(self):
        host, _ = make_host(1, Hog())
        host.run_until(MS)
        host.send_event(0)
        host.poll_vcpu(0, 3 * MS)
        host.run_until(2 * MS)
        host.block_vcpu(0)
        host.run_until(10 * MS)
        assert dispatches(host) == [(0, 0, 0), (2 * MS, 0, IDLE)]

    def test_a_yield_asks_for_one_pass_and_the_vcpu_queues_behind_its_equal(self):
        # 3.2 has no more to a yield than that.
        host, _ = make_host(1, WorkList(((2 * MS, -1),)), Hog(), version="3.2")
        host.run_until(40 * MS)
        assert dispatches(host) == [(0, 0, 0), (2 * MS, 0, 1), (32 * MS, 0, 0), (34 * MS, 0, 1)]
        assert events(host, "YIELD") == [(2 * MS, "YIELD", 0, 0, 0), (34 * MS, "YIELD", 0, 0, 0)]
        assert host.sections["vcpu"][0]["yields"] == 2


class TestSpuriousEvents:
    """A guest woken without reason finds nothing to do and blocks again, as any kernel's idle loop does."""

    def test_an_event_during_a_job_does_not_keep_the_cpu_after_it(self):
        host, _ = make_host(1, Periodic(3 * MS, 10 * MS))
        host.run_until(MS)
        host.send_event(0)
        host.run_until(20 * MS)
        assert dispatches(host) == [(0, 0, 0), (3 * MS, 0, IDLE), (10 * MS, 0, 0), (13 * MS, 0, IDLE)]

    @pytest.mark.parametrize("program", [Periodic(3 * MS, 10 * MS), WorkList(((3 * MS, 7 * MS),))])
    def test_an_event_between_jobs_does_not_count_as_a_job(self, program):
        host, _ = make_host(1, program)
        host.run_until(5 * MS)
        host.send_event(0)
        host.run_until(9 * MS)
        domain = host.sections["domain"][0]
        assert (domain["jobs_submitted"], domain["jobs_done"]) == (1, 1)
        assert times_ms(host, 0) == {"running": 3, "runnable": 0, "blocked": 6, "offline": 0}
        host.run_until(19 * MS)
        assert (domain["jobs_submitted"], domain["jobs_done"]) == (2, 2)

    def test_an_event_after_the_last_job_of_a_list_starts_nothing(self):
        # The second list stands behind the first one's end in memory.
        host, _ = make_host(
            2, WorkList(((3 * MS, 0),), loop=False), WorkList(((5 * MS, 5 * MS),), loop=False), pcpus=[0, 1]
        )
        host.run_until(6 * MS)
        host.send_event(0)
        host.run_until(40 * MS)
        assert times_ms(host, 0) == {"running": 3, "runnable": 0, "blocked": 37, "offline": 0}
        assert host.sections["vcpu"]["segments"][:2].tolist() == [1, 1]


class TestOneInstant:
    def test_f3_many_requests_for_a_pass_collapse_into_one(self):
        # At 30 ms the slice of vCPU 0 ends and two boosted vCPUs wake: three requests.
        host, _ = make_host(1, Hog(), Hog(), Hog(), starts=[0, 30 * MS, 30 * MS], ratelimit_us=0)
        host.run_until(30 * MS)
        passes = host.sections["pcpu"]["invocations"][0]
        host.run_until(31 * MS)
        assert host.sections["pcpu"]["invocations"][0] == passes + 1
        assert dispatches(host, since=1) == [(30 * MS, 0, 1)]

    def test_completion_then_control_then_wake_then_hypervisor_timer_then_pass(self):
        host, control = make_host(1, WorkList(((30 * MS, 50 * MS),)), Hog(), starts=[0, 30 * MS])
        host.scheduler.set_phase([1000 * MS], 30 * MS)
        host.run_until(30 * MS, before_control=True)
        control.adjust_domain(1, weight=512)
        host.run_until(31 * MS)
        kinds = [name for _, name, *_ in events(host, "SEGMENT", "ADJUST", "WAKE", "ACCOUNTING", "SWITCH", since=1)]
        assert kinds == ["SEGMENT", "ADJUST", "WAKE", "ACCOUNTING", "SWITCH"]

    def test_the_operator_acts_before_the_passes_of_the_instant(self):
        # As above, with nothing else at that instant to hold the pass back.
        host, control = make_host(1, WorkList(((20 * MS, 50 * MS),)), Hog())
        host.run_until(20 * MS, before_control=True)
        assert host.sections["vcpu"]["segments"][0] == 1
        control.adjust_domain(1, weight=512)
        host.run_until(21 * MS)
        kinds = [name for _, name, *_ in events(host, "SEGMENT", "ADJUST", "SWITCH", since=1)]
        assert kinds == ["SEGMENT", "ADJUST", "SWITCH"]

    def test_run_until_stops_before_what_happens_at_that_instant(self):
        host, _ = make_host(1, WorkList(((5 * MS, 5 * MS),)))
        host.run_until(5 * MS)
        assert host.now_ns == 5 * MS
        assert host.sections["vcpu"]["segments"][0] == 0
        host.run_until(5 * MS + 1)
        assert host.sections["vcpu"]["segments"][0] == 1

    def test_completions_in_vcpu_order_and_passes_in_pcpu_order(self):
        program = WorkList(((5 * MS, 5 * MS),))
        host, _ = make_host(2, program, program, pcpus=[1, 0])
        host.run_until(6 * MS)
        assert [vcpu for _, _, vcpu, *_ in events(host, "SEGMENT")] == [0, 1]
        assert dispatches(host) == [(0, 0, 1), (0, 1, 0), (5 * MS, 0, IDLE), (5 * MS, 1, IDLE + 1)]

    def test_wakes_in_vcpu_order_and_earlier_armed_hypervisor_timers_first(self):
        host, _ = make_host(2, Hog(), Hog(), starts=[5 * MS, 5 * MS], pcpus=[1, 0])
        # Armed in this order: accounting, tick of pCPU 0, tick of pCPU 1. The ticks see nobody run yet.
        host.scheduler.set_phase([5 * MS, 5 * MS], 5 * MS)
        host.run_until(6 * MS)
        names = events(host, "WAKE", "ACCOUNTING", "ACTIVE", "SWITCH")
        assert [(name, vcpu) for _, name, vcpu, *_ in names] == [
            ("WAKE", 0), ("WAKE", 1), ("ACCOUNTING", -1), ("SWITCH", 1), ("SWITCH", 0),
        ]  # fmt: skip

    def test_a_request_for_a_lower_pcpu_waits_for_the_next_round(self):
        # The pass on pCPU 1 moves vCPU 1 to pCPU 0, which asks for a pass there; pCPU 2 comes before.
        host, control = make_host(3, Hog(), Hog(), Hog(), pcpus=[0, 1, 2])
        host.run_until(5 * MS)
        control.pause_domain(1)
        host.run_until(6 * MS)
        control.set_affinity(2, 0, hard=[0])
        control.pause_domain(3)
        host.run_until(7 * MS)
        assert [who for _, *who in dispatches(host, since=6 * MS)] == [[1, IDLE + 1], [2, IDLE + 2], [0, 1]]

    def test_a_request_for_a_higher_pcpu_is_served_in_the_same_round(self):
        host, control = make_host(3, Hog(), Hog(), Hog(), pcpus=[0, 1, 2])
        host.run_until(5 * MS)
        control.pause_domain(2)
        host.run_until(6 * MS)
        control.set_affinity(1, 0, hard=[1])
        control.pause_domain(3)
        host.run_until(7 * MS)
        assert [who for _, *who in dispatches(host, since=6 * MS)] == [[0, IDLE], [1, 0], [2, IDLE + 2]]


class TestMigration:
    @pytest.mark.parametrize(("version", "priority"), [("current", -1), ("4.8", -1), ("4.5", 0)])
    def test_f4_a_queued_vcpu_is_placed_anew_even_if_its_pcpu_stays_legal(self, version, priority):
        host, control = make_host(1, Hog(), Hog(), version=version)
        host.run_until(5 * MS)
        # UNDER; from 4.7 on the wake-up that ends a migration does not boost.
        host.sections["credit_vcpu"]["priority"][1] = -1
        control.set_affinity(2, 0, hard=[0])
        assert events(host, "SLEEP", "RUNSTATE", "PICKED", "WAKE", since=5 * MS) == [
            (5 * MS, "SLEEP", 1, 0, 0),
            (5 * MS, "RUNSTATE", 1, RUNNABLE, OFFLINE),
            (5 * MS, "PICKED", 1, 0, 0),
            (5 * MS, "WAKE", 1, 0, 0),
            (5 * MS, "RUNSTATE", 1, OFFLINE, RUNNABLE),
        ]
        assert host.sections["credit_vcpu"]["priority"][1] == priority

    def test_a_running_vcpu_goes_through_offline_and_runs_on_its_new_pcpu_at_once(self):
        host, control = make_host(2, Hog(), pcpus=[0])
        host.run_until(5 * MS)
        control.set_affinity(1, 0, hard=[1])
        host.run_until(6 * MS)
        states = [(old, new) for _, _, vcpu, old, new in events(host, "RUNSTATE", since=5 * MS) if vcpu == 0]
        assert states == [(RUNNING, OFFLINE), (OFFLINE, RUNNABLE), (RUNNABLE, RUNNING)]
        assert dispatches(host, since=5 * MS) == [(5 * MS, 0, IDLE), (5 * MS, 1, 0)]
        assert times_ms(host, 0)["running"] == 6
        assert host.sections["vcpu"]["migrations"][0] == 1

    def test_a_blocked_vcpu_stays_blocked_and_wakes_on_its_new_pcpu(self):
        host, control = make_host(2, WorkList(((2 * MS, 4 * MS),)), pcpus=[0])
        host.run_until(3 * MS)
        control.set_affinity(1, 0, hard=[1])
        host.run_until(7 * MS)
        assert dispatches(host, since=MS) == [(2 * MS, 0, IDLE), (6 * MS, 1, 0)]


class TestCosts:
    COSTS = Costs(context_switch_ns=10 * US, cache_refill_ns=40 * US)

    def test_a_switch_from_another_vcpu_costs_cpu_time_and_delays_the_work(self):
        # vCPU 1 preempts the hog every 10 ms and pays 50 us each time; its 2 ms of work then take 2.05 ms.
        program = Periodic(2 * MS, 10 * MS, offset_ns=5 * MS)
        host, _ = make_host(1, Hog(), program, starts=[0, 5 * MS], costs=self.COSTS)
        host.scheduler.set_phase([4 * MS], 1000 * MS)  # the hog's own boost ends at the tick
        host.run_until(25 * MS)
        ends = [at_ns for at_ns, *_ in events(host, "SEGMENT")]
        assert ends == [5 * MS + 2050 * US, 15 * MS + 2050 * US]
        assert host.sections["vcpu"]["overhead_ns"][1] == 100 * US
        assert host.runstate_ns(1)["running"] == 4100 * US

    def test_a_vcpu_that_returns_to_a_pcpu_nobody_else_used_pays_nothing(self):
        host, _ = make_host(1, WorkList(((2 * MS, 3 * MS),)), costs=self.COSTS)
        host.run_until(6 * MS)
        paid = host.sections["vcpu"]["overhead_ns"][0]
        host.run_until(50 * MS)
        assert host.sections["vcpu"]["dispatches"][0] == 10
        assert host.sections["vcpu"]["overhead_ns"][0] == paid

    def test_moving_to_another_pcpu_costs_as_well(self):
        host, control = make_host(2, WorkList(((8 * MS, 2 * MS),)), Hog(), pcpus=[0, 1], costs=self.COSTS)
        host.run_until(5 * MS)
        control.pause_domain(2)
        host.run_until(6 * MS)
        paid = host.sections["vcpu"]["overhead_ns"][0]
        control.set_affinity(1, 0, hard=[1])
        host.run_until(7 * MS)
        assert host.sections["vcpu"]["overhead_ns"][0] == paid + 50 * US

    def test_what_survives_in_the_caches_need_not_be_refilled(self):
        # Half of a working set outlives one other vCPU there, a quarter two of them; after a move nothing is left.
        costs = Costs(context_switch_ns=10 * US, cache_refill_ns=40 * US, cache_survival_frac=0.5)
        host, control = make_host(2, Hog(), Hog(), Hog(), pcpus=[0, 0, 0], costs=costs)
        for domid in (1, 2, 3):
            control.set_affinity(domid, 0, hard=[0])
        host.run_until(SECOND)
        dispatches = host.sections["vcpu"]["dispatches"].tolist()[:3]
        paid = [host.sections["vcpu"]["overhead_ns"][v] for v in range(3)]
        # The first time a whole refill, then always after the two others.
        assert paid == [50 * US + (n - 1) * 40 * US for n in dispatches]
        control.destroy_domain(3)
        host.run_until(SECOND + 60 * MS)
        before = host.sections["vcpu"]["overhead_ns"][0], host.sections["vcpu"]["dispatches"][0]
        host.run_until(2 * SECOND)
        switches = host.sections["vcpu"]["dispatches"][0] - before[1]
        assert host.sections["vcpu"]["overhead_ns"][0] - before[0] == switches * 30 * US
        control.set_affinity(1, 0, hard=[1])
        host.run_until(2 * SECOND + MS)
        assert host.sections["vcpu"]["overhead_ns"][0] - before[0] == switches * 30 * US + 50 * US

    @pytest.mark.parametrize("survival", [-0.1, 1.0])
    def test_an_impossible_survival_is_refused(self, survival):
        with pytest.raises(ValueError, match=r"cache_survival_frac must be 0\.\.1, 1 excluded, found"):
            Costs(cache_survival_frac=survival)

    @pytest.mark.parametrize("value", [-1, 1.5, "3"])
    @pytest.mark.parametrize("name", ["context_switch_ns", "cache_refill_ns"])
    def test_impossible_costs_are_refused_by_name(self, name, value):
        with pytest.raises(ValueError, match=rf"costs: {name} must be an integer >= 0 \(ns\), found"):
            Costs(**{name: value})


class TestArguments:
    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            ({"max_domains": 0}, "max_domains and max_vcpus must be positive, found 0 and 64"),
            ({"max_vcpus": -1}, "max_domains and max_vcpus must be positive, found 16 and -1"),
            ({"seed": -1}, r"seed must be an integer 0\.\.2\*\*64-1, found -1"),
            ({"seed": 2**64}, r"seed must be an integer 0\.\.2\*\*64-1, found 18446744073709551616"),
            ({"seed": 1.0}, r"seed must be an integer 0\.\.2\*\*64-1, found 1\.0"),
            ({"seed": True}, r"seed must be an integer 0\.\.2\*\*64-1, found True"),
        ],
    )
    def test_an_impossible_host_is_refused(self, limits, message):
        with pytest.raises(ValueError, match=message):
            Host(Topology.flat(1), CreditScheduler(), [HogKind()], **limits)

    def test_more_guest_kinds_than_the_table_holds_are_refused(self):
        with pytest.raises(ValueError, match="at most 16 guest kinds, found 17"):
            Host(Topology.flat(1), CreditScheduler(), [HogKind() for _ in range(17)])

    @pytest.mark.parametrize("until_ns", [4 * MS, 2**62 + 1])
    def test_time_runs_forward_and_not_for_ever(self, until_ns):
        host, _ = make_host(1)
        host.run_until(5 * MS)
        with pytest.raises(ValueError, match=rf"run_until: expected 5000000\.\.{2**62} ns, found {until_ns}"):
            host.run_until(until_ns)
        assert host.now_ns == 5 * MS

    @pytest.mark.parametrize("call", ["block_vcpu", "poll_vcpu"])
    def test_only_a_running_vcpu_can_block(self, call):
        host, _ = make_host(1, Hog(), Hog())
        host.run_until(MS)
        arguments = (1,) if call == "block_vcpu" else (1, MS)
        with pytest.raises(ValueError, match=rf"{call}: vCPU 1 does not run at {MS} ns"):
            getattr(host, call)(*arguments)

    @pytest.mark.parametrize("number", [-1, 1, MAX_VCPUS, MAX_VCPUS + 1])
    def test_an_event_for_nobody_is_refused(self, number):
        host, _ = make_host(1, Hog())
        with pytest.raises(ValueError, match=rf"no vCPU number {number} on this host"):
            host.send_event(number)


def test_a_topology_of_many_words_works_at_its_highest_pcpu():
    host, control = make_host(200, Hog(), Hog(), pcpus=[199, 130])
    host.run_until(MS)
    control.set_affinity(2, 0, hard=[64])
    host.run_until(2 * MS)
    curr = host.sections["pcpu"]["curr"]
    assert np.flatnonzero(curr < MAX_VCPUS).tolist() == [64, 199]
    assert (curr[199], curr[64]) == (0, 1)
