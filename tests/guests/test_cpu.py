"""Closed-loop programs: when they ask for CPU, when they sleep, and what their jobs' response times are."""

import math

import numpy as np
import pytest

from xengym.guests.cpu import HogKind, ListKind, OnOffKind, PeriodicKind
from xengym.guests.programs import Hog, OnOff, Periodic, Replay, Server, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.state import response_bin_floor_ns
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.random import DistributionSpec, sample_ns
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
SECOND = 1_000_000_000
IDLE = 4


def make_host(*programs, num_pcpus=1, seed=0, starts=(), **options):
    """A traced host; each program is a domain of its own, ids from 1 on."""
    kinds = [HogKind(), PeriodicKind(), ListKind(), OnOffKind()]
    host = Host(Topology.flat(num_pcpus), CreditScheduler("3.2"), kinds, seed=seed, max_domains=4, max_vcpus=IDLE)
    host.start_trace()
    for number, program in enumerate(programs):
        start_ns = starts[number] if starts else 0
        Domctl(host).create_domain(number + 1, program, start_ns=start_ns, **options)
    return host


def busy_ms(host, vcpu=0):
    """``(from, to)`` of each stretch in which the vCPU ran and was done with, in ms."""
    stretches, since = [], None
    for at_ns, _, switched_in, switched_out, kind, _ in host.trace_records().tolist():
        if kind != TraceKind.SWITCH:
            continue
        if switched_in == vcpu:
            since = at_ns
        if switched_out == vcpu:
            stretches.append((since / MS, at_ns / MS))
    return stretches


def responses_ms(host):
    records = host.trace_records()
    return (records["value"][records["kind"] == TraceKind.JOB_DONE] / MS).tolist()


def jobs(host, slot=0):
    domain = host.sections["domain"][slot]
    return int(domain["jobs_submitted"]), int(domain["jobs_done"])


class TestHog:
    def test_it_runs_all_the_time_and_has_no_jobs(self):
        host = make_host(Hog())
        host.run_until(10 * SECOND)
        assert host.runstate_ns(0) == {"running": 10 * SECOND, "runnable": 0, "blocked": 0, "offline": 0}
        assert jobs(host) == (0, 0)


class TestPeriodic:
    def test_it_runs_at_once_and_then_at_each_multiple_of_its_period(self):
        host = make_host(Periodic(3 * MS, 10 * MS))
        host.run_until(35 * MS)
        assert busy_ms(host) == [(0, 3), (10, 13), (20, 23), (30, 33)]
        assert responses_ms(host) == [3, 3, 3, 3]
        assert jobs(host) == (4, 4)

    @pytest.mark.parametrize(
        ("start_ms", "offset_ms", "expected"),
        [
            (0, 4, [(0, 3), (4, 7), (14, 17)]),
            (5, 4, [(5, 8), (14, 17)]),
            # There are no instants before the offset itself, however much longer than the period it is.
            (0, 27, [(0, 3), (27, 30)]),
            (0, 3, [(0, 3), (13, 16)]),  # a job that ends at an instant waits for the next one
        ],
    )
    def test_the_instants_begin_at_its_offset_whenever_it_starts(self, start_ms, offset_ms, expected):
        host = make_host(Periodic(3 * MS, 10 * MS, offset_ms * MS), starts=[start_ms * MS])
        host.run_until((expected[-1][1] + 1) * MS)
        assert busy_ms(host) == expected

    def test_instants_that_pass_while_it_runs_are_skipped(self):
        host = make_host(Periodic(12 * MS, 10 * MS))
        host.run_until(55 * MS)
        assert busy_ms(host) == [(0, 12), (20, 32), (40, 52)]

    def test_a_job_that_has_to_wait_takes_longer_and_is_late(self):
        # The hog came first and has 30 ms.
        host = make_host(Hog(), Periodic(3 * MS, 50 * MS, 40 * MS), latency_target_ns=5 * MS)
        host.run_until(45 * MS)
        assert responses_ms(host) == [33, 3]
        domain = host.sections["domain"][1]
        assert [int(domain[key]) for key in ("jobs_done", "jobs_in_time")] == [2, 1]
        assert (domain["response_ns"], domain["response_max_ns"]) == (36 * MS, 33 * MS)

    def test_response_times_are_binned_between_the_edges(self):
        host = make_host(Hog(), Periodic(3 * MS, 50 * MS, 40 * MS))
        host.run_until(45 * MS)
        bins = host.sections["domain"]["response_bins"][1]
        filled = np.flatnonzero(bins)
        assert bins.sum() == 2
        for index, response_ms in zip(filled, [3, 33], strict=True):
            assert response_bin_floor_ns(index) <= response_ms * MS < response_bin_floor_ns(index + 1)
            # Four bins an octave.
            assert response_bin_floor_ns(index + 1) / response_bin_floor_ns(index) <= 1.25


