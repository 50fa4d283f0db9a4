"""Bad input in a real server: the message says what was expected, what came and what to do, and the queue goes on."""

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from emoticrafter import EmotionNetwork, NetworkConfig, save_network
from scripts.server import PromptError
from scripts.stand_ins import NETWORK_NAME
from tests.comfyui.graphs import Graph, report

PUBLISHED = Path(__file__).parents[1] / "reference" / "published_layout_tiny.pth"


@pytest.fixture(autouse=True)
def the_queue_goes_on(server):
    """Whatever a test sent, the next prompt runs and gives what it always gave."""
    yield
    result = server.queue(good())
    assert report(result, "report")[0]["shape"] == [1, 77, 2048]
    assert report(result, "report")[0]["sha256"] != report(result, "plain")[0]["sha256"]


def good() -> Graph:
    graph = Graph()
    graph.report(graph.text(), "plain")
    graph.report(graph.emotional(graph.text(), "emotional"), "report")
    return graph


def failure(server, graph: Graph) -> PromptError:
    with pytest.raises(PromptError) as caught:
        server.queue(graph)
    return caught.value


# ---- conditioning ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "number", "message"),
    [
        ("width", 768, "Entry 0 of the conditioning is 768 wide (Stable Diffusion 1.x)"),
        ("width", 1024, "1024 wide (Stable Diffusion 2.x or Anima)"),
        ("width", 1280, "1280 wide (the SDXL refiner)"),
        ("width", 4096, "4096 wide (Stable Diffusion 3, Flux.1, Chroma, "),
        ("width", 4096, "This emotion network expects text 2048 wide (SDXL): connect a prompt"),
        ("flat", 0, "of shape (77, 2048)"),
        ("tokens", 78, "has 78 tokens: expected a multiple of 77, as CLIP Text Encode gives."),
        ("tokens", 0, "has 0 tokens"),
        ("value", 0, "holds NaN or infinite numbers: the text encoder or a node before this one has failed."),
        ("value", 1, "holds NaN or infinite numbers"),
        ("value", -1, "holds NaN or infinite numbers"),
        ("no pooled", 0, "has no pooled vector (pooled_output), which SDXL needs"),
        ("pooled None", 0, "has no pooled vector"),
    ],
)
def test_a_conditioning_that_cannot_be_used_is_refused(server, kind, number, message):
    graph = Graph()
    odd = graph.add("OddConditioning", conditioning=graph.text(), kind=kind, number=number)
    graph.report(graph.emotional(odd, "emotional"), "report")
    error = failure(server, graph)
    assert error.node_id == "emotional"
    assert message in str(error)


def test_the_entry_at_fault_is_named(server):
    graph = Graph()
    odd = graph.add("OddConditioning", conditioning=graph.text(), kind="width", number=768)
    both = graph.add("ConditioningCombine", conditioning_1=graph.text(), conditioning_2=odd)
    emotion = graph.add("EmotiCrafterVAEncoder", network=graph.network(), valence=1.0, arousal=1.0)
    injected = graph.add("EmotiCrafterInjection", "injection", conditioning=both, emotion=emotion, strength=1.0)
    graph.report(injected, "report")
    error = failure(server, graph)
    assert error.node_id == "injection"
    assert "Entry 1 of the conditioning is 768 wide" in str(error)


# ---- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"valence": 3.05}, "Value 3.05 bigger than max of 3.0: valence"),
        ({"valence": -3.05}, "Value -3.05 smaller than min of -3.0: valence"),
        ({"arousal": 7}, "Value 7.0 bigger than max of 3.0: arousal"),
        ({"arousal": float("-inf")}, "Value -inf smaller than min of -3.0: arousal"),
        ({"strength": 3.5}, "Value 3.5 bigger than max of 3.0: strength"),
        ({"strength": -0.5}, "Value -0.5 smaller than min of 0.0: strength"),
        ({"valence": "joyful"}, "Failed to convert an input value to a FLOAT value: valence, joyful"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_runs(server, values, message):
    graph = Graph()
    graph.report(graph.emotional(graph.text(), "emotional", **values), "report")
    error = failure(server, graph)
    assert list(error.node_errors) == ["emotional"]
    assert message in str(error)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"valence": float("nan")}, "valence is nan: expected a number from -3 to 3."),
        ({"arousal": float("nan")}, "arousal is nan: expected a number from -3 to 3."),
        ({"strength": float("nan")}, "strength is nan: expected a finite number."),
    ],
)
def test_not_a_number_is_refused_by_the_node(server, values, message):
    assert "NaN" in json.dumps(values)  # which no JSON standard knows, and Python's parser takes
    graph = Graph()
    graph.report(graph.emotional(graph.text(), "emotional", **values), "report")
    error = failure(server, graph)
    assert error.node_id == "emotional"
    assert message in str(error)


