"""Credit on one pCPU, worked by hand: who runs when, what it is charged and granted, when it is boosted or parked.

The examples are those by which the releases were specified; ticks fall on multiples of 10 ms and accountings on
multiples of 30 ms, wherever nothing else is said. One credit is 100 us of CPU.
"""

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
NEVER_NS = 1_000_000 * MS
BOOST, UNDER, OVER, IDLE_PRIORITY, PARKED = 0, -1, -2, -64, -65
MAX_VCPUS = 8
IDLE = MAX_VCPUS
ALL = ("3.0.3", "3.2", "4.5", "4.8", "current")


def make_host(version, *domains, params=(), first_tick_ns=10 * MS, first_accounting_ns=30 * MS, **options):
    """A traced host of one pCPU; each domain is a program or a list of one for each vCPU, ids from 1 on."""
    scheduler = CreditScheduler(version, idle_ticks=True, **options)
    kinds = [HogKind(), PeriodicKind(), ListKind()]
    host = Host(Topology.flat(1), scheduler, kinds, max_domains=MAX_VCPUS, max_vcpus=MAX_VCPUS)
    scheduler.set_phase([first_tick_ns], first_accounting_ns)
    host.start_trace()
    for number, program in enumerate(domains):
        given = params[number] if number < len(params) else {}
        num_vcpus = len(program) if isinstance(program, list) else 1
        Domctl(host).create_domain(number + 1, program, num_vcpus=num_vcpus, params=given)
    return host


def weights(*values):
    return [{"weight": value} for value in values]


def records(host, *kinds):
    wanted = {TraceKind[kind] for kind in kinds}
    return [record for record in host.trace_records().tolist() if record[4] in wanted]


def dispatches(host, since_ms=0, until_ms=1e9):
    """``(at_ms, vcpu)`` of every context switch in that time; None for idle."""
    return [
        (at_ns / MS, vcpu if vcpu < MAX_VCPUS else None)
        for at_ns, _, vcpu, _, _, _ in records(host, "SWITCH")
        if since_ms <= at_ns / MS < until_ms
    ]


def credits_after_accounting(host):
    """The credits of all vCPUs after each accounting, in order of time."""
    table = []
    for _, credit, _, _, kind, _ in records(host, "ACCOUNTING", "CREDIT"):
        if kind == TraceKind.ACCOUNTING:
            table.append([])
        else:
            table[-1].append(credit)
    return table


def shares(host, num_vcpus):
    return [host.runstate_ns(vcpu)["running"] / host.now_ns for vcpu in range(num_vcpus)]


def credit_of(host, vcpu=0):
    return host.sections["credit_vcpu"]["credit"][vcpu]


def priority_of(host, vcpu=0):
    return host.sections["credit_vcpu"]["priority"][vcpu]


class TestWeights:
    @pytest.mark.parametrize("version", ["3.2", "4.5", "4.8", "current"])
    def test_one_to_two_settles_into_a_period_of_three_slices(self, version):
        host = make_host(version, Hog(), Hog(), params=weights(256, 512))
        host.run_until(30_000 * MS)
        order = [0, 1, 0, 1, 0, 1] + 10 * [1, 0, 1]
        expected, last = [], None
        for number, vcpu in enumerate(order):
            if vcpu != last:
                expected.append((30 * number, vcpu))
            last = vcpu
        assert dispatches(host, until_ms=30 * len(order)) == expected
        assert shares(host, 2) == pytest.approx([0.334, 0.666], abs=0.0005)

    @pytest.mark.parametrize("version", ["3.2", "current"])
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ((256, 768), (0.25, 0.75)),
            ((256, 1024), (0.20, 0.80)),
            ((512, 256, 256), (0.50, 0.25, 0.25)),
        ],
    )
    def test_long_run_shares(self, version, given, expected):
        host = make_host(version, *[Hog()] * len(given), params=weights(*given))
        host.run_until(60_000 * MS)
        assert shares(host, len(given)) == pytest.approx(expected, abs=0.002)

    @pytest.mark.parametrize("version", ALL)
    def test_equal_weights_alternate_strictly(self, version):
        host = make_host(version, Hog(), Hog())
        host.run_until(3000 * MS)
        assert dispatches(host) == [(30 * slice_, slice_ % 2) for slice_ in range(100)]

    @pytest.mark.parametrize(
        ("version", "expected"),
        [
            ("3.2", [0.5, 0.25, 0.25]),  # a domain's vCPUs share its weight
            ("4.5", [1 / 3, 1 / 3, 1 / 3]),  # each active vCPU carries all of it
            ("4.8", [1 / 3, 1 / 3, 1 / 3]),
            ("current", [1 / 3, 1 / 3, 1 / 3]),
        ],
    )
    def test_weight_is_of_the_domain_up_to_4_0_and_of_each_vcpu_later(self, version, expected):
        host = make_host(version, Hog(), [Hog(), Hog()])
        host.run_until(60_000 * MS)
        assert shares(host, 3) == pytest.approx(expected, abs=0.005)

    @pytest.mark.parametrize(("version", "weight"), [("3.2", 256 + 700), ("4.5", 256 + 2 * 700)])
    def test_the_sum_of_weights_follows_the_active_vcpus_and_changes_at_once(self, version, weight):
        host = make_host(version, Hog(), [Hog(), Hog()])
        assert host.sections["credit"]["weight"][0] == 0
        host.run_until(91 * MS)  # each has been found running by a tick
        Domctl(host).adjust_domain(2, weight=700)
        assert host.sections["credit"]["weight"][0] == weight


