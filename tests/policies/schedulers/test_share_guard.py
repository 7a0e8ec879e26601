"""ShareGuard worked by hand: whose traffic stands still, and for how long.

Times are in ms. Domain 1 is the driver domain with 4 ms in 10; what it spends for guests is written into their records
by hand every ms, as long as their traffic passes. vCPU n is domain n + 1's.
"""

import pickle

import pytest

from xengym.envs.host.env import HostEnv
from xengym.guests.cpu import HogKind
from xengym.guests.programs import Hog
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler

MS = 1_000_000
DRIVER, GUEST, OTHER = 0, 1, 2


def reserved(period_ms, slice_ms, **own):
    return {"period_ns": period_ms * MS, "slice_ns": slice_ms * MS, "extratime": 0, **own}


def make_host(*limits_ppm, **options):
    """The driver domain, and a guest with 2 ms in 10 for each limit."""
    options = {"attribution": "true", **options}
    host = Host(Topology.flat(1), make_scheduler("share-guard", **options), [HogKind()], max_domains=4, max_vcpus=4)
    control = Poolctl(host)
    control.create_domain(1, Hog(), params=reserved(10, 4))
    for number, limit in enumerate(limits_ppm):
        control.create_domain(number + 2, Hog(), params=reserved(10, 2, io_limit_ppm=limit))
    host.sections["domain_io"]["is_backend"][DRIVER] = 1
    return host, control


def flood(host, until_ms, **spent_pct):
    """Run on; the driver domain spends so many percent of a CPU for domains whose traffic passes."""
    io = host.sections["domain_io"]
    while host.now_ns < until_ms * MS:
        host.run_until(host.now_ns + MS)
        for slot, pct in enumerate((spent_pct.get("guest", 0), spent_pct.get("other", 0)), start=GUEST):
            if not io["traffic_stopped"][slot]:
                io["served_ns"][slot] += pct * MS // 100


def is_stopped(host, slot=GUEST):
    return bool(host.sections["domain_io"]["traffic_stopped"][slot])


def excess_ms(host, slot=GUEST):
    return int(host.sections["share_guard"]["excess_ns"][slot]) / MS


def spent_ms(host, slot=GUEST):
    return int(host.sections["domain_io"]["served_ns"][slot]) / MS


