"""A migration's stream: paced by its rate, by Dom0's processor, and by the cable that it shares."""

import pytest

from xengym.guests.host_move import RECEIVE_PIECE_NS, SEND_PIECE_NS
from xengym.testing.figures.migration_host import stream_host

SECOND = 1_000_000_000


def run_out(host, kind, s, mbit_per_s, seconds=2):
    kind.set_stream_rate(s, int(mbit_per_s * 125_000))
    host.run_until(host.now_ns + seconds * SECOND)
    return host.sections["stream"][s]["done_bytes"] * 8 / 1e6 / seconds


def run_in(host, kind, s, mbit_per_s, seconds=2):
    for _ in range(100 * seconds):
        kind.feed_stream(s, int(mbit_per_s * 1250))
        host.run_until(host.now_ns + SECOND // 100)
    return host.sections["stream"][s]["done_bytes"] * 8 / 1e6 / seconds


def cpu_pct(host, seconds=2):
    return host.runstate_ns(0)["running"] / (seconds * SECOND) * 100


@pytest.mark.parametrize("mbit_per_s", [10, 100, 500])
def test_a_stream_keeps_the_rate_it_is_asked_for(mbit_per_s):
    host, kind = stream_host()
    assert run_out(host, kind, kind.open_stream(0, True, SEND_PIECE_NS), mbit_per_s) == pytest.approx(
        mbit_per_s, rel=0.04
    )
    host, kind = stream_host()
    s = kind.open_stream(0, False, RECEIVE_PIECE_NS)
    assert run_in(host, kind, s, mbit_per_s) == pytest.approx(mbit_per_s, rel=0.03)


def test_a_sender_uses_12_percent_of_a_cpu_at_100_mbit_per_s():
    host, kind = stream_host()
    run_out(host, kind, kind.open_stream(0, True, SEND_PIECE_NS), 100)
    assert cpu_pct(host) == pytest.approx(12, abs=0.2)
    host, kind = stream_host()
    run_in(host, kind, kind.open_stream(0, False, RECEIVE_PIECE_NS), 100)
    assert cpu_pct(host) == pytest.approx(12, abs=0.3)


def test_dom0s_processor_bounds_both_ends():
    host, kind = stream_host()
    rate = run_out(host, kind, kind.open_stream(0, True, 4 * SEND_PIECE_NS), 800)
    assert cpu_pct(host) > 99
    assert rate == pytest.approx(100 * 100 / 43.4, rel=0.03)
    host, kind = stream_host()
    rate = run_in(host, kind, kind.open_stream(0, False, 4 * RECEIVE_PIECE_NS), 800)
    assert cpu_pct(host) > 99
    assert rate < 400


def test_the_cable_is_shared_with_a_guest():
    host, kind = stream_host(guest_transfer="send")
    host.run_until(SECOND)
    alone = host.sections["programs"]["bulk_bytes_acked"][1] * 8 / 1e6
    s = kind.open_stream(0, True, 0)
    before = int(host.sections["programs"]["bulk_bytes_acked"][1])
    assert run_out(host, kind, s, 200, seconds=1) == pytest.approx(200, rel=0.05)
    beside = (int(host.sections["programs"]["bulk_bytes_acked"][1]) - before) * 8 / 1e6
    assert alone == pytest.approx(890, rel=0.03)
    assert alone - beside == pytest.approx(200, rel=0.15)


def test_a_stream_that_ends_leaves_room_for_the_next():
    host, kind = stream_host()
    first = [kind.open_stream(0, True, SEND_PIECE_NS) for _ in range(2)]
    with pytest.raises(ValueError, match="no room for another stream; the host holds its maximum of 2"):
        kind.open_stream(0, True, SEND_PIECE_NS)
    for s in first:
        kind.set_stream_rate(s, 12_500_000)
    host.run_until(SECOND)
    kind.close_stream(first[0])
    again = kind.open_stream(0, True, SEND_PIECE_NS)
    assert again == first[0]
    assert host.sections["stream"][again]["done_bytes"] == 0
    assert run_out(host, kind, again, 50) == pytest.approx(50, rel=0.05)


def test_a_snapshot_takes_a_stream_along():
    host, kind = stream_host()
    s = kind.open_stream(0, True, SEND_PIECE_NS)
    kind.set_stream_rate(s, 12_500_000)
    host.run_until(SECOND)
    snapshot = host.snapshot()
    host.run_until(2 * SECOND)
    digest = host.digest()
    host.restore(snapshot)
    host.run_until(2 * SECOND)
    assert host.digest() == digest
