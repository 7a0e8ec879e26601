"""A picture of a move between two sites: rates over time, what is left to send, and the stages behind them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xengym.envs.wan_migration.stepper import MoveStepper
from xengym.machine.migration_state import STAGES
from xengym.render.frames import HEIGHT, PALETTE, WIDTH

_LEFT, _RIGHT, _TOP, _MIDDLE, _BOTTOM = 80, 200, 40, 290, 36
_BACKGROUND, _INK, _GRID = (255, 255, 255), (40, 40, 40), (225, 225, 225)
#: Colour behind the curves, by stage.
_STAGES = {
    "disk": (232, 241, 250), "pre-copy": (240, 248, 232), "round-end": (240, 248, 232),
    "stop-and-copy": (252, 226, 220), "commitment": (252, 226, 220), "activation": (252, 226, 220),
}  # fmt: skip
_RATES = ("sent", "limit", "writes recorded", "memory dirtied", "others")
_AMOUNTS = ("image left", "deltas queued", "memory dirty")
PAGE_BYTES, MBIT, MB = 4096, 125_000, 1e6


class _Point(NamedTuple):
    at_s: float
    stage: str
    rates: tuple[float, ...]
    amounts: tuple[float, ...]
    delay_ms: float
    downtime_s: float


class MoveFrame:
    """Collects what a picture needs, interval by interval.

    Args:
        stepper: at the beginning of an episode.
    """

    def __init__(self, stepper: MoveStepper) -> None:
        self._points: list[_Point] = []
        self._line = stepper.move.spec.line.mbit_per_s
        self._image = stepper.move.spec.disk.image_bytes / MB

    def observe(self, stepper: MoveStepper) -> None:
        """Note the interval that has just ended."""
        move, grown = stepper.move, stepper.samples[1]
        seconds = max(1e-9, float(grown["now_ns"]) / 1e9)
        memory, disk, migration = move.memory[0], move.disk[0], move.migration[0]
        pages, exposure = memory["pages"].astype(float), memory["exposure"]
        part = np.where(memory["pattern"] == 1, np.minimum(exposure, 1.0), 1.0 - np.exp(-exposure))
        last = int(migration["round"]) - (move.stage != "round-end") - 1
        dirtied = 0.0
        if 0 <= last < len(migration["round_ns_of"]) and migration["round_ns_of"][last] > 0:
            dirtied = (
                float(migration["dirtied_pages_of"][last]) * PAGE_BYTES / float(migration["round_ns_of"][last]) * 1e9
            )
        limit = float(move.line["limit_bytes_per_s"][0]) / MBIT or self._line
        rates = (
            float(grown["carried_bytes"]) / seconds / MBIT, limit, float(grown["recorded_bytes"]) / seconds / MBIT,
            dirtied / MBIT, float(grown["others_got_bytes"]) / seconds / MBIT,
        )  # fmt: skip
        is_copied = memory["is_logging"] != 0
        amounts = (
            self._image - float(disk["copied_bytes"]) / MB if move.stage != "aborted" else self._image,
            move.queued_bytes / MB,
            float((pages * part).sum()) * PAGE_BYTES / MB if is_copied else 0.0,
        )
        self._points.append(
            _Point(move.now_ns / 1e9, move.stage, rates, amounts, float(disk["delay_ns"]) / 1e6, move.downtime_ns / 1e9)
        )

    def draw(self, name: str) -> NDArray[np.uint8]:
        """The picture: ``uint8`` of shape ``(540, 960, 3)``."""
        image = Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND)
        pen, font = ImageDraw.Draw(image), ImageFont.load_default()
        end_s = max((point.at_s for point in self._points), default=1.0) or 1.0
        last = self._points[-1] if self._points else None
        title = name if last is None else (
            f"{name}   t = {last.at_s:.1f} s   {last.stage}   down {last.downtime_s:.2f} s   "
            f"writes held up by {last.delay_ms:g} ms"
        )  # fmt: skip
        pen.text((_LEFT, 12), title, fill=_INK, font=font)
        self._draw_stages(pen, end_s)
        # What is dirtied in a short round may be many times what the line carries.
        rates = [tuple(min(rate, 2 * self._line) for rate in point.rates) for point in self._points]
        amounts = [point.amounts for point in self._points]
        self._curves(pen, font, _TOP, _MIDDLE - 30, end_s, "Mbit/s", _RATES, rates, 0)
        self._curves(pen, font, _MIDDLE, HEIGHT - _BOTTOM, end_s, "MB", _AMOUNTS, amounts, 5)
        for k in range(6):
            x = _LEFT + k * (WIDTH - _RIGHT - _LEFT) / 5
            pen.text((x - 12, HEIGHT - _BOTTOM + 8), f"{end_s * k / 5:.0f} s", fill=_INK, font=font)
        shown = ("disk", "pre-copy", "stop-and-copy")
        for k, stage in enumerate(shown):
            y = HEIGHT - _BOTTOM - 20 * (len(shown) - k)
            pen.rectangle((WIDTH - _RIGHT + 16, y, WIDTH - _RIGHT + 28, y + 12), fill=_STAGES[stage], outline=_GRID)
            pen.text((WIDTH - _RIGHT + 34, y), stage, fill=_INK, font=font)
        return np.asarray(image, dtype=np.uint8)

    def _draw_stages(self, pen: ImageDraw.ImageDraw, end_s: float) -> None:
        before_s = 0.0
        scale = (WIDTH - _RIGHT - _LEFT) / end_s
        for point in self._points:
            if point.stage in _STAGES:
                box = (_LEFT + before_s * scale, _TOP, _LEFT + point.at_s * scale, HEIGHT - _BOTTOM)
                pen.rectangle(box, fill=_STAGES[point.stage])
            before_s = point.at_s

    def _curves(
        self,
        pen: ImageDraw.ImageDraw,
        font: Any,
        top: int,
        bottom: int,
        end_s: float,
        unit: str,
        names: tuple[str, ...],
        values: list[tuple[float, ...]],
        first_colour: int,
    ) -> None:
        right = WIDTH - _RIGHT
        highest = max((max(row) for row in values), default=1.0) or 1.0
        for k in range(5):
            y = bottom - k * (bottom - top) / 4
            pen.line((_LEFT, y, right, y), fill=_GRID)
            pen.text((8, y - 6), f"{highest * k / 4:.{0 if highest >= 100 else 1}f} {unit}", fill=_INK, font=font)
        for i, name in enumerate(names):
            colour = PALETTE[(first_colour + i) % len(PALETTE)]
            points = [
                (_LEFT + point.at_s / end_s * (right - _LEFT), bottom - row[i] / highest * (bottom - top))
                for point, row in zip(self._points, values, strict=True)
            ]
            if len(points) > 1:
                pen.line(points, fill=colour, width=2)
            pen.rectangle((right + 16, top + 20 * i, right + 28, top + 20 * i + 12), fill=colour)
            pen.text((right + 34, top + 20 * i), name, fill=_INK, font=font)


assert set(_STAGES) <= set(STAGES)
