"""Bulk copy, deltas and throttle: closed forms, single cases by hand, and a model that keeps every block."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from tests.hypervisor.wide_specs import SECOND, wide_move
from tests.mechanisms.block_model import BlockMove
from xengym.hypervisor.wide_spec import ConditionSpec, Extent

BLOCK = 4096
LINE = 1_000_000
IMAGE = 16 * 2**20


def disk_time_s(move, limit_s=100_000):
    """How long the disk takes; None if it is not done in that time."""
    move.begin()
    while move.stage in ("pre-migration", "reservation", "disk") and move.now_ns < limit_s * SECOND:
        move.run(SECOND // 10)
    return None if move.stage == "disk" else float(move.state["disk_ns"][0]) / SECOND


class TestClosedForms:
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
    def test_below_the_lines_rate_the_copy_lasts_the_image_by_what_deltas_leave(self, share):
        move = wide_move(writes_per_s=share * LINE / BLOCK)
        assert disk_time_s(move) == pytest.approx(IMAGE / (LINE - share * LINE), rel=1e-6)

    @pytest.mark.parametrize("share", [1.0, 1.5])
    def test_at_the_lines_rate_it_never_ends(self, share):
        move = wide_move(writes_per_s=share * LINE / BLOCK)
        assert disk_time_s(move, 2_000) is None
        assert move.queued_bytes == pytest.approx((share - 1) * LINE * 2_000, rel=1e-3, abs=LINE)
        assert move.disk["copied_bytes"][0] == pytest.approx(0.0, abs=LINE)

    @pytest.mark.parametrize("delay_ms", [4.2, 5.0, 20.0])
    def test_a_delay_longer_than_a_blocks_time_on_the_line_makes_it_end(self, delay_ms):
        """A writer that is held up by d makes at most one write in d: blocksize / d is below the line's rate."""
        assert BLOCK / (delay_ms / 1000) < LINE
        wanted = 10 * LINE / BLOCK
        move = wide_move(writes_per_s=wanted, delay_ms=delay_ms)
        move = wide_move(writes_per_s=wanted)
        move.throttle(0, delay_ms)
        held_up = wanted / (1 + wanted * delay_ms / 1000)
        assert held_up < 1000 / delay_ms
        assert disk_time_s(move) == pytest.approx(IMAGE / (LINE - BLOCK * held_up), rel=1e-6)

    def test_a_delay_that_lets_as_much_through_as_the_line_carries_does_not(self):
        move = wide_move(writes_per_s=1e9)
        move.throttle(0, 4.0)  # 1.024 MB/s
        assert disk_time_s(move, 2_000) is None

    def test_a_header_is_part_of_a_delta(self):
        move = wide_move(writes_per_s=0.5 * LINE / BLOCK, header_bytes=1024)
        assert disk_time_s(move) == pytest.approx(IMAGE / (LINE - 0.5 * LINE * 1.25), rel=1e-6)

    def test_a_limit_of_the_bulk_copy_leaves_the_rest_of_the_line_free(self):
        move = wide_move(bulk_mbit_per_s=4.0)
        assert disk_time_s(move) == pytest.approx(IMAGE / 500_000, rel=1e-6)

    def test_recording_costs_the_domain_a_part_of_its_speed(self):
        move = wide_move(writes_per_s=0.5 * LINE / BLOCK, record_overhead_frac=0.2)
        assert disk_time_s(move) == pytest.approx(IMAGE / (LINE - 0.4 * LINE), rel=1e-6)

    def test_the_cost_does_not_depend_on_the_size(self):
        """16 TiB in as many pieces as its time has: the answer comes at once."""
        move = wide_move(mib=16 * 2**20, mbit=8e6, writes_per_s=1000)
        assert disk_time_s(move) == pytest.approx(16 * 2**40 / (1e12 - 4096e3), rel=1e-6)


