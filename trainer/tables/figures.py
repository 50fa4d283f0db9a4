"""From pictures to the numbers of a table: rows over networks, their spread, and tests against ours.

A row's networks are fits of one setting from several seeds. Their figures are averaged prompt by prompt, so that a
prompt counts once: the interval and the tests are over prompts, and the standard deviation over networks stands beside
them. The tests do not know how much networks of one setting differ: look at both. Networks of one seed began alike and
saw the same pairs in the same order, so rows are compared seed by seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from trainer.core.rows import DataError
from trainer.evaluation.manifest import Image, read_manifest
from trainer.evaluation.results import ALWAYS_0, ERRORS, NEGATED, SHUFFLED, Results, matching
from trainer.evaluation.results import evaluate as measured
from trainer.evaluation.scoring import Measures, Scores, score_manifests
from trainer.evaluation.statistics import Comparison, Estimate, compare, estimate, holm
from trainer.tables.rows import NETWORKS, OURS, PLAIN, TITLES, Table
from trainer.tables.sources import Drawing

NULLS = tuple(name.removeprefix(", ") for name in (SHUFFLED, NEGATED))
"""Ours with other labels; these rows are not tested against ours."""
LISTED = 5
CLEAR = 2  # times the deviation of the differences
Tested = tuple[Comparison, float | None]
"""A test, and its p after Holm's correction."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        title: As it is shown.
        figures: [N, P] by the figure's name, N networks and P prompts; NaN where a prompt has none.
        seeds: [N], of the networks' fits; empty where nothing is fitted, N is 1 then.
    """

    title: str
    figures: dict[str, np.ndarray]
    seeds: tuple[int, ...] = ()

    def over_networks(self, figure: str, seeds: Sequence[int] = ()) -> np.ndarray:
        """[P], the mean over networks; only over those of `seeds`, if any are of them."""
        own = [index for index, seed in enumerate(self.seeds) if seed in seeds]
        return self.figures[figure][own or slice(None)].mean(0)

    def estimate(self, figure: str) -> Estimate:
        return estimate(self.over_networks(figure))

    def of_networks(self, figure: str) -> list[float]:
        """The networks' own means over prompts."""
        return np.nanmean(self.figures[figure], axis=1).tolist()

    def deviation(self, figure: str) -> float | None:
        """The standard deviation over networks; None for fewer than two."""
        return _deviation(self.of_networks(figure))

    def differences(self, other: "Row", figure: str) -> list[float]:
        """This row's mean less the other's, for each seed that both are fitted from."""
        own, others = self._by_seed(figure, other.seeds), other._by_seed(figure, self.seeds)
        return [own[seed] - others[seed] for seed in own if seed in others]

    def differs(self, other: "Row", figure: str) -> bool:
        """Whether these differences are clear of their own spread; a single one cannot be."""
        found = self.differences(other, figure)
        spread = _deviation(found)
        return spread is not None and bool(abs(np.mean(found)) > CLEAR * spread)

    def _by_seed(self, figure: str, seeds: Sequence[int]) -> dict[int, float]:
        """Means over prompts; what is not fitted has the same for all of `seeds`."""
        found = self.of_networks(figure)
        return dict(zip(self.seeds, found, strict=True)) if self.seeds else dict.fromkeys(seeds, found[0])


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Found:
    """The numbers of a table.

    Attributes:
        prompts: P.
        points: Of the plane.
        seeds: Pictures of every prompt and point.
        rows: By name.
        columns: Figures in the table's order.
        made_by: What measured each figure, in words.
        notes: For readers of the table.
        pairs: Rows that are compared with another row than ours, and that row.
        reference: The row that is ours: what the others are tested against.
    """

    prompts: int
    points: int
    seeds: int
    rows: dict[str, Row]
    columns: tuple[str, ...]
    made_by: dict[str, str]
    notes: list[str]
    pairs: tuple[tuple[str, str], ...] = ()
    reference: str = OURS

    @cached_property
    def tests(self) -> dict[tuple[str, str, str], Tested]:
        """(figure, row, other row) to their test: of each row against ours, and of the pairs."""
        ours = [(name, self.reference) for name in self.rows if name not in (self.reference, *NULLS)]
        return self._tested(ours) | self._tested(self.pairs)

    def _tested(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str, str], Tested]:
        """Tests of the rows that were drawn, with Holm's correction over those of each figure."""
        found = {}
        for figure in self.columns:
            tests = {(figure, *pair): test for pair in pairs if (test := self._compared(figure, *pair))}
            corrected = holm([test.p for test in tests.values()])
            found |= dict(zip(tests, zip(tests.values(), corrected, strict=True), strict=True))
        return found

    def _compared(self, figure: str, name: str, other: str) -> Comparison | None:
        rows = [self.rows[one] for one in (name, other) if one in self.rows]
        constant = name == ALWAYS_0 and figure not in ERRORS
        if len(rows) < 2 or constant or any(figure not in row.figures for row in rows):
            return None
        first, second = rows
        return compare(first.over_networks(figure, second.seeds), second.over_networks(figure, first.seeds))


