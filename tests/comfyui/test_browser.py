"""The valence-arousal pad and the workflows in a real browser: two versions of the interface, both renderers."""

import itertools
import json
import time
from pathlib import Path

import pytest
import torch
from playwright.sync_api import sync_playwright
from safetensors.torch import save_file

from emoticrafter.readers import Reader
from scripts.browser import NEWEST_FRONTEND, PINNED_FRONTEND, chromium, frontend
from scripts.server import PACK_NAME, QUEUE_SECONDS, Server
from scripts.stand_ins import write_stand_ins
from tests.comfyui.graphs import Graph
from tests.comfyui.interface import Interface

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "workflows").glob("*.json")}
PADS = {
    "EmotiCrafterConditioning": [1, 1, 1, 0, 1, "", "keep"],
    "EmotiCrafterVAEncoder": [],
    "EmotiCrafterRegional": [1, 0],
    "EmotiCrafterValenceArousal": [],
}
"""The nodes that have a pad, and what each saves after the two values, at its defaults."""


# ---- the browser -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    with (
        sync_playwright() as playwright,
        # Chromium's sandbox does not start as root, and the only pages are our own server's.
        playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"]) as browser,
    ):
        yield browser


@pytest.fixture(scope="module", params=[PINNED_FRONTEND, NEWEST_FRONTEND])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def shown_by(version, request, tmp_path_factory):
    """The server that shows one version of the interface."""
    if version == PINNED_FRONTEND:
        yield request.getfixturevalue("server")
        return
    base = tmp_path_factory.mktemp("newest")
    with Server(base, arguments=("--front-end-root", str(frontend(version)))) as running:
        write_stand_ins(base)
        yield running


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, version, shown_by, browser):
    interface = Interface(browser, shown_by, request.param, version)
    yield interface
    interface.close()


@pytest.fixture
def ui(page):
    """The page with an empty graph; a test that leaves an error behind fails."""
    page.clear()
    page.errors.clear()
    yield page
    assert page.errors == []


# ---- workflows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_loads_whole_and_keeps_its_values(ui, name):
    ui.load(WORKFLOWS[name])
    saved = {node["id"]: node for node in ui.serialized()["nodes"]}
    for node in WORKFLOWS[name]["nodes"]:
        assert saved[node["id"]]["type"] == node["type"]
        if node["type"] in PADS:
            values = node[
                "widgets_values"
            ]  # fewer than now, if it was saved before the later ones were added
            later = PADS[node["type"]][len(values) - 2 :]
            assert saved[node["id"]]["widgets_values"] == values + later
            ui.pad(node["id"]).shows(*node["widgets_values"][:2])
    missing = (
        "() => app.graph.nodes.filter((n) => !LiteGraph.registered_node_types[n.type]).map((n) => n.type)"
    )
    assert ui.run(missing) == []
    ui.screenshot(name)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_node_with_a_pad_covers_another(ui, name):
    ui.load(WORKFLOWS[name])
    ui.settle()
    boxes = ui.run(
        "() => app.graph.nodes.map((n) => [n.type, n.pos[0], n.pos[1] - 30, n.size[0], n.size[1] + 30])"
    )
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


# ---- the pad ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PADS)
def test_dragging_changes_both_values_and_the_prompt_and_nothing_else_is_saved(ui, kind):
    node = ui.add(kind)
    pad = ui.pad(node)
    pad.drag((0, 0), (1.5, -2.25))
    assert ui.values(node) == (1.5, -2.25)
    pad.shows(1.5, -2.25)
    # (the prompt leaves out nodes that lead nowhere: graphToPrompt keeps them all)
    inputs = ui.prompt()[kind]
    assert (inputs["valence"], inputs["arousal"]) == (1.5, -2.25)
    assert list(inputs.values()) == [1.5, -2.25, *PADS[kind]]
    [saved] = ui.serialized()["nodes"]
    assert saved["widgets_values"] == [1.5, -2.25, *PADS[kind]]


