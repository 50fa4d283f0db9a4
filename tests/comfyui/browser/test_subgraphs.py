"""The pad in a subgraph and on one."""

import pytest


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


@pytest.mark.parametrize("deleted", [False, True])
def test_a_deleted_node_hears_no_more_of_its_subgraph(ui, deleted):
    ui.add("EmotiCrafterConditioning", valence=2, arousal=1)
    ui.run("() => { app.graph.convertToSubgraph(new Set(app.graph.nodes)); }")
    pads = ui.run(
        """async (deleted) => {
            const [host] = app.graph.nodes;
            const { subgraph } = host;
            if (deleted) app.graph.remove(host);
            for (const name of ["valence", "arousal"]) host.addWidget("number", name, 0, () => {});
            const detail = { widget: host.widgets[0], subgraphNode: host };
            subgraph.events.dispatchEvent(new CustomEvent("widget-promoted", { detail }));
            await new Promise((done) => setTimeout(done));
            return host.widgets.filter((widget) => widget.name === "va_pad").length;
        }""",
        deleted,
    )
    assert pads == (0 if deleted else 1)
