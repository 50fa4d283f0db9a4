"""Every family of models that ComfyUI loads: its own tokenizer, text encoder and model, small, with random weights."""

import json
import subprocess
from pathlib import Path

import pytest

from scripts.installation import comfyui_folder, comfyui_python, prepare

PROJECT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "comfyui_any_encoder.py"
FAMILIES = (
    "Stable Diffusion 1.x",
    "SDXL",
    "Stable Diffusion 3",
    "Flux.1",
    "Chroma",
    "Lumina 2",
    "Z-Image",
    "Qwen-Image",
    "Flux.2",
    "Wan",
    "HunyuanImage",
    "HiDream-I1",
)
NEWER = ("Flux.2 Klein 4B", "Krea 2", "Anima")
"""What the packaged ComfyUI does not have."""
UNPADDED = ("Lumina 2", "Z-Image", "Qwen-Image", "Flux.2", "HunyuanImage", "Krea 2", "Anima")
PADDED_WITH_A_MASK = ("Flux.2 Klein 4B",)
"""Added tokens take the place of padding that the mask leaves out."""
ADDED = 16
SECOND_TEXTS = {"HiDream-I1": "conditioning_llama3", "Anima": "t5xxl_ids"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict]:
    """What each family gave, by its name."""
    prepare()
    folder = tmp_path_factory.mktemp("fields")
    answer = folder / "answer.json"
    command = [comfyui_python(), SCRIPT, PROJECT, folder, answer, *FAMILIES, *NEWER]
    done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(answer.read_text(encoding="utf-8"))
    missing = [results[name]["missing"] for name in FAMILIES if "missing" in results[name]]
    assert all("tokenizer" in told for told in missing), missing
    return {name: result for name, result in results.items() if "missing" not in result}


def test_a_familys_peculiarities_are_as_written_down(found):
    for name, result in found.items():
        assert result["family"] == name
        assert name in result["looks like"] or name == "Krea 2"  # small, it is as wide as CLIP-L
        head, tail = result["ends"]
        assert tail == result["written ends"][1], name
        assert head == result["written ends"][0] or name == "Flux.2", name  # counted by the fit
        tokens = result["plain"]["shape"][1]
        assert tokens >= result["least"] and (result["least"] == 1 or tokens <= 512), name


def test_a_field_and_a_network_fitted_to_a_prompts_encoder_move_it(found):
    for name, result in found.items():
        for kind in ("field", "network"):
            plain, moved = result["plain"], result[kind]
            assert moved["finite"], name
            assert moved["kept"], name
            assert moved["keys"] == plain["keys"], name
            batch, tokens, width = plain["shape"]
            grown = 0 if name in PADDED_WITH_A_MASK else result["added"]
            assert moved["shape"] == [batch, tokens + grown, width], name


def test_only_prompts_whose_padding_does_not_count_take_more_tokens_and_their_masks_grow(found):
    for name, result in found.items():
        assert result["added"] == (ADDED if name in (*UNPADDED, *PADDED_WITH_A_MASK) else 0), name
        for kind in ("field", "network"):
            mask, shape = result[kind]["mask"], result[kind]["shape"]
            assert (mask is None) == (result["plain"]["mask"] is None), name
            if mask is not None:
                assert mask == [*shape[:2], result["plain"]["mask"][2] + result["added"]], name


def test_strength_0_is_the_plain_prompt_and_picture_bit_for_bit(found):
    for name, result in found.items():
        for kind in ("field", "network"):
            assert result[kind]["unmoved"], name
            assert result[kind].get("same at 0", True), name


def test_a_sampler_takes_the_emotional_prompt(found):
    for name, result in found.items():
        for kind in ("field", "network"):
            assert result[kind].get("painted", name in NEWER), name
            assert result[kind].get("differs", name in NEWER), name


def test_a_field_and_a_network_learn_on_from_the_model(found):
    for name, result in found.items():
        for kind in ("field", "network"):
            if name not in NEWER:
                assert result[kind]["learning"]["learned"], name
                assert all(0 < loss < 1e4 for loss in result[kind]["learning"]["losses"]), name


def test_the_text_of_another_encoder_of_the_same_family_and_width_is_refused(found):
    for name, result in found.items():
        assert f"text of another encoder: this file was fitted to {name}" in (result["refusal"] or ""), name


def test_a_second_text_is_told(found):
    for name, result in found.items():
        told = [notice for notice in result["notices"] if "carries its prompt a second time" in notice]
        assert len(told) == (name in SECOND_TEXTS), name
        assert SECOND_TEXTS.get(name, "") in "".join(told)
