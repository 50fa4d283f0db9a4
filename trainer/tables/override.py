"""Whether valence and arousal override words of feeling in the prompt, one of the paper's abilities.

A held-out scene is drawn from its emotional caption at a point of one axis, and again with the opposite value asked of
the emotion network, at strength 1 and at 2. The reader tells what the words made of the picture and what was left of
them.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainer.core import markdown
from trainer.core.device import find_device
from trainer.evaluation.measures import read_by
from trainer.evaluation.readers import load_va_reader
from trainer.evaluation.readings import write_readings
from trainer.evaluation.scoring import Scores
from trainer.miniature.held_out import emotional_captions
from trainer.miniature.scores import find_readers
from trainer.painters.draw import Job
from trainer.painters.plan import Point, words_of
from trainer.tables.miniature import AXES, MeasureSettings, draw_and_score

WORDS = (-3.0, -1.5, 1.5, 3.0)
"""Where on the axis the words of the prompt are."""
ASKED = 2.5
"""How far to the other side the values are."""
STRENGTHS = (1.0, 2.0)


def override(settings: MeasureSettings, network: Path) -> str:
    """The table as Markdown, with how it was made: a row for each axis and place of the words.

    Raises:
        DataError: The network or a part of the run cannot be used.
    """
    places = _on_both_axes(WORDS)
    alone = settings.job("captions", places, words=words_of(emotional_captions(places)))
    against = {
        (strength, size): _against(settings, network, strength, size)
        for strength in STRENGTHS
        for size in sorted({abs(place) for place in WORDS})
    }
    reader = load_va_reader(find_readers(settings.run)[0], device=find_device(settings.device))
    scores = draw_and_score(settings, [alone, *against.values()], read_by(reader))
    write_readings(settings.folder / "override.csv", scores)
    rows = [_row(scores, alone, against, place) for place in places]
    head = ["words in the prompt", "read, words alone", "asked of the network"]
    for strength in STRENGTHS:
        head += [f"read at strength {strength:g}", "on the asked side"]
    table = markdown.table(head, rows, "lrl" + "rr" * len(STRENGTHS))
    scenes = f"{settings.prompts} held-out scenes, {settings.seeds} seed{'s' * (settings.seeds > 1)}"
    return f"{scenes}; {settings.how()}\n\n{table}"


def _row(scores: Scores, alone: Job, against: dict[tuple[float, float], Job], place: Point) -> list[str]:
    axis = int(not place[0])
    asked, size = _opposite(place), abs(place[axis])
    words = _read(scores, alone, place, axis)
    cells = [f"{AXES[axis]} {place[axis]:+g}", _mean(words), f"{AXES[axis]} {asked[axis]:+g}"]
    for strength in STRENGTHS:
        read = _read(scores, against[strength, size], asked, axis)
        cells += [_mean(read), f"{100 * np.mean(np.sign(read) == np.sign(asked[axis])):.0f} %"]
    return cells


def _on_both_axes(values: Sequence[float]) -> list[Point]:
    return [(value, 0.0) for value in values] + [(0.0, value) for value in values]


def _opposite(place: Point) -> Point:
    """What is asked of the network where the words are at this place."""
    valence, arousal = (-math.copysign(ASKED, value) if value else 0.0 for value in place)
    return valence, arousal


def _against(settings: MeasureSettings, network: Path, strength: float, size: float) -> Job:
    """Words at `size` on both sides of both axes, each with the opposite value."""
    places = _on_both_axes((-size, size))
    rows = emotional_captions(places)
    words = {(row["prompt"], *_opposite((row["valence"], row["arousal"]))): row["rewritten"] for row in rows}
    method = f"override-{strength:g}-{size:g}".replace(".", "_")
    return settings.job(method, [_opposite(place) for place in places], network, words, strength)


def _read(scores: Scores, job: Job, point: Point, axis: int) -> np.ndarray:
    """[P], one axis of what is read off the pictures of a job at a point."""
    rows = [
        row
        for row, image in enumerate(scores.images)
        if image.method == job.method and (image.valence, image.arousal) == point
    ]
    return scores.columns[AXES[axis]][rows]


def _mean(values: np.ndarray) -> str:
    """The mean, and the deviation over scenes if there are several."""
    return f"{values.mean():+.2f}" + (f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else "")
