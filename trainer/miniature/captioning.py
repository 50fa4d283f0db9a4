"""Captions of the painted pictures: moods without content, and every caption as tokens."""

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from emoticrafter.weights.files import save_tensors
from trainer.miniature.dataset import Plan
from trainer.miniature.models import tokenize
from trainer.miniature.recipe import Recipe
from trainer.world.captions import emotional_caption, neutral_caption
from trainer.world.scene import Scene

OPENINGS = ("a picture", "a scene", "an image")
"""Captions without content; they and the empty prompt are what a mood alone is added to."""


def mood_caption(scene: Scene, valence: float, arousal: float, seed: int) -> str:
    """The feeling of an emotional caption without its content."""
    while True:
        content = neutral_caption(scene, seed) + ", "
        caption = emotional_caption(scene, valence, arousal, seed)
        if caption.startswith(content):
            return caption.removeprefix(content)
        seed += 1


def opening(seed: int) -> str:
    """A caption that names neither content nor feeling."""
    return OPENINGS[seed % len(OPENINGS)]


def written_captions(plan: Plan, recipe: Recipe) -> tuple[list[str], list[str], list[str]]:
    """Captions of every picture.

    Returns:
        C wordings of each of N pictures, neutral or emotional as the picture is, N x C; captions of the same content
        in any mood or none, N x C; the picture's feeling, if it has one, without its content, N.
    """
    random = np.random.default_rng((recipe.seed, 99))
    captions, contents, moods = [], [], []
    for index, (scene, *at, seed) in enumerate(plan.pictures()):
        mood = mood_caption(scene, *at, seed)
        opened = opening(seed) if plan.neutral[index] else f"{opening(seed)}, {mood}"
        moods.append(mood if index % 3 == 0 and not plan.neutral[index] else opened)
        for wording in range(seed * recipe.captions, (seed + 1) * recipe.captions):
            plain = neutral_caption(scene, wording)
            captions.append(plain if plan.neutral[index] else emotional_caption(scene, *at, wording))
            other = random.uniform(-3, 3, 2)
            contents.append(plain if random.random() < 0.5 else emotional_caption(scene, *other, wording))
    return captions, contents, moods


def caption_tokens(plan: Plan, recipe: Recipe, path: Path) -> dict[str, Tensor]:
    """The captions' tokens, made once: int32, C wordings for each of N pictures.

    Returns:
        "caption" [N, C, 77]: neutral or emotional, as the picture is.
        "content" [N, C, 77]: captions of the same content in any mood or none, for the pooled vector. It then tells
            content alone, and a changed mood of the features has nothing to contradict it.
        "mood" [N, 77]: the picture's feeling, if it has one, without its content.
        "empty" [77]: the empty prompt.
    """
    if not path.exists():
        captions, contents, moods = written_captions(plan, recipe)
        shape = (len(plan), recipe.captions, -1)
        tokens = {
            "caption": tokenize(captions).view(shape),
            "content": tokenize(contents).view(shape),
            "mood": tokenize(moods),
            "empty": tokenize([""])[0],
        }
        save_tensors(path, {name: tensor.int() for name, tensor in tokens.items()})
    return load_file(path)
