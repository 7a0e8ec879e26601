"""`xengym migrate`: one domain's memory moved live, round by round."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.memory_model import PAGE_BYTES
from xengym.machine.memory_presets import MEMORY_PRESETS
from xengym.machine.migration_state import MOVES
from xengym.policies.control.precopy_rules import LAWS, STOP_RULES
from xengym.render.migration_picture import draw_migration, rate_mbit_per_s
from xengym.render.text_table import text_table
from xengym.testing.figures.clark import MOVED, MovedDomain, run_move


def migrate(
    load: Annotated[str, typer.Argument(help=f"What runs in it: {', '.join(MEMORY_PRESETS)}.")] = "specweb",
    kind: Annotated[str, typer.Option(help=f"Kind of move: {', '.join(MOVES)}.")] = "live",
    law: Annotated[str, typer.Option(help=f"How a round's rate follows: {', '.join(LAWS)}.")] = "paper",
    stop_rule: Annotated[str, typer.Option(help=f"When to stop: {', '.join(STOP_RULES)}.")] = "shipped",
    min_mbit_per_s: Annotated[float, typer.Option(help="Rate of the first round.")] = 100.0,
    max_mbit_per_s: Annotated[float, typer.Option(help="Most.")] = 500.0,
    rounds: Annotated[int, typer.Option(help="Of the rule `rounds`.")] = 4,
    stun_from_round: Annotated[int, typer.Option(help="Stun rogue writers from this round on; 0: never.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the load's unevenness.")] = 0,
    picture: Annotated[Path | None, typer.Option(help="Draw the rounds into this PNG file.")] = None,
) -> None:
    """Move a domain live and print its rounds, with the loads of Clark et al. 2005."""
    if load not in MEMORY_PRESETS:
        raise ValueError(f"LOAD: expected one of {', '.join(MEMORY_PRESETS)}, found {load!r}")
    known = MOVED.get(load)
    spec = MoveSpec(
        kind=kind,
        law=law,
        stop_rule=stop_rule,
        min_mbit_per_s=min_mbit_per_s,
        max_mbit_per_s=max_mbit_per_s,
        last_mbit_per_s=known.spec.last_mbit_per_s if known else None,
        resume_ms=known.spec.resume_ms if known else 20.0,
        max_rounds=rounds,
        stuns_from_round=stun_from_round,
    )
    domain = known._replace(spec=spec) if known else MovedDomain(spec)
    move = run_move(MEMORY_PRESETS[load], **domain._asdict(), seed=seed)
    print(_rounds_table(move))
    print(
        f"{move.stage}: {move.elapsed_ns * 1e-9:.2f} s, {move.sent_bytes / 1e6:.1f} MB sent "
        f"({move.sent_bytes / PAGE_BYTES / move.memory_pages:.2f} times the memory), "
        f"downtime {move.downtime_ns * 1e-6:.0f} ms"
    )
    if picture is not None:
        draw_migration(move, f"{kind} migration of {load}: {law}'s law, {stop_rule} stop rule", picture)
        print(f"drawn in {picture}")


def _rounds_table(move: Move) -> str:
    """A line a round."""
    header = ("round", "s", "MB sent", "MB skipped", "Mbit/s asked", "sent", "dirtied")
    rows = [
        (
            "stop" if number == len(move.rounds) else str(number),
            f"{one.duration_ns * 1e-9:.3f}",
            f"{one.sent_pages * PAGE_BYTES / 1e6:.1f}",
            f"{one.skipped_pages * PAGE_BYTES / 1e6:.1f}",
            f"{one.asked_bytes_per_s * 8e-6:.0f}",
            f"{rate_mbit_per_s(one, one.sent_pages):.0f}",
            f"{rate_mbit_per_s(one, one.dirtied_pages):.0f}",
        )
        for number, one in enumerate(move.rounds, 1)
    ]
    return text_table(header, rows)
