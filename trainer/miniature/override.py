"""Measures whether valence and arousal override words of feeling in the prompt, one of the paper's abilities.

    python -m trainer.miniature override --out runs/miniature --table docs/miniature.md

A held-out scene is drawn from its emotional caption at a point of one axis, and again with the opposite value asked of
the emotion network, at strength 1 and at 2. The reader says what the words made of the picture and what was left of
them.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from emoticrafter import EmotionNetwork, load_network
from trainer.miniature.measure import Bench
from trainer.world.captions import emotional_caption

AXES = ("valence", "arousal")
WORDS = (-3.0, -1.5, 1.5, 3.0)
"""Where on the axis the words of the prompt are."""
ASKED = 2.5
"""How far to the other side the values are."""
STRENGTHS = (1.0, 2.0)


def override(bench: Bench, network: Path, at_once: int = 8) -> str:
    """The table in Markdown: by the words' axis and place, what words alone and words against values look like."""
    fitted = load_network(network).to(bench.machine.device)
    lines = [
        "| words in the prompt | read, words alone | asked of the network | "
        + " | ".join(f"read at strength {strength:g} | on the asked side" for strength in STRENGTHS)
        + " |",
        "| --- | ---: | --- |" + " ---: |" * 2 * len(STRENGTHS),
    ]
    for axis, place in tqdm([(axis, place) for axis in range(2) for place in WORDS], unit="row"):
        words = np.where(np.arange(2) == axis, place, 0.0)
        asked = -np.sign(words) * ASKED
        alone = _read(bench, fitted, words, asked, 0.0, at_once)[:, axis]
        cells = [f"{AXES[axis]} {place:+g}", _mean(alone), f"{AXES[axis]} {asked[axis]:+g}"]
        for strength in STRENGTHS:
            against = _read(bench, fitted, words, asked, strength, at_once)[:, axis]
            side = np.mean(np.sign(against) == np.sign(asked[axis]))
            cells += [_mean(against), f"{100 * side:.0f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: np.ndarray) -> str:
    """The mean, and the deviation over scenes if there are several."""
    return f"{values.mean():+.2f}" + (f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else "")


@torch.no_grad()
def _read(
    bench: Bench,
    network: EmotionNetwork,
    words: np.ndarray,
    asked: np.ndarray,
    strength: float,
    at_once: int,
) -> np.ndarray:
    """Valence and arousal of every scene's picture, [P, 2]; at strength 0 of words alone."""
    captions = [
        emotional_caption(scene, *words, bench.wording(index)) for index, scene in enumerate(bench.scenes)
    ]
    found = []
    for start in range(0, len(captions), at_once):
        rows = range(start, min(start + at_once, len(captions)))
        features, pooled = bench.encode([captions[row] for row in rows])
        if strength:
            features = features + strength * (network(features, *_at(asked, len(rows), features)) - features)
        noise = torch.cat([bench.noise(row) for row in rows])
        found.append(bench.emotion_reader(bench.draw(features, pooled, noise)).cpu())
    return torch.cat(found).numpy()


def _at(asked: np.ndarray, count: int, like: Tensor) -> Tensor:
    """[2, count]: the same valence and arousal for all."""
    return torch.from_numpy(asked).to(like).repeat(count, 1).T
