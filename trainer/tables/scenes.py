"""Field against network where a mood looks different from scene to scene, which a mean cannot know.

In the miniature's own captions a mood uses all the means of a picture at once, in every scene, which flatters a mean.
Here it shows in the scene's own way alone (`world.captions.scene_caption`): by what a creature does, by weather over
open land, by light and motion on things. Both fits learn from such pairs and draw held-out prompts. What counts is how
near their pictures come to those that the words themselves give from the same noise.
"""

from pathlib import Path

import numpy as np

from trainer.core import markdown
from trainer.core.device import Machine, find_device
from trainer.core.pictures import decode
from trainer.evaluation.scoring import Measures, Scores
from trainer.miniature.emotion import fit_correction, fit_field, text_encoder, training_pairs
from trainer.miniature.held_out import emotional_captions, fitted_path
from trainer.miniature.recipe import Recipe
from trainer.miniature.scores import miniature_measures
from trainer.painters.plan import PLAIN, words_of
from trainer.tables.miniature import POINTS, MeasureSettings, draw_and_score, figures, of_method
from trainer.world.captions import scene_caption

WORDS, OTHER = "the words", "the words of another point"
COLUMNS = {"from the words": "from words", "V slope": "valence slope", "A slope": "arousal slope"}
COLUMNS |= {"V-Error": "valence error", "A-Error": "arousal error", "subject": "subject right"}


def compare(settings: MeasureSettings, recipe: Recipe, machine: Machine, count: int, steps: int) -> str:
    """Fits both to pairs of such captions, draws and reads what is missing.

    Args:
        settings: What is drawn.
        recipe: Of the run, for the pairs.
        machine: To fit on.
        count: Pairs to learn from.
        steps: Of the network's fit.

    Returns:
        The table with how it was made, as Markdown. "from the words" is the mean distance between a picture and that
        of the words at the same prompt, point and noise; the row of another point is its null.
    """
    encoder, pairs = text_encoder(recipe, settings.run), training_pairs(recipe, count, scene_caption)
    field, network = (fitted_path(settings.run, f"scenes-{name}-{count}") for name in ("instant", "network"))
    fit_field(encoder, pairs, field)
    fit_correction(encoder, pairs, network, machine, steps)
    jobs = {
        "instant": settings.job("scenes-instant", POINTS, field),
        "network": settings.job("scenes-network", POINTS, network),
        WORDS: settings.job("scenes-words", POINTS, words=words_of(emotional_captions(POINTS, scene_caption))),
        "plain prompts": settings.job("plain", PLAIN),
    }
    measures = miniature_measures(settings.run, find_device(settings.device))
    scores = draw_and_score(settings, list(jobs.values()), measures)
    taken = {name: of_method(scores, job.method) for name, job in jobs.items()}
    rows = {name: figures(of) for name, of in taken.items()}
    rows[OTHER] = {}
    for name, found in rows.items():
        if name != WORDS:
            images = _shifted(taken[WORDS]) if name == OTHER else _by_place(taken[name])
            found["from words"] = _distance(measures, images, _by_place(taken[WORDS]))
    lines = [[name, *(_cell(key, found.get(key)) for key in COLUMNS.values())] for name, found in rows.items()]
    head = f"{settings.prompts} held-out scenes, 25 points, 1 seed, {count:,} pairs; {settings.how()}"
    return f"{head}\n\n{markdown.table(['', *COLUMNS], lines)}"


Place = tuple[str, int, float, float]
"""Prompt, seed, valence, arousal."""


def _by_place(scores: Scores) -> dict[Place, Path]:
    """The files by prompt, seed and point; one that was drawn for all points is there at each."""
    alone = len({(image.valence, image.arousal) for image in scores.images}) == 1
    found = {}
    for image in scores.images:
        for valence, arousal in POINTS if alone else [(image.valence, image.arousal)]:
            found[image.prompt, image.seed, valence, arousal] = image.path
    return found


def _shifted(scores: Scores) -> dict[Place, Path]:
    """The files of the point half a grid away, on both axes."""
    levels = sorted({point[0] for point in POINTS})
    other = {level: levels[(number + len(levels) // 2) % len(levels)] for number, level in enumerate(levels)}
    files = _by_place(scores)
    return {(prompt, seed, v, a): files[prompt, seed, other[v], other[a]] for prompt, seed, v, a in files}


def _distance(measures: Measures, files: dict[Place, Path], others: dict[Place, Path]) -> float:
    pairs = [(decode(files[place]), decode(other)) for place, other in others.items()]
    return float(np.mean(measures.distance.run(*map(list, zip(*pairs, strict=True)))))


def _cell(key: str, value: float | None) -> str:
    if value is None or np.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if key == "subject right" else f"{value:.2f}"
