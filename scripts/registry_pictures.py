"""Draw the pictures that the ComfyUI registry shows of this pack: docs/images/icon.png and banner.jpg.

    .venv/bin/python scripts/registry_pictures.py

The icon is the pad; the banner is one scene at twenty points of it, drawn by the miniature in the real server.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from PIL import Image, ImageDraw  # noqa: E402

from emoticrafter.figures.drawing import QUIET, TIMES, Sheet  # noqa: E402
from emoticrafter.figures.plane import READ, tinted  # noqa: E402
from emoticrafter.files import write_atomically  # noqa: E402
from scripts import demo, server  # noqa: E402

IMAGES = ROOT / "docs" / "images"
ICON_SIZE = 400  # the registry's largest
BANNER_SIZE = (1680, 720)  # 21:9
VALENCE, AROUSAL = (-3, -1.5, 0, 1.5, 3), (3, 1, -1, -3)
CELL, GAP = 174, 8


def draw_icon(size: int = ICON_SIZE) -> Image.Image:
    """The pad's colours with its axes and circle, and a point in the pleasant and lively quarter."""
    large = size * TIMES
    picture = tinted(large, share=0.9)
    draw, middle, reach, thick = ImageDraw.Draw(picture), large / 2, 0.39 * large, round(0.012 * large)
    draw.line([(middle, 0), (middle, large)], "white", thick)
    draw.line([(0, middle), (large, middle)], "white", thick)
    draw.circle((middle, middle), reach, outline="white", width=thick)
    point = (middle + 0.43 * reach, middle - 0.43 * reach)
    draw.circle(point, 0.105 * large, fill="white")
    draw.circle(point, 0.08 * large, fill=READ)
    shape = Image.new("L", picture.size)
    ImageDraw.Draw(shape).rounded_rectangle([0, 0, large - 1, large - 1], radius=0.18 * large, fill=255)
    picture.putalpha(shape)
    return picture.reduce(TIMES)


def draw_banner(pictures: list[Image.Image]) -> Image.Image:
    """The pack's name beside pictures in rows, valence rising to the right and arousal falling downwards."""
    sheet = Sheet(*BANNER_SIZE)
    left = BANNER_SIZE[0] - len(VALENCE) * (CELL + GAP) + GAP
    for number, picture in enumerate(pictures):
        row, column = divmod(number, len(VALENCE))
        place = (left + column * (CELL + GAP), row * (CELL + GAP))
        sheet.picture.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), place)
    icon = draw_icon(180)
    sheet.picture.paste(icon, (72, 130), icon)
    sheet.write(72, 424, "EmotiCrafter", 96, "left")
    for line, text in enumerate(("Give a Stable Diffusion XL picture", "a mood by dragging a point.")):
        sheet.write(72, 494 + 50 * line, text, 36, "left", QUIET)
    return sheet.picture


def main() -> None:
    points = [demo.Point(demo.PROMPTS[0], valence, arousal) for arousal in AROUSAL for valence in VALENCE]
    with tempfile.TemporaryDirectory(prefix="emoticrafter-pictures-") as base, server.Server(Path(base)) as running:
        files = demo.make_pictures(running, demo.base_prompt(running.object_info()), points)
    banner = draw_banner([Image.open(io.BytesIO(files[point])).convert("RGB") for point in points])
    demo.save(draw_icon(), IMAGES / "icon.png")
    write_atomically(IMAGES / "banner.jpg", lambda temporary: banner.save(temporary, "JPEG", quality=90))


if __name__ == "__main__":
    main()
