"""From scores to the table: figures of every prompt and method, their spread, the controls and the tests.

The table's rows are the methods; "always 0", which reads the middle of the plane in every image; the method that got
the plain prompts, without emotion; and every method with its labels shuffled, and negated. A figure that does not beat
these controls shows no control over emotion, whatever its value. Figures are computed for each prompt; the table has
their means over prompts. Where a second reader read the images, too, its errors and slopes stand beside the first's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np

from emoticrafter.files import text_sha256
from trainer.core.rows import DataError
from trainer.evaluation.manifest import Image
from trainer.evaluation.scoring import READ, READ_AGAIN, Scores, grouped, subset
from trainer.evaluation.statistics import (
    FEWEST,
    Calibration,
    Comparison,
    Estimate,
    calibration,
    compare,
    estimate,
    follow,
    holm,
)

ALWAYS_0 = "always 0"
SHUFFLED = ", labels shuffled"
NEGATED = ", labels negated"
SHUFFLES = 10
LISTED = 3
AXES = ("V", "A")
FOLLOWS = {"error": "-Error", "tau": " tau", "slope": " slope", "range": " range"}
FOLLOWED = tuple(f"{axis}{name}" for axis in AXES for name in FOLLOWS.values())
ERRORS = ("V-Error", "A-Error")
CHECKED = ("V-Error", "A-Error", "V slope", "A slope")
"""Figures of the second reader: by its readings, they are named "V-Error 2" and so on."""
DISTANCES = ("LPIPS-V", "LPIPS-A", "LPIPS-Continuous")

Figures = dict[str, np.ndarray]
"""[P] by the figure's name; NaN where a prompt has none."""


@dataclass(frozen=True)
class Results:
    """The results of an evaluation.

    Attributes:
        prompts: P prompts.
        methods: Figures by method, in the manifests' order, the plain prompts' included.
        controls: Figures of "always 0" and of the methods with shuffled and with negated labels.
        calibrations: (valence, arousal) by method.
        tests: (figure, first, second, comparison, p after Holm's correction or None).
        notes: Caveats for whoever reads the table.
    """

    prompts: list[str]
    methods: dict[str, Figures]
    controls: dict[str, Figures]
    calibrations: dict[str, tuple[Calibration, Calibration]]
    tests: list[tuple[str, str, str, Comparison, float | None]]
    notes: list[str]

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """The table: the mean over prompts with its interval, by row and figure."""
        rows = {**self.methods, **self.controls}
        return {row: {name: estimate(values) for name, values in found.items()} for row, found in rows.items()}


# ---- do the methods answer the same questions? -----------------------------------------------------


def matching(images: Sequence[Image], plain: str, common: bool) -> set[int]:
    """Rows of the images that can be compared: points that all methods have, and the `plain` images of their prompts.

    Raises:
        DataError: A point comes twice, methods have different points and `common` is not set, or a method has the name
            of a control.
    """
    points: dict[str, dict[tuple, int]] = {}
    for row, image in enumerate(images):
        if image.method == ALWAYS_0 or image.method.endswith((SHUFFLED, NEGATED)):
            raise DataError(f"A method is named {image.method!r}, like a control in the table: give it another name.")
        point = (image.prompt, image.seed, image.valence, image.arousal)
        if point in points.setdefault(image.method, {}):
            raise DataError(
                f"{image.method} has two images of the same prompt, seed, valence and arousal: {image.path} and "
                f"{images[points[image.method][point]].path}. Leave one out."
            )
        points[image.method][point] = row
    compared = {method: found for method, found in points.items() if method != plain}
    if not compared:
        compared = points
    shared = set.intersection(*(set(found) for found in compared.values()))
    if not common:
        _refuse_differences(compared, shared)
    if not shared:
        raise DataError(f"{' and '.join(compared)} have no prompt, seed, valence and arousal in common.")
    kept = {row for found in compared.values() for point, row in found.items() if point in shared}
    prompts = {point[0] for point in shared}
    return kept | {row for point, row in points.get(plain, {}).items() if point[0] in prompts}


