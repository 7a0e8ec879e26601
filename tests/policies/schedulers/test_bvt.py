"""BVT worked by hand: Xen's releases, and the published algorithm ("ideal").

With the default advance of 10 a charging unit of 100 us moves virtual time on by 10. Xen charges a part of a unit as a
whole one, and adds a few nanoseconds to each slice; the first instants are therefore given to the nanosecond.
"""

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.bvt import BvtScheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
MAX_VCPUS = 8
XEN = ("2.0", "3.0.0", "3.0.2")
WRAP = 1 << 32


def run_and_block(*pairs_ms):
    """``(run, block)`` in ms, once; then asleep for ever."""
    return WorkList(tuple((int(run * MS), int(block * MS)) for run, block in pairs_ms), loop=False)


def make_host(version, *domains, num_pcpus=1, **options):
    """A traced host; each domain is ``(program, params)`` or ``(program, params, how else it is created)``."""
    kinds = [HogKind(), PeriodicKind(), ListKind()]
    scheduler = BvtScheduler(version, **options)
    host = Host(Topology.flat(num_pcpus), scheduler, kinds, max_domains=MAX_VCPUS, max_vcpus=MAX_VCPUS)
    host.start_trace()
    for number, (program, params, *how) in enumerate(domains):
        num_vcpus = len(program) if isinstance(program, list) else 1
        Domctl(host).create_domain(number + 1, program, num_vcpus=num_vcpus, params=params, **(how[0] if how else {}))
    return host


def advance(*values):
    return [(Hog(), {"mcu_adv": value}) for value in values]


def dispatches(host, pcpu=0):
    """``(at_ns, vcpu)`` of every context switch; None for idle."""
    return [
        (at_ns, vcpu if vcpu < MAX_VCPUS else None)
        for at_ns, _, vcpu, _, kind, where in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and where == pcpu
    ]


def passes(host):
    """Instants of the scheduler's passes that kept somebody or switched, in ns."""
    kinds = (TraceKind.SWITCH, TraceKind.CONTINUE)
    return [at_ns for at_ns, *_, kind, _ in host.trace_records().tolist() if kind in kinds]


def shares(host, num_vcpus):
    return [host.runstate_ns(vcpu)["running"] / host.now_ns for vcpu in range(num_vcpus)]


def virtual_times(host, num_vcpus, name="avt"):
    return host.sections["bvt_vcpu"][name][:num_vcpus].tolist()


