"""Make a grid of pictures over valence and arousal with a real ComfyUI: `make demo`, or `python scripts/demo.py`.

Starts the server (installing what is missing first), runs the shipped workflow once per point of the plane with
the same seed, and writes a labelled grid to output/. Needs no GPU and no downloaded model.
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

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from scripts import comfyui, server, stand_ins, workflow  # noqa: E402

WORKFLOW = ROOT / "workflows" / "emotional_text_to_image.json"
VALUES = (-3.0, -1.5, 0.0, 1.5, 3.0)
SIZE, STEPS, CFG = 256, 4, 4.0

# The demo's models: whatever replaces them changes these two lines and nothing else.
use_models = stand_ins.swap_loaders
MODELS_NOTE = "Untrained stand-ins for SDXL and the emotion network: patterns, not scenes."


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why."""


# ---- the pictures ----------------------------------------------------------------------------------


def base_prompt(object_info: dict, size: int, steps: int) -> dict:
    """The shipped workflow as a prompt, with the demo's models and sizes."""
    try:
        saved = json.loads(WORKFLOW.read_text("utf-8"))
    except FileNotFoundError:
        raise DemoError(f"{WORKFLOW} is missing: is this a complete checkout?") from None
    prompt = use_models(workflow.to_prompt(saved, object_info))
    prompt = workflow.set_inputs(prompt, "EmptyLatentImage", width=size, height=size)
    return workflow.set_inputs(prompt, "KSampler", steps=steps, cfg=CFG)


def make_pictures(running: server.Server, prompt: dict, values: list[float]) -> dict:
    """One picture (PNG bytes) per (valence, arousal), arousal falling row by row."""
    points = [(valence, arousal) for arousal in reversed(values) for valence in values]
    pictures, ends = {}, []
    for valence, arousal in points:
        emotional = workflow.set_inputs(prompt, "EmotiCrafterConditioning", valence=valence, arousal=arousal)
        pictures[valence, arousal] = running.queue(emotional).images[0]
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
    else:
        print(text, flush=True)


# ---- the grid --------------------------------------------------------------------------------------

CELL, GAP, LEFT, TOP, BELOW = 200, 6, 120, 40, 150
INK, FAINT = (30, 30, 30), (110, 110, 110)


def draw_grid(pictures: dict, values: list[float], caption: str):
    """A labelled PIL image of the pictures: valence to the right, arousal upwards."""
    from PIL import Image, ImageDraw

    side = len(values) * (CELL + GAP) - GAP
    grid = Image.new("RGB", (LEFT + side + TOP, TOP + side + BELOW), "white")
    draw = ImageDraw.Draw(grid)
    for (valence, arousal), content in pictures.items():
        column, row = values.index(valence), len(values) - 1 - values.index(arousal)
        corner = (LEFT + column * (CELL + GAP), TOP + row * (CELL + GAP))
        with Image.open(io.BytesIO(content)) as picture:
            grid.paste(picture.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS), corner)
    for index, value in enumerate(values):
        middle = index * (CELL + GAP) + CELL / 2
        _write(draw, (LEFT + middle, TOP + side + 10), _signed(value), 20, "ma")
        _write(draw, (LEFT - 12, TOP + side - middle), _signed(value), 20, "rm")
    _write(draw, (LEFT + side / 2, TOP + side + 42), "valence", 24, "ma")
    _paste_upright(grid, "arousal", (LEFT - 80, TOP + side // 2))
    _write(draw, (LEFT, TOP + side + 88), caption, 17, "la", FAINT, width=side)
    _write(draw, (LEFT, TOP + side + 112), MODELS_NOTE, 17, "la", FAINT, width=side)
    return grid


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


def caption_of(prompt: dict) -> str:
    """The prompt's positive text and its seed."""
    node = next(one for one in prompt.values() if one["class_type"] == "EmotiCrafterConditioning")
    text = prompt[node["inputs"]["conditioning"][0]]["inputs"].get("text", "")
    seed = next(one["inputs"]["seed"] for one in prompt.values() if "seed" in one["inputs"])
    return f"“{text}”, seed {seed}"


def save(grid, path: Path) -> None:
    """Write the grid; an interrupted run leaves an earlier one as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    grid.save(part, "PNG")
    part.replace(path)


# ---- the command -----------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> Path:
    """The whole demo. Gives the path of the grid."""
    values = sorted(set(options.values))
    with tempfile.TemporaryDirectory(prefix="emoticrafter-demo-") as base:
        running = server.Server(Path(base), port=options.port)
        print("Starting ComfyUI", flush=True)
        with running:
            stand_ins.write_stand_ins(running.base)
            prompt = base_prompt(running.object_info(), options.size, options.steps)
            print(f"ComfyUI is up at {running.address}", flush=True)
            pictures = make_pictures(running, prompt, values)
    path = options.output.resolve()
    save(draw_grid(pictures, values, caption_of(prompt)), path)
    return path


def _point(text: str) -> float:
    value = float(text)
    if not -3 <= value <= 3:
        raise argparse.ArgumentTypeError(f"{text} is outside -3 to 3")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, help="port on 127.0.0.1 for ComfyUI (default: a free one)")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "output" / "emotion_grid.png",
        help="file to write (%(default)s)",
    )
    parser.add_argument("--size", type=int, default=SIZE, help="pixels of a picture's side (%(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="sampling steps (%(default)s)")
    parser.add_argument(
        "--values", type=_point, nargs="+", default=list(VALUES), help="points on both axes, -3 to 3"
    )
    return parser


def _continue_in_environment() -> None:
    """Install what is missing and go on in .venv/, whichever Python this was started with."""
    comfyui.install()
    if Path(sys.prefix).resolve() == comfyui.ENVIRONMENT.resolve():
        return
    command = [str(comfyui.python_in(comfyui.ENVIRONMENT)), str(Path(__file__).resolve()), *sys.argv[1:]]
    if os.name == "nt":  # execv there would return to the shell before the demo is over
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)  # noqa: S606


def main() -> None:
    options = _parser().parse_args()
    try:
        _continue_in_environment()
        print(f"Wrote {run(options)}")
    except (comfyui.SetupError, DemoError, workflow.WorkflowError) as error:
        sys.exit(f"error: {error}")
    except server.PromptError as error:
        sys.exit(f"error: ComfyUI could not make a picture. {error}")
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.")
        sys.exit(130)


if __name__ == "__main__":
    main()
