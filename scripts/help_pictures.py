"""Draw the pictures of the help pages and of the guide, into web/docs/images/.

    .venv/bin/python scripts/help_pictures.py                 # all of them, a few minutes
    .venv/bin/python scripts/help_pictures.py grid path       # these alone

Nodes are photographed in the real interface, in Chromium; what they make is drawn by the miniature in the real
server.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from scripts import browser, comfyui, server  # noqa: E402

IMAGES = ROOT / "web" / "docs" / "images"
WEIGHTS = ROOT / "miniature" / "unet.safetensors"
LARGEST = 100_000  # bytes of a picture: people load them with the page
SIZE = 128
SAMPLING = {
    "seed": 7,
    "steps": 20,
    "cfg": 3.0,
    "sampler_name": "euler",
    "scheduler": "simple",
    "denoise": 1.0,
}
NETWORK_NAME = "scale_factor_1.0.safetensors"
HOUSE, BOAT, FACE = (
    "a house in a meadow at noon",
    "a sailing boat on the water at the beach at sunset",
    "a portrait of a person in a forest at noon",
)
JOY, GLOOM = {"valence": 2.5, "arousal": 1.5}, {"valence": -2.5, "arousal": -1.0}


# ---- what the nodes look like ----------------------------------------------------------------------


class Scene(NamedTuple):
    """Nodes side by side: columns of (class, its values), and links as (class, output, class, input)."""

    columns: list[list[tuple[str, dict]]]
    links: Sequence[tuple[str, str, str, str]] = ()


TEXT = ("CLIPTextEncode", {"text": "a wooden house by a lake"})
LOADER = ("EmotiCrafterLoader", {})
ENCODER = ("EmotiCrafterVAEncoder", {"valence": -2.5, "arousal": 2})
PATH = (
    "EmotiCrafterPath",
    {"keyframes": "0% calm\n33% happy\n66% excited", "easing": "smooth", "closed": True},
)

SCENES = {
    "EmotiCrafterLoader": Scene(
        [[LOADER], [("EmotiCrafterVAEncoder", {})]],
        [("EmotiCrafterLoader", "EMOTION_NETWORK", "EmotiCrafterVAEncoder", "network")],
    ),
    "EmotiCrafterConditioning": Scene(
        [[TEXT, LOADER], [("EmotiCrafterConditioning", {"valence": 2, "arousal": 1})]],
        [
            ("CLIPTextEncode", "CONDITIONING", "EmotiCrafterConditioning", "conditioning"),
            ("EmotiCrafterLoader", "EMOTION_NETWORK", "EmotiCrafterConditioning", "network"),
        ],
    ),
    "EmotiCrafterVAEncoder": Scene(
        [[LOADER, ENCODER], [("EmotiCrafterInjection", {})]],
        [
            ("EmotiCrafterLoader", "EMOTION_NETWORK", "EmotiCrafterVAEncoder", "network"),
            ("EmotiCrafterVAEncoder", "EMOTION", "EmotiCrafterInjection", "emotion"),
        ],
    ),
    "EmotiCrafterInjection": Scene(
        [[TEXT, ENCODER], [("EmotiCrafterInjection", {})]],
        [
            ("CLIPTextEncode", "CONDITIONING", "EmotiCrafterInjection", "conditioning"),
            ("EmotiCrafterVAEncoder", "EMOTION", "EmotiCrafterInjection", "emotion"),
        ],
    ),
    "EmotiCrafterValenceArousal": Scene(
        [[("EmotiCrafterValenceArousal", {"valence": 1.85, "arousal": 2.25})]]
    ),
    "EmotiCrafterPreset": Scene(
        [
            [
                (
                    "EmotiCrafterPreset",
                    {"emotion": "calm (Russell)", "blend_with": "excited (Russell)", "blend": 0.25},
                )
            ],
            [("EmotiCrafterVAEncoder", {})],
        ],
        [
            ("EmotiCrafterPreset", "valence", "EmotiCrafterVAEncoder", "valence"),
            ("EmotiCrafterPreset", "arousal", "EmotiCrafterVAEncoder", "arousal"),
        ],
    ),
    "EmotiCrafterGrid": Scene(
        [[LOADER, ("EmptyLatentImage", {"width": 1024, "height": 1024})], [("EmotiCrafterGrid", {})]],
        [
            ("EmotiCrafterLoader", "EMOTION_NETWORK", "EmotiCrafterGrid", "network"),
            ("EmptyLatentImage", "LATENT", "EmotiCrafterGrid", "latent"),
        ],
    ),
    "EmotiCrafterPath": Scene(
        [[PATH], [("EmotiCrafterMap", {})]], [("EmotiCrafterPath", "points", "EmotiCrafterMap", "asked")]
    ),
    "EmotiCrafterGridImage": Scene(
        [[("EmotiCrafterGrid", {})], [("EmotiCrafterGridImage", {"title": HOUSE, "cell_size": 256})]],
        [("EmotiCrafterGrid", "points", "EmotiCrafterGridImage", "points")],
    ),
    "EmotiCrafterRegional": Scene(
        [[("EmotiCrafterRegional", JOY)], [("EmotiCrafterRegional 2", GLOOM)]],
        [("EmotiCrafterRegional", "CONDITIONING", "EmotiCrafterRegional 2", "conditioning")],
    ),
    "EmotiCrafterReadEmotion": Scene(
        [[("EmotiCrafterGrid", {}), ("EmotiCrafterReadEmotion", {})], [("EmotiCrafterMap", {})]],
        [
            ("EmotiCrafterGrid", "points", "EmotiCrafterMap", "asked"),
            ("EmotiCrafterReadEmotion", "points", "EmotiCrafterMap", "read"),
        ],
    ),
    "EmotiCrafterRewrite": Scene(
        [
            [
                (
                    "EmotiCrafterRewrite",
                    {
                        "text": "a wooden house by a lake",
                        "valence": 2,
                        "arousal": -1,
                        "base_url": "http://127.0.0.1:11434/v1",
                        "model": "llama3.2",
                    },
                )
            ],
            [("CLIPTextEncode", {})],
        ],
        [("EmotiCrafterRewrite", "prompt", "CLIPTextEncode", "text")],
    ),
    "EmotiCrafterMiniature": Scene(
        [[("EmotiCrafterMiniature", {})], [("CLIPTextEncode", {"text": HOUSE})]],
        [("EmotiCrafterMiniature", "CLIP", "CLIPTextEncode", "clip")],
    ),
    "EmotiCrafterBaseline": Scene([[("EmotiCrafterBaseline", {"text": "a wooden house by a lake"})]]),
}

READY = """() => window.LiteGraph?.registered_node_types?.EmotiCrafterConditioning !== undefined
    && !!window.app?.extensionManager?.workflow?.activeWorkflow?.changeTracker"""
MAKE = """async (columns) => {
    await app.loadGraphData({ last_node_id: 0, last_link_id: 0, nodes: [], links: [], version: 0.4, extra: {} });
    window.made = {};
    for (const [name, values] of columns.flat()) {
        const node = made[name] = LiteGraph.createNode(name.split(" ")[0]);
        app.graph.add(node);
        for (const widget of node.widgets ?? []) if (widget.name in values) widget.value = values[widget.name];
    }
}"""
PLACE = """([columns, links]) => {
    const slot = (slots, name) => slots.findIndex((one) => one.name === name);
    let x = 0;
    for (const column of columns) {
        let y = 0;
        for (const [name] of column) {
            made[name].pos = [x, y];
            y += made[name].size[1] + 70;
        }
        x += Math.max(...column.map(([name]) => made[name].size[0])) + 70;
    }
    for (const [source, output, target, input] of links)
        made[source].connect(slot(made[source].outputs, output), made[target], slot(made[target].inputs, input));
    Object.assign(app.canvas.ds, { scale: 1, offset: [300, 160] });
    app.canvas.setDirty(true, true);
}"""
BOX = """() => {
    const corner = app.canvas.canvas.getBoundingClientRect();
    const nodes = Object.values(made);
    const [x, y] = [Math.min(...nodes.map((n) => n.pos[0])), Math.min(...nodes.map((n) => n.pos[1])) - 30];
    const right = Math.max(...nodes.map((n) => n.pos[0] + n.size[0]));
    const bottom = Math.max(...nodes.map((n) => n.pos[1] + n.size[1]));
    return { x: corner.x + 300 + x, y: corner.y + 160 + y, width: right - x, height: bottom - y };
}"""


def photograph(running: server.Server, names: list[str]) -> None:
    """Writes the pictures of these scenes."""
    from playwright.sync_api import sync_playwright

    running.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False})
    with (
        sync_playwright() as playwright,
        # Chromium's sandbox does not start as root, and the only pages are our own server's.
        playwright.chromium.launch(executable_path=browser.chromium(), args=["--no-sandbox"]) as chromium,
    ):
        page = chromium.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(900_000)  # milliseconds, for a busy machine
        page.goto(running.address, wait_until="commit")
        page.wait_for_function(READY)
        for name in names:
            save(photo(page, SCENES[name]), name)


def photo(page, scene: Scene):
    page.evaluate(MAKE, scene.columns)
    page.wait_for_timeout(500)  # the pads ask for their height some frames later
    page.evaluate(PLACE, [scene.columns, scene.links])
    page.wait_for_timeout(500)
    page.mouse.move(2, 2)
    box, edge = page.evaluate(BOX), 12
    box = {
        "x": box["x"] - edge,
        "y": box["y"] - edge,
        "width": box["width"] + 2 * edge,
        "height": box["height"] + 2 * edge,
    }
    return opened(page.screenshot(clip=box))


# ---- what they make --------------------------------------------------------------------------------


class Graph(dict):
    """A prompt of the miniature, node by node; every method gives the link to what it added."""

    def add(self, class_type: str, name: str | None = None, slot: int = 0, **inputs) -> list:
        name = name or f"{len(self) + 1}"
        self[name] = {"class_type": class_type, "inputs": inputs}
        return [name, slot]

    def part(self, slot: int) -> list:
        """The miniature's MODEL (0), CLIP (1), VAE (2) or network (3)."""
        return self.add("EmotiCrafterMiniature", "miniature", slot)

    def text(self, text: str) -> list:
        return self.add("CLIPTextEncode", f"text {text}", clip=self.part(1), text=text)

    def emotional(self, text: str, **values) -> list:
        inputs = {"network": self.part(3), "valence": 0.0, "arousal": 0.0, "strength": 1.0}
        return self.add("EmotiCrafterConditioning", conditioning=self.text(text), **inputs | values)

    def latent(self) -> list:
        return self.add("EmptyLatentImage", "latent", width=SIZE, height=SIZE, batch_size=1)

    def drawn(self, positive: list, **changed) -> list:
        """A sampled and decoded picture, or as many as lists and batches bring."""
        inputs = {"model": self.part(0), "positive": positive, "negative": self.text("")}
        inputs |= {"latent_image": self.latent(), **SAMPLING, **changed}
        return self.add("VAEDecode", samples=self.add("KSampler", **inputs), vae=self.part(2))

    def grid(self, **values) -> str:
        inputs = {"columns": 5, "rows": 5, "valence_min": -3.0, "valence_max": 3.0}
        inputs |= {"arousal_min": -3.0, "arousal_max": 3.0}
        return self.add("EmotiCrafterGrid", **inputs | values)[0]

    def path(
        self, keyframes: str, frames: int, easing: str = "linear", closed: bool = False, **inputs
    ) -> str:
        values = {"keyframes": keyframes, "frames": frames, "easing": easing, "closed": closed}
        return self.add("EmotiCrafterPath", **values | inputs)[0]

    def at_points(self, text: str, points: str, **changed) -> list:
        """A list of pictures, one for each point of a grid or path."""
        return self.drawn(self.emotional(text, valence=[points, 1], arousal=[points, 2]), **changed)

    def save(self, name: str, images: list) -> None:
        self.add("SaveImage", name, images=images, filename_prefix="help")

    def laid_out(self, name: str, images: list, points: str, title: str = "", columns: int = 0) -> None:
        values = {"title": title, "cell_size": 0, "columns": columns}
        figure = self.add("EmotiCrafterGridImage", images=images, points=[points, 3], **values)
        self.save(name, figure)

    def rows(self, name: str, prompts: dict[str, list]) -> None:
        """Pictures of several conditionings, to be joined with a label each."""
        for number, positive in enumerate(prompts.values()):
            self.save(f"{name} {number}", self.drawn(positive))