# ---- measuring -------------------------------------------------------------------------------------


def score(manifest: Path, drawings: Sequence[Drawing], measures: Measures) -> Scores:
    """Measures the images of these methods.

    Raises:
        DataError: Images cannot be used, or methods were asked for different points.
    """
    wanted = {drawing.method for drawing in drawings}
    images = [image for image in read_manifest(manifest) if image.method in wanted]
    matching(images, PLAIN, common=False)
    return score_all(manifest, images, measures)


def score_all(manifest: Path, images: Sequence[Image], measures: Measures) -> Scores:
    """Measures images of a manifest; raises DataError if one of them cannot be used."""
    scores = score_manifests([manifest], [images], measures)
    if scores.problems:
        listed = "\n".join(f"  {problem}" for problem in scores.problems[:LISTED])
        raise DataError(f"{len(scores.problems):,} images could not be used; the rest is kept:\n{listed}")
    return scores


def find(table: Table, scores: Scores, drawings: Sequence[Drawing], measures: Measures) -> Found:
    """The rows of a table from what was measured, as far as they are drawn."""
    results = measured(scores, PLAIN)
    rows = {
        name: _row(TITLES[name], own, [results.methods[drawing.method] for drawing in own])
        for name in table.rows
        if (own := [drawing for drawing in drawings if drawing.row == name])
    }
    reference = table.reference if table.reference in rows else OURS
    pairs = tuple(pair for pair in table.pairs if pair[1] != reference)
    columns = tuple(name for name in table.figures if any(name in row.figures for row in rows.values()))
    if table.controls:
        rows |= _controls(results, [drawing for drawing in drawings if drawing.row == reference])
    seeds = len({image.seed for image in scores.images})
    points = len({(image.valence, image.arousal) for image in scores.images})
    made_by, notes = measures.made_by, results.notes
    return Found(len(results.prompts), points, seeds, rows, columns, made_by, notes, pairs, reference)


def _controls(results: Results, ours: Sequence[Drawing]) -> dict[str, Row]:
    """The rows of no method: always 0, and ours with shuffled and with negated labels."""
    rows = {ALWAYS_0: _row(ALWAYS_0, [], [results.controls[ALWAYS_0]])}
    if ours:
        for null in NULLS:
            title = f"{TITLES[ours[0].row]}, {null}"
            rows[null] = _row(title, ours, [results.controls[f"{d.method}, {null}"] for d in ours])
    return rows


def _row(title: str, drawings: Sequence[Drawing], parts: Sequence[dict[str, np.ndarray]]) -> Row:
    """A row from the figures of each of its networks."""
    figures = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    return Row(title, figures, tuple(drawing.seed for drawing in drawings if drawing.row in NETWORKS))
