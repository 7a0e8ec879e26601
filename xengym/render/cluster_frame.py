"""A cluster as text and as a picture: each host a bar of what its domains get, with memory, power and moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xengym.hypervisor.cluster.interface import Cluster
from xengym.machine.cluster_state import POWERS
from xengym.machine.migration_state import STAGES
from xengym.render.text_table import text_table

WIDTH, HEIGHT = 960, 540
_PAPER, _INK, _GRID = (255, 255, 255), (40, 40, 40), (225, 225, 225)
_GRANTED, _MISSED, _DOM0, _MEMORY = (0, 114, 178), (213, 94, 0), (204, 121, 167), (86, 180, 233)
_LEGEND = (
    ("memory", _MEMORY), ("CPU used", _GRANTED), ("Dom0, for moves", _DOM0), ("missed", _MISSED),
    ("off", (205, 205, 205)),
)  # fmt: skip
#: What a bar's full height stands for, in times the host's capacity.
_MOST = 1.5
_OFF, _MOVE, _LINE_ON = (235, 235, 235), (0, 158, 115), (120, 120, 120)


def cluster_table(cluster: Cluster, host_names: Sequence[str]) -> str:
    """A line a host, and one for each move under way."""
    hosts, domains, moves = cluster.hosts, cluster.domains, cluster.moves
    rows = [
        (
            name,
            POWERS[host["power"]],
            f"{host['num_domains']}",
            f"{100 * host['demand_pcpus'] / host['capacity_pcpus']:.0f}",
            f"{100 * host['granted_pcpus'] / host['capacity_pcpus']:.0f}",
            f"{100 * (1 - host['free_pages'] / host['memory_pages']):.0f}",
            f"{host['outgoing']}/{host['incoming']}",
            f"{host['watts']:.0f}",
        )
        for name, host in zip(host_names, hosts, strict=True)
    ]
    header = ("host", "power", "domains", "demand %", "used %", "memory %", "out/in", "watts")
    lines = [
        f"{cluster.fidelity}, {cluster.now_ns / 3.6e12:.2f} h, {int((domains['in_use'] == 1).sum())} domains",
        text_table(header, rows, left=2),
    ]
    for i in np.flatnonzero(moves["in_use"]):
        move = moves[i]
        lines.append(
            f"domain {move['domain']}: {host_names[move['source']]} to {host_names[move['target']]}, "
            f"{STAGES[cluster.migrations['stage'][i]]}"
        )
    return "\n".join(lines)


def draw_cluster(
    cluster: Cluster, host_names: Sequence[str], history: Sequence[tuple[float, float, float]]
) -> NDArray[np.uint8]:
    """A picture, ``uint8`` of shape ``(540, 960, 3)``.

    Args:
        cluster: to be drawn.
        host_names: by number.
        history: ``(time in s, demand over capacity of the hosts that are on, part of the hosts that are on)``.
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    pen = ImageDraw.Draw(image)
    font, large = ImageFont.load_default(12), ImageFont.load_default(16)
    pen.text((24, 12), f"{cluster.now_ns / 3.6e12:.1f} h, {cluster.fidelity}", fill=_INK, font=large)
    x = 200.0
    for text, colour in _LEGEND:
        pen.rectangle((x, 15, x + 12, 27), fill=colour)
        pen.text((x + 18, 14), text, fill=_INK, font=font)
        x += 40 + pen.textlength(text, font=font)
    _draw_hosts(pen, font, cluster, host_names, (24, 60, WIDTH - 24, 330))
    _draw_history(pen, font, history, (60, 390, WIDTH - 24, HEIGHT - 36))
    return np.asarray(image)


def _draw_hosts(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    cluster: Cluster,
    host_names: Sequence[str],
    box: tuple[int, int, int, int],
) -> None:
    left, top, right, bottom = box
    hosts, moves = cluster.hosts, cluster.moves
    step = (right - left) / len(hosts)
    width = max(1.0, 0.8 * step)
    centre = []
    for number, host in enumerate(hosts):
        x = left + step * number + 0.1 * step
        centre.append(x + width / 2)
        is_on = POWERS[host["power"]] == "on"
        pen.rectangle((x, top, x + width, bottom), fill=_PAPER if is_on else _OFF, outline=_GRID)
        if is_on:
            memory = (1 - host["free_pages"] / host["memory_pages"]) / _MOST
            pen.rectangle((x, bottom - memory * (bottom - top), x + width * 0.25, bottom), fill=_MEMORY)
            level = float(bottom)
            parts = (
                (host["granted_pcpus"], _GRANTED),
                (host["dom0_pcpus"], _DOM0),
                (max(0.0, host["demand_pcpus"] - host["granted_pcpus"]), _MISSED),
            )
            for value, colour in parts:
                height = min(level - top, float(value / host["capacity_pcpus"]) / _MOST * (bottom - top))
                if height > 0:
                    pen.rectangle((x + width * 0.3, level - height, x + width, level), fill=colour)
                    level -= height
        if step > 40:
            pen.text((x + width / 2, bottom + 6), host_names[number][:10], fill=_INK, font=font, anchor="ma")
    full = bottom - (bottom - top) / _MOST
    pen.line((left, full, right, full), fill=_LINE_ON)
    for move in moves[moves["in_use"] == 1]:
        a, b = centre[move["source"]], centre[move["target"]]
        pen.arc((min(a, b), top - 26, max(a, b) + 1, top + 22), 180, 360, fill=_MOVE, width=2)
        pen.ellipse((b - 4, top - 6, b + 4, top + 2), fill=_MOVE)


def _draw_history(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    history: Sequence[tuple[float, float, float]],
    box: tuple[int, int, int, int],
) -> None:
    left, top, right, bottom = box
    pen.text(
        (left, top - 20),
        "demand over capacity of the hosts that are on; grey: part of them that is",
        fill=_INK,
        font=font,
    )
    for i in range(5):
        y = bottom - (bottom - top) * i / 4
        pen.line((left, y, right, y), fill=_GRID)
        pen.text((left - 6, y), f"{i * 0.25:g}", fill=_INK, font=font, anchor="rm")
    if len(history) < 2:
        return
    begin, end = history[0][0], max(history[-1][0], history[0][0] + 1)
    xs = [left + (time - begin) / (end - begin) * (right - left) for time, _, _ in history]
    for which, colour in ((2, _LINE_ON), (1, _GRANTED)):
        points = [(x, bottom - min(1.0, row[which]) * (bottom - top)) for x, row in zip(xs, history, strict=True)]
        pen.line(points, fill=colour, width=2)
    pen.text((right, bottom + 6), f"{end / 3600:.1f} h", fill=_INK, font=font, anchor="ra")
