"""Emotion Grid Image, Read Emotion and Emotion Map in a real server, from asked to achieved."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from emoticrafter.figures.drawing import draw_grid
from emoticrafter.figures.plane import draw_map
from emoticrafter.research.readers import ClipHeads, Reader, read_pictures, save_heads
from scripts.installation import ROOT
from scripts.server import PromptError
from tests.comfyui.graphs import SIZE, Graph, pictures, report

VALENCES, AROUSALS, POINTS, TEXT = range(4)
ROW = {"columns": 3, "rows": 2, "valence_min": -3.0, "valence_max": 3.0, "arousal_min": 0.0, "arousal_max": 2.0}
GRID = [(v, a) for a in (2.0, 0.0) for v in (-3.0, 0.0, 3.0)]
READER, HEADS = "tiny reader.safetensors", "heads.safetensors"
MINIATURE = "miniature (only for its own pictures)"
WIDTH = 24  # of the vision model in the probe nodes


@pytest.fixture(scope="module")
def reader(server):
    """An untrained reader, in the server's folder too."""
    torch.manual_seed(3)
    network = Reader((16, 16), 2).eval().requires_grad_(False)
    network.head.weight.mul_(20)  # readings that differ visibly
    folder = server.models / "emoticrafter_readers"
    config = {"kind": "emotion", "channels": [16, 16], "held_out": {}}
    metadata = {"format": "emoticrafter-miniature", "version": "1", "config": json.dumps(config)}
    save_file(network.state_dict(), folder / READER, metadata)
    save_heads(ClipHeads(WIDTH, "a tiny vision model"), folder / HEADS)
    return network


def read(graph: Graph, images: list, name: str = "read", **inputs) -> str:
    return graph.add("EmotiCrafterReadEmotion", name, images=images, **({"reader": READER} | inputs))[0]


def drawn(graph: Graph, as_list: bool) -> tuple[str, list]:
    """A grid's node and the pictures of its points, as one batch or as a list of runs; all are saved."""
    grid = graph.add("EmotiCrafterGrid", "grid", **ROW, network=graph.network())[0]
    if as_list:
        positive = graph.emotional(graph.text(), "emotional", valence=[grid, 1], arousal=[grid, 2])
        graph.picture(positive, "pictures")
    else:
        positive = graph.add("EmotiCrafterInjection", conditioning=graph.text(), emotion=[grid, 0], strength=1.0)
        graph.picture(positive, "pictures", batch=6)
    return grid, ["pictures decode", 0]


def opened(files: list[bytes]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(content)).convert("RGB") for content in files]


def save(graph: Graph, image: list, name: str) -> None:
    graph.add("SaveImage", name, images=image, filename_prefix="test")


@pytest.mark.parametrize("as_list", [False, True], ids=["one batch", "a list"])
def test_asked_and_achieved_are_seen_together(server, reader, as_list):
    graph = Graph()
    grid, images = drawn(graph, as_list)
    figure = {"images": images, "points": [grid, 3], "title": "a house", "cell_size": 0, "columns": 0}
    save(graph, graph.add("EmotiCrafterGridImage", "figure", **figure), "shown figure")
    node = read(graph, images)
    for slot, name in ((VALENCES, "valences"), (AROUSALS, "arousals"), (POINTS, "points"), (TEXT, "text")):
        graph.add("ProbeValue", name, value=[node, slot])
    save(graph, graph.add("EmotiCrafterMap", size=384, asked=[grid, 3], read=[node, POINTS]), "shown map")
    result = server.queue(graph)

    shown = {name: opened(files) for name, files in pictures(result).items()}
    batch = torch.from_numpy(np.stack([np.array(picture) for picture in shown["pictures"]])) / 255
    readings = read_pictures(reader, batch)
    assert np.allclose(report(result, "valences"), readings[:, 0], atol=0.05)
    assert np.allclose(report(result, "arousals"), readings[:, 1], atol=0.05)
    valence, arousal, columns = report(result, "points")[0]
    assert (valence, arousal, columns) == (report(result, "valences"), report(result, "arousals"), 0)
    [text] = report(result, "text")
    assert text.startswith("6 pictures, mean valence ") and len(text.splitlines()) == 7
    assert result.outputs["read"]["text"] == [text]

    expected = draw_grid(shown["pictures"], *zip(*GRID, strict=True), columns=3, title="a house")
    assert close(shown["shown figure"][0], expected)
    expected = draw_map(GRID, list(zip(valence, arousal, strict=True)), 384)
    assert close(shown["shown map"][0], expected)


def close(one: Image.Image, other: Image.Image) -> bool:
    """The same but for rounding; a point of a map may be off by a fraction of a pixel."""
    return one.size == other.size and np.abs(np.array(one, float) - np.array(other, float)).mean() < 0.5


