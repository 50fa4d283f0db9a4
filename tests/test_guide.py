"""Every claim of docs/guide.md is a test: which one holds it, and those that no other file has."""

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
from tests.guide_claims import HELD_BY, NO_CLAIMS, REPORTED

ROOT = Path(__file__).resolve().parent.parent
GUIDE = " ".join((ROOT / "docs" / "guide.md").read_text("utf-8").split())


def sections() -> dict[str, str]:
    """The guide's sections by their headings; the first is the text before them."""
    text = (ROOT / "docs" / "guide.md").read_text("utf-8")
    parts = re.split(r"^##? (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def sentences(text: str) -> list[str]:
    """What a section says, without its pictures and code; paragraphs and points of lists end a sentence, too."""
    prose = re.sub(r"^```(?s:.*?)^```|^!\[.*$", "", text, flags=re.MULTILINE)
    blocks = re.split(r"\n\s*\n|\n(?=- )", prose)
    said = [" ".join(block.split()).removeprefix("- ") for block in blocks]
    return [one for block in said for one in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9*`“])", block) if one]


# ---- each sentence has its tests -------------------------------------------------------------------


def test_sentences_are_told_apart():
    text = "One, at 0.5\nof 3. **Two** is `a.b`!\n\n![Three.](x)\n- Four:\n  a\n- 5 x 5\n\n```\nSix.\n```\nSeven."
    assert sentences(text) == ["One, at 0.5 of 3.", "**Two** is `a.b`!", "Four: a", "5 x 5", "Seven."]


@pytest.mark.parametrize("heading", sections())
def test_every_sentence_of_the_guide_has_its_tests_or_claims_nothing(heading):
    unknown = [one for one in sentences(sections()[heading]) if one not in {*HELD_BY, *NO_CLAIMS, *REPORTED}]
    assert not unknown, (
        "name the tests that hold these in tests/guide_claims.py, or say there that they claim nothing"
    )


def test_no_sentence_is_held_that_the_guide_no_longer_says():
    said = {one for text in sections().values() for one in sentences(text)}
    assert not {*HELD_BY, *NO_CLAIMS, *REPORTED} - said
    assert len({*HELD_BY, *NO_CLAIMS, *REPORTED}) == len(HELD_BY) + len(NO_CLAIMS) + len(REPORTED)


@pytest.mark.parametrize("test", sorted({test for tests in HELD_BY.values() for test in tests}))
def test_a_test_that_holds_a_sentence_is_there(test):
    file, name = test.split("::")
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE)


def test_every_sentence_that_claims_something_names_a_test():
    assert all(HELD_BY.values())


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
