"""Draw the thumbnails of the workflows, and copy the demo's pictures into docs/images.

    python scripts/pictures.py          # writes workflows/<name>.jpg beside every workflows/<name>.json
    python scripts/pictures.py --demo   # writes docs/images/demo_*.jpg from what make demo wrote to output/

A workflow of the miniature is run in a real ComfyUI server, and its thumbnail is what came out, with the points of
its pads; one of a single pad and a single picture is run at four moods. One that loads files of a model gets
a drawing: the plane, its point, its chain of nodes, and the model's name where there is one workflow for each.
Needs Pillow and numpy. The same workflow gives the same picture.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageSequence

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from emoticrafter.emotions import RUSSELL  # noqa: E402
from emoticrafter.figures.plane import CORNERS  # noqa: E402
from emoticrafter.files import write_atomically  # noqa: E402
from scripts.server import Server  # noqa: E402
from scripts.workflow import to_prompt  # noqa: E402

WORKFLOWS = ROOT / "workflows"
DEMO = ROOT / "output"
IMAGES = ROOT / "docs" / "images"
DEMO_PICTURES = {
    "emotion_grid_1.png": ("demo_grid_1.jpg", 640),
    "emotion_grid_2.png": ("demo_grid_2.jpg", 600),
    "emotion_grid_3.png": ("demo_grid_3.jpg", 600),
    "emotion_strip.png": ("demo_strip.jpg", 1600),
}
"""What the demo wrote: its name and its width in pixels in docs/images."""
SIZE = 640
MARGIN = 40
LIMIT = 3.0
MOST = 9
"""Pictures on one thumbnail: of an animation, frames at even distances."""
INSET = 150

# The plane's corners have the pad's colours: low and high valence (columns) at high and low arousal (rows).
COLOURS = np.array(
    [[CORNERS[name][1] for name in row] for row in (("distress", "excitement"), ("depression", "relaxation"))],
    dtype=np.float32,
)
FEELINGS = ("excited", "relaxed", "angry", "sad")
"""Of Russell's circumplex, one for each corner."""
COVERED = 0.6
"""How near a point on the plane hides a word."""

# What a workflow's chain shows, from left to right, for the nodes that it has.
CHAIN = {
    "LoraLoader": "LoRA",
    "EmotiCrafterFit": "fit once",
    "CLIPTextEncode": "prompt",
    "EmotiCrafterVAEncoder": "VA encoder",
    "EmotiCrafterGrid": "grid",
    "EmotiCrafterInjection": "injection",
    "EmotiCrafterConditioning": "emotion",
    "ControlNetApplyAdvanced": "ControlNet",
    "ImageCrop": "detail",
    "KSamplerAdvanced": "refiner",
    "SaveImage": "picture",
}
MINIATURE, FIT, GRID = "EmotiCrafterMiniature", "EmotiCrafterFit", "EmotiCrafterGrid"
VALUES_FIRST = ("EmotiCrafterConditioning", "EmotiCrafterCLIP", "EmotiCrafterVAEncoder", "EmotiCrafterRegional")
"""Nodes whose first two widgets are valence and arousal."""
PICTURES = ("SaveImage", "PreviewImage", "SaveAnimatedWEBP")
MOODS = ((-2.4, 1.6), (2.4, 1.6), (-2.4, -1.6), (2.4, -1.6))
"""What a workflow of one pad and one picture is shown at: as they lie on the plane, row by row."""


def has_miniature(workflow: dict) -> bool:
    """Whether it runs with what the project brings, and so shows its own pictures."""
    return any(node["type"] == MINIATURE for node in workflow["nodes"])


def points_of(workflow: dict) -> list[tuple[float, float]]:
    """The valence and arousal of every pad."""
    return [tuple(node["widgets_values"][:2]) for node in workflow["nodes"] if node["type"] in VALUES_FIRST]


def grid_points(workflow: dict) -> list[tuple[float, float]]:
    """The valence and arousal of every Emotion Grid's points."""
    points = []
    for node in workflow["nodes"]:
        if node["type"] == GRID:
            columns, rows, *bounds = node["widgets_values"][:6]
            across, up = np.linspace(*bounds[:2], columns).tolist(), np.linspace(*bounds[2:], rows).tolist()
            points += [(valence, arousal) for arousal in up for valence in across]
    return points


