"""The second miniature: its transformer, its text, what it learns from, and its files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.transformers.transformer_lumina2 import Lumina2AttnProcessor2_0
from safetensors.torch import load_file

from emoticrafter import load_network
from trainer.miniature.__main__ import main
from trainer.miniature.dataset import make_plan
from trainer.miniature.export import LARGEST_FLOW
from trainer.miniature.flow import (
    PAD,
    FlowText,
    make_language_model,
    make_transformer,
    noise_levels,
    sample_flow,
    train_pieces,
    velocity,
)
from trainer.miniature.flow_files import load_flow
from trainer.miniature.flow_training import Flowing, draw_flow, flow_tokens
from trainer.miniature.readers import KINDS, SECOND
from trainer.miniature.recipe import TINY_FLOW, FlowRecipe, Recipe, read_recipe
from trainer.miniature.restore import card_recipe, check_sums, share

RECIPE = replace(TINY_FLOW, generator_batch=2000, empty_share=0.1, mood_share=0.2)
SHIPPED = Path(__file__).parents[2] / "miniature"


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    model = make_transformer(TINY_FLOW).eval().requires_grad_(False)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return model


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    plan = make_plan("training", 20, RECIPE, neutral=0.3)
    return flow_tokens(plan, RECIPE, tmp_path_factory.mktemp("tokens") / "captions.safetensors")


@pytest.fixture(scope="module")
def text(tokens):
    torch.manual_seed(0)
    return FlowText(make_language_model(TINY_FLOW).eval(), tokens["pieces"].numpy().tobytes())


def test_the_transformer_is_diffusers_own(transformer):
    latents, level, text = torch.randn(3, 4, 8, 8), torch.tensor([0.1, 0.5, 1.0]), torch.randn(3, 7, 32)
    mask = torch.arange(7) < torch.tensor([7, 1, 4])[:, None]
    got = velocity(transformer, latents, level, text, mask)
    blocks = (*transformer.noise_refiner, *transformer.context_refiner, *transformer.layers)
    mine = [block.attn.processor for block in blocks]
    for block in blocks:
        block.attn.set_processor(Lumina2AttnProcessor2_0())
    expected = -transformer(latents, 1000 * (1 - level), text, mask, return_dict=False)[0]
    for block, processor in zip(blocks, mine, strict=True):
        block.attn.set_processor(processor)
    assert got.std() > 0.1
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_a_prompt_is_drawn_alike_whatever_is_beside_it(transformer, text):
    prompts = ["a cat", "a joyful cat in a meadow at noon, warm light, a rainbow"]
    noise = torch.randn(1, 4, 8, 8)
    alone = sample_flow(transformer, text(prompts[:1]), text([""]), noise, 3, 3.0, 1.5)
    together = sample_flow(transformer, text(prompts), text([""]), noise.expand(2, -1, -1, -1), 3, 3.0, 1.5)
    torch.testing.assert_close(alone[0], together[0], atol=1e-4, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_what_begins_later_is_the_opening_before_and_counts_steps_whatever_the_shift(transformer, text):
    """Of four steps, a start of 1/4 leaves the opening one; the shift moves only the noise levels."""
    first, then, empty = (text([prompt]) for prompt in ("a cat", "a joyful cat, a rainbow", ""))
    noise = torch.randn(1, 4, 8, 8)
    for shift in (1.0, 3.0):
        sampling = {"negative": empty, "noise": noise, "steps": 4, "guidance": 3.0, "shift": shift}
        alone = [sample_flow(transformer, prompt, **sampling) for prompt in (then, first)]
        starts = (0.0, 0.2, 0.25, 0.8, 1.0)
        found = [sample_flow(transformer, then, opening=first, start=start, **sampling) for start in starts]
        assert torch.equal(found[0], alone[0])
        assert torch.equal(found[1], found[2]) and not torch.equal(found[2], found[0])
        assert torch.equal(found[3], alone[1]) and torch.equal(found[4], alone[1])


def test_words_behind_a_prompt_change_nothing_before_them(text):
    features, mask = text(["a cat", "a cat in a meadow", ""])
    known = int(mask[0].sum())
    torch.testing.assert_close(features[0, :known], features[1, :known], atol=1e-5, rtol=1e-5)
    assert mask.sum(1).tolist() == sorted(mask.sum(1).tolist(), key=lambda n: (n == 1, n)) and mask[2].sum() == 1


def test_noise_levels_fall_from_1_to_0_and_a_shift_raises_them():
    plain, shifted = noise_levels(4, 1.0), noise_levels(4, 3.0)
    assert plain.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert shifted.tolist() == pytest.approx([1.0, 0.9, 0.75, 0.5, 0.0])


def test_a_vocabulary_reads_what_it_was_made_of_and_letters_in_any_case(tokens):
    pieces = train_pieces(["a cat in a meadow", "a dog by the sea"] * 3, 40)
    text = FlowText(make_language_model(TINY_FLOW), pieces)
    for prompts in (["A CAT in a Meadow", "a cat in a meadow"], ["dab", "Dab"]):
        features, _ = text(prompts)
        torch.testing.assert_close(features[0], features[1])


def test_captions_come_in_their_shares(tokens):
    rows, captions = draw_flow(tokens, RECIPE, step=0)
    whole = torch.nn.functional.pad(captions, (0, tokens["empty"].shape[0] - captions.shape[1]))
    empty, mood = (whole == tokens["empty"]).all(1), (whole == tokens["mood"][rows]).all(1)
    assert 0.07 < empty.float().mean() < 0.13
    assert 0.17 < mood.float().mean() < 0.23
    assert (captions != PAD).sum(1).max() == captions.shape[1]
    assert torch.equal(captions, draw_flow(tokens, RECIPE, step=0)[1])


def test_every_weight_takes_part_in_the_loss(tokens):
    torch.manual_seed(0)
    module = Flowing(TINY_FLOW)
    _, captions = draw_flow(tokens, replace(RECIPE, generator_batch=3), step=0)
    module(torch.randn(3, 4, 4, 4), captions).backward()
    assert [name for name, weight in module.named_parameters() if weight.grad is None] == []


def test_a_recipe_knows_its_kind():
    again = Recipe.from_json(json.dumps(TINY_FLOW.as_json()))
    assert again == TINY_FLOW
    with pytest.raises(ValueError, match="dit_width is 40: expected a multiple of 32"):
        replace(TINY_FLOW, dit_width=40)
    with pytest.raises(ValueError, match="flow_pictures is 25: expected at most 24"):
        replace(TINY_FLOW, flow_pictures=25)


@pytest.mark.slow
def test_a_run_is_trained_exported_restored_and_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(SHIPPED.parent)
    run, again, shipped = tmp_path / "run", tmp_path / "again", tmp_path / "shipped"
    assert main(["train", "--kind", "flow", "--tiny", "--out", str(run), "--device", "cpu"]) == 0
    field = load_network(run / "emotion" / "default-0" / "network.safetensors")
    assert (field.window, field.feature_width, field.encoder.family) == (None, 32, "Lumina 2")
    transformer, text = load_flow(run / "generator", read_recipe(run))
    assert velocity(transformer, torch.randn(1, 4, 4, 4), torch.ones(1), *text(["a cat"])).isfinite().all()

    shipped.mkdir()
    for file in SHIPPED.glob("*.*"):
        (shipped / file.name).symlink_to(file)
    assert main(["export", "--out", str(run), "--to", str(shipped / "flow")]) == 0
    assert main(["restore", "--from", str(shipped / "flow"), "--out", str(again)]) == 0
    assert main(["export", "--out", str(again), "--to", str(shipped / "flow again")]) == 0
    for name in ("transformer", "text_encoder", "emotion_network"):
        first, second = (load_file(shipped / folder / f"{name}.safetensors") for folder in ("flow", "flow again"))
        assert all(torch.equal(first[key], second[key]) for key in first), name

    capsys.readouterr()
    assert main(["measure", "--out", str(again), "--prompts", "1", "--seeds", "1", "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert all(f"| {row} |" in told for row in ("default", "emotional captions", "plain prompts", "always 0"))
    assert main(["ablate", "--out", str(again), "--device", "cpu"]) == 1
    assert "second miniature" in capsys.readouterr().err


def test_a_reader_of_its_own_in_a_run_does_not_stand_for_those_that_measure(tmp_path):
    (readers := tmp_path / "readers").mkdir()
    (readers / "teacher.safetensors").touch()
    share(SHIPPED, tmp_path)
    assert {f"{kind}.safetensors" for kind in (*KINDS, SECOND)} < {path.name for path in readers.iterdir()}


def test_settings_of_the_other_kind_are_refused(tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path / "run"), "--dit-layers", "3"]) == 1
    assert "--dit-layers is of --kind flow" in capsys.readouterr().err


def test_the_shipped_files_are_small_and_whole_as_their_card_says():
    folder = SHIPPED / "flow"
    names = ("emotion_network.safetensors", "text_encoder.safetensors", "transformer.safetensors")
    assert {path.name for path in folder.iterdir()} == {*names, "README.md"}
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LARGEST_FLOW == 20_000_000
    check_sums(folder / "README.md", names)
    assert card_recipe(folder / "README.md") == FlowRecipe()
    assert load_network(folder / names[0]).encoder.family == "Lumina 2"