class TestWorkList:
    def test_it_follows_its_pairs_and_begins_again(self):
        host = make_host(WorkList(((2 * MS, 3 * MS), (MS, 4 * MS))))
        host.run_until(20 * MS)
        assert busy_ms(host) == [(0, 2), (5, 6), (10, 12), (15, 16)]
        assert responses_ms(host) == [2, 1, 2, 1]
        assert host.sections["vcpu"]["blocks"][0] == 4

    def test_the_sleep_begins_when_the_work_is_done(self):
        # It waits for the hog's slice, and sleeps 3 ms from the end of its work.
        host = make_host(Hog(), WorkList(((2 * MS, 3 * MS),)))
        host.run_until(36 * MS)
        assert busy_ms(host, 1) == [(30, 32)]
        wakes = host.trace_records()
        woken = wakes["at_ns"][(wakes["kind"] == TraceKind.WAKE) & (wakes["vcpu"] == 1)]
        assert woken.tolist() == [0, 35 * MS]

    def test_without_a_loop_it_sleeps_for_ever_at_its_end(self):
        host = make_host(WorkList(((2 * MS, 3 * MS), (MS, 4 * MS)), loop=False))
        host.run_until(SECOND)
        assert busy_ms(host) == [(0, 2), (5, 6)]
        assert jobs(host) == (2, 2)

    def test_a_sleep_of_nothing_goes_straight_on(self):
        host = make_host(WorkList(((2 * MS, 0), (3 * MS, 0), (MS, 94 * MS))))
        host.run_until(100 * MS)
        assert busy_ms(host) == [(0, 6)]
        assert responses_ms(host) == [2, 3, 1]
        assert host.sections["vcpu"]["blocks"][0] == 1

    def test_minus_one_yields_and_goes_on_with_the_next_pair(self):
        host = make_host(WorkList(((2 * MS, -1), (3 * MS, 95 * MS))))
        host.run_until(100 * MS)
        assert busy_ms(host) == [(0, 5)]
        assert host.sections["vcpu"]["yields"][0] == 1

    def test_work_of_nothing_is_done_at_once(self):
        host = make_host(WorkList(((0, 5 * MS), (0, -1), (0, 0), (MS, 4 * MS))))
        host.run_until(19 * MS)
        assert busy_ms(host) == [(0, 0), (5, 6), (10, 10), (15, 16)]
        assert jobs(host) == (8, 8)

    def test_each_vcpu_follows_its_own_list(self):
        lists = [WorkList(((2 * MS, 3 * MS),)), WorkList(((4 * MS, 6 * MS),)), WorkList(((MS, 4 * MS),), loop=False)]
        host = make_host(*lists, num_pcpus=3)
        host.run_until(10 * MS)
        assert [host.runstate_ns(vcpu)["running"] / MS for vcpu in range(3)] == [4, 4, 1]