class TestDebitAndGrant:
    @pytest.mark.parametrize(("version", "credits_"), [("3.2", [0, 0, 0]), ("4.5", [100, 100, 100])])
    def test_a_lone_hog_earns_what_it_spends(self, version, credits_):
        # 3.2: the third tick debits before it accounts, so all 300 are paid. 4.5: accounting comes before the tick
        # of the same instant, and the last 10 ms are not paid yet.
        host = make_host(version, Hog())
        host.run_until(100 * MS)
        assert credits_after_accounting(host) == [[credit] for credit in credits_]

    def test_sampled_debit_charges_whoever_runs_at_the_tick_for_all_of_it(self):
        # vCPU 1 runs from 5 to 9.5 ms, vCPU 0 before and after; the tick at 10 ms finds vCPU 0.
        host = make_host("3.2", Hog(), Periodic(4_500 * US, 1000 * MS, 0))
        Domctl(host).pause_domain(2)
        host.run_until(5 * MS)
        host.sections["credit_vcpu"]["priority"][0] = UNDER  # ends the boost of its start
        Domctl(host).unpause_domain(2)
        host.run_until(11 * MS)
        assert dispatches(host) == [(0, 0), (5, 1), (9.5, 0)]
        assert (credit_of(host, 0), credit_of(host, 1)) == (-100, 0)

    def test_exact_debit_charges_each_for_what_it_used(self):
        host = make_host("4.5", Hog(), Periodic(4_500 * US, 1000 * MS, 0))
        Domctl(host).pause_domain(2)
        host.run_until(5 * MS)
        host.sections["credit_vcpu"]["priority"][0] = UNDER  # ends the boost of its start
        Domctl(host).unpause_domain(2)
        host.run_until(11 * MS)
        assert dispatches(host) == [(0, 0), (5, 1), (9.5, 0)]
        assert (credit_of(host, 0), credit_of(host, 1)) == (-55, -45)

    def test_exact_debit_runs_ahead_by_at_most_one_credit_and_then_waits(self):
        # The fraction is kept twice: 150, 200 and 250 us of running cost 1, 2 and 3 credits, 300 us no more.
        program = WorkList(((150 * US, -1), (50 * US, -1), (50 * US, -1), (50 * US, -1), (NEVER_NS, 0)))
        host = make_host("4.5", program, ratelimit_us=0)
        charged = []
        for at_us in (151, 201, 251, 301):
            host.run_until(at_us * US)
            charged.append(-credit_of(host))
        assert charged == [1, 2, 3, 3]

    @pytest.mark.parametrize(
        ("version", "credits_"),
        # Runs for 25 ms, then sleeps. 3.2 is charged at two ticks, 4.5 for 25 ms; either has 300 more at each
        # accounting, and above 300 it leaves the active list: with nothing (3.2) or half, truncated (4.5).
        [("3.2", [100, 0, 0]), ("4.5", [50, 175, 175])],
    )
    def test_credit_kept_when_leaving_the_active_list(self, version, credits_):
        host = make_host(version, WorkList(((25 * MS, NEVER_NS),)))
        host.run_until(50 * MS)
        assert host.sections["credit_vcpu"]["is_active"][0] == 1
        host.run_until(100 * MS)
        assert credits_after_accounting(host) == [[credit] for credit in credits_]
        assert host.sections["credit_vcpu"]["is_active"][0] == 0
        assert host.sections["credit"]["weight"][0] == 0

    def test_under_3_0_3_vcpus_are_active_from_the_start_and_a_period_is_30_credits(self):
        host = make_host("3.0.3", Hog(), Hog())
        assert host.sections["credit_vcpu"]["is_active"][:2].tolist() == [1, 1]
        host.run_until(61 * MS)
        # 15 each; vCPU 0 pays 30 in the first period, vCPU 1 in the second. The first debt of 0 is not minted anew.
        assert credits_after_accounting(host) == [[-15, 15], [0, 0]]


