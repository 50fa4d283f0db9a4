"""The miniature's networks and their files; what ComfyUI makes of them is tested in tests/comfyui."""

import pytest
import torch

from trainer.features.encoders import load_encoders
from trainer.features.tokenizer import END
from trainer.miniature.comfyui_layout import text_state, unet_sizes, unet_state, vae_state
from trainer.miniature.folders import load_generator, save_generator
from trainer.miniature.models import TextEncoders, decode, encode, make_autoencoder, make_unet, tokenize
from trainer.miniature.recipe import TINY, Recipe

PROMPTS = ["", "a cat in a meadow", "a joyful boat on the water at dawn, warm light, a rainbow"]


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    return TextEncoders(TINY).eval().requires_grad_(False)


def test_features_are_those_that_the_trainer_reads(text, tmp_path):
    save_generator(make_unet(TINY), text, tmp_path / "generator")
    features, _ = text(tokenize(PROMPTS))
    for mine, theirs in zip(features, load_encoders(tmp_path / "generator").encode(PROMPTS), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    _, again = load_generator(tmp_path / "generator", TINY)
    torch.testing.assert_close(again(tokenize(PROMPTS))[0], features)


def test_the_pooled_vector_needs_nothing_behind_the_end(text):
    tokens = tokenize(PROMPTS)
    longest = int((tokens == END).int().argmax(1).max()) + 1
    assert longest < 30
    torch.testing.assert_close(text.pooled(tokens[:, :longest]), text(tokens)[1], atol=1e-5, rtol=1e-5)


def test_long_captions_are_cut_to_77_tokens():
    tokens = tokenize(["stone " * 200])
    assert tokens.shape == (1, 77) and tokens[0, -1] == END


def test_latents_come_back_whatever_the_statistics():
    autoencoder = make_autoencoder().eval().requires_grad_(False)
    pictures = torch.rand(1, 3, 32, 32)
    before = decode(autoencoder, encode(autoencoder, pictures))
    autoencoder.register_to_config(scaling_factor=0.6, shift_factor=0.3)
    latents = encode(autoencoder, pictures)
    assert latents.shape == (1, 4, 4, 4)
    torch.testing.assert_close(decode(autoencoder, latents), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("recipe", [TINY, Recipe()], ids=["tiny", "shipped"])
def test_every_weight_gets_a_name_of_its_own(recipe):
    with torch.device("meta"):
        unet, text = make_unet(recipe).state_dict(), TextEncoders(recipe)
    assert len(unet_state(unet, recipe)) == len(unet) + 1
    assert unet_sizes(recipe)["channel_mult"][0] == 1
    states = text.clip_l.state_dict(), text.clip_g.state_dict()
    assert len(text_state(*states)) == sum(map(len, states))


def test_vae_scale_and_shift_undo_comfyui_s_latent_format():
    state = vae_state(make_autoencoder().state_dict(), deviation=1.7, mean=0.3)
    latent = 0.8  # of deviation 1
    comfyui = latent / 0.13025
    assert (comfyui - state["vae_shift"]) * state["vae_scale"] == pytest.approx(latent * 1.7 + 0.3)
