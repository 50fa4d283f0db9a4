"""docs/guide.md: what it names is there, and what it says of numbers holds."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from emoticrafter.emotions import EMOTIONS, MIKELS, PLUTCHIK, RUSSELL
from emoticrafter.path import path_points, read_keyframes
from emoticrafter.protection import remove_directions
from scripts import help_graphs

ROOT = Path(__file__).resolve().parents[2]
GUIDE = " ".join((ROOT / "docs" / "guide.md").read_text("utf-8").split())


def sections() -> dict[str, str]:
    """The guide's sections by their headings; the first is the text before them."""
    text = (ROOT / "docs" / "guide.md").read_text("utf-8")
    parts = re.split(r"^##? (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_sections_are_counted():
    numbers = [int(name.split(".")[0]) for name in sections() if name[0].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_templates_it_names_are_shipped():
    shipped = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    named = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", GUIDE))
    assert named and named <= shipped


# ---- what no other test says -----------------------------------------------------------------------


def links_of(template: str) -> set[tuple[str, str, str]]:
    """(source's type, target's type, target's input) of each link."""
    workflow = json.loads((ROOT / "workflows" / f"{template}.json").read_text("utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}
    return {
        (nodes[source]["type"], nodes[target]["type"], nodes[target]["inputs"][slot]["name"])
        for _, source, _, target, slot, _ in workflow["links"]
    }


@pytest.mark.parametrize(
    ("template", "checkpoint", "network", "before_saving"),
    [
        ("emotional_text_to_image", "CheckpointLoaderSimple", "EmotiCrafterLoader", "VAEDecode"),
        ("pad_to_picture_miniature", "EmotiCrafterMiniature", "EmotiCrafterMiniature", "ImageScaleBy"),
    ],
)
def test_the_first_graph_is_that_of_the_templates(template, checkpoint, network, before_saving):
    assert f"`{template}`" in sections()["1. A first picture"]
    assert links_of(template) >= {
        (checkpoint, "CLIPTextEncode", "clip"),
        (checkpoint, "KSampler", "model"),
        (network, "EmotiCrafterConditioning", "network"),
        ("CLIPTextEncode", "EmotiCrafterConditioning", "conditioning"),
        ("EmotiCrafterConditioning", "KSampler", "positive"),
        ("KSampler", "VAEDecode", "samples"),
        (before_saving, "SaveImage", "images"),
    }


def test_the_template_of_both_nodes_has_one_of_each():
    workflow = json.loads((ROOT / "workflows" / "va_encoder_and_injection.json").read_text("utf-8"))
    types = [node["type"] for node in workflow["nodes"]]
    assert [types.count(kind) for kind in ("EmotiCrafterVAEncoder", "EmotiCrafterInjection")] == [1, 1]


def test_the_templates_of_section_10_are_connected_as_it_says():
    controlnet = links_of("emotion_with_controlnet")
    assert ("EmotiCrafterConditioning", "ControlNetApplyAdvanced", "positive") in controlnet
    assert ("LoraLoader", "CLIPTextEncode", "clip") in links_of("emotion_with_lora")
    refined = links_of("emotion_with_refiner")
    assert ("CLIPTextEncode", "KSamplerAdvanced", "positive") in refined  # the refiner's
    assert ("EmotiCrafterConditioning", "KSamplerAdvanced", "positive") in refined


def test_what_is_said_of_its_pictures_is_how_they_are_made():
    made = help_graphs.Graph()
    help_graphs.strengths(made)
    assert "Valence -2.5, arousal 1.5: distress." in GUIDE
    assert moods(made) == [(-2.5, 1.5)] * 5
    made = help_graphs.Graph()
    labels = list(help_graphs.starts(made))
    assert "Valence 2.5, arousal 1.5: joy that sets in later and later, read from the right." in GUIDE
    assert moods(made) == [(2.5, 1.5)] * 4
    assert labels == ["plain", "start 0.6", "start 0.4", "start 0.2", "start 0"]


def moods(graph: dict) -> list[tuple[float, float]]:
    nodes = (node["inputs"] for node in graph.values() if node["class_type"] == "EmotiCrafterConditioning")
    return [(inputs["valence"], inputs["arousal"]) for inputs in nodes]


def test_there_are_as_many_emotions_as_it_says():
    assert "It knows 48 emotions" in GUIDE and len(EMOTIONS) == 48
    assert "16 of Russell's circumplex, Plutchik's 24 words and Mikels' eight categories" in GUIDE
    assert (len(RUSSELL), len(PLUTCHIK), len(MIKELS)) == (16, 24, 8)


def test_the_sources_disagree_about_sadness():
    assert RUSSELL["sad"].arousal < -0.4
    assert PLUTCHIK["sadness"].arousal > 0.4


def test_with_every_protected_word_the_emotion_loses_a_little():
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(77, 64, generator=generator)
    basis = torch.linalg.qr(torch.randn(64, 5, generator=generator)).Q.T
    left = [remove_directions(residual, basis[:count]).norm() for count in range(6)]
    assert left[0] == residual.norm()
    assert all(later < earlier for earlier, later in pairwise(left))
    assert left[-1] > 0.9 * left[0]


def test_its_keyframes_make_a_loop():
    [text] = re.findall(r"```\n(0% .*?)```", (ROOT / "docs" / "guide.md").read_text("utf-8"), re.DOTALL)
    frames = path_points(read_keyframes(text, 16, EMOTIONS, True), 16, "smooth", True)
    assert len(set(frames)) == 16
    assert frames[0] == RUSSELL["calm"]
