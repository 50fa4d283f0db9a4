"""The loss of a fit while it runs, small enough for a node."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from .drawing import FAINT, QUIET, Sheet

WIDTH, HEIGHT, TEXT = 480, 300, 15
LEARNED, HELD_OUT = (150, 150, 158), (208, 70, 40)


def draw_curve(
    learned: Sequence[tuple[int, float]], held_out: Sequence[tuple[int, float]], start: float, steps: int
) -> Image.Image:
    """Draws two losses over steps as shares of a third, the one that is to be beaten: 480 x 300 pixels.

    Args:
        learned: (step, loss) of what is learned from.
        held_out: Likewise, of what is not.
        start: The loss of what has learned nothing, positive: the line at 100 %.
        steps: Of the whole fit, at least 1.
    """
    sheet = Sheet(WIDTH, HEIGHT)
    left, top, right, bottom = 56, 34, WIDTH - 16, HEIGHT - 34
    shares = [loss / start for _, loss in (*learned, *held_out) if math.isfinite(loss)]
    most = max(1.1, min(max(shares, default=1), 2))

    def place(step: float, share: float) -> tuple[float, float]:
        return left + step / steps * (right - left), bottom - min(share, most) / most * (bottom - top)

    lines = ImageDraw.Draw(sheet.picture)
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, y = place(0, share)
        lines.line([(left, y), (right, y)], QUIET if share == 1 else FAINT, 1)
        sheet.write(left - 8, y + TEXT * 0.36, f"{share:.0%}", TEXT, "right", QUIET)
    for points, colour, width in ((learned, LEARNED, 1), (held_out, HELD_OUT, 3)):
        drawn = [place(step, loss / start) for step, loss in points if math.isfinite(loss)]
        if len(drawn) > 1:
            lines.line(drawn, colour, width, joint="curve")
    sheet.write(left, top - 14, "scenes held out", TEXT, "left", HELD_OUT)
    sheet.write(left + 140, top - 14, "learned", TEXT, "left", QUIET)
    sheet.write(right, top - 14, "100 %: the mean change", TEXT, "right", QUIET)
    sheet.write(right, HEIGHT - 10, f"{steps:,} steps", TEXT, "right", QUIET)
    return sheet.picture
