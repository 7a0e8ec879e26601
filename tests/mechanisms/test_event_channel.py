"""Event channels: pending and mask bits against a set of numbers, and the order of a scan."""

from hypothesis import given
from hypothesis import strategies as st

from xengym.testing.mechanisms import PortsAlone

ports = st.sampled_from([0, 1, 62, 63, 64, 65, 127, 128, 191, 192, 254, 255]) | st.integers(0, 255)
steps = st.lists(st.tuples(st.sampled_from(["raise", "mask", "unmask", "hold", "allow", "take"]), ports), max_size=80)


@given(steps)
def test_bits_are_those_of_a_set(steps):
    bits = PortsAlone()
    pending, masked, held = set(), set(), False
    sent = 0
    for step, port in steps:
        if step == "raise":
            expected = port not in pending and port not in masked and not held
            assert bits.raise_port(port) == expected
            pending.add(port)
            sent += 1
        elif step in ("mask", "unmask"):
            bits.mask(port, step == "mask")
            (masked.add if step == "mask" else masked.discard)(port)
        elif step in ("hold", "allow"):
            held = step == "hold"
            bits.mask_upcall(held)
        else:
            expected = min((p for p in pending - masked if p >= port), default=-1)
            assert bits.take(port) == expected
            pending.discard(expected)
        assert bits.waiting() == (not held and bool(pending - masked))
        assert bits.sent == sent


def test_a_scan_takes_each_port_once_from_its_beginning_on():
    bits = PortsAlone()
    for port in (200, 3, 64, 63):
        bits.raise_port(port)
    assert [bits.take(start) for start in (60, 64, 65, 201)] == [63, 64, 200, -1]
    assert bits.take(0) == 3
    assert not bits.waiting()


def test_events_that_nobody_has_looked_at_collapse_into_one():
    bits = PortsAlone()
    assert [bits.raise_port(5) for _ in range(3)] == [True, False, False]
    assert (bits.take(0), bits.take(0), bits.sent) == (5, -1, 3)


def test_a_scan_from_behind_the_last_port_finds_none():
    bits = PortsAlone()
    bits.raise_port(255)
    assert (bits.take(256), bits.take(255)) == (-1, 255)