def test_a_path_is_laid_out_as_a_strip_of_the_size_asked_for(server):
    graph = Graph()
    path = {"keyframes": "0% calm\n100% excited", "frames": 4, "easing": "linear", "closed": False}
    points = [graph.add("EmotiCrafterPath", "path", **path)[0], 3]
    images = graph.add("EmptyImage", width=SIZE, height=SIZE, batch_size=4, color=0x336699)
    sizes = {"title": "", "cell_size": 64, "columns": 2}
    save(graph, graph.add("EmotiCrafterGridImage", images=images, points=points, **sizes), "strip")
    save(graph, graph.add("EmotiCrafterMap", size=384, asked=points), "map")
    shown = pictures(server.queue(graph))
    pixels = np.array(opened(shown["strip"])[0])
    assert (pixels == (0x33, 0x66, 0x99)).all(-1).sum() == 4 * 64 * 64
    assert opened(shown["map"])[0].width == 384


def test_heads_read_through_the_connected_vision_model(server, reader):
    graph = Graph()
    vision = graph.add("ProbeClipVision", width=WIDTH)
    images = graph.add("EmptyImage", width=96, height=64, batch_size=2, color=0xAA8866)
    node = read(graph, images, reader=HEADS, clip_vision=vision)
    graph.add("ProbeValue", "valences", value=[node, VALENCES])
    result = server.queue(graph)
    assert "read" in result.executed and "read" in server.queue(graph).cached
    valences = report(result, "valences")
    assert len(valences) == 2 and valences[0] == pytest.approx(valences[1], abs=1e-5)
    assert -3 < valences[0] < 3


def test_the_miniature_reader_is_offered_where_its_file_is(server, reader):
    info = server.get("/object_info/EmotiCrafterReadEmotion")["EmotiCrafterReadEmotion"]
    options = info["input"]["required"]["reader"][1]["options"]
    there = (ROOT / "miniature" / "emotion_reader.safetensors").is_file()
    assert (options[0] == MINIATURE) == there
    assert {HEADS, READER} <= set(options)


def test_a_reader_that_was_replaced_is_read_anew(server, reader):
    graph = Graph()
    images = graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0x446688)
    name, path = "replaced.safetensors", server.models / "emoticrafter_readers" / "replaced.safetensors"
    vision = graph.add("ProbeClipVision", width=WIDTH)
    graph.add("ProbeValue", "valences", value=[read(graph, images, reader=name, clip_vision=vision), VALENCES])
    found = []
    for bias in (-1.0, 1.0):
        heads = ClipHeads(WIDTH).requires_grad_(False)
        heads.valence.weight.zero_()
        heads.valence.bias.fill_(bias)
        save_heads(heads, path)
        found += report(server.queue(graph), "valences")
    path.unlink()
    expected = [6 / (1 + np.exp(-bias)) - 3 for bias in (-1.0, 1.0)]
    assert found == pytest.approx(expected, abs=1e-4)


# ---- bad input -------------------------------------------------------------------------------------


def failure(server, graph: Graph) -> PromptError:
    with pytest.raises(PromptError) as caught:
        server.queue(graph)
    return caught.value


@pytest.mark.parametrize(
    ("width", "message"),
    [
        (None, "no vision model is connected: connect Load CLIP Vision to clip_vision, with a tiny vision model"),
        (40, "gives features 40 wide, and this reader's heads expect 24 (of a tiny vision model)"),
    ],
)
def test_heads_without_their_vision_model_are_refused(server, reader, width, message):
    graph = Graph()
    images = graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0)
    vision = {} if width is None else {"clip_vision": graph.add("ProbeClipVision", width=width)}
    read(graph, images, reader=HEADS, **vision)
    error = failure(server, graph)
    assert error.node_id == "read"
    assert message in str(error)


@pytest.mark.parametrize("name", ["missing.safetensors", "../loras/tiny_sdxl_lora.safetensors", ""])
def test_a_reader_that_is_not_in_the_list_is_refused_before_anything_runs(server, reader, name):
    graph = Graph()
    read(graph, graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0), reader=name)
    error = failure(server, graph)
    assert list(error.node_errors) == ["read"]
    assert f"There is no emotion reader {name!r}" in str(error)
    assert f"{server.models / 'emoticrafter_readers'} (searched)" in str(error)
    assert READER in str(error)


def test_pictures_and_points_that_do_not_match_are_refused(server, reader):
    graph = Graph()
    grid = graph.add("EmotiCrafterGrid", "grid", **ROW)[0]
    images = graph.add("EmptyImage", width=64, height=64, batch_size=5, color=0)
    figure = {"images": images, "points": [grid, 3], "title": "", "cell_size": 0, "columns": 0}
    save(graph, graph.add("EmotiCrafterGridImage", "figure", **figure), "shown")
    assert "5 pictures came for 6 points" in str(failure(server, graph))
    del graph["figure"], graph["shown"]
    node = read(graph, images)
    save(graph, graph.add("EmotiCrafterMap", "map", size=384, asked=[grid, 3], read=[node, POINTS]), "shown")
    assert "6 points were asked for and 5 were read" in str(failure(server, graph))


def test_a_map_of_nothing_says_what_to_connect(server):
    graph = Graph()
    save(graph, graph.add("EmotiCrafterMap", "map", size=384), "shown")
    assert "connect asked, read or both" in str(failure(server, graph))
