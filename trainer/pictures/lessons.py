"""What a network is taught: pictures, the prompts that go with each, and the emotion that prompts or labels say."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emoticrafter.fit.loop import step_random
from emoticrafter.fit.pairs import Pair
from emoticrafter.quoting import quoted
from trainer.core.rows import DataError
from trainer.data.pairs import TRAIN, PairTable, same_prompt
from trainer.miniature.captioning import mood_caption
from trainer.miniature.pipeline import Run
from trainer.pictures.rated import SHOWN, Pictures, wordings
from trainer.pictures.settings import Settings
from trainer.world.captions import emotional_caption, neutral_caption
from trainer.world.scene import VA_RANGE

OTHERS = 97
"""Part of the seed of the other moods."""


@dataclass
class Lessons:
    """What is learned from M pictures.

    Attributes:
        rows: int64 [M], of the pictures.
        pairs: M lists of the pairs of prompts that go with a picture; with labels, the emotional prompts are "".
        moods: M moods without content, which an empty prompt with the picture's V and A is to say. None: nobody said.
        told: sha256 of the pairs, where they come from a file.
        contrary: M lists of prompts of the same content with words of several moods. None: nobody said.
    """

    rows: np.ndarray
    pairs: list[list[Pair]]
    moods: list[str] | None
    told: str = ""
    contrary: list[list[str]] | None = None

    def check(self, source: str, contrary_share: float) -> None:
        """Says what the emotions and the words do not cover.

        Raises:
            DataError: All emotions are the same, so that nothing can be learned from them, or nobody said words of
                another mood.
        """
        if contrary_share and self.contrary is None:
            raise DataError(
                f"{source} has no words of another mood for the same picture, which --contrary-share needs: expected "
                "--teacher words, and --pairs with several emotional prompts to a neutral one."
            )
        said = np.array([pair[2:] for pairs in self.pairs for pair in pairs])
        if (said == said[0]).all():
            v, a = said[0]
            raise DataError(
                f"{source}: all have valence {v:g} and arousal {a:g}, from which nothing can be learned: expected "
                "emotions from all over the plane."
            )


def labelled(prompts: list[list[str]], valence: np.ndarray, arousal: np.ndarray) -> Lessons:
    """Pictures with their own valence and arousal; arguments as in `Pictures`."""
    told = zip(prompts, valence.tolist(), arousal.tolist(), strict=True)
    pairs = [[Pair(one, "", *at) for one in wordings] for wordings, *at in told]
    return Lessons(np.arange(len(pairs)), pairs, [""] * len(pairs))


def captioned(run: Run) -> Lessons:
    """The miniature's pictures, with captions of the same scenes in the pictures' moods."""
    pairs, moods = [], []
    for scene, *at, seed in run.plan.pictures():
        said = [(neutral_caption(scene, one), emotional_caption(scene, *at, one)) for one in wordings(run, seed)]
        pairs.append([Pair(*both, *at) for both in said])
        moods.append(mood_caption(scene, *at, seed))
    return Lessons(np.arange(len(pairs)), pairs, moods)


def contradicting(run: Run) -> list[list[str]]:
    """Captions of the miniature's pictures in moods from all over the plane, whatever the pictures' own are."""
    others = np.random.default_rng((run.recipe.seed, OTHERS)).uniform(-VA_RANGE, VA_RANGE, (len(run.plan), 2))
    pictures = zip(run.plan.pictures(), others.tolist(), strict=True)
    return [[emotional_caption(scene, *at, one) for one in wordings(run, seed)] for (scene, *_, seed), at in pictures]


def paired(prompts: list[list[str]], table: PairTable, name: str) -> Lessons:
    """Pictures that show the neutral prompts of pairs; their own valence and arousal are not read.

    Args:
        prompts: Of the pictures, one each.
        table: The pairs, of which those held out are not learned.
        name: Of the table.

    Raises:
        DataError: No picture shows a pair's neutral prompt.
    """
    known: dict[str, list[Pair]] = {}
    columns = (table.neutral, table.emotional, table.valence, table.arousal, table.split)
    for neutral, emotional, valence, arousal, split in zip(*columns, strict=True):
        if split == TRAIN:
            known.setdefault(same_prompt(neutral), []).append(Pair(neutral, emotional, float(valence), float(arousal)))
    shown = [same_prompt(prompt) for [prompt] in prompts]
    rows = [row for row, prompt in enumerate(shown) if prompt in known]
    if not rows:
        raise DataError(
            f"No picture has a neutral prompt of {name}: expected pictures of these prompts, such as python -m "
            f"trainer.generate draws; the first is {quoted(table.neutral[0])}."
        )
    pairs = [known[shown[row]] for row in rows]
    contrary = [list(dict.fromkeys(pair.emotional for pair in own)) for own in pairs]
    several = any(len(prompts) > 1 for prompts in contrary)
    return Lessons(np.array(rows), pairs, None, _sha256(table), contrary if several else None)


def _sha256(table: PairTable) -> str:
    told = [table.neutral, table.emotional, [*map(float, table.valence)], [*map(float, table.arousal)], table.split]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:SHOWN]


# --- a step's share of them ------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Some of a step's B samples, on the processor."""

    latents: Tensor
    """float16 [B, 4, H, W]."""
    noise: Tensor
    """float32 [B, 4, H, W]."""
    share: Tensor
    """float32 [B] in [0, 1): of the noise levels."""
    neutral: list[str]
    emotional: list[str]
    valence: Tensor
    """float32 [B], as is arousal."""
    arousal: Tensor

    def parts(self, count: int) -> list["Batch"]:
        """In `count` parts of the same size."""
        size = len(self.share) // count
        return [Batch(*(of[at : at + size] for of in self)) for at in range(0, len(self.share), size)]


