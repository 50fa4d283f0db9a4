"""Fit Emotion Network in a real server, on the miniature's CLIP: it fits, keeps files, and says what is wrong."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from emoticrafter.weights import load_network, read_metadata
from scripts.installation import comfyui_folder, comfyui_python
from scripts.server import PromptError
from tests.comfyui.graphs import report, write_pairs
from tests.comfyui.test_miniature_node import MiniatureGraph, difference, pictures, pixels, shown

TEXT = "a windmill in a meadow at sunset"


class FitGraph(MiniatureGraph):
    def teacher(self, size: int = 64) -> dict:
        """The model that a fit may learn from, and the size of its pictures."""
        latent = self.add("EmptyLatentImage", "small", width=size, height=size, batch_size=1)
        return {"model": self.checkpoint()[0], "latent": latent}

    def fit(self, name: str, pairs: str = "few.csv", seed: int = 0, **changed) -> list:
        inputs = {"clip": self.clip(), "name": name, "method": "instant", "pairs": pairs, "seed": seed}
        inputs |= {"size": "medium", "minutes": 6.0} | changed
        self["fit"] = {"class_type": "EmotiCrafterFit", "inputs": inputs}
        return ["fit", 0]


@pytest.fixture(scope="module")
def folder(server):
    """models/emoticrafter, with a short file of pairs."""
    folder = server.models / "emoticrafter"
    write_pairs(folder / "pairs" / "few.csv")
    yield folder
    for path in (*folder.glob("fitted*.safetensors"), folder / "pairs" / "few.csv"):
        path.unlink()


def test_a_fitted_network_steers_is_listed_and_is_not_fitted_twice(server, folder):
    graph = FitGraph()
    prompt = graph.text(TEXT)
    network = graph.fit("fitted field")
    for name, valence, strength in (("happy", 3.0, 1.0), ("sad", -3.0, 1.0), ("plain", 3.0, 0.0)):
        graph.draw(graph.emotional(prompt, network=network, valence=valence, strength=strength), name)
    graph.draw(prompt, "untouched")
    found = shown(server, graph)
    assert difference(found["happy"], found["sad"]) > 1
    assert (found["plain"] == found["untouched"]).all()
    path = folder / "fitted field.safetensors"
    field, written = load_network(path), path.stat().st_mtime_ns
    assert (field.encoder.family, field.config.positions, field.window) == ("SDXL", 77, 77)
    assert (
        path.name
        in server.get("/object_info/EmotiCrafterLoader")["EmotiCrafterLoader"]["input"]["required"]["network_name"][1][
            "options"
        ]
    )
    # the same inputs load it; others leave it alone
    server.post("/free", {"unload_models": True, "free_memory": True})
    again = FitGraph()
    again.report(again.emotional(again.text(TEXT), network=again.fit("fitted field")), "seen")
    assert report(server.queue(again), "seen")
    other = FitGraph()
    for changed, named in (
        ({"pairs": "miniature"}, "pairs or seed"),
        ({"method": "network"}, "method"),
        ({"pairs": "built in", **other.teacher()}, "model, pairs or seed"),
    ):
        other.report(other.emotional(other.text(TEXT), network=other.fit("fitted field", **changed)), "seen")
        with pytest.raises(PromptError, match=rf"with other inputs \({named}\): it is kept"):
            server.queue(other)
    assert path.stat().st_mtime_ns == written


def test_what_cannot_be_fitted_is_said_on_the_node(server, folder):
    (folder / "pairs" / "bad.csv").write_text("neutral,emotional,valence,arousal\na dog,a sad dog,nine,0\n")
    (folder / "pairs" / "same.csv").write_text("neutral,emotional,valence,arousal\na dog,a dog,1,0\n")
    (folder / "fitted link.safetensors").symlink_to("nowhere")
    for changed, told in (
        ({"name": "../fitted"}, "letters, digits, blanks"),
        ({"name": "界" * 80}, "letters, digits, blanks"),  # too long for a file system
        ({"name": "fitted link"}, "is kept"),
        ({"name": "fitted", "pairs": "../few.csv"}, "(There is no file of pairs|not in list)"),
        ({"name": "fitted", "pairs": "bad.csv"}, r"line 2\): .*nine"),
        ({"name": "fitted", "pairs": "same.csv"}, "nothing to learn"),
    ):
        graph = FitGraph()
        graph.report(graph.emotional(graph.text(TEXT), network=graph.fit(**changed)), "seen")
        with pytest.raises(PromptError, match=told):
            server.queue(graph)
    (folder / "pairs" / "bad.csv").unlink()
    (folder / "pairs" / "same.csv").unlink()
    (folder / "fitted link.safetensors").unlink()
    assert not list(folder.glob("fitted.*"))


def test_a_network_is_fitted_stopped_goes_on_and_steers(server, folder):
    """Stopped while it learns; the second run goes on there, and the pairs are not encoded again."""
    graph = FitGraph()
    network = graph.fit("fitted network", method="network", size="small", minutes=60.0)
    prompt = graph.text(TEXT)
    graph.draw(graph.emotional(prompt, network=network, valence=3.0), "happy")
    graph.draw(graph.emotional(prompt, network=network, valence=-3.0, arousal=-2.0), "sad")
    reached, encoded = [], []

    def watch(kind, data):
        if kind == "progress" and data.get("node") == network[0]:
            (encoded if data["max"] == 50 else reached).append(data["value"])

    def stop(kind, data):
        watch(kind, data)
        if len(reached) == 5:
            server.post("/interrupt", {})

    with pytest.raises(PromptError, match="interrupted"):
        server.queue(graph, on_message=stop)
    assert encoded and not (folder / "fitted network.safetensors").exists()
    stopped_at = max(reached)
    reached, encoded = [], []
    graph.fit("fitted network", method="network", size="small", minutes=0.1)
    found = {name: pixels(files[0]) for name, files in pictures(server.queue(graph, on_message=watch)).items()}
    assert min(reached) > stopped_at and not encoded
    assert difference(found["happy"], found["sad"]) > 0.5
    fitted = load_network(folder / "fitted network.safetensors")
    assert (fitted.config.field_positions, fitted.config.width, fitted.encoder.family) == (77, 128, "SDXL")
    told = read_metadata(folder / "fitted network.safetensors")["training"]
    assert stopped_at < told["steps"] < 600, "the minutes shorten it"
    assert told["held_out_loss"]["network"] > 0 and told["held_out_loss"]["instant"] > 0


def test_what_was_fitted_learns_on_from_a_model_stopped_and_again(server, folder):
    of_the_model = FitGraph()
    of_the_model.draw(of_the_model.text(TEXT), "seed 8", seed=8)
    before = shown(server, of_the_model)["seed 8"]
    graph = FitGraph()
    network = graph.fit("fitted by model", minutes=0.1, **graph.teacher())
    graph.draw(graph.emotional(graph.text(TEXT), network=network, valence=3.0), "happy")
    graph.draw(graph.text(TEXT), "plain")
    steps = []

    def stop(kind, data):
        if kind == "progress" and data.get("node") == network[0] and data["max"] > 50:
            steps.append(data["value"])
        if len(steps) == 3:
            server.post("/interrupt", {})

    with pytest.raises(PromptError, match="interrupted"):
        server.queue(graph, on_message=stop)
    stopped_at = max(steps)
    assert not (folder / "fitted by model.safetensors").exists()
    found = shown(server, graph)
    assert difference(found["happy"], found["plain"]) > 0.5
    told = read_metadata(folder / "fitted by model.safetensors")["training"]["learned_from_model"]
    assert stopped_at < told["steps"] < 300, "the minutes shorten it"
    assert 0 < told["distance"]["before"] < 1 and 0 < told["distance"]["after"] < 1
    assert (shown(server, of_the_model)["seed 8"] == before).all()  # sampled anew: the graph between had it not
    alone = FitGraph()
    network = alone.fit("fitted alone", model=alone.checkpoint()[0])
    alone.report(alone.emotional(alone.text(TEXT), network=network), "seen")
    with pytest.raises(PromptError, match="model and latent go together"):
        server.queue(alone)


def test_few_pairs_and_an_emptied_temporary_folder_are_enough_for_a_network(server, folder):
    """A file of one scene has nothing to hold out; people empty the folder, or remove it, while ComfyUI runs."""
    text = 'neutral,emotional,valence,arousal\na dog,"a dog, joyful",3,1\na dog,"a dog, sad",-3,-1\n'
    (folder / "pairs" / "one scene.csv").write_text(text)
    shutil.rmtree(server.base / "temp")
    graph = FitGraph()
    network = graph.fit("fitted few", "one scene.csv", method="network", size="small", minutes=0.02)
    graph.report(graph.emotional(graph.text(TEXT), network=network), "seen")
    assert report(server.queue(graph), "seen")
    told = read_metadata(folder / "fitted few.safetensors")["training"]
    assert told["encoded_pairs"] == 2 and told["steps"] >= 1 and "held_out_loss" not in told
    (folder / "pairs" / "one scene.csv").unlink()


def test_where_the_miniature_is_missing_its_pairs_are_not_offered_and_a_saved_workflow_hears_why(tmp_path):
    told = said_by("comfyui_fit_pairs.py", tmp_path)
    assert told["whole"] == [["built in", "miniature"], True]
    offered, answer = told["without"]
    assert offered == ["built in"]
    assert answer.startswith("The miniature lacks pairs.csv in ") and "clone the project" in answer


def test_a_fit_survives_what_happens_to_it(tmp_path):
    told = said_by("comfyui_fit_troubles.py", tmp_path)
    assert told["few"] == {"encoded_pairs": 1, "steps": 1}
    assert told["few is said"] == "no scene is held out to measure the network by"
    assert told["stopped"] == [9, 10, 120] and told["again"] and told["a copy"]
    assert told["after another"] == [None, 10], "a fit that holds no pairs but its own, and is whole"
    assert (told["short"], told["longer"]) == (1, 10)
    assert "The loss of step 4 is nan" in told["diverged"] and told["after it"] == 10
    assert told["memory"] == [10, [32, 16]]
    assert f"{tmp_path / 'temp'}, is full after 0 of 120 encoded pairs" in told["full"]


def said_by(program: str, folder: Path) -> dict:
    """What a program that runs in ComfyUI's Python prints as JSON."""
    command = [comfyui_python(), Path(__file__).with_name(program), folder]
    done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
