"""From ratings to a picture: the laptop's recipe, cut short, and its network in the real server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from emoticrafter import load_network
from tests.comfyui.graphs import Graph, pictures

RECIPE = Path(__file__).parents[2] / "trainer/recipes/laptop.sh"


def test_the_laptop_recipes_network_gives_pictures_with_an_emotion(server, tmp_path):
    run = tmp_path / "run"
    done = subprocess.run(
        ["bash", RECIPE],
        env=os.environ
        | {"PYTHON": sys.executable, "DATA": str(tmp_path / "data"), "OUT": str(run)}
        | {"PAIRS": "16", "STEPS": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert load_network(run / "network.safetensors").config.feature_width == 2048
    assert (run / "report.html").stat().st_size > 100_000
    shutil.copy(run / "network.safetensors", server.models / "emoticrafter" / "laptop.safetensors")
    graph = Graph()
    for name, values in {"plain": {"strength": 0.0}, "joy": {}, "misery": {"valence": -3.0}}.items():
        emotional = graph.emotional(graph.text(), network=graph.network("laptop.safetensors"), **values)
        graph.picture(emotional, name)
    shown = pictures(server.queue(graph))
    assert len({shown[name][0] for name in ("plain", "joy", "misery")}) == 3
