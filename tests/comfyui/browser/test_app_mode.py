"""The pad in App mode, on a phone and on a desktop: the shipped app, apps of people's own, and broken ones."""

import copy
import json
from pathlib import Path

import pytest

from scripts.browser import PINNED_FRONTEND
from tests.comfyui.interface import DESKTOP, NODE, PHONE, Interface

APP = "mood_board_miniature.app"
WORKFLOW = json.loads((Path(__file__).parents[3] / "workflows" / f"{APP}.json").read_text("utf-8"))
SUBGRAPH = json.loads((Path(__file__).parents[3] / "subgraphs" / "Emotional Prompt.json").read_text("utf-8"))
PAD, PROMPT, SAMPLER, PICTURE = 7, 4, 8, 10
"""Nodes of the app."""
ROWS = '[data-testid="app-mode-widget-item"]'
PAD_IN_APP = f"{ROWS} .emoticrafter-pad"
# What "Build an app" in the menu does.
BUILD = """() => {
    const { $pinia } = document.querySelector("#vue-app").__vue_app__.config.globalProperties;
    $pinia._s.get("appMode").enterBuilder();
}"""
SHOW_BOTH = """() => {
    const { subgraph } = app.graph.nodes.find((node) => node.subgraph);
    const [inner] = subgraph.nodes;
    for (const name of ["valence", "arousal"])
        subgraph.addInput(name, "FLOAT").connect(inner.inputs.find((input) => input.name === name), inner);
}"""
TOGGLE = "() => app.extensionManager.command.execute('Comfy.ToggleLinear')"


@pytest.fixture(scope="package", params=["phone", "desktop"])
def device(request, version, shown_by, browser):
    if version == PINNED_FRONTEND:
        pytest.skip(f"the interface {version} has no App mode")
    interface = Interface(browser, shown_by, "canvas", version, screen=PHONE if request.param == "phone" else DESKTOP)
    yield interface
    interface.close()


@pytest.fixture
def app(device):
    """The shipped app, as somebody sees it who has opened it."""
    device.clear()
    device.errors.clear()
    open_app(device, WORKFLOW)
    yield device
    assert device.errors == []


def open_app(ui: Interface, workflow: dict) -> None:
    """Open a file, and on a phone the page with its inputs."""
    ui.run("(workflow) => app.loadGraphData(workflow, true, true, 'mood.app')", workflow)
    ui.page.locator(ROWS).first.wait_for(state="attached")
    if ui.touch:
        ui.page.get_by_role("tab", name="Edit & Run").tap()
    ui.settle()


def pad_of(ui: Interface, node: int = PAD):
    """The pad that the app shows, once it is this node's: for a moment the rows are still those of the last app."""
    ui.page.locator(PAD_IN_APP).wait_for()
    in_app = "widgets.find((widget) => widget.name === 'va_pad').element.closest(row)"
    ui.until(f"([id, row]) => {NODE}(id)?.{in_app}", [node, ROWS])
    return ui.pad(node)


def is_whole(ui: Interface) -> None:
    """The pad is all on the screen, as high as wide, and wide enough for a finger."""
    field = ui.page.locator(f"{PAD_IN_APP} .field").bounding_box()
    screen = ui.page.viewport_size
    assert field["x"] >= 0 and field["x"] + field["width"] <= screen["width"]
    assert field["y"] >= 0 and field["y"] + field["height"] <= screen["height"]
    assert field["width"] == pytest.approx(field["height"], abs=1)
    assert field["width"] > 240


def test_it_shows_pad_prompt_and_seed_and_the_pad_can_be_dragged(app):
    labels = app.page.locator(f"{ROWS} [data-testid=builder-widget-label]").all_inner_texts()
    assert labels == ["Valence and arousal", "text", "seed"]
    is_whole(app)
    pad = pad_of(app)
    pad.shows(2.2, 1.6)
    app.screenshot("app " + ("phone" if app.touch else "desktop"))
    app.page.route("**/api/prompt", lambda route: route.abort())  # this is not about its picture
    pad.switch.click()
    pad.drag((2.2, 1.6), (-1.5, -2))
    assert app.values(PAD) == (-1.5, -2)
    pad.shows(-1.5, -2)
    assert app.prompt()["EmotiCrafterConditioning"]["valence"] == -1.5
    app.page.unroute_all()


