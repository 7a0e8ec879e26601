"""A move between two sites as a few lines of text."""

from __future__ import annotations

from xengym.envs.wan_migration.stepper import MoveStepper
from xengym.machine.migration_state import REASONS, STAGES
from xengym.render.text_table import text_table

MBIT = 125_000


def move_table(stepper: MoveStepper) -> str:
    """Stage, what has been sent, and the last interval's rates."""
    move = stepper.move
    migration, disk, line = move.migration[0], move.disk[0], move.line[0]
    grown = stepper.samples[1]
    seconds = max(1e-9, float(grown["now_ns"]) / 1e9)
    image = move.spec.disk.image_bytes
    title = (
        f"move  {move.now_ns / 1e9:.1f} s  {STAGES[int(migration['stage'])]}"
        + (f" ({REASONS[int(migration['reason'])]})" if migration["reason"] else "")
        + f"  down {float(migration['downtime_ns']) / 1e9:.2f} s"
    )
    limit = float(line["limit_bytes_per_s"]) / MBIT

    def rate(name: str) -> str:
        return f"{float(grown[name]) / seconds / MBIT:.2f}"

    rows = [
        ("disk", f"{100 * float(disk['copied_bytes']) / image:.1f} %", f"queue {move.queued_bytes / 1e6:.1f} MB"),
        ("memory", f"round {int(migration['round'])}", f"{100 * float(migration['scanned']):.0f} % gone through"),
        ("line", f"{rate('carried_bytes')} Mbit/s", f"limit {limit:.2f}" if limit else "no limit"),
        ("writes", f"{rate('recorded_bytes')} Mbit/s", f"delay {float(disk['delay_ns']) / 1e6:.1f} ms"),
        ("others", f"{rate('others_got_bytes')} Mbit/s", f"wanted {rate('others_wanted_bytes')}"),
        ("clients", f"{move.open_connections} connected", f"{int(move.redirection['lost'][0])} lost"),
    ]  # fmt: skip
    return f"{title}\n{text_table(('', 'now', 'and'), rows)}"
