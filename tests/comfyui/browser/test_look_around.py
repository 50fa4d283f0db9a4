"""The button that draws small pictures for the point and those round it."""

import json
from pathlib import Path

import pytest

from tests.comfyui.graphs import Graph
from tests.comfyui.interface import NODE, PADS

WORKFLOWS = Path(__file__).parents[3] / "workflows"
ROUND_THE_POINT = [(v, a) for a in (1, 0, -1) for v in (-1, 0, 1)]


def load(ui, name: str, **values) -> None:
    """A shipped workflow, with other values in its node with the pad; the view is on that."""
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text("utf-8"))
    [node] = [node for node in workflow["nodes"] if node["type"] in PADS]
    node["widgets_values"][:2] = values.get("valence", 0), values.get("arousal", 0)
    ui.load(workflow)
    ui.settle()
    left, top = ui.run(f"(id) => [...{NODE}(id).pos]", node["id"])  # Nodes 2.0 of the pinned interface moves it
    ui.view(0.75, (300 - left, 180 - top))


def says(pad, words: str) -> None:
    pad.fan.get_by_role("status").filter(has_text=words).wait_for()


@pytest.fixture
def sent(ui):
    """The prompts that the page sends; no server gets them."""
    prompts = []

    def answer(route):
        prompts.append(json.loads(route.request.post_data)["prompt"])
        route.fulfill(json={"prompt_id": f"run {len(prompts)}", "number": 1, "node_errors": {}})

    ui.page.route("**/api/prompt", lambda route: answer(route) if route.request.method == "POST" else route.continue_())
    yield prompts
    ui.page.unroute_all()


def queue_fan(ui, sent: list[dict], pad) -> dict:
    pad.look.click()
    says(pad, "Waiting in the queue")
    return sent[-1]


def of_kind(prompt: dict, kind: str) -> list[dict]:
    return [node["inputs"] for node in prompt.values() if node["class_type"] == kind]


def points(prompt: dict, kind: str = "EmotiCrafterConditioning") -> list[tuple[float, float]]:
    return [(inputs["valence"], inputs["arousal"]) for inputs in of_kind(prompt, kind)]


# ---- pictures ----------------------------------------------------------------------------------------------


def test_nine_pictures_appear_and_one_can_be_chosen(ui, shown_by):
    load(ui, "pad_to_picture_miniature")
    before = ui.prompt()
    seen = set(shown_by.get("/history"))
    pad = ui.pad_of_first_pad()
    pad.look.click()
    pad.is_drawn()
    ui.screenshot("look around")
    [run] = [run for key, run in shown_by.get("/history").items() if key not in seen]
    assert sorted(points(run["prompt"][2])) == sorted(ROUND_THE_POINT)
    files = [file for output in run["outputs"].values() for file in output["images"]]
    assert [file["type"] for file in files] == ["temp"] * 9, "nothing is saved"
    content = [shown_by.get("/view?filename={filename}&subfolder={subfolder}&type={type}".format(**f)) for f in files]
    assert len(set(content)) == 9
    assert ui.prompt() == before
    pad.fan.get_by_role("button", name="valence 1.00, arousal -1.00").click()
    pad.shows(1, -1)
    assert not pad.fan.is_visible()
    ui.undo()
    ui.pad_of_first_pad().shows(0, 0)


def test_asked_for_again_it_is_round_the_new_point_and_escape_closes_it(ui):
    load(ui, "pad_to_picture_miniature", valence=3, arousal=3)
    pad = ui.pad_of_first_pad()
    pad.look.click()
    pad.is_drawn(4)  # there is nothing beyond the edge
    ui.page.keyboard.press("Escape")
    assert not pad.fan.is_visible()
    pad.drag((3, 3), (-1, 0))
    pad.look.click()
    pad.is_drawn(9)
    assert pad.fan.locator("[aria-current]").get_attribute("aria-label").startswith("valence -1.00, arousal 0.00")


# ---- what is queued ----------------------------------------------------------------------------------------


def test_big_pictures_are_drawn_small_and_nothing_that_comes_after_the_first(ui, sent):
    load(ui, "emotional_text_to_image")
    fan = queue_fan(ui, sent, ui.pad_of_first_pad())
    assert sorted(points(fan)) == sorted(ROUND_THE_POINT)
    assert of_kind(fan, "EmptyLatentImage") == [{"width": 512, "height": 512, "batch_size": 1}]
    assert [inputs["steps"] for inputs in of_kind(fan, "KSampler")] == [8] * 9
    assert len({inputs["seed"] for inputs in of_kind(fan, "KSampler")}) == 1
    assert len(of_kind(fan, "PreviewImage")) == 9 and not of_kind(fan, "SaveImage")
    assert len(of_kind(fan, "CheckpointLoaderSimple")) == 1, "what the points do not change is computed once"


def test_base_and_refiner_keep_their_shares_of_the_steps(ui, sent):
    load(ui, "emotion_with_refiner")
    fan = queue_fan(ui, sent, ui.pad_of_first_pad())
    shares = {(i["steps"], i["start_at_step"], i["end_at_step"]) for i in of_kind(fan, "KSamplerAdvanced")}
    base, refiner = sorted(shares, key=lambda share: share[1])
    assert base[:2] == (8, 0) and 0 < base[2] == refiner[1] < 8 <= refiner[2]


@pytest.mark.parametrize("kind", PADS)
def test_every_node_with_a_pad_has_it(ui, sent, kind):
    """An Emotion Map's picture stands for any that the node leads to."""
    node = ui.add(kind, valence=0.5, arousal=-1)
    lead_to_a_picture(ui, node)
    fan = queue_fan(ui, sent, ui.pad(node))
    assert set(points(fan, kind)) == {(v, a) for v in (-0.5, 0.5, 1.5) for a in (-2, -1, 0)}


