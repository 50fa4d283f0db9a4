"""Whether the search for the range finds with few pictures what it finds with all of a grid, and what the range keeps.

Held-out prompts are drawn at every half step of the eight rays. The search sees some of these pictures, the answer of
the grid all of them. What the range keeps is told by the content reader, which the search never asks.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emoticrafter.range import DIRECTIONS, MOST, STEP, WHY, Limit, search_range
from emoticrafter.va import VA_MAX, Point, rounded
from trainer.core import markdown
from trainer.core.device import find_device
from trainer.core.pictures import Pixels, decode
from trainer.evaluation.manifest import Image
from trainer.evaluation.scoring import Scores
from trainer.miniature.scores import miniature_measures
from trainer.painters.plan import PLAIN
from trainer.tables.miniature import MeasureSettings, draw_and_score, of_method

FEW = (2, 3, 4)
"""Pictures on a ray."""
REACHES = [STEP * number for number in range(1, MOST + 1)]
POINTS = tuple(
    tuple(rounded(*(reach * value for value in direction))) for direction in DIRECTIONS.values() for reach in REACHES
)


def measure_range(settings: MeasureSettings, network: Path, strength: float) -> str:
    """Draws and reads what is missing.

    Args:
        settings: What is drawn; of one seed.
        network: The emotion network.
        strength: Of the emotion.

    Returns:
        Two tables as Markdown, with how they were made.

    Raises:
        DataError: The network or a part of the run cannot be used.
    """
    plain = settings.job("plain", PLAIN)
    method = f"range-{strength:g}".replace(".", "_")
    rays = settings.job(method, POINTS, network, strength=strength)
    scores = draw_and_score(settings, [plain, rays], miniature_measures(settings.run, find_device(settings.device)))
    neutral = {image.prompt: image.path for image in of_method(scores, plain.method).images}
    scores = of_method(scores, rays.method)
    drawn = [_pictures(scores.images, prompt, path) for prompt, path in neutral.items()]
    found = {count: [limits(pictures, count) for pictures in drawn] for count in (*FEW, MOST)}
    ends = Counter(limit.why for of_prompt in found[MOST] for limit in of_prompt)
    told = ", ".join(f"{count} {WHY[why]}" for why, count in ends.most_common())
    head = (
        f"{settings.prompts} held-out prompts, {len(DIRECTIONS)} rays, {MOST} pictures on each, 1 seed, strength "
        f"{strength:g}; {settings.how()} How the rays go by all pictures: {told}."
    )
    reaches = {count: _reaches(of_count) for count, of_count in found.items()}
    kept = _kept(scores, dict(zip(neutral, reaches[FEW[1]], strict=True)))
    return "\n\n".join([head, _agreement(reaches), kept])


Pictures = dict[tuple[float, float], Pixels]
"""Of a prompt, by point."""


def _pictures(images: Sequence[Image], prompt: str, neutral: Path) -> Pictures:
    drawn = {(image.valence, image.arousal): image.path for image in images if image.prompt == prompt}
    return {point: decode(path) for point, path in ({(0.0, 0.0): neutral} | drawn).items()}


def limits(pictures: Pictures, count: int) -> list[Limit]:
    """What the search finds on the rays with so many pictures on each, of those that are drawn."""

    def draw(points: Sequence[Point]) -> Tensor:
        return torch.from_numpy(np.stack([pictures[tuple(point)] for point in points])) / 255

    return [ray.limit() for ray in search_range(draw, count)]


def _reaches(found: list[list[Limit]]) -> np.ndarray:
    """[P, 8], prompts by rays."""
    return np.array([[limit.reach for limit in of_prompt] for of_prompt in found])


# ---- the tables ------------------------------------------------------------------------------------


def _agreement(reaches: dict[int, np.ndarray]) -> str:
    wanted = reaches[MOST]
    others = (wanted.sum(0) - wanted) / max(len(wanted) - 1, 1)
    rows = {f"{count} pictures a ray": reaches[count] for count in FEW}
    rows |= {"null: the other prompts' mean on the ray": others, "null: another prompt's": np.roll(wanted, 1, axis=0)}
    inside = wanted < VA_MAX
    lines = []
    for name, got in rows.items():
        off = np.abs(got - wanted)
        near = off <= STEP
        lines.append([name, _share(near), _share(near[inside]), _share(near.all(1)), f"{off.mean():.2f}"])
    head = ["", "rays within a step", "of those that end before the edge", "prompts with all rays within", "mean error"]
    return markdown.table(head, lines)


def _kept(scores: Scores, reaches: dict[str, np.ndarray]) -> str:
    """Whether the subject is read in pictures within the range and beyond it, and by the range of another prompt."""
    right = scores.columns["content"]
    names = list(reaches)
    another = dict(zip(names, np.roll(list(reaches.values()), 1, axis=0), strict=True))
    lines = []
    for name, ranges in {f"{FEW[1]} pictures a ray": reaches, "null: another prompt's range": another}.items():
        within = np.array([_is_within(image, ranges[image.prompt]) for image in scores.images])
        counts = [f"{mask.sum():,}" for mask in (within, ~within)]
        shares = [_share(right[mask]) for mask in (within, ~within)]
        lines.append([name, counts[0], shares[0], counts[1], shares[1]])
    head = ["", "pictures within", "subject right", "pictures beyond", "subject right"]
    return markdown.table(head, lines)


def _is_within(image: Image, reaches: np.ndarray) -> bool:
    ray = [tuple(direction) for direction in DIRECTIONS.values()].index(
        (np.sign(image.valence), np.sign(image.arousal))
    )
    return max(abs(image.valence), abs(image.arousal)) <= reaches[ray]


def _share(of: np.ndarray) -> str:
    return f"{100 * np.nanmean(of):.1f} %" if np.size(of) else "–"
