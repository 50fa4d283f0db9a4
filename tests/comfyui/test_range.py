"""Emotion Range in a real server: what it draws, what it finds, and what it says when it cannot."""

import io
import re

import pytest
from PIL import Image

from emoticrafter.research.readers import ClipHeads, save_heads
from scripts.server import PromptError
from scripts.stand_ins import NETWORK_NAME
from tests.comfyui.graphs import SIZE, Graph, pictures, report
from tests.comfyui.test_miniature_node import MiniatureGraph

MINIATURE, HEADS, WIDTH = "miniature (only for its own pictures)", "range heads.safetensors", 24
TEXT = "a windmill in a meadow at sunset"
_IMAGE, POINTS, VALENCE_MIN, VALENCE_MAX, AROUSAL_MIN, AROUSAL_MAX, WORDS = range(7)


def measured(graph: Graph, **changed) -> str:
    """The node on the graph's own model, few and small pictures; its id."""
    model, _, vae = graph.checkpoint()
    inputs = {
        "model": model,
        "vae": vae,
        "positive": graph.text(TEXT, "prompt"),
        "negative": graph.text("", "negative"),
        "network": graph.network(),
        "latent_image": graph.add("EmptyLatentImage", "latent", width=SIZE, height=SIZE, batch_size=1),
        "seed": 7,
        "steps": 4,
        "cfg": 3.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "strength": 1.0,
        "pictures": 1,
        "keep": 0.4,
    }
    return graph.add("EmotiCrafterRange", "range", **inputs | changed)[0]


def test_it_draws_what_it_says_and_tells_a_range_in_every_form(server):
    graph = MiniatureGraph()
    node = measured(graph, strength=3.0, pictures=2)
    for slot, name in ((POINTS, "points"), (WORDS, "words")):
        graph.add("ProbeValue", name, value=[node, slot])
    bounds = {"valence_min": VALENCE_MIN, "valence_max": VALENCE_MAX}
    bounds |= {"arousal_min": AROUSAL_MIN, "arousal_max": AROUSAL_MAX}
    bounds = {name: [node, slot] for name, slot in bounds.items()}
    grid = graph.add("EmotiCrafterGrid", "grid", columns=2, rows=2, **bounds)[0]
    graph.add("ProbeValue", "grid points", value=[grid, 3])
    graph.add(
        "SaveImage", "map", images=graph.add("EmotiCrafterMap", size=384, asked=[node, POINTS]), filename_prefix="t"
    )
    steps = []

    def watch(kind, data):
        if kind == "progress" and data.get("node") == node:
            steps.append((data["value"], data["max"]))

    result = server.queue(graph, on_message=watch)
    assert steps[-1] == (17, 17) and {most for _, most in steps} == {17}
    valence, arousal, columns = report(result, "points")[0]
    assert len(valence) == len(arousal) == 8 and columns == 0
    assert result.outputs[node]["range"] == [list(point) for point in zip(valence, arousal, strict=True)]
    assert valence[0] >= 0 == arousal[0] and valence[1] == arousal[1] and valence[3] == -arousal[3]
    assert 0 < max(map(max, valence, arousal)) <= 3
    assert min(max(map(abs, point)) for point in zip(valence, arousal, strict=True)) < 3, (
        "three times as much breaks some"
    )
    corners = report(result, "grid points")[0]
    assert (min(corners[0]), max(corners[0])) == (min(valence), max(valence))
    assert (min(corners[1]), max(corners[1])) == (min(arousal), max(arousal))
    [text] = report(result, "words")
    assert result.outputs[node]["text"] == [text] and len(text.splitlines()) == 8
    [sheet] = [Image.open(io.BytesIO(file)) for file in pictures(result)[node]]
    assert sheet.width > 7 * SIZE and sheet.height > 8 * SIZE


def test_it_is_drawn_once_and_the_same_again(server):
    graph = Graph()
    measured(graph)
    first = server.queue(graph)
    again = server.queue(graph)
    assert "range" in first.executed and "range" in again.cached
    assert again.outputs["range"] == first.outputs["range"], "the interface is told it again"
    moved = Graph()
    measured(moved)
    moved.report(moved.emotional(moved.text(TEXT, "prompt"), valence=-1.0), "seen")
    assert "range" in server.queue(moved).cached
    server.post("/free", {"unload_models": True, "free_memory": True})
    assert server.queue(graph).outputs["range"]["text"] == first.outputs["range"]["text"]