def chart(graph: Graph) -> None:
    points = graph.grid(columns=3, rows=3)
    graph.laid_out("chart", graph.at_points(FACE, points), points, FACE)


def grid(graph: Graph) -> None:
    """The 5 x 5 grid, and what is read from it."""
    points = graph.grid()
    images = graph.at_points(HOUSE, points)
    graph.laid_out("grid", images, points, HOUSE)
    reader = "miniature (only for its own pictures)"
    readings, _ = graph.add("EmotiCrafterReadEmotion", images=images, reader=reader)
    graph.save("map", graph.add("EmotiCrafterMap", size=512, asked=[points, 3], read=[readings, 2]))


def path(graph: Graph) -> None:
    """The loop of the help page, as a strip and as an animation."""
    keyframes = PATH[1]["keyframes"]
    points = graph.path(keyframes, 16, "smooth", True, network=graph.part(3), latent=graph.latent())
    text = graph.text(BOAT)
    emotion = {"conditioning": text, "emotion": [points, 0], "strength": 1.0}
    images = graph.drawn(graph.add("EmotiCrafterInjection", **emotion), latent_image=[points, 5])
    graph.laid_out("path", images, points, columns=8)
    animation = {"fps": 6.0, "lossless": False, "quality": 80, "method": "default"}
    graph.add("SaveAnimatedWEBP", "loop", images=images, filename_prefix="help", **animation)