@pytest.mark.parametrize(("scale", "offset"), [(0.5, (200, 100)), (1.7, (-120, -60)), (0.2, (900, 900))])
def test_it_follows_the_pointer_at_any_zoom_and_place(ui, scale, offset):
    node = ui.add("EmotiCrafterVAEncoder")
    pad = ui.pad(node)
    ui.view(scale, offset)
    pad.drag((0.5, 0.5), (-1.2, 2.4))
    valence, arousal = ui.values(node)
    pixel = 0.03 / scale  # of a pad 212 pixels wide
    assert valence == pytest.approx(-1.2, abs=0.026 + pixel)
    assert arousal == pytest.approx(2.4, abs=0.026 + pixel)
    ui.screenshot(f"zoom {scale}")


def test_steps_are_0_05_and_the_plane_ends_at_3(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    pad.click(0.63, -1.16)
    assert ui.values(node) == (0.65, -1.15)
    pad.drag((0, 0), (5, -9))
    assert ui.values(node) == (3, -3)
    pad.shows(3, -3)


def test_a_double_click_goes_back_to_the_middle(ui):
    node = ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    pad = ui.pad(node)
    ui.page.mouse.dblclick(*pad.position(-2, 2))
    assert ui.values(node) == (0, 0)
    pad.shows(0, 0)


def test_shift_snaps_to_named_emotions_and_says_their_names(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    ui.page.mouse.move(*pad.position(0, 0))
    ui.page.mouse.down()
    ui.page.keyboard.down("Shift")
    for near, place, name in [((1.9, 2.0), (1.85, 2.25), "excited"), ((-2.3, -0.9), (-1.95, -0.8), "sad")]:
        ui.page.mouse.move(*pad.position(*near), steps=3)
        assert ui.values(node) == place
        assert pad.element.locator(".label").inner_text() == pad.name == name
    ui.screenshot("snapping")
    ui.page.keyboard.up("Shift")
    ui.page.mouse.up()


def test_the_keyboard_moves_it(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    pad.field.focus()
    for key, values in [
        ("ArrowRight", (0.05, 0)),
        ("Shift+ArrowUp", (0.05, 0.5)),
        ("ArrowDown", (0.05, 0.45)),
        ("Shift+ArrowLeft", (-0.45, 0.45)),
        ("Home", (0, 0)),
        ("PageUp", (2.3, 0.55)),
        ("PageUp", (2.5, 1.6)),
        ("PageDown", (2.3, 0.55)),
    ]:
        ui.page.keyboard.press(key)
        assert ui.values(node) == values, key
    assert pad.name == "pleased"
    assert pad.field.get_attribute("aria-valuetext") == "valence 2.30, arousal 0.55, pleased"
    for _ in range(3):
        ui.page.keyboard.press("Shift+ArrowRight")
    assert ui.values(node) == (3, 0.55)
    assert ui.run("() => app.graph.nodes.length") == 1
    ui.screenshot("focus")


def test_screen_readers_are_told_what_it_is(ui):
    node = ui.add("EmotiCrafterConditioning", valence=-1.5, arousal=1.25)
    pad = ui.pad(node)
    pad.shows(-1.5, 1.25)
    slider = ui.page.get_by_role("slider", name="Valence and arousal")
    assert slider.count() == 1
    assert slider.get_attribute("aria-valuetext").startswith("valence -1.50, arousal 1.25")
    assert "Arrow keys" in slider.get_attribute("aria-description")


def test_the_trail_shows_where_the_point_rested(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    for place in [(1, 1), (-1, 2), (-2, -1)]:
        pad.drag(ui.values(node), place)
    rests = pad.element.locator(".rest:visible")
    assert rests.count() == 3
    assert pad.element.locator(".trail").get_attribute("d") == "M0 0L1 -1L-1 -2L-2 1"


def test_the_wheel_zooms_and_the_middle_button_pans_over_it(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    place = pad.position(1, 1)
    ui.page.mouse.move(*place)
    ui.page.mouse.wheel(0, -120)
    ui.until("() => app.canvas.ds.scale > 1")
    before = ui.run("() => [...app.canvas.ds.offset]")
    ui.page.mouse.down(button="middle")
    ui.page.mouse.move(place[0] + 60, place[1] + 40, steps=4)
    ui.page.mouse.up(button="middle")
    ui.until("([x, y]) => app.canvas.ds.offset[0] > x + 20 && app.canvas.ds.offset[1] > y + 10", before)
    assert ui.values(node) == (0, 0)


# ---- values that change elsewhere --------------------------------------------------------------------


def test_it_shows_values_that_were_set_without_it(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    ui.run("() => { app.graph.nodes[0].widgets.find((w) => w.name === 'arousal').value = -2.5; }")
    pad.shows(0, -2.5)


def test_a_drag_is_one_step_for_undo(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    pad.drag((0, 0), (1.5, 1.5))
    ui.settle()  # the interface notes a step a moment after the mouse was let go
    pad.drag((1.5, 1.5), (-2, 1))
    ui.settle()
    for key, values in [("Control+z", (1.5, 1.5)), ("Control+z", (0, 0)), ("Control+y", (1.5, 1.5))]:
        ui.page.keyboard.press(key)
        ui.pad_of_first_node().shows(*values)
        ui.settle()  # the interface takes no further step before it is done with this one
    node = ui.run("() => app.graph.nodes[0].id")
    assert ui.values(node) == (1.5, 1.5)


def test_keys_and_double_clicks_can_be_undone(ui):
    ui.add("EmotiCrafterConditioning", valence=1, arousal=1)
    pad = ui.pad_of_first_node()
    pad.shows(1, 1)
    pad.field.focus()
    ui.page.keyboard.press("ArrowUp")
    pad.shows(1, 1.05)
    ui.settle()
    ui.page.keyboard.press("Control+z")
    ui.pad_of_first_node().shows(1, 1)
    ui.page.mouse.dblclick(*ui.pad_of_first_node().position(1, 1))
    ui.pad_of_first_node().shows(0, 0)
    ui.page.keyboard.press("Control+z")
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
    point = {
        "id": 99,
        "type": "EmotiCrafterValenceArousal",
        "pos": [400, 900],
        "size": [300, 400],
        "flags": {},
    }
    point |= {
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": outputs,
        "properties": {},
        "widgets_values": [2, -1],
    }
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
        assert [node["size"] for node in ui.serialized()["nodes"]] == [
            node["size"] for node in saved["nodes"]
        ]


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
    ui.run(
        "(id) => { const n = app.graph.getNodeById(id); n.inputs.forEach((_, i) => n.disconnectInput(i)); }",
        node,
    )
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


def test_a_subgraph_that_shows_both_values_has_a_pad(ui):
    ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    ui.run("() => { app.graph.convertToSubgraph(new Set(app.graph.nodes)); }")
    host = ui.run("() => app.graph.nodes[0].id")
    ui.run(
        """() => {
            const { subgraph } = app.graph.nodes[0];
            const [inner] = subgraph.nodes;
            for (const name of ["valence", "arousal"])
                subgraph.addInput(name, "FLOAT").connect(inner.inputs.find((input) => input.name === name), inner);
        }"""
    )
    ui.view(1, (0, 0))
    pad = ui.pad(host)
    pad.shows(2, 1)
    pad.drag((2, 1), (-1, -2))
    assert ui.values(host) == (-1, -2)
    inputs = ui.prompt()["EmotiCrafterConditioning"]
    assert (inputs["valence"], inputs["arousal"]) == (-1, -2)
    saved = ui.serialized()
    assert saved["nodes"][0]["widgets_values"] == [-1, -2]
    ui.clear()
    ui.load(saved)
    ui.pad(host).shows(-1, -2)
    ui.screenshot("subgraph")
    ui.run("() => app.canvas.openSubgraph(app.graph.nodes[0].subgraph, app.graph.nodes[0])")
    inner = ui.pad(ui.run("() => app.canvas.graph.nodes[0].id"))
    inner.is_locked()  # its values are the outer node's
    ui.run("() => app.canvas.setGraph(app.graph)")


def test_inside_a_subgraph_it_works_as_outside(ui):
    ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    ui.run("() => { app.graph.convertToSubgraph(new Set(app.graph.nodes)); }")
    ui.run("() => app.canvas.openSubgraph(app.graph.nodes[0].subgraph, app.graph.nodes[0])")
    node = ui.run("() => app.canvas.graph.nodes[0].id")
    pad = ui.pad(node)
    pad.drag((2, 1), (0.5, -1.5))
    assert ui.values(node) == (0.5, -1.5)
    ui.run("() => app.canvas.setGraph(app.graph)")
    assert ui.prompt()["EmotiCrafterConditioning"]["arousal"] == -1.5


# ---- the page --------------------------------------------------------------------------------------


def test_it_is_readable_in_dark_and_light_themes(ui):
    """Contrast, as WCAG computes it, of the numbers on the node and of the words on the field's ground."""
    node = ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    pad = ui.pad(node)
    for theme in ("light", "dark"):
        ui.run("(theme) => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
        ui.settle()
        assert contrast(pad, ".numbers", "--comfy-menu-bg") > 4.5, theme
        assert contrast(pad, ".word", "--comfy-input-bg") > 3, theme
        ui.screenshot(theme)


def contrast(pad, part: str, ground: str) -> float:
    """Of a part's colour on a colour of the palette."""
    return pad.element.evaluate(
        """(pad, [part, ground]) => {
            const context = new OffscreenCanvas(1, 1).getContext("2d");
            const luminance = (...colours) => {
                for (context.fillStyle of colours) context.fillRect(0, 0, 1, 1);
                const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((byte) => {
                    const value = byte / 255;
                    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const under = getComputedStyle(pad).getPropertyValue(ground);
            const over = getComputedStyle(pad.querySelector(part)).color;
            const [dark, light] = [luminance(under), luminance(under, over)].sort((a, b) => a - b);
            return (light + 0.05) / (dark + 0.05);
        }""",
        [part, ground],
    )


def test_it_does_nothing_while_nobody_does(ui):
    """Idle: nothing in the page changes, and out of sight nothing runs."""
    node = ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    pad = ui.pad(node)
    pad.shows(2, 1)
    changes = pad.element.evaluate(
        """async (pad) => {
            await new Promise((done) => setTimeout(done, 600)); // until the point has rested
            let changes = 0;
            const options = { subtree: true, childList: true, attributes: true, characterData: true };
            const observer = new MutationObserver((list) => (changes += list.length));
            observer.observe(pad, options);
            await new Promise((done) => setTimeout(done, 600));
            observer.disconnect();
            return changes;
        }"""
    )
    assert changes == 0
    reads = """async () => {
        const widget = app.graph.nodes[0].widgets.find((w) => w.name === "valence");
        let reads = 0;
        const own = Object.getOwnPropertyDescriptor(widget, "name");
        Object.defineProperty(widget, "name", { configurable: true, get: () => (reads++, "valence") });
        await new Promise((done) => setTimeout(done, 600));
        if (own) Object.defineProperty(widget, "name", own); else delete widget.name;
        return reads;
    }"""
    ui.view(1, (-5000, -5000))
    ui.run("() => new Promise((done) => setTimeout(done, 300))")
    assert ui.run(reads) == 0


def test_a_run_from_the_page_makes_a_picture_of_the_point(ui, shown_by):
    ui.run("(prompt) => app.loadApiJson(prompt, 'small')", numbered(small_graph()))
    ui.until("() => app.graph.nodes.length > 5")
    workflow = ui.serialized()
    [conditioning] = [node for node in workflow["nodes"] if node["type"] == "EmotiCrafterConditioning"]
    conditioning["pos"] = [300, 2000]  # where no other node is
    ui.load(workflow)
    ui.view(0.5, (0, -1840))
    node, pad = conditioning["id"], ui.pad(conditioning["id"])
    seen = set(shown_by.get("/history"))
    for place in [(2, 1.5), (-2, 0.5)]:
        pad.drag(ui.values(node), place)
        ui.page.keyboard.press("Control+Enter")
        run = wait_for_run(shown_by, seen)
        seen.add(run["prompt"][1])
        [inputs] = [
            n["inputs"] for n in run["prompt"][2].values() if n["class_type"] == "EmotiCrafterConditioning"
        ]
        assert (inputs["valence"], inputs["arousal"]) == place
        assert [image for output in run["outputs"].values() for image in output["images"]]


def small_graph() -> Graph:
    graph = Graph()
    graph.picture(graph.emotional(graph.text(), valence=0.0, arousal=0.0), "shown")
    return graph


def numbered(graph: Graph) -> dict:
    """The same prompt with numbers for its nodes' names, as the interface wants them."""
    numbers = {name: str(number) for number, name in enumerate(graph, 1)}

    def renamed(value):
        return [numbers[value[0]], value[1]] if isinstance(value, list) else value

    return {
        numbers[name]: {**node, "inputs": {key: renamed(value) for key, value in node["inputs"].items()}}
        for name, node in graph.items()
    }


def wait_for_run(server, seen: set[str], seconds: float = QUEUE_SECONDS) -> dict:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for prompt_id, run in server.get("/history").items():
            if prompt_id not in seen:
                assert run["status"]["status_str"] == "success", run["status"]
                return run
        time.sleep(0.2)
    raise AssertionError("nothing was queued, or it did not end")


def test_without_the_script_the_node_has_its_two_sliders(version, shown_by, browser):
    ui = Interface(browser, shown_by, "canvas", version, blocked="va_nodes.js")
    ui.clear()
    node = ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    widgets = ui.run("() => app.graph.nodes[0].widgets.map((widget) => [widget.name, widget.type])")
    assert widgets[:3] == [["valence", "number"], ["arousal", "number"], ["strength", "number"]]
    assert len(widgets) == 2 + len(PADS["EmotiCrafterConditioning"])
    assert ui.values(node) == (2, 1)
    assert ui.serialized()["nodes"][0]["widgets_values"] == [2, 1, *PADS["EmotiCrafterConditioning"]]
    ui.close()


# ---- what a node has read --------------------------------------------------------------------------


def test_read_emotion_shows_its_readings_after_a_run(ui, shown_by):
    torch.manual_seed(0)
    reader = Reader((16, 16), 2)
    metadata = {"format": "emoticrafter-miniature"}
    metadata["config"] = json.dumps({"kind": "emotion", "channels": [16, 16]})
    save_file(reader.state_dict(), shown_by.models / "emoticrafter_readers" / "shown.safetensors", metadata)
    images = ui.add("EmptyImage", x=80, width=64, height=64, batch_size=2)
    node = ui.add("EmotiCrafterReadEmotion", x=480, reader="shown.safetensors")
    ui.connect(images, 0, node, "images")
    [saved] = [one for one in ui.serialized()["nodes"] if one["type"] == "EmotiCrafterReadEmotion"]
    assert saved["widgets_values"] == ["shown.safetensors"]
    ui.run("() => app.queuePrompt(0)")
    text = "() => document.querySelector('.emoticrafter-reading').value"
    ui.until(f"{text}.startsWith('2 pictures, mean valence ')")
    assert len(ui.run(text).splitlines()) == 3
    assert ui.prompt()["EmotiCrafterReadEmotion"].keys() == {"images", "reader"}
    ui.settle()
    box = ui.page.locator(".emoticrafter-reading").bounding_box()
    bottom = ui.run(
        "(id) => { const node = app.graph.getNodeById(id); return node.pos[1] + node.size[1]; }", node
    )
    top = ui.run("() => app.canvas.canvas.getBoundingClientRect().top")
    assert box["y"] + box["height"] <= top + bottom, "the text hangs out of its node"
    ui.screenshot("reading")