def matching_parts(parts: Sequence[Sequence[Image]], plain: str, common: bool) -> list[list[Image]]:
    """The images of each manifest that can be compared with the others', see `matching`."""
    every = [image for part in parts for image in part]
    rows = matching(every, plain, common)
    starts = np.cumsum([0, *map(len, parts)])
    return [[every[row] for row in range(first, last) if row in rows] for first, last in pairwise(starts.tolist())]


def _refuse_differences(points: dict[str, dict[tuple, int]], shared: set[tuple]) -> None:
    union = set.union(*(set(found) for found in points.values()))
    lines = []
    for method, found in points.items():
        if lacking := sorted(union - set(found)):
            shown = "; ".join(f"{p[0]!r} seed {p[1]} at {p[2]:g}, {p[3]:g}" for p in lacking[:LISTED])
            lines.append(f"  {method} lacks {counted(len(lacking), 'image')} that others have: {shown}")
    if lines:
        raise DataError(
            "The methods have different images:\n" + "\n".join(lines) + "\nMake the missing ones, or give "
            f"--common to compare the {len(shared):,} that all have."
        )


def counted(count: int, thing: str) -> str:
    """A number with its noun: "1 picture", "2,000 pictures"."""
    return f"{count:,} {thing}{'s' * (count != 1)}"


# ---- figures of prompts ----------------------------------------------------------------------------


class _Method:
    """One method's images as arrays, by prompt."""

    def __init__(self, scores: Scores, prompts: Sequence[str]):
        numbers = {prompt: number for number, prompt in enumerate(prompts)}
        self.scores = scores
        self.prompt = self.read_prompt = np.array([numbers[image.prompt] for image in scores.images], int)
        self.asked = np.array([(image.valence, image.arousal) for image in scores.images], np.float64)
        self.got = np.stack([scores.columns[name] for name in READ], axis=1)
        again = READ_AGAIN[0] in scores.columns
        self.again = np.stack([scores.columns[name] for name in READ_AGAIN], axis=1) if again else None

    def spread_over(self, other: "_Method") -> None:
        """Puts every image at all points that the other method was asked for with its prompt."""
        points = {number: np.unique(other.asked[other.prompt == number], axis=0) for number in set(self.prompt)}
        counts = [len(points[number]) for number in self.prompt]
        self.asked = np.concatenate([points[number] for number in self.prompt])
        self.got, self.read_prompt = np.repeat(self.got, counts, 0), np.repeat(self.prompt, counts)
        if self.again is not None:
            self.again = np.repeat(self.again, counts, 0)

    def follows(self, asked: np.ndarray, count: int) -> Figures:
        """`following` by the reader, and what the second one says of it."""
        found = following(self.read_prompt, asked, self.got, count)
        if self.again is not None:
            second = following(self.read_prompt, asked, self.again, count)
            found |= {f"{name} 2": second[name] for name in CHECKED}
        return found

    def figures(self, count: int) -> Figures:
        found = self.follows(self.asked, count)
        for name, values in self.scores.columns.items():
            if name not in (*READ, *READ_AGAIN):
                found[name] = _means(self.prompt, values, count)
        for name, axes in zip(DISTANCES, ((0,), (1,), (0, 1)), strict=True):
            chosen = np.isin(self.scores.axis, axes)
            if chosen.any():
                prompt = self.prompt[self.scores.pairs[chosen, 0]]
                found[name] = _means(prompt, self.scores.distances[chosen], count)
        return found


def following(prompt: np.ndarray, asked: np.ndarray, got: np.ndarray, count: int) -> Figures:
    """Error, tau, slope and range of both axes for each of `count` prompts.

    Args:
        prompt: [N], prompts' numbers.
        asked, got: [N, 2].
    """
    found = {name: np.full(count, np.nan) for name in FOLLOWED}
    for number in np.unique(prompt):
        rows = prompt == number
        for column, axis in enumerate(AXES):
            for key, value in follow(asked[rows, column], got[rows, column]).items():
                found[f"{axis}{FOLLOWS[key]}"][number] = value
    return found


