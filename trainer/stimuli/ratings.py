"""What people said of the pictures: the answers of a study page, and tables of ratings from anywhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.rows import DataError, Problems, match_columns, named_cells, read_rows
from trainer.data.scales import Scale
from trainer.study.answers import read_answers
from trainer.study.key import load_key

COLUMNS = {
    "picture": "picture",
    "id": "picture",
    "image": "picture",
    "stimulus": "picture",
    "valence": "valence",
    "pleasure": "valence",
    "arousal": "arousal",
    "rater": "rater",
    "participant": "rater",
    "subject": "rater",
}
GAPS = ("", "na", "n/a", "nan", "null", "none", "-", "–", ".")
"""What tables have where there is no answer."""


@dataclass(frozen=True)
class Rating:
    """What one rater said of one picture, in [-3, 3]; None where there is no answer."""

    rater: str
    picture: str
    valence: float | None
    arousal: float | None


def read_ratings(path: Path, scale: Scale, notes: list[str]) -> list[Rating]:
    """Reads a table with the columns picture (or id), valence and arousal, and perhaps rater.

    Args:
        path: CSV, JSON Lines or JSON, such as the jsPsych page and the PsychoPy script save it. Without a column
            "rater" the file is one rater's, and its name is the rater's.
        scale: That the ratings are on.
        notes: Gets a line that counts the gaps.

    Raises:
        DataError: Every line that cannot be used, and why.
    """
    rows, problems = read_rows(path), Problems(path)
    columns = match_columns(path, rows, ("picture", "valence", "arousal"), COLUMNS)
    found, gaps = [], 0
    for row in rows:
        cells = named_cells(row, columns)
        if _is_gap(cells["picture"]):  # a line of the experiment that shows no picture
            gaps += 1
            continue
        try:
            values = [_value(cells, *axis) for axis in (("valence", scale.to_valence), ("arousal", scale.to_arousal))]
        except ValueError as error:
            problems.add(row, str(error))
            continue
        gaps += values.count(None) > 0
        rater = path.stem if _is_gap(cells.get("rater")) else str(cells["rater"]).strip()
        found.append(Rating(rater, str(cells["picture"]).strip(), *values))
    problems.refuse(
        f"Expected ratings on the scale {scale}, a gap left empty. If they are on another scale, say which: "
        "--scale=1..7, or a name such as --scale=oasis."
    )
    if gaps:
        notes.append(f"{path}: {gaps:,} of {len(rows):,} lines have gaps; the rest of them counts")
    return found


def _is_gap(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in GAPS)


def _value(cells: Mapping[str, Any], name: str, read: Callable[[Any], float]) -> float | None:
    if _is_gap(cells[name]):
        return None
    try:
        return read(cells[name])
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error


def read_study(answers: Path, key: Path, notes: list[str]) -> list[Rating]:
    """The estimates in the files that a study page's participants sent, by the pictures' ids.

    Raises:
        DataError: The key or the folder cannot be used.
    """
    study = load_key(key)
    found = read_answers(answers, study)
    notes += found.notes
    if found.simulated:
        notes.append(f"{answers}: the answers are simulated, not people's")
    return [
        Rating(f"{person.number} {person.session}", study.pictures[task.images[0]].id, *answer)
        for person in found.people
        for task, answer in person.given
        if task.kind == "estimate"
    ]


# ---- norms -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Norm:
    """Mean, standard deviation (of a sample) and number of ratings; None where there are too few for it."""

    mean: float | None = None
    sd: float | None = None
    n: int = 0

    @classmethod
    def of(cls, values: Iterable[float]) -> "Norm":
        values = np.array(list(values), dtype=float)
        if not len(values):
            return cls()
        return cls(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, len(values))


def norms_of(ratings: Iterable[Rating]) -> dict[str, tuple[Norm, Norm]]:
    """Picture -> norms of valence and arousal in [-3, 3]; who rates a picture twice counts once, with the mean."""
    found: dict[str, tuple[dict, dict]] = {}
    for rating in ratings:
        axes = found.setdefault(rating.picture, ({}, {}))
        for axis, value in zip(axes, (rating.valence, rating.arousal), strict=True):
            if value is not None:
                axis.setdefault(rating.rater, []).append(value)
    return {
        picture: tuple(Norm.of(np.mean(values) for values in axis.values()) for axis in axes)
        for picture, axes in found.items()
    }


def by_id(ratings: Sequence[Rating], names: Mapping[str, str], notes: list[str]) -> list[Rating]:
    """Ratings with the pictures' ids; those of other pictures are left out, and counted in a note.

    Args:
        ratings: Of pictures by their id, or by the name that exports give them.
        names: Name in exports -> id.
        notes: Gets a line.

    Raises:
        DataError: All are of other pictures.
    """
    ids = set(names.values())
    found, others = [], []
    for rating in ratings:
        name = Path(rating.picture).stem if rating.picture not in ids else rating.picture
        picture = names.get(name, name)
        if picture in ids:
            found.append(Rating(rating.rater, picture, rating.valence, rating.arousal))
        else:
            others.append(rating.picture)
    if ratings and not found:
        raise DataError(
            f"None of the {len(ratings):,} ratings is of a picture of this set: the first is of {others[0]!r:.80}. "
            "Expected the ids of the manifest, or the names that the exports gave the pictures."
        )
    if others:
        notes.append(f"{len(others):,} ratings are of other pictures, such as {others[0]!r:.80}; they are left out")
    return found