def test_keyboard_and_screen_reader_have_it_as_on_a_node(app):
    pad = pad_of(app)
    pad.switch.click()
    slider = app.page.get_by_role("slider", name="Valence and arousal")
    assert slider.get_attribute("aria-valuetext") == "valence 2.20, arousal 1.60, near happy"
    slider.focus()
    for key, values in [("Home", (0, 0)), ("Shift+ArrowUp", (0, 0.5)), ("ArrowLeft", (-0.05, 0.5))]:
        app.page.keyboard.press(key)
        assert app.values(PAD) == values


@pytest.mark.parametrize("device", ["phone"], indirect=True)  # a mouse does not swipe
def test_a_tap_after_a_swift_swipe_across_the_pad_is_a_click(app):
    pad = pad_of(app)
    pad.switch.tap()
    pad.drag((2.2, 1.6), (-1.5, -2))
    app.page.get_by_role("tab", name="Outputs").tap()
    app.page.locator("[role=tab][aria-selected=true]", has_text="Outputs").wait_for()


def test_letting_go_paints_a_picture_which_a_phone_shows_below_the_pad(app):
    pad = pad_of(app)
    pad.is_on()
    place = ".emoticrafter-pad .picture" if app.touch else '[data-testid="linear-center-panel"] img'
    shown = app.page.locator(place).first
    assert not shown.is_visible()
    # Each device paints a picture of its own: of a run that is all cached, the interface at times shows none.
    pad.drag((2.2, 1.6), (-2, -1.5) if app.touch else (-1.5, -2))
    shown.wait_for()
    app.until("(image) => image.complete && image.naturalWidth === 384", shown.element_handle())
    app.screenshot("app picture " + ("phone" if app.touch else "desktop"))


def test_looking_around_shows_nine_pictures_and_one_can_be_chosen(app):
    pad = pad_of(app)
    pad.switch.click()
    press = (lambda button: button.tap()) if app.touch else (lambda button: button.click())
    press(app.page.get_by_role("button", name="Look around"))
    pad.is_drawn()
    app.screenshot("app look around " + ("phone" if app.touch else "desktop"))
    press(pad.fan.get_by_role("button", name="valence 1.20, arousal 0.60"))
    pad.shows(1.2, 0.6)
    assert not pad.fan.is_visible()


def test_saved_and_opened_again_it_is_the_same_app(app):
    pad = pad_of(app)
    pad.switch.click()
    pad.drag((2.2, 1.6), (1, -1))
    saved = app.serialized()
    assert saved["extra"]["linearMode"] is True
    app.clear()
    open_app(app, saved)
    pad = pad_of(app)
    pad.shows(1, -1)
    assert pad.switch.get_attribute("aria-checked") == "false"
    pad.drag((1, -1), (-1, 1))
    assert app.values(PAD) == (-1, 1)


