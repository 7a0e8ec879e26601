"""One move: stages, rounds, failures; closed forms and a page-by-page reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import BYTES_PER_MBIT, MoveSpec
from xengym.machine.memory_model import PAGE_BYTES, MemoryModel, Region
from xengym.machine.migration_state import REASONS, STAGES

S = 1_000_000_000
LINK = 870 * BYTES_PER_MBIT
FOR_EVER = 1 << 50


def finished(memory, **spec):
    move = Move(memory, MoveSpec(**spec))
    move.begin()
    move.finish(LINK)
    return move


def test_a_domain_that_writes_nothing_is_sent_once():
    move = finished(MemoryModel((Region(10_000),)), stop_rule="paper")
    first, last = move.rounds
    assert (first.sent_pages, first.skipped_pages, last.sent_pages) == (10_000, 0, 0)
    assert first.duration_ns == pytest.approx(10_000 * PAGE_BYTES / (100 * BYTES_PER_MBIT) * S, rel=1e-6)
    assert move.downtime_ns == 38_200_000
    assert move.elapsed_ns == 1_000_000 + first.duration_ns + 38_200_000


def test_stages_follow_one_another_as_in_the_paper():
    move = Move(MemoryModel((Region(1000), Region(100, 1000.0))), MoveSpec())
    move.begin()
    seen = [move.stage]
    while not move.is_over:
        if move.stage == "round-end":
            move.follow_rules()
        move.run(FOR_EVER, move.wanted_bytes_per_s)
        if seen[-1] != move.stage:
            seen.append(move.stage)
    order = [stage for stage in STAGES if stage in seen]
    assert [stage for i, stage in enumerate(seen) if stage not in seen[:i]] == order
    assert order == [stage for stage in STAGES if stage not in ("none", "disk", "aborted")]


def test_a_regular_move_stands_still_for_all_of_it():
    move = finished(MemoryModel((Region(10_000, 5000.0),)), kind="stop", max_mbit_per_s=128, request_ms=0)
    assert [one.sent_pages for one in move.rounds] == [10_000]
    assert move.downtime_ns == move.elapsed_ns
    assert move.elapsed_ns == pytest.approx((10_000 * PAGE_BYTES / (128 * BYTES_PER_MBIT) + 0.0382) * S, rel=1e-6)


def test_free_pages_are_sent_once_or_given_back():
    memory = MemoryModel((Region(1000), Region(10, 100.0)), free_pages=500)
    assert finished(memory).rounds[0].sent_pages >= 1500
    assert finished(memory, gives_back_free=True).rounds[0].sent_pages <= 1010


def test_self_migration_sends_its_own_pages_last():
    """What the copying dirties while the last pages are sent: nearly all of its 256, as a round of their own."""
    memory = MemoryModel((Region(1000, 1e6),))
    live, own = finished(memory), finished(memory, kind="self", own_pages=256)
    assert live.rounds[-1].sent_pages == own.rounds[-2].sent_pages > 900
    buffered = own.rounds[-1].sent_pages
    assert 250 < buffered <= 256
    assert own.downtime_ns - live.downtime_ns == pytest.approx(
        buffered * PAGE_BYTES / (500 * BYTES_PER_MBIT) * S, abs=2
    )
    assert own.downtime_ns < S


def test_a_bypass_device_is_drained_before_and_remapped_after():
    memory = MemoryModel((Region(1000),))
    plain, bypass = finished(memory), finished(memory, drain_ms=4, remap_ms=6)
    assert bypass.downtime_ns - plain.downtime_ns == 10_000_000


# -- closed forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_without_skipping_rounds_shrink_geometrically(part):
    """Each round lasts dirty rate / rate times the one before; with rates W < B in all M / (B - W)."""
    rate = 100 * BYTES_PER_MBIT
    memory = MemoryModel((Region(1_000_000, part * rate / PAGE_BYTES, "sweep"),))
    move = finished(memory, law="constant", stop_rule="rounds", max_rounds=8, max_mbit_per_s=100, skips_redirtied=False)
    durations = np.array([one.duration_ns for one in move.rounds[:-1]]) / S
    assert durations[1:] / durations[:-1] == pytest.approx(part, rel=0.02)
    series = memory.pages * PAGE_BYTES / rate * (1 - part**8) / (1 - part)
    assert durations.sum() == pytest.approx(series, rel=1e-3)


def test_a_writer_faster_than_the_stream_never_gets_done():
    memory = MemoryModel((Region(100_000, 2 * LINK / PAGE_BYTES, "sweep"),))
    move = finished(memory, law="constant", stop_rule="rounds", max_rounds=12, skips_redirtied=False)
    assert all(one.dirtied_pages == 100_000 for one in move.rounds[:-1])


def test_a_writer_that_sweeps_is_skipped_as_the_integral_says():
    """`dx/dt = r / (D (1 - t/T))`, so the round ends at `T (1 - exp(-D / (r T)))`."""
    pages, seconds, rate = 62_500, 2.1, 500 * BYTES_PER_MBIT
    move = Move(MemoryModel((Region(pages, pages / seconds, "sweep"),)), MoveSpec())
    move.begin()
    while move.stage != "round-end":
        move.run(FOR_EVER, rate if move.stage == "pre-copy" else 0)
    expected_s = seconds * (1 - np.exp(-pages * PAGE_BYTES / rate / seconds))
    assert move.rounds[0].duration_ns == pytest.approx(expected_s * S, rel=5e-3)
    assert move.rounds[0].sent_pages * PAGE_BYTES == pytest.approx(expected_s * rate, rel=5e-3)


def test_a_round_agrees_with_its_pages_one_by_one():
    """Real pages in random order, real writes at random: the expected values hold within a few standard deviations."""
    rng = np.random.default_rng(7)
    hot, cold, writes_per_s, rate_pages_per_s = 3000, 9000, 4000.0, 5000.0
    runs = []
    for _ in range(20):
        written = np.zeros(hot + cold, dtype=bool)
        time_s, sent, writes_done = 0.0, 0, 0
        for page in rng.permutation(hot + cold):
            due = rng.poisson(writes_per_s * time_s - writes_done) if writes_per_s * time_s > writes_done else 0
            written[rng.integers(0, hot, due)] = True
            writes_done += due
            if not written[page]:
                sent += 1
                time_s += 1 / rate_pages_per_s
        runs.append((sent, written.sum(), time_s))
    sent, dirtied, seconds = np.mean(runs, axis=0)
    move = Move(MemoryModel((Region(cold), Region(hot, writes_per_s))), MoveSpec())
    move.begin()
    while move.stage != "round-end":
        move.run(FOR_EVER, rate_pages_per_s * PAGE_BYTES)
    one = move.rounds[0]
    assert one.sent_pages == pytest.approx(sent, rel=0.01)
    assert one.dirtied_pages == pytest.approx(dirtied, rel=0.01)
    assert one.duration_ns == pytest.approx(seconds * S, rel=0.01)


# -- laws --------------------------------------------------------------------------------------------------------

regions = st.builds(
    Region,
    pages=st.integers(1, 200_000),
    writes_per_s=st.one_of(st.just(0.0), st.floats(0.1, 1e6)),
    pattern=st.sampled_from(["random", "sweep"]),
    stun_after=st.sampled_from([0, 40]),
)
memories = st.builds(
    MemoryModel, st.lists(regions, min_size=1, max_size=8).map(tuple), free_pages=st.integers(0, 100_000)
)
specs = st.builds(
    MoveSpec,
    kind=st.sampled_from(["live", "stop", "self"]),
    law=st.sampled_from(["paper", "shipped", "constant"]),
    stop_rule=st.sampled_from(["paper", "shipped", "rounds"]),
    min_mbit_per_s=st.floats(1, 100),
    max_mbit_per_s=st.floats(100, 1000),
    skips_redirtied=st.booleans(),
    gives_back_free=st.booleans(),
    stuns_from_round=st.sampled_from([0, 1, 5]),
)


@given(memories, specs, st.lists(st.tuples(st.integers(0, 10 * S), st.floats(0, 2e8), st.floats(0, 2)), max_size=60))
def test_laws_of_a_move(memory, spec, pieces):
    """Whatever link and domain do: rounds go through what was dirty, time adds up, pages are sent or still dirty."""
    move = Move(memory, spec)
    move.begin()
    elapsed = down = 0
    for dt_ns, bytes_per_s, activity in [*pieces, *[(FOR_EVER, LINK, 0.0)] * 200]:
        if move.is_over:
            break
        if move.stage == "round-end":
            move.follow_rules()
        still = move.stage in ("stop-and-copy", "commitment", "activation")
        used = move.run(dt_ns, min(bytes_per_s, move.wanted_bytes_per_s), activity)
        assert 0 <= used <= dt_ns
        elapsed += used
        down += used * still
    assert move.stage == "done"
    assert (move.elapsed_ns, move.downtime_ns) == (elapsed, down)
    rounds = move.rounds
    to_send = memory.pages - (memory.free_pages if spec.gives_back_free else 0)
    if move.migration["stop_part"][0] == 2:
        # The buffer of a guest that copies itself.
        assert spec.kind == "self"
        buffer = rounds.pop()
        assert 0 < buffer.sent_pages <= spec.own_pages
        assert buffer.skipped_pages == buffer.dirtied_pages == 0
    for one in rounds:
        assert one.sent_pages + one.skipped_pages == to_send
        assert one.sent_pages >= 0
        assert 0 <= one.skipped_pages <= one.dirtied_pages + len(memory.regions)
        assert one.dirtied_pages <= memory.pages
        to_send = one.dirtied_pages
    assert rounds[-1].dirtied_pages == rounds[-1].skipped_pages == 0
    assert move.sent_bytes == sum(one.sent_pages for one in move.rounds) * PAGE_BYTES


@given(memories, specs, st.integers(0, 300 * S), st.sampled_from(range(1, len(REASONS))))
def test_a_failure_before_the_acknowledgement_aborts_and_after_it_does_not(memory, spec, at_ns, reason):
    move = Move(memory, spec)
    move.begin()
    left = at_ns
    while left > 0 and not move.is_over:
        if move.stage == "round-end":
            move.follow_rules()
        left -= move.run(left, min(LINK, move.wanted_bytes_per_s))
    stage, elapsed = move.stage, move.elapsed_ns
    aborted = move.fail(reason)
    assert aborted == (stage not in ("activation", "done"))
    if aborted:
        assert (move.stage, move.reason, move.elapsed_ns) == ("aborted", REASONS[reason], elapsed)
        assert not move.working_set["is_logging"][0]
        assert move.run(S, 1.0) == 0
    else:
        move.finish(LINK)
        assert (move.stage, move.reason) == ("done", "")


@given(memories, specs, st.integers(2, 9))
def test_time_may_be_cut_into_pieces(memory, spec, parts):
    """A round seen in pieces is the round seen at once, but for the steps of the integration."""
    whole, cut = Move(memory, spec), Move(memory, spec)
    for move, most in ((whole, FOR_EVER), (cut, 40_000_000 * parts)):
        move.begin()
        while not move.is_over and not move.rounds:
            move.run(most, min(LINK, move.wanted_bytes_per_s))
    ours, theirs = whole.rounds[0], cut.rounds[0]
    assert theirs.sent_pages == pytest.approx(ours.sent_pages, rel=0.02, abs=3)
    assert theirs.dirtied_pages == pytest.approx(ours.dirtied_pages, rel=0.02, abs=3)


# -- errors ------------------------------------------------------------------------------------------------------


def test_impossible_orders_are_refused():
    with pytest.raises(ValueError, match="kind must be one of live, stop, self, found 'warp'"):
        MoveSpec(kind="warp")
    with pytest.raises(ValueError, match="expected 0 < min_mbit_per_s <= max_mbit_per_s, found 200"):
        MoveSpec(min_mbit_per_s=200, max_mbit_per_s=100)
    with pytest.raises(ValueError, match=r"expected 1\.\.8 regions, found 0"):
        MemoryModel(())
    with pytest.raises(ValueError, match="pattern must be one of random, sweep"):
        Region(1, pattern="zigzag")
    move = Move(MemoryModel((Region(1),)), MoveSpec())
    with pytest.raises(ValueError, match="stop: expected stage 'round-end', but the move is in 'none'"):
        move.stop()
    move.begin()
    with pytest.raises(ValueError, match="in stage 'pre-migration' already"):
        move.begin()
