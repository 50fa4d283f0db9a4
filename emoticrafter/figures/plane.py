"""Draws emotion maps: points of the valence-arousal plane. Needs Pillow, as `drawing` does."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..va import VA_MAX, VA_MIN
from .drawing import FAINT, HALF_HIGH, INK, QUIET, TIMES, Sheet, value_text, width_of

Places = Sequence[tuple[float, float]]

# Valence and arousal of the four corners, their colour as on the pad, and its dark tone for the word there.
CORNERS = {
    "excitement": ((1, 1), (250, 178, 72), (150, 92, 8)),
    "distress": ((-1, 1), (206, 64, 82), (160, 36, 56)),
    "depression": ((-1, -1), (74, 104, 184), (48, 76, 152)),
    "relaxation": ((1, -1), (86, 190, 160), (20, 116, 90)),
}
ASKED, READ, PAIR = (44, 44, 52), (222, 74, 48), (232, 158, 138)
REACH = 3.3  # where the field ends, so that points on the border of the plane are shown whole


def draw_map(asked: Places = (), read: Places = (), size: int = 768, route: bool = False) -> Image.Image:
    """Draws points of the plane; where both kinds are given, a line joins each pair.

    Args:
        asked: (valence, arousal) of each point; shown as rings.
        read: As many as `asked`, if both are given; shown as dots, on the border if they lie outside the plane.
        size: Pixels of the figure's side, 384 or more.
        route: Whether a faint line follows the asked points in their order.

    Raises:
        ValueError: No points, or different numbers of the two kinds.
    """
    if not len(asked) and not len(read):
        raise ValueError("There are no points to show: connect asked, read or both.")
    if len(asked) and len(read) and len(asked) != len(read):
        raise ValueError(
            f"{len(asked)} points were asked for and {len(read)} were read: expected as many of both, in the same "
            "order. Read the pictures that were made with these points."
        )
    text = max(12, round(0.021 * size))
    legend = _legend(asked, read)
    left, top = round(5.2 * text), round(3.0 * text)
    side = size - left - top
    lines = _legend_lines(legend, side, text)
    sheet = Sheet(size, top + side + round((5.9 + 1.7 * len(lines)) * text))
    sheet.picture.paste(_field(side, list(asked), list(read), route), (left, top))
    _label(sheet, left, top, side, text)
    _write_legend(sheet, lines, left, top + side + 6.8 * text, text, _radius(side, max(len(asked), len(read))))
    return sheet.picture


# --- the field -------------------------------------------------------------------------------------------------------


def _field(side: int, asked: Places, read: Places, route: bool) -> Image.Image:
    """The plane with its points, without text."""
    large = side * TIMES
    picture = tinted().resize((large, large), Image.Resampling.BICUBIC)
    draw, thin = ImageDraw.Draw(picture), max(TIMES, round(large / 700))

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x, y = (max(VA_MIN, min(VA_MAX, value)) / REACH for value in point)
        return (1 + x) / 2 * large, (1 - y) / 2 * large

    for value in range(-3, 4):
        colour = (176, 176, 184) if value == 0 else FAINT
        draw.line([at((value, -3)), at((value, 3))], colour, thin)
        draw.line([at((-3, value)), at((3, value))], colour, thin)
    draw.ellipse([*at((-3, 3)), *at((3, -3))], outline=(190, 190, 198), width=thin)
    draw.rectangle([0, 0, large - 1, large - 1], outline=(200, 200, 206), width=thin)
    if route:
        draw.line([at(point) for point in asked], (168, 168, 178), 2 * thin, joint="curve")
    for start, end in zip(asked, read, strict=False):
        draw.line([at(start), at(end)], PAIR, round(1.6 * thin))
    radius = TIMES * _radius(side, max(len(asked), len(read)))
    for point in asked:
        _ring(draw, at(point), radius)
    for point in read:
        _dot(draw, at(point), radius)
    return picture.reduce(TIMES)


def tinted(size: int = 256, share: float = 0.16) -> Image.Image:
    """White, with a share of each corner's colour towards it: a hint by default."""
    ramp = np.linspace(-1, 1, size)
    x, y = np.meshgrid(ramp, -ramp)
    pixels = np.full((size, size, 3), 255.0)
    for (right, up), colour, _ in CORNERS.values():
        away = np.hypot(x - right, y - up) / (0.68 * math.hypot(2, 2))
        pixels += share * np.clip(1 - away, 0, 1)[..., None] * (np.array(colour) - pixels)
    return Image.fromarray(pixels.round().astype(np.uint8))


