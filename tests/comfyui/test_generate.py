"""trainer.generate through a real server: a workflow of the API's format comes back as pictures and a manifest."""

import json

from tests.comfyui.graphs import Graph
from trainer.core.pictures import decode
from trainer.evaluation.manifest import read_manifest
from trainer.generate import main


def test_pictures_through_the_server(server, tmp_path):
    graph = Graph()
    graph.picture(graph.emotional(graph.text("{prompt}", "place")), "saved")
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps(graph))
    out = tmp_path / "images"
    common = ["comfyui", "--server", server.address, "--workflow", str(workflow), "--out", str(out)]
    common += ["--limit", "1"]
    assert main([*common, "--method", "mine", "--levels=-3,3"]) == 0
    assert main([*common, "--plain"]) == 0
    images = read_manifest(out / "manifest.jsonl")
    assert [image.method for image in images] == ["mine"] * 4 + ["plain"]
    assert len({decode(image.path).tobytes() for image in images}) == 5
    assert main([*common, "--method", "mine", "--levels=-3,3"]) == 0  # draws nothing
    assert read_manifest(out / "manifest.jsonl") == images


def test_a_workflow_that_the_server_refuses(server, tmp_path, capsys):
    graph = Graph()
    graph.picture(graph.emotional(graph.text("{prompt}", "place"), strength=99.0), "saved")
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps(graph))
    arguments = ["comfyui", "--server", server.address, "--workflow", str(workflow)]
    arguments += ["--out", str(tmp_path / "images"), "--limit", "1", "--method", "mine"]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "refused the workflow (HTTP 400)" in said and "strength" in said