class TestByHand:
    def test_writes_are_held_up_only_after_the_threshold(self):
        move = wide_move(writes_per_s=1000.0)
        move.throttle(500, 99.0)  # then 1000 / (1 + 1000 * 0.099) = 10 a second
        move.begin()
        move.run(SECOND // 2)
        assert move.disk["num_writes"][0] == pytest.approx(500)
        move.run(10 * SECOND)
        assert move.disk["num_writes"][0] == pytest.approx(600)
        assert move.disk["held_up_writes"][0] == pytest.approx(9_900)
        assert move.disk["wanted_writes"][0] == pytest.approx(10_500)

    def test_a_delta_waits_until_the_bulk_copy_has_passed_its_block(self):
        """All writes go to the second half: nothing can be applied until half the image is there."""
        move = wide_move(extents=(Extent(8), Extent(8, 50.0)))
        move.begin()
        half_s = 8 * 2**20 / (LINE - 50 * BLOCK)
        move.run(int(0.99 * half_s * SECOND))
        assert move.disk["applied_bytes"][0] == pytest.approx(0, abs=1)
        assert move.waiting_bytes == pytest.approx(float(move.disk["sent_bytes"][0]))
        move.run(int(0.51 * half_s * SECOND))
        assert move.waiting_bytes == pytest.approx(float(move.disk["sent_bytes"][0]) / 2, rel=0.02)
        assert move.disk["applied_bytes"][0] == pytest.approx(float(move.disk["sent_bytes"][0]) / 2, rel=0.02)

    def test_the_destination_applies_at_its_disks_rate_and_the_domain_waits_for_it(self):
        slow = wide_move(extents=(Extent(8), Extent(8, 100.0)), apply_mib_per_s=0.1)
        quick = wide_move(extents=(Extent(8), Extent(8, 100.0)))
        for move in (slow, quick):
            move.begin()
            assert move.finish(10_000 * SECOND)
            assert move.disk["applied_bytes"][0] == pytest.approx(float(move.disk["num_writes"][0]) * BLOCK, abs=1)
        # Of 100 deltas a second, 0.1 MiB/s takes 25.6 from when half the image is there; the rest is downtime.
        left_s = (slow.downtime_ns - quick.downtime_ns) / SECOND
        memory_s = (slow.elapsed_ns - slow.downtime_ns - int(slow.state["disk_ns"][0])) / SECOND
        half_s = 8 * 2**20 / (LINE - 100 * BLOCK)
        written = 100 * (2 * half_s + memory_s) * BLOCK
        assert left_s == pytest.approx(
            written / (0.1 * 2**20) - half_s - memory_s - quick.downtime_ns / SECOND, rel=0.01
        )

    def test_a_phase_of_heavy_writing_makes_a_queue_that_drains(self):
        move = wide_move(
            writes_per_s=LINE / BLOCK / 2,
            conditions=(ConditionSpec(), ConditionSpec(5.0, 4.0), ConditionSpec(10.0, 1.0)),
        )
        move.begin()
        move.run(10 * SECOND)
        assert move.queued_bytes == pytest.approx(5 * LINE, rel=1e-6)
        copied = float(move.disk["copied_bytes"][0])
        move.run(9 * SECOND)
        assert move.disk["copied_bytes"][0] == copied
        move.run(2 * SECOND)
        assert move.queued_bytes < 1
        assert move.disk["copied_bytes"][0] == pytest.approx(copied + LINE / 2, rel=1e-3)


class TestAgainstSingleBlocks:
    @settings(max_examples=25)
    @given(
        st.lists(st.tuples(st.integers(5, 60), st.sampled_from([0.0, 2.0, 6.0, 11.0])), min_size=1, max_size=4),
        st.sampled_from([10.0, 17.0]),
        st.integers(0, 2**31),
    )
    def test_time_bytes_and_waiting_deltas_agree(self, extents, blocks_per_s, seed):
        """Extents of some blocks and writes a second; a line of so many blocks a second."""
        total = sum(rate for _, rate in extents)
        if total >= 0.8 * blocks_per_s:
            extents = [(blocks, rate * 0.5 * blocks_per_s / total) for blocks, rate in extents]
            total = 0.5 * blocks_per_s
        scale = 40
        extents = [(blocks * scale, rate * scale) for blocks, rate in extents]
        exact = BlockMove(sum(blocks for blocks, _ in extents), BLOCK, 0, blocks_per_s * scale * BLOCK)
        move = wide_move(
            extents=tuple(Extent(blocks * BLOCK / 2**20, rate) for blocks, rate in extents),
            mbit=blocks_per_s * scale * BLOCK / 125_000,
        )
        move.begin()
        starts = np.cumsum([0, *(blocks for blocks, _ in extents)])
        rng = np.random.default_rng(seed)
        expected_s = (
            exact.num_blocks / ((blocks_per_s - total) * scale) if total else exact.num_blocks / (blocks_per_s * scale)
        )
        step_s = expected_s / 20
        for i in range(19):
            times = sorted(
                (float(t), int(starts[e] + rng.integers(blocks)))
                for e, (blocks, rate) in enumerate(extents)
                if rate
                for t in np.arange(rng.uniform(), rate * step_s) / rate + exact.now_s
            )
            end_s = exact.now_s + step_s
            for at_s, block in times:
                exact.run(at_s - exact.now_s)
                exact.write(block)
            exact.run(end_s - exact.now_s)
            move.run(round(end_s * SECOND) - move.now_ns)
            writes = max(exact.writes, 1)
            # Writes come evenly, to blocks at random: only where they go is chance.
            slack = 4 * (i + 1) + 5
            assert move.disk["num_writes"][0] == pytest.approx(exact.writes, abs=slack)
            assert move.disk["copied_bytes"][0] / BLOCK == pytest.approx(exact.next_block, abs=slack)
            slack *= 1 + writes / min(blocks for blocks, rate in extents if rate) if total else 1
            assert move.waiting_bytes / BLOCK == pytest.approx(exact.num_waiting, abs=slack + 5 * writes**0.5)
            assert move.line["carried_bytes"][0] == pytest.approx(exact.carried_bytes, rel=0.02, abs=3 * BLOCK)


FAULTS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 19)),
    st.tuples(st.just("run"), st.floats(0.0, 3.0)),
    st.tuples(st.sampled_from(["cut", "mend"])),
)


@given(st.lists(FAULTS, max_size=80))
def test_single_blocks_keep_the_order_of_their_writes_and_end_alike(events):
    exact = BlockMove(20, BLOCK, 16, 5 * BLOCK)
    for name, *arguments in events:
        getattr(exact, name)(*arguments)
    exact.mend()
    exact.run(1000.0)
    assert exact.is_done
    assert exact.num_waiting == 0
    assert [exact.destination[block] for block in range(20)] == exact.source
    for block in range(20):
        versions = [version for which, version in exact.applied if which == block]
        assert versions == sorted(set(versions))
    assert len(exact.applied) == exact.writes
