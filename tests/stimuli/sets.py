"""A small set of pictures for the tests, without a model: coloured noise, brighter the more pleasant it is to be."""

from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from trainer.evaluation.manifest import Image, write_manifest

LEVELS = (-3.0, 0.0, 3.0)
SCENES = ("A fox <b>by</b> a lake.", "A cat in a kitchen.")


def make_set(folder: Path, side: int = 48) -> Path:
    """Two scenes at 9 points with a manifest, which it returns."""
    images = []
    for (number, prompt), arousal, valence in product(enumerate(SCENES), LEVELS, LEVELS):
        random = np.random.default_rng(number)
        pixels = 128 + 20 * valence + random.normal(0, 22 + 4 * arousal, (side, side, 3)) + [0, 0, 12 * arousal]
        file = folder / "ours" / f"{number}{valence:+g}{arousal:+g}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
        images.append(Image(file, prompt, valence, arousal, 7, "ours", f"{number}{valence:+g}{arousal:+g}"))
    write_manifest(folder / "manifest.jsonl", images)
    return folder / "manifest.jsonl"
