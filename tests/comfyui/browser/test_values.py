"""The pad and values that change elsewhere: undo, saved graphs, copies, links."""

import json
from pathlib import Path

from tests.comfyui.interface import PADS

ROOT = Path(__file__).parents[3]


def test_it_shows_values_that_were_set_without_it(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    ui.run("() => { app.graph.nodes[0].widgets.find((w) => w.name === 'arousal').value = -2.5; }")
    pad.shows(0, -2.5)


def test_a_drag_is_one_step_for_undo(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    before = ui.steps()
    for done, (start, end) in enumerate([((0, 0), (1.5, 1.5)), ((1.5, 1.5), (-2, 1))], 1):
        pad.drag(start, end)
        ui.settle()
        assert ui.steps() == before + done
    for keys, values in [("Control+z", (1.5, 1.5)), ("Control+z", (0, 0)), ("Control+y", (1.5, 1.5))]:
        ui.undo(keys)
        ui.pad_of_first_node().shows(*values)
    node = ui.run("() => app.graph.nodes[0].id")
    assert ui.values(node) == (1.5, 1.5)


def test_a_drag_with_shift_for_a_while_is_one_step_too(ui):
    pad = ui.pad(ui.add("EmotiCrafterConditioning"))
    before = ui.steps()
    with pad.held((0, 0), (1, 1)):
        ui.page.keyboard.down("Shift")
        ui.run("() => new Promise(requestAnimationFrame)")  # ComfyUI takes note of the key
        ui.page.mouse.move(*pad.position(2, 2))
        ui.page.keyboard.up("Shift")
        ui.page.mouse.move(*pad.position(-1, -1))
    pad.shows(-1, -1)
    ui.settle()
    assert ui.steps() == before + 1
    ui.undo()
    ui.pad_of_first_node().shows(0, 0)


def test_a_drag_with_a_finger_is_one_step_too(ui, monkeypatch):
    monkeypatch.setattr(ui, "touch", True)
    pad = ui.pad(ui.add("EmotiCrafterConditioning"))
    before = ui.steps()
    pad.drag((0, 0), (-2, 1))
    pad.shows(-2, 1)
    ui.settle()
    assert ui.steps() == before + 1
    ui.undo()
    ui.pad_of_first_node().shows(0, 0)


def test_keys_and_double_clicks_can_be_undone(ui):
    ui.add("EmotiCrafterConditioning", valence=1, arousal=1)
    pad = ui.pad_of_first_node()
    pad.shows(1, 1)
    pad.field.focus()
    ui.page.keyboard.press("ArrowUp")
    pad.shows(1, 1.05)
    ui.settle()
    ui.undo()
    ui.pad_of_first_node().shows(1, 1)
    ui.page.mouse.dblclick(*ui.pad_of_first_node().position(1, 1))
    ui.pad_of_first_node().shows(0, 0)
    ui.undo()
    ui.pad_of_first_node().shows(1, 1)


def test_a_graph_saved_by_the_first_release_keeps_its_values_and_its_links(ui):
    """Emotional Conditioning has got more inputs since, some of them before the values in the order of its slots."""
    workflow = json.loads((ROOT / "tests" / "reference" / "workflow_of_0.1.0.json").read_text("utf-8"))
    ui.load(workflow)
    plain = ui.prompt()["EmotiCrafterConditioning"]
    assert [plain[name] for name in ("valence", "arousal", "strength")] == [-1.55, 1.75, 1.25]
    ui.load(linked_values(workflow))
    linked = ui.prompt()["EmotiCrafterConditioning"]
    assert (linked["valence"], linked["arousal"]) == (["99", 0], ["99", 1])
    for name in ("conditioning", "network", "strength"):
        assert linked[name] == plain[name]
    [node] = [node for node in workflow["nodes"] if node["type"] == "EmotiCrafterConditioning"]
    ui.pad(node["id"]).shows(2, -1)


def linked_values(workflow: dict) -> dict:
    """The same with a Valence-Arousal node at 2, -1 linked to both values, as the first release saved it."""
    linked = json.loads(json.dumps(workflow))
    [node] = [node for node in linked["nodes"] if node["type"] == "EmotiCrafterConditioning"]
    outputs = []
    for output, axis in enumerate(("valence", "arousal")):
        link, slot = 901 + output, 2 + output
        linked["links"].append([link, 99, output, node["id"], slot, "FLOAT"])
        assert node["inputs"][slot]["name"] == axis
        node["inputs"][slot]["link"] = link
        outputs.append({"name": axis, "type": "FLOAT", "links": [link]})
    point = {"id": 99, "type": "EmotiCrafterValenceArousal", "pos": [400, 900], "size": [300, 400], "flags": {}}
    point |= {"order": 0, "mode": 0, "inputs": [], "outputs": outputs, "properties": {}, "widgets_values": [2, -1]}
    linked["nodes"].append(point)
    return linked | {"last_node_id": 99, "last_link_id": 902}


def test_a_saved_graph_is_the_same_when_loaded_again(ui):
    ui.add("EmotiCrafterConditioning")
    ui.add("EmotiCrafterValenceArousal", x=700)
    for node_id, place in zip((1, 2), [(1, -1), (-2, 2)], strict=True):
        ui.pad(node_id).drag((0, 0), place)
    saved = ui.serialized()
    ui.clear()
    ui.load(saved)
    ui.pad(1).shows(1, -1)
    ui.pad(2).shows(-2, 2)
    assert [node["widgets_values"] for node in ui.serialized()["nodes"]] == [
        [1, -1, *PADS["EmotiCrafterConditioning"]],
        [-2, 2],
    ]
    if ui.renderer == "canvas":  # Nodes 2.0 lays out anew what it loads
        assert [node["size"] for node in ui.serialized()["nodes"]] == [node["size"] for node in saved["nodes"]]


def test_a_copy_has_a_pad_of_its_own(ui):
    node = ui.add("EmotiCrafterConditioning", valence=1, arousal=1)
    ui.pad(node).shows(1, 1)
    ui.run("() => app.canvas.selectItems([app.graph.nodes[0]])")
    ui.page.mouse.move(900, 300)
    ui.page.keyboard.press("Control+c")
    ui.page.keyboard.press("Control+v")
    ui.until("() => app.graph.nodes.length === 2")
    copy = ui.run("(id) => app.graph.nodes.find((node) => node.id != id).id", node)
    pad = ui.pad(copy)
    pad.shows(1, 1)
    pad.drag((1, 1), (-1, -2))
    assert ui.values(copy) == (-1, -2)
    assert ui.values(node) == (1, 1)


def test_with_a_linked_input_it_shows_the_other_node_s_point_and_cannot_be_moved(ui):
    source = ui.add("EmotiCrafterValenceArousal", valence=1.5, arousal=-1)
    node = ui.add("EmotiCrafterConditioning", x=700, valence=0.5, arousal=0.5)
    ui.connect(source, 0, node, "valence")
    ui.connect(source, 1, node, "arousal")
    pad = ui.pad(node)
    pad.is_locked()
    pad.shows(1.5, -1)
    pad.drag((0, 0), (2, 2))
    pad.field.focus()
    ui.page.keyboard.press("ArrowUp")
    assert ui.values(node) == (0.5, 0.5)
    ui.pad(source).drag((1.5, -1), (-2, 1))
    pad.shows(-2, 1)
    ui.screenshot("linked")
    ui.run("(id) => { const n = app.graph.getNodeById(id); n.inputs.forEach((_, i) => n.disconnectInput(i)); }", node)
    pad.is_free()
    pad.shows(0.5, 0.5)


def test_a_point_that_is_computed_elsewhere_is_not_made_up(ui):
    source = ui.add("PrimitiveFloat")
    node = ui.add("EmotiCrafterConditioning", x=700, valence=0.5, arousal=0.5)
    ui.connect(source, 0, node, "valence")
    pad = ui.pad(node)
    pad.is_locked()
    assert pad.name == "linked"
    assert not pad.element.locator(".point").is_visible()


def test_a_reroute_on_the_way_is_followed(ui):
    source = ui.add("EmotiCrafterValenceArousal", x=100, valence=1.5, arousal=-1)
    node = ui.add("EmotiCrafterConditioning", x=700, valence=0.5, arousal=0.5)
    for output, name in enumerate(("valence", "arousal")):
        first, second = (reroute(ui, x, 160 + 60 * output) for x in (420, 550))
        ui.connect(source, output, first, "")
        ui.connect(first, 0, second, "")
        ui.connect(second, 0, node, name)
    pad = ui.pad(node)
    pad.is_locked()
    pad.shows(1.5, -1)


def reroute(ui, x: int, y: int) -> int:
    return ui.run(
        """(pos) => {
            const node = LiteGraph.createNode("Reroute");
            node.pos = pos;
            app.graph.add(node);
            return node.id;
        }""",
        [x, y],
    )


def test_a_pad_that_fails_says_so_once_and_stops_no_other(ui):
    broken = ui.add("EmotiCrafterConditioning")
    node = ui.add("EmotiCrafterConditioning", x=700)
    pads = [ui.pad(each) for each in (broken, node)]
    ui.run("""() => {
        app.graph.nodes[0].isInputConnected = () => { throw new Error("not that one"); };
        app.graph.nodes[1].widgets.find((widget) => widget.name === "arousal").value = -2.5;
    }""")
    pads[1].shows(0, -2.5)
    ui.run("() => new Promise((done) => setTimeout(done, 600))")  # four more readings
    [error] = ui.errors
    assert "not that one" in error
    ui.errors.clear()
