"""The protocol's prompts: how many, of what form, and that none of them says a feeling."""

import re
from pathlib import Path

from trainer.world.captions import MOODS

PROMPTS = (Path(__file__).parents[2] / "trainer" / "painters" / "prompts.txt").read_text("utf-8").splitlines()


def test_there_are_132_and_none_comes_twice():
    assert len(PROMPTS) == len({prompt.lower() for prompt in PROMPTS}) == 132


def test_each_is_one_sentence_of_subject_verb_and_object():
    for prompt in PROMPTS:
        assert re.fullmatch(r"An? [a-z][a-z ]+\.", prompt), prompt
        assert 5 <= len(prompt.split()) <= 12, prompt
        assert re.search(r"^An? [a-z ]+?s (?:a|an|the|its|over|[a-z]+) ", prompt), (
            prompt
        )  # a verb in -s, then what


def test_subjects_and_settings_differ():
    subjects = [" ".join(prompt.split()[1:2]) for prompt in PROMPTS]
    assert len(set(subjects)) == 132
    assert len({prompt.rstrip(".").split()[-1] for prompt in PROMPTS}) > 85


def test_no_prompt_says_a_feeling():
    moods = {word for place, words in MOODS.items() for word in words if place != (0.0, 0.0)}
    for prompt in PROMPTS:
        assert not moods & set(re.findall(r"[a-z-]+", prompt.lower())), prompt