class TestCaps:
    @pytest.mark.parametrize(
        ("cap", "first_under_3_2", "first_later", "on_off"),
        # 3.2 accounts for what it has just debited. Later the last tick's 10 ms are still to be paid then, so that
        # the first stretch of running can be longer.
        [
            (25, [], [], [30, 90]),
            (40, [30, 60], [], [60, 90]),
            (50, [], [], [60, 60]),
            (75, [120, 60], [150, 60], [180, 60]),
        ],
    )
    @pytest.mark.parametrize("version", ["3.2", "4.5", "4.8", "current"])
    def test_a_capped_hog_runs_and_stops_for_whole_periods(self, version, cap, first_under_3_2, first_later, on_off):
        host = make_host(version, Hog(), params=[{"cap": cap}])
        host.run_until(2000 * MS)
        lengths = (first_under_3_2 if version == "3.2" else first_later) + 4 * on_off
        starts = [sum(lengths[:number]) for number in range(len(lengths))]
        assert dispatches(host, until_ms=sum(lengths)) == [
            (at, None if number % 2 else 0) for number, at in enumerate(starts)
        ]

    @pytest.mark.parametrize(
        ("cap", "credits_"),
        # Credit is granted at 3 a percent and period; parked below minus a period's grant, released at 0.
        [(50, [-150, -300, -150, 0, -150, -300]), (25, [-225, -150, -75, 0, -225, -150])],
    )
    def test_the_credit_at_accountings_under_3_2(self, cap, credits_):
        host = make_host("3.2", Hog(), params=[{"cap": cap}])
        host.run_until(181 * MS)
        assert credits_after_accounting(host) == [[credit] for credit in credits_]

    @pytest.mark.parametrize("version", ["3.2", "4.5", "4.8", "current"])
    def test_the_rest_goes_to_the_uncapped(self, version):
        host = make_host(version, Hog(), Hog(), params=[{"cap": 25}])
        host.run_until(60_000 * MS)
        assert shares(host, 2) == pytest.approx([0.25, 0.75], abs=0.002)

    def test_under_3_0_3_a_vcpu_in_debt_drops_below_idle(self):
        # Half of 30 credits a period; -30 + 15 at 30 ms, 0 at 60 ms, and so on. It is not paused.
        host = make_host("3.0.3", Hog(), params=[{"cap": 50}])
        host.run_until(45 * MS)
        assert (priority_of(host), host.sections["vcpu"]["pause_count"][0]) == (PARKED, 0)
        host.run_until(180 * MS)
        assert dispatches(host) == [(0, 0), (30, None), (60, 0), (90, None), (120, 0), (150, None)]
        assert credits_after_accounting(host) == [[-15], [0], [-15], [0], [-15]]

    @pytest.mark.parametrize(
        ("version", "priority", "resumes_ms"),
        [("3.2", UNDER, 131), ("4.5", BOOST, 120), ("4.8", BOOST, 120), ("current", UNDER, 131)],
    )
    def test_release_boosts_in_4_5_and_4_8_only(self, version, priority, resumes_ms):
        # Capped at 25 it is parked at 30 ms and released at 120 ms. Boosted it preempts the other there and
        # then; else it waits for the end of the slice: the other slept until 71 ms, and has slices from there.
        other = WorkList(((40 * MS, MS), (NEVER_NS, 0)))
        host = make_host(version, Hog(), other, params=[{"cap": 25}])
        host.run_until(31 * MS)
        assert host.sections["credit_vcpu"]["is_parked"][0] == 1
        assert host.runstate_ns(0)["offline"] == MS
        released = next(at_ns for at_ns, value, vcpu, *_ in records(host, "PARK") if value and vcpu == 0)
        assert released == 30 * MS
        host.run_until(120 * MS + 1)
        assert host.sections["credit_vcpu"]["is_parked"][0] == 0
        assert priority_of(host) == priority
        host.run_until(135 * MS)
        assert dispatches(host, since_ms=31) == [(70, None), (71, 1), (resumes_ms, 0)]

    def test_taking_the_cap_away_releases_at_the_accounting_that_finds_no_debt(self):
        host = make_host("4.5", Hog(), params=[{"cap": 10}])
        host.run_until(31 * MS)
        Domctl(host).adjust_domain(1, cap=0)
        host.run_until(200 * MS)
        # -300 + 30 at 30 ms, parked. Uncapped it earns 300 at 60 ms.
        assert dispatches(host) == [(0, 0), (30, None), (60, 0)]


