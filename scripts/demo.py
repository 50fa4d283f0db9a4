"""Draw the miniature over valence and arousal with a real ComfyUI: `make demo`, or `python scripts/demo.py`.

Starts the server (installing what is missing first), runs the shipped workflow workflows/try_it_miniature.json once
per point of the plane with the same seed, and writes to output/: a labelled 5 x 5 grid for each of three prompts, and
a strip in steps of 0.2 along either axis. Needs no GPU and no downloaded model; under three minutes on two cores.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from emoticrafter.command_line import CommandLine, told  # noqa: E402
from emoticrafter.files import write_atomically  # noqa: E402
from emoticrafter.typed import read_number, read_whole  # noqa: E402
from scripts import installation, server, workflow  # noqa: E402

WORKFLOW = ROOT / "workflows" / "try_it_miniature.json"
WEIGHTS = ROOT / "miniature" / "unet.safetensors"
PROMPTS = (
    "a tree at the beach at noon",
    "a hot air balloon in a meadow at dawn",
    "a campfire with logs by the woods at noon",
)
"""Scenes that the miniature never saw: each of their three parts, but not the three together."""
VALUES = (-3.0, -1.5, 0.0, 1.5, 3.0)
STRIP_STEP = 0.2
MODELS_NOTE = "Drawn by the miniature, a tiny model of a painted world. It is not SDXL."


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why."""


class Point(NamedTuple):
    """What one picture is drawn from."""

    text: str
    valence: float
    arousal: float


# ---- the pictures ----------------------------------------------------------------------------------


def strip_values(step: float) -> list[float]:
    """-3 to 3 in steps; the last one is shorter where `step` does not divide 6."""
    count = int(6 / step + 1e-9)
    return sorted({*(round(-3 + step * index, 4) for index in range(count + 1)), 3.0})


def grid_points(text: str, values: list[float]) -> list[Point]:
    """A row at a time, from high arousal to low."""
    return [Point(text, valence, arousal) for arousal in reversed(values) for valence in values]


def strip_points(text: str, step: float) -> dict[str, list[Point]]:
    """Along each axis, by its name, with the other value at 0."""
    values = strip_values(step)
    return {
        "valence": [Point(text, value, 0.0) for value in values],
        "arousal": [Point(text, 0.0, value) for value in values],
    }


def base_prompt(object_info: dict, steps: int | None = None) -> dict:
    """The shipped workflow as a prompt, with another number of sampling steps if one is given."""
    try:
        saved = json.loads(WORKFLOW.read_text("utf-8"))
    except FileNotFoundError:
        raise DemoError(f"{WORKFLOW} is missing: is this a complete checkout?") from None
    prompt = workflow.to_prompt(saved, object_info)
    return workflow.set_inputs(prompt, "KSampler", steps=steps) if steps else prompt


def at_point(prompt: dict, point: Point) -> dict:
    """A copy of `prompt` with the point's text and values; the negative text stays."""
    emotion = next(one for one in prompt.values() if one["class_type"] == "EmotiCrafterConditioning")
    text_id = emotion["inputs"]["conditioning"][0]
    text = {**prompt[text_id], "inputs": {**prompt[text_id]["inputs"], "text": point.text}}
    return workflow.set_inputs(
        {**prompt, text_id: text}, "EmotiCrafterConditioning", valence=point.valence, arousal=point.arousal
    )


def make_pictures(running: server.Server, prompt: dict, points: list[Point]) -> dict[Point, bytes]:
    """One picture (PNG bytes) for each point; equal points are drawn once."""
    pictures, ends = {}, []
    points = list(dict.fromkeys(points))
    for point in points:
        pictures[point] = running.queue(at_point(prompt, point)).images[0]
        ends.append(time.monotonic())
        _show_progress(ends, len(points))
    return pictures


def _show_progress(ends: list[float], of: int) -> None:
    """Say how many are done and how long the rest takes; `ends` are the times at which each was."""
    done, text = len(ends), f"{len(ends)} of {of} pictures"
    if 1 < done < of:  # the first one held the loading too
        text += f", about {(ends[-1] - ends[0]) / (done - 1) * (of - done):.0f} s left"
    if sys.stdout.isatty():
        print(f"\r{text:<50}", end="\n" if done == of else "", flush=True)
    elif done % 10 == 0 or done == of:
        print(text, flush=True)


