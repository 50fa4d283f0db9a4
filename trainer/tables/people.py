"""Table 3: what people say, or, where none were asked, simulated participants who see what the readers read."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core import markdown
from trainer.core.rows import DataError
from trainer.evaluation.manifest import Image, write_manifest
from trainer.evaluation.scoring import Scores
from trainer.study.analyse import analyse
from trainer.study.answers import read_answers
from trainer.study.key import Key, load_key
from trainer.study.make import StudySettings, make_study
from trainer.study.plan import Amounts
from trainer.study.rehearsal import rehearse
from trainer.study.report import PUBLISHED, comparisons_table, methods_table
from trainer.tables.rows import OURS, PICTURES, REWRITING
from trainer.tables.sources import Drawing

SETTINGS = StudySettings(amounts=Amounts(consistency=0, smoothness=0))
"""Of the simulated study: a reader can order and estimate; ratings would be made up."""
CONTENTS = 2 * max(SETTINGS.amounts.order, SETTINGS.amounts.estimate)
"""Prompts and seeds that the study takes: nobody meets one twice in a part, by either method."""
NOISE = 0.8
SIMULATED = (
    "**No people were asked.** {people} simulated participants ordered and estimated pictures of {methods}; what they "
    "see of a picture is the evaluation's reading of it with normal noise of deviation {noise:g} on both axes. They "
    "say what a reader can tell apart, and nothing about people. Ratings of consistency and smoothness cannot be "
    "simulated and are left out. Study {study}."
)
ASKED = "{people} people, {complete} of them with every task answered. Study {study}."
METHODS = (
    "Means over participants [95 % bootstrap interval], n participants. Ranking: Kendall's tau of their order of five "
    "pictures with the asked one; errors: between asked and estimated values; always 0: the error of estimates that "
    "are always 0 over the same pictures."
)
COMPARISONS = (
    "Differences within participants, first minus second: of n participants, so many differ. Shapiro-Wilk p of the "
    "differences; of those who differ, Wilcoxon's signed-rank W and two-sided p, p after Holm's correction over all "
    "tests of this table, and the matched-pairs rank-biserial r (above 0: the first has larger values)."
)


def of_people(answers: Path, key: Path) -> dict[str, Any]:
    """The analysis of a study that was held.

    Raises:
        DataError: The key or the answers cannot be used.
    """
    study = load_key(key)
    return analyse(read_answers(answers, study), study)


def too_few(prompts: int | None, seeds: int) -> str | None:
    """Why a study cannot be simulated with so many prompts (None for all), before anything is drawn."""
    if prompts is None or prompts * seeds >= CONTENTS:
        return None
    return (
        f"table 3 needs {CONTENTS} prompts or seeds of them, because nobody meets one twice: --prompts {prompts} with "
        f"--seeds {seeds} is {prompts * seeds}. Give --prompts {-(-CONTENTS // seeds)} or more."
    )


def simulated(out: Path, scores: Scores, drawings: Sequence[Drawing]) -> dict:
    """Makes a study of ours and rewriting, has simulated participants answer, and analyses that.

    Args:
        out: The tables' folder; gets study-<fingerprint>/ and the answers.
        scores: The measured pictures.
        drawings: Of table 3; of our networks the first is shown.

    Raises:
        DataError: There are too few pictures for a study.
    """
    rows = {drawing.row for drawing in drawings}
    shown_as = {PICTURES if PICTURES in rows else OURS: OURS, REWRITING: REWRITING}
    firsts = {d.method: shown_as[d.row] for d in drawings if d.seed == 0 and d.row in shown_as}
    chosen = [replace(image, method=firsts[image.method]) for image in scores.images if image.method in firsts]
    if {image.method for image in chosen} != {OURS, REWRITING}:
        raise DataError(f"Table 3 compares {OURS} and {REWRITING}, but one of them has no pictures.")
    key, folder = _study(out, chosen)
    read = np.stack([scores.columns["valence"], scores.columns["arousal"]], axis=1)
    readings = {image.id: read[row] for row, image in enumerate(scores.images)}
    answers = folder / "simulated answers"
    rehearse(key, answers, len(key.participants), noise=NOISE, see=lambda picture: readings[picture.id])
    return analyse(read_answers(answers, key), key)


def _study(out: Path, images: Sequence[Image]) -> tuple[Key, Path]:
    """The study of these very pictures, made if it does not exist."""
    digest = hashlib.sha256()
    for image in sorted(images, key=lambda image: image.id):
        digest.update(f"{image.id} {image.method} ".encode() + image.path.read_bytes())
    folder = out / f"study-{digest.hexdigest()[:8]}"
    if not (folder / "key.json").is_file():
        manifest = images[0].path.parents[2] / "study.jsonl"
        write_manifest(manifest, images)
        make_study(manifest, folder, SETTINGS)
    return load_key(folder / "key.json"), folder


def shown(found: dict[str, Any], command: str) -> str:
    """A document's section, without the published values."""
    methods = list(next(iter(found["measures"].values()))["methods"])
    how = SIMULATED if found["simulated"] else ASKED
    head, rows = methods_table(found)
    answered = [
        row[: -len(PUBLISHED)] for row in rows if any(cell != "no answers" for cell in row[1 : -len(PUBLISHED) - 1])
    ]
    parts = [how.format(**found, methods=" and ".join(methods), noise=NOISE), METHODS]
    tests, every = comparisons_table(found)
    tested = [row for row, each in zip(every, found["comparisons"], strict=True) if each["people"]]
    parts += [markdown.table(head[: -len(PUBLISHED)], answered), COMPARISONS, markdown.table(tests, tested)]
    return "\n\n".join([*parts, *found["notes"], f"Made by `{command}`."])