class TestTheGuard:
    def test_the_excess_is_paid_interval_by_interval_before_traffic_passes_again(self):
        # 40 are spent where 10 are allowed: 30 to be paid, 10 in each of the following intervals.
        host, _ = make_host(100_000)
        flood(host, 100, guest=40)
        assert not is_stopped(host)
        for at, excess, stopped in [(101, 30, True), (201, 20, True), (301, 10, True), (401, 0, False)]:
            flood(host, at, guest=40)
            # A ms passed after the poll: what is spent in it counts at the next one.
            assert (excess_ms(host), is_stopped(host)) == (excess, stopped)
        assert host.scheduler.counters()["traffic_stops"] == 1

    @pytest.mark.parametrize("poll_ms", [10, 100, 500])
    @pytest.mark.parametrize("pct", [11, 20, 40, 60])
    def test_a_flood_is_held_to_its_limit_with_one_poll_of_overshoot(self, pct, poll_ms):
        host, _ = make_host(100_000, poll_ms=poll_ms)
        overshoot_ms = (pct - 10) * poll_ms / 100
        for at in range(poll_ms, 20 * poll_ms, poll_ms // 10):
            flood(host, at, guest=pct)
            assert spent_ms(host) <= 0.1 * at + overshoot_ms + pct / 100
        flood(host, 20_000, guest=pct)
        cycle = {11: 2, 20: 2, 40: 4, 60: 6}[pct]
        assert spent_ms(host) / 20_000 == pytest.approx(pct / 100 / cycle, rel=0.07)

    def test_who_keeps_to_its_limit_is_left_alone(self):
        host, _ = make_host(100_000, 300_000)
        for at in range(50, 3_000, 50):
            flood(host, at, guest=10, other=40)
            assert not is_stopped(host)
        assert host.sections["share_guard"]["stops"].tolist() == [0, 0, 15, 0]  # one interval of every two

    def test_no_limit_is_none(self):
        host, _ = make_host(0)
        flood(host, 1_000, guest=100)
        assert not is_stopped(host)
        assert excess_ms(host) == 0

    def test_a_driver_domain_has_none(self):
        host, control = make_host(0)
        control.adjust_domain(1, io_limit_ppm=1)
        host.sections["domain_io"]["served_ns"][DRIVER] = 50 * MS
        host.run_until(150 * MS)
        assert not is_stopped(host, DRIVER)

    def test_by_packets_the_heavier_user_is_found(self):
        host, _ = make_host(200_000, 200_000, attribution="packets")
        io = host.sections["domain_io"]
        io["rx_packets"][GUEST] = 900
        io["rx_packets"][OTHER] = 100
        host.run_until(101 * MS)
        # The driver domain had 4 of 10 ms: 36 and 4 against 20.
        assert (is_stopped(host), is_stopped(host, OTHER)) == (True, False)
        assert excess_ms(host) == pytest.approx(16, abs=1)

    def test_slices_are_those_of_sedf(self):
        host, _ = make_host(100_000)
        flood(host, 1_000, guest=40)
        assert host.runstate_ns(GUEST)["running"] == 200 * MS

    def test_with_debts_collected_they_pay_for_the_driver_domain(self):
        # Within its traffic limit: 10 ms in 100 come off the 20 of its slices.
        host, _ = make_host(200_000, collects_debts=True)
        flood(host, 500, guest=10)
        before = host.runstate_ns(GUEST)["running"]
        flood(host, 1_500, guest=10)
        assert (host.runstate_ns(GUEST)["running"] - before) / MS == pytest.approx(100, abs=2)
        assert not is_stopped(host)


class TestTrafficPassesAgain:
    def stopped(self):
        host, control = make_host(100_000)
        flood(host, 101, guest=100)
        assert is_stopped(host)
        return host, control

    def test_after_a_change_of_scheduler(self):
        host, control = self.stopped()
        control.change_scheduler(make_scheduler("sedf"))
        assert not is_stopped(host)

    def test_for_the_next_domain_in_the_slot(self):
        host, control = self.stopped()
        control.destroy_domain(2)
        assert control.create_domain(5, Hog(), params=reserved(10, 2, io_limit_ppm=100_000)) == GUEST
        assert not is_stopped(host)
        assert excess_ms(host) == 0

    def test_at_the_next_poll_once_there_is_no_limit(self):
        host, control = self.stopped()
        control.adjust_domain(2, io_limit_ppm=0)
        flood(host, 150)
        assert is_stopped(host)
        flood(host, 201)
        assert not is_stopped(host)

    def test_and_a_snapshot_keeps_it_stopped(self):
        host, _ = self.stopped()
        snapshot = host.snapshot()
        flood(host, 2_000, guest=50)
        digest = host.digest()
        host.restore(snapshot)
        assert is_stopped(host)
        flood(host, 2_000, guest=50)
        assert host.digest() == digest


class TestParameters:
    def test_the_limit_stands_beside_those_of_sedf(self):
        _, control = make_host(100_000)
        assert control.domain_params(2)["io_limit_ppm"] == 100_000
        control.adjust_domain(2, io_limit_ppm=7)
        assert control.domain_params(2) == {
            "latency_ns": 0, "extratime": 0, "period_ns": 10 * MS, "slice_ns": 2 * MS, "io_limit_ppm": 7,
        }  # fmt: skip
        control.adjust_domain(2, **reserved(20, 1))
        assert control.domain_params(2)["io_limit_ppm"] == 7

    @pytest.mark.parametrize("value", [-1, 1_000_001, 0.5, "1"])
    def test_what_is_impossible_is_refused_and_nothing_changes(self, value):
        _, control = make_host(100_000)
        before = control.domain_params(2)
        with pytest.raises(
            ValueError, match=r"domain 2, scheduler share-guard 4\.5: io_limit_ppm must be an integer 0"
        ):
            control.adjust_domain(2, **reserved(20, 1, io_limit_ppm=value))
        assert control.domain_params(2) == before

    def test_it_is_the_domains_and_not_a_vcpus(self):
        _, control = make_host(100_000)
        with pytest.raises(ValueError, match=r"domain 2 vCPU 0.*io_limit_ppm is a parameter of the domain"):
            control.adjust_vcpu(2, 0, io_limit_ppm=5)

    def test_an_unknown_one_is_refused_and_all_known_are_named(self):
        with pytest.raises(
            ValueError, match=r"unknown parameter cap; expected one of period_ns, .*weight, io_limit_ppm"
        ):
            make_scheduler("share-guard").check_domain_params("here", 1, {"cap": 3})

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"poll_ms": 60_001}, r"share-guard 4\.5: poll_ms must be an integer 1\.\.60000, found 60001"),
            ({"collects_debts": 1}, "collects_debts must be true or false, found 1"),
            ({"attribution": "none"}, "attribution must be one of packets, pages, true"),
        ],
    )
    def test_impossible_options_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            make_scheduler("share-guard", **options)

    def test_copies_keep_the_options(self):
        scheduler = make_scheduler("share-guard", poll_ms=7, attribution="pages", collects_debts=True)
        assert pickle.loads(pickle.dumps(scheduler)).is_like(scheduler)
        assert not scheduler.is_like(make_scheduler("share-guard", poll_ms=7, attribution="pages"))

    def test_an_agent_sets_reservation_and_limit(self):
        env = HostEnv(scheduler="share-guard")
        env.reset(seed=1)
        names = [tunable.name for tunable in env.host.scheduler.tunables()]
        assert names == ["period_us", "slice_ppm", "extratime", "io_limit_ppm"]
        size = env.action_space.shape[0]
        action = [-0.75 if i % 4 == 3 else 0.0 for i in range(size)]
        env.step(env.action_space.sample() * 0 + action)
        assert env.host.scheduler.domain_params(0)["io_limit_ppm"] == 250_000
