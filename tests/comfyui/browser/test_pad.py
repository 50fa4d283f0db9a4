"""The valence-arousal pad under mouse and keyboard, for eyes and for screen readers."""

import pytest

from tests.comfyui.interface import PADS, Interface


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


@pytest.mark.parametrize("scale", [1, 0.6, 0.46, 0.44, 0.4, 0.31])
def test_the_numbers_can_be_read_and_fit_at_any_zoom_that_shows_them(ui, scale):
    node = ui.add("EmotiCrafterValenceArousal", valence=-1.85, arousal=-2.25)
    pad = ui.pad(node)
    ui.view(scale, (200, 100))
    pad.shows(-1.85, -2.25)
    ui.until("(selector) => document.querySelector(selector).style.getPropertyValue('--magnify')", pad.selector)
    numbers, whole = (each.bounding_box() for each in (pad.element.locator(".numbers"), pad.element))
    assert numbers["height"] >= 9.5
    assert numbers["x"] >= whole["x"]
    assert numbers["x"] + numbers["width"] <= whole["x"] + whole["width"]
    assert numbers["y"] + numbers["height"] <= whole["y"] + whole["height"]


def test_numbers_too_small_to_read_are_not_shown(ui):
    node = ui.add("EmotiCrafterValenceArousal", valence=-1.85, arousal=-2.25)
    pad = ui.pad(node)
    ui.view(0.2, (900, 900))
    pad.element.locator(".readout").wait_for(state="hidden")
    assert pad.element.locator(".point").is_visible()


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
    changes = """async (selector) => {
        let changes = 0;
        const options = { subtree: true, childList: true, attributes: true, characterData: true };
        const observer = new MutationObserver((list) => (changes += list.length));
        observer.observe(document.querySelector(selector), options);
        await new Promise((done) => setTimeout(done, 600));
        observer.disconnect();
        return changes;
    }"""
    become_zero(ui, changes, pad.selector)  # once the point has rested
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
    become_zero(ui, reads)


def become_zero(ui, count: str, argument=None) -> None:
    """A busy machine may need a few looks until what was begun has ended."""
    assert any(ui.run(count, argument) == 0 for _ in range(20))


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
