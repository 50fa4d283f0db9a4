"""Pictures with human ratings: OASIS, EMOTIC, or your own list, with the folder the pictures are in.

They become one image table, ``images.jsonl``, with ``id, image, valence, arousal, source`` and perhaps
``caption``; ``image`` is a path inside the picture folder. Pairs of prompts are then written by a language model
that looks at the pictures (:mod:`trainer.data.write_prompts`), or made from the captions here.

Sources: OASIS, Kurdi, Lozano and Banaji (2017), ratings 1..7 of 900 pictures; EMOTIC, Kosti et al. (2017, 2019),
ratings 1..10 of the people in a picture, here averaged over those people.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from emoticrafter.fit.wording import KINDS, emotional_prompt, upper_first
from trainer.core.pictures import path_inside
from trainer.core.rows import DataError, Problems, Row, match_columns, parse_each, read_rows, text_value, write_jsonl
from trainer.data.pairs import SCALES, PairTable, Scale, assign_split

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
OASIS_COLUMNS = {"theme": "theme", "valence_mean": "valence", "arousal_mean": "arousal"}
TABLE_ALIASES = {name: name for name in ("id", "image", "valence", "arousal", "source", "caption")}


@dataclass
class RatedImage:
    """A picture and its rating.

    Attributes:
        id: A name that no other picture has.
        image: Path inside the picture folder, with forward slashes.
        valence, arousal: In [-3, 3].
        source: Where the rating is from.
        caption: The content without emotion; None if unknown.
    """

    id: str
    image: str
    valence: float
    arousal: float
    source: str
    caption: str | None = None


def save_images(images: list[RatedImage], path: Path) -> None:
    """Writes an image table as JSONL; an interrupted save leaves what was there."""
    write_jsonl(path, ({k: v for k, v in asdict(image).items() if v is not None} for image in images))


def load_images(
    path: Path, folder: Path | None = None, scale: Scale | None = None, skipped: list[str] | None = None
) -> list[RatedImage]:
    """Reads an image table: CSV or JSONL with ``image, valence, arousal`` and perhaps ``id, source, caption``.

    Args:
        path: The file.
        folder: The picture folder, if every picture should be there.
        scale: The scale of its ratings; [-3, 3] if not given.
        skipped: If given, bad rows are left out and described here instead of refused.

    Raises:
        DataError: everything that is wrong with it, with row and line numbers.
    """
    rows = read_rows(path)
    columns = match_columns(path, rows, ("image", "valence", "arousal"), TABLE_ALIASES)
    cells = [(row, {name: row.values.get(column) for name, column in columns.items()}) for row in rows]
    return _rated(Path(path), cells, scale or Scale(), folder, Path(path).stem, skipped)


def load_oasis(path: Path, folder: Path, skipped: list[str] | None = None) -> list[RatedImage]:
    """Reads OASIS.csv; a picture is named by its theme ("Acorns 1"), which also gives its caption ("Acorns").

    Args:
        path: OASIS.csv with the columns Theme, Valence_mean, Arousal_mean.
        folder: The folder with "Acorns 1.jpg" and the others, at any depth.
        skipped: If given, bad rows are left out and described here instead of refused.

    Raises:
        DataError: everything that is wrong with it, with row and line numbers.
    """
    rows = read_rows(path)
    columns = match_columns(path, rows, ("theme", "valence", "arousal"), OASIS_COLUMNS)
    files, cells = _pictures_by_stem(folder), []
    for row in rows:
        theme = str(row.values.get(columns["theme"]) or "").strip()
        cell = {
            "id": f"oasis-{theme}",
            "image": files.get(theme.lower(), f"{theme}.jpg"),
            "valence": row.values.get(columns["valence"]),
            "arousal": row.values.get(columns["arousal"]),
            "caption": upper_first(re.sub(r"\s*\d+$", "", theme)).strip(),
        }
        cells.append((row, cell))
    return _rated(Path(path), cells, Scale(*SCALES["oasis"]), folder, "oasis", skipped)


def load_emotic(path: Path, folder: Path, skipped: list[str] | None = None) -> list[RatedImage]:
    """Reads EMOTIC's Annotations.mat: the mean rating of the people in every picture.

    Args:
        path: The MATLAB file with the lists ``train``, ``val`` and ``test``.
        folder: The folder with ``mscoco/images`` and the others.
        skipped: If given, bad pictures are left out and described here instead of refused.

    Raises:
        DataError: not such a file, or pictures or ratings that are missing.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = Path(path)
    try:
        lists = loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=["train", "val", "test"])
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError, zlib.error) as error:
        raise DataError(f"{path}: not a MATLAB file that can be read ({error}). Expected Annotations.mat.") from error
    entries = [entry for name in ("train", "val", "test") for entry in np.atleast_1d(lists.get(name, []))]
    if not entries:
        raise DataError(f"{path}: expected EMOTIC's lists train, val and test, found none of them.")
    cells = []
    for number, entry in enumerate(entries, start=1):
        image = f"{getattr(entry, 'folder', '')}/{getattr(entry, 'filename', '')}"
        valence, arousal = _emotic_rating(entry)
        cell = {"id": f"emotic-{image}", "image": image, "valence": valence, "arousal": arousal}
        cells.append((Row(number, number, {}), cell))
    return _rated(path, cells, Scale(*SCALES["emotic"]), folder, "emotic", skipped)


