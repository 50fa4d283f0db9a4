"""The nodes as they look in the real interface, each photographed with those it is usually linked to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.browser import READY, launched
from scripts.help_graphs import GLOOM, HOUSE, JOY, KEYFRAMES
from scripts.server import Server

ROOT = Path(__file__).resolve().parent.parent


class Scene(NamedTuple):
    """Nodes as (class, its values), and links as (class, output, class, input).

    They are stacked, because ComfyUI's help panel is narrower than two nodes.
    """

    nodes: list[tuple[str, dict]]
    links: Sequence[tuple[str, str, str, str]] = ()


TEXT = ("CLIPTextEncode", {"text": "a wooden house by a lake"})
LOADER = ("EmotiCrafterLoader", {})
ENCODER = ("EmotiCrafterVAEncoder", {"valence": -2.5, "arousal": 2})
PATH = ("EmotiCrafterPath", {"keyframes": KEYFRAMES, "easing": "smooth", "closed": True})

SCENES = {
    "EmotiCrafterLoader": Scene(
        [LOADER, ("EmotiCrafterVAEncoder", {})],
        [("EmotiCrafterLoader", "EMOTION_NETWORK", "EmotiCrafterVAEncoder", "network")],
    ),
    "EmotiCrafterConditioning": Scene(
        [TEXT, LOADER, ("EmotiCrafterConditioning", {"valence": 2, "arousal": 1})],
        [
            ("CLIPTextEncode", "CONDITIONING", "EmotiCrafterConditioning", "conditioning"),
            ("EmotiCrafterLoader", "EMOTION_NETWORK", "EmotiCrafterConditioning", "network"),
        ],
    ),
    "EmotiCrafterCLIP": Scene(
        [("EmotiCrafterMiniature", {}), ("EmotiCrafterCLIP", {"valence": -2, "arousal": -1}), TEXT],
        [
            ("EmotiCrafterMiniature", "CLIP", "EmotiCrafterCLIP", "clip"),
            ("EmotiCrafterMiniature", "EMOTION_NETWORK", "EmotiCrafterCLIP", "network"),
            ("EmotiCrafterCLIP", "CLIP", "CLIPTextEncode", "clip"),
        ],
    ),
    "EmotiCrafterVAEncoder": Scene(
        [LOADER, ENCODER, ("EmotiCrafterInjection", {})],
        [
            ("EmotiCrafterLoader", "EMOTION_NETWORK", "EmotiCrafterVAEncoder", "network"),
            ("EmotiCrafterVAEncoder", "EMOTION", "EmotiCrafterInjection", "emotion"),
        ],
    ),
    "EmotiCrafterInjection": Scene(
        [TEXT, ENCODER, ("EmotiCrafterInjection", {})],
        [
            ("CLIPTextEncode", "CONDITIONING", "EmotiCrafterInjection", "conditioning"),
            ("EmotiCrafterVAEncoder", "EMOTION", "EmotiCrafterInjection", "emotion"),
        ],
    ),
    "EmotiCrafterValenceArousal": Scene([("EmotiCrafterValenceArousal", {"valence": 1.85, "arousal": 2.25})]),
    "EmotiCrafterPreset": Scene(
        [
            ("EmotiCrafterPreset", {"emotion": "calm (Russell)", "blend_with": "excited (Russell)", "blend": 0.25}),
            ("EmotiCrafterVAEncoder", {}),
        ],
        [
            ("EmotiCrafterPreset", "valence", "EmotiCrafterVAEncoder", "valence"),
            ("EmotiCrafterPreset", "arousal", "EmotiCrafterVAEncoder", "arousal"),
        ],
    ),
    "EmotiCrafterGrid": Scene(
        [LOADER, ("EmptyLatentImage", {"width": 1024, "height": 1024}), ("EmotiCrafterGrid", {})],
        [
            ("EmotiCrafterLoader", "EMOTION_NETWORK", "EmotiCrafterGrid", "network"),
            ("EmptyLatentImage", "LATENT", "EmotiCrafterGrid", "latent"),
        ],
    ),
    "EmotiCrafterPath": Scene(
        [PATH, ("EmotiCrafterMap", {})], [("EmotiCrafterPath", "points", "EmotiCrafterMap", "asked")]
    ),
    "EmotiCrafterGridImage": Scene(
        [("EmotiCrafterGrid", {}), ("EmotiCrafterGridImage", {"title": HOUSE, "cell_size": 256})],
        [("EmotiCrafterGrid", "points", "EmotiCrafterGridImage", "points")],
    ),
    "EmotiCrafterRegional": Scene(
        [("EmotiCrafterRegional", JOY), ("EmotiCrafterRegional 2", GLOOM)],
        [("EmotiCrafterRegional", "CONDITIONING", "EmotiCrafterRegional 2", "conditioning")],
    ),
    "EmotiCrafterReadEmotion": Scene(
        [("EmotiCrafterGrid", {}), ("EmotiCrafterReadEmotion", {}), ("EmotiCrafterMap", {})],
        [
            ("EmotiCrafterGrid", "points", "EmotiCrafterMap", "asked"),
            ("EmotiCrafterReadEmotion", "points", "EmotiCrafterMap", "read"),
        ],
    ),
    "EmotiCrafterRange": Scene(
        [("EmotiCrafterMiniature", {}), ("EmotiCrafterRange", {"cfg": 3.0}), ("EmotiCrafterMap", {})],
        [
            ("EmotiCrafterMiniature", "MODEL", "EmotiCrafterRange", "model"),
            ("EmotiCrafterMiniature", "VAE", "EmotiCrafterRange", "vae"),
            ("EmotiCrafterMiniature", "EMOTION_NETWORK", "EmotiCrafterRange", "network"),
            ("EmotiCrafterRange", "points", "EmotiCrafterMap", "asked"),
        ],
    ),
    "EmotiCrafterRewrite": Scene(
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
            ),
            ("CLIPTextEncode", {}),
        ],
        [("EmotiCrafterRewrite", "prompt", "CLIPTextEncode", "text")],
    ),
    "EmotiCrafterMiniature": Scene(
        [("EmotiCrafterMiniature", {}), ("CLIPTextEncode", {"text": HOUSE})],
        [("EmotiCrafterMiniature", "CLIP", "CLIPTextEncode", "clip")],
    ),
    "EmotiCrafterFit": Scene(
        [("EmotiCrafterMiniature", {}), ("EmotiCrafterFit", {}), ("EmotiCrafterConditioning", {})],
        [
            ("EmotiCrafterMiniature", "CLIP", "EmotiCrafterFit", "clip"),
            ("EmotiCrafterFit", "EMOTION_NETWORK", "EmotiCrafterConditioning", "network"),
        ],
    ),
    "EmotiCrafterBaseline": Scene([("EmotiCrafterBaseline", {"text": "a wooden house by a lake"})]),
}

MAKE = """async (nodes) => {
    await app.loadGraphData({ last_node_id: 0, last_link_id: 0, nodes: [], links: [], version: 0.4, extra: {} });
    window.made = {};
    for (const [name, values] of nodes) {
        const node = made[name] = LiteGraph.createNode(name.split(" ")[0]);
        app.graph.add(node);
        node.size[0] = Math.min(node.size[0], 300);
        for (const widget of node.widgets ?? []) if (widget.name in values) widget.value = values[widget.name];
    }
}"""
PLACE = """([nodes, links]) => {
    const slot = (slots, name) => slots.findIndex((one) => one.name === name);
    let y = 0;
    for (const [name] of nodes) {
        made[name].pos = [0, y];
        y += made[name].size[1] + 70;
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

TEMPLATE = "pad_to_picture_miniature"
RUN = """async (workflow) => {
    await app.loadGraphData(workflow);
    Object.assign(app.canvas.ds, { scale: 0.75, offset: [-300, 400] });
    app.canvas.setDirty(true, true);
    await app.queuePrompt(0);
}"""
SHOWS_ITS_PICTURE = "() => app.graph.nodes.some((node) => node.imgs?.length)"
LOOK = "look_around"
VIEW = """([x, y]) => {
    Object.assign(app.canvas.ds, { scale: 1, offset: [300 - x, 160 - y] });
    app.canvas.setDirty(true, true);
}"""
FAN = """() => {
    const pictures = [...document.querySelectorAll(".emoticrafter-pad .fan img")];
    return pictures.length === 9 && pictures.every((image) => image.complete && image.naturalWidth);
}"""
COLUMNS = """() => {
    const corner = app.canvas.canvas.getBoundingClientRect();
    const { scale, offset } = app.canvas.ds;
    const groups = app.graph.groups.slice(1);
    const x = Math.min(...groups.map((group) => group.pos[0])), y = groups[0].pos[1];
    const width = Math.max(...groups.map((group) => group.pos[0] + group.size[0])) - x;
    return {
        x: corner.x + (offset[0] + x) * scale,
        y: corner.y + (offset[1] + y) * scale,
        width: width * scale,
        height: groups[0].size[1] * scale,
    };
}"""
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",  # it stands above the title, where the picture ends
}


def photographs(running: Server, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Gives these scenes, or the template, with a PNG of each."""
    running.post("/settings", SETTINGS)
    with launched() as chromium:
        page = chromium.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(900_000)  # milliseconds, for a busy machine
        page.goto(running.address, wait_until="commit")
        page.wait_for_function(READY)
        for name in names:
            runs = {TEMPLATE: photograph_run, LOOK: photograph_fan}
            yield name, runs[name](page) if name in runs else photograph(page, SCENES[name])


def photograph(page, scene: Scene) -> bytes:
    page.evaluate(MAKE, scene.nodes)
    page.wait_for_timeout(500)  # the pads ask for their height some frames later
    page.evaluate(PLACE, [scene.nodes, scene.links])
    page.wait_for_timeout(500)
    page.mouse.move(2, 2)
    box, edge = page.evaluate(BOX), 20
    box = {
        "x": box["x"] - edge,
        "y": box["y"] - edge,
        "width": box["width"] + 2 * edge,
        "height": box["height"] + 2 * edge,
    }
    return page.screenshot(clip=box)


def photograph_run(page) -> bytes:
    """The template after *Run*, without its notes and its first column."""
    page.evaluate(RUN, json.loads((ROOT / "workflows" / f"{TEMPLATE}.json").read_text("utf-8")))
    page.wait_for_function(SHOWS_ITS_PICTURE)
    page.wait_for_timeout(3000)  # until it is drawn, and what tells of the run is gone
    return page.screenshot(clip=page.evaluate(COLUMNS))


def photograph_fan(page) -> bytes:
    """The pad of the template's node after *Look around*, from a point at which all nine differ."""
    workflow = json.loads((ROOT / "workflows" / f"{TEMPLATE}.json").read_text("utf-8"))
    [node] = [node for node in workflow["nodes"] if node["type"] == "EmotiCrafterConditioning"]
    node["widgets_values"][:2] = 0, 0
    page.evaluate("(workflow) => app.loadGraphData(workflow)", workflow)
    page.evaluate(VIEW, node["pos"])
    page.wait_for_timeout(500)
    page.locator(".emoticrafter-pad .look").click()
    page.wait_for_function(FAN)
    page.wait_for_timeout(3000)
    page.mouse.move(2, 2)
    return page.locator(".emoticrafter-pad").screenshot()
