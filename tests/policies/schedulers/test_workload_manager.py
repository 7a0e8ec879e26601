"""The workload manager worked by hand: reservations, in millionths of a pCPU, interval by interval.

Times are in ms. vCPU n is domain n + 1's. Unless said otherwise an interval is 500 ms, the headroom 20 % and the gain
a half.
"""

import pickle

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, Periodic, WorkList
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler
from xengym.policies.schedulers.tunables import Share

MS = 1_000_000
MAX = 6


def make_host(*domains, num_pcpus=1, **options):
    """Each domain is a program, or ``(program, params)``."""
    kinds = [HogKind(), ListKind(), PeriodicKind()]
    scheduler = make_scheduler("workload-manager", **options)
    host = Host(Topology.flat(num_pcpus), scheduler, kinds, max_domains=MAX, max_vcpus=MAX)
    control = Poolctl(host)
    for number, domain in enumerate(domains):
        program, params = domain if isinstance(domain, tuple) else (domain, None)
        control.create_domain(number + 1, program, params=params, pcpus=[number % num_pcpus])
    return host, control


def reserved(host, num_vcpus):
    vcpus = host.sections["sedf_vcpu"][:num_vcpus]
    return [round(1e6 * s / p) for s, p in vcpus[["slice_ns", "period_ns"]].tolist()]


def after(host, *ends_ms):
    """Reservations of vCPU 0 just after those instants."""
    found = []
    for at_ms in ends_ms:
        host.run_until(at_ms * MS + 1)
        found += reserved(host, 1)
    return found


