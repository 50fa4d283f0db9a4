"""From pairs to a picture: the laptop's recipe, cut short, and its network in the real server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from emoticrafter import load_network
from tests.comfyui.graphs import Graph, pictures
from tests.comfyui.test_miniature_node import MiniatureGraph

RECIPE = Path(__file__).parents[2] / "trainer/recipes/laptop.sh"


def test_the_laptop_recipes_network_gives_the_miniature_an_emotion(server, tmp_path):
    run = tmp_path / "run"
    done = subprocess.run(
        ["bash", RECIPE],
        env=os.environ
        | {"PYTHON": sys.executable, "DATA": str(tmp_path / "data"), "OUT": str(run)}
        | {"MINIATURE": str(tmp_path / "miniature"), "PAIRS": "64", "STEPS": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert load_network(run / "network.safetensors").config.feature_width == 128
    assert "DOES NOT BEAT ITS NULL" in done.stdout, "three steps teach nothing"
    assert (run / "report.html").stat().st_size > 100_000
    shutil.copy(run / "network.safetensors", server.models / "emoticrafter" / "laptop.safetensors")
    graph = MiniatureGraph()
    text = graph.text("a windmill in a meadow at sunset")
    for name, values in {"plain": {"strength": 0.0}, "joy": {}, "misery": {"valence": -3.0}}.items():
        network = Graph.network(graph, "laptop.safetensors")
        graph.draw(graph.emotional(text, network=network, **values), name)
    shown = pictures(server.queue(graph))
    assert len({shown[name][0] for name in ("plain", "joy", "misery")}) == 3
