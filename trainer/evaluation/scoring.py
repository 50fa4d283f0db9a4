"""Runs every measure over the images of a manifest, chunk by chunk; what is known already is not measured again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emoticrafter.files import text_sha256
from trainer.core.pictures import PictureError, Pixels, decode_ahead, hash_files
from trainer.evaluation.kept import Kept, Key, keeping
from trainer.evaluation.manifest import Image

AT_ONCE = 32  # images that are measured together, about
LPIPS = ("alex", "vgg", "squeeze", "none")
"""Networks of LPIPS; named here, because command lines list them before a model library is loaded."""

READ, READ_AGAIN = ("valence", "arousal"), ("valence 2", "arousal 2")
"""Columns of the reader, and of a second one that checks it, where there is one."""

Levels = tuple[list[float], list[float]]
"""The valences and the arousals that were asked for, rising."""
Pair = tuple[int, int, int]
"""Rows of two images that are neighbours on the plane, and the axis: 0 for valence, 1 for arousal."""


@dataclass(frozen=True)
class Measure:
    """Numbers for each image.

    Attributes:
        by: Its name and the fingerprint of its weights; results are kept under it.
        columns: Names of the numbers.
        run: (B images, their prompts) to [B, columns], at once or row by row; NaN where there is no answer.
        reads_prompt: Whether the numbers depend on the prompt.
        failures: Why an image has no answer; `run` adds to it before it gives the image's row.
    """

    by: str
    columns: tuple[str, ...]
    run: Callable[[list[Pixels], list[str]], Iterable[np.ndarray]]
    reads_prompt: bool = False
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Distance:
    """How different two images of equal size look: `run` takes the images of B pairs and gives [B]."""

    by: str
    run: Callable[[list[Pixels], list[Pixels]], np.ndarray]


@dataclass(frozen=True)
class Measures:
    """All that is measured.

    Attributes:
        each: Measures of one image, with different columns.
        distance: Between neighbours along valence or arousal, or None.
        made_by: For the report: what measured each figure, such as "valence and arousal" -> "linear heads on ...".
    """

    each: list[Measure]
    distance: Distance | None = None
    made_by: dict[str, str] = field(default_factory=dict)


@dataclass
class Scores:
    """The measurements.

    Attributes:
        images: N images.
        columns: [N] for each column of each measure; NaN where there is no answer.
        pairs: [K, 2] rows of `images` that are neighbours on the plane.
        axis: [K], the axis along which they are neighbours, 0 for valence and 1 for arousal.
        distances: [K].
        problems: Which images could not be read or compared, and why.
    """

    images: list[Image]
    columns: dict[str, np.ndarray]
    pairs: np.ndarray
    axis: np.ndarray
    distances: np.ndarray
    problems: list[str]


def score_manifests(manifests: Sequence[Path], parts: Sequence[Sequence[Image]], measures: Measures) -> Scores:
    """Measures images of several manifests.

    Args:
        manifests: Their paths; measurements are kept beside each.
        parts: The images of each manifest that are wanted.
        measures: What to measure.

    Raises:
        DataError: Another run is measuring one of them, or nothing can be written there.
    """
    found, levels = [], levels_of(image for part in parts for image in part)
    for path, images in zip(manifests, parts, strict=True):
        with keeping(path) as kept:
            found.append(score(images, measures, kept, levels))
    return merge(found)


def score(images: Sequence[Image], measures: Measures, kept: Kept, levels: dict[str, Levels] | None = None) -> Scores:
    """Measures images of one manifest; an interruption loses only the chunk under way.

    Args:
        images: N images.
        measures: What to measure.
        kept: Knows earlier measurements and gets the new ones.
        levels: Of each method, see `levels_of`; by default those of `images`.
    """
    work = _Work(images, measures, kept)
    chunks = list(work.chunks(levels or levels_of(images)))
    missing = [work.missing(chunk) for chunk in chunks]
    paths = [[work.images[row].path for row in rows] for rows in missing]
    with tqdm(total=len(work.images), unit="image", mininterval=1) as bar:
        for chunk, rows, pictures in zip(chunks, missing, decode_ahead(paths), strict=True):
            if rows:
                work.measure(chunk, dict(zip(rows, pictures, strict=True)))
            bar.update(len(chunk.rows))
    return work.scores([pair for chunk in chunks for pair in chunk.pairs])


def subset(scores: Scores, rows: Sequence[int]) -> Scores:
    """The scores of some images, in the order of `rows`, with the pairs of which both images are among them."""
    places = np.full(len(scores.images), -1)
    places[rows] = np.arange(len(rows))
    pairs = places[scores.pairs]
    inside = (pairs >= 0).all(1)
    return Scores(
        [scores.images[row] for row in rows],
        {name: values[rows] for name, values in scores.columns.items()},
        pairs[inside],
        scores.axis[inside],
        scores.distances[inside],
        scores.problems,
    )


def merge(parts: Sequence[Scores]) -> Scores:
    """The scores of several manifests, measured alike, as one."""
    starts = np.cumsum([0, *(len(part.images) for part in parts[:-1])])
    return Scores(
        [image for part in parts for image in part.images],
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        np.concatenate([part.pairs + start for part, start in zip(parts, starts, strict=True)]),
        np.concatenate([part.axis for part in parts]),
        np.concatenate([part.distances for part in parts]),
        [problem for part in parts for problem in part.problems],
    )


# ---- neighbours on the plane -----------------------------------------------------------------------


def grouped(images: Sequence[Image]) -> list[list[int]]:
    """Rows of the images of one method, prompt and seed together: they may be neighbours on the plane."""
    groups: dict[tuple, list[int]] = {}
    for row, image in enumerate(images):
        groups.setdefault((image.method, image.prompt, image.seed), []).append(row)
    return list(groups.values())


def levels_of(images: Iterable[Image]) -> dict[str, Levels]:
    """What each method was asked for, over all of its prompts.

    By method, because the plain prompts' single point need not lie on the others' grid.
    """
    points: dict[str, set[tuple[float, float]]] = {}
    for image in images:
        points.setdefault(image.method, set()).add(_point(image))
    return {
        method: tuple(sorted(set(values)) for values in zip(*found, strict=True)) for method, found in points.items()
    }


def _point(image: Image) -> tuple[float, float]:
    return round(image.valence, 6), round(image.arousal, 6)


def neighbours(points: Sequence[tuple[float, float]], levels: Levels) -> list[Pair]:
    """(first, second, axis) of points one level apart along one axis and equal along the other.

    Where a point is missing, those around it are not neighbours: they are two levels apart and look less alike.
    """
    rows = {point: row for row, point in enumerate(points)}
    found = []
    for axis in (0, 1):
        following = dict(pairwise(levels[axis]))
        for point, row in rows.items():
            other = (following.get(point[0]), point[1]) if axis == 0 else (point[0], following.get(point[1]))
            if other in rows:
                found.append((row, rows[other], axis))
    return found


# ---- one manifest ----------------------------------------------------------------------------------


@dataclass
class _Chunk:
    """Whole groups of neighbours, about AT_ONCE images."""

    rows: list[int] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)


class _Work:
    """The images of one manifest that can be read, and what is known of them."""

    def __init__(self, images: Sequence[Image], measures: Measures, kept: Kept):
        self.measures, self.distance, self.kept = measures.each, measures.distance, kept
        hashes = hash_files([image.path for image in images])
        self.problems = [str(found) for found in hashes if isinstance(found, PictureError)]
        readable = [row for row, found in enumerate(hashes) if isinstance(found, str)]
        self.images = [images[row] for row in readable]
        self.hashes = [hashes[row] for row in readable]

    def chunks(self, levels: dict[str, Levels]) -> Iterator[_Chunk]:
        chunk = _Chunk()
        for rows in grouped(self.images):
            if chunk.rows and len(chunk.rows) + len(rows) > AT_ONCE:
                yield chunk
                chunk = _Chunk()
            chunk.rows += rows
            if self.distance:
                points = [_point(self.images[row]) for row in rows]
                found = neighbours(points, levels[self.images[rows[0]].method])
                chunk.pairs += [(rows[a], rows[b], axis) for a, b, axis in found]
        if chunk.rows:
            yield chunk

    def key(self, measure: Measure, row: int) -> Key:
        prompt = " " + text_sha256(self.images[row].prompt)[:16] if measure.reads_prompt else ""
        return measure.by, self.hashes[row] + prompt

    def pair_key(self, first: int, second: int) -> Key:
        return self.distance.by, " ".join(sorted((self.hashes[first], self.hashes[second])))

    def missing(self, chunk: _Chunk) -> list[int]:
        """The rows of a chunk of which anything is still unknown, in order."""
        alone = {row for row in chunk.rows if any(self.key(one, row) not in self.kept for one in self.measures)}
        paired = [pair[:2] for pair in chunk.pairs if self.pair_key(*pair[:2]) not in self.kept]
        return sorted(alone.union(*paired))

    def measure(self, chunk: _Chunk, pictures: dict[int, Pixels | PictureError]) -> None:
        """Measures what is missing of a chunk, and keeps it."""
        self.problems += [str(picture) for picture in pictures.values() if isinstance(picture, PictureError)]
        pictures = {row: pixels for row, pixels in pictures.items() if not isinstance(pixels, PictureError)}
        for measure in self.measures:
            rows = [row for row in pictures if self.key(measure, row) not in self.kept]
            if rows:
                prompts = [self.images[row].prompt for row in rows]
                found = measure.run([pictures[row] for row in rows], prompts)
                for row, values in zip(rows, found, strict=True):
                    self.kept.add({self.key(measure, row): values.tolist()})
                    self.problems += [f"{self.images[row].path} was {why}" for why in measure.failures]
                    measure.failures.clear()
        self._measure_distances(chunk, pictures)

    def _measure_distances(self, chunk: _Chunk, pictures: dict[int, Pixels]) -> None:
        pairs = [
            (first, second)
            for first, second, _ in chunk.pairs
            if {first, second} <= pictures.keys() and self.pair_key(first, second) not in self.kept
        ]
        fitting = [(a, b) for a, b in pairs if pictures[a].shape == pictures[b].shape]
        for a, b in sorted(set(pairs) - set(fitting)):
            sizes = " and ".join("x".join(map(str, pictures[row].shape[1::-1])) for row in (a, b))
            names = f"{self.images[a].path} and {self.images[b].path}"
            self.problems.append(f"{names} have different sizes ({sizes}): no distance between them")
        if fitting:
            first, second = zip(*fitting, strict=True)
            values = self.distance.run([pictures[row] for row in first], [pictures[row] for row in second])
            keys = [self.pair_key(a, b) for a, b in fitting]
            self.kept.add({key: [float(value)] for key, value in zip(keys, values, strict=True)})

    def scores(self, pairs: list[Pair]) -> Scores:
        columns = {}
        for measure in self.measures:
            nothing = [np.nan] * len(measure.columns)
            values = [self.kept.get(self.key(measure, row), nothing) for row in range(len(self.images))]
            table = np.array(values, np.float64).reshape(-1, len(nothing))
            columns |= dict(zip(measure.columns, table.T, strict=True))
        distances = [self.kept.get(self.pair_key(a, b), [np.nan])[0] for a, b, _ in pairs]
        table = np.array(pairs, int).reshape(-1, 3)
        return Scores(self.images, columns, table[:, :2], table[:, 2], np.array(distances, np.float64), self.problems)
