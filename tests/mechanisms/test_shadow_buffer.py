"""Self-migration's two-stage stop: page by page what the destination gets, and how many pages the buffer holds."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.memory_model import MemoryModel, Region

SECOND = 1_000_000_000
PAGE = 4096


def self_move(own_pages, own_writes_per_s, *, dirty=1000, mbit=32.768, **kwargs):
    """A guest whose pages are all sent in the stop, at 1000 pages a second."""
    spec = MoveSpec(
        kind="self", law="constant", stop_rule="rounds", max_rounds=1, min_mbit_per_s=mbit, max_mbit_per_s=mbit,
        request_ms=0, suspend_ms=kwargs.get("suspend_ms", 0), resume_ms=0, commit_ms=0, own_pages=own_pages,
        own_writes_per_s=own_writes_per_s,
    )  # fmt: skip
    move = Move(MemoryModel((Region(dirty, 1e9),)), spec)
    move.begin()
    move.finish(1e12)
    return move


class TwoStageStop:
    """Clark et al., section 4.3, page by page: what the destination has when both stages are over."""

    def __init__(self, memory, own):
        self.memory = dict(memory)
        self.own = own
        self.dirty = dict.fromkeys(memory, True)
        self.destination = {}
        self.shadow = {}

    def write_own(self, page, value):
        """The copying writes: while it runs, a page not yet dirty again goes to the buffer as it will be at the end."""
        assert page in self.own
        self.memory[page] = value
        self.dirty[page] = True

    def send(self, page):
        self.destination[page] = self.memory[page]
        self.dirty[page] = False

    def end_of_first_stage(self):
        self.shadow = {page: self.memory[page] for page, is_dirty in self.dirty.items() if is_dirty}
        self.consistent = dict(self.memory)

    def second_stage(self, writes):
        for page, value in self.shadow.items():
            if writes:
                # What the sending of the buffer writes does not count any more.
                self.memory[writes.pop() % len(self.memory)] = -1
            self.destination[page] = value


@given(st.lists(st.integers(0, 4), max_size=30), st.lists(st.integers(0, 100), max_size=10), st.integers(0, 2**32))
def test_the_destination_gets_the_memory_of_the_end_of_the_first_stage(own_writes, later_writes, seed):
    stop = TwoStageStop(dict.fromkeys(range(20), 0), set(range(5)))
    order = np.random.default_rng(seed).permutation(20).tolist()
    for i, page in enumerate(order):
        for value, own in enumerate(own_writes[i::20]):
            stop.write_own(own, 100 * i + value + 1)
        stop.send(page)
    for own in own_writes[::3]:
        stop.write_own(own, 7777)
    stop.end_of_first_stage()
    stop.second_stage(later_writes)
    assert stop.destination == stop.consistent
    assert set(stop.shadow) <= stop.own


def test_the_second_stage_sends_what_the_copying_dirtied_in_the_first():
    """1000 pages, all dirty again after the only round, in 1 s; then a buffer of 100 pages, all written: 0.1 s."""
    move = self_move(100, 1e6)
    assert [r.sent_pages for r in move.rounds] == [0, 1000, 100]
    assert move.downtime_ns == pytest.approx(1.1 * SECOND, rel=1e-6)
    assert move.stage == "done"


def test_few_writes_make_a_small_buffer():
    """1000 pages, written at random 500 times in 1 s: 1000 (1 - exp(-0.5)) differ, as single draws agree."""
    move = self_move(1000, 500)
    buffered = move.rounds[-1].sent_pages
    assert buffered == round(1000 * (1 - np.exp(-0.5)))
    drawn = [len(set(np.random.default_rng(i).integers(0, 1000, 500).tolist())) for i in range(50)]
    assert buffered == pytest.approx(np.mean(drawn), abs=4)


def test_a_copying_that_writes_nothing_has_one_stage():
    move = self_move(0, 1e6)
    assert len(move.rounds) == 2
    assert move.downtime_ns == pytest.approx(SECOND, rel=1e-6)


def test_the_time_to_suspend_is_no_copying():
    move = self_move(1000, 500, suspend_ms=5000)
    assert move.rounds[-1].sent_pages == round(1000 * (1 - np.exp(-0.5)))


def test_it_is_down_for_less_than_a_second_as_published():
    """Hansen and Jul, 2004: "below one second". A working set of 4 MB, 100 Mbit/s, defaults: assumed."""
    spec = MoveSpec(
        kind="self", min_mbit_per_s=100, max_mbit_per_s=100, law="constant", stop_rule="rounds", max_rounds=5
    )
    move = Move(MemoryModel((Region(1000, 1000.0), Region(15_000, 1.0))), spec)
    move.begin()
    move.finish(100 * 125_000)
    assert move.stage == "done"
    assert move.downtime_ns < SECOND


@pytest.mark.parametrize("part", [1, 2])
def test_a_fault_in_either_stage_leaves_the_guest_at_the_source(part):
    spec = MoveSpec(
        kind="self", law="constant", stop_rule="rounds", max_rounds=1, min_mbit_per_s=32.768, max_mbit_per_s=32.768,
        request_ms=0, suspend_ms=0, own_pages=500, own_writes_per_s=1e6,
    )  # fmt: skip
    move = Move(MemoryModel((Region(1000, 1e9),)), spec)
    move.begin()
    while move.migration["stop_part"][0] != part or move.stage != "stop-and-copy":
        if move.stage == "round-end":
            move.follow_rules()
        move.run(SECOND // 10, 1000 * PAGE)
    assert move.fail()
    assert move.stage == "aborted"