def _radius(side: int, points: int) -> float:
    """A dot's radius in pixels: smaller where there are many."""
    return max(2.5, side * 0.0105 * min(1, (40 / max(points, 1)) ** 0.25))


def _ring(draw: ImageDraw.ImageDraw, at: tuple[float, float], radius: float) -> None:
    outer = 1.35 * radius  # visible round a dot in the same place
    box = [at[0] - outer, at[1] - outer, at[0] + outer, at[1] + outer]
    draw.ellipse(box, outline=ASKED, width=max(1, round(0.36 * radius)))


def _dot(draw: ImageDraw.ImageDraw, at: tuple[float, float], radius: float) -> None:
    for reach, colour in ((radius, (255, 255, 255)), (0.84 * radius, READ)):
        draw.ellipse([at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach], fill=colour)


# --- what is written round it ----------------------------------------------------------------------------------------


def _label(sheet: Sheet, left: int, top: int, side: int, text: int) -> None:
    """Writes the axes' values and names, and the circumplex's words (Russell 1980) where the pad has them."""
    middle, bottom = (left + side / 2, top + side / 2), top + side
    for value in range(-3, 4):
        away = value / REACH * side / 2
        sheet.write(middle[0] + away, bottom + 1.4 * text, value_text(value), text, colour=QUIET)
        sheet.write(left - 0.5 * text, middle[1] - away + HALF_HIGH * text, value_text(value), text, "right", QUIET)
    reach = 3 / REACH * side / 2
    above, below = top - 0.7 * text, bottom + 2.9 * text
    for name, x, y, align in (
        ("distress", middle[0] - reach, above, "left"),
        ("arousal", middle[0], above, "middle"),
        ("excitement", middle[0] + reach, above, "right"),
        ("depression", middle[0] - reach, below, "left"),
        ("sleepiness", middle[0], below, "middle"),
        ("relaxation", middle[0] + reach, below, "right"),
    ):
        sheet.write(x, y, name, text, align, CORNERS[name][2] if name in CORNERS else INK)
    sheet.write_upright(left + side + 1.1 * text, middle[1], "pleasure", text, INK, down=True)
    sheet.write_upright(left - 2.5 * text, middle[1], "displeasure", text, INK)
    sheet.write(middle[0], bottom + 4.6 * text, "valence →", text, colour=QUIET)
    sheet.write_upright(left - 4.2 * text, middle[1], "arousal →", text, QUIET)


def _legend(asked: Places, read: Places) -> list[tuple[str, str]]:
    """(the mark before it, the text) of each part."""
    parts = []
    if len(asked):
        parts.append(("ring", f"asked ({len(asked)})"))
    if len(read):
        parts.append(("dot", f"read ({len(read)})"))
    if len(asked) and len(read):
        errors = np.abs(np.array(asked) - np.array(read)).mean(0)
        parts.append(("", f"mean error: valence {errors[0]:.2f}, arousal {errors[1]:.2f}"))
    return parts


def _part_width(part: tuple[str, str], text: int) -> float:
    return width_of(part[1], text) + (1.6 * text if part[0] else 0)


def _legend_lines(parts: list[tuple[str, str]], side: int, text: int) -> list[list[tuple[str, str]]]:
    """Breaks the parts into lines."""
    lines, room = [], 0.0
    for part in parts:
        needed = _part_width(part, text) + 1.6 * text
        if not lines or needed > room + 1.6 * text:
            lines, room = [*lines, []], side
        lines[-1].append(part)
        room -= needed
    return lines


def _write_legend(sheet: Sheet, lines: list, left: int, y: float, text: int, radius: float) -> None:
    for line in lines:
        x = left
        for kind, words in line:
            if kind:
                sheet.picture.paste(_mark(kind, text, radius), (round(x), round(y - 0.9 * text)))
            sheet.write(x + (1.6 * text if kind else 0), y, words, text, "left")
            x += _part_width((kind, words), text) + 1.6 * text
        y += 1.7 * text


def _mark(kind: str, text: int, radius: float) -> Image.Image:
    """A ring or a dot as in the field, but large enough to be seen in a line of text."""
    side = round(1.2 * text) * TIMES
    picture = Image.new("RGB", (side, side), "white")
    draw = {"ring": _ring, "dot": _dot}[kind]
    draw(ImageDraw.Draw(picture), (side / 2, side / 2), min(TIMES * max(radius, 0.3 * text), side / 2.8))
    return picture.reduce(TIMES)
