"""The protocol's prompts: how many, of what form, and that none of them says a feeling."""

import re

from trainer.core.prompts import read_prompts
from trainer.painters.plan import PROMPTS
from trainer.world.captions import MOODS


def test_each_prompt_is_one_neutral_sentence():
    prompts = read_prompts(PROMPTS)
    moods = {word for place, words in MOODS.items() for word in words if place != (0.0, 0.0)}
    for prompt in prompts:
        assert re.fullmatch(r"An? [a-z][a-z ]+\.", prompt) and 5 <= len(prompt.split()) <= 12, prompt
        assert not moods & set(re.findall(r"[a-z-]+", prompt.lower())), prompt
    assert len({prompt.split()[1] for prompt in prompts}) == len(prompts) == 132  # subjects
