"""Live migration: Clark et al., NSDI 2005, figures 3 to 6 and 8 to 12, and the naive copy that it compares with.

A move runs by its own law and rule; the world gives it a link and a domain. A server's activity is uneven: for each
quarter of a second it is drawn between 0.6 and 1.4 of the mean, about as much as the dirty rates of figure 9 vary
between rounds of equal length. A real load is never quite even, and with the shipped program's rule it is such
unevenness that ends a move whose rounds no longer get shorter. What a run gives is the median over seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from xengym.hypervisor.move import Move, Round
from xengym.hypervisor.move_spec import BYTES_PER_MBIT, MoveSpec
from xengym.machine.memory_model import PAGE_BYTES, MemoryModel
from xengym.machine.memory_presets import RUNS, TRACES

#: What Apache alone gets over the gigabit link.
LINK_MBIT_PER_S = 870.0
_UNEVEN_NS = 250_000_000
#: Of a server, in parts of its mean activity.
UNEVENNESS = 0.4
_NUM_SEEDS = 15


class MovedDomain(NamedTuple):
    """One of the paper's migrations.

    Attributes:
        spec: as the paper describes it.
        stream_mbit_per_s: most that the stream got while the domain ran (figure 9 shows 370 at most).
        unevenness: of the domain's activity, in parts of its mean.
    """

    spec: MoveSpec
    stream_mbit_per_s: float = LINK_MBIT_PER_S
    unevenness: float = UNEVENNESS


#: The last rate of SPECweb99 is what its 18.2 MB in 201 ms come to (figure 9 draws 500, which would take 291 ms).
MOVED = {
    "apache": MovedDomain(MoveSpec(resume_ms=20)),
    "specweb": MovedDomain(MoveSpec(resume_ms=9, last_mbit_per_s=724), 375),
    "quake": MovedDomain(MoveSpec(resume_ms=40)),
    "memory-writer": MovedDomain(MoveSpec(resume_ms=20), unevenness=0.0),
}


def run_move(
    memory: MemoryModel,
    spec: MoveSpec,
    *,
    stream_mbit_per_s: float = LINK_MBIT_PER_S,
    unevenness: float = 0.0,
    seed: int = 0,
) -> Move:
    """Move a domain to the end.

    Args:
        memory: the domain's.
        spec: the move.
        stream_mbit_per_s: most that the stream gets while the domain runs; afterwards the link is its own.
        unevenness: of the domain's activity, in parts of its mean.
        seed: of that.
    """
    rng = np.random.default_rng(seed)
    move = Move(memory, spec)
    move.begin()
    activity, left_ns = 1.0, 0
    while not move.is_over:
        if move.stage == "round-end":
            move.follow_rules()
        if left_ns == 0:
            left_ns = _UNEVEN_NS
            activity = float(rng.uniform(1 - unevenness, 1 + unevenness))
        most = stream_mbit_per_s if move.stage == "pre-copy" else LINK_MBIT_PER_S
        left_ns -= move.run(left_ns, min(move.wanted_bytes_per_s, most * BYTES_PER_MBIT), activity)
    return move


def medians(name: str, *figures: Callable[[Move], float], spec: MoveSpec | None = None) -> list[float]:
    """Figures of one of ``MOVED``, each the median over seeds."""
    moved = MOVED[name]
    if spec is not None:
        moved = moved._replace(spec=spec)
    moves = [run_move(RUNS[name], **moved._asdict(), seed=seed) for seed in range(_NUM_SEEDS)]
    return [float(np.median([figure(move) for move in moves])) for figure in figures]


def total_s(move: Move) -> float:
    """From the beginning to the domain's running at the destination."""
    return move.elapsed_ns * 1e-9


def down_ms(move: Move) -> float:
    """The domain stood still."""
    return move.downtime_ns * 1e-6


def times_memory(move: Move) -> float:
    """All that was sent, in times the domain's memory."""
    return move.sent_bytes / PAGE_BYTES / move.memory_pages


def first_round_s(move: Move) -> float:
    """The round that goes through all memory."""
    return move.rounds[0].duration_ns * 1e-9


def later_rounds_s(move: Move) -> float:
    """All rounds between the first and the stop."""
    return sum(round.duration_ns for round in move.rounds[1:-1]) * 1e-9


def later_mbit_per_s(move: Move) -> float:
    """Mean rate of the stream in them."""
    sent = sum(round.sent_pages for round in move.rounds[1:-1]) * PAGE_BYTES
    return sent / BYTES_PER_MBIT / later_rounds_s(move)


def num_rounds(move: Move) -> int:
    """With the stop-and-copy."""
    return len(move.rounds)


def naive_s(megabytes: int, mbit_per_s: float) -> float:
    """R30: a stopped domain's memory over a link, nothing else."""
    spec = MoveSpec(
        kind="stop", max_mbit_per_s=mbit_per_s, min_mbit_per_s=mbit_per_s, request_ms=0, suspend_ms=0, resume_ms=0,
        commit_ms=0,
    )  # fmt: skip
    pages = megabytes * 1_000_000 // PAGE_BYTES
    memory = MemoryModel((replace(RUNS["quake"].regions[0], pages=pages),))
    return run_move(memory, spec).elapsed_ns * 1e-9


def expected_downtime_s(load: str, mbit_per_s: float, num_rounds: int) -> float:
    """R31: what is dirty after so many rounds at a constant rate, over that rate; no page is skipped."""
    spec = MoveSpec(
        law="constant", stop_rule="rounds", max_rounds=num_rounds, min_mbit_per_s=mbit_per_s,
        max_mbit_per_s=mbit_per_s, skips_redirtied=False,
    )  # fmt: skip
    last: Round = run_move(TRACES[load], spec).rounds[-2]
    return last.dirtied_pages * PAGE_BYTES / (mbit_per_s * BYTES_PER_MBIT)


def stunned_rounds(from_round: int, num_rounds: int = 20) -> list[int]:
    """R32: pages that a kernel build dirties in each round, with its writers stunned from one round on (0: never)."""
    spec = MoveSpec(law="paper", stop_rule="rounds", max_rounds=num_rounds, stuns_from_round=from_round)
    return [round.dirtied_pages for round in run_move(TRACES["kernel-build"], spec).rounds[:-1]]
