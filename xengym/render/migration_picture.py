"""A migration's rounds as a picture, in the manner of figures 9 to 12 of Clark et al. 2005.

Each round is a bar as wide as it lasted and as high as its rate; dashed above it the rate at which the domain dirtied
pages meanwhile, and the megabytes that the round sent. The stop-and-copy is drawn in another colour, the whole downtime
beside it. Since the first round is much longer than all others together, its middle is cut out of the time axis, as in
the paper.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from xengym.hypervisor.move import Move, Round
from xengym.machine.memory_model import PAGE_BYTES

WIDTH, HEIGHT = 1100, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 1076, 70, 450
_PAPER, _INK, _GRID = (255, 255, 255), (40, 40, 40), (215, 215, 215)
_SENT, _DIRTIED, _STOPPED = (86, 180, 233), (213, 94, 0), (204, 121, 167)
#: Width of a first round whose middle is cut out, in parts of the axis.
_CUT_PART = 0.16
_BITS = 8e-6


def rate_mbit_per_s(round: Round, pages: int) -> float:
    """Pages within a round, in Mbit/s."""
    return pages * PAGE_BYTES * _BITS / (round.duration_ns * 1e-9) if round.duration_ns else 0.0


class _TimeAxis:
    """Where a time lies on the picture, with the middle of the first round cut out if it needs it."""

    def __init__(self, rounds: list[Round]) -> None:
        self.first_s = rounds[0].duration_ns * 1e-9
        self.rest_s = sum(round.duration_ns for round in rounds[1:]) * 1e-9
        self.is_cut = self.rest_s > 0 and self.first_s > 0.5 * self.rest_s
        self.first_part = _CUT_PART if self.is_cut else self.first_s / (self.first_s + self.rest_s)

    def x(self, time_s: float) -> float:
        if time_s <= self.first_s:
            part = self.first_part * time_s / self.first_s
        else:
            part = self.first_part + (1 - self.first_part) * (time_s - self.first_s) / self.rest_s
        return _LEFT + part * (_RIGHT - _LEFT)

    def ticks_s(self) -> list[float]:
        """Round times of the part after the first round, and 0."""
        step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1e9) if self.rest_s / s <= 9)
        begin = int(self.first_s / step) + 1
        end = self.first_s + self.rest_s
        return [0.0, *(i * step for i in range(begin, begin + 12) if i * step <= end)]


def draw_migration(move: Move, title: str, path: Path) -> None:
    """Write the picture of a move that is done as a PNG file, whole or not at all."""
    rounds = move.rounds
    axis = _TimeAxis(rounds)
    highest = max(rate_mbit_per_s(r, max(r.sent_pages, r.dirtied_pages)) for r in rounds)
    top_rate = next(rate for rate in (100, 200, 300, 400, 500, 600, 800, 1000, 2000, 5000, 1e9) if rate >= highest)

    def y(rate: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * rate / top_rate

    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    pen = ImageDraw.Draw(image)
    font, large = ImageFont.load_default(13), ImageFont.load_default(17)
    pen.text((_LEFT, 14), title, fill=_INK, font=large)
    for i in range(6):
        rate = top_rate * i / 5
        pen.line((_LEFT, y(rate), _RIGHT, y(rate)), fill=_GRID)
        pen.text((_LEFT - 8, y(rate)), f"{rate:g}", fill=_INK, font=font, anchor="rm")
    pen.text((_LEFT - 60, _TOP - 22), "Mbit/s", fill=_INK, font=font)
    start_s = 0.0
    for number, one in enumerate(rounds, 1):
        end_s = start_s + one.duration_ns * 1e-9
        x0, x1 = axis.x(start_s), axis.x(end_s)
        is_last = number == len(rounds)
        sent = rate_mbit_per_s(one, one.sent_pages)
        dirtied = rate_mbit_per_s(one, one.dirtied_pages)
        pen.rectangle((x0, y(sent), x1, _BOTTOM), fill=_STOPPED if is_last else _SENT, outline=_PAPER)
        if not is_last:
            for dash in range(int(x0), int(x1), 6):
                pen.line((dash, y(dirtied), min(dash + 4, x1), y(dirtied)), fill=_DIRTIED, width=2)
        megabytes = f"{one.sent_pages * PAGE_BYTES / 1e6:.1f}"
        if pen.textlength(megabytes, font=font) < x1 - x0 - 2:
            middle = (3 * x0 + x1) / 4 if number == 1 and axis.is_cut else (x0 + x1) / 2
            pen.text((middle, _BOTTOM - 6), megabytes, fill=_INK, font=font, anchor="ms")
        start_s = end_s
    pen.line((_LEFT, _BOTTOM, _RIGHT, _BOTTOM), fill=_INK)
    for tick_s in axis.ticks_s():
        x = axis.x(tick_s)
        pen.line((x, _BOTTOM, x, _BOTTOM + 5), fill=_INK)
        pen.text((x, _BOTTOM + 8), f"{tick_s:g}", fill=_INK, font=font, anchor="ma")
    pen.text((_RIGHT, _BOTTOM + 26), "time, s", fill=_INK, font=font, anchor="ra")
    if axis.is_cut:
        x = _LEFT + 0.5 * axis.first_part * (_RIGHT - _LEFT)
        pen.polygon([(x - 6, _BOTTOM + 4), (x, _TOP), (x + 6, _TOP), (x, _BOTTOM + 4)], fill=_PAPER)
    _legend(pen, font, move)
    temporary = path.with_name(path.name + ".tmp")
    image.save(temporary, format="PNG")
    temporary.replace(path)


def _legend(pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, move: Move) -> None:
    entries = (
        (_SENT, "pre-copy round (MB sent)"),
        (_STOPPED, "stop-and-copy"),
        (_DIRTIED, "dirty rate"),
    )
    x = float(_LEFT)
    for colour, text in entries:
        pen.rectangle((x, HEIGHT - 30, x + 14, HEIGHT - 18), fill=colour)
        pen.text((x + 20, HEIGHT - 24), text, fill=_INK, font=font, anchor="lm")
        x += 40 + int(pen.textlength(text, font=font))
    total = (
        f"total {move.elapsed_ns * 1e-9:.1f} s, {move.sent_bytes / 1e6:.0f} MB sent, "
        f"downtime {move.downtime_ns * 1e-6:.0f} ms"
    )
    pen.text((_RIGHT, HEIGHT - 24), total, fill=_INK, font=font, anchor="rm")