def test_a_link_of_another_kind_is_refused(server):
    graph = Graph()
    graph.report(graph.emotional(graph.text(), "emotional", network=graph.clip()), "report")
    assert "network, received_type(CLIP) mismatch input_type(EMOTION_NETWORK)" in str(failure(server, graph))


def test_another_dtype_than_those_listed_is_refused(server):
    graph = Graph()
    graph.report(graph.emotional(graph.text(), network=graph.network(dtype="int8")), "report")
    error = failure(server, graph)
    assert "dtype" in str(error)
    assert "int8" in str(error)
    assert "float16" in str(error)


# ---- names of files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["missing.safetensors", "../loras/tiny_sdxl_lora.safetensors", "/etc/hostname", "", "a\0b", "C:\\a.pth"]
)
def test_a_name_that_is_not_in_the_list_is_refused_before_anything_runs(server, name):
    graph = Graph()
    network = graph.network(name)
    graph.report(graph.emotional(graph.text(), network=network), "report")
    error = failure(server, graph)
    assert list(error.node_errors) == [network[0]]
    assert f"There is no emotion network {name!r}" in str(error)
    assert f"{server.models / 'emoticrafter'} (searched)" in str(error)
    assert NETWORK_NAME in str(error)
    assert "Put the file into one of these folders" in str(error)


@pytest.mark.parametrize("name", ["missing.safetensors", "../loras/tiny_sdxl_lora.safetensors"])
def test_a_name_that_comes_over_a_link_is_refused_when_it_is_known(server, name):
    graph = Graph()
    linked = graph.add("ProbeName", "linked", file_name=name)
    network = graph.add("EmotiCrafterLoader", network_name=linked, dtype="auto")
    graph.report(graph.emotional(graph.text(), network=network), "report")
    error = failure(server, graph)
    assert error.node_id == network[0]
    assert f"There is no emotion network {name!r}" in str(error)
    assert f"{server.models / 'emoticrafter'} (searched)" in str(error)


@pytest.mark.parametrize("linked", [False, True])
def test_a_file_whose_name_is_no_text_is_refused_and_does_not_end_the_queue(server, linked):
    path = os.fsencode(server.models / "emoticrafter") + b"/joy\xff.safetensors"
    shutil.copy(server.models / "emoticrafter" / NETWORK_NAME, path)
    try:
        graph = Graph()
        name = graph.add("ProbeName", file_name="joy\udcff.safetensors") if linked else "joy\udcff.safetensors"
        network = graph.add("EmotiCrafterLoader", network_name=name, dtype="auto")
        graph.report(graph.emotional(graph.text(), network=network), "report")
        error = failure(server, graph)
    finally:
        os.remove(path)  # noqa: PTH107 - pathlib takes no bytes
    assert r"'joy\udcff.safetensors' is not valid UTF-8: rename it." in str(error)


# ---- files -----------------------------------------------------------------------------------------


def truncated(path: Path, good: Path) -> None:
    path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])


def lora(path: Path, good: Path) -> None:
    shutil.copy(good.parents[1] / "loras" / "tiny_sdxl_lora.safetensors", path)


def broken_link(path: Path, good: Path) -> None:
    path.symlink_to(path.with_name("moved away.safetensors"))


def truncated_published(path: Path, good: Path) -> None:
    path.write_bytes(PUBLISHED.read_bytes()[:1_000_000])


