"""Verdicts of the published results about moves between sites, as in `verdicts`; a row that is missed says why."""

from __future__ import annotations

from xengym.testing.figures import bradford
from xengym.testing.reproduce import Outcome


def disk_and_all() -> Outcome:
    """R33."""
    lan, wan, quick = (
        bradford.disruption("lan"),
        bradford.disruption("wan"),
        bradford.disruption("lan", mbit_per_s=1000.0),
    )
    frozen = bradford.disruption("wan", frozen=True)
    ratio = frozen.down_s / wan.down_s
    return Outcome(
        f"LAN {lan.down_s:.1f} s ({quick.down_s:.1f} if it has 1000 and not 100 Mbit/s), WAN {wan.down_s:.0f} s of "
        f"{wan.total_s:.0f} s; freeze and copy {frozen.down_s:.0f} s, {ratio:.0f} times as long",
        1 <= lan.down_s <= 5 and 50 <= wan.down_s <= 90 and ratio >= 20,
    )


def heavy_writer() -> Outcome:
    """R34."""
    free, held_up = (bradford.heavy_writer(is_throttled=is_throttled) for is_throttled in (False, True))
    return Outcome(
        f"throttled: done after {held_up.total_s:.0f} s, its disk after {held_up.disk_s:.0f} s "
        f"({held_up.expected_s:.0f} by closed form); not throttled: not done in {free.total_s / 3600:.0f} h, with "
        f"{free.queued_bytes[0] / 1e9:.0f} GB of deltas queued at half that time and "
        f"{free.queued_bytes[1] / 1e9:.0f} at its end",
        held_up.is_done
        and abs(held_up.disk_s / held_up.expected_s - 1) <= 0.01
        and not free.is_done
        and free.queued_bytes[1] > 1.9 * free.queued_bytes[0] > 0,
    )


def redirection() -> Outcome:
    """R35."""
    at_once, kept, without = (
        bradford.redirected(),
        bradford.redirected(ttl_s=60.0),
        bradford.redirected(tunnel=False),
    )
    is_met = without.lost == without.open_at_pause > 0 and without.tunnelled == 0
    for run in (at_once, kept):
        is_met &= run.tunnelled == run.open_at_pause > 0 and run.lost == run.refused == 0
        is_met &= run.stale_late == 0 and run.opened_new > 0 and run.tunnel_after_last_ns == 0
    return Outcome(
        f"{at_once.open_at_pause} open at the pause: {at_once.tunnelled} go on through the tunnel, {at_once.lost} lost "
        f"({without.lost} of {without.open_at_pause} without it); then {at_once.stale_late} open to the old address "
        f"and {at_once.opened_new} to the new one; the tunnel ends with the last old one. If resolvers keep names for "
        f"60 s: {kept.lost} lost of {kept.open_at_pause}, {kept.stale} through the tunnel by an old answer, "
        f"{kept.stale_late} after that time",
        is_met,
    )
