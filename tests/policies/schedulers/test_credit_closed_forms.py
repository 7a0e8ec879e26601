"""Credit against closed forms and published results: shares, caps, the evasion of sampled debit, the boost.

Rows named R10 to R18 are those of the project's table of published results. Where Credit does not reach the ideal the
region in which it does is stated with the test, with the tolerance it was found to need.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xengym.guests.cpu import HogKind
from xengym.guests.programs import Hog
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.testing.figures.credit import (
    capped_window_shares,
    evader_share,
    ping_waits_ms,
    shares_by_weight,
    third_domain_share,
)

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
QUARTER = settings(max_examples=settings.default.max_examples // 4)


def make_host(version, num_pcpus, domains, *, phase_ns=None, **options):
    """Each domain is ``(program, num_vcpus, params)``; ticks of pCPU p first come ``phase_ns[p]`` after the start."""
    num_vcpus = sum(count for _, count, _ in domains)
    scheduler = CreditScheduler(version, idle_ticks=True, **options)
    host = Host(
        Topology.flat(num_pcpus),
        scheduler,
        [HogKind()],
        max_domains=len(domains),
        max_vcpus=num_vcpus,
    )
    if phase_ns is not None:
        # In 3.x the third tick of the first pCPU accounts.
        late_ns = 20 * MS if version.startswith("3") else 0
        scheduler.set_phase(phase_ns, phase_ns[0] + late_ns)
    for number, (program, count, params) in enumerate(domains):
        Domctl(host).create_domain(number + 1, program, num_vcpus=count, params=params)
    return host


def cpu_ns(host):
    """CPU time of each domain so far."""
    return np.array(
        [
            sum(host.runstate_ns(v)["running"] for v in range(first, first + count))
            for first, count in host.sections["domain"][["first_vcpu", "num_vcpus"]].tolist()
        ]
    )


def long_run_shares(version, num_pcpus, domains, phase_ns=None):
    """CPU that each domain gets, in pCPUs, over 40 s after a start of 5 s."""
    hogs = [(Hog(), count, {"weight": weight, "cap": cap}) for weight, count, cap in domains]
    host = make_host(version, num_pcpus, hogs, phase_ns=phase_ns)
    host.run_until(5 * SECOND)
    before = cpu_ns(host)
    host.run_until(45 * SECOND)
    return (cpu_ns(host) - before) / (40 * SECOND)


def max_min_shares(num_pcpus, weights, ceilings):
    """Weighted max-min fairness: find the water level at which ``sum(min(ceiling, level * weight))`` is all there is.

    The sum is piecewise linear in the level, with a bend where a domain reaches its ceiling: go from bend to bend.
    """
    capacity = min(num_pcpus, sum(ceilings))
    bends = sorted(ceiling / weight for weight, ceiling in zip(weights, ceilings, strict=True))

    def handed_out(level):
        return sum(min(ceiling, level * weight) for weight, ceiling in zip(weights, ceilings, strict=True))

    low = 0.0
    for bend in bends:
        if handed_out(bend) >= capacity:
            rising = sum(w for w, c in zip(weights, ceilings, strict=True) if c / w > low)
            level = low + (capacity - handed_out(low)) / rising
            break
        low = bend
    else:
        level = bends[-1]
    return [min(ceiling, level * weight) for weight, ceiling in zip(weights, ceilings, strict=True)]


@pytest.mark.parametrize(
    ("num_pcpus", "weights", "ceilings", "expected"),
    [
        (1, [1, 2], [1, 1], [1 / 3, 2 / 3]),
        (2, [256, 256, 1024], [1, 1, 1], [0.5, 0.5, 1]),
        (1, [1, 1, 1], [0.1, 1, 1], [0.1, 0.45, 0.45]),
        (1, [1, 1], [0.3, 0.4], [0.3, 0.4]),
        (3, [4, 1, 1], [1, 2, 0.5], [1, 1.5, 0.5]),
    ],
)
def test_the_oracle_itself_on_cases_done_by_hand(num_pcpus, weights, ceilings, expected):
    assert max_min_shares(num_pcpus, weights, ceilings) == pytest.approx(expected)


PHASES = st.lists(st.integers(1, 9999), min_size=4, max_size=4)


class TestShares:
    @QUARTER
    @given(weights=st.lists(st.integers(256, 512), min_size=2, max_size=3))
    @pytest.mark.parametrize("version", ["3.2", "4.5", "4.8", "current"])
    def test_weights_up_to_1_to_2_on_one_pcpu(self, version, weights):
        # Slices, ticks and accounting in step. What remains is whole credits and slices: 5 % of a share at most.
        got = long_run_shares(version, 1, [(weight, 1, 0) for weight in weights])
        assert got == pytest.approx(max_min_shares(1, weights, [1] * len(weights)), rel=0.06)

    @QUARTER
    @given(data=st.data(), num_pcpus=st.integers(1, 4), phases_us=PHASES)
    @pytest.mark.parametrize("version", ["3.2", "4.5", "4.8", "current"])
    def test_weights_up_to_1_to_2_at_any_phase(self, version, data, num_pcpus, phases_us):
        # Two or three hogs a pCPU. All may be OVER at once for a while and then just take turns, which flattens the
        # shares: each lies between the ideal and an equal share. Under 3.2 and with phases in step they may even be
        # equal; later up to 17 % of a share was found to be missing.
        count = data.draw(st.integers(2 * num_pcpus, 3 * num_pcpus))
        weights = data.draw(st.lists(st.integers(256, 512), min_size=count, max_size=count))
        phase_ns = [phase * US for phase in phases_us[:num_pcpus]]
        got = long_run_shares(version, num_pcpus, [(weight, 1, 0) for weight in weights], phase_ns)
        equal = num_pcpus / count
        for share, ideal in zip(got, max_min_shares(num_pcpus, weights, [1] * count), strict=True):
            assert min(equal, ideal) - 0.06 <= share <= max(equal, ideal) + 0.06
            if version != "3.2":
                assert share == pytest.approx(ideal, rel=0.25)
        assert sum(got) == pytest.approx(num_pcpus, abs=1e-9)

    @QUARTER
    @given(data=st.data(), num_pcpus=st.integers(1, 3), phases_us=PHASES)
    @pytest.mark.parametrize("version", ["4.5", "4.8", "current"])
    def test_from_4_1_on_a_domain_counts_as_often_as_it_has_vcpus(self, version, data, num_pcpus, phases_us):
        # Equal weights, two or three vCPUs a pCPU. With fewer than two a pCPU (five hogs on four) the outcome depends
        # on the phases: measured 0.998, 3 * 0.751, 0.749 in step, and 0.8 each otherwise.
        counts = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=3 * num_pcpus))
        counts = counts[: next((n for n in range(len(counts) + 1) if sum(counts[:n]) > 3 * num_pcpus), None)]
        while sum(counts) > 3 * num_pcpus:
            counts.pop()
        while sum(counts) < 2 * num_pcpus:
            counts.append(1)
        phase_ns = [phase * US for phase in phases_us[:num_pcpus]]
        got = long_run_shares(version, num_pcpus, [(256, count, 0) for count in counts], phase_ns)
        expected = max_min_shares(num_pcpus, counts, [min(count, num_pcpus) for count in counts])
        assert got == pytest.approx(expected, rel=0.1)

    @QUARTER
    @given(data=st.data(), num_pcpus=st.integers(1, 4), phases_us=PHASES)
    def test_up_to_4_0_equal_domains_share_equally(self, data, num_pcpus, phases_us):
        count = data.draw(st.integers(num_pcpus + 1, 3 * num_pcpus))
        phase_ns = [phase * US for phase in phases_us[:num_pcpus]]
        got = long_run_shares("3.2", num_pcpus, [(256, 1, 0)] * count, phase_ns)
        assert got == pytest.approx([num_pcpus / count] * count, rel=0.03)

    @QUARTER
    @given(data=st.data(), num_pcpus=st.integers(1, 4), phases_us=PHASES)
    @pytest.mark.parametrize("version", ["3.2", "4.5", "4.8", "current"])
    def test_a_cap_below_the_fair_share_is_what_a_domain_gets_and_the_rest_gets_the_rest(
        self, version, data, num_pcpus, phases_us
    ):
        # Two or three hogs a pCPU, at least one a pCPU without a cap; caps up to 80 % of an equal share.
        count = data.draw(st.integers(2 * num_pcpus, 3 * num_pcpus))
        num_capped = data.draw(st.integers(1, count - num_pcpus))
        caps = data.draw(st.lists(st.integers(5, 80 * num_pcpus // count), min_size=num_capped, max_size=num_capped))
        caps = data.draw(st.permutations(caps + [0] * (count - num_capped)))
        phase_ns = [phase * US for phase in phases_us[:num_pcpus]]
        got = long_run_shares(version, num_pcpus, [(256, 1, cap) for cap in caps], phase_ns)
        ideal = max_min_shares(num_pcpus, [1] * count, [cap / 100 if cap else 1 for cap in caps])
        for cap, share, fair in zip(caps, got, ideal, strict=True):
            if cap:
                assert share == pytest.approx(cap / 100, abs=0.01)
            else:
                assert share == pytest.approx(fair, rel=0.4 if version == "3.2" else 0.25)
        # From 4.18 on a pCPU that has just searched the other queues waits a millisecond before it does so again.
        assert sum(got) == pytest.approx(num_pcpus, abs=0.01 if version == "current" else 1e-9)

    @pytest.mark.parametrize("version", ["3.0.3", "3.2", "4.5", "4.8", "current"])
    def test_r10_two_hogs_of_256_and_512_within_3_s(self, version):
        assert shares_by_weight(version) == pytest.approx([1 / 3, 2 / 3], abs=0.02)

    @pytest.mark.parametrize("version", ["3.0.3", "3.2", "4.5", "4.8", "current"])
    def test_r11_a_third_domain_of_30_percent_beside_two_of_80(self, version):
        assert third_domain_share(version) >= 0.29


class TestCaps:
    """R12: one CPU-bound domain with a cap on one pCPU, 180 windows of a second (Cherkasova et al. 2007, ALERT)."""

    @pytest.mark.parametrize(
        # Relative errors of a window in percent, derived from the scheduler of 2007.
        ("cap", "lowest", "highest", "mean_size"),
        [
            (1, -100, 200, 133),
            (2, -100, 50, 67),
            (5, -40, 20, 27),
            (7, -14.3, 28.6, 19),
            (10, -10, 20, 13.3),
            (20, -10, 5, 6.7),
            (25, -4, 8, 5.3),
            (40, -7.5, 5, 5.0),
            (50, -4, 4, 2.7),
            (60, -3.3, 3.3, 2.2),
            (90, -2.2, 4.4, 3.0),
        ],
    )
    def test_the_table_of_window_errors_under_3_2(self, cap, lowest, highest, mean_size):
        shares = capped_window_shares("3.2", cap)
        errors_pct = 100 * (shares / (cap / 100) - 1)
        assert shares.mean() * 100 == pytest.approx(cap, abs=0.1)
        assert errors_pct.min() == pytest.approx(lowest, abs=0.05)
        assert errors_pct.max() == pytest.approx(highest, abs=0.05)
        assert np.abs(errors_pct).mean() == pytest.approx(mean_size, abs=0.7)

    @pytest.mark.parametrize("cap", [3, 6, 9, 15, 30])
    def test_where_the_cycle_divides_a_second_there_is_no_error(self, cap):
        # After a first second that also holds the way into the cycle.
        assert capped_window_shares("3.2", cap)[1:] == pytest.approx(np.full(179, cap / 100))

    def test_the_envelope_for_every_cap_from_1_to_99_under_3_2(self):
        for cap in range(1, 100):
            shares_pct = 100 * capped_window_shares("3.2", cap)
            assert abs(shares_pct.mean() - cap) <= 0.1, cap
            assert np.abs(shares_pct - cap).max() <= (2 if cap <= 33 else 5), cap

    @pytest.mark.parametrize("version", ["4.5", "4.8", "current"])
    def test_and_later(self, version):
        # Accounting comes before the tick of its instant, so a debt can pass 300 credits; it is cut off there, which
        # gives 23 to 28 % up to a point more. The first second has more too: its first 10 ms are charged late.
        for cap in range(1, 100):
            shares_pct = 100 * capped_window_shares(version, cap)
            assert abs(shares_pct.mean() - cap) <= (1.1 if 23 <= cap <= 28 else 0.1), cap
            assert np.abs(shares_pct[1:] - cap).max() <= 4 + 1e-9, cap


class TestTickEvasion:
    """R14: a guest sleeps across each tick, so that sampled debit never finds it running (Zhou et al. 2011)."""

    @pytest.mark.parametrize("num_hogs", [1, 3])
    def test_under_sampled_debit_it_takes_nearly_all(self, num_hogs):
        assert evader_share("3.2", 9_500, num_hogs=num_hogs) >= 0.85

    @pytest.mark.parametrize("version", ["4.5", "4.8", "current"])
    @pytest.mark.parametrize("num_hogs", [1, 3])
    def test_later_it_gets_its_fair_share_and_no_more(self, version, num_hogs):
        # The hog keeps the pCPU until it has had its millisecond, so the evader runs late, into a tick, is found, and
        # from then on pays for every microsecond.
        assert evader_share(version, 9_500, num_hogs=num_hogs) == pytest.approx(1 / (1 + num_hogs), abs=0.01)

    @pytest.mark.parametrize("version", ["4.5", "4.8", "current"])
    def test_exact_debit_alone_does_not_end_it(self, version):
        # Who is never running at a tick is never active, and accounting looks only at who is: without a ratelimit, or
        # if it leaves the hog that millisecond, it is charged without bound and still boosted.
        assert evader_share(version, 9_500, ratelimit_us=0) >= 0.85
        assert evader_share(version, 9_000 - 200) >= 0.85


class TestBoostLatency:
    @pytest.mark.parametrize("num_hogs", [1, 2, 4, 8])
    def test_r17_beside_n_hogs_an_idle_domain_waits_for_n_slices_without_boost_and_not_at_all_with(self, num_hogs):
        without, boosted = ping_waits_ms("3.0.3", num_hogs), ping_waits_ms("3.2", num_hogs)
        assert min(len(without), len(boosted)) > 100
        assert 25 < without[-1] <= 30 * num_hogs + 10
        assert boosted[-1] < 1
        assert np.median(without) >= 10 * max(np.median(boosted), 0.1)

    @pytest.mark.parametrize("num_hogs", [1, 2, 4])
    def test_r18_a_pinged_domain_that_also_computes_has_no_good_of_the_boost(self, num_hogs):
        # It is runnable all the time: there is no wake-up that could boost it.
        without, boosted = (ping_waits_ms(version, num_hogs, computes=True) for version in ("3.0.3", "3.2"))
        assert boosted.mean() > 5
        assert 1 / 1.5 <= without.mean() / boosted.mean() <= 1.5