# What else a file can have wrong, tests/library has.
FILES = {
    truncated: (".safetensors", r"cannot be read as safetensors .*cut short .*: copy or download it again"),
    lora: (".safetensors", r"not an emotion network .*loaders of their own"),
    broken_link: (".safetensors", r"is a broken symlink"),
    truncated_published: (".pth", r"cannot be read as a PyTorch file .*copy or download it again"),
}


@pytest.mark.parametrize(
    ("write", "suffix", "message"),
    [(write, *expected) for write, expected in FILES.items()],
    ids=[write.__name__ for write in FILES],
)
def test_a_file_that_is_no_network_is_refused(server, write, suffix, message):
    folder = server.models / "emoticrafter"
    path = folder / f"{write.__name__}{suffix}"
    write(path, folder / NETWORK_NAME)
    try:
        graph = Graph()
        network = graph.network(path.name)
        graph.report(graph.emotional(graph.text(), network=network), "report")
        error = failure(server, graph)
    finally:
        path.unlink()
    assert network[0] in (error.node_id, *error.node_errors)
    assert path.name in str(error)
    assert re.search(message, str(error), re.DOTALL), error


class Malice:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("form", ["plain", "zip"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(server, tmp_path, form):
    mark, path = tmp_path / "it ran", server.models / "emoticrafter" / "malice.pth"
    content = {"weight": Malice(mark)}
    if form == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    try:
        graph = Graph()
        graph.report(graph.emotional(graph.text(), network=graph.network(path.name)), "report")
        error = failure(server, graph)
    finally:
        path.unlink()
    assert "malice.pth was refused" in str(error)
    assert "could run code" in str(error)
    assert not mark.exists()


def test_a_network_of_another_width_is_refused_with_both_widths(server):
    path = server.models / "emoticrafter" / "narrow.safetensors"
    torch.manual_seed(0)
    save_network(EmotionNetwork(NetworkConfig(feature_width=768, width=64, depth=1)), path)
    try:
        graph = Graph()
        graph.report(graph.emotional(graph.text(), network=graph.network(path.name)), "report")
        error = failure(server, graph)
    finally:
        path.unlink()
    assert "is 2048 wide (SDXL)" in str(error)
    assert "expects text 768 wide (Stable Diffusion 1.x)" in str(error)


def test_a_result_that_overflows_is_refused_instead_of_drawn_black(server):
    path = server.models / "emoticrafter" / "loud.safetensors"
    torch.manual_seed(0)
    network = EmotionNetwork(NetworkConfig(width=64, depth=1))
    network.output_norm.weight.data.fill_(60000.0)
    save_network(network, path)
    try:
        graph = Graph()
        loud = graph.network(path.name, dtype="float16")
        graph.report(graph.emotional(graph.text(), network=loud, strength=3.0), "report")
        error = failure(server, graph)
    finally:
        path.unlink()
    assert "gave NaN or infinite numbers in torch.float16 at strength 3: load it as float32" in str(error)


NASTY = "\ud800 \x1b[2J \u202e <img src=x>"
HOSTILE = {  # metadata of a safetensors file
    "emoticrafter": [
        {"format": "emoticrafter", "version": "1", "config": json.dumps({NASTY: 1})},
        {"format": "emoticrafter", "version": "1", "config": json.dumps({"block": "x" * 14_000_000})},
        {"format": "emoticrafter", "version": "1", "config": json.dumps({"width": {}, "depth": 10**400})},
        {"format": "emoticrafter", "version": "1", "config": "[" * 100_000},
        {"format": "emoticrafter", "version": "1", "config": "{}", "kind": "\x1b"},
    ],
    "emoticrafter_readers": [
        {"format": "emoticrafter-miniature", "config": json.dumps({"kind": NASTY, "channels": NASTY})},
        {"format": "emoticrafter-miniature", "config": json.dumps({"kind": "emotion", "channels": [16] * 20_000})},
        {"format": "emoticrafter-clip-heads", "version": "1", "config": json.dumps([NASTY])},
    ],
    "emoticrafter_baselines": [
        {"format": "emoticrafter-baseline", "version": "1", "method": "\x1b", "config": "{}"},
        {"format": "emoticrafter-baseline", "version": "1", "method": "cross-attention", "config": '{"layers": [1]}'},
    ],
}


def nodes_that_read(graph: Graph, folder: str, name: str) -> str:
    """Adds the node that reads a file of this model folder; gives its id."""
    if folder == "emoticrafter":
        return graph.report(graph.emotional(graph.text(), network=graph.network(name)), "report") and "network"
    images = graph.add("EmptyImage", width=8, height=8, batch_size=1, color=0)
    if folder == "emoticrafter_readers":
        return graph.add("EmotiCrafterReadEmotion", "read", images=images, reader=name)[0]
    model, clip, _ = graph.checkpoint()
    values = {"valence": 0.0, "arousal": 0.0, "strength": 1.0, "text": "a", "clip": clip}
    positive = graph.add("EmotiCrafterBaseline", "base", model=model, baseline_name=name, **values)[0]
    graph.report([positive, 1], "report")
    return "base"


@pytest.mark.parametrize("folder", HOSTILE)
def test_what_a_file_says_cannot_end_the_queue_nor_fill_the_log(server, folder):
    path = server.models / folder / "hostile.safetensors"
    path.parent.mkdir(exist_ok=True)
    for metadata in HOSTILE[folder]:
        save_file({"head.bias": torch.zeros(2), "\x1b[2J" * 100_000: torch.zeros(1)}, path, metadata)
        before = server.log()
        try:
            graph = Graph()
            node = nodes_that_read(graph, folder, path.name)
            error = failure(server, graph)
        finally:
            path.unlink()
        assert error.node_id.startswith(node)
        told, log = str(error), server.log()[len(before) :]
        assert len(log) < 30_000 and "hostile.safetensors" in told
        plain = re.sub(r"\x1b\[[0-9;]*m", "", told + log)  # newer ComfyUIs colour their logs
        assert not set("\ud800\x1b\u202e") & set(plain)


CONSTANTS = {
    "EmotiCrafterConditioning": ("conditioning", "network", "clip", "pooled_prompt"),
    "EmotiCrafterCLIP": ("clip", "network", "pooled_prompt"),
    "EmotiCrafterInjection": ("conditioning", "emotion"),
    "EmotiCrafterVAEncoder": ("network",),
    "EmotiCrafterRegional": ("conditioning", "network", "mask"),
    "EmotiCrafterGridImage": ("images", "points"),
    "EmotiCrafterPath": ("network", "latent"),
    "EmotiCrafterReadEmotion": ("images", "clip_vision"),
    "EmotiCrafterBaseline": ("model", "clip"),
}
VALUES = {"valence": 1.0, "arousal": 1.0, "strength": 1.0, "feather": 0.0, "cell_size": 0, "columns": 0, "title": ""}
VALUES |= {"keyframes": "0 calm\n3 sad", "frames": 4, "easing": "linear", "closed": False, "text": "a"}


@pytest.mark.parametrize("kind", CONSTANTS)
def test_a_constant_in_the_place_of_a_link_is_told(server, kind):
    info = server.object_info()[kind]["input"]
    for name in CONSTANTS[kind]:
        for constant in ("text", 5, {"a": NASTY}):
            graph = Graph()
            text, network = graph.text(), graph.network()
            links = {"conditioning": text, "network": network, "model": graph.checkpoint()[0], "clip": graph.clip()}
            links["emotion"] = graph.add("EmotiCrafterVAEncoder", network=network, valence=0.0, arousal=0.0)
            named = {"emotion": "calm (Russell)", "intensity": 1.0, "blend_with": "none", "blend": 0.5}
            links["points"] = [graph.add("EmotiCrafterPreset", **named)[0], 2]
            links["images"] = graph.add("EmptyImage", width=8, height=8, batch_size=1, color=0)
            links["mask"] = graph.add("SolidMask", value=1.0, width=8, height=8)
            inputs = {key: (VALUES | links).get(key) for key in info["required"] if key in VALUES or key in links}
            for combo in ("reader", "baseline_name"):
                if combo in info["required"]:
                    inputs[combo] = NETWORK_NAME
            graph.add(kind, "odd", **inputs | {name: constant})
            graph.add("PreviewAny", "shown", source=["odd", 0])
            error = failure(server, graph)
            assert re.search(rf"{name} is .*: expected a link from|There is no emotion", str(error)), (name, constant)
