"""The pad in a subgraph and on one."""

import pytest

from scripts.browser import PINNED_FRONTEND

WRAP = "() => void app.graph.convertToSubgraph(new Set(app.graph.nodes))"
# Link both values of a subgraph's only node to inputs of the subgraph.
SHOW_BOTH = """() => {
    const { subgraph } = app.graph.nodes[0];
    const [inner] = subgraph.nodes;
    for (const name of ["valence", "arousal"])
        subgraph.addInput(name, "FLOAT").connect(inner.inputs.find((input) => input.name === name), inner);
}"""
OPEN = """() => {
    const host = app.canvas.graph.nodes.find((node) => node.subgraph);
    app.canvas.openSubgraph(host.subgraph, host);
}"""
PROMOTE = """(name) => {
    const { properties, subgraph } = app.graph.nodes[0];
    properties.proxyWidgets = [...properties.proxyWidgets, [String(subgraph.nodes[0].id), name]];
}"""
LEAVE = "() => app.canvas.setGraph(app.graph)"


def host_of_one(ui, **values) -> int:
    """A subgraph of an Emotional Conditioning whose values it shows; its node's id."""
    ui.add("EmotiCrafterConditioning", **values)
    ui.run(WRAP)
    ui.run(SHOW_BOTH)
    ui.view(1, (0, 0))
    return ui.run("() => app.graph.nodes[0].id")


def pad_inside(ui):
    """The pad of the only node in the first subgraph of what is open, which is opened."""
    ui.run(OPEN)
    ui.view(1, (0, 0))
    return ui.pad(ui.run("() => app.canvas.graph.nodes[0].id"))


def test_a_subgraph_that_shows_both_values_has_a_pad(ui):
    host = host_of_one(ui, valence=2, arousal=1)
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
    inner = pad_inside(ui)
    inner.is_locked()  # its values are the outer node's
    inner.shows(-1, -2)
    ui.run(LEAVE)


def test_values_promoted_from_the_menu_have_a_pad_too(ui):
    """The pinned interface promotes them without a link, under names of its own."""
    ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    ui.run(WRAP)
    ui.run(OPEN)
    ui.view(1, (0, 0))
    for name in ("valence", "arousal"):
        promote(ui, name)
    ui.run(LEAVE)
    ui.view(1, (0, 0))
    host = ui.run("() => app.graph.nodes[0].id")
    pad = ui.pad(host)
    pad.shows(2, 1)
    pad.drag((2, 1), (-1, -2))
    inputs = ui.prompt()["EmotiCrafterConditioning"]
    assert (inputs["valence"], inputs["arousal"]) == (-1, -2)
    saved = ui.serialized()
    ui.clear()
    ui.load(saved)
    ui.pad(host).shows(-1, -2)
    ui.screenshot("promoted")
    if ui.name == PINNED_FRONTEND:
        ui.run("""() => {
            const { properties } = app.graph.nodes[0];
            properties.proxyWidgets = properties.proxyWidgets.filter(([, name]) => name !== "arousal");
        }""")
        ui.until("() => app.graph.nodes[0].widgets.every((widget) => widget.name !== 'va_pad')")


def promote(ui, name: str) -> None:
    """Choose "Promote Widget" in the menu of one value of the node that is open."""
    if ui.renderer == "vue" and ui.name == PINNED_FRONTEND:
        ui.run(PROMOTE, name)  # its Nodes 2.0 have no such menu: as its panel of a subgraph's widgets does it
        return
    if ui.renderer == "vue":
        box = ui.page.locator("[data-node-id]").get_by_text(name, exact=True).first.bounding_box()
        place = (box["x"] + 5, box["y"] + 5)
    else:
        place = ui.run(
            """(name) => {
                const [node] = app.canvas.graph.nodes;
                const { last_y, y } = node.widgets.find((widget) => widget.name === name);
                const [left, top] = node.pos;
                return app.canvas.ds.convertOffsetToCanvas([left + 60, top + (last_y ?? y) + 10]);
            }""",
            name,
        )
    ui.page.mouse.click(*place, button="right")
    ui.page.get_by_text("Promote Widget").first.click()


def test_each_level_of_a_subgraph_in_a_subgraph_has_the_outermost_node_s_point(ui):
    host_of_one(ui, valence=2, arousal=1)
    ui.run(WRAP)
    ui.run(SHOW_BOTH)
    ui.view(1, (0, 0))
    outer = ui.run("() => app.graph.nodes[0].id")
    ui.pad(outer).drag((2, 1), (-1, -2))
    inputs = ui.prompt()["EmotiCrafterConditioning"]
    assert (inputs["valence"], inputs["arousal"]) == (-1, -2)
    for _ in range(2):
        pad = pad_inside(ui)
        pad.is_locked()
        pad.shows(-1, -2)
        pad.drag((-1, -2), (1, 1))
    ui.run(LEAVE)
    assert ui.values(outer) == (-1, -2)


@pytest.mark.parametrize("kind", ["EmotiCrafterValenceArousal", "EmotiCrafterPreset"])
def test_a_subgraph_s_linked_values_are_followed_and_cannot_be_moved(ui, kind):
    host = host_of_one(ui, valence=2, arousal=1)
    pad = ui.pad(host)
    source = ui.add(kind, x=750, y=400, valence=-2, arousal=2)
    ui.connect(source, 0, host, "valence")
    ui.connect(source, 1, host, "arousal")
    pad.is_locked()
    known = kind == "EmotiCrafterValenceArousal"
    if known:
        pad.shows(-2, 2)
        ui.pad(source).drag((-2, 2), (1, 1))
        pad = ui.pad(host)
        pad.shows(1, 1)
        ui.screenshot("subgraph linked")
    inner = pad_inside(ui)
    inner.is_locked()
    if known:
        inner.shows(1, 1)
    else:
        assert inner.name == "linked"
    ui.run(LEAVE)


def test_what_two_nodes_give_the_same_subgraph_is_not_made_up(ui):
    """Copies share their inside, and each gives it values of its own."""
    host_of_one(ui, valence=2, arousal=1)
    ui.run("""() => {
        const [host] = app.graph.nodes;
        const second = LiteGraph.createNode(host.type);
        second.pos = [750, 160];
        app.graph.add(second);
    }""")
    inner = pad_inside(ui)
    inner.is_locked()
    assert inner.name == "linked"
    ui.run(LEAVE)


def test_inside_a_subgraph_it_works_as_outside(ui):
    ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    ui.run(WRAP)
    pad = pad_inside(ui)
    node = ui.run("() => app.canvas.graph.nodes[0].id")
    pad.drag((2, 1), (0.5, -1.5))
    assert ui.values(node) == (0.5, -1.5)
    ui.run(LEAVE)
    assert ui.prompt()["EmotiCrafterConditioning"]["arousal"] == -1.5


@pytest.mark.parametrize("deleted", [False, True])
def test_a_deleted_node_hears_no_more_of_its_subgraph(ui, deleted):
    ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    ui.run(WRAP)
    pads = ui.run(
        """async (deleted) => {
            const [host] = app.graph.nodes;
            const { subgraph } = host;
            if (deleted) app.graph.remove(host);
            for (const name of ["valence", "arousal"]) host.addWidget("number", name, 0, () => {});
            const detail = { widget: host.widgets[0], subgraphNode: host };
            subgraph.events.dispatchEvent(new CustomEvent("widget-promoted", { detail }));
            app.canvas.draw(true, true);
            await new Promise((done) => setTimeout(done));
            return host.widgets.filter((widget) => widget.name === "va_pad").length;
        }""",
        deleted,
    )
    assert pads == (0 if deleted else 1)
