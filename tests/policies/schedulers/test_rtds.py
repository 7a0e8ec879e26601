"""RTDS worked by hand: who runs when, from which deadline and budget, and what happens at ties.

A vCPU starts with the default server, 4 ms in 10 ms, whatever is set on it, so most examples start everybody at 10 ms,
when what was set begins to count: their times are from there on.
"""

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.rtds import RtdsScheduler
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
MAX_VCPUS = 8
START_MS = 10
BOTH = ("4.8", "current")
A, B, C, IDLE = 0, 1, 2, None


def make_host(version, *, num_pcpus=1):
    host = Host(
        Topology.flat(num_pcpus),
        RtdsScheduler(version),
        [HogKind(), PeriodicKind(), ListKind()],
        max_domains=MAX_VCPUS,
        max_vcpus=MAX_VCPUS,
    )
    host.start_trace()
    return host


def server(period_ms, budget_ms, version, *, extratime=0):
    """Parameters of a server; without extra time where nothing is said."""
    params = {"period_us": round(1000 * period_ms), "budget_us": round(1000 * budget_ms)}
    return params if version == "4.8" else {**params, "extratime": extratime}


def add(host, program, params=None, *, start_ms=START_MS, **place):
    """One more domain of one vCPU; ids count from 1."""
    domid = int(host.sections["clock"]["num_domains"][0]) + 1
    Domctl(host).create_domain(domid, program, params=params, start_ns=round(start_ms * MS), **place)


def hogs(version, *servers, num_pcpus=1, **options):
    """A host of hogs, each with its ``(period_ms, budget_ms)``, that all start at 10 ms; pCPUs 0, 1, ... in turn."""
    host = make_host(version, num_pcpus=num_pcpus)
    for number, (period_ms, budget_ms) in enumerate(servers):
        params = server(period_ms, budget_ms, version, **options)
        add(host, Hog(), params, pcpus=[number % num_pcpus])
    return host


def records(host, *kinds):
    wanted = {TraceKind[kind] for kind in kinds}
    return [record for record in host.trace_records().tolist() if record[4] in wanted]


def switches(host, *, since_ms=START_MS, until_ms=1e9):
    """``(ms since then, pCPU, vCPU)`` of every context switch; None for idle."""
    return [
        (at_ns / MS - since_ms, pcpu, vcpu if vcpu < MAX_VCPUS else None)
        for at_ns, _, vcpu, _, _, pcpu in records(host, "SWITCH")
        if since_ms <= at_ns / MS < until_ms
    ]


def dispatches(host, *, since_ms=START_MS, until_ms=1e9):
    """The same without the pCPU."""
    return [(at_ms, vcpu) for at_ms, _, vcpu in switches(host, since_ms=since_ms, until_ms=until_ms)]


def passes_ms(host):
    return [at_ns / MS for at_ns, *_ in records(host, "SWITCH", "CONTINUE")]


def state(host, vcpu, field):
    return int(host.sections["rtds_vcpu"][field][vcpu])


def shares(host, num_vcpus):
    return [host.runstate_ns(vcpu)["running"] / host.now_ns for vcpu in range(num_vcpus)]


