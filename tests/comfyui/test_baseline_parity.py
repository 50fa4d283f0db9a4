"""The node's baselines give in ComfyUI what the trainer's give in diffusers, on an untrained miniature."""

import contextlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from emoticrafter.research.baselines import METHODS, TextualInversion, load_baseline, save_baseline, scaled
from scripts.installation import comfyui_folder, comfyui_python
from trainer.baselines.patches import applied, read_prompts
from trainer.baselines.settings import Settings
from trainer.baselines.train import make_baseline
from trainer.core.device import Machine
from trainer.miniature.export import export_model
from trainer.miniature.folders import save_generator
from trainer.miniature.models import TextEncoders, make_autoencoder, make_unet
from trainer.miniature.recipe import TINY
from trainer.miniature.sampling import sample
from trainer.pictures.base import load_base

# Levels with and without attention, and a level with two transformers in a row.
RECIPE = replace(TINY, unet_channels=(64, 128, 128), unet_transformers=(0, 1, 2), unet_layers=2)
ASKED = {
    "prompt": "a cat in a meadow",
    "valence": 2.0,
    "arousal": -1.5,
    "steps": 4,
    "guidance": 3.0,
    "strengths": [0.0, 0.6, 1.0],
    "files": [f"{method}.safetensors" for method in METHODS],
    "twice": ["cross-attention.safetensors", "time-embedding.safetensors"],
    "words": "textual-inversion.safetensors",
    "foreign": "foreign.safetensors",
}


@torch.no_grad()
def roughen(module: torch.nn.Module, seed: int, size: float) -> None:
    """Weights that mean nothing and are nowhere 0, rounded to float16 as in the files."""
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator) * size)
        weight.copy_(weight.half().float())


class Both:
    """The parts as diffusers and transformers have them, and what ComfyUI made of them."""

    def __init__(self, folder: Path):
        torch.manual_seed(0)
        unet, text, autoencoder = make_unet(RECIPE), TextEncoders(RECIPE), make_autoencoder()
        autoencoder.register_to_config(scaling_factor=1.0, shift_factor=0.0)
        for seed, module in enumerate((unet, text)):
            roughen(module, seed, 0.05)
        save_generator(unet, text, folder / "generator")
        export_model(unet, text, autoencoder, RECIPE, folder)
        self.base = load_base(folder / "generator", Machine(torch.device("cpu")))
        self.files = folder / "base" / "models" / "emoticrafter_baselines"
        for method in METHODS:
            self.write(method, self.files / f"{method}.safetensors")
        other = replace(RECIPE, unet_transformers=(0, 0, 1))
        self.base.unet, kept = make_unet(other), self.base.unet
        self.write("cross-attention", self.files / "foreign.safetensors")
        self.base.unet = kept
        self.noise = torch.randn(2, 4, 8, 8)
        save_file({"noise": self.noise}, folder / "noise.safetensors")
        (folder / "asked.json").write_text(json.dumps(ASKED))
        command = [comfyui_python(), Path(__file__).with_name("comfyui_baselines.py"), folder]
        command += [folder / "answer.safetensors"]
        done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        self.comfyui = load_file(folder / "answer.safetensors")
        self.told = json.loads(done.stdout.splitlines()[-1])

    def write(self, method: str, path: Path) -> None:
        baseline = make_baseline(Settings(method, width=16, hidden=16), self.base)
        roughen(baseline, 5, 0.2)
        save_baseline(baseline, path)

    @torch.no_grad()
    def sampled(self, name: str, strength: float) -> torch.Tensor:
        baseline = load_baseline(self.files / name)
        at = [torch.full((2,), ASKED[axis]) for axis in ("valence", "arousal")]
        effect = baseline(*at)
        prompts = [ASKED["prompt"]] * 2
        positive = read_prompts(self.base.text, baseline, prompts, effect, strength)
        learned = isinstance(baseline, TextualInversion)
        with contextlib.nullcontext() if learned else applied(self.base.unet, scaled(effect, strength)):
            return self.draw(positive)

    def plain(self) -> torch.Tensor:
        return self.draw(read_prompts(self.base.text, None, [ASKED["prompt"]] * 2, None))

    @torch.no_grad()
    def draw(self, positive) -> torch.Tensor:
        empty = read_prompts(self.base.text, None, [""], None)
        return sample(self.base.unet, positive, empty, self.noise, ASKED["steps"], ASKED["guidance"])


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return Both(tmp_path_factory.mktemp("baselines"))


def as_comfyui(latents: torch.Tensor) -> torch.Tensor:
    return latents / 0.13025  # ComfyUI hands latents on in SDXL's scale


@pytest.mark.parametrize("name", ASKED["files"])
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_sampled_latent_is_equal(both, name, strength):
    mine, theirs = as_comfyui(both.sampled(name, strength)), both.comfyui[f"{name} {strength}"]
    assert (theirs - both.comfyui["plain"]).abs().max() > 0.05 * theirs.std()  # it does something
    torch.testing.assert_close(theirs, mine, atol=2e-3 * mine.std().item(), rtol=1e-3)


@pytest.mark.parametrize("name", ASKED["files"])
def test_strength_zero_changes_nothing(both, name):
    assert torch.equal(both.comfyui[f"{name} 0.0"], both.comfyui["plain"])
    assert torch.equal(
        both.sampled(name, 0.0), both.draw(read_prompts(both.base.text, None, [ASKED["prompt"]] * 2, None))
    )


@pytest.mark.parametrize("name", ASKED["twice"])
def test_two_of_them_add_up(both, name):
    whole = both.comfyui[f"{name} 1.0"]
    torch.testing.assert_close(both.comfyui[f"{name} twice"], whole, atol=2e-3 * whole.std().item(), rtol=1e-3)


def test_learned_words_of_a_long_prompt_take_another_window(both):
    assert [both.told[f"long {strength}"][1] for strength in (0.0, 0.5, 1.0)] == [77, 154, 154]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("other model", "This cross-attention was fitted to a UNet with"),
        ("no clip", "is a textual inversion, which adds words to the text, and nothing is connected to its clip"),
        ("no file", "There is no emotion baseline 'none.safetensors'"),
        ("outside", "valence is 4: expected a number from -3 to 3"),
    ],
)
def test_what_does_not_fit_is_named(both, case, words):
    assert words in both.told[case]