class TestXen:
    def test_equal_domains_alternate_every_5_ms_and_a_few_ns(self):
        host = make_host("3.0.0", *advance(10, 10))
        host.run_until(21 * MS)
        # The last one woken is first. Its lead of 500 is 50 units, added to the next slice as 50 ns; the 51 units that
        # makes lead by 10, which is 1 ns.
        expected = [(0, 1), (5_000_000, 0), (10_000_050, 1), (15_000_051, 0), (20_000_101, 1)]
        assert dispatches(host) == expected
        assert virtual_times(host, 2) == [1020, 1010]

    def test_double_weight_runs_two_slices_of_three(self):
        host = make_host("3.0.0", *advance(10, 20))
        host.run_until(21 * MS)
        assert dispatches(host) == [(0, 1), (5_000_000, 0), (15_000_149, 1), (20_000_150, 0)]
        assert passes(host) == [0, 5_000_000, 10_000_100, 15_000_149, 20_000_150]

    @pytest.mark.parametrize("version", ["2.0", "3.0.0", "ideal"])
    @pytest.mark.parametrize(
        ("advances", "expected"),
        [
            ((10, 10), (0.5, 0.5)),
            ((10, 20), (2 / 3, 1 / 3)),
            ((10, 5), (1 / 3, 2 / 3)),
            ((10, 20, 40), (4 / 7, 2 / 7, 1 / 7)),
            ((1, 1000), (1000 / 1001, 1 / 1001)),
        ],
    )
    def test_shares_are_inverse_to_advances(self, version, advances, expected):
        host = make_host(version, *advance(*advances))
        host.run_until(60_000 * MS)
        assert shares(host, len(advances)) == pytest.approx(expected, abs=0.003)

    @pytest.mark.parametrize(
        ("advances", "expected"),
        [
            ((10, 10), (0.5, 0.5)),
            ((10, 20), (0.6, 0.4)),
            ((10, 40), (0.7, 0.3)),
            ((10, 100), (0.8, 0.2)),
            ((40, 20, 10), (1 / 6, 1 / 3, 1 / 2)),
        ],
    )
    def test_3_0_2_charges_who_goes_on_for_the_whole_stretch_again(self, advances, expected):
        host = make_host("3.0.2", *advance(*advances))
        host.run_until(60_000 * MS)
        assert shares(host, len(advances)) == pytest.approx(expected, abs=0.005)

    def test_the_second_charge_of_3_0_2_is_of_both_slices(self):
        charged = {}
        for version in ("3.0.0", "3.0.2"):
            host = make_host(version, (Hog(), None))
            host.run_until(101 * MS)
            assert passes(host) == [0, 50 * MS, 100 * MS]
            charged[version] = virtual_times(host, 1)
        assert charged == {"3.0.0": [10_000], "3.0.2": [15_000]}

    @pytest.mark.parametrize("version", XEN)
    def test_one_alone_is_asked_every_50_ms_and_an_idle_pcpu_every_5(self, version):
        host = make_host(version, (run_and_block((120, 1000)), None))
        host.run_until(141 * MS)
        assert [at_ns / MS for at_ns in passes(host)] == [0, 50, 100, 120, 125, 130, 135, 140]

    @pytest.mark.parametrize("version", XEN)
    def test_the_allowance_is_the_slice(self, version):
        host = make_host(version, *advance(10, 10), ctx_allow_ns=MS)
        host.run_until(1000 * MS)
        assert host.sections["clock"]["context_switches"][0] == pytest.approx(1000, abs=2)
        Domctl(host).adjust_scheduler(ctx_allow_ns=20 * MS)
        host.run_until(2000 * MS)
        assert host.sections["clock"]["context_switches"][0] == pytest.approx(1050, abs=2)

    @pytest.mark.parametrize("version", XEN)
    def test_a_sleeper_runs_at_once_and_earns_nothing(self, version):
        host = make_host(version, (Hog(), None), (run_and_block((1, 999), (10_000, 1)), None))
        host.run_until(2000 * MS)
        assert dispatches(host)[:3] == [(0, 1), (MS, 0), (1000 * MS, 1)]
        # One second of the other is forgotten, but for the 49 ms since its last pass; then they have half each.
        if version != "3.0.2":
            assert shares(host, 2)[1] == pytest.approx((1 + (1000 + 49) / 2) / 2000, abs=0.003)

    def test_a_sleeper_keeps_its_lead_and_the_running_slice_is_cut_to_the_allowance(self):
        host = make_host("3.0.0", (Hog(), None), (run_and_block((1, 2), (5, 1000)), {"mcu_adv": 100}))
        host.run_until(12 * MS)
        # It is 1000 ahead when it wakes at 3, and the other is at 200: 80 units, so the slice that began at 1 ends at
        # 6 ms + 80 ns. Two more passes until the other is at 1020.
        assert passes(host) == [0, MS, 6_000_080, 11_000_129]
        assert dispatches(host) == [(0, 1), (MS, 0), (11_000_129, 1)]

    def test_the_present_slice_is_not_prolonged_by_a_waker(self):
        host = make_host("3.0.0", *advance(10, 10), (run_and_block((1, 2), (5, 1000)), {"mcu_adv": 1000}))
        host.run_until(12 * MS)
        # The third runs first and is at 10000 when it wakes at 3; the present slice ends where it would have.
        assert [at_ns for at_ns, _ in dispatches(host)][:3] == [0, MS, 6_000_000]

    def test_units_are_charged_as_wholes(self):
        # It is switched in and out 20 000 times a second for 20 us and leaves 30 us to the other: 100 us are charged to
        # each every time.
        host = make_host("3.0.0", (WorkList(((20 * US, 30 * US),)), None), (Hog(), None))
        host.run_until(1000 * MS)
        assert shares(host, 2) == pytest.approx([0.4, 0.6], abs=0.01)
        assert virtual_times(host, 2) == pytest.approx([200_000, 200_000], rel=0.01)

    def test_elapsed_time_has_32_bits(self):
        host = make_host("3.0.0", (Hog(), None), ctx_allow_ns=1000 * MS)
        host.run_until(10_001 * MS)
        assert virtual_times(host, 1) == [10 * -(-(10_000 * MS % WRAP) // (100 * US))]

    def test_virtual_times_are_set_back_before_they_wrap(self):
        host = make_host("3.0.0", *advance(10, 10), (run_and_block((1, 30), (1000, 1)), None))
        host.run_until(11 * MS)
        host.sections["bvt_vcpu"]["avt"][:3] += 0xF0000000 - 1000
        host.sections["bvt_vcpu"]["evt"][:3] += 0xF0000000 - 1000
        host.run_until(400 * MS)
        assert all(0x10000000 - 1000 < avt < 0x10000000 + 20_000 for avt in virtual_times(host, 3))
        assert 0x10000000 < host.sections["bvt_pcpu"]["svt"][0] < 0x10000000 + 20_000
        assert shares(host, 3)[:2] == pytest.approx([0.36, 0.36], abs=0.03)


class TestWarp:
    WARP = {"warpback": 1, "warpvalue": 1000, "warpl_ms": 0}

    def test_a_warp_of_1000_is_10_ms_ahead(self):
        # It starts 1 ns after the pass at 2000 ms, from the other's 200000, less 1000; the other is at 200010 then.
        start_ns = 2000 * MS + 1
        host = make_host("3.0.0", (Hog(), None), (Hog(), self.WARP, {"start_ns": start_ns}))
        host.run_until(2012 * MS)
        assert dispatches(host) == [(0, 0), (start_ns, 1), (start_ns + 5_000_101 + 5_000_050, 0)]
        assert virtual_times(host, 2) == [200_010, 201_020]
        assert virtual_times(host, 2, "evt") == [200_010, 200_020]

    @pytest.mark.parametrize("version", ["3.0.0", "ideal"])
    def test_a_warp_does_not_change_shares(self, version):
        warp = {**self.WARP, "warpvalue": 5000}
        host = make_host(version, (Hog(), None), (Hog(), warp, {"start_ns": 2000 * MS}))
        host.run_until(62_000 * MS)
        assert host.runstate_ns(1)["running"] / MS == pytest.approx(30_000, abs=60)

    @pytest.mark.parametrize(("version", "is_starved"), [("2.0", True), ("3.0.0", True), ("ideal", False)])
    def test_a_warp_beyond_the_beginning_of_virtual_time_starves_under_xen(self, version, is_starved):
        host = make_host(version, (Hog(), None), (Hog(), self.WARP))
        host.run_until(10_000 * MS)
        assert (shares(host, 2)[1] == 0) == is_starved
        if not is_starved:
            assert shares(host, 2) == pytest.approx([0.5, 0.5], abs=0.002)

    def test_limits_alternate_warped_and_unwarped_times(self):
        host = make_host("3.0.0", (Hog(), {**self.WARP, "warpl_ms": 20, "warpu_ms": 30}))
        states = []
        for at_ms in (10, 30, 49, 51, 69, 71, 99, 101):
            host.run_until(at_ms * MS)
            states.append(int(host.sections["bvt_domain"]["is_warping"][0]))
        assert states == [1, 0, 0, 1, 1, 0, 0, 1]

    def test_no_time_without_warp_means_never_again(self):
        host = make_host("3.0.0", (Hog(), {**self.WARP, "warpl_ms": 20, "warpu_ms": 0}))
        host.run_until(19 * MS)
        assert Domctl(host).domain_params(1)["warpback"] == 1
        host.run_until(500 * MS)
        assert Domctl(host).domain_params(1)["warpback"] == 0
        assert host.sections["bvt_domain"]["is_warping"][0] == 0
        assert 20 * MS in passes(host)

    def test_each_pass_restarts_the_limit(self):
        # A warp of 500 ms lets it run on and on, but it is asked every 5 ms and never reaches its 6 ms.
        warp = {**self.WARP, "warpvalue": 50_000, "warpl_ms": 6}
        host = make_host("3.0.0", (Hog(), None), (Hog(), warp, {"start_ns": 2000 * MS + 1}))
        host.run_until(2400 * MS)
        assert [vcpu for _, vcpu in dispatches(host)] == [0, 1]
        assert host.sections["bvt_domain"]["is_warping"][1] == 1

    def test_setting_parameters_ends_what_the_timers_had_begun(self):
        host = make_host("3.0.0", (Hog(), {**self.WARP, "warpl_ms": 20, "warpu_ms": 30}))
        host.run_until(25 * MS)
        assert host.sections["bvt_domain"]["is_warping"][0] == 0
        Domctl(host).adjust_domain(1, mcu_adv=10)
        assert host.sections["bvt_domain"]["is_warping"][0] == 1
        Domctl(host).adjust_domain(1, warpback=0)
        host.run_until(500 * MS)
        assert host.sections["bvt_domain"]["is_warping"][0] == 0

    def test_timers_go_with_the_domain(self):
        host = make_host("3.0.0", (Hog(), {**self.WARP, "warpl_ms": 20, "warpu_ms": 30}))
        host.run_until(25 * MS)
        Domctl(host).destroy_domain(1)
        Domctl(host).create_domain(2, Hog())
        host.run_until(200 * MS)
        assert host.sections["bvt_domain"]["is_warping"][0] == 0


class TestSeveralPcpus:
    @pytest.mark.parametrize("version", [*XEN, "ideal"])
    def test_nothing_moves_by_itself(self, version):
        host = make_host(version, (Hog(), None, {"pcpus": [0]}), (Hog(), None, {"pcpus": [0]}), num_pcpus=2)
        host.run_until(1000 * MS)
        assert dispatches(host, pcpu=1) == []
        assert shares(host, 2) == pytest.approx([0.5, 0.5], abs=0.01)

    @pytest.mark.parametrize("version", XEN)
    def test_who_is_moved_starts_from_the_virtual_time_there(self, version):
        domains = [(Hog(), {"mcu_adv": 1000}, {"pcpus": [0]}), (Hog(), None, {"pcpus": [1]})]
        host = make_host(version, *domains, num_pcpus=2)
        host.run_until(101 * MS)
        Domctl(host).set_affinity(1, 0, hard=[1])
        host.run_until(101 * MS + 1)
        assert virtual_times(host, 1) == [host.sections["bvt_pcpu"]["svt"][1]]
        host.run_until(2000 * MS)
        assert dispatches(host, pcpu=0)[-1] == (101 * MS, None)


class TestControlAtAwkwardMoments:
    @pytest.mark.parametrize("version", XEN)
    def test_a_change_of_parameters_makes_no_pass_and_counts_for_the_stretch_under_way(self, version):
        host = make_host(version, *advance(10, 10))
        host.run_until(3 * MS)
        Domctl(host).adjust_domain(2, mcu_adv=30)
        host.run_until(6 * MS)
        assert passes(host) == [0, 5 * MS]
        assert virtual_times(host, 2) == [0, 1500]

    @pytest.mark.parametrize("version", [*XEN, "ideal"])
    def test_pausing_destroying_and_hot_plugging(self, version):
        host = make_host(version, ([Hog(), Hog()], None), (Hog(), None))
        control = Domctl(host)
        for at_ms in (3, 7, 12):
            host.run_until(at_ms * MS)
            control.pause_domain(1)
            control.unpause_domain(1)
        host.run_until(1000 * MS)
        assert shares(host, 3) == pytest.approx([1 / 3] * 3, abs=0.01)
        control.pause_domain(1)
        host.run_until(1100 * MS)
        assert host.scheduler.queued() == []
        control.unpause_domain(1)
        control.set_vcpu_online(1, 1, False)
        host.run_until(1200 * MS)
        assert sorted([*host.scheduler.queued(), int(host.sections["pcpu"]["curr"][0])]) == [0, 2]
        control.set_vcpu_online(1, 1, True)
        host.run_until(1300 * MS)
        control.destroy_domain(2)
        host.run_until(1400 * MS)
        assert sorted([*host.scheduler.queued(), int(host.sections["pcpu"]["curr"][0])]) == [0, 1]

    @pytest.mark.parametrize("version", ["3.0.2", "ideal"])
    def test_a_snapshot_goes_on_identically(self, version):
        warp = {"warpback": 1, "warpvalue": 300, "warpl_ms": 7, "warpu_ms": 11}
        host = make_host(version, (Periodic(2 * MS, 13 * MS), warp), *advance(10, 30))
        host.run_until(133 * MS)
        snapshot = host.snapshot()
        host.run_until(600 * MS)
        digest = host.digest()
        host.restore(snapshot)
        host.run_until(600 * MS)
        assert host.digest() == digest


class TestIdeal:
    """What differs from Xen beyond the two examples of the paper, which are in tests/testing."""

    def test_time_is_charged_exactly(self):
        host = make_host("ideal", (run_and_block((0.0123, 1000)), {"mcu_adv": 7}), mcu_ns=1_000)
        host.run_until(MS)
        assert virtual_times(host, 1) == [12_300 * 7]

    def test_a_slice_lasts_as_long_as_the_lead(self):
        host = make_host("ideal", *advance(10, 40))
        host.run_until(61 * MS)
        # 0 runs its allowance of 5, 1 until it is at 40 (10 and its own 5, at a quarter of the speed); and so on.
        assert dispatches(host) == [(0, 0), (5 * MS, 1), (11_250_000, 0), (36_250_000, 1), (42_500_000, 0)]

    def test_a_sleeper_starts_from_the_virtual_time_of_that_instant(self):
        host = make_host("ideal", (Hog(), None), (Hog(), None, {"start_ns": 37 * MS}))
        host.run_until(63 * MS)
        # Both are at 37; who runs may be 5 ahead, the other then 5 ahead of that.
        assert dispatches(host) == [(0, 0), (42 * MS, 1), (52 * MS, 0), (62 * MS, 1)]

    def test_a_pass_for_other_reasons_does_not_cut_the_allowance(self):
        host = make_host("ideal", (Hog(), None), (Hog(), None, {"start_ns": 37 * MS}))
        for at_ms in (39, 40, 44, 51):
            host.run_until(at_ms * MS)
            running = int(host.sections["pcpu"]["curr"][0])
            Domctl(host).pause_domain(running + 1)
            Domctl(host).unpause_domain(running + 1)
        host.run_until(63 * MS)
        assert dispatches(host) == [(0, 0), (42 * MS, 1), (52 * MS, 0), (62 * MS, 1)]

    def test_the_end_of_a_warp_counts_at_once(self):
        warp = {"warpback": 1, "warpvalue": 10_000, "warpl_ms": 20, "warpu_ms": 10}
        host = make_host("ideal", (Hog(), None), (Hog(), warp, {"start_ns": 100 * MS}))
        host.run_until(151 * MS)
        # Warped by 100 ms it preempts at once and may run for 20, then it is 20 ahead and the other's turn has come.
        # That would last 25 ms, but the warp is back after 10.
        assert dispatches(host) == [(0, 0), (100 * MS, 1), (120 * MS, 0), (130 * MS, 1), (150 * MS, 0)]

    def test_virtual_times_are_set_back_before_they_overflow(self):
        host = make_host("ideal", *advance(10, 10), (run_and_block((1, 30), (1000, 1)), None))
        host.run_until(11 * MS)
        host.sections["bvt_vcpu"]["avt"][:2] += 2**61 - 1000
        host.sections["bvt_vcpu"]["evt"][:2] += 2**61 - 1000
        host.run_until(400 * MS)
        assert all(2**60 - 1000 < avt < 2**60 + 10**11 for avt in virtual_times(host, 3))
        assert shares(host, 3)[:2] == pytest.approx([0.36, 0.36], abs=0.03)
