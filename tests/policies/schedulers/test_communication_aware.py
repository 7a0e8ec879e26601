"""The communication-aware scheduler worked by hand: who goes first, how far, and that nobody loses by it.

Times are in ms. vCPU n is domain n + 1's, and its domain's slot is n. What waits for whom is written into the domains'
records. A reservation of s in p begins its first period at s. Unless said otherwise, A is vCPU 0 with 8 ms in 20 and B
is vCPU 1 with 8 ms in 40: both begin at 8, A with the deadline 28 and B with 48.
"""

import pickle

import numpy as np
import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
MAX = 6
A, B, C = 0, 1, 2


def reserved(period_ms, slice_ms, extratime=0):
    return {"period_ns": int(period_ms * MS), "slice_ns": int(slice_ms * MS), "extratime": extratime}


def make_host(*domains, **options):
    """Each domain is its parameters, or a program with its parameters."""
    host = Host(
        Topology.flat(1), make_scheduler("communication-aware", **options), [HogKind(), ListKind()],
        max_domains=MAX, max_vcpus=MAX,
    )  # fmt: skip
    host.start_trace()
    for number, domain in enumerate(domains):
        program, params = domain if isinstance(domain, tuple) else (Hog(), domain)
        Domctl(host).create_domain(number + 1, program, params=params)
    return host


def two(**options):
    return make_host(reserved(20, 8), reserved(40, 8), **options)


def record(host, slot, **fields):
    """Write into a domain's record; times are in ms."""
    for name, value in fields.items():
        name, value = (f"{name[:-3]}_ns", value * MS) if name.endswith("_ms") else (name, value)
        host.sections["domain_io"][name][slot] = value


def dispatches(host, since_ms=0, until_ms=1e9):
    return [
        (at_ns / MS, vcpu if vcpu < MAX else None)
        for at_ns, _, vcpu, _, kind, _ in host.trace_records().tolist()
        if kind == TraceKind.SWITCH and since_ms <= at_ns / MS < until_ms
    ]


def missed_deadlines(host):
    return int(host.sections["sedf"]["messages"][0])


EARLIEST_FIRST = [(8, A), (16, B), (24, None)]
B_FIRST = [(8, B), (16, A), (24, None)]


class TestWhoGoesFirst:
    def test_without_packets_the_earliest_deadline(self):
        host = two()
        host.run_until(27 * MS)
        assert dispatches(host) == EARLIEST_FIRST

    def test_a_domain_that_has_received(self):
        host = two()
        record(host, B, rx_pending=1)
        host.run_until(27 * MS)
        assert dispatches(host) == B_FIRST

    @pytest.mark.parametrize(
        ("of_a", "of_b", "expected"), [(2, 3, B_FIRST), (3, 3, EARLIEST_FIRST), (3, 2, EARLIEST_FIRST)]
    )
    def test_of_two_the_one_that_has_received_most(self, of_a, of_b, expected):
        host = two()
        record(host, A, rx_pending=of_a)
        record(host, B, rx_pending=of_b)
        host.run_until(27 * MS)
        assert dispatches(host) == expected

    @pytest.mark.parametrize(("slot", "field"), [(B, "nic_pending"), (A, "tx_pending"), (C, "tx_pending")])
    def test_a_driver_domain_before_everybody_who_has_received(self, slot, field):
        # Its own network card has packets, or any guest's ring has.
        host = make_host(reserved(20, 8), reserved(40, 8), {"weight": 1, "extratime": 1})
        record(host, B, is_backend=1)
        record(host, A, rx_pending=100)
        record(host, slot, **{field: 1})
        host.run_until(23 * MS)
        assert dispatches(host, 8) == B_FIRST[:2]

    def test_a_driver_domain_with_nothing_to_do_is_like_others(self):
        host = two()
        record(host, B, is_backend=1)
        host.run_until(27 * MS)
        assert dispatches(host) == EARLIEST_FIRST

    def test_whose_packets_are_gone_waits_again_and_it_is_noticed_soon(self):
        host = two()
        record(host, B, rx_pending=1)
        host.run_until(int(10.2 * MS))
        record(host, B, rx_pending=0)
        host.run_until(27 * MS)
        assert dispatches(host) == [(8, B), (10.5, A), (18.5, B), (24, None)]

    @pytest.mark.parametrize(("look_us", "at"), [(100, 10.3), (500, 10.5), (2_000, 12)])
    def test_packets_for_one_that_is_awake_are_noticed_at_the_next_look(self, look_us, at):
        host = two(look_us=look_us)
        host.run_until(int(10.21 * MS))
        record(host, B, rx_pending=1)
        host.run_until(int(12.3 * MS))
        assert dispatches(host) == [(8, A), (at, B)]