class TestBoost:
    # Runs 0.5 ms each time it wakes, at 3, 8, 13, ... ms: never at a tick.
    WAKER = Periodic(500 * US, 5 * MS, 3 * MS)

    def host(self, version, **options):
        host = make_host(version, Hog(), self.WAKER, **options)
        Domctl(host).pause_domain(2)
        host.run_until(2 * MS)
        host.sections["credit_vcpu"]["priority"][0] = UNDER  # ends the boost of its start
        host.sections["credit_vcpu"]["just_moved"][1] = 0  # from 4.7 on the first wake-up would not boost
        Domctl(host).unpause_domain(2)  # a first job, whose end makes it follow its period
        return host

    @pytest.mark.parametrize("version", ["3.2", "4.5", "4.8", "current"])
    def test_who_never_runs_at_a_tick_preempts_without_delay_at_every_wake_up(self, version):
        host = self.host(version, ratelimit_us=0) if version != "3.2" else self.host(version)
        host.run_until(203 * MS)
        vcpu = host.sections["vcpu"][1]
        assert (vcpu["wake_latency_count"], vcpu["wake_latency_max_ns"]) == (40, 0)
        assert priority_of(host, 1) == BOOST

    def test_under_3_2_it_is_never_charged_and_the_hog_pays_for_both(self):
        host = self.host("3.2")
        host.run_until(30 * MS)
        assert (credit_of(host, 0), credit_of(host, 1)) == (-200, 0)
        # The preempted hog begins a new slice of 30 ms each time.
        resumed = [(at_ns, slice_ns) for at_ns, slice_ns, vcpu, *_ in records(host, "SWITCH") if vcpu == 0]
        assert resumed[2:] == [(at_ms * MS + 500 * US, 30 * MS) for at_ms in (3, 8, 13, 18, 23, 28)]

    @pytest.mark.parametrize("version", ["4.5", "4.8", "current"])
    def test_from_4_0_on_it_pays_five_credits_a_wake_up_without_bound_and_stays_boosted(self, version):
        host = self.host(version, ratelimit_us=0)
        host.run_until(3 * MS)
        before = credit_of(host, 1)
        host.run_until(5003 * MS)
        assert credit_of(host, 1) == before - 1000 * 5
        assert (priority_of(host, 1), host.sections["credit_vcpu"]["is_active"][1]) == (BOOST, 0)

    @pytest.mark.parametrize("version", ["3.2", "4.5", "current"])
    def test_a_tick_that_finds_it_running_ends_the_boost_but_not_the_run(self, version):
        # It runs from 8 to 12 ms; at 10 ms it is put on a level with the hog, which does not preempt it.
        host = make_host(version, Hog(), Periodic(4 * MS, 100 * MS, 8 * MS))
        Domctl(host).pause_domain(2)
        host.run_until(7 * MS)
        host.sections["credit_vcpu"]["priority"][0] = UNDER
        host.sections["credit_vcpu"]["just_moved"][1] = 0
        host.run_until(8 * MS)
        Domctl(host).unpause_domain(2)
        host.run_until(9 * MS)
        assert (priority_of(host, 1), host.sections["credit_vcpu"]["is_active"][1]) == (BOOST, 0)
        host.run_until(10 * MS + 1)
        assert (priority_of(host, 1), host.sections["credit_vcpu"]["is_active"][1]) == (UNDER, 1)
        host.run_until(20 * MS)
        assert dispatches(host) == [(0, 0), (8, 1), (12, 0)]

    @pytest.mark.parametrize(
        ("version", "priority"), [("3.0.3", UNDER), ("3.2", BOOST), ("4.5", BOOST), ("4.8", UNDER), ("current", UNDER)]
    )
    def test_the_first_wake_up_boosts_in_3_2_and_4_5_only(self, version, priority):
        # 3.0.3 has no boost; from 4.7 on the first wake-up counts as the end of a migration.
        host = make_host(version, Hog())
        host.run_until(MS)
        assert priority_of(host) == priority

    @pytest.mark.parametrize("version", ALL)
    def test_a_vcpu_that_is_over_is_not_boosted(self, version):
        host = make_host(version, Hog(), WorkList(((MS, 2 * MS),)))
        host.run_until(100 * MS)
        host.sections["credit_vcpu"]["priority"][:2] = OVER
        host.run_until(101 * MS)
        assert priority_of(host, 1) == OVER

    def test_under_3_0_3_a_waker_preempts_only_who_is_over(self):
        host = make_host("3.0.3", Hog(), WorkList(((MS, 5 * MS),)))
        host.run_until(2 * MS)
        assert dispatches(host) == [(0, 0)]
        host.sections["credit_vcpu"]["priority"][0] = OVER
        Domctl(host).pause_domain(2)
        Domctl(host).unpause_domain(2)
        host.run_until(3 * MS)
        assert dispatches(host) == [(0, 0), (2, 1)]


