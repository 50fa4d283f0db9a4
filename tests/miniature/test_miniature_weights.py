"""The shipped miniature: small enough, whole, and what its data card says."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from emoticrafter import load_network
from emoticrafter.files import file_sha256
from emoticrafter.research.readers import load_reader
from emoticrafter.weights import read_metadata
from trainer.miniature.export import FORMAT, LARGEST, VERSION
from trainer.miniature.recipe import Recipe

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "miniature"
NETWORKS = ("emotion_network", "captions_network")
PARTS = ("unet", "text_encoders", "vae", "emotion_reader", "content_reader", *NETWORKS)
CARD = (FOLDER / "README.md").read_text("utf-8") if FOLDER.is_dir() else ""

# The least that the readers must do on pictures that were held out from them: mean errors of valence and arousal on the
# scale of 6, subjects right.
READER_ERROR = 0.4
SUBJECTS_RIGHT = 0.9


def test_the_folder_holds_the_parts_and_their_card_and_nothing_else():
    # the second miniature's, and the reader that checks, which may come later
    names = {path.name for path in FOLDER.iterdir()} - {"flow", "second_reader.safetensors"}
    assert names == {f"{name}.safetensors" for name in PARTS} | {"README.md", "pairs.csv"}
    assert sum(path.stat().st_size for path in FOLDER.glob("*.*")) <= LARGEST == 45_000_000


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_finite_in_float16_and_says_what_it_is_as_the_card_does(name):
    path = FOLDER / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        said, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    for key, tensor in tensors.items():
        statistics = key.startswith("encoder.")  # of the text encoder that a network was fitted to
        assert tensor.dtype == (torch.float32 if statistics else torch.float16) and torch.isfinite(tensor).all(), key
    network = name in NETWORKS
    assert said["format"] == ("emoticrafter" if network else FORMAT) and (network or said["version"] == VERSION)
    [checksum] = re.findall(rf"^\| {path.name} \| [\d.]+ MB \| `(\w+)` \|$", CARD, re.MULTILINE)
    assert checksum == file_sha256(path)


def test_the_card_tells_data_training_and_licence():
    for heading in ("## Data", "## Training", "## Licence"):
        assert heading in CARD
    assert "It\nis not SDXL" in CARD or "It is not SDXL" in CARD
    assert "Apache-2.0" in CARD
    assert "nan" not in CARD.lower().split()


def test_the_card_holds_the_recipe_that_is_in_the_code():
    [recipe] = re.findall(r"```json\n(.*?)```", CARD, re.DOTALL)
    assert json.loads(recipe) == json.loads(json.dumps(Recipe().as_json()))


@pytest.mark.parametrize("name", NETWORKS)
def test_an_emotion_network_tells_how_it_was_trained(name):
    path = FOLDER / f"{name}.safetensors"
    metadata = read_metadata(path)
    assert metadata["config"].feature_width == sum(Recipe.text_widths)
    assert metadata["training"]
    features = torch.randn(1, 77, sum(Recipe.text_widths))
    network = load_network(path, dtype=torch.float32)
    assert torch.isfinite(network(features, torch.tensor([-3.0, 3.0]), torch.tensor([3.0, -3.0]))).all()


def test_the_readers_are_good_enough_to_measure_with():
    _reader, emotion = load_reader(FOLDER / "emotion_reader.safetensors")
    _reader, content = load_reader(FOLDER / "content_reader.safetensors")
    for axis in ("valence", "arousal"):
        assert emotion["held_out"][f"returned: mean {axis} error"] <= READER_ERROR
    assert content["held_out"]["returned: subject right"] >= SUBJECTS_RIGHT


def test_the_registrys_package_is_without_the_weights():
    assert "/miniature/" in (ROOT / ".comfyignore").read_text("utf-8").splitlines()
