"""Emotion Baseline in a real server: pictures, what runs again, and what it says of files that do not fit."""

import pytest
import torch

from emoticrafter.research.baselines import (
    CrossAttention,
    CrossAttentionConfig,
    EncoderConfig,
    TextualInversion,
    TextualInversionConfig,
    TimeEmbedding,
    TimeEmbeddingConfig,
    save_baseline,
)
from scripts.server import PromptError
from tests.comfyui.graphs import PROMPT, Graph, pictures

ENCODER = EncoderConfig(tokens=2, width=16, hidden=16)
LAYERS = [  # of scripts/tiny_sdxl
    "down_blocks.1.attentions.0",
    "down_blocks.2.attentions.0",
    "mid_block.attentions.0",
    *(f"up_blocks.{level}.attentions.{number}" for level in (0, 1) for number in (0, 1)),
]
BASELINES = {
    "cross.safetensors": lambda: CrossAttention(
        CrossAttentionConfig({f"{name}.transformer_blocks.0": 64 for name in LAYERS}, 2048, ENCODER)
    ),
    "time.safetensors": lambda: TimeEmbedding(TimeEmbeddingConfig(128, ENCODER)),
    "words.safetensors": lambda: TextualInversion(TextualInversionConfig((768, 1280), encoder=ENCODER)),
    "foreign.safetensors": lambda: TimeEmbedding(TimeEmbeddingConfig(1280, ENCODER)),
}


@pytest.fixture(scope="module")
def files(server):
    for name, make in BASELINES.items():
        torch.manual_seed(0)
        baseline = make()
        with torch.no_grad():
            for weight in baseline.parameters():
                weight.normal_(std=0.5)
        save_baseline(baseline, server.base / "models" / "emoticrafter_baselines" / name)
    return server


def baseline(graph: Graph, file: str, **values) -> tuple[list, list]:
    """The node's links to model and positive."""
    model, clip, _ = graph.checkpoint()
    inputs = {"valence": 2.0, "arousal": -1.0, "strength": 1.0, "text": PROMPT, "clip": clip} | values
    inputs = {key: value for key, value in inputs.items() if value is not None}
    node, _ = graph.add("EmotiCrafterBaseline", model=model, baseline_name=file, **inputs)
    return [node, 0], [node, 1]


def picture(graph: Graph, name: str, model: list, positive: list) -> None:
    """Two pictures, of one batch."""
    graph.picture(positive, name, batch=2)
    graph[f"{name} sampler"]["inputs"]["model"] = model


def test_each_file_moves_the_pictures_and_strength_zero_leaves_them(files):
    graph = Graph()
    picture(graph, "plain", graph.checkpoint()[0], graph.text())
    for name in ("cross", "time", "words"):
        picture(graph, name, *baseline(graph, f"{name}.safetensors"))
        picture(graph, f"{name} elsewhere", *baseline(graph, f"{name}.safetensors", arousal=3.0))
        picture(graph, f"{name} off", *baseline(graph, f"{name}.safetensors", strength=0.0))
    shown = pictures(files.queue(graph))
    plain = shown.pop("plain")
    assert len(plain) == 2
    off = [shown.pop(f"{name} off") for name in ("cross", "time", "words")]
    assert off == [plain] * 3
    assert len({picture for both in shown.values() for picture in both} - set(plain)) == 12


def test_the_text_may_be_encoded_elsewhere(files):
    graph = Graph()
    model, _ = baseline(graph, "time.safetensors", clip=None)
    picture(graph, "shown", model, graph.text())
    picture(graph, "own text", *baseline(graph, "time.safetensors"))
    shown = pictures(files.queue(graph))
    assert shown["shown"] == shown["own text"]


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("none.safetensors", {}, "There is no emotion baseline 'none.safetensors'"),
        ("foreign.safetensors", {}, "This time-embedding is 1280 wide, and this model's time embedding 128"),
        ("words.safetensors", {"clip": None}, "nothing is connected to its clip input"),
        ("time.safetensors", {"clip": None}, "Emotion Baseline has no text"),
    ],
)
def test_what_does_not_fit_is_named(files, file, values, message):
    graph = Graph()
    picture(graph, "shown", *baseline(graph, file, **values))
    with pytest.raises(PromptError) as error:
        files.queue(graph)
    assert message in f"{error.value} {error.value.node_errors}"
