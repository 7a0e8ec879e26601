"""A picture of a host: which domain ran on which pCPU, and the domains' shares over time."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor
from xengym.render.parameters import cell
from xengym.sim.trace_kinds import TraceKind

WIDTH, HEIGHT = 960, 540
_LEFT, _RIGHT, _TOP = 70, 160, 34
_SCHEDULE_SHARE = 0.5
_NUM_INTERVALS = 120
_BACKGROUND, _INK, _GRID, _IDLE = (255, 255, 255), (40, 40, 40), (225, 225, 225), (240, 240, 240)

#: Distinct colours for domains (Okabe and Ito's palette, safe for colour-blind readers, then lighter ones).
PALETTE = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167), (0, 114, 178), (240, 228, 66),
    (120, 120, 120), (160, 210, 240), (245, 205, 120), (120, 205, 180), (235, 160, 110),
)  # fmt: skip


class ScheduleFrame:
    """Collects what a picture needs while a host runs.

    Args:
        host: the machine; its trace is switched on (a ring, the newest records).
    """

    def __init__(self, host: Host) -> None:
        host.start_trace(ring=16384)
        self._shares: deque[tuple[int, NDArray[np.float64]]] = deque(maxlen=_NUM_INTERVALS)
        self._window_ns = (host.now_ns, host.now_ns)

    def observe(self, host: Host, monitor: IntervalMonitor) -> None:
        """Note the interval that has just ended."""
        whole = monitor.host_record[0]
        length_ns = max(1, int(whole["end_ns"] - whole["start_ns"]))
        shares = monitor.domain_records["delta"]["cpu_ns"] / (length_ns * host.num_pcpus)
        self._shares.append((int(whole["end_ns"]), np.asarray(shares, dtype=np.float64)))
        self._window_ns = (int(whole["start_ns"]), int(whole["end_ns"]))

    def draw(self, host: Host) -> NDArray[np.uint8]:
        """The picture: ``uint8`` of shape ``(540, 960, 3)``."""
        image = Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND)
        pen = ImageDraw.Draw(image)
        font = ImageFont.load_default()
        split = int(_TOP + (HEIGHT - _TOP) * _SCHEDULE_SHARE)
        begin_ns, end_ns = self._window_ns
        title = f"{host.scheduler.name} {host.scheduler.version}   t = {end_ns / 1e9:.3f} s"
        pen.text((_LEFT, 10), title, fill=_INK, font=font)
        self._draw_schedule(pen, font, host, _TOP, split - 24, begin_ns, end_ns)
        self._draw_shares(pen, font, split + 20, HEIGHT - 30)
        self._draw_legend(pen, font, host)
        return np.asarray(image, dtype=np.uint8)

    def _draw_schedule(
        self, pen: ImageDraw.ImageDraw, font: Any, host: Host, top: int, bottom: int, begin_ns: int, end_ns: int
    ) -> None:
        num_pcpus = host.num_pcpus
        right = WIDTH - _RIGHT
        row = (bottom - top) / num_pcpus
        scale = (right - _LEFT) / max(1, end_ns - begin_ns)
        records = host.trace_records()
        switches = records[records["kind"] == int(TraceKind.SWITCH)]
        domain_of = host.sections["vcpu"]["domain"]
        for p in range(num_pcpus):
            y = top + p * row
            pen.rectangle((_LEFT, y + 1, right, y + row - 2), fill=_IDLE)
            pen.text((8, y + row / 2 - 6), f"pCPU {p}", fill=_INK, font=font)
            own = switches[switches["pcpu"] == p]
            first = max(0, int(np.searchsorted(own["at_ns"], begin_ns, side="right")) - 1)
            starts = [max(begin_ns, int(t)) for t in own["at_ns"][first:]]
            vcpus = [int(v) for v in own["vcpu"][first:]]
            if not starts:
                starts, vcpus = [begin_ns], [int(host.sections["pcpu"]["curr"][p])]
            for start, stop, vcpu in zip(starts, [*starts[1:], end_ns], vcpus, strict=True):
                slot = int(domain_of[vcpu])
                if slot >= 0 and stop > start:
                    x0, x1 = _LEFT + (start - begin_ns) * scale, _LEFT + (stop - begin_ns) * scale
                    pen.rectangle((x0, y + 1, max(x0, x1), y + row - 2), fill=PALETTE[slot % len(PALETTE)])
        for k in range(6):
            x = _LEFT + k * (right - _LEFT) / 5
            ms = (end_ns - begin_ns) * k / 5e6
            pen.text((x - 10, bottom + 4), f"{ms:.1f} ms", fill=_INK, font=font)

    def _draw_shares(self, pen: ImageDraw.ImageDraw, font: Any, top: int, bottom: int) -> None:
        right = WIDTH - _RIGHT
        for k in range(5):
            y = bottom - k * (bottom - top) / 4
            pen.line((_LEFT, y, right, y), fill=_GRID)
            pen.text((30, y - 6), f"{25 * k} %", fill=_INK, font=font)
        step = (right - _LEFT) / _NUM_INTERVALS
        offset = _NUM_INTERVALS - len(self._shares)
        for k, (_, shares) in enumerate(self._shares):
            x = _LEFT + (offset + k) * step
            y = float(bottom)
            for slot, share in enumerate(shares):
                height = float(share) * (bottom - top)
                if height > 0:
                    pen.rectangle((x, y - height, x + step - 1, y), fill=PALETTE[slot % len(PALETTE)])
                    y -= height
        if self._shares:
            first_s, last_s = self._shares[0][0] / 1e9, self._shares[-1][0] / 1e9
            pen.text((_LEFT, bottom + 8), f"share of the host, {first_s:.2f} s to {last_s:.2f} s", fill=_INK, font=font)

    def _draw_legend(self, pen: ImageDraw.ImageDraw, font: Any, host: Host) -> None:
        x = WIDTH - _RIGHT + 16
        for k, (slot, name) in enumerate(sorted(host.domain_names.items())):
            y = _TOP + 20 * k
            pen.rectangle((x, y, x + 12, y + 12), fill=PALETTE[slot % len(PALETTE)])
            params = host.scheduler.domain_params(slot)
            label = f"{name}  " + " ".join(cell(key, value) for key, value in params.items())
            pen.text((x + 18, y), label, fill=_INK, font=font)
