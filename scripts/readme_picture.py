"""Draw the README's first picture: the point dragged round the plane, and the scene that follows.

    .venv/bin/python scripts/readme_picture.py        # writes docs/images/drag.webp, two minutes

The pad is photographed in the real interface, in Chromium, while a mouse drags its point; the miniature paints the
scene at the very values that the node then holds.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from PIL import Image, ImageDraw  # noqa: E402

from emoticrafter.files import write_atomically  # noqa: E402
from emoticrafter.path import path_points, read_keyframes  # noqa: E402
from scripts import installation, server  # noqa: E402
from scripts.browser import READY, launched  # noqa: E402
from scripts.help_graphs import Graph  # noqa: E402
from scripts.help_pictures import opened, run  # noqa: E402
from scripts.help_scenes import MAKE, PLACE, SETTINGS  # noqa: E402

TARGET = ROOT / "docs" / "images" / "drag.webp"
LARGEST = 2_000_000
"""Bytes: it is the first thing that the page loads."""
SCENE = "a lighthouse by the water at the beach at noon"
FRAMES = 32
ROUND = "0% 2.3 1.7\n25% 2.3 -1.7\n50% -2.3 -1.7\n75% -2.3 1.7"
MOVING, RESTING = 110, 650
"""Milliseconds that a frame stays: on the way, and at a keyframe."""
NODE = "EmotiCrafterConditioning"
GROUND, MARGIN = (34, 34, 38), 14

Point = tuple[float, float]

ENLARGE = """(name) => {
    made[name].setSize([470, 780]);
    app.canvas.setDirty(true, true);
}"""
VALUES = """(name) => ["valence", "arousal"].map((one) => made[name].widgets.find((w) => w.name === one).value)"""


# ---- the pad ---------------------------------------------------------------------------------------


def dragged(running: server.Server, points: list[Point]) -> list[tuple[Image.Image, Point]]:
    """The pad with its point dragged to each of these points, and the values that the node holds there."""
    running.post("/settings", SETTINGS)
    with launched() as chromium:
        page = chromium.new_page(viewport={"width": 1200, "height": 1100})
        page.set_default_timeout(300_000)  # milliseconds, for a busy machine
        page.goto(running.address, wait_until="commit")
        page.wait_for_function(READY)
        nodes = [(NODE, {"valence": points[0][0], "arousal": points[0][1]})]
        page.evaluate(MAKE, nodes)
        page.wait_for_timeout(500)  # the pad asks for its height some frames later
        page.evaluate(ENLARGE, NODE)
        page.evaluate(PLACE, [nodes, []])
        page.wait_for_timeout(1000)
        plane = page.locator(".emoticrafter-pad .plane").bounding_box()
        page.mouse.move(*position(plane, points[0]))
        page.mouse.down()
        frames = [photograph(page, plane, point) for point in points]
        page.mouse.up()
    return frames


def photograph(page, plane: dict, point: Point) -> tuple[Image.Image, Point]:
    x, y = position(plane, point)
    page.mouse.move(x, y)
    page.wait_for_timeout(150)
    pad = page.locator(".emoticrafter-pad")
    corner, picture = pad.bounding_box(), opened(pad.screenshot())
    draw_pointer(picture, x - corner["x"], y - corner["y"])
    return picture, tuple(page.evaluate(VALUES, NODE))


def position(plane: dict, point: Point) -> Point:
    """Where a point is on the page; `plane` is the box of the square from -3 to 3."""
    valence, arousal = point
    return plane["x"] + plane["width"] * (valence + 3) / 6, plane["y"] + plane["height"] * (3 - arousal) / 6


def draw_pointer(picture: Image.Image, x: float, y: float) -> None:
    """The mouse's arrow, which photographs of a page leave out."""
    arrow = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
    outline = [(x + right, y + down) for right, down in arrow]
    ImageDraw.Draw(picture).polygon(outline, fill="white", outline=(20, 20, 20))


# ---- the scene -------------------------------------------------------------------------------------


def painted(running: server.Server, points: list[Point]) -> list[Image.Image]:
    """The scene at these points, from one noise."""
    graph = Graph()
    keyframes = "\n".join(f"{number} {valence} {arousal}" for number, (valence, arousal) in enumerate(points))
    path = graph.path(keyframes, len(points), network=graph.part(3), latent=graph.latent())
    emotion = {"conditioning": graph.text(SCENE), "emotion": [path, 0], "strength": 1.0}
    positive = graph.add("EmotiCrafterInjection", **emotion)
    graph.save("scene", graph.drawn(positive, latent_image=[path, 5]))
    return [opened(file) for file in run(running, graph)["scene"]]


# ---- together --------------------------------------------------------------------------------------


def side_by_side(pad: Image.Image, scene: Image.Image) -> Image.Image:
    side = pad.height
    frame = Image.new("RGB", (pad.width + side + 3 * MARGIN, side + 2 * MARGIN), GROUND)
    frame.paste(pad, (MARGIN, MARGIN))
    frame.paste(scene.resize((side, side), Image.Resampling.LANCZOS), (pad.width + 2 * MARGIN, MARGIN))
    return frame


def animation(frames: list[Image.Image], durations: list[int]) -> bytes:
    """A WebP that loops, of the best quality that fits."""
    for quality in (85, 75, 60, 45):
        content = io.BytesIO()
        first, *others = frames
        first.save(
            content, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=quality, method=6
        )
        if content.tell() < LARGEST:
            return content.getvalue()
    raise SystemExit(f"error: it has {content.tell():,} bytes, more than {LARGEST:,}: take fewer frames")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    points = path_points(read_keyframes(ROUND, FRAMES, [], closed=True), FRAMES, "smooth", closed=True)
    try:
        with tempfile.TemporaryDirectory(prefix="emoticrafter-") as base, server.Server(Path(base)) as running:
            pads, values = zip(*dragged(running, points), strict=True)
            scenes = painted(running, list(values))
    except installation.SetupError as error:
        sys.exit(f"error: {error}")
    frames = [side_by_side(pad, scene) for pad, scene in zip(pads, scenes, strict=True)]
    rests = len(ROUND.splitlines())
    durations = [RESTING if number % (FRAMES // rests) == 0 else MOVING for number in range(FRAMES)]
    content = animation(frames, durations)
    write_atomically(TARGET, lambda temporary: temporary.write_bytes(content))
    print(f"{TARGET.relative_to(ROOT)}: {len(content) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