class TestOnOff:
    def on_off(self, on, off):
        return OnOff(DistributionSpec(*on), DistributionSpec(*off))

    def test_constants_give_a_fixed_rhythm(self):
        host = make_host(self.on_off(("constant", 2e6), ("constant", 3e6)))
        host.run_until(13 * MS)
        assert busy_ms(host) == [(0, 2), (5, 7), (10, 12)]

    def test_without_sleep_it_runs_on(self):
        host = make_host(self.on_off(("exponential", 2e6), ("constant", 0)))
        host.run_until(SECOND)
        assert host.runstate_ns(0)["running"] == SECOND
        assert jobs(host)[1] == pytest.approx(500, abs=4 * math.sqrt(500))

    def test_alone_it_draws_work_and_sleep_in_turn_from_its_own_stream(self):
        exponential, uniform = ("exponential", 2e6), ("uniform", 3e6, 0.5)
        host = make_host(self.on_off(exponential, uniform), seed=9)
        host.run_until(SECOND)
        # One stream of the vCPU (domain 1, vCPU 0), two distributions drawn alternately, one number each.
        entity = 1 << 16
        on = sample_ns(DistributionSpec(*exponential), 200, seed=9, entity=entity)[0::2]
        off = sample_ns(DistributionSpec(*uniform), 200, seed=9, entity=entity)[1::2]
        expected, at_ns = [], 0
        for run_ns, sleep_ns in zip(on, off, strict=True):
            expected.append((at_ns / MS, (at_ns + run_ns) / MS))
            at_ns += run_ns + sleep_ns
        assert busy_ms(host)[:100] == expected

    def test_its_share_of_an_otherwise_idle_pcpu_is_on_over_on_plus_off(self):
        host = make_host(self.on_off(("exponential", 3e6), ("exponential", 7e6)), seed=1)
        host.run_until(200 * SECOND)
        # Of N cycles of exponential times: the share's standard error is about sqrt(2 / N) * s * (1 - s).
        cycles = jobs(host)[1]
        tolerance = 4 * math.sqrt(2 / cycles) * 0.3 * 0.7
        assert host.runstate_ns(0)["running"] / host.now_ns == pytest.approx(0.3, abs=tolerance)

    def test_neither_its_neighbours_nor_its_slot_shift_its_draws(self):
        program = self.on_off(("exponential", 2e6), ("exponential", 3e6))
        alone = Host(Topology.flat(4), CreditScheduler("3.2"), [HogKind(), OnOffKind()], seed=5)
        crowd = Host(Topology.flat(4), CreditScheduler("3.2"), [HogKind(), OnOffKind()], seed=5)
        for domid in (8, 3):
            Domctl(crowd).create_domain(domid, program, pcpus=[domid % 3])
        for host in (alone, crowd):
            Domctl(host).create_domain(7, program, pcpus=[3])
            host.run_until(SECOND)
        ran = [host.runstate_ns(vcpu) for host, vcpu in ((alone, 0), (crowd, 2))]
        assert ran[0] == ran[1]
        assert crowd.runstate_ns(0) != crowd.runstate_ns(1)


EXPONENTIAL = DistributionSpec("exponential", 1e6)
TRACE = np.array([10, 20], dtype=np.uint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Periodic(0, 5), "periodic: run_ns must be >= 1, found 0"),
        (lambda: Periodic(5, 0), "periodic: period_ns must be >= 1, found 0"),
        (lambda: Periodic(5, 5, -1), "periodic: offset_ns must be >= 0, found -1"),
        (lambda: WorkList(()), r"list: at least one \[run, block\] pair is needed, found none"),
        (lambda: WorkList(((5, 5), (-1, 5))), "list: pair 1: run must be >= 0 ns, found -1"),
        (lambda: WorkList(((5, -2),)), "list: pair 0: block must be >= 0 ns, or -1 to yield, found -2"),
        (lambda: WorkList(((0, 0), (0, -1))), "list: a looping list must let time pass"),
        (lambda: OnOff(DistributionSpec("constant", 0), EXPONENTIAL), "onoff: on must have a mean above 0"),
        (lambda: OnOff(EXPONENTIAL, DistributionSpec("gauss", 1)), "onoff: off: unknown distribution 'gauss'"),
        (lambda: Server(DistributionSpec("constant", 0), EXPONENTIAL), "server: arrival must have a mean of at least"),
        (lambda: Server(EXPONENTIAL, DistributionSpec("uniform", 5, 2)), "server: service: spread of a uniform"),
        (lambda: Replay(TRACE[:0]), "replay: the trace has no samples"),
        (lambda: Replay(np.array([101], dtype=np.uint8)), r"replay: cpu_pct must be 0\.\.100"),
        (lambda: Replay(TRACE, sample_ns=0), "replay: sample_ns must be >= 1, found 0"),
        (lambda: Replay(TRACE, job_period_ns=99), "replay: job_period_ns must be >= 100, found 99"),
        (lambda: Replay(TRACE, first_sample=2), r"replay: first_sample must be 0\.\.1, found 2"),
        (lambda: Replay(TRACE, spread=-0.1), r"replay: spread must be 0\.\.4, found -0\.1"),
        (lambda: Replay(TRACE, spread=math.nan), r"replay: spread must be 0\.\.4, found nan"),
    ],
)
def test_an_impossible_program_is_refused_by_its_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_list_of_nothing_that_ends_is_legal_and_ends():
    host = make_host(WorkList(((0, 0), (0, -1)), loop=False))
    host.run_until(MS)
    assert jobs(host) == (2, 2)
    assert host.runstate_ns(0)["blocked"] == MS
