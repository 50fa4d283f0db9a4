"""scripts/server.py with a real ComfyUI: results, refusals, and nothing left behind."""

from pathlib import Path

import pytest

from scripts.installation import comfyui_folder
from scripts.server import PromptError
from tests.comfyui.graphs import Graph

ROOT = Path(__file__).parents[2]


def test_a_result_tells_what_ran_and_what_was_cached(server):
    graph = Graph()
    graph.picture(graph.text("a result tells"), "shown")
    first = server.queue(graph)
    assert set(first.executed) | set(first.cached) == graph.keys()
    assert {"shown sampler", "shown"} <= set(first.executed)
    second = server.queue(graph)
    assert (second.executed, set(second.cached)) == ([], graph.keys())
    assert second.images == first.images
    assert first.images[0].startswith(b"\x89PNG")


def test_a_refused_prompt_and_a_failed_node_are_errors_and_the_server_goes_on(server):
    graph = Graph()
    graph.picture(graph.text(), "shown")
    graph["shown sampler"]["inputs"]["steps"] = 0
    with pytest.raises(PromptError, match=r"node shown sampler \(KSampler\): .*smaller than min") as refused:
        server.queue(graph)
    assert refused.value.node_errors.keys() == {"shown sampler"}

    graph = Graph()
    odd = graph.add("OddConditioning", "odd", conditioning=graph.text(), kind="value", number=5)
    graph.picture(odd, "shown")
    with pytest.raises(PromptError, match=r"Node odd \(OddConditioning\) failed: 5") as failed:
        server.queue(graph)
    assert failed.value.node_id == "odd"

    graph = Graph()
    graph.picture(graph.text(), "fine")
    assert len(server.queue(graph).images) == 1


def test_nothing_is_written_into_comfyui_itself(server):
    graph = Graph()
    graph.picture(graph.text(), "shown")
    server.queue(graph)
    assert any(server.output.iterdir())
    if comfyui_folder().parent == ROOT / ".cache":  # with COMFYUI_PATH its owner's files lie there
        assert not (comfyui_folder() / "user").exists()
        assert not list((comfyui_folder() / "output").glob("*.png"))