def _emotic_rating(entry: Any) -> tuple[float, float]:
    """Mean valence and arousal over people, and over annotators where their mean is not given; NaN if none."""
    ratings = []
    for person in np.atleast_1d(getattr(entry, "person", [])):
        given = getattr(person, "combined_continuous", None) or getattr(person, "annotations_continuous", None)
        votes = [(getattr(v, "valence", None), getattr(v, "arousal", None)) for v in np.atleast_1d(given)]
        votes = [vote for vote in votes if all(isinstance(x, (int, float)) and math.isfinite(x) for x in vote)]
        if votes:
            ratings.append(np.mean(votes, axis=0))
    valence, arousal = np.mean(ratings, axis=0) if ratings else (math.nan, math.nan)
    return float(valence), float(arousal)


def _pictures_by_stem(folder: Path) -> dict[str, str]:
    """Lower-case file name without its ending -> path inside the folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such picture folder.")
    files = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS)
    return {path.stem.lower(): path.relative_to(folder).as_posix() for path in files}


def _rated(
    path: Path,
    cells: Iterable[tuple[Row, dict[str, Any]]],
    scale: Scale,
    folder: Path | None,
    source: str,
    skipped: list[str] | None,
) -> list[RatedImage]:
    """The pictures of a file's rows, given with their cells; `source` is theirs where no cell names another."""
    problems, images, twice = Problems(path), {}, []
    readers = {
        "id": text_value,
        "image": partial(_image, folder=folder),
        "valence": scale.to_valence,
        "arousal": scale.to_arousal,
    }
    for row, cell in cells:
        name = str(cell.get("id") or cell["image"])
        if values := parse_each(row, problems, readers, cell | {"id": name}):
            given = {"source": cell.get("source") or source, "caption": cell.get("caption") or None}
            twice += [f"id {values['id']!r} is taken more than once"] if values["id"] in images else []
            images[values["id"]] = RatedImage(**values, **given)
    problems.found += twice
    if skipped is None or not images:
        problems.refuse(problems.advice())
    else:
        skipped.extend(problems.found)
    return list(images.values())


def _image(value: Any, folder: Path | None) -> str:
    name = text_value(value)
    if folder is not None:
        path_inside(folder, name)
    return name


def caption_pairs(images: list[RatedImage], seed: int = 0, fraction: float = 0.01, people: bool = False) -> PairTable:
    """Pairs whose neutral prompt is the caption and whose emotional one adds words for the rating.

    Args:
        images: Rated pictures with captions.
        seed: Decides the wording and the split.
        fraction: The validation share.
        people: Whether gestures and faces may be added: only if every caption has somebody in it.

    Raises:
        DataError: pictures without a caption.
    """
    problems = [f"  {image.id}" for image in images if not image.caption]
    if problems:
        shown = "\n".join(problems[:20])
        raise DataError(
            f"{len(problems)} of {len(images)} pictures have no caption\n{shown}\n"
            "Add a caption column, or have the pairs written: python -m trainer.prepare write-prompts"
        )
    kinds = KINDS if people else tuple(kind for kind in KINDS if kind != "body")
    neutral = [upper_first(image.caption.rstrip(" .")) for image in images]
    emotional = [
        emotional_prompt(text, image.valence, image.arousal, Random(f"{seed}/{image.id}"), kinds)  # noqa: S311
        for text, image in zip(neutral, images, strict=True)
    ]
    return PairTable(
        neutral=neutral,
        emotional=emotional,
        valence=[image.valence for image in images],
        arousal=[image.arousal for image in images],
        source=[image.source for image in images],
        split=assign_split(neutral, fraction, seed),
        id=[image.id for image in images],
    )
