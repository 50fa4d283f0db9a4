"""The switch beside the pad: letting the point go runs the graph once, and never floods the queue."""

import json

import pytest

from tests.comfyui.interface import PADS

PROPERTY = "EmotiCrafter: run when let go"


class Queue:
    """Stands in for the server's queue: notes what is sent to it, and says how full it is."""

    def __init__(self, page):
        self.page, self.length, self.sent = page, 0, []
        page.route("**/api/prompt", self._answer)

    def _answer(self, route) -> None:
        if route.request.method == "GET":
            route.fulfill(json={"exec_info": {"queue_remaining": self.length}})
            return
        [inputs] = [
            node["inputs"]
            for node in json.loads(route.request.post_data)["prompt"].values()
            if node["class_type"] in PADS
        ]
        self.sent.append((inputs["valence"], inputs["arousal"]))
        route.fulfill(json={"prompt_id": f"run {len(self.sent)}", "number": len(self.sent), "node_errors": {}})

    def has(self, *points: tuple[float, float]) -> None:
        """Wait until this many have been sent, and a moment longer, in which no other may come."""
        for _ in range(200):
            if len(self.sent) >= len(points):
                break
            self.page.wait_for_timeout(50)
        self.page.wait_for_timeout(400)
        assert self.sent == list(points)


@pytest.fixture
def queue(ui):
    yield Queue(ui.page)
    ui.page.unroute_all()


def switched_on(ui, kind: str = "EmotiCrafterConditioning"):
    """A node whose switch is on; its id and its pad."""
    node = ui.add(kind)
    pad = ui.pad(node)
    pad.switch.click()
    assert pad.switch.get_attribute("aria-checked") == "true"
    return node, pad


@pytest.mark.parametrize("kind", PADS)
def test_it_is_off_until_somebody_switches_it_on_and_moves_no_saved_value(ui, queue, kind):
    node = ui.add(kind)
    pad = ui.pad(node)
    pad.drag((0, 0), (1, 1))
    queue.has()
    [plain] = ui.serialized()["nodes"]
    assert PROPERTY not in plain["properties"]
    pad.switch.click()
    [saved] = ui.serialized()["nodes"]
    assert saved["properties"] == plain["properties"] | {PROPERTY: True}
    assert saved["widgets_values"] == plain["widgets_values"] == [1, 1, *PADS[kind]]
    pad.switch.click()
    assert ui.serialized()["nodes"][0]["properties"] == plain["properties"]


def test_letting_go_queues_the_values_of_then_once_and_dragging_does_not(ui, queue):
    _, pad = switched_on(ui)
    with pad.held((0, 0), (1, 1)):
        queue.has()
    queue.has((1, 1))
    ui.screenshot("run when let go")
    with pad.held((1, 1), (-2, 2)):
        pad.mouse.move(*pad.position(1, 1))
    queue.has((1, 1))  # it is where it was


def test_where_a_run_waits_already_letting_go_often_asks_for_one_more(ui, queue):
    _, pad = switched_on(ui)
    queue.length = 1
    pad.drag((0, 0), (1, 0))
    queue.has((1, 0))  # one may wait
    queue.length = 2
    for place in (2, -1, -2):
        pad.drag((0, 0), (place, 0))
    queue.has((1, 0))
    with pad.held((-2, 0), (0, 2)):
        queue.length = 0
        queue.page.wait_for_timeout(1500)
        queue.has((1, 0))  # while it is held
    queue.has((1, 0), (0, 2))


def test_switching_it_off_takes_back_what_was_asked_for(ui, queue):
    _, pad = switched_on(ui)
    queue.length = 2
    pad.drag((0, 0), (1, 0))
    pad.switch.click()
    queue.length = 0
    queue.page.wait_for_timeout(1500)
    queue.has()


def test_keys_count_when_they_pause(ui, queue):
    _, pad = switched_on(ui)
    pad.field.focus()
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "ArrowUp"):
        ui.page.keyboard.press(key)
    assert queue.sent == []
    queue.has((1, 0.05))
    ui.page.keyboard.press("Home")
    queue.has((1, 0.05), (0, 0))


def test_it_is_saved_with_the_graph_and_undone_with_it(ui):
    switched_on(ui)
    saved = ui.serialized()
    ui.clear()
    ui.load(saved)
    ui.pad_of_first_node().is_on()
    ui.pad_of_first_node().switch.click()
    ui.undo()
    ui.until(f"() => app.graph.nodes[0]?.properties['{PROPERTY}'] === true")
    ui.pad_of_first_node().is_on()


def test_on_a_subgraph_s_node_it_is_that_node_s(ui, queue):
    ui.add("EmotiCrafterConditioning")
    ui.run("() => void app.graph.convertToSubgraph(new Set(app.graph.nodes))")
    ui.run("""() => {
        const { subgraph } = app.graph.nodes[0];
        const [inner] = subgraph.nodes;
        for (const name of ["valence", "arousal"])
            subgraph.addInput(name, "FLOAT").connect(inner.inputs.find((input) => input.name === name), inner);
    }""")
    ui.view(1, (0, 0))
    pad = ui.pad(ui.run("() => app.graph.nodes[0].id"))
    pad.switch.click()
    pad.drag((0, 0), (1, -1))
    queue.has((1, -1))
    [host] = ui.serialized()["nodes"]
    assert host["properties"][PROPERTY] is True


def test_a_pad_that_cannot_be_moved_has_no_switch(ui):
    node = ui.add("EmotiCrafterConditioning")
    source = ui.add("EmotiCrafterValenceArousal", x=750)
    ui.connect(source, 0, node, "valence")
    pad = ui.pad(node)
    pad.is_locked()
    assert not pad.switch.is_visible()
