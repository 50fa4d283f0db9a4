"""The ground that the other tests stand on: the server, the stand-ins, the swap of loaders."""

import urllib.error
from pathlib import Path

import pytest

from scripts.comfyui import comfyui_folder
from scripts.server import PromptError, Server, ServerError
from scripts.stand_ins import IMAGE_NAME, LORA_NAME
from tests.comfyui.graphs import Graph, pictures

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


def test_the_same_seed_gives_the_same_models_again(server):
    graph = Graph()
    graph.picture(graph.text("again"), "shown")
    first = server.queue(graph)
    server.free()
    second = server.queue(graph)
    assert "checkpoint" in second.executed
    assert second.images == first.images


def test_the_tiny_sdxls_text_has_sdxls_shapes(server):
    graph = Graph()
    graph.report(graph.text("word " * 100), "report")
    [entry] = server.queue(graph).outputs["report"]["report"]
    assert entry["shape"] == [1, 154, 2048]
    assert entry["extra"]["pooled_output"].startswith("[1, 1280]")


def test_lora_and_controlnet_stand_ins_load_and_change_the_picture(server):
    graph = Graph()
    model, clip, _ = graph.checkpoint()
    text, negative = graph.text(), graph.text("blurry", "blurry")
    [lora, _] = graph.add(
        "LoraLoader", model=model, clip=clip, lora_name=LORA_NAME, strength_model=1.0, strength_clip=1.0
    )
    styled = graph.add("CLIPTextEncode", clip=[lora, 1], text="a quiet house by the sea")
    [controlled, _] = graph.add(
        "ControlNetApplyAdvanced",
        positive=text,
        negative=negative,
        control_net=graph.add("TinySDXLControlNet"),
        image=graph.add("LoadImage", image=IMAGE_NAME),
        strength=1.0,
        start_percent=0.0,
        end_percent=1.0,
    )
    graph.picture(text, "plain")
    graph.picture(styled, "text")
    graph.picture(text, "model")
    graph["model sampler"]["inputs"]["model"] = [lora, 0]
    graph.picture([controlled, 0], "controlled", negative=[controlled, 1])
    before = len(server.log())
    shown = pictures(server.queue(graph))
    assert len({files[0] for files in shown.values()}) == 4
    assert "not loaded" not in server.log()[before:].lower()


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


def test_paths_outside_the_servers_are_not_found(server):
    with pytest.raises(urllib.error.HTTPError):
        server.get("/view?filename=../../server.log&type=output")
    assert server.memory() > 100 * 2**20


def test_a_second_server_on_the_same_port_is_refused(server, tmp_path):
    with pytest.raises(ServerError, match=f"Port {server.port} is taken"):
        Server(tmp_path, port=server.port).start()


def test_a_wrong_option_is_reported_with_the_servers_own_words(server, tmp_path):
    with pytest.raises(ServerError, match=r"ended while it started(.|\n)*--no-such-option"):
        Server(tmp_path, arguments=("--no-such-option",)).start()
