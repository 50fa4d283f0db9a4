"""What Emotion Range has measured, on the pads that ask for the same emotion."""

import re

from emoticrafter.range import DIRECTIONS
from tests.comfyui.browser.test_runs import numbered
from tests.comfyui.test_miniature_node import MiniatureGraph
from tests.comfyui.test_range import measured

SHADE = "path.beyond"
SET = """([id, valence, arousal]) => {
    const { widgets } = app.graph.getNodeById(id);
    widgets.find((widget) => widget.name === "valence").value = valence;
    widgets.find((widget) => widget.name === "arousal").value = arousal;
}"""


def shown_range(ui, steps: int = 4) -> dict[str, int]:
    """A graph with a range, measured, and pads beside it: their nodes' ids by title."""
    graph = MiniatureGraph()
    measured(graph, strength=3.0, steps=steps)
    prompt = ["prompt", 0]
    graph.emotional(prompt, "same", strength=3.0, valence=0.0, arousal=0.0)
    graph.emotional(prompt, "weaker", strength=1.0)
    graph.emotional(graph.text("another prompt"), "other", strength=3.0)
    numbers = dict(zip(graph, numbered(graph).items(), strict=True))
    ui.run("(prompt) => app.loadApiJson(prompt, 'range')", dict(numbers.values()))
    ui.until("(count) => app.graph.nodes.length >= count", len(graph))
    return {name: int(number) for name, (number, _) in numbers.items()}


def shade(ui, node: int) -> str:
    return ui.pad(node).element.locator(SHADE).get_attribute("d") or ""


def shortest(path: str) -> str:
    """The ray on which a shade leaves the least of the plane."""
    ends = [tuple(map(float, end.split())) for end in re.findall(r"[ML]([-\d.e]+ [-\d.e]+)", path.partition("Z")[2])]
    reaches = [max(map(abs, end)) for end in ends]
    assert len(reaches) == 8 and min(reaches) < 2.9
    return list(DIRECTIONS)[reaches.index(min(reaches))]


def place(ui, nodes: list[int]) -> None:
    """Side by side in view, and all others out of it."""
    ui.run(
        """(ids) => {
            for (const node of app.graph.nodes) node.pos = [0, 3000];
            ids.forEach((id, index) => (app.graph.getNodeById(id).pos = [60 + 420 * index, 100]));
            Object.assign(app.canvas.ds, { scale: 0.8, offset: [0, 0] });
            app.canvas.setDirty(true, true);
        }""",
        nodes,
    )
    ui.settle()


def test_a_measured_range_is_shaded_on_the_pads_of_the_same_emotion_alone(ui):
    ids = shown_range(ui)
    place(ui, [ids["same"], ids["weaker"], ids["other"]])
    assert shade(ui, ids["same"]) == ""
    ui.run("() => app.queuePrompt(0)")
    path = f"(id) => document.querySelector(`.emoticrafter-pad[data-test='${{id}}'] {SHADE}`)?.getAttribute('d')"
    ui.until(path, ids["same"])
    assert shade(ui, ids["same"]).count("L") == 7, "an octagon"
    assert shade(ui, ids["weaker"]) == shade(ui, ids["other"]) == ""
    pad = ui.pad(ids["same"])
    assert pad.name == "neutral"
    beyond = DIRECTIONS[shortest(shade(ui, ids["same"]))]
    place_beyond = (3 * beyond.valence, 3 * beyond.arousal)
    ui.run(SET, [ids["same"], *place_beyond])
    pad.shows(*place_beyond)
    assert "beyond the range" in pad.name and "beyond the range" in pad.field.get_attribute("aria-valuetext")
    ui.screenshot("range")
    # a Valence-Arousal node in front of it shows the range as well
    values = ui.add("EmotiCrafterValenceArousal", x=1300, y=100)
    ui.connect(values, 0, ids["same"], "valence")
    ui.connect(values, 1, ids["same"], "arousal")
    ui.view(0.6, (0, 0))
    ui.pad(values)
    ui.until(path, values)
    # another strength is another range
    ui.run("(id) => { app.graph.getNodeById(id).widgets.find((w) => w.name === 'strength').value = 2; }", ids["same"])
    ui.until(f"(id) => !({path})(id)", ids["same"])
    assert "beyond the range" not in ui.pad(ids["same"]).name


def test_the_node_shows_its_text_and_its_pictures_and_saves_neither(ui):
    ids = shown_range(ui, steps=1)
    place(ui, [ids["range"]])
    ui.view(0.6, (100, 100))
    before = next(node for node in ui.serialized()["nodes"] if node["id"] == ids["range"])["widgets_values"]
    assert before == [7, 1, 3.0, "euler", "simple", 3.0, 1, 0.4, "none"]
    ui.run("() => app.queuePrompt(0)")
    text = "() => document.querySelector('.emoticrafter-reading').value"
    ui.until(f"{text}.startsWith('pleasure: ')")
    ui.until(
        "(id) => app.graph.getNodeById(id).imgs?.length === 1 || document.querySelector('[data-node-id] img')",
        ids["range"],
    )
    after = next(node for node in ui.serialized()["nodes"] if node["id"] == ids["range"])["widgets_values"]
    assert after[: len(before)] == before  # ComfyUI adds a blank for the picture's own widget
    if ui.renderer == "canvas":
        holds = """(id) => {
            const node = app.graph.getNodeById(id);
            const picture = node.widgets.find((widget) => widget.name === "$$canvas-image-preview");
            return picture && node.size[1] >= picture.y + picture.computedHeight;
        }"""
        ui.until(holds, ids["range"])
    ui.settle()
    ui.screenshot("range node")