def lead_to_a_picture(ui, node: int) -> None:
    ui.run(
        f"""(id) => {{
            const node = {NODE}(id);
            const link = (source, kind, names) => {{
                const target = LiteGraph.createNode(kind);
                target.pos = [900, 160];
                app.canvas.graph.add(target);
                for (const name of names) source.connect(0, target, target.inputs.findIndex((i) => i.name === name));
                return target;
            }};
            let at = node;
            if (node.outputs[0].type === "EMOTION") at = link(at, "EmotiCrafterInjection", ["emotion"]);
            if (at.outputs[0].type === "CLIP") at = link(at, "CLIPTextEncode", ["clip"]);
            if (at.outputs[0].type === "FLOAT") at = link(at, "EmotiCrafterConditioning", ["valence"]);
            link(link(at, "KSampler", ["positive"]), "VAEDecode", ["samples"]);
        }}""",
        node,
    )


def test_a_subgraph_s_pad_moves_the_node_inside(ui, sent):
    node = ui.add("EmotiCrafterConditioning")
    lead_to_a_picture(ui, node)
    ui.run(f"(id) => void app.graph.convertToSubgraph(new Set([{NODE}(id)]))", node)
    ui.run("""() => {
        const { subgraph } = app.graph.nodes.find((node) => node.subgraph);
        const [inner] = subgraph.nodes;
        for (const name of ["valence", "arousal"])
            subgraph.addInput(name, "FLOAT").connect(inner.inputs.find((input) => input.name === name), inner);
    }""")
    ui.view(1, (0, 0))
    fan = queue_fan(ui, sent, ui.pad(ui.run("() => app.graph.nodes.find((node) => node.subgraph).id")))
    assert sorted(points(fan)) == sorted(ROUND_THE_POINT)


# ---- not any more -----------------------------------------------------------------------------------------


def test_a_fan_that_waits_is_taken_out_of_the_queue_and_the_others_stay(ui, shown_by):
    load(ui, "pad_to_picture_miniature")
    other = shown_by.post("/prompt", {"prompt": slow()})["prompt_id"]
    pad = ui.pad_of_first_pad()
    pad.look.click()
    says(pad, "Waiting in the queue")
    pad.look.click()
    is_empty(ui, shown_by, "queue_pending")
    assert not pad.fan.is_visible()
    assert [item[1] for item in shown_by.get("/queue")["queue_running"]] == [other]
    end(ui, shown_by, other)


def test_a_fan_that_runs_is_interrupted_and_the_next_one_runs(ui, shown_by):
    load(ui, "pad_to_picture_miniature")
    ui.run(
        """() => {
            for (const { type, widgets } of app.graph.nodes) {
                if (type === "KSampler") widgets[0].value = Date.now();
                // of 128 pixels a fast machine draws all nine before it can be stopped
                if (type === "EmptyLatentImage") widgets[0].value = widgets[1].value = 320;
            }
        }"""
    )
    seen = set(shown_by.get("/history"))
    pad = ui.pad_of_first_pad()
    pad.look.click()
    pad.fan.locator("img[src]").first.wait_for(state="attached")
    pad.look.click()
    assert not pad.fan.is_visible()
    is_empty(ui, shown_by, "queue_running")
    [run] = [run for key, run in shown_by.get("/history").items() if key not in seen]
    assert run["status"]["messages"][-1][0] == "execution_interrupted"
    assert len(run["outputs"]) < 9
    pad.look.click()
    pad.is_drawn()


def slow() -> dict:
    """A prompt that runs until it is interrupted."""
    graph = Graph()
    graph.picture(graph.text(), "slow", steps=10_000)
    return graph


def end(ui, shown_by, prompt_id: str) -> None:
    ui.run("(id) => fetch('/api/interrupt', { method: 'POST', body: JSON.stringify({ prompt_id: id }) })", prompt_id)
    is_empty(ui, shown_by, "queue_running")


def is_empty(ui, shown_by, part: str) -> None:
    """Wait until the server's queue has none that waits, or none that runs."""
    for _ in range(600):
        if not shown_by.get("/queue")[part]:
            return
        ui.page.wait_for_timeout(100)
    raise AssertionError(f"{part} is never empty")


# ---- what goes wrong --------------------------------------------------------------------------------------


def test_a_node_without_a_picture_behind_it_says_so(ui):
    node = ui.add("EmotiCrafterConditioning")
    pad = ui.pad(node)
    pad.look.click()
    says(pad, "No picture follows this node.")
    pad.look.click()
    lead_to_a_picture(ui, node)
    ui.run(f"(id) => void ({NODE}(id).mode = 2)", node)
    pad.look.click()
    says(pad, "This node is muted or bypassed.")


def test_a_prompt_that_the_server_refuses_says_why(ui):
    node = ui.add("EmotiCrafterConditioning")
    lead_to_a_picture(ui, node)
    pad = ui.pad(node)
    pad.look.click()
    says(pad, "The pictures could not be drawn: ")
    says(pad, "Required input is missing")
    ui.screenshot("look around refused")


def test_an_error_on_the_way_says_which(ui, shown_by):
    load(ui, "pad_to_picture_miniature")
    ui.run("() => void (app.graph.nodes.find((n) => n.type === 'KSampler').inputs[0].link = null)")
    pad = ui.pad_of_first_pad()
    pad.look.click()
    says(pad, "KSampler: Required input is missing")


def test_a_pad_that_cannot_be_moved_has_no_fan(ui):
    node = ui.add("EmotiCrafterConditioning")
    source = ui.add("EmotiCrafterValenceArousal", x=750)
    ui.connect(source, 0, node, "valence")
    pad = ui.pad(node)
    pad.is_locked()
    assert not pad.look.is_visible()
