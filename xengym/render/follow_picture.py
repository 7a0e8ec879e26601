"""One request's way as a picture: the stations of the survey's figure 8, numbered arrows between them, times below."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from xengym.render.follow import Step

WIDTH = 1100
_STATIONS_HEIGHT, _LINE, _MARGIN = 430, 19, 24
_PAPER, _INK, _FRAME, _IN, _OUT = (255, 255, 255), (40, 40, 40), (150, 150, 150), (0, 114, 178), (213, 94, 0)
_FILL = {"guest": (232, 244, 250), "driver": (252, 243, 226), "xen": (236, 236, 236), "card": (226, 240, 232)}

#: Stations: name, box, which fill.
_BOXES = (
    ("driver domain", (60, 60, 500, 230), "driver"),
    ("guest", (600, 60, 1040, 230), "guest"),
    ("Xen hypervisor", (60, 265, 1040, 320), "xen"),
    ("network card", (60, 355, 500, 405), "card"),
)
_PARTS = (
    ("device driver", (85, 115, 235, 165)),
    ("back end", (325, 115, 475, 165)),
    ("front end", (625, 115, 775, 165)),
    ("protocols, program", (865, 115, 1015, 165)),
)
#: Arrows of the way in, by number in the survey's figure 8: from, to, where the number stands.
_ARROWS_IN = {
    1: ((30, 385), (60, 385), (30, 368)),
    2: ((110, 355), (110, 320), (128, 338)),
    3: ((110, 265), (110, 230), (128, 248)),
    4: ((160, 355), (160, 165), (178, 205)),
    5: ((235, 132), (325, 132), (280, 120)),
    6: ((475, 132), (625, 132), (550, 120)),
    7: ((700, 265), (700, 165), (718, 205)),
    8: ((775, 132), (865, 132), (820, 120)),
}
#: Arrows of the way out, by the text with which their step begins.
_ARROWS_OUT = (
    ("puts a packet", ((865, 150), (775, 150)), ((625, 150), (475, 150))),
    ("back end takes", ((325, 150), (235, 150))),
    ("card has", ((200, 165), (200, 355)), ((60, 398), (30, 398))),
)


def draw(steps: list[Step], title: str, path: Path) -> None:
    """Write the picture as a PNG file, whole or not at all."""
    height = _STATIONS_HEIGHT + _MARGIN + _LINE * (len(steps) + 2) + _MARGIN
    image = Image.new("RGB", (WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(image)
    font, large = ImageFont.load_default(14), ImageFont.load_default(17)
    pen.text((_MARGIN, 14), title, fill=_INK, font=large)
    for name, box, fill in _BOXES:
        pen.rounded_rectangle(box, 10, fill=_FILL[fill], outline=_FRAME, width=2)
        pen.text((box[2] - 12, box[1] + 10), name, fill=_INK, font=large, anchor="ra")
    for name, box in _PARTS:
        pen.rectangle(box, fill=_PAPER, outline=_FRAME)
        pen.text((box[0] + 10, box[1] + 2), name, fill=_INK, font=font)
    passed = {step.figure for step in steps}
    for number, (start, end, at) in _ARROWS_IN.items():
        if number in passed:
            _arrow(pen, start, end, _IN)
            pen.ellipse((at[0] - 9, at[1] - 9, at[0] + 9, at[1] + 9), fill=_IN)
            pen.text(at, str(number), fill=_PAPER, font=font, anchor="mm")
    for text, *arrows in _ARROWS_OUT:
        if any(text in step.text for step in steps):
            for start, end in arrows:
                _arrow(pen, start, end, _OUT)
    y = _STATIONS_HEIGHT + _MARGIN
    begin_ns = steps[0].at_ns
    pen.text((_MARGIN + 60, y), "us", fill=_FRAME, font=font, anchor="rs")
    for step in steps:
        y += _LINE
        pen.text((_MARGIN + 60, y), f"{(step.at_ns - begin_ns) / 1000:.1f}", fill=_INK, font=font, anchor="rs")
        if step.figure:
            pen.ellipse((_MARGIN + 76, y - 14, _MARGIN + 94, y + 4), fill=_IN)
            pen.text((_MARGIN + 85, y - 5), str(step.figure), fill=_PAPER, font=font, anchor="mm")
        pen.text((_MARGIN + 106, y), step.lane, fill=_FRAME, font=font, anchor="ls")
        more = f" ({step.num_packets} packets)" if step.num_packets > 1 else ""
        pen.text((_MARGIN + 220, y), step.text + more, fill=_INK, font=font, anchor="ls")
    y += _LINE + 4
    pen.text((_MARGIN, y), "numbers: the steps of receiving; the way out has no numbers there", fill=_FRAME, font=font)
    temporary = path.with_name(path.name + ".tmp")
    image.save(temporary, format="PNG")
    temporary.replace(path)


def _arrow(
    pen: ImageDraw.ImageDraw, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    pen.line((*start, *end), fill=colour, width=3)
    dx, dy = (end[0] > start[0]) - (end[0] < start[0]), (end[1] > start[1]) - (end[1] < start[1])
    x, y = end
    pen.polygon(
        [(x, y), (x - 9 * dx - 5 * dy, y - 9 * dy - 5 * dx), (x - 9 * dx + 5 * dy, y - 9 * dy + 5 * dx)], colour
    )
