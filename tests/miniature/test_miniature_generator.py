"""What the generator learns from: shares of captions, words that no caption has, a loss that follows the seed."""

from dataclasses import replace

import pytest
import torch

from trainer.features.tokenizer import clip_tokenizer
from trainer.miniature.captioning import caption_tokens
from trainer.miniature.dataset import make_plan
from trainer.miniature.generator import Denoising, _forget_unseen_words, draw_captions
from trainer.miniature.recipe import TINY

RECIPE = replace(TINY, generator_batch=2000, empty_share=0.1, mood_share=0.2)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    plan = make_plan("training", 20, RECIPE, neutral=0.3)
    return caption_tokens(plan, RECIPE, tmp_path_factory.mktemp("tokens") / "captions.safetensors")


def test_captions_come_in_their_shares(tokens):
    rows, captions, contents = draw_captions(tokens, RECIPE, step=0)
    empty = (captions == tokens["empty"]).all(1)
    mood = (captions == tokens["mood"][rows]).all(1)
    assert 0.07 < empty.float().mean() < 0.13
    assert 0.17 < mood.float().mean() < 0.23
    pooled_empty = (contents == tokens["empty"][: contents.shape[1]]).all(1)
    assert torch.equal(pooled_empty, empty | mood)
    assert contents.shape[1] < 77


def test_a_step_always_draws_the_same(tokens):
    for first, again in zip(draw_captions(tokens, RECIPE, 5), draw_captions(tokens, RECIPE, 5), strict=True):
        assert torch.equal(first, again)
    assert not torch.equal(draw_captions(tokens, RECIPE, 5)[0], draw_captions(tokens, RECIPE, 6)[0])


@torch.no_grad()
def test_words_that_no_caption_has_mean_nothing(tokens):
    torch.manual_seed(0)
    module = Denoising(TINY)
    _forget_unseen_words(module.text, tokens)
    weight = module.text.clip_l.get_input_embeddings().weight
    seen, unseen = (clip_tokenizer()(word)["input_ids"][1] for word in ("picture", "bureaucracy"))
    assert weight[seen].abs().sum() > 0 and weight[unseen].abs().sum() == 0


def test_every_weight_takes_part_in_the_loss(tokens):
    torch.manual_seed(0)
    module = Denoising(TINY)
    _, captions, contents = draw_captions(tokens, replace(TINY, generator_batch=3), step=0)
    module(torch.randn(3, 4, 8, 8), captions, contents).backward()
    assert [name for name, weight in module.named_parameters() if weight.grad is None] == []
