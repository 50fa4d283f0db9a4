"""Draw the thumbnails of the workflows, and put the demo's pictures into the README.

    python scripts/pictures.py          # writes workflows/<name>.jpg beside every workflows/<name>.json
    python scripts/pictures.py --demo   # writes docs/images/demo_*.jpg from what make demo wrote to output/

A thumbnail shows the valence-arousal plane, the workflow's point on it, and its chain of nodes. Needs Pillow and
numpy. The same workflow gives the same picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / "workflows"
DEMO = ROOT / "output"
IMAGES = ROOT / "docs" / "images"
README_PICTURES = {
    "emotion_grid_1.png": ("demo_grid_1.jpg", 800),
    "emotion_grid_2.png": ("demo_grid_2.jpg", 600),
    "emotion_grid_3.png": ("demo_grid_3.jpg", 600),
    "emotion_strip.png": ("demo_strip.jpg", 1600),
}
"""What the demo wrote: its name and its width in pixels in the README's folder."""
SIZE = 640
MARGIN = 40
LIMIT = 3.0

# Colours of the plane's corners: low and high valence (columns) at high and low arousal (rows).
CORNERS = np.array([[(146, 44, 62), (250, 178, 72)], [(48, 62, 98), (122, 190, 170)]], dtype=np.float32)
FEELINGS = {
    "excited": (1.85, 2.27),
    "relaxed": (2.07, -1.36),
    "angry": (-1.57, 1.75),
    "sad": (-1.94, -0.80),
}
"""Where some feelings lie (Russell 1980, times 3)."""

# What a workflow's chain shows, from left to right, for the nodes that it has.
CHAIN = {
    "EmotiCrafterMiniature": "miniature",
    "LoraLoader": "LoRA",
    "CLIPTextEncode": "prompt",
    "EmotiCrafterVAEncoder": "VA encoder",
    "EmotiCrafterInjection": "injection",
    "EmotiCrafterConditioning": "emotion",
    "ControlNetApplyAdvanced": "ControlNet",
    "SaveImage": "picture",
}
VALUES_FIRST = ("EmotiCrafterConditioning", "EmotiCrafterVAEncoder")
"""Nodes whose first two widgets are valence and arousal."""


def thumbnail(workflow: dict) -> Image.Image:
    """The picture of one saved workflow."""
    kinds = {node["type"] for node in workflow["nodes"]}
    valence, arousal = next(n["widgets_values"][:2] for n in workflow["nodes"] if n["type"] in VALUES_FIRST)
    picture = plane()
    draw = ImageDraw.Draw(picture)
    draw_axes(draw)
    draw_point(draw, valence, arousal)
    draw_chain(draw, [label for kind, label in CHAIN.items() if kind in kinds])
    return picture


def plane() -> Image.Image:
    """The four corner colours, mixed by their distance."""
    right = np.linspace(0, 1, SIZE, dtype=np.float32)[None, :, None]
    down = right.transpose(1, 0, 2)
    rows = CORNERS[:, None, None, 0] * (1 - right) + CORNERS[:, None, None, 1] * right  # [2, 1, SIZE, 3]
    return Image.fromarray((rows[0] * (1 - down) + rows[1] * down).round().astype(np.uint8))


def position(valence: float, arousal: float) -> tuple[float, float]:
    """Pixels of a valence-arousal pair; the plane fills the picture but for a margin and the chain below."""
    scale = (SIZE - 2 * MARGIN) / (2 * LIMIT)
    return MARGIN + (valence + LIMIT) * scale, MARGIN + (LIMIT - arousal) * scale * 0.84


def draw_axes(draw: ImageDraw.ImageDraw) -> None:
    white = (255, 255, 255)
    draw.line([position(-LIMIT, 0), position(LIMIT, 0)], fill=white, width=2)
    draw.line([position(0, -LIMIT), position(0, LIMIT)], fill=white, width=2)
    x, y = position(LIMIT, 0)
    draw.text((x, y + 8), "valence", fill=white, font=font(22), anchor="ra")
    x, y = position(0, LIMIT)
    draw.text((x + 10, y), "arousal", fill=white, font=font(22), anchor="la")
    for name, point in FEELINGS.items():
        draw.text(position(*point), name, fill=white, font=font(26), anchor="mm")


def draw_point(draw: ImageDraw.ImageDraw, valence: float, arousal: float) -> None:
    x, y = position(valence, arousal)
    draw.ellipse((x - 20, y - 20, x + 20, y + 20), fill="white", outline=(30, 30, 34), width=5)
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=(30, 30, 34))


def draw_chain(draw: ImageDraw.ImageDraw, labels: list[str]) -> None:
    """Boxes along the lower edge, joined by lines."""
    gap, height, top = 18, 54, SIZE - 74
    width = (SIZE - 2 * 20 - gap * (len(labels) - 1)) / len(labels)
    for index, label in enumerate(labels):
        left = 20 + index * (width + gap)
        if index:
            draw.line([(left - gap, top + height / 2), (left, top + height / 2)], fill="white", width=4)
        draw.rounded_rectangle((left, top, left + width, top + height), 10, fill=(34, 34, 40))
        draw.text((left + width / 2, top + height / 2), label, fill="white", font=font(23), anchor="mm")


def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def save(picture: Image.Image, path: Path) -> None:
    """Write a JPEG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    picture.save(temporary, "JPEG", quality=85)
    temporary.replace(path)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def write_demo_pictures() -> None:
    if missing := [name for name in README_PICTURES if not (DEMO / name).is_file()]:
        raise SystemExit(f"error: there is no {DEMO / missing[0]}: run `make demo` first")
    for name, (target, width) in README_PICTURES.items():
        picture = Image.open(DEMO / name).convert("RGB")
        height = round(picture.height * width / picture.width)
        save(picture.resize((width, height), Image.Resampling.LANCZOS), IMAGES / target)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", action="store_true", help="write the README's pictures instead")
    if parser.parse_args().demo:
        write_demo_pictures()
        return
    for path in sorted(WORKFLOWS.glob("*.json")):
        save(thumbnail(json.loads(path.read_text(encoding="utf-8"))), path.with_suffix(".jpg"))


if __name__ == "__main__":
    main()
