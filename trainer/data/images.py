"""Pictures with human ratings: OASIS, EMOTIC, or your own list, with the folder the pictures are in.

They become one image table, ``images.jsonl``, with ``id, image, valence, arousal, source`` and perhaps
``caption``; ``image`` is a path inside the picture folder. Pairs of prompts are then written by a language model
that looks at the pictures (:mod:`trainer.data.write_prompts`), or made from the captions here.

Sources: OASIS, Kurdi, Lozano and Banaji (2017), ratings 1..7 of 900 pictures; EMOTIC, Kosti et al. (2017, 2019),
ratings 1..10 of the people in a picture, here averaged over those people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from emoticrafter.fit.wording import KINDS, emotional_prompt, upper_first
from trainer.core.pictures import PictureFolder
from trainer.core.rows import (
    DataError,
    Problems,
    Row,
    match_columns,
    named_cells,
    parse_each,
    read_rows,
    text_value,
    write_jsonl,
)
from trainer.data.pairs import PairTable, assign_split
from trainer.data.scales import OURS, SCALES, Scale, expect_ours

OASIS_COLUMNS = {"theme": "theme", "valence_mean": "valence", "arousal_mean": "arousal"}
TABLE_ALIASES = {name: name for name in ("id", "image", "valence", "arousal", "source", "caption")} | {
    "image_path": "image",  # FindingEmo's own list
    "file_name": "image",  # Hugging Face's metadata.csv
}


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
    path: Path, folder: Path | None = None, scale: Scale | None = OURS, skipped: list[str] | None = None
) -> list[RatedImage]:
    """Reads an image table: CSV or JSONL with ``image, valence, arousal`` and perhaps ``id, source, caption``.

    Args:
        path: The file.
        folder: The picture folder, if every picture should be there; see `PictureFolder.find`.
        scale: The scale of its ratings; None if nobody said: [-3, 3], unless they look otherwise.
        skipped: If given, bad rows are left out and described here instead of refused.

    Raises:
        DataError: everything that is wrong with it, with row and line numbers.
    """
    rows = read_rows(path)
    columns = match_columns(path, rows, ("image", "valence", "arousal"), TABLE_ALIASES)
    cells = [(row, named_cells(row, columns)) for row in rows]
    scale = scale or expect_ours(path, *([cell[axis] for _, cell in cells] for axis in ("valence", "arousal")))
    find = PictureFolder(folder).find if folder else str
    return _rated(Path(path), cells, scale, find, Path(path).stem, skipped)


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
    cells = []
    for row in rows:
        cell = named_cells(row, columns)
        theme = str(cell.pop("theme") or "").strip()
        caption = upper_first(theme.rstrip("0123456789").strip())
        cells.append((row, cell | {"id": theme and f"oasis-{theme}", "image": theme, "caption": caption}))
    return _rated(Path(path), cells, Scale(*SCALES["oasis"]), PictureFolder(folder).find, "oasis", skipped)


def load_emotic(path: Path, folder: Path, skipped: list[str] | None = None) -> list[RatedImage]:
    """Reads EMOTIC's Annotations.mat: the mean rating of the people in every picture.

    Args:
        path: The MATLAB file with the lists ``train``, ``val`` and ``test``.
        folder: The folder with ``mscoco/images`` and the others.
        skipped: If given, bad pictures are left out and described here instead of refused.

    Raises:
        DataError: not such a file, or pictures or ratings that are missing.
    """
    lists, pictures = _matlab_lists(Path(path)), PictureFolder(folder)
    cells = []
    for name, entries in lists.items():
        for number, entry in enumerate(entries, start=1):
            parts = [getattr(entry, field, None) for field in ("folder", "filename")]
            image = "/".join(parts) if all(isinstance(part, str) and part for part in parts) else None
            valence, arousal = _emotic_rating(entry)
            cell = {"id": image and f"emotic-{image}", "image": image, "valence": valence, "arousal": arousal}
            cells.append((Row(len(cells) + 1, 0, {}, f"{name}({number})"), cell))
    return _rated(Path(path), cells, Scale(*SCALES["emotic"]), pictures.find, "emotic", skipped)


def _matlab_lists(path: Path) -> dict[str, np.ndarray]:
    """EMOTIC's three lists of structs, as far as the file has them."""
    from scipy.io import loadmat

    names = ("train", "val", "test")
    try:
        found = loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=names)
    except Exception as error:  # scipy raises many kinds for a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: not a MATLAB file that can be read ({reason}). Expected Annotations.mat.") from error
    lists = {name: np.atleast_1d(found[name]) for name in names if name in found}
    if not any(map(len, lists.values())):
        raise DataError(f"{path}: expected EMOTIC's lists train, val and test, found none of them.")
    return lists


def _emotic_rating(entry: Any) -> tuple[float | None, float | None]:
    """Mean valence and arousal over people, and over annotators where their mean is not given; None if nobody rated."""
    votes = [
        _votes(person, "combined_continuous") or _votes(person, "annotations_continuous")
        for person in np.atleast_1d(getattr(entry, "person", []))
    ]
    ratings = [np.mean(given, axis=0) for given in votes if given]
    return tuple(np.mean(ratings, axis=0).tolist()) if ratings else (None, None)


def _votes(person: Any, field: str) -> list[tuple[float, float]]:
    """Pairs of valence and arousal that are numbers."""
    given = np.atleast_1d(getattr(person, field, []))
    votes = [(getattr(vote, "valence", None), getattr(vote, "arousal", None)) for vote in given]
    return [vote for vote in votes if all(isinstance(x, Real) and math.isfinite(x) for x in vote)]


def _rated(
    path: Path,
    cells: Iterable[tuple[Row, dict[str, Any]]],
    scale: Scale,
    find: Callable[[str], str],
    source: str,
    skipped: list[str] | None,
) -> list[RatedImage]:
    """The pictures of a file's rows, given with their cells; `source` is theirs where no cell names another."""
    problems, images, rows = Problems(path), {}, {}
    readers = {"image": lambda value: find(text_value(value)), "valence": scale.to_valence, "arousal": scale.to_arousal}
    for row, cell in cells:
        if values := parse_each(row, problems, readers, cell):
            name = str(cell.get("id") or values["image"]).strip()
            if name in images:
                problems.add(row, f"id {name!r} is already taken by {rows[name].place}")
                continue
            given = {"source": cell.get("source") or source, "caption": cell.get("caption") or None}
            images[name], rows[name] = RatedImage(name, **values, **given), row
    if skipped is None or not images:
        known = f" {source.upper()} rates on {scale}: give other lists with --table and --scale."
        problems.refuse(problems.advice(known if source in SCALES else ""))
    else:
        skipped.extend(problems.found)
    return list(images.values())


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
