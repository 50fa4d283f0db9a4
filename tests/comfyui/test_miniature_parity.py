"""The miniature's exported files give in ComfyUI's classes what diffusers and transformers give."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scripts.installation import comfyui_folder, comfyui_python
from trainer.features.encoders import load_encoders
from trainer.miniature.export import export_model
from trainer.miniature.folders import save_generator
from trainer.miniature.models import TextEncoders, decode, encode, make_autoencoder, make_unet, size_and_crop, tokenize
from trainer.miniature.recipe import TINY
from trainer.miniature.sampling import sample

RECIPES = {
    "three levels": replace(TINY, unet_channels=(64, 128, 128), unet_transformers=(0, 1, 1), text_layers=4),
    "attention on every level": replace(TINY, unet_transformers=(1, 2), unet_layers=2),
}
PROMPTS = ["", "a joyful cat in a meadow at noon, warm light", "a house by the sea"]

START = 0.5


@torch.no_grad()
def roughen(module: torch.nn.Module, seed: int) -> None:
    """Untrained weights with nothing that is zero or one, rounded to float16 as in the files."""
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
        weight.copy_(weight.half().float())


class Both:
    """The parts as diffusers and transformers have them, and ComfyUI's answers."""

    def __init__(self, recipe, folder: Path, dynamic_vram: bool):
        torch.manual_seed(0)
        self.recipe = recipe
        self.unet, self.text, self.autoencoder = make_unet(recipe), TextEncoders(recipe), make_autoencoder()
        for seed, module in enumerate((self.unet, self.text, self.autoencoder)):
            roughen(module.eval(), seed)
        self.autoencoder.register_to_config(scaling_factor=1 / 1.7, shift_factor=0.3)
        save_generator(self.unet, self.text, folder / "generator")
        export_model(self.unet, self.text, self.autoencoder, recipe, folder)
        self.noise = torch.randn(1, 4, 8, 8)
        self.timesteps = torch.tensor([999, 500, 1])
        self.picture = torch.rand(1, 64, 64, 3)
        self.sampling = {"steps": 6, "guidance": 3.0}
        (folder / "sampling.json").write_text(json.dumps({"start": START, **self.sampling}))
        tensors = {"noise": self.noise, "timesteps": self.timesteps, "picture": self.picture}
        save_file(tensors, folder / "request.safetensors", {"prompts": json.dumps(PROMPTS)})
        command = [comfyui_python(), Path(__file__).with_name("comfyui_miniature.py"), folder]
        command += [folder / "request.safetensors", folder / "answer.safetensors"]
        command += ["dynamic"] * dynamic_vram
        done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        self.comfyui = load_file(folder / "answer.safetensors")
        with torch.no_grad():
            self.features, self.pooled = self.text(tokenize(PROMPTS))


@pytest.fixture(scope="module", params=list(RECIPES))
def both(request, dynamic_vram, tmp_path_factory):
    folder = tmp_path_factory.mktemp("miniature")
    return Both(RECIPES[request.param], folder, dynamic_vram), folder


def test_text_features_are_equal(both):
    mine, _ = both
    for index, (features, pooled) in enumerate(zip(mine.features, mine.pooled, strict=True)):
        torch.testing.assert_close(features, mine.comfyui[f"features.{index}"], atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(pooled, mine.comfyui[f"pooled.{index}"], atol=2e-5, rtol=1e-5)


def test_the_trainer_reads_the_same_features(both):
    mine, folder = both
    for features, expected in zip(load_encoders(folder / "generator").encode(PROMPTS), mine.features, strict=True):
        torch.testing.assert_close(features, expected, atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_the_unet_is_equal(both):
    mine, _ = both
    count = len(PROMPTS)
    added = {"text_embeds": mine.pooled, "time_ids": size_and_crop(count, 64)}
    noise = mine.noise.expand(count, -1, -1, -1)
    got = mine.unet(noise, mine.timesteps, mine.features, added_cond_kwargs=added).sample
    assert got.std() > 0.1
    torch.testing.assert_close(got, mine.comfyui["unet"], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_sampled_picture_is_equal(both):
    mine, _ = both
    positive, negative = ((mine.features[i : i + 1], mine.pooled[i : i + 1]) for i in (1, 0))
    latents = sample(mine.unet, positive, negative, mine.noise, **mine.sampling)
    picture = decode(mine.autoencoder, latents).permute(0, 2, 3, 1)
    assert picture.std() > 0.01
    torch.testing.assert_close(picture, mine.comfyui["sampled"], atol=1 / 255, rtol=0)


@torch.no_grad()
def test_a_prompt_that_begins_later_begins_at_the_same_step(both):
    mine, _ = both
    opening, positive, negative = ((mine.features[i : i + 1], mine.pooled[i : i + 1]) for i in (2, 1, 0))
    more = {"opening": opening, "start": START, **mine.sampling}
    picture = decode(mine.autoencoder, sample(mine.unet, positive, negative, mine.noise, **more)).permute(0, 2, 3, 1)
    assert (picture - mine.comfyui["sampled"]).abs().max() > 3 / 255
    torch.testing.assert_close(picture, mine.comfyui["started"], atol=1 / 255, rtol=0)


@torch.no_grad()
def test_an_encoded_picture_is_equal(both):
    mine, _ = both
    got = encode(mine.autoencoder, mine.picture.permute(0, 3, 1, 2))
    torch.testing.assert_close(got, mine.comfyui["encoded"], atol=1e-4, rtol=1e-3)