def test_the_pad_goes_back_to_its_node_and_comes_again(app):
    if app.touch:
        pytest.skip("a phone has no room for the graph")
    pad_of(app).switch.click()
    for renderer in (False, True):
        app.run("(vue) => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", renderer)
        app.run(TOGGLE)
        app.page.locator(PAD_IN_APP).wait_for(state="detached")
        app.page.locator(".emoticrafter-pad").wait_for()
        app.view(0.6, (300, 400))
        pad = app.pad(PAD)
        pad.drag(app.values(PAD), (1, -1))
        assert app.values(PAD) == (1, -1)
        app.run(TOGGLE)
        pad_of(app).drag((1, -1), (2, 2))
        assert app.values(PAD) == (2, 2)
    app.run("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


def test_a_subgraph_s_pad_stands_above_its_two_values(app):
    open_app(app, app_of_a_subgraph())
    host = app.run("() => app.graph.nodes.find((node) => node.subgraph).id")
    is_whole(app)
    pad = pad_of(app, host)
    pad.drag((0, 0), (2, -1.5))
    assert app.values(host) == (2, -1.5)
    assert app.prompt()["EmotiCrafterConditioning"]["arousal"] == -1.5
    assert app.page.locator(ROWS).first.locator(".emoticrafter-pad").count() == 1
    app.screenshot("app subgraph " + ("phone" if app.touch else "desktop"))
    if not app.touch:
        app.run(TOGGLE)
        app.page.locator(PAD_IN_APP).wait_for(state="detached")
        app.view(0.6, (300, 400))
        app.pad(host).shows(2, -1.5)


def app_of_a_subgraph() -> dict:
    """The blueprint's node as an app: both values and its prompt."""
    [host] = copy.deepcopy(SUBGRAPH["nodes"])
    picture = copy.deepcopy(next(node for node in WORKFLOW["nodes"] if node["id"] == PICTURE))
    picture["inputs"][0]["link"] = None
    shown = [[host["id"], name] for name in ("valence", "arousal", "text")]
    picture["id"] = host["id"] + 100
    return {
        **{key: SUBGRAPH[key] for key in ("definitions", "version")},
        "nodes": [host, picture],
        "links": [],
        "last_node_id": picture["id"],
        "last_link_id": 0,
        "extra": {"linearMode": True, "linearData": {"inputs": shown, "outputs": [picture["id"]]}},
    }


def test_whoever_builds_an_app_picks_the_pad_of_a_node_and_not_that_of_a_subgraph_s(version, shown_by, browser):
    if version == PINNED_FRONTEND:
        pytest.skip(f"the interface {version} has no App mode")
    ui = Interface(browser, shown_by, "vue", version)
    ui.clear()
    own, wrapped = ui.add("EmotiCrafterConditioning", x=300), ui.add("EmotiCrafterConditioning", x=700)
    ui.run(f"(id) => void app.graph.convertToSubgraph(new Set([{NODE}(id)]))", wrapped)
    ui.run(SHOW_BOTH)
    ui.view(0.6, (0, 100))
    ui.page.locator(".emoticrafter-pad").nth(1).wait_for()
    ui.run(BUILD)
    for pad in (1, 0, 0, 0):  # chosen, taken back, chosen again
        box = ui.page.locator(".emoticrafter-pad").nth(pad).bounding_box()
        ui.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    ui.screenshot("builder")
    assert ui.page.get_by_test_id("builder-io-item-title").all_inner_texts() == ["Valence and arousal"]
    [[chosen, widget]] = ui.serialized()["extra"]["linearData"]["inputs"]
    assert chosen.endswith(f":{own}:va_pad") and widget == "va_pad"
    ui.close()


def test_an_app_whose_pad_is_gone_says_so(app):
    broken = copy.deepcopy(WORKFLOW)
    broken["extra"]["linearData"]["inputs"][0] = [77, "va_pad"]
    open_app(app, broken)
    app.page.get_by_text("This app lists a pad that is not there").first.wait_for()
    assert app.page.locator(PAD_IN_APP).count() == 0


def test_a_browser_without_pointer_events_is_told_what_works_in_it(version, shown_by, browser):
    ui = Interface(browser, shown_by, "canvas", version)
    ui.clear()
    ui.run("() => { window.PointerEventOfTheBrowser = PointerEvent; delete window.PointerEvent; }")
    pad = ui.pad(ui.add("EmotiCrafterConditioning"))
    assert "Use the arrow keys" in pad.field.inner_text()
    ui.run("() => { window.PointerEvent = PointerEventOfTheBrowser; }")
    pad.field.focus()
    ui.page.keyboard.press("Shift+ArrowUp")
    pad.shows(0, 0.5)
    ui.screenshot("no pointer events")
    ui.close()
