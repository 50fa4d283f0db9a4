"""Networks and their files in a real server: loaded once, noticed when changed, given back when freed."""

import statistics
import time
from pathlib import Path

import pytest
import torch

from emoticrafter import EmotionNetwork, NetworkConfig, save_network
from scripts.stand_ins import NETWORK_NAME
from tests.comfyui.graphs import Graph, report

PUBLISHED = Path(__file__).parents[1] / "reference" / "published_layout_tiny.pth"


@pytest.fixture
def folder(server):
    """The server's model folder; what a test puts there is gone after it."""
    folder = server.models / "emoticrafter"
    before = set(folder.rglob("*"))
    yield folder
    for path in sorted(set(folder.rglob("*")) - before, reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def write_network(path: Path, seed: int) -> bytes:
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_network(EmotionNetwork(NetworkConfig(width=64, depth=1)), path)
    return path.read_bytes()


def graph_with(network_name: str, **values) -> Graph:
    graph = Graph()
    text = graph.add("RandomConditioning", "text", seed=1, batch=1, windows=1)
    graph.report(graph.emotional(text, "emotional", network=graph.network(network_name), **values), "report")
    return graph


def features_hash(server, *arguments, **values) -> str:
    return report(server.queue(graph_with(*arguments, **values)), "report")[0]["sha256"]


def loads(server) -> int:
    return server.log().count("[EmotiCrafter] Loading ")


def living_networks(server) -> int:
    graph = Graph()
    graph.add("ProbeProcess", "process")
    return report(server.queue(graph), "process")[0]["networks"]


# ---- the list --------------------------------------------------------------------------------------


def test_network_files_are_listed_as_they_come_and_others_are_not(server, folder):
    listed = ["new.safetensors", "published.pth", "with a space/Gefühl 情感.safetensors"]
    others = ["model.ckpt", "model.bin", "notes.txt", "picture.png", "new.safetensors.part", ".new.safetensors.x.tmp"]
    (folder / "with a space").mkdir()
    for name in [*listed, *others]:
        (folder / name).touch()
    info = server.get("/object_info/EmotiCrafterLoader")["EmotiCrafterLoader"]
    options = info["input"]["required"]["network_name"][1]["options"]
    names = {name.replace("\\", "/") for name in options}
    assert names >= {*listed, NETWORK_NAME}
    assert not names & set(others)


@pytest.mark.parametrize(
    "name",
    ["with a space.safetensors", "deep/er/network.safetensors", "Gefühl 情感 😀.safetensors", "#%&?.safetensors"],
)
def test_any_file_name_can_be_loaded(server, folder, name):
    write_network(folder / name, seed=1)
    assert features_hash(server, name)


def test_a_published_file_can_be_loaded(server, folder):
    (folder / "published.pth").write_bytes(PUBLISHED.read_bytes())
    graph = Graph()
    network = graph.network("published.pth")
    graph.add("ProbeNetwork", "network", first=network, second=network)
    assert report(server.queue(graph), "network")[0]["dtype"] == "torch.float32"


# ---- loaded once -----------------------------------------------------------------------------------


def test_two_loaders_of_one_file_share_one_network(server, folder):
    write_network(folder / "shared.safetensors", seed=1)
    server.free()
    before = loads(server)
    graph = Graph()
    first = graph.network("shared.safetensors")
    second = graph.add("EmotiCrafterLoader", network_name="shared.safetensors", dtype="auto")
    third = graph.add("EmotiCrafterLoader", network_name="shared.safetensors", dtype="float32")
    graph.add("ProbeNetwork", "second", first=first, second=second)
    graph.add("ProbeNetwork", "third", first=first, second=third)
    graph.add("ProbeProcess", "process", after=third)
    result = server.queue(graph)
    assert report(result, "second")[0]["same"]
    assert report(result, "third")[0]["same"]  # what auto means on a processor
    assert loads(server) == before + 1
    assert report(result, "process")[0]["networks"] == 1


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_network_computes_in_the_dtype_that_was_asked_for(server, dtype):
    graph = Graph()
    network = graph.network(dtype=dtype)
    graph.add("ProbeNetwork", "network", first=network, second=network)
    assert report(server.queue(graph), "network")[0]["dtype"] == f"torch.{dtype}"


def test_half_precision_is_close_to_single(server):
    graph = Graph()
    text = graph.add("RandomConditioning", seed=1, batch=1, windows=1)
    for dtype in ("float32", "float16", "bfloat16"):
        graph.report(graph.emotional(text, network=graph.network(dtype=dtype)), dtype)
    result = server.queue(graph)
    sums = {dtype: report(result, dtype)[0]["sum"] for dtype in ("float32", "float16", "bfloat16")}
    assert len(set(sums.values())) == 3
    assert sums["float16"] == pytest.approx(sums["float32"], abs=5)
    assert sums["bfloat16"] == pytest.approx(sums["float32"], abs=40)


# ---- changed files ---------------------------------------------------------------------------------


def replaced(path: Path, seed: int) -> None:
    write_network(path, seed)


def written_over(path: Path, seed: int) -> None:
    path.write_bytes(write_network(path.with_name("other.safetensors"), seed))


@pytest.mark.parametrize("change", [replaced, written_over])
def test_a_changed_file_is_noticed_at_the_next_queue(server, folder, change):
    path = folder / "changing.safetensors"
    write_network(path, seed=1)
    first = features_hash(server, path.name)
    assert features_hash(server, path.name) == first
    change(path, seed=2)
    second = features_hash(server, path.name)
    assert second != first
    change(path, seed=1)
    graph = graph_with(path.name)
    graph.add("ProbeProcess", "process", after=["emotional", 0])
    result = server.queue(graph)
    assert report(result, "report")[0]["sha256"] == first
    assert report(result, "process")[0]["networks"] == 1  # the other version is gone


def test_a_changed_file_is_noticed_when_its_name_comes_over_a_link(server, folder):
    path = folder / "changing.safetensors"
    graph = graph_with(path.name)
    loader = next(name for name in graph if name.startswith("network"))
    graph[loader]["inputs"]["network_name"] = graph.add("ProbeName", "name", file_name=path.name)
    hashes = []
    for seed in (1, 2, 2):
        write_network(path, seed)
        hashes.append(report(server.queue(graph), "report")[0]["sha256"])
    assert hashes[0] != hashes[1] == hashes[2]
    assert loader in server.queue(graph).cached


def test_a_file_cut_short_while_a_prompt_runs_does_no_harm(server, folder):
    path = folder / "downloaded again.safetensors"
    content = write_network(path, seed=1)
    expected = features_hash(server, path.name)
    graph = graph_with(path.name)
    loader = graph["emotional"]["inputs"]["network"]
    graph["emotional"]["inputs"]["network"] = graph.add("ProbeTruncate", network=loader, path=str(path))
    assert report(server.queue(graph), "report")[0]["sha256"] == expected
    path.write_bytes(content)
    assert features_hash(server, path.name) == expected


# ---- given back ------------------------------------------------------------------------------------


def test_freeing_leaves_no_network_and_the_next_prompt_loads_it_again(server):
    first = features_hash(server, NETWORK_NAME)
    server.free()
    assert living_networks(server) == 0
    assert features_hash(server, NETWORK_NAME) == first


def test_unloading_the_models_alone_keeps_the_results_and_the_network_usable(server):
    first = features_hash(server, NETWORK_NAME)
    before = loads(server)
    server.post("/free", {"unload_models": True})
    time.sleep(0.5)
    assert features_hash(server, NETWORK_NAME, valence=-1.0) != first
    assert loads(server) == before


def test_memory_is_flat_over_fifty_runs_with_free_between(server, folder):
    name = "fifty.safetensors"
    torch.manual_seed(0)
    save_network(EmotionNetwork(NetworkConfig(width=256, depth=4)), folder / name)  # 24 MB
    before = loads(server)
    resident = []
    for number in range(50):
        graph = Graph()
        # Five megabytes of features, other ones each time.
        text = graph.add("RandomConditioning", seed=number, batch=2, windows=4)
        valence = -3.0 + 0.1 * number
        graph.report(graph.emotional(text, network=graph.network(name), valence=valence), "report")
        server.queue(graph)
        server.post("/free", {"unload_models": True, "free_memory": True})
        time.sleep(0.05)
        resident.append(server.memory() / 2**20)
    assert loads(server) - before >= 45  # it was freed between the runs, but for a late one
    growth = statistics.median(resident[40:]) - statistics.median(resident[10:20])
    # A network that stayed would cost 24 MB a run, a conditioning 5 MB.
    assert growth < 40, [round(value) for value in resident]
