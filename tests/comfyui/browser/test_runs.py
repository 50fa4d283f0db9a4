"""Runs that are started from the interface, and what a node shows after one."""

import json
import time

import torch
from safetensors.torch import save_file

from emoticrafter.research.readers import Reader
from scripts.server import QUEUE_SECONDS
from tests.comfyui.graphs import Graph


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
        [inputs] = [n["inputs"] for n in run["prompt"][2].values() if n["class_type"] == "EmotiCrafterConditioning"]
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
    bottom = ui.run("(id) => { const node = app.graph.getNodeById(id); return node.pos[1] + node.size[1]; }", node)
    top = ui.run("() => app.canvas.canvas.getBoundingClientRect().top")
    assert box["y"] + box["height"] <= top + bottom, "the text hangs out of its node"
    ui.screenshot("reading")