def limits(server, **changed) -> list[str]:
    """What the node says of the eight rays, of the miniature's pictures."""
    graph = MiniatureGraph()
    node = measured(graph, **{"strength": 3.0, "pictures": 2, "steps": 6, **changed})
    [text] = server.queue(graph).outputs[node]["text"]
    return text.splitlines()


def numbers(lines: list[str]) -> list[float]:
    return [float(number) for line in lines for number in re.findall(r"[+-]\d\.\d\d", line)]


def test_a_reader_decides_in_place_of_colours_and_shapes(server):
    plain = limits(server)
    # nearly: with little memory left, ComfyUI may draw with and without the prompt one after the other
    assert numbers(limits(server, reader="none")) == pytest.approx(numbers(plain), abs=0.2)
    assert numbers(limits(server, keep=0.95)) != pytest.approx(numbers(plain), abs=0.2), "nearly all shapes must stay"
    seen = limits(server, reader=MINIATURE)
    assert numbers(seen) != pytest.approx(numbers(plain), abs=0.2) and len(seen) == 8
    assert not any(line.endswith("the content is lost") for line in limits(server, reader=MINIATURE, keep=0.0))


def test_heads_on_a_vision_model_are_a_reader_too(server):
    save_heads(ClipHeads(WIDTH, "a tiny vision model"), server.models / "emoticrafter_readers" / HEADS)
    graph = MiniatureGraph()
    node = measured(graph, reader=HEADS, clip_vision=graph.add("ProbeClipVision", width=WIDTH))
    assert len(server.queue(graph).outputs[node]["text"][0].splitlines()) == 8
    for vision, told in ((None, "no vision model is connected"), (WIDTH + 1, f"expect {WIDTH}")):
        graph = MiniatureGraph()
        connected = {"clip_vision": graph.add("ProbeClipVision", width=vision)} if vision else {}
        measured(graph, reader=HEADS, **connected)
        with pytest.raises(PromptError, match=told) as caught:
            server.queue(graph)
        assert caught.value.node_id == "range"


def test_without_strength_nothing_changes_and_the_range_is_a_point(server):
    graph = Graph()
    node = measured(graph, strength=0.0)
    graph.add("ProbeValue", "end", value=[node, VALENCE_MAX])
    result = server.queue(graph)
    assert report(result, "end") == [0.0]
    assert all(line.endswith("pictures do not change") for line in result.outputs[node]["text"][0].splitlines())


def test_stopped_amid_its_pictures_it_leaves_the_queue_going(server):
    graph = MiniatureGraph()
    measured(graph, pictures=6, steps=8, seed=11)
    seen = []

    def stop(kind, data):
        if kind == "progress" and data.get("node") == "range":
            seen.append(data["value"])
            if len(seen) == 12:
                server.post("/interrupt", {})

    with pytest.raises(PromptError, match="interrupted") as caught:
        server.queue(graph, on_message=stop)
    assert caught.value.node_id == "range" and max(seen) < 10
    few = MiniatureGraph()
    measured(few, seed=11)
    assert "range" in server.queue(few).executed


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"network": "SDXL's"}, r"is 128 wide.* expects text 2048 wide \(SDXL\)"),
        ({"pictures": 0}, "pictures"),
        ({"keep": 2.0}, "keep"),
        ({"latent_image": "two"}, "latent_image holds 2"),
        ({"sampler_name": "none such"}, "sampler_name"),
        ({"positive": 5}, "positive"),
        ({"reader": "none such.safetensors"}, "There is no emotion reader"),
        ({"reader": "network"}, "is not a reader of emotions"),
        ({"reader": MINIATURE, "clip_vision": "a model"}, "clip_vision"),
    ],
)
def test_what_cannot_be_measured_is_said_on_the_node(server, changed, told):
    graph = MiniatureGraph()
    if "network" in changed:
        changed = {"network": graph.add("EmotiCrafterLoader", network_name=NETWORK_NAME, dtype="auto")}
    if changed.get("reader") == "network":
        file = server.models / "emoticrafter" / NETWORK_NAME
        (server.models / "emoticrafter_readers" / NETWORK_NAME).write_bytes(file.read_bytes())
        changed = {"reader": NETWORK_NAME}
    if "clip_vision" in changed:
        changed |= {"clip_vision": graph.text(TEXT, "words")}
    if "latent_image" in changed:
        changed = {"latent_image": graph.add("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=2)}
    measured(graph, **changed)
    with pytest.raises(PromptError, match=told) as caught:
        server.queue(graph)
    assert caught.value.node_id == "range" or "range" in caught.value.node_errors
