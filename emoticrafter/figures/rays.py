"""Draws what an Emotion Range has seen: the pictures of each ray, and how far it goes. Needs Pillow, as `drawing`."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from ..range import MOST, STEP, WHY, Ray
from ..va import Point
from .drawing import FAINT, HALF_HIGH, INK, QUIET, Sheet, width_of, wrapped

CELL = 160
"""Pixels of a picture's longer side, at most."""
TEXT, GAP, MARGIN = 14, 8, 20
TRACK = 6
"""Pixels of the bar below a ray's pictures."""
WHY_WIDTH = 150
INSIDE = (58, 148, 120)
FADED = 0.6
"""Of white over pictures beyond the range."""


def draw_rays(rays: Sequence[Ray], pictures: Mapping[Point, Image.Image]) -> Image.Image:
    """A row for each ray: its pictures at their places, those beyond its end faded, and a bar as far as it goes.

    Args:
        rays: As `search_range` gives them.
        pictures: By point, of neutral and of all that is drawn on the rays, each from `small`.
    """
    wide, high = next(iter(pictures.values())).size
    left = MARGIN + max(width_of(ray.name, TEXT) for ray in rays) + GAP
    right = left + (MOST + 1) * (wide + GAP)
    pitch = high + TRACK + 2 * GAP
    top = MARGIN + 2 * TEXT
    sheet = Sheet(right + WHY_WIDTH + MARGIN, top + len(rays) * pitch + MARGIN)
    for level in range(MOST + 1):
        x = left + level * (wide + GAP) + wide / 2
        sheet.write(x, top - GAP, f"{STEP * level:g}", TEXT, colour=QUIET)
    for row, ray in enumerate(rays):
        _draw_ray(sheet, ray, pictures, left, top + row * pitch, wide + GAP)
    return sheet.picture


def _draw_ray(sheet: Sheet, ray: Ray, pictures: Mapping[Point, Image.Image], left: int, y: int, pitch: int) -> None:
    wide, high = next(iter(pictures.values())).size
    limit = ray.limit()
    middle = y + high / 2 + HALF_HIGH * TEXT
    sheet.write(left - GAP, middle, ray.name, TEXT, "right")
    for level in range(MOST + 1):
        reach, x = STEP * level, left + level * pitch
        if reach not in ray.reaches:
            ImageDraw.Draw(sheet.picture).rectangle([x, y, x + wide - 1, y + high - 1], outline=FAINT)
            continue
        cell = pictures[ray.point(reach)]
        if reach > limit.reach:
            cell = Image.blend(cell, Image.new("RGB", cell.size, "white"), FADED)
        sheet.picture.paste(cell, (x, y))
    _bar(sheet, left + wide // 2, y + high + GAP // 2, pitch, limit.reach)
    lines = [f"{limit.reach:.2f}", *wrapped(WHY[limit.why], TEXT, WHY_WIDTH)]
    x, first = left + (MOST + 1) * pitch + GAP, middle - 0.7 * TEXT * (len(lines) - 1)
    for number, line in enumerate(lines):
        sheet.write(x, first + 1.4 * TEXT * number, line, TEXT, "left", QUIET if number else INK)


def _bar(sheet: Sheet, x: int, y: int, pitch: int, reach: float) -> None:
    """From the middle of the plain picture to where the range ends."""
    draw = ImageDraw.Draw(sheet.picture)
    draw.rectangle([x, y, x + MOST * pitch, y + TRACK - 1], fill=FAINT)
    if reach:
        draw.rectangle([x, y, x + round(reach / STEP * pitch), y + TRACK - 1], fill=INSIDE)


def small(picture: Image.Image) -> Image.Image:
    """A picture as it is shown: whole, its longer side CELL at most."""
    shown = picture.copy()
    shown.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return shown