def route(graph: Graph) -> None:
    """The way of the same loop on the plane; takes no model."""
    points = graph.path(PATH[1]["keyframes"], 16, "smooth", True)
    graph.save("route", graph.add("EmotiCrafterMap", size=512, asked=[points, 3]))


def blend(graph: Graph) -> None:
    points = graph.path("0% calm\n100% excited", 5)
    graph.laid_out("blend", graph.at_points(HOUSE, points), points)


def another_mood(graph: Graph) -> None:
    """One picture in five moods, begun from itself."""
    source = graph.drawn(graph.text(HOUSE))
    latent = graph.add("VAEEncode", pixels=source, vae=graph.part(2))
    points = graph.grid(rows=1, arousal_min=0.0, arousal_max=0.0, latent=latent)
    changed = {"latent_image": latent, "denoise": 0.6}
    graph.laid_out("another_mood", graph.at_points(HOUSE, points, **changed), points)


def strengths(graph: Graph) -> dict[str, list]:
    joy = {"valence": -2.5, "arousal": 1.5}
    return {
        f"strength {number:g}": graph.emotional(BOAT, strength=number, **joy)
        for number in (0, 0.5, 1, 1.5, 2)
    }


def starts(graph: Graph) -> dict[str, list]:
    prompts = {"plain": graph.text(FACE)}
    for start in (0.6, 0.4, 0.2, 0.0):
        prompts[f"start {start:g}"] = graph.emotional(FACE, start_percent=start, **JOY)
    return prompts


