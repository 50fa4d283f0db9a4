"""The second miniature's exported files give in ComfyUI's classes what diffusers and transformers give."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scripts.installation import comfyui_folder, comfyui_python
from tests.comfyui.test_miniature_parity import roughen
from trainer.miniature.export import export_flow
from trainer.miniature.flow import FlowText, make_language_model, make_transformer, sample_flow, train_pieces
from trainer.miniature.recipe import TINY_FLOW

RECIPE = replace(TINY_FLOW, dit_width=64, dit_layers=2, text_width=48, text_heads=2, shift=1.7)
PROMPTS = ["", "A joyful cat in a meadow at noon, warm light", "an ASTRONAUT: 7 of 9"]
SAMPLING = {"steps": 6, "guidance": 3.0}
START = 0.5


@pytest.fixture(scope="module")
def both(dynamic_vram, tmp_path_factory):
    """Transformer, text encoder, noise, and what ComfyUI made of them."""
    folder = tmp_path_factory.mktemp("flow")
    torch.manual_seed(0)
    transformer, model = make_transformer(RECIPE), make_language_model(RECIPE)
    roughen(transformer.eval(), 0)
    roughen(model.eval(), 1)
    words = [f"{word} {other}" for word in PROMPTS[1].split() for other in ("cat", "house", "by the sea", "zxqjkvwfp")]
    text = FlowText(model, train_pieces(words, 80))
    export_flow(transformer, text, RECIPE, folder)
    noise = torch.randn(2, 4, 8, 8)
    save_file({"noise": noise}, folder / "request.safetensors", _asked())
    command = [comfyui_python(), Path(__file__).with_name("comfyui_flow.py"), folder]
    command += [folder / "request.safetensors", folder / "answer.safetensors"]
    command += ["dynamic"] * dynamic_vram
    done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return transformer, text, noise, load_file(folder / "answer.safetensors")


def _asked() -> dict[str, str]:
    return {"asked": json.dumps({"prompts": PROMPTS, "start": START, **SAMPLING})}


def test_text_features_and_masks_are_equal(both):
    _, text, _, comfyui = both
    features, mask = text(PROMPTS)
    for index, (row, there) in enumerate(zip(features, mask, strict=True)):
        torch.testing.assert_close(row[there][None], comfyui[f"features.{index}"], atol=1e-4, rtol=1e-5)
        assert comfyui[f"mask.{index}"].tolist() == [[1] * int(there.sum())]
    assert len(comfyui["features.0"][0]) == 1 < len(comfyui["features.1"][0]), "nothing is padded"


def test_a_sampled_picture_is_equal(both):
    transformer, text, noise, comfyui = both
    latents = sample_flow(transformer, _twice(text, PROMPTS[1]), text([""]), noise, shift=RECIPE.shift, **SAMPLING)
    assert (latents - noise).std() > 0.1
    torch.testing.assert_close(latents, comfyui["sampled"], atol=1e-3, rtol=1e-3)


def test_a_prompt_that_begins_later_begins_at_the_same_step(both):
    transformer, text, noise, comfyui = both
    opening, positive = (_twice(text, PROMPTS[number]) for number in (2, 1))
    more = {"shift": RECIPE.shift, **SAMPLING}
    latents = sample_flow(transformer, positive, text([""]), noise, opening=opening, start=START, **more)
    assert (latents - comfyui["sampled"]).abs().max() > 0.01
    torch.testing.assert_close(latents, comfyui["started"], atol=1e-3, rtol=1e-3)


def _twice(text: FlowText, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
    features, mask = text([prompt])
    return features.expand(2, -1, -1), mask.expand(2, -1)
