"""Moods without content, and the tokens of captions."""

import numpy as np
import pytest
import torch

from trainer.features.tokenizer import END, START, clip_tokenizer
from trainer.miniature.captioning import caption_tokens, mood_caption
from trainer.miniature.dataset import make_plan
from trainer.miniature.recipe import TINY
from trainer.world.captions import SETTING_WORDS, SUBJECT_WORDS, TIME_WORDS
from trainer.world.scene import sample_scenes


def words(tokens):
    row = tokens.tolist()
    return clip_tokenizer().decode(row[1 : row.index(END)])


def test_a_mood_names_no_content():
    tables = (SUBJECT_WORDS, SETTING_WORDS, TIME_WORDS)
    content = [phrase for table in tables for phrases in table.values() for phrase in phrases]
    at = np.random.default_rng(0).uniform(-3, 3, (60, 2))
    for seed, (scene, (valence, arousal)) in enumerate(zip(sample_scenes(60, 0), at, strict=True)):
        mood = mood_caption(scene, valence, arousal, seed)
        assert mood and not any(phrase in mood for phrase in content), mood


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    plan = make_plan("training", 12, TINY, neutral=0.5)
    path = tmp_path_factory.mktemp("captions") / "captions.safetensors"
    return plan, caption_tokens(plan, TINY, path), path


def test_tokens_begin_and_end_and_are_padded(made):
    _, tokens, _ = made
    assert tokens["caption"].shape == tokens["content"].shape == (12, TINY.captions, 77)
    rows = torch.cat([tokens["caption"].flatten(0, 1), tokens["mood"], tokens["empty"][None]])
    assert (rows[:, 0] == START).all() and (rows[:, -1] == END).all()
    assert tokens["empty"][1] == END


def test_neutral_pictures_have_neutral_captions(made):
    plan, tokens, _ = made
    for index in range(12):
        longest = max(words(row).count(" ") for row in tokens["caption"][index])
        assert (longest < 16) == plan.neutral[index], words(tokens["caption"][index, 0])
        assert plan.neutral[index] == (words(tokens["mood"][index]) in ("a picture", "a scene", "an image"))


def test_the_pooled_vector_is_told_the_same_content(made):
    plan, tokens, _ = made
    for index, scene in enumerate(plan.scenes):
        said = words(tokens["content"][index, 0])
        nouns = {word for phrase in SUBJECT_WORDS[scene.subject] for word in phrase.split() if len(word) > 3}
        assert nouns & set(said.split()) or scene.subject in said, (scene.subject, said)


def test_captions_are_made_once(made):
    plan, tokens, path = made
    before = path.stat().st_mtime_ns
    assert torch.equal(caption_tokens(plan, TINY, path)["caption"], tokens["caption"])
    assert path.stat().st_mtime_ns == before