# ---- what a workflow painted -----------------------------------------------------------------------


def run(server: Server, workflow: dict) -> list[Image.Image]:
    """The pictures that a workflow shows, in the order of its nodes; of an animation its frames."""
    outputs = server.queue(to_prompt(workflow, server.object_info())).outputs
    files = [file for node in sorted(outputs, key=int) for file in outputs[node].get("images", [])]
    pictures = [Image.open(io.BytesIO(server.get(f"/view?{urlencode(file)}"))) for file in files]
    return [frame.convert("RGB") for picture in pictures for frame in ImageSequence.Iterator(picture)]


def shows_one_mood(workflow: dict) -> bool:
    """Whether it has a single pad and a single picture."""
    return len(points_of(workflow)) == sum(node["type"] in PICTURES for node in workflow["nodes"]) == 1


def at_mood(workflow: dict, point: tuple[float, float]) -> dict:
    """The same workflow with its pads at another point."""
    nodes = [
        {**node, "widgets_values": [*point, *node["widgets_values"][2:]]} if node["type"] in VALUES_FIRST else node
        for node in workflow["nodes"]
    ]
    return {**workflow, "nodes": nodes}


def thumbnail(server: Server, workflow: dict) -> Image.Image:
    """What a workflow of the miniature paints."""
    if shows_one_mood(workflow):
        return four_moods([picture for mood in MOODS for picture in run(server, at_mood(workflow, mood))])
    return painted(run(server, workflow), points_of(workflow))


def painted(pictures: list[Image.Image], points: Iterable[tuple[float, float]]) -> Image.Image:
    """Pictures side by side, SIZE wide, and the plane with its points: in a corner, or between several."""
    sheet = montage(pictures)
    if points := list(points):
        left = sheet.width - INSET - 12 if len(pictures) == 1 else (sheet.width - INSET) // 2
        sheet.paste(pad(points), (left, sheet.height - INSET - 12))
    return sheet


