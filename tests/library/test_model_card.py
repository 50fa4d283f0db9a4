"""The model card in a file of weights: it says what the file says, in the hub's form, and survives odd metadata."""

import json

import pytest
from safetensors import safe_open

from emoticrafter import EmotionNetwork, NetworkConfig, load_network, save_network
from emoticrafter.weights import read_metadata
from emoticrafter.weights.card import model_card

SIZES = NetworkConfig(feature_width=32, width=64, depth=1, emotion_tokens=2, emotion_hidden=16)
TRAINING = {
    "method": "a fit",
    "scale": 1.5,
    "data": {
        "pairs": {"train": 90, "validation": 10},
        "licences": {"findingemo": "CC BY-NC-SA 4.0 (not for commercial use)"},
        "encoder": {"name": "sd_xl_base_1.0.safetensors", "sha256": "0" * 64},
    },
    "validation": {"step": 7, "loss": 0.25},
}


def header_of(card: str) -> dict:
    first, lines, _ = card.split("---\n", 2)
    assert first == ""
    return {key: json.loads(value) for key, value in (line.split(": ", 1) for line in lines.splitlines())}


def test_a_file_of_weights_holds_its_card(tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(EmotionNetwork(SIZES), path, TRAINING)
    with safe_open(path, "pt") as file:
        card = file.metadata()["card"]
    assert card == model_card(SIZES, "", TRAINING)
    assert header_of(card)["license"] == "cc-by-nc-sa-4.0" and "emotion" in header_of(card)["tags"]
    for said in ("*sd_xl_base_1.0.safetensors*", "- pairs, train: 90", "- loss: 0.25", "- scale: 1.5", "- width: 64"):
        assert said in card
    assert read_metadata(path)["training"] == TRAINING and load_network(path).config == SIZES


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ({}, "other"),
        ({"a": "Apache-2.0: ours", "b": "Apache-2.0"}, "apache-2.0"),
        ({"a": "Apache-2.0", "b": "CC BY-NC-SA 4.0"}, "other"),
        ({"a": "not recorded: see its source"}, "other"),
    ],
)
def test_a_licence_is_named_only_if_all_of_the_data_has_it(licences, expected):
    assert header_of(model_card(SIZES, "SDXL", {"data": {"licences": licences}}))["license"] == expected


def test_what_is_missing_or_odd_is_no_error():
    assert model_card(SIZES, "", {}).count("Not recorded.") == 3 and "not recorded" in model_card(SIZES, "", {})
    odd = {"data": [1], "validation": {str(n): n for n in range(1000)}, "method": "a\n---\n# title\x1b[2J" * 999}
    card = model_card(SIZES, "fam\nily", odd)
    assert "- and 960 more" in card and "\x1b" not in card and len(card) < 10_000
    assert "\n# title" not in card and "fam\nily" not in card


def test_what_was_learned_from_pictures_is_on_the_card():
    stage = {"settings": {"teacher": "labels", "contrary_share": 0.25}, "model": {"name": "sdxl"}, "pictures": "20,000"}
    card = model_card(SIZES, "", {"method": "network", "stages": [stage, {"settings": {"teacher": "words"}}]})
    second, third = card.partition("## Training, stage 2")[2].split("## Training, stage 3")
    assert "- teacher: labels\n- model: sdxl\n- pictures: 20,000\n- contrary share: 0.25" in second
    assert "- teacher: words" in third and "not recorded" in third
    for odd in ("a", [1, "b"], {"settings": []}, [{"settings": 7, "model": 8}] * 999):
        assert len(model_card(SIZES, "", {"stages": odd})) < 10_000