class TestWhoIsAboutToSend:
    @pytest.mark.parametrize(
        ("prev", "last", "expected"),
        [
            (1, 4, B_FIRST),  # due since 7
            (2, 6, [(8, A), (10, B), (18, A), (24, None)]),  # due at 10
            (5, 7.5, [(8, A), (10, B), (18, A), (24, None)]),
            (-1e-6, 4, EARLIEST_FIRST),  # sent once only
        ],
    )
    def test_it_goes_first_from_the_expected_instant_on(self, prev, last, expected):
        host = two()
        record(host, B, prev_tx_at_ms=prev, last_tx_at_ms=last)
        host.run_until(27 * MS)
        assert dispatches(host) == expected

    def test_who_has_received_goes_before_it(self):
        host = two()
        record(host, B, prev_tx_at_ms=1, last_tx_at_ms=4)
        record(host, A, rx_pending=1)
        host.run_until(27 * MS)
        assert dispatches(host) == EARLIEST_FIRST

    def test_of_two_the_one_that_sent_most_the_last_time(self):
        host = two()
        for slot, sent in ((A, 10), (B, 2)):
            record(host, slot, prev_tx_at_ms=-1e-6, last_tx_at_ms=1, tx_packets=sent)
        host.run_until(30 * MS)  # both were seen
        for slot, more in ((A, 3), (B, 5)):
            record(host, slot, prev_tx_at_ms=1, last_tx_at_ms=21, tx_packets=(10, 2)[slot] + more)
        host.run_until(87 * MS)
        # Both are due from 41 on. B begins at 48, A at 48 as well, with the deadlines 88 and 68.
        assert dispatches(host, 48) == [(48, B), (56, A), (64, None), (68, A), (76, None)]

    def test_an_expectation_lapses(self):
        # 3 ms after the last transmission at 4; given up 2 * 3 + 40 ms after it. B's second period begins at 48.
        host = two()
        record(host, B, prev_tx_at_ms=1, last_tx_at_ms=4)
        host.run_until(27 * MS)
        record(host, B, prev_tx_at_ms=1, last_tx_at_ms=4)
        host.run_until(67 * MS)
        assert dispatches(host, 48) == [(48, B), (50.5, A), (58.5, B), (64, None)]