def four_moods(pictures: list[Image.Image]) -> Image.Image:
    """The pictures of MOODS as they lie on the plane, and the plane in their middle."""
    sheet = montage(pictures)
    sheet.paste(pad(MOODS), ((sheet.width - INSET) // 2, (sheet.height - INSET) // 2))
    return sheet


def pad(points: Iterable[tuple[float, float]]) -> Image.Image:
    """The plane with its points, INSET wide."""
    inset = plane(INSET)
    draw = ImageDraw.Draw(inset)
    draw.rectangle((0, 0, INSET - 1, INSET - 1), outline="white", width=3)
    for valence, arousal in points:
        x, y = (INSET * (0.5 + part / (2.2 * LIMIT)) for part in (valence, -arousal))
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill="white", outline=(30, 30, 34), width=4)
    return inset


def montage(pictures: list[Image.Image]) -> Image.Image:
    """Up to MOST pictures in rows of one height."""
    if len(pictures) > MOST:
        pictures = [pictures[index * len(pictures) // MOST] for index in range(MOST)]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = [joined(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
    sheet = Image.new("RGB", (SIZE, sum(row.height for row in rows)), "white")
    for number, row in enumerate(rows):
        sheet.paste(row, (0, sum(above.height for above in rows[:number])))
    return sheet


def joined(pictures: list[Image.Image]) -> Image.Image:
    """One row, SIZE wide, of pictures that get the same height."""
    height = round(SIZE / sum(picture.width / picture.height for picture in pictures))
    row, x = Image.new("RGB", (SIZE, height), "white"), 0.0
    for picture in pictures:
        width = picture.width * height / picture.height
        box = (round(x), round(x + width))
        row.paste(picture.resize((box[1] - box[0], height), Image.Resampling.LANCZOS), (box[0], 0))
        x += width
    return row


# ---- the drawing of one that needs files ------------------------------------------------------------


def drawn(workflow: dict) -> Image.Image:
    """The plane, the workflow's point on it, and its chain of nodes."""
    kinds = {node["type"] for node in workflow["nodes"]}
    picture = plane(SIZE)
    draw = ImageDraw.Draw(picture)
    points = points_of(workflow) + grid_points(workflow)
    draw_axes(draw, points)
    for point in points:
        draw_point(draw, *point)
    if FIT in kinds:
        draw_name(draw, workflow["groups"][0]["title"].split(maxsplit=1)[1], points)
    draw_chain(draw, [label for kind, label in CHAIN.items() if kind in kinds])
    return picture


def plane(size: int) -> Image.Image:
    """The four corner colours, mixed by their distance."""
    right = np.linspace(0, 1, size, dtype=np.float32)[None, :, None]
    down = right.transpose(1, 0, 2)
    rows = COLOURS[:, None, None, 0] * (1 - right) + COLOURS[:, None, None, 1] * right  # [2, 1, size, 3]
    return Image.fromarray((rows[0] * (1 - down) + rows[1] * down).round().astype(np.uint8))


def position(valence: float, arousal: float) -> tuple[float, float]:
    """Pixels of a valence-arousal pair; the plane fills the picture but for a margin and the chain below."""
    scale = (SIZE - 2 * MARGIN) / (2 * LIMIT)
    return MARGIN + (valence + LIMIT) * scale, MARGIN + (LIMIT - arousal) * scale * 0.84


def draw_axes(draw: ImageDraw.ImageDraw, points: Iterable[tuple[float, float]]) -> None:
    """The axes and the words of feelings, but for a word that a point would cover."""
    white = (255, 255, 255)
    draw.line([position(-LIMIT, 0), position(LIMIT, 0)], fill=white, width=2)
    draw.line([position(0, -LIMIT), position(0, LIMIT)], fill=white, width=2)
    x, y = position(LIMIT, 0)
    draw.text((x, y + 8), "valence", fill=white, font=font(22), anchor="ra")
    x, y = position(0, LIMIT)
    draw.text((x + 10, y), "arousal", fill=white, font=font(22), anchor="la")
    for name in FEELINGS:
        if all(math.dist(RUSSELL[name], point) > COVERED for point in points):
            draw.text(position(*RUSSELL[name]), name, fill=white, font=font(26), anchor="mm")


def draw_point(draw: ImageDraw.ImageDraw, valence: float, arousal: float) -> None:
    x, y = position(valence, arousal)
    draw.ellipse((x - 20, y - 20, x + 20, y + 20), fill="white", outline=(30, 30, 34), width=5)
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=(30, 30, 34))


def draw_name(draw: ImageDraw.ImageDraw, name: str, points: Iterable[tuple[float, float]]) -> None:
    """The name of a model across the picture, in the half that has no point."""
    above = all(arousal < 0 for _, arousal in points)
    x, y = position(0, 0.8 if above else -2)
    draw.text((x, y), name, fill="white", font=font(88), anchor="mm", stroke_width=3, stroke_fill=(34, 34, 40))


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


# ---- files -----------------------------------------------------------------------------------------


def save(picture: Image.Image, path: Path) -> None:
    """Write a JPEG, whole or not at all."""
    write_atomically(path, lambda temporary: picture.save(temporary, "JPEG", quality=85))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def write_thumbnails() -> None:
    workflows = {path: json.loads(path.read_text("utf-8")) for path in sorted(WORKFLOWS.glob("*.json"))}
    for path, workflow in workflows.items():
        if not has_miniature(workflow):
            save(drawn(workflow), path.with_suffix(".jpg"))
    with tempfile.TemporaryDirectory(prefix="emoticrafter-pictures-") as base, Server(Path(base)) as server:
        for path, workflow in workflows.items():
            if has_miniature(workflow):
                save(thumbnail(server, workflow), path.with_suffix(".jpg"))


def write_demo_pictures() -> None:
    if missing := [name for name in DEMO_PICTURES if not (DEMO / name).is_file()]:
        raise SystemExit(f"error: there is no {DEMO / missing[0]}: run `make demo` first")
    for name, (target, width) in DEMO_PICTURES.items():
        picture = Image.open(DEMO / name).convert("RGB")
        height = round(picture.height * width / picture.width)
        save(picture.resize((width, height), Image.Resampling.LANCZOS), IMAGES / target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="write the demo's pictures instead")
    if parser.parse_args().demo:
        write_demo_pictures()
    else:
        write_thumbnails()


if __name__ == "__main__":
    main()
