"""Rings: the order of the indices also where they wrap, and a notification exactly when one was asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.testing.mechanisms import RingAlone

WRAP = 2**32
SIZE = 8
#: Beginnings from which a few steps cross the end of the numbers.
starts = st.sampled_from([0, 1, WRAP - 1, WRAP - SIZE, WRAP - 3]) | st.integers(0, WRAP - 1)
steps = st.lists(
    st.tuples(st.sampled_from(["request", "take", "answer", "collect", "want", "want back"]), st.integers(1, SIZE)),
    max_size=60,
)


def assert_order(ring):
    """`rsp_cons <= rsp_prod <= req_cons <= req_prod <= rsp_cons + size`, counted from the first."""
    first = ring.indices()[0]
    distances = [(index - first) % WRAP for index in ring.indices()]
    assert distances == sorted(distances)
    assert distances[-1] <= SIZE
    assert ring.free() == SIZE - distances[3]
    assert ring.responses() == distances[1]
    assert ring.in_service() == distances[2] - distances[1]
    assert ring.requests() == distances[3] - distances[2]


class TestIndices:
    @given(starts, steps)
    def test_the_order_holds_and_who_asked_is_notified_once(self, start, steps):
        ring = RingAlone(SIZE, start)
        # The model counts without end; an event is the count at which its side wants to be told.
        req, rsp = [0, 0], [0, 0]  # produced, consumed
        req_event, rsp_event = 1, 1
        notified = 0
        for step, count in steps:
            if step == "request":
                count = min(count, ring.free())
                expected = req[0] < req_event <= req[0] + count
                assert ring.push_requests(count) == expected
                req[0] += count
                notified += expected
            elif step == "take":
                for _ in range(min(count, ring.requests())):
                    assert ring.take_request() == (start + req[1]) % WRAP
                    req[1] += 1
            elif step == "answer":
                count = min(count, ring.in_service())
                expected = rsp[0] < rsp_event <= rsp[0] + count
                assert ring.push_responses(count) == expected
                rsp[0] += count
                notified += expected
            elif step == "collect":
                for _ in range(min(count, ring.responses())):
                    assert ring.take_response() == (start + rsp[1]) % WRAP
                    rsp[1] += 1
            elif step == "want":
                ring.want_requests()
                req_event = req[1] + 1
            else:
                ring.want_responses(count)
                rsp_event = rsp[1] + count
            assert_order(ring)
            assert ring.notifications == notified
        assert ring.indices() == tuple((start + n) % WRAP for n in (rsp[1], rsp[0], req[1], req[0]))


class TestNotification:
    @pytest.mark.parametrize("start", [0, WRAP - 1, WRAP - 2])
    def test_the_first_entry_notifies_and_the_next_ones_do_not(self, start):
        ring = RingAlone(SIZE, start)
        assert [ring.push_requests(1) for _ in range(3)] == [True, False, False]
        assert ring.notifications == 1

    def test_several_entries_that_pass_the_index_notify(self):
        ring = RingAlone(SIZE, WRAP - 2)
        ring.push_requests(2)
        for _ in range(2):
            ring.take_request()
        ring.want_responses(2)
        assert not ring.push_responses(1)
        assert ring.push_responses(1)

    def test_who_asks_for_what_is_there_already_is_not_notified(self):
        # So each side looks once more after it has asked.
        ring = RingAlone(SIZE, 0)
        ring.push_requests(3)
        ring.take_request()
        ring.want_requests()
        assert not ring.push_requests(1)

    def test_nothing_produced_notifies_nobody(self):
        assert not RingAlone(SIZE, 7).push_requests(0)
