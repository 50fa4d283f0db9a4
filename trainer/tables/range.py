"""Whether the search for the range finds with few pictures what it finds with all of a grid, and what the range keeps.

Held-out prompts are drawn at every half step of the eight rays. The search sees some of these pictures, the answer of
the grid all of them. It compares colours and edges, or what the miniature's readers see. What the range keeps is told
by the content reader, for pictures that the search has not drawn: by colours and edges it never asks that reader.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emoticrafter.range import DIRECTIONS, MOST, STEP, WHY, Look, Ray, Sketch, read_sketch, search_range, sketch
from emoticrafter.research.readers import load_content_reader, load_emotion_reader, read_pictures, read_subjects
from emoticrafter.va import VA_MAX, Point, rounded
from trainer.core import markdown
from trainer.core.device import find_device
from trainer.core.pictures import Pixels, decode
from trainer.evaluation.manifest import Image
from trainer.evaluation.scoring import Scores
from trainer.miniature.scores import find_readers, miniature_measures
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
        Tables as Markdown, with how they were made.

    Raises:
        DataError: The network or a part of the run cannot be used.
    """
    plain = settings.job("plain", PLAIN)
    method = f"range-{strength:g}".replace(".", "_")
    rays = settings.job(method, POINTS, network, strength=strength)
    scores = draw_and_score(settings, [plain, rays], miniature_measures(settings.run, find_device(settings.device)))
    neutral = {image.prompt: image.path for image in of_method(scores, plain.method).images}
    scores = of_method(scores, rays.method)
    drawn = {prompt: _pictures(scores.images, prompt, path) for prompt, path in neutral.items()}
    head = (
        f"{settings.prompts} held-out prompts, {len(DIRECTIONS)} rays, {MOST} pictures on each, 1 seed, strength "
        f"{strength:g}; {settings.how()}"
    )
    looks = {"colours and edges": sketch, "the miniature's readers": readers_look(*find_readers(settings.run))}
    tables, kept = [head], []
    for name, look in looks.items():
        found = {
            count: {prompt: search(pictures, count, look) for prompt, pictures in drawn.items()}
            for count in (*FEW, MOST)
        }
        tables += [f"By {name}: {_ends(found[MOST])}", _agreement({count: _reaches(of) for count, of in found.items()})]
        kept += _kept(scores, found[FEW[1]], name)
    head = ["", "pictures within", "subject right", "pictures beyond", "subject right"]
    return "\n\n".join([*tables, markdown.table(head, kept)])


def readers_look(emotion: Path, content: Path) -> Look:
    """What the miniature's two readers see of pictures, as Emotion Range asks them."""
    readings, subjects = load_emotion_reader(emotion), load_content_reader(content)

    def look(images: Tensor) -> Sketch:
        return read_sketch(images, read_pictures(readings, images), read_subjects(subjects, images))

    return look


Pictures = dict[tuple[float, float], Pixels]
"""Of a prompt, by point."""


def _pictures(images: Sequence[Image], prompt: str, neutral: Path) -> Pictures:
    drawn = {(image.valence, image.arousal): image.path for image in images if image.prompt == prompt}
    return {point: decode(path) for point, path in ({(0.0, 0.0): neutral} | drawn).items()}


def search(pictures: Pictures, count: int, look: Look = sketch) -> list[Ray]:
    """What the search finds on the rays with so many pictures on each, of those that are drawn."""

    def draw(points: Sequence[Point]) -> Tensor:
        return torch.from_numpy(np.stack([pictures[tuple(point)] for point in points])) / 255

    return search_range(draw, count, look=look)


Found = dict[str, list[Ray]]
"""What the search finds, by prompt."""


def _reaches(found: Found) -> np.ndarray:
    """[P, 8], prompts by rays."""
    return np.array([[ray.limit().reach for ray in rays] for rays in found.values()])


# ---- the tables ------------------------------------------------------------------------------------


def _ends(found: Found) -> str:
    """How the rays go by all pictures."""
    ends = Counter(ray.limit().why for rays in found.values() for ray in rays)
    return ", ".join(f"{count} {WHY[why]}" for why, count in ends.most_common()) + "."


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


def _kept(scores: Scores, found: Found, name: str) -> list[list[str]]:
    """Whether the subject is read in pictures within the range and beyond it, and by the range of another prompt."""
    unseen = np.array([not _is_drawn(image, found[image.prompt]) for image in scores.images])
    right, reaches = scores.columns["content"], _reaches(found)
    lines = []
    for title, ranges in {f"by {name}": reaches, "null: another prompt's": np.roll(reaches, 1, axis=0)}.items():
        of_prompt = dict(zip(found, ranges, strict=True))
        within = np.array([_reach(image) <= of_prompt[image.prompt][_ray(image)] for image in scores.images])
        masks = (unseen & within, unseen & ~within)
        lines.append([title, *(cell for mask in masks for cell in (f"{mask.sum():,}", _share(right[mask])))])
    return lines


def _is_drawn(image: Image, rays: list[Ray]) -> bool:
    return _reach(image) in rays[_ray(image)].reaches


def _ray(image: Image) -> int:
    """The number of the ray that a picture is on."""
    return [tuple(ray) for ray in DIRECTIONS.values()].index((np.sign(image.valence), np.sign(image.arousal)))


def _reach(image: Image) -> float:
    return max(abs(image.valence), abs(image.arousal))


def _share(of: np.ndarray) -> str:
    return f"{100 * np.nanmean(of):.1f} %" if np.size(of) else "–"
