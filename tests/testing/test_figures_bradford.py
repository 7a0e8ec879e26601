"""Bradford's experiments: what the figures hang on, and that they can fail."""

import pytest

from xengym.testing.figures import bradford


def test_the_disruption_across_the_wide_area_is_the_working_set_by_the_lines_rate():
    """42.5 MB in 68 s at 5 Mbit/s is the paper's own consistency; 11 000 pages are 45 MB."""
    wan = bradford.disruption("wan")
    assert wan.down_s == pytest.approx(11_000 * 4096 / 625_000, rel=0.03)


def test_freezing_takes_image_and_memory():
    frozen = bradford.disruption("wan", frozen=True)
    assert frozen.down_s == pytest.approx((2**30 + 2**29) / 625_000, rel=1e-3)


def test_the_local_figure_hangs_on_the_assumed_rate():
    downs = [bradford.disruption("lan", mbit_per_s=rate).down_s for rate in (50.0, 100.0, 200.0, 1000.0)]
    assert downs == sorted(downs, reverse=True)
    assert downs[0] > 3 > 1 > downs[3]


def test_a_heavy_writer_needs_its_throttle():
    free = bradford.heavy_writer(is_throttled=False, hours=1)
    assert not free.is_done
    assert free.queued_bytes[1] > free.queued_bytes[0] > 0
    held_up = bradford.heavy_writer(is_throttled=True, hours=1)
    assert held_up.is_done
    assert held_up.disk_s == pytest.approx(held_up.expected_s, rel=0.01)


def test_without_a_tunnel_every_old_connection_is_lost():
    assert bradford.redirected(tunnel=False).lost > 0
    assert bradford.redirected().lost == 0