def _means(prompt: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    found = np.full(count, np.nan)
    for number in np.unique(prompt):
        known = values[(prompt == number) & np.isfinite(values)]
        if len(known):
            found[number] = known.mean()
    return found


def shuffled(method: _Method, count: int, name: str) -> Figures:
    """The figures that readings would have if they had nothing to do with what was asked for.

    The labels of a prompt's images are permuted SHUFFLES times and the figures averaged. The permutations follow from
    the method's name, so that the spread over networks of one row includes that of the shuffling.
    """
    random, every = np.random.default_rng(int(text_sha256(name), 16)), []
    prompt = method.read_prompt
    for _ in range(SHUFFLES):
        asked = method.asked.copy()
        for number in np.unique(prompt):
            rows = np.flatnonzero(prompt == number)
            asked[rows] = asked[random.permutation(rows)]
        every.append(following(prompt, asked, method.got, count))
    return {name: np.mean([found[name] for found in every], axis=0) for name in FOLLOWED}


# ---- the whole -------------------------------------------------------------------------------------


def evaluate(scores: Scores, plain: str = "plain", common: bool = False) -> Results:
    """Figures, controls and tests of everything that was measured.

    An image that was not read counts as missing: methods are compared over the same points.

    Args:
        scores: Of images that match, see `matching`.
        plain: The method that got the plain prompts; its images stand at all points if it has one for each prompt and
            seed.
        common: Whether a point that one method lacks is left out of all.

    Raises:
        DataError: No image was read, or methods have different points and `common` is not set.
    """
    scores, notes = _read_alike(scores, plain, common)
    prompts = list(dict.fromkeys(image.prompt for image in scores.images))
    names = np.array([image.method for image in scores.images])
    methods = {
        name: _Method(subset(scores, np.flatnonzero(names == name)), prompts) for name in dict.fromkeys(names.tolist())
    }
    notes += _notes(scores, methods, plain)
    reference = next((found for name, found in methods.items() if name != plain), None)
    if reference and plain in methods and len(np.unique(methods[plain].asked, axis=0)) == 1:
        methods[plain].spread_over(reference)
    count = len(prompts)
    figures = {name: method.figures(count) for name, method in methods.items()}
    asked = reference or methods[plain]
    controls = {ALWAYS_0: following(asked.prompt, asked.asked, np.zeros_like(asked.asked), count)}
    controls |= {
        f"{name}{SHUFFLED}": shuffled(method, count, name) for name, method in methods.items() if name != plain
    }
    controls |= {
        f"{name}{NEGATED}": method.follows(-method.asked, count) for name, method in methods.items() if name != plain
    }
    calibrations = {
        name: tuple(calibration(method.asked[:, axis], method.got[:, axis]) for axis in (0, 1))
        for name, method in methods.items()
        if np.isfinite(method.got).all(1).any()
    }
    return Results(prompts, figures, controls, calibrations, _tests(figures, controls[ALWAYS_0]), notes)


def _read_alike(scores: Scores, plain: str, common: bool) -> tuple[Scores, list[str]]:
    """The scores of images that were read, at points that all methods have, and notes on the others."""
    read = np.flatnonzero(np.isfinite(scores.columns["valence"]))
    if not len(read):
        raise DataError(f"None of the {len(scores.images):,} images was read, so there is nothing to report.")
    rows = read[sorted(matching([scores.images[row] for row in read], plain, common))]
    notes = []
    if unread := len(scores.images) - len(read):
        notes.append(f"{unread:,} of {len(scores.images):,} images were not read and are left out of the figures.")
    if others := len(read) - len(rows):
        notes.append(f"Left out, because their counterparts are missing: {counted(others, 'image')}.")
    gone = {image.method for image in scores.images} - {scores.images[row].method for row in rows}
    notes += [f"No image of {method} is left, so it has no row." for method in sorted(gone)]
    return subset(scores, rows), notes


def _incomplete_grids(images: Sequence[Image], plain: str) -> list[str]:
    """A note on prompts and seeds that lack points which the same method has for others."""
    points: dict[str, list[set[tuple[float, float]]]] = {}
    for rows in grouped(images):
        found = {(images[row].valence, images[row].arousal) for row in rows}
        points.setdefault(images[rows[0]].method, []).append(found)
    for method, grids in points.items():  # all but the plain one have the same
        lacking = sum(grid != set.union(*grids) for grid in grids)
        if method != plain and lacking:
            return [
                f"Points are missing for {lacking:,} of {counted(len(grids), 'prompt')} (by seed): their figures use "
                "the points that exist, and LPIPS the neighbours among those."
            ]
    return []


def _notes(scores: Scores, methods: dict[str, _Method], plain: str) -> list[str]:
    notes = []
    if plain not in methods:
        notes.append(
            f"There are no images of the plain prompts (a method named {plain!r}), so nothing shows what the model "
            "does without emotion: make them with `python -m trainer.generate` and --plain."
        )
    else:
        others = {number for name, found in methods.items() if name != plain for number in found.prompt.tolist()}
        if lacking := len(others - set(methods[plain].prompt.tolist())):
            notes.append(f"{plain} has no image of {lacking:,} prompts that the other methods have.")
    notes += [*_incomplete_grids(scores.images, plain), *readers_agree(scores)]
    return notes + _too_few({name: len(set(method.prompt.tolist())) for name, method in methods.items()})


def readers_agree(scores: Scores) -> list[str]:
    """A sentence on how the two readers' readings compare, where there are two and enough to compare."""
    if READ_AGAIN[0] not in scores.columns:
        return []
    told = []
    for axis, again in zip(READ, READ_AGAIN, strict=True):
        first, second = scores.columns[axis], scores.columns[again]
        both = np.isfinite(first) & np.isfinite(second)
        if both.sum() < FEWEST:
            return []
        first, second = first[both], second[both]
        moved = first.std() > 0 and second.std() > 0
        alike = f", correlation {np.corrcoef(first, second)[0, 1]:.3f}" if moved else ""
        told.append(f"{axis} by {np.abs(first - second).mean():.3f} on average{alike}")
    return [f"The two readers differ in {' and in '.join(told)}, over {counted(len(scores.images), 'image')}."]


def _too_few(prompts: dict[str, int]) -> list[str]:
    """Notes on methods with too few prompts for intervals and tests, from the number of prompts by method."""
    few = {name: count for name, count in prompts.items() if count < FEWEST}
    if few and len(few) == len(prompts):
        most = max(few.values())
        return [f"Only {counted(most, 'prompt')}: too few for intervals and tests, which need {FEWEST}; means only."]
    return [
        f"Only {counted(count, 'prompt')} of {name}: too few for its intervals and for tests with it, which need "
        f"{FEWEST}; means only."
        for name, count in few.items()
    ]


def _tests(methods: dict[str, Figures], zero: Figures) -> list[tuple]:
    """Tests of each figure between every two methods, of errors also against "always 0", with Holm's correction."""
    figures = list(dict.fromkeys(name for found in methods.values() for name in found))
    tests = []
    for figure in figures:
        rows = {name: found for name, found in methods.items() if figure in found}
        pairs = [(a, b, rows[a][figure], rows[b][figure]) for a, b in combinations(rows, 2)]
        if figure in ERRORS:
            pairs += [(name, ALWAYS_0, found[figure], zero[figure]) for name, found in rows.items()]
        found = [compare(first, second) for _, _, first, second in pairs]
        for (a, b, *_), test, corrected in zip(pairs, found, holm([test.p for test in found]), strict=True):
            tests.append((figure, a, b, test, corrected))
    return tests