def draw(settings: Settings, pictures: Pictures, lessons: Lessons, step: int) -> Batch:
    """A step's samples: they follow from the seed and the step alone, whatever computes them in how many parts."""
    random = step_random(settings.seed, step)
    at = random.integers(len(lessons.rows), size=settings.batch)
    of = [lessons.pairs[number] for number in at]
    pairs = [pairs[int(share * len(pairs))] for pairs, share in zip(of, random.random(settings.batch), strict=True)]
    empty = random.random(settings.batch) < settings.empty_share
    if lessons.moods is not None:
        pairs = _emptied(pairs, [lessons.moods[number] for number in at], empty)
    share = random.random(settings.batch, np.float32)
    latents = torch.from_numpy(pictures.latents[lessons.rows[at]])
    noise = torch.from_numpy(random.standard_normal(latents.shape, np.float32))
    if settings.contrary_share:
        pairs = _contradicted(pairs, [lessons.contrary[number] for number in at], settings.contrary_share, random)
    neutral, emotional, valence, arousal = zip(*pairs, strict=True)
    values = (torch.tensor(axis, dtype=torch.float32) for axis in (valence, arousal))
    return Batch(latents, noise, torch.from_numpy(share), list(neutral), list(emotional), *values)


def _contradicted(
    pairs: Sequence[Pair], contrary: Sequence[list[str]], share: float, random: np.random.Generator
) -> list[Pair]:
    """The pairs, some of whose neutral prompts get words of another mood; those without a prompt stay so."""
    chosen, which = random.random((2, len(pairs)))
    own = zip(pairs, contrary, strict=True)
    others = [[prompt for prompt in prompts if prompt != pair.emotional] for pair, prompts in own]
    return [
        pair._replace(neutral=prompts[int(at * len(prompts))]) if prompts and pair.neutral and one < share else pair
        for pair, prompts, one, at in zip(pairs, others, chosen, which, strict=True)
    ]


def _emptied(pairs: Sequence[Pair], moods: Sequence[str], empty: np.ndarray) -> list[Pair]:
    """The pairs, some of which lose their content."""
    told = zip(pairs, moods, empty, strict=True)
    return [pair._replace(neutral="", emotional=mood) if bare else pair for pair, mood, bare in told]