class TestGuarantees:
    def test_it_goes_first_for_as_long_as_others_can_wait(self):
        # A has 12 in 20, B 12 in 40: from 12 on, A can wait until 20 to be done by 32.
        host = make_host(reserved(20, 12), reserved(40, 12))
        record(host, B, rx_pending=1)
        host.run_until(51 * MS)
        assert dispatches(host) == [(12, B), (20, A), (32, B), (36, A), (48, None)]
        assert missed_deadlines(host) == 0

    def test_without_slack_the_earliest_deadline_runs(self):
        # A can wait 0.04 ms, which is not worth a switch: B has what A leaves.
        host = make_host(reserved(10, 9.96), reserved(10_000, 39))
        record(host, B, rx_pending=1)
        host.run_until(69 * MS)
        assert dispatches(host, 39) == [(39.92, B), (39.96, A), (49.92, B), (49.96, A), (59.92, B), (59.96, A)]

    def test_who_sleeps_may_wake_up_and_is_left_its_time(self):
        # C sleeps and has 4 in 10. If it wakes up at t, it may need 4 until t + 10, and then 0.4 of the time up to 28,
        # A's deadline. Slack is 28 - t - 8 - 4 - 0.4 (18 - t) = 8.8 - 0.6 t: 0.4 at 14, 0.16 at 14.4, 0.064 at 14.56,
        # and after that not worth a switch.
        host = make_host(reserved(20, 8), reserved(40, 8), reserved(10, 4))
        Domctl(host).pause_domain(3)
        record(host, B, rx_pending=1)
        host.run_until(18 * MS)
        assert dispatches(host)[:2] == [(8, B), (pytest.approx(14.624, abs=1e-5), A)]
        Domctl(host).unpause_domain(3)
        host.run_until(1_000 * MS)
        assert missed_deadlines(host) == 0

    @pytest.mark.parametrize("seed", range(6))
    def test_everybody_has_its_slice_in_every_period_whatever_packets_do(self, seed):
        rng = np.random.default_rng(seed)
        # The last ones have all that is left.
        params = [reserved(10, 2), reserved(20, 5), reserved(50, 10), reserved(100, 20), reserved(100, 15)]
        host = make_host(*params)
        record(host, 0, is_backend=1)
        ran = {}
        before = [0] * 5
        period_ms = [10, 20, 50, 100, 100]
        first_ms = [2, 5, 10, 20, 15]
        for tenth in range(1, 20_001):
            host.run_until(tenth * MS // 10)
            for vcpu in range(5):
                now = host.runstate_ns(vcpu)["running"]
                begin = (tenth - 1 - 10 * first_ms[vcpu]) // (10 * period_ms[vcpu])
                ran[vcpu, begin] = ran.get((vcpu, begin), 0) + now - before[vcpu]
                before[vcpu] = now
            slot = int(rng.integers(5))
            name = ("rx_pending", "tx_pending", "nic_pending")[int(rng.integers(3))]
            record(host, slot, **{name: int(rng.integers(3))})
            if rng.random() < 0.2:
                record(host, slot, prev_tx_at_ns=host.sections["domain_io"]["last_tx_at_ns"][slot])
                record(host, slot, last_tx_at_ns=host.now_ns, tx_packets=int(rng.integers(1000)))
        assert missed_deadlines(host) == 0
        for (vcpu, begin), got_ns in ran.items():
            if 0 <= begin < (2_000 - first_ms[vcpu]) // period_ms[vcpu]:
                assert got_ns == params[vcpu]["slice_ns"], f"vCPU {vcpu}, its period {begin}"


class TestExtraTime:
    EXTRA = {"weight": 1, "extratime": 1}

    def test_it_leads_by_two_turns_at_most(self):
        host = make_host(self.EXTRA, self.EXTRA, self.EXTRA)
        record(host, C, rx_pending=1)
        for tenth in range(1, 3_000):
            host.run_until(tenth * MS // 10)
            ran = [host.runstate_ns(vcpu)["running"] / MS for vcpu in range(3)]
            assert max(ran) - min(ran) <= 2.0
        assert ran[C] == max(ran)

    def test_one_that_wakes_up_for_a_packet_does_not_wait_for_the_turn_to_end(self):
        # B works for 0.1 ms and sleeps for 2.15; under SEDF it waits for the end of A's turn of 0.5.
        sleeper = (WorkList(((MS // 10, 215 * MS // 100),)), self.EXTRA)
        waits = {}
        for packets in (0, 1):
            host = make_host(self.EXTRA, sleeper)
            record(host, B, rx_pending=packets)
            host.run_until(1_000 * MS)
            vcpu = host.sections["vcpu"][B]
            waits[packets] = vcpu["wake_latency_ns"] / vcpu["wake_latency_count"]
        assert waits[0] > MS / 10
        assert waits[1] < MS / 100

    def test_a_turn_is_charged_by_the_time_it_took(self):
        # Half as often as it could be, and for a fifth of a turn: it never uses up its lead.
        sleeper = (WorkList(((MS // 10, MS // 10),)), self.EXTRA)
        host = make_host(self.EXTRA, sleeper)
        record(host, B, rx_pending=1)
        host.run_until(1_000 * MS)
        assert host.runstate_ns(B)["running"] / MS == pytest.approx(490, abs=15)

    def test_reservations_come_first(self):
        host = make_host(reserved(10, 5), self.EXTRA)
        record(host, B, rx_pending=1)
        host.run_until(1_005 * MS)
        assert host.runstate_ns(A)["running"] == 500 * MS
        assert missed_deadlines(host) == 0


class TestOptions:
    def test_it_is_sedf_of_3_0_2_and_so_is_current(self):
        for version in ("3.0.2", "current"):
            scheduler = make_scheduler("communication-aware", version, look_us=50, unblock="short_resume")
            assert scheduler.version == "3.0.2"
            assert pickle.loads(pickle.dumps(scheduler)).is_like(scheduler)
        assert not scheduler.is_like(make_scheduler("communication-aware"))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"look_us": 9},
                r"scheduler communication-aware 3\.0\.2: look_us must be an integer 10\.\.100000, found 9",
            ),
            ({"unblock": "never"}, "unblock must be one of isochronous, .*found 'never'"),
            (
                {"version": "4.5"},
                r"unknown version '4\.5' of scheduler 'communication-aware'; expected one of 3\.0\.2, ",
            ),
        ],
    )
    def test_what_is_impossible_is_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            make_scheduler("communication-aware", **options)
