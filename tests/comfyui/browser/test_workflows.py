"""The shipped workflows in the interface: they load whole, and nothing lies over a pad."""

import itertools
import json
from pathlib import Path

import pytest

from scripts.browser import PINNED_FRONTEND
from scripts.server import PACK_NAME
from tests.comfyui.interface import PADS

ROOT = Path(__file__).parents[3]
WORKFLOWS = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "workflows").glob("*.json")}
READABLE = 0.58
"""The canvas draws no words at a smaller zoom."""
BIRDS_EYE = {
    *("detailer_with_its_own_mood", "detailer_with_its_own_mood_miniature", "emotion_with_inpainting_miniature"),
    *("emotion_with_refiner", "plot_over_valence", "plot_over_valence_miniature", "two_moods_miniature"),
}
"""Too wide for one screen at that zoom: they open smaller."""
BOXES = """() => app.graph.nodes.map((node) => {
    const shown = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
    if (shown) return [node.type, shown.left, shown.top, shown.right, shown.bottom];
    const [left, top] = app.canvas.ds.convertOffsetToCanvas([node.pos[0], node.pos[1] - 30]);
    const [right, bottom] = app.canvas.ds.convertOffsetToCanvas([0, 1].map((i) => node.pos[i] + node.size[i]));
    return [node.type, left, top, right, bottom];
})"""


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_opens_whole_and_readable_with_nothing_over_a_pad(ui, name):
    ui.load(as_graph(WORKFLOWS[name]))
    ui.settle()
    check_values(ui, name)
    check_view(ui, name)
    check_pads_are_free(ui)
    ui.screenshot(name)


def as_graph(workflow: dict) -> dict:
    """An app as the graph that it is, too."""
    return {**workflow, "extra": workflow["extra"] | {"linearMode": False}}


def check_values(ui, name: str) -> None:
    """Every node is known, and holds what was saved."""
    saved = {node["id"]: node for node in ui.serialized()["nodes"]}
    for node in WORKFLOWS[name]["nodes"]:
        assert saved[node["id"]]["type"] == node["type"]
        if node["type"] in PADS:
            values = node["widgets_values"]
            later = PADS[node["type"]][len(values) - 2 :]  # inputs that were added after it was saved
            assert saved[node["id"]]["widgets_values"] == values + later
            ui.pad(node["id"]).shows(*values[:2])
    missing = "() => app.graph.nodes.filter((n) => !LiteGraph.registered_node_types[n.type]).map((n) => n.type)"
    assert ui.run(missing) == []


def check_view(ui, name: str) -> None:
    """All of it is on the screen, at a zoom at which the canvas draws words.

    Nodes 2.0 of the pinned interface spread a graph by a fifth: there, what is too wide goes on to the right.
    """
    scale = WORKFLOWS[name]["extra"]["ds"]["scale"]
    assert ui.run("() => app.canvas.ds.scale") == pytest.approx(scale)
    assert (scale < READABLE) == (name in BIRDS_EYE)
    spread = (ui.name, ui.renderer) == (PINNED_FRONTEND, "vue") and scale <= READABLE
    for kind, left, top, right, bottom in ui.run(BOXES):
        if spread:
            assert left < 1350, kind  # of 1400
        else:
            assert left > 60, kind  # where the side bar ends
            assert top > 90, kind  # where the bars of tabs and buttons end
            assert right < 1400, kind
            assert bottom < 900, kind


def check_pads_are_free(ui) -> None:
    boxes = ui.run("() => app.graph.nodes.map((n) => [n.type, n.pos[0], n.pos[1] - 30, n.size[0], n.size[1] + 30])")
    for one, other in itertools.combinations(boxes, 2):
        if PADS.keys() & {one[0], other[0]}:
            (_, x, y, width, height), (_, x2, y2, width2, height2) = one, other
            beside = x + width <= x2 or x2 + width2 <= x
            assert beside or y + height <= y2 or y2 + height2 <= y, (one, other)


def test_the_template_browser_opens_a_workflow(ui):
    ui.run("() => void app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    dialog = ui.page.get_by_role("dialog")
    dialog.get_by_text(PACK_NAME, exact=True).click()
    dialog.get_by_text("emotional_text_to_image").first.click()
    ui.until("() => app.graph.nodes.some((node) => node.type === 'EmotiCrafterConditioning')")
    dialog.wait_for(state="hidden")
