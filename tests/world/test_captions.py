import re

import numpy as np
import pytest

from trainer.world.captions import (
    EXPRESSIONS,
    NAMED,
    SETTING_WORDS,
    TIME_WORDS,
    WEATHER,
    emotional_caption,
    neutral_caption,
    scene_caption,
)
from trainer.world.scene import Scene, all_scenes, sample_scenes

SCENE = Scene("lighthouse", "beach", "sunset")


def words(caption):
    return set(re.findall(r"[a-z'-]+", caption.lower()))


def draw(count, seed):
    """Scenes, seeds and emotions, with their emotional and neutral captions."""
    at = np.random.default_rng(seed).uniform(-3, 3, (count, 2))
    scenes = sample_scenes(count, seed)
    drawn = list(enumerate(zip(scenes, at, strict=True), seed * 10_000))
    emotional = [emotional_caption(scene, *pair, number) for number, (scene, pair) in drawn]
    return emotional, [neutral_caption(scene, number) for number, (scene, _) in drawn], at


def correlation_of_bag_of_words(train, train_at, test, test_at):
    """How well a ridge regression on word counts recovers valence and arousal of unseen captions."""
    vocabulary = sorted(set().union(*map(words, train)))
    column = {w: i for i, w in enumerate(vocabulary)}

    def counts(captions):
        table = np.zeros((len(captions), len(vocabulary) + 1))
        table[:, -1] = 1
        for row, caption in enumerate(captions):
            table[row, [column[w] for w in words(caption) if w in column]] = 1
        return table

    x = counts(train)
    weights = np.linalg.solve(x.T @ x + 2 * np.eye(x.shape[1]), x.T @ train_at)
    guess = counts(test) @ weights
    return [np.corrcoef(guess[:, axis], test_at[:, axis])[0, 1] for axis in (0, 1)]


@pytest.mark.slow
def test_words_tell_valence_and_arousal_and_neutral_words_do_not():
    emotional, neutral, at = draw(2000, 1)
    new_emotional, new_neutral, new_at = draw(500, 2)
    valence, arousal = correlation_of_bag_of_words(emotional, at, new_emotional, new_at)
    assert valence > 0.93
    assert arousal > 0.90
    assert max(map(abs, correlation_of_bag_of_words(neutral, at, new_neutral, new_at))) < 0.15


def test_both_captions_name_the_same_content():
    for seed, scene in enumerate(all_scenes()):
        neutral = neutral_caption(scene, seed)
        emotional = emotional_caption(scene, 2.5 - seed % 6, seed % 5 - 2, seed)
        setting = next(w for w in SETTING_WORDS[scene.setting] if w in neutral)
        time = max((w for w in TIME_WORDS[scene.time] if neutral.endswith(w)), key=len)
        assert f"{setting} {time}" in emotional
        subject = neutral[: -len(f" {setting} {time}")]
        assert words(subject) - {"a", "an"} <= words(emotional), (neutral, emotional)


def test_a_scene_shows_its_mood_in_its_own_way_alone():
    weather, states = (set().union(*map(set, table.values())) for table in (WEATHER, EXPRESSIONS))
    for subject, own, other in (("cat", states, weather), ("mountain", weather, states)):
        for seed in range(20):
            scene = Scene(subject, "meadow", "day")
            said = scene_caption(scene, -2.5, 2.4, seed).removeprefix(neutral_caption(scene, seed)).strip(", ")
            assert said in own and said not in other
    assert len(words(scene_caption(SCENE, 3.0, 3.0, 0))) > len(words(neutral_caption(SCENE, 0)))


def test_captions_vary_with_the_seed_and_repeat_for_it():
    assert len({neutral_caption(SCENE, seed) for seed in range(60)}) >= 15
    many = [emotional_caption(SCENE, 1.0, -2.0, seed) for seed in range(60)]
    assert len(set(many)) >= 50
    assert many == [emotional_caption(SCENE, 1.0, -2.0, seed) for seed in range(60)]


@pytest.mark.slow
def test_near_emotions_share_more_words_than_far_ones():
    generator = np.random.default_rng(0)

    def shared(distance):
        total = 0.0
        for seed in range(300):
            at, angle = generator.uniform(-1.5, 1.5, 2), generator.uniform(0, 2 * np.pi)
            step = distance / 2 * np.array([np.cos(angle), np.sin(angle)])
            a, b = (words(emotional_caption(SCENE, *(at + sign * step), seed)) for sign in (1, -1))
            total += len(a & b) / len(a | b)
        return total / 300

    same, close, far, opposite = (shared(d) for d in (0.0, 0.4, 1.6, 3.0))
    assert same == 1
    assert same > close > far > opposite


def test_strength_is_graded():
    for word, less, more in (("cheerful", 0.0, 1.3), ("joyful", 1.3, 2.7)):
        for valence in (less, more):
            said = " ".join(emotional_caption(SCENE, valence, 1.3, seed) for seed in range(80))
            assert (word in words(said)) == (valence == more)


@pytest.mark.slow
def test_a_share_of_captions_names_an_emotion():
    named = [f"of {name}" in emotional_caption(SCENE, v, a, seed) for name, v, a in NAMED for seed in range(60)]
    assert 0.15 < np.mean(named) < 0.35
    assert not any("feeling of" in emotional_caption(SCENE, 0, 2, seed) for seed in range(100))


def test_captions_read_as_english_and_fit_the_text_encoder():
    for seed, scene in enumerate(sample_scenes(500, 5, "all")):
        v, a = np.random.default_rng(seed).uniform(-3, 3, 2)
        caption = emotional_caption(scene, v, a, seed)
        assert not re.search(r"\ba [aio]|\ba e[^u]|\ban [^aeiou]|  | ,|,,", caption), caption
        assert len(re.findall(r"[\w'-]+|,|:", caption)) < 60, caption
        assert scene.setting != "snow" or not re.search(r"\brain\b|drizzle", caption), caption


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match=r"arousal must be in \[-3, 3\], got -4"):
        emotional_caption(SCENE, 0, -4, 0)
    with pytest.raises(ValueError, match="seed must be 0 or more, got -2"):
        neutral_caption(SCENE, -2)