# ---- the grid and the strip ------------------------------------------------------------------------

CELL, GAP, LEFT, TOP, BELOW = 200, 6, 120, 40, 150
STRIP_CELL, STRIP_COLUMNS, STRIP_TITLE, STRIP_LABEL = 128, 16, 56, 30
INK, FAINT = (30, 30, 30), (110, 110, 110)


def draw_grid(pictures: dict[Point, bytes], text: str, values: list[float], caption: str):
    """A labelled PIL image of a prompt's pictures: valence to the right, arousal upwards."""
    from PIL import Image, ImageDraw

    side = len(values) * (CELL + GAP) - GAP
    grid = Image.new("RGB", (LEFT + side + TOP, TOP + side + BELOW), "white")
    draw = ImageDraw.Draw(grid)
    for point in grid_points(text, values):
        column, row = values.index(point.valence), len(values) - 1 - values.index(point.arousal)
        corner = (LEFT + column * (CELL + GAP), TOP + row * (CELL + GAP))
        grid.paste(_picture(pictures[point], CELL), corner)
    for index, value in enumerate(values):
        middle = index * (CELL + GAP) + CELL / 2
        _write(draw, (LEFT + middle, TOP + side + 10), _signed(value), 20, "ma")
        _write(draw, (LEFT - 12, TOP + side - middle), _signed(value), 20, "rm")
    _write(draw, (LEFT + side / 2, TOP + side + 42), "valence", 24, "ma")
    _paste_upright(grid, "arousal", (LEFT - 80, TOP + side // 2))
    _write(draw, (LEFT, TOP + side + 88), caption, 17, "la", FAINT, width=side)
    _write(draw, (LEFT, TOP + side + 112), MODELS_NOTE, 17, "la", FAINT, width=side)
    return grid


def draw_strip(pictures: dict[Point, bytes], text: str, step: float, caption: str):
    """A labelled PIL image of a prompt along valence, then along arousal, each wrapped into rows."""
    from PIL import Image, ImageDraw

    bands = strip_points(text, step)
    pitch, row_height = STRIP_CELL + GAP, STRIP_CELL + STRIP_LABEL
    rows = [-(-len(points) // STRIP_COLUMNS) for points in bands.values()]
    width = STRIP_COLUMNS * pitch - GAP + 2 * TOP
    strip = Image.new("RGB", (width, sum(STRIP_TITLE + n * row_height for n in rows) + 90), "white")
    draw, top = ImageDraw.Draw(strip), 0
    for (axis, points), count in zip(bands.items(), rows, strict=True):
        other = "arousal" if axis == "valence" else "valence"
        _write(draw, (TOP, top + STRIP_TITLE - 12), f"{axis} in steps of {step:g}, {other} 0", 24, "ls")
        for index, point in enumerate(points):
            row, column = divmod(index, STRIP_COLUMNS)
            x, y = TOP + column * pitch, top + STRIP_TITLE + row * row_height
            strip.paste(_picture(pictures[point], STRIP_CELL), (x, y))
            middle = (x + STRIP_CELL / 2, y + STRIP_CELL + 4)
            _write(draw, middle, _signed(getattr(point, axis)), 18, "ma")
        top += STRIP_TITLE + count * row_height
    _write(draw, (TOP, top + 16), caption, 17, "la", FAINT, width=width - 2 * TOP)
    _write(draw, (TOP, top + 40), MODELS_NOTE, 17, "la", FAINT, width=width - 2 * TOP)
    return strip


def _picture(content: bytes, size: int):
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        return picture.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)


def _write(draw, position, text, size, anchor, colour=INK, width=None) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    while width and draw.textlength(text, font) > width:
        text = text.rstrip("…")[:-1] + "…"
    draw.text(position, text, colour, font, anchor=anchor)


def _paste_upright(grid, text: str, centre: tuple[int, int]) -> None:
    """Write `text` from bottom to top around `centre`."""
    from PIL import Image, ImageDraw

    label = Image.new("RGB", (160, 36), "white")
    _write(ImageDraw.Draw(label), (80, 18), text, 24, "mm")
    label = label.rotate(90, expand=True)
    grid.paste(label, (centre[0] - label.width // 2, centre[1] - label.height // 2))


def _signed(value: float) -> str:
    return f"{value:+g}" if value else "0"


def seed_of(prompt: dict) -> int:
    return next(one["inputs"]["seed"] for one in prompt.values() if "seed" in one["inputs"])


def save(picture, path: Path) -> None:
    """Write a PNG; an interrupted run leaves an earlier one as it was."""
    write_atomically(path, lambda temporary: picture.save(temporary, "PNG"))


# ---- the command -----------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> list[Path]:
    """The whole demo. Gives the paths of the pictures."""
    texts, values = list(dict.fromkeys(options.prompts)), sorted(set(options.values))
    points = [point for text in texts for point in grid_points(text, values)]
    for band in strip_points(texts[0], options.strip).values():
        points += band
    with tempfile.TemporaryDirectory(prefix="emoticrafter-demo-") as base:
        running = server.Server(Path(base), port=options.port)
        print("Starting ComfyUI", flush=True)
        with running:
            prompt = base_prompt(running.object_info(), options.steps)
            print(f"ComfyUI is up at {running.address}", flush=True)
            pictures = make_pictures(running, prompt, points)
    folder, seed = options.output.resolve(), f"seed {seed_of(prompt)}"
    drawn = {
        f"emotion_grid_{number}.png": draw_grid(pictures, text, values, f"“{text}”, {seed}")
        for number, text in enumerate(texts, 1)
    }
    drawn["emotion_strip.png"] = draw_strip(pictures, texts[0], options.strip, f"“{texts[0]}”, {seed}")
    for name, picture in drawn.items():
        save(picture, folder / name)
    return [folder / name for name in drawn]


def _number_in(low: float, high: float):
    """A reader of numbers in a range, for the command line."""

    @told
    def read(text: str) -> float:
        value = read_number(text, high)
        if not low <= value <= high:
            raise ValueError(f"{text} is outside {low:g} to {high:g}")
        return value

    return read


def _parser() -> argparse.ArgumentParser:
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--port", type=told(read_whole), help="port on 127.0.0.1 for ComfyUI (default: a free one)")
    add("--output", type=Path, default=ROOT / "output", help="folder to write into (%(default)s)")
    add("--prompts", nargs="+", default=list(PROMPTS), metavar="TEXT", help="one grid each")
    point = _number_in(-3, 3)
    add("--values", type=point, nargs="+", default=list(VALUES), help="the grid's points on both axes, -3 to 3")
    add(
        "--strip",
        type=_number_in(0.1, 6),
        default=STRIP_STEP,
        metavar="STEP",
        help="steps of the strip, 0.1 to 6 (%(default)s)",
    )
    add("--steps", type=told(read_whole), help="sampling steps (default: the workflow's)")
    return parser


def _continue_in_environment() -> None:
    """Install what is missing and continue in .venv/, whichever Python started this."""
    installation.install()
    if Path(sys.prefix).resolve() == installation.ENVIRONMENT.resolve():
        return
    command = [str(installation.python_in(installation.ENVIRONMENT)), str(Path(__file__).resolve()), *sys.argv[1:]]
    if os.name == "nt":  # execv there would return to the shell before the demo is over
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)  # noqa: S606


def main() -> None:
    options = _parser().parse_args()
    try:
        if not WEIGHTS.is_file():
            raise DemoError(f"{WEIGHTS} is missing: is this a complete checkout?")
        _continue_in_environment()
        for path in run(options):
            print(f"Wrote {path}")
    except (installation.SetupError, DemoError, workflow.WorkflowError) as error:
        sys.exit(f"error: {error}")
    except server.PromptError as error:
        sys.exit(f"error: ComfyUI could not make a picture. {error}")
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.")
        sys.exit(130)


if __name__ == "__main__":
    main()