class TestYield:
    def run_one(self, version):
        """vCPU 0 yields at 2 ms; vCPU 1 (UNDER) and 2 (OVER) wait. Returns who runs from then on."""
        host = make_host(
            version, WorkList(((2 * MS, -1), (NEVER_NS, 0))), WorkList(((MS, NEVER_NS),)), Hog(),
            first_tick_ns=NEVER_NS, first_accounting_ns=NEVER_NS,
        )  # fmt: skip
        host.run_until(MS)
        host.sections["credit_vcpu"]["priority"][:3] = UNDER, UNDER, OVER
        host.run_until(5 * MS)
        return [vcpu for _, vcpu in dispatches(host, since_ms=1)]

    def test_before_4_1_a_yielder_stays_in_its_class(self):
        assert self.run_one("3.2") == [1, 0]

    @pytest.mark.parametrize("version", ["4.5", "4.8"])
    def test_from_4_1_on_it_goes_behind_one_of_lower_priority(self, version):
        assert self.run_one(version) == [1, 2]


class TestRatelimit:
    def passes(self, version, woken_us, **options):
        """The hog is switched in at 0; a waker of higher class comes. ``(at_us, vcpu, slice_us)`` of each pass."""
        host = make_host(
            version, Hog(), WorkList(((100 * US, NEVER_NS),)),
            first_tick_ns=NEVER_NS, first_accounting_ns=NEVER_NS, **options,
        )  # fmt: skip
        Domctl(host).pause_domain(2)
        host.run_until(1)
        host.sections["credit_vcpu"]["priority"][0] = OVER
        host.run_until(woken_us * US)
        Domctl(host).unpause_domain(2)
        host.run_until(2 * MS)
        return [
            (at_ns / US, vcpu, slice_ns / US)
            for at_ns, slice_ns, vcpu, *_ in records(host, "SWITCH", "CONTINUE")
            if at_ns > 0 and vcpu != IDLE
        ]

    def test_4_5_gives_a_whole_limit_again(self):
        assert self.passes("4.5", 400) == [(400, 0, 1000), (1400, 1, 30_000), (1500, 0, 30_000)]
        assert self.passes("4.5", 50)[:2] == [(50, 0, 1000), (1050, 1, 30_000)]

    def test_4_8_gives_what_is_left_however_short(self):
        assert self.passes("4.8", 400)[:2] == [(400, 0, 600), (1000, 1, 30_000)]
        assert self.passes("4.8", 50)[:2] == [(50, 0, 950), (1000, 1, 30_000)]
        assert self.passes("4.8", 990)[:2] == [(990, 0, 10), (1000, 1, 30_000)]

    def test_later_an_early_interruption_costs_an_extra_pass_after_100_us(self):
        assert self.passes("current", 400)[:2] == [(400, 0, 600), (1000, 1, 30_000)]
        assert self.passes("current", 50)[:3] == [(50, 0, 100), (150, 0, 850), (1000, 1, 30_000)]

    @pytest.mark.parametrize("version", ["4.5", "4.8", "current"])
    def test_who_has_run_so_long_is_preempted_at_once(self, version):
        assert self.passes(version, 1000)[0] == (1000, 1, 30_000)
        assert self.passes(version, 400, ratelimit_us=300)[0] == (400, 1, 30_000)

    @pytest.mark.parametrize("version", ["3.0.3", "3.2"])
    def test_there_is_none_before_4_2(self, version):
        assert self.passes(version, 50)[0] == (50, 1, 30_000)

    @pytest.mark.parametrize("version", ["4.5", "4.8", "current"])
    def test_zero_switches_it_off(self, version):
        assert self.passes(version, 50, ratelimit_us=0)[0] == (50, 1, 30_000)

    @pytest.mark.parametrize(("version", "at_ms"), [("4.5", 1.2), ("4.8", 0.3), ("current", 0.3)])
    def test_a_yield_is_limited_in_4_5_only(self, version, at_ms):
        # Yields every 0.3 ms. In 4.5 each pass before 1 ms keeps it; the yield at 1.2 ms is served.
        host = make_host(version, WorkList(((300 * US, -1),)), Hog())
        host.run_until(2 * MS)
        assert dispatches(host, since_ms=0.1)[0] == (at_ms, 1)