class TestReservationsFollowDemand:
    def test_a_domain_begins_with_the_minimum_and_without_extra_time(self):
        host, control = make_host(Hog())
        assert control.domain_params(1) == {
            "latency_ns": 0, "extratime": 0, "period_ns": 10 * MS, "slice_ns": MS // 2, "min_ppm": 50_000,
            "max_ppm": 1_000_000,
        }  # fmt: skip
        host.run_until(490 * MS + MS // 2)
        assert host.runstate_ns(0)["running"] == 49 * MS // 2

    def test_one_that_always_wants_to_run_goes_half_the_way_each_time(self):
        host, _ = make_host(Hog())
        assert after(host, 499, 500, 1_000, 1_500) == [50_000, 525_000, 762_500, 881_250]
        # 5 % of a pCPU are never promised.
        assert after(host, 2_000, 2_500, 3_000) == [940_625, 950_000, 950_000]
        before = host.runstate_ns(0)["running"]
        host.run_until(4_000 * MS + 1)
        assert host.runstate_ns(0)["running"] - before == pytest.approx(950 * MS, abs=MS)

    @pytest.mark.parametrize(("gain_pct", "expected"), [(100, [950_000, 950_000]), (10, [145_000, 230_500])])
    def test_the_gain(self, gain_pct, expected):
        host, _ = make_host(Hog(), gain_pct=gain_pct)
        assert after(host, 500, 1_000) == expected

    @pytest.mark.parametrize("headroom_pct", [0, 20, 100])
    def test_one_that_blocks_by_itself_has_what_it_uses_and_the_headroom(self, headroom_pct):
        # 2 ms in every 20 that begin with its period, so nothing keeps it waiting once the reservation is long enough.
        host, _ = make_host(WorkList(((2 * MS, 18 * MS),)), headroom_pct=headroom_pct, gain_pct=100)
        host.run_until(20_000 * MS + 1)
        demand_ppm = int(host.sections["workload_demand"]["demand_ppm"][0])
        assert reserved(host, 1)[0] == pytest.approx(demand_ppm * (100 + headroom_pct) / 100, abs=1)
        assert host.runstate_ns(0)["running"] / host.now_ns > 0.08

    def test_what_is_not_wanted_is_given_back_down_to_the_minimum(self):
        once = WorkList(((100 * MS, 1_000_000 * MS),), loop=False)
        host, _ = make_host((once, {"min_ppm": 80_000}), gain_pct=100)
        assert after(host, 500, 1_000, 2_000) == [950_000, pytest.approx(145_000, abs=100_000), 80_000]

    def test_bounds_hold(self):
        host, control = make_host((Hog(), {"min_ppm": 100_000, "max_ppm": 300_000}))
        assert after(host, 500, 1_000) == [175_000, 237_500]
        control.adjust_domain(1, max_ppm=200_000)
        assert after(host, 1_500) == [200_000]
        control.adjust_domain(1, min_ppm=400_000)  # above the maximum, which holds
        assert after(host, 2_000) == [200_000]

    def test_equal_bounds_hold_a_reservation_fixed(self):
        host, _ = make_host((Hog(), {"min_ppm": 250_000, "max_ppm": 250_000}))
        assert after(host, 500, 1_000, 5_000) == [250_000] * 3


class TestEachPcpuKeepsWhatItPromises:
    def test_what_is_above_the_minima_is_scaled_down_alike(self):
        host, _ = make_host(Hog(), Hog(), (Hog(), {"min_ppm": 350_000}), gain_pct=100)
        host.run_until(501 * MS)
        # All want 1000000: above the minima 2 * 950000 + 650000, and 950000 - 450000 are left.
        assert reserved(host, 3) == pytest.approx([236_275, 236_275, 477_451], abs=2)
        assert sum(reserved(host, 3)) <= 950_000

    def test_minima_that_do_not_fit_are_scaled_down_too(self):
        host, _ = make_host(*[(Hog(), {"min_ppm": minimum}) for minimum in (600_000, 900_000)])
        host.run_until(10_001 * MS)
        assert reserved(host, 2) == pytest.approx([380_000, 570_000], abs=2)

    def test_the_sums_are_of_each_pcpu(self):
        host, _ = make_host(Hog(), Hog(), Hog(), num_pcpus=2, gain_pct=100)
        host.run_until(501 * MS)
        assert reserved(host, 3) == pytest.approx([475_000, 950_000, 475_000], abs=2)

    def test_others_make_room_for_a_new_domain_at_once(self):
        host, control = make_host(Hog(), Hog())
        host.run_until(10_001 * MS)
        assert reserved(host, 2) == pytest.approx([475_000, 475_000], abs=2)
        control.create_domain(3, Hog())
        assert reserved(host, 3) == pytest.approx([450_000, 450_000, 50_000], abs=2)

    def test_what_weights_have_reserved_counts_and_is_left_alone(self):
        host, _ = make_host((Hog(), {"weight": 1, "extratime": 0}), (Hog(), {"min_ppm": 50_000}))
        host.run_until(3_001 * MS)
        assert sum(reserved(host, 2)) <= 951_000
        assert reserved(host, 1)[0] > 850_000

    def test_nobody_misses_a_deadline_once_demand_is_steady(self):
        host, _ = make_host(Hog(), Hog(), Periodic(1 * MS, 10 * MS))
        host.run_until(10_000 * MS)
        before = host.scheduler.counters()["deadline_exceeded_messages"]
        host.run_until(20_000 * MS)
        ran = [host.runstate_ns(vcpu)["running"] / host.now_ns for vcpu in range(3)]
        assert host.scheduler.counters()["deadline_exceeded_messages"] - before <= 60  # shortened slices
        assert ran[2] == pytest.approx(0.1, abs=0.02)

    def test_best_effort_is_not_managed(self):
        host, _ = make_host((Hog(), {"weight": 1, "extratime": 1}))
        host.run_until(2_000 * MS)
        assert reserved(host, 1) == [0]
        assert host.runstate_ns(0)["running"] > 1_950 * MS


class TestParameters:
    def test_a_reservation_set_by_hand_is_where_it_goes_on_from(self):
        host, control = make_host(Hog())
        control.adjust_domain(1, period_ns=20 * MS, slice_ns=12 * MS)
        assert after(host, 500) == [800_000]
        assert control.domain_params(1)["period_ns"] == 20 * MS

    @pytest.mark.parametrize("name", ["min_ppm", "max_ppm"])
    @pytest.mark.parametrize("value", [0, 999, 1_000_001, True])
    def test_what_is_impossible_is_refused(self, name, value):
        _, control = make_host(Hog())
        with pytest.raises(
            ValueError, match=rf"domain 1, scheduler workload-manager 4\.5: {name} must be an integer 1000"
        ):
            control.adjust_domain(1, **{name: value})

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"interval_ms": 0},
                r"scheduler workload-manager 4\.5: interval_ms must be an integer 1\.\.60000, found 0",
            ),
            ({"headroom_pct": -1}, r"headroom_pct must be an integer 0\.\.1000, found -1"),
            ({"gain_pct": 0}, r"gain_pct must be an integer 1\.\.100, found 0"),
        ],
    )
    def test_impossible_options_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            make_scheduler("workload-manager", **options)

    def test_copies_keep_the_options(self):
        scheduler = make_scheduler("workload-manager", "3.0.2", interval_ms=20, headroom_pct=0, gain_pct=7)
        assert pickle.loads(pickle.dumps(scheduler)).is_like(scheduler)
        assert not scheduler.is_like(make_scheduler("workload-manager", "3.0.2"))

    @pytest.mark.parametrize(
        ("share", "params", "lost"),
        [
            (Share(weight=512), {}, ["weight"]),
            (Share(cap_pct=30), {"period_ns": 100 * MS, "slice_ns": 30 * MS, "extratime": 0}, []),
            (
                Share(slice_ns=2 * MS, period_ns=10 * MS, extra_time=True),
                {"period_ns": 10 * MS, "slice_ns": 2 * MS, "extratime": 0},
                ["extra_time"],
            ),
            (
                Share(slice_ns=2 * MS, period_ns=10 * MS, extra_time=False),
                {"period_ns": 10 * MS, "slice_ns": 2 * MS, "extratime": 0},
                [],
            ),
        ],
    )
    def test_what_is_understood_of_other_schedulers(self, share, params, lost):
        assert make_scheduler("workload-manager").params_from(share, 1) == (params, lost)