def regions(graph: Graph) -> dict[str, list]:
    """Joyful on the left, gloomy on the right."""
    black = graph.add("SolidMask", value=0.0, width=SIZE, height=SIZE)
    white = graph.add("SolidMask", value=1.0, width=SIZE // 2, height=SIZE)
    positive = graph.text(BOAT)
    for x, mood in ((0, JOY), (SIZE // 2, GLOOM)):
        mask = graph.add("MaskComposite", destination=black, source=white, x=x, y=0, operation="add")
        inputs = {"network": graph.part(3), "strength": 1.0, "feather": 0.1, "mask": mask}
        positive = graph.add("EmotiCrafterRegional", conditioning=positive, **inputs | mood)
    return {
        "plain": graph.text(BOAT),
        "joyful": graph.emotional(BOAT, **JOY),
        "gloomy": graph.emotional(BOAT, **GLOOM),
        "left and right": positive,
    }


def subjects(graph: Graph) -> dict[str, list]:
    prompts = {
        "cat": "a cat in a forest in the daytime",
        "windmill": "a windmill in a meadow at sunset",
        "campfire": "a campfire in the snow at night",
        "lighthouse": "a lighthouse by the water at dawn",
        "portrait": FACE,
    }
    return {label: graph.text(text) for label, text in prompts.items()}


FIGURES: dict[str, Callable[[Graph], None]] = {
    one.__name__: one for one in (chart, grid, path, route, blend, another_mood)
}
"""Graphs whose saved pictures are taken as they are, by the names of the nodes that save them."""
ROWS: dict[str, Callable[[Graph], dict[str, list]]] = {
    one.__name__: one for one in (strengths, starts, regions, subjects)
}
"""Prompts by their labels, to be drawn side by side."""


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
    """Writes a WebP, as good as its place allows."""
    for quality in (90, 80, 65, 50):
        content = io.BytesIO()
        picture.save(content, "WEBP", quality=quality, method=6)
        if content.tell() < LARGEST:
            break
    write(content.getvalue(), name)


def write(content: bytes, name: str) -> None:
    path = IMAGES / f"{name}.webp"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
    print(f"{path.relative_to(ROOT)}: {len(content) / 1000:.0f} kB", flush=True)


# ---- the command -----------------------------------------------------------------------------------


def draw(names: list[str]) -> None:
    if set(names) - SCENES.keys() - {"route"} and not WEIGHTS.is_file():
        raise comfyui.SetupError(f"{WEIGHTS} is missing: is this a complete checkout?")
    with tempfile.TemporaryDirectory(prefix="emoticrafter-pictures-") as base:
        running = server.Server(Path(base))
        (running.models / "emoticrafter" / NETWORK_NAME).touch()  # for the loader's list
        with running:
            for name in names:
                if name in FIGURES:
                    draw_figure(running, name)
                elif name in ROWS:
                    draw_row(running, name)
            if scenes := [name for name in names if name in SCENES]:
                photograph(running, scenes)


def main() -> None:
    known = [*FIGURES, *ROWS, *SCENES]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}")
    names = list(dict.fromkeys(parser.parse_args().names)) or known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no {unknown[0]!r}: expected one of {', '.join(known)}")
    try:
        draw(names)
    except comfyui.SetupError as error:
        sys.exit(f"error: {error}")
    except server.PromptError as error:
        sys.exit(f"error: ComfyUI could not make a picture. {error}")


if __name__ == "__main__":
    main()