class TestOnePcpu:
    @pytest.mark.parametrize("version", BOTH)
    def test_the_earlier_deadline_first_and_a_tie_does_not_preempt(self, version):
        host = hogs(version, (10, 4), (20, 8))
        host.run_until(50 * MS)
        # At 10 A's deadline becomes 20, as B's is: B goes on to the end of its budget.
        round_ = [(0, A), (4, B), (12, A), (16, IDLE)]
        assert dispatches(host) == round_ + [(20 + at_ms, vcpu) for at_ms, vcpu in round_]

    @pytest.mark.parametrize("version", BOTH)
    def test_a_shorter_period_preempts_only_with_an_earlier_deadline(self, version):
        host = hogs(version, (10, 4), (5, 2))
        host.run_until(20 * MS)
        assert dispatches(host) == [(0, B), (2, A), (6, B), (8, IDLE)]
        # A budget that ends at the very deadline is not cut: at 25 B has the earlier one and preempts.
        host = hogs(version, (20, 8), (5, 2))
        host.run_until(30 * MS)
        assert dispatches(host) == [(0, B), (2, A), (5, B), (7, A), (10, B), (12, A), (14, IDLE), (15, B), (17, IDLE)]

    @pytest.mark.parametrize("version", BOTH)
    def test_what_was_not_used_is_kept_to_the_deadline(self, version):
        host = make_host(version)
        add(host, Hog(), server(10, 4, version), start_ms=8)
        host.run_until(30 * MS)
        # 2 ms before the deadline and 4 after it, in one stretch.
        assert dispatches(host, since_ms=0) == [(8, A), (14, IDLE), (20, A), (24, IDLE)]

    def test_4_8_serves_equals_last_in_first_out_and_keeps_who_runs(self):
        host = hogs("4.8", (10, 6), (10, 6))
        host.run_until(46 * MS)
        # B was woken last. A's slice of 6 ms ends at 12, when it has 4 ms of the budget of 10: it goes on to 16.
        assert dispatches(host) == [(0, B), (6, A), (16, B), (26, A)]
        assert 12 + START_MS in passes_ms(host)

    def test_later_releases_serve_them_first_in_first_out_and_an_equal_takes_over(self):
        host = hogs("current", (10, 6), (10, 6))
        host.run_until(43 * MS)
        assert dispatches(host) == [(0, A), (6, B), (12, A), (18, B), (22, A), (28, B), (32, A)]

    @pytest.mark.parametrize("version", BOTH)
    def test_servers_that_fit_get_what_they_were_promised(self, version):
        host = hogs(version, (100, 30), (30, 12), (7, 2))
        host.run_until(21_000 * MS)
        assert shares(host, 3) == pytest.approx([0.3, 0.4, 2 / 7], abs=0.001)
        # EDF: together 0.986 of the pCPU, and yet nobody ever misses a deadline.
        for vcpu, (period_ms, budget_ms) in enumerate([(100, 30), (30, 12), (7, 2)]):
            ran_ms = [0.0] * 3000
            on_ms = None
            for at_ms, who in dispatches(host):
                if on_ms is not None:
                    for period in range(int(on_ms // period_ms), int(at_ms // period_ms) + 1):
                        begin, end = period * period_ms, (period + 1) * period_ms
                        ran_ms[period] += max(0, min(at_ms, end) - max(on_ms, begin))
                on_ms = at_ms if who == vcpu else None
            assert ran_ms[: 20_900 // period_ms] == pytest.approx([budget_ms] * (20_900 // period_ms))


class TestExtraTime:
    def test_a_lone_hog_goes_down_a_level_with_each_budget_and_passes_only_when_its_slice_ends(self):
        host = make_host("current")
        add(host, Hog(), start_ms=0)
        levels = []
        for at_ms in (3, 5, 9, 11, 13, 15, 19, 21):
            host.run_until(at_ms * MS)
            levels.append(state(host, A, "level"))
        # The deadline at 10 makes no pass, as nobody waits; so the slice of 8 ends with 2 ms of the new budget left.
        assert levels == [0, 1, 2, 0, 0, 1, 2, 0]
        host.run_until(29 * MS)
        assert passes_ms(host) == [0, 4, 8, 12, 14, 18, 22, 24, 28]
        assert shares(host, 1) == [1.0]

    def test_equals_alternate_by_levels(self):
        host = make_host("current")
        add(host, Hog(), start_ms=0)
        add(host, Hog(), start_ms=0)
        host.run_until(27 * MS)
        assert dispatches(host, since_ms=0) == [
            (0, A), (4, B), (8, A), (12, B), (16, A), (18, B), (22, A), (26, B),
        ]  # fmt: skip
        host.run_until(10_000 * MS)
        assert shares(host, 2) == pytest.approx([0.5, 0.5], abs=0.001)

    def test_a_better_level_outranks_an_earlier_deadline(self):
        host = make_host("current")
        add(host, Hog(), start_ms=0)
        add(host, Periodic(MS, 98 * MS, 5 * MS), {"period_us": 30_000, "budget_us": 4000}, start_ms=5)
        host.run_until(8 * MS)
        # Both deadlines are 10. A has used up one budget, B none.
        assert (state(host, A, "level"), state(host, A, "deadline_ns")) == (1, 10 * MS)
        assert dispatches(host, since_ms=0) == [(0, A), (5, B), (6, A)]
        # B wakes at 103 with a deadline later than A's and waits until A has used up its budget.
        host.run_until(106 * MS)
        assert dispatches(host, since_ms=100) == [(4, B), (5, A)]

    def test_what_is_left_goes_to_those_with_extra_time(self):
        host = make_host("current")
        add(host, Hog(), server(10, 2, "current"))
        add(host, Hog(), server(10, 3, "current", extratime=1))
        host.run_until(5010 * MS)
        ran_ns = [host.runstate_ns(vcpu)["running"] for vcpu in (A, B)]
        assert ran_ns == [1000 * MS, 4000 * MS]

    def test_without_it_the_rest_is_idle(self):
        host = hogs("current", (10, 2), (10, 3))
        host.run_until(5010 * MS)
        assert [host.runstate_ns(vcpu)["running"] for vcpu in (A, B)] == [1000 * MS, 1500 * MS]


class TestDeadlines:
    @pytest.mark.parametrize("version", BOTH)
    def test_a_new_vcpu_has_the_default_server_until_its_first_deadline(self, version):
        host = make_host(version)
        add(host, Hog(), server(100, 30, version), start_ms=0)
        host.run_until(140 * MS)
        assert dispatches(host, since_ms=0) == [(0, A), (4, IDLE), (10, A), (40, IDLE), (110, A)]

    @pytest.mark.parametrize("version", BOTH)
    def test_first_deadlines_are_multiples_of_the_default_period(self, version):
        host = make_host(version)
        host.run_until(23 * MS)
        add(host, Hog(), server(7, 2, version), start_ms=0)
        assert state(host, A, "deadline_ns") == 30 * MS
        host.run_until(40 * MS)
        # 4 ms before 30, then 2 ms in each 7.
        assert dispatches(host, since_ms=0) == [(23, A), (27, IDLE), (30, A), (32, IDLE), (37, A), (39, IDLE)]

    @pytest.mark.parametrize("version", BOTH)
    def test_the_phase_is_kept_through_a_long_sleep(self, version):
        host = make_host(version)
        add(host, WorkList(((1 * MS, 31 * MS), (8 * MS, 100 * MS))), server(10, 4, version), start_ms=12)
        host.run_until(60 * MS)
        # Awake at 44: the period [40, 50) with a whole budget.
        assert dispatches(host, since_ms=0) == [(12, A), (13, IDLE), (44, A), (48, IDLE), (50, A), (54, IDLE)]

    @pytest.mark.parametrize("version", BOTH)
    def test_a_short_sleep_does_not_refill(self, version):
        host = make_host(version)
        add(host, WorkList(((3 * MS, 2 * MS),)), server(10, 4, version))
        host.run_until(30 * MS)
        # 3 ms, asleep to 5, the 1 ms that is left; at 10 the other 2 ms of the job.
        assert dispatches(host) == [(0, A), (3, IDLE), (5, A), (6, IDLE), (10, A), (12, IDLE), (14, A), (16, IDLE)]

    @pytest.mark.parametrize("version", BOTH)
    def test_who_sleeps_has_no_event(self, version):
        host = make_host(version)
        add(host, WorkList(((1 * MS, 500 * MS),)), server(10, 4, version), start_ms=0)
        host.run_until(499 * MS)
        assert [at_ns for at_ns, *_ in records(host, "REPLENISH")] == [0]  # its creation
        assert host.sections["rtds"]["event_head"][0] == -1


class TestSeveralPcpus:
    @pytest.mark.parametrize("version", BOTH)
    def test_overload_the_third_gets_what_two_leave(self, version):
        host = hogs(version, (10, 6), (10, 6), (10, 6), num_pcpus=2)
        host.run_until(20 * MS)
        # Two run and one waits: equals are served in turn, in 4.8 the last first.
        first, last = (C, A) if version == "4.8" else (A, C)
        assert switches(host) == [(0, 0, first), (0, 1, B), (6, 0, last), (6, 1, IDLE)]
        assert host.runstate_ns(last)["running"] == 4 * MS

    def test_three_of_60_percent_on_two_pcpus_in_4_8(self):
        host = hogs("4.8", (10, 6), (10, 6), (10, 6), num_pcpus=2)
        host.run_until(20_000 * MS)
        assert sorted(shares(host, 3)) == pytest.approx([0.5, 0.5, 0.6], abs=0.002)

    def test_4_8_asks_its_own_idle_pcpu_even_if_it_was_asked_already(self):
        host = make_host("4.8", num_pcpus=2)
        for _ in range(2):
            add(host, Hog(), pcpus=[0], start_ms=0)
        host.run_until(10 * MS)
        # One pass for two requests: A waits for B's budget to end while pCPU 1 idles.
        assert switches(host, since_ms=0) == [(0, 0, B), (4, 0, A), (8, 0, IDLE)]
        # Each depleted vCPU asks once more, for nothing: B at 4 the idle pCPU 1, A at 8 its own, idle by then.
        assert host.sections["pcpu"]["invocations"].tolist() == [4, 1]

    def test_later_releases_ask_another_idle_one(self):
        host = make_host("current", num_pcpus=2)
        for _ in range(2):
            add(host, Hog(), pcpus=[0], start_ms=0)
        host.run_until(3 * MS)
        assert switches(host, since_ms=0) == [(0, 0, A), (0, 1, B)]

    @pytest.mark.parametrize(("version", "chosen"), [("4.8", 0), ("current", 2)])
    def test_which_idle_pcpu_when_its_own_is_busy(self, version, chosen):
        host = make_host(version, num_pcpus=3)
        add(host, Hog(), server(10, 4, version), pcpus=[1], start_ms=0)
        add(host, Hog(), server(10, 4, version), pcpus=[1], start_ms=1)
        host.run_until(2 * MS)
        assert switches(host, since_ms=0) == [(0, 1, A), (1, chosen, B)]

    @pytest.mark.parametrize(("version", "chosen"), [("4.8", 1), ("current", 2)])
    def test_which_busy_pcpu_when_the_latest_deadlines_are_equal(self, version, chosen):
        host = make_host(version, num_pcpus=3)
        for pcpu, period_ms in enumerate([30, 30, 20]):
            add(host, Hog(), server(period_ms, 15, version), pcpus=[pcpu])
        # pCPU 0 takes C, which has the earliest deadline; the others tie on pCPUs 1 and 2.
        add(host, Hog(), server(10, 4, version), pcpus=[2], start_ms=START_MS + 2)
        host.run_until((START_MS + 3) * MS)
        assert switches(host)[0] == (0, 0, C)
        assert switches(host)[-1] == (2, chosen, 3)

    @pytest.mark.parametrize("version", BOTH)
    def test_only_a_later_deadline_is_preempted(self, version):
        host = make_host(version, num_pcpus=2)
        for pcpu in range(2):
            add(host, Hog(), server(10, 9, version), pcpus=[pcpu])
        add(host, Hog(), server(10, 9, version), start_ms=START_MS + 2)
        host.run_until((START_MS + 9) * MS)
        assert dispatches(host) == [(0, B), (0, A)] if version == "4.8" else [(0, A), (0, B)]
        assert host.scheduler.queued() == [C]

    @pytest.mark.parametrize("version", BOTH)
    def test_each_runs_only_where_it_may(self, version):
        host = make_host(version, num_pcpus=3)
        for _ in range(3):
            add(host, Hog(), server(10, 3, version), hard_affinity=[1])
        host.run_until(20 * MS)
        order = [C, B, A] if version == "4.8" else [A, B, C]
        assert switches(host) == [(3 * n, 1, vcpu) for n, vcpu in enumerate(order)] + [(9, 1, IDLE)]

    @pytest.mark.parametrize("version", BOTH)
    def test_soft_affinity_means_nothing_to_it(self, version):
        host = make_host(version, num_pcpus=2)
        add(host, Hog(), pcpus=[0], soft_affinity=[1], start_ms=0)
        host.run_until(1 * MS)
        assert switches(host, since_ms=0) == [(0, 0, A)]


class TestDepletion:
    def test_the_depleted_wait_last_in_first_out_and_are_put_back_in_reverse(self):
        host = hogs("current", (10, 2), (10, 2), (10, 2))
        host.run_until(17 * MS)
        assert host.scheduler.queued() == [C, B, A]
        assert [state(host, vcpu, "is_depleted") for vcpu in (A, B, C)] == [1, 1, 1]
        host.run_until(20 * MS, inclusive=True)
        assert [state(host, vcpu, "is_depleted") for vcpu in (A, B, C)] == [0, 0, 0]
        # Processed A, B, C as their events were queued; each goes behind its equals, and A is first again.
        assert dispatches(host) == [(0, A), (2, B), (4, C), (6, IDLE), (10, A)]
        assert host.scheduler.queued() == [B, C]

    def test_a_depleted_vcpu_that_leaves_the_cpu_asks_for_a_useless_pass(self):
        host = hogs("4.8", (10, 4), num_pcpus=2)
        host.run_until(15 * MS)
        # pCPU 0 runs idle when A is put with the depleted: it is asked, and there is nobody to run.
        assert host.sections["pcpu"]["invocations"].tolist() == [3, 0]
        assert [at_ms for at_ms in passes_ms(host) if at_ms == 14] == [14, 14]

    def beside_a_better_level(self):
        """A woke at 16 at level 1 with deadline 20, when B's event, of level 0 and deadline 40, was queued already."""
        host = make_host("current", num_pcpus=2)
        add(host, WorkList(((5 * MS, 1 * MS), (100 * MS, MS))), pcpus=[0])
        add(host, Hog(), server(30, 1, "current"), pcpus=[1], start_ms=12)
        host.run_until(17 * MS)
        assert [(state(host, v, "level"), state(host, v, "deadline_ns")) for v in (A, B)] == [
            (1, 20 * MS),
            (0, 40 * MS),
        ]
        return host

    def replenished_ms(self, host, vcpu):
        return [at_ns / MS for at_ns, _, who, *_ in records(host, "REPLENISH") if who == vcpu]

    def test_an_event_of_a_worse_level_waits_for_one_of_a_better(self):
        host = self.beside_a_better_level()
        host.run_until(40 * MS, inclusive=True)
        assert self.replenished_ms(host, A) == [0, 10, 40]
        assert state(host, A, "deadline_ns") == 50 * MS

    def test_a_deadline_that_has_passed_counts_at_once_when_it_comes_to_the_head(self):
        host = self.beside_a_better_level()
        host.run_until(25 * MS)
        Domctl(host).pause_domain(2)
        host.run_until(26 * MS)
        assert self.replenished_ms(host, A) == [0, 10, 25]
        assert (state(host, A, "deadline_ns"), state(host, A, "start_ns")) == (30 * MS, 25 * MS)
