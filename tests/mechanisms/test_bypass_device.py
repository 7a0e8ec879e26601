"""A bypass device that moves: no operation is lost and none is done twice, whatever happens when."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from xengym.mechanisms.bypass_device import BypassCosts, BypassDevice, Done

ROUND = BypassCosts(operation_bytes=1000, bytes_per_s=1_000_000_000, delay_ns=5_000, window=4)


def complete(device):
    """Give it the time that it needs."""
    device.run(50_000_000)


class TestByHand:
    def test_operations_go_one_after_the_other_and_come_back_after_a_round_trip(self):
        device = BypassDevice(1, ROUND)
        device.post(0, 2)
        device.run(1_000 + 5_000)
        assert device.done == [Done(6_000, 0, 0)]
        device.run(1_000)
        assert device.done[1] == Done(7_000, 0, 1)
        assert device.queue_pairs[0].completed == 0
        device.run(4_000)
        assert device.queue_pairs[0].completed == 1

    def test_no_more_than_the_window_is_on_the_way(self):
        device = BypassDevice(1, ROUND)
        device.post(0, 100)
        device.run(8_000)
        assert device.in_flight == 4
        assert device.queue_pairs[0].sent == 4

    def test_a_drain_takes_what_it_says_and_sends_nothing_new(self):
        device = BypassDevice(2, ROUND)
        device.post(0, 100)
        device.post(1, 100)
        device.run(3_500)
        sent = [pair.sent for pair in device.queue_pairs]
        needed = device.drain_ns
        # The last of four, sent at 3000, is there at 9000, and its acknowledgement back at 14000.
        assert needed == 14_000 - 3_500
        device.drain()
        device.run(needed - 1)
        assert not device.is_drained
        device.run(1)
        assert device.is_drained
        assert [pair.sent for pair in device.queue_pairs] == sent
        assert device.in_flight == 0

    def test_after_a_drain_nothing_is_sent_again(self):
        device = BypassDevice(2, ROUND)
        device.post(0, 50)
        device.run(6_500)
        device.drain()
        device.run(device.drain_ns)
        device.move(lid=7)
        device.resume()
        complete(device)
        assert device.resent == device.ignored == 0
        assert [done.operation for done in device.done] == list(range(50))

    def test_the_guests_numbers_stay_and_what_they_stand_for_changes(self):
        device = BypassDevice(3, ROUND)
        before = dict(device.handles)
        device.drain()
        device.move(lid=9)
        assert device.handles.keys() == before.keys()
        assert all(device.handles[n] != before[n] and device.handles[n].lid == 9 for n in before)
        assert len(set(device.handles.values())) == 3

    def test_a_device_that_sends_does_not_move(self):
        with pytest.raises(ValueError, match="queue pair 0 is not suspended"):
            BypassDevice(1).move(lid=2)

    def test_a_peer_that_was_not_told_hears_nothing(self):
        """The reason for the handshake: the old numbers mean nothing at the new place."""
        device = BypassDevice(1, ROUND)
        device.drain()
        told = device.queue_pairs[0].peer_sees
        device.move(lid=2)
        device.queue_pairs[0].peer_sees = told
        device.resume()
        device.post(0)
        complete(device)
        assert device.done == []

    def test_remapping_costs_by_the_handle_and_the_queue_pair(self):
        costs = BypassCosts(delay_ns=1_000, translate_ns=10, handshake_ns=100)
        assert BypassDevice(4, costs).remap_ns == 4 * 3 * 10 + 4 * (100 + 2_000)


ACTIONS = st.one_of(
    st.tuples(st.just("post"), st.integers(0, 2), st.integers(1, 20)),
    st.tuples(st.just("run"), st.integers(0, 30_000)),
    st.tuples(st.sampled_from(["drain", "move", "resume", "cut", "mend"])),
)


@given(st.lists(ACTIONS, max_size=40))
def test_every_operation_is_done_once_and_in_order(actions):
    device = BypassDevice(3, ROUND)
    lid = 1
    for name, *arguments in actions:
        if name == "move":
            # A move may come before the drain is over, but not without one.
            device.drain()
            lid += 1
            device.move(lid)
        elif name == "drain":
            device.drain()
        else:
            getattr(device, name)(*arguments)
        for pair in device.queue_pairs:
            assert 0 <= pair.completed <= pair.expected <= pair.posted
            assert pair.completed <= pair.sent <= pair.posted
    device.mend()
    device.resume()
    complete(device)
    for pair in device.queue_pairs:
        assert [done.operation for done in device.done if done.queue_pair == pair.number] == list(range(pair.posted))
        assert pair.completed == pair.posted
        assert pair.in_flight == 0
