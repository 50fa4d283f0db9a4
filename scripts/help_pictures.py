"""Draw the pictures of the help pages and of the guide, into web/docs/images/.

    .venv/bin/python scripts/help_pictures.py                 # all of them, a few minutes
    .venv/bin/python scripts/help_pictures.py grid path       # only these

Nodes are photographed in the real interface, in Chromium; what they make is drawn by the miniature in the real
server.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from emoticrafter.files import write_atomically  # noqa: E402
from scripts import installation, server  # noqa: E402
from scripts.help_graphs import FIGURES, ROWS, Graph  # noqa: E402
from scripts.help_scenes import LOOK, SCENES, TEMPLATE, photographs  # noqa: E402

IMAGES = ROOT / "web" / "docs" / "images"
WEIGHTS = ROOT / "miniature" / "unet.safetensors"
LARGEST = 100_000  # bytes of a picture: people load them with the page
LISTED = ("emoticrafter/scale_factor_1.0.safetensors", "emoticrafter_baselines/cross_attention.safetensors")
"""Empty files for the lists of the loaders that are photographed."""


# ---- what the nodes make ---------------------------------------------------------------------------


def draw_figure(running: server.Server, name: str) -> None:
    graph = Graph()
    FIGURES[name](graph)
    for saved, files in run(running, graph).items():
        if saved == "loop":
            write(files[0], saved)
        else:
            save(opened(files[0]), saved)


def draw_row(running: server.Server, name: str) -> None:
    graph = Graph()
    prompts = ROWS[name](graph)
    graph.rows(name, prompts)
    files = run(running, graph)
    save(joined([opened(files[f"{name} {n}"][0]) for n in range(len(prompts))], list(prompts)), name)


def run(running: server.Server, graph: Graph) -> dict[str, list[bytes]]:
    """The saved files by the node that saved them."""
    result = running.queue(graph, seconds=1200)
    files = iter(result.images)
    shown = {name: result.outputs[name].get("images", []) for name in sorted(result.outputs)}
    found = {name: [next(files) for _ in images] for name, images in shown.items()}
    return {name: images for name, images in found.items() if graph[name]["class_type"].startswith("Save")}


# ---- files -----------------------------------------------------------------------------------------


def opened(content: bytes):
    from PIL import Image

    return Image.open(io.BytesIO(content)).convert("RGB")


def joined(pictures: list, labels: list[str]):
    """Pictures of one size side by side on white, each with its label beneath."""
    from PIL import Image, ImageDraw, ImageFont

    gap, below = 6, 28
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + gap) - gap, height + below), "white")
    draw = ImageDraw.Draw(row)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x = number * (width + gap)
        row.paste(picture, (x, 0))
        draw.text((x + width / 2, height + 5), label, (30, 30, 30), ImageFont.load_default(15), anchor="ma")
    return row


def save(picture, name: str) -> None:
    """Writes a WebP of the best quality that fits its size limit."""
    for quality in (90, 80, 65, 50):
        content = io.BytesIO()
        picture.save(content, "WEBP", quality=quality, method=6)
        if content.tell() < LARGEST:
            break
    write(content.getvalue(), name)


def write(content: bytes, name: str) -> None:
    path = IMAGES / f"{name}.webp"
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    print(f"{path.relative_to(ROOT)}: {len(content) / 1000:.0f} kB", flush=True)


# ---- the command -----------------------------------------------------------------------------------


def draw(names: list[str]) -> None:
    if set(names) - SCENES.keys() - {"route"} and not WEIGHTS.is_file():
        raise installation.SetupError(f"{WEIGHTS} is missing: is this a complete checkout?")
    with tempfile.TemporaryDirectory(prefix="emoticrafter-pictures-") as base:
        running = server.Server(Path(base))
        for file in LISTED:
            (running.models / file).parent.mkdir(parents=True, exist_ok=True)
            (running.models / file).touch()
        with running:
            for name in names:
                if name in FIGURES:
                    draw_figure(running, name)
                elif name in ROWS:
                    draw_row(running, name)
            if scenes := [name for name in names if name in (*SCENES, TEMPLATE, LOOK)]:
                for name, photo in photographs(running, scenes):
                    save(opened(photo), name)


def main() -> None:
    known = [*FIGURES, *ROWS, *SCENES, TEMPLATE, LOOK]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}")
    names = list(dict.fromkeys(parser.parse_args().names)) or known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no {unknown[0]!r}: expected one of {', '.join(known)}")
    try:
        draw(names)
    except installation.SetupError as error:
        sys.exit(f"error: {error}")
    except server.PromptError as error:
        sys.exit(f"error: ComfyUI could not make a picture. {error}")


if __name__ == "__main__":
    main()
