"""Verdicts of the published results about live migration, as in `verdicts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import MoveSpec
from xengym.testing.figures import clark, clark_host
from xengym.testing.reproduce import Outcome
from xengym.units import S_NS

#: Expected downtime in s after 1, 2 and 3 to 4 rounds (figures 3 to 6), by load and by Mbit/s.
EXPECTED_DOWNTIME_S = {
    "kernel-build": {128: (2.0, 1.6, 1.5), 256: (1.1, 0.7, 0.65), 512: (0.45, 0.25, 0.2)},
    "oltp": {128: (2.1, 0.9, 0.6), 256: (0.9, 0.37, 0.25), 512: (0.45, 0.13, 0.1)},
    "quake3": {128: (0.32, 0.085, 0.07), 256: (0.155, 0.035, 0.035), 512: (0.08, 0.02, 0.02)},
    "specweb99": {128: (5.7, 5.0, 4.8), 256: (2.8, 2.0, 1.8), 512: (1.4, 0.8, 0.75)},
}


def _is_close(ours: float, published: float, tolerance: float) -> bool:
    return abs(ours / published - 1) <= tolerance


def _by_law(name: str, figures: Sequence[Callable[[Move], float]], say: str, is_met: Callable[..., bool]) -> Outcome:
    """One of the paper's moves under both laws for the rate; both have to lie within the tolerance."""
    parts, verdict = [], True
    for law in ("paper", "shipped"):
        values = clark.medians(name, *figures, spec=replace(clark.MOVED[name].spec, law=law))
        parts.append(f"{law}'s law: {say.format(*values)}")
        verdict &= is_met(*values)
    return Outcome("; ".join(parts), verdict)


def web_server() -> Outcome:
    """R26: on two hosts at event fidelity."""
    parts, verdict = [], True
    for law in ("paper", "shipped"):
        run = clark_host.web_server_move(spec=MoveSpec(law=law, resume_ms=20))
        first_s, later_s, down_ms = (
            figure(run.move) for figure in (clark.first_round_s, clark.later_rounds_s, clark.down_ms)
        )
        second_ns = run.began_ns + run.move.rounds[0].duration_ns
        stop_ns, end_ns = run.at_ns("stop-and-copy"), run.at_ns("done")
        throughput = (
            run.mbit_per_s(run.began_ns - S_NS, run.began_ns),
            run.mbit_per_s(run.began_ns, second_ns),
            run.mbit_per_s(second_ns, stop_ns),
            run.mbit_per_s(end_ns + S_NS, end_ns + 3 * S_NS),
        )
        parts.append(
            f"{law}'s law: {first_s:.0f} + {later_s:.1f} s, down {down_ms:.0f} ms; "
            + ", ".join(f"{rate:.0f}" for rate in throughput)
            + f" Mbit/s; {run.counts['failed']} of {run.counts['issued']} requests failed"
        )
        verdict &= (
            _is_close(first_s, 62, 0.1)
            and _is_close(later_s, 9.8, 0.1)
            and _is_close(down_ms, 165, 0.3)
            and all(_is_close(rate, known, 0.1) for rate, known in zip(throughput, (870, 765, 694, 870), strict=True))
            and run.counts["failed"] == 0
        )
    return Outcome("; ".join(parts), verdict)


def specweb() -> Outcome:
    """R27."""
    return _by_law(
        "specweb",
        (clark.total_s, clark.times_memory, clark.down_ms, clark.num_rounds),
        "{:.1f} s, {:.2f} times, down {:.0f} ms, {:.0f} rounds",
        lambda total_s, times, down_ms, rounds: (
            _is_close(total_s, 71, 0.1) and 1.15 <= times <= 1.25 and _is_close(down_ms, 210, 0.3) and 7 <= rounds <= 11
        ),
    )


def quake() -> Outcome:
    """R28."""
    return _by_law(
        "quake",
        (clark.total_s, clark.times_memory, clark.down_ms),
        "{:.2f} s, {:.2f} times, down {:.0f} ms",
        lambda total_s, times, down_ms: _is_close(total_s, 7, 0.1) and 1.3 <= times <= 1.45 and 45 <= down_ms <= 80,
    )


def memory_writer() -> Outcome:
    """R29."""
    return _by_law(
        "memory-writer",
        (clark.down_ms, clark.times_memory, clark.num_rounds),
        "down {:.0f} ms, {:.2f} times, {:.0f} rounds with the last",
        lambda down_ms, times, rounds: _is_close(down_ms, 3500, 0.1) and _is_close(times, 1.25, 0.1) and rounds == 4,
    )


def naive() -> Outcome:
    """R30."""
    times_s = [clark.naive_s(512, rate) for rate in (128, 256, 512)]
    return Outcome(", ".join(f"{time_s:g}" for time_s in times_s) + " s", times_s == [32.0, 16.0, 8.0])


def precopy_rounds() -> Outcome:
    """R31."""
    worst, is_ordered = 0.0, True
    least: dict[str, float] = {}
    for load, by_rate in EXPECTED_DOWNTIME_S.items():
        for rate, published in by_rate.items():
            ours = [clark.expected_downtime_s(load, rate, rounds) for rounds in (1, 2, 3, 4)]
            worst = max(worst, *(abs(a / b - 1) for a, b in zip(ours, published, strict=False)))
            gains = [a - b for a, b in pairwise(ours)]
            is_ordered &= all(gain >= 0 for gain in gains) and gains == sorted(gains, reverse=True)
            least[load] = min(least.get(load, 1e9), clark.naive_s(512, rate) / ours[0])
    return Outcome(
        f"levels within {100 * worst:.0f} %; after one round at least "
        + ", ".join(f"{ratio:.1f} ({load})" for load, ratio in least.items())
        + " times less than naive",
        worst <= 0.3 and is_ordered and min(least.values()) >= 4 and min(least["kernel-build"], least["oltp"]) >= 16,
    )


def stunned_writers() -> Outcome:
    """R32."""
    stunned, free = clark.stunned_rounds(12), clark.stunned_rounds(0)
    return Outcome(
        f"dirty pages of rounds 11 and 12: {stunned[10]} and {stunned[11]}; without: {free[10]} and {free[11]}",
        stunned[:11] == free[:11] and all(2 * a < b for a, b in zip(stunned[11:], free[11:], strict=True)),
    )
