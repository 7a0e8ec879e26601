"""The six rules for waking up after a block with which Xen 3.0.0 to 3.0.2 could be built, one case worked for each.

A domain has 5 ms in 10 ms and no extra time, so its first period begins at 5 ms. Times are in ms.
"""

import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.sedf import SedfScheduler
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
RULES = ("isochronous", "edf", "atropos", "short_resume", "burst", "extra_support")


def run(unblock, pairs_ms, until_ms, *, latency_ms=0, start_ms=0, version="3.0.0"):
    """``(from, to)`` of each stretch, in ms, of a domain that runs and blocks so and then computes for ever."""
    host = Host(
        Topology.flat(1),
        SedfScheduler(version, unblock=unblock),
        [HogKind(), ListKind()],
        max_domains=1,
        max_vcpus=1,
    )
    host.start_trace()
    pairs = [*pairs_ms, (1_000_000, 1)]
    Domctl(host).create_domain(
        1,
        WorkList(tuple((int(run * MS), int(block * MS)) for run, block in pairs), loop=False),
        params={"period_ns": 10 * MS, "slice_ns": 5 * MS, "extratime": 0, "latency_ns": int(latency_ms * MS)},
        start_ns=int(start_ms * MS),
    )
    host.run_until(int(until_ms * MS))
    times = [at_ns / MS for at_ns, *_, kind, _ in host.trace_records().tolist() if kind == TraceKind.SWITCH]
    return list(zip(times[::2], [*times[1::2], until_ms], strict=False))


@pytest.mark.parametrize(
    ("unblock", "after"),
    [
        # It blocks at 7 with 3 left of the slice, and wakes at 9, in the same period.
        ("isochronous", [(15, 20), (25, 30)]),
        ("edf", [(15, 20), (25, 30)]),
        ("atropos", [(15, 20), (25, 30)]),
        ("short_resume", [(9, 10), (15, 20), (25, 30)]),  # the 2 blocked count as used
        ("burst", [(9, 10), (15, 20), (25, 30)]),
        ("extra_support", [(9, 12), (15, 20), (25, 30)]),  # 3 in extra time instead
    ],
)
def test_short_block(unblock, after):
    assert run(unblock, [(2, 2)], 30.5) == [(5, 7), *after]


def test_a_rest_of_less_than_half_a_millisecond_is_not_resumed():
    assert run("short_resume", [(2, 2.5)], 20.5) == [(5, 7), (9.5, 10), (15, 20)]
    assert run("short_resume", [(2, 2.6)], 20.5) == [(5, 7), (15, 20)]


@pytest.mark.parametrize(
    ("unblock", "after"),
    [
        # It blocks at 7 and wakes at 26; its deadline was 15.
        ("isochronous", [(35, 40), (45, 50)]),  # in step with 5, 15, 25
        ("edf", [(26, 31), (36, 41), (46, 51)]),
        ("atropos", [(26, 31), (36, 41), (46, 51)]),  # without a hint
        ("short_resume", [(26, 31), (36, 41), (46, 51)]),
        ("burst", [(26, 31), (36, 41), (46, 51)]),
        ("extra_support", [(26, 31), (36, 41), (46, 51)]),
    ],
)
def test_long_block(unblock, after):
    assert run(unblock, [(2, 19)], 51.5) == [(5, 7), *after]


@pytest.mark.parametrize(("block_ms", "begin_ms"), [(17, 25), (18, 25), (19, 35), (28, 35), (29, 45)])
def test_isochronous_periods_never_lose_their_step(block_ms, begin_ms):
    assert run("isochronous", [(2, block_ms)], 50.5)[1] == (begin_ms, begin_ms + 5)


def test_a_latency_hint_shortens_the_period_after_a_long_block_and_each_used_slice_doubles_it():
    # At 26: 2 in 4, then 4 in 8, then 5 in 10 again.
    assert run("atropos", [(2, 19)], 60, latency_ms=4) == [(5, 7), (26, 28), (30, 34), (38, 43), (48, 53), (58, 60)]


def test_a_burst_keeps_its_short_period_for_twice_its_length():
    expected = [(5, 7), (26, 28), (30, 32), (34, 36), (38, 42), (46, 51)]
    assert run("burst", [(2, 19)], 52, latency_ms=4) == expected


def test_a_burst_takes_the_rhythm_of_waking_up_for_its_period():
    # From 8 on; it wakes at 11 and, with its slice gone, at 13: 1 in 2. The slice is overdrawn, and that costs the
    # first of these periods (18 to 20). At 21 the period doubles, at 24 again, at 30 it is what it was.
    stretches = run("burst", [(2, 1), (1.5, 0.5)], 40, start_ms=3)
    assert stretches == [(8, 10), (11, 12.5), (20, 21), (22, 24), (26, 30), (34, 39)]


@pytest.mark.parametrize("unblock", ["isochronous", "edf", "short_resume", "extra_support"])
def test_a_latency_hint_means_nothing_to_other_rules(unblock):
    assert run(unblock, [(2, 19)], 52, latency_ms=4) == run(unblock, [(2, 19)], 52)


def test_a_shortened_period_stays_worth_scheduling():
    host = Host(Topology.flat(1), SedfScheduler("3.0.0", unblock="atropos"), [ListKind()], max_domains=1, max_vcpus=1)
    program = WorkList(((1, 100 * MS), (100 * MS, 1)))
    params = {"period_ns": 10 * MS, "slice_ns": 5_000, "extratime": 0, "latency_ns": 10_000}
    Domctl(host).create_domain(1, program, params=params)
    host.run_until(200 * MS)
    # 1 in 2000 of 10 us would be 5 ns.
    assert host.sections["clock"]["passes"][0] < 200


@pytest.mark.parametrize("version", ["3.0.0", "3.0.2"])
@pytest.mark.parametrize("unblock", RULES)
def test_the_rule_can_be_chosen_up_to_3_0_2(version, unblock):
    assert run(unblock, [], 30, version=version)[0] == (5, 10)


@pytest.mark.parametrize("version", ["3.0.3", "4.2", "4.5"])
def test_later_releases_have_one_rule(version):
    SedfScheduler(version, unblock="extra_support")
    message = rf"scheduler sedf {version}: unblock can be chosen in 3\.0\.0 and 3\.0\.2 only, found 'edf'"
    with pytest.raises(ValueError, match=message):
        SedfScheduler(version, unblock="edf")


def test_an_unknown_rule_is_refused():
    message = "scheduler sedf 3.0.0: unblock must be one of isochronous, edf, .*, extra_support; found 'fair'"
    with pytest.raises(ValueError, match=message):
        SedfScheduler("3.0.0", unblock="fair")


def test_a_hog_never_blocks_and_is_the_same_under_all_rules():
    def shares(unblock):
        host = Host(Topology.flat(1), SedfScheduler("3.0.2", unblock=unblock), [HogKind()], max_domains=3, max_vcpus=3)
        for domid, params in enumerate(({"period_ns": 10 * MS, "slice_ns": 4 * MS, "extratime": 1}, {}, {}), 1):
            Domctl(host).create_domain(domid, Hog(), params=params)
        host.run_until(1000 * MS)
        return [host.runstate_ns(vcpu)["running"] for vcpu in range(3)]

    assert all(shares(unblock) == shares("extra_support") for unblock in RULES)
