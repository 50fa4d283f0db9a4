"""From pictures to the numbers of a table: rows over networks, their spread, and tests against ours.

A row's networks are fits of one setting from several seeds. Their figures are averaged prompt by prompt, so that a
prompt counts once: the interval and the tests are over prompts, and the standard deviation over networks stands beside
them. The tests do not know how much networks of one setting differ: look at both.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from trainer import evaluate
from trainer.evaluation.results import ALWAYS_0, ERRORS, Results, matching
from trainer.evaluation.results import evaluate as measured
from trainer.evaluation.statistics import Comparison, Estimate, compare, estimate, holm
from trainer.manifest import Image, read_manifest
from trainer.rows import DataError
from trainer.tables.rows import OURS, PLAIN, TITLES, Table
from trainer.tables.sources import Drawing

SHUFFLED = "labels shuffled"
LISTED = 5


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        title: As it is shown.
        figures: [N, P] by the figure's name, N networks and P prompts; NaN where a prompt has none.
    """

    title: str
    figures: dict[str, np.ndarray]

    @property
    def networks(self) -> int:
        return len(next(iter(self.figures.values())))

    def over_networks(self, figure: str) -> np.ndarray:
        """[P], the mean over networks."""
        return self.figures[figure].mean(0)

    def estimate(self, figure: str) -> Estimate:
        return estimate(self.over_networks(figure))

    def of_networks(self, figure: str) -> list[float]:
        """The networks' own means over prompts."""
        return np.nanmean(self.figures[figure], axis=1).tolist()

    def deviation(self, figure: str) -> float | None:
        """The standard deviation over networks; None for fewer than two."""
        found = self.of_networks(figure)
        return float(np.std(found, ddof=1)) if len(found) > 1 else None


@dataclass(frozen=True)
class Found:
    """What was measured for a table.

    Attributes:
        prompts: P.
        points: Of the plane.
        seeds: Pictures of every prompt and point.
        rows: By name.
        columns: Figures in the table's order.
        made_by: What measured, for people.
        notes: What a reader must know.
    """

    prompts: int
    points: int
    seeds: int
    rows: dict[str, Row]
    columns: tuple[str, ...]
    made_by: dict[str, str]
    notes: list[str]

    @cached_property
    def tests(self) -> dict[tuple[str, str], tuple[Comparison, float | None]]:
        """(figure, row) to the test of row against ours and its p after Holm's correction over the figure's rows."""
        found = {}
        if OURS not in self.rows:
            return found
        for figure in self.columns:
            pairs = {name: self._against_ours(figure, name) for name in self.rows}
            pairs = {name: test for name, test in pairs.items() if test}
            possible = [name for name, test in pairs.items() if test.p is not None]
            corrected = dict(zip(possible, holm([pairs[name].p for name in possible]), strict=True))
            found |= {(figure, name): (test, corrected.get(name)) for name, test in pairs.items()}
        return found

    def _against_ours(self, figure: str, name: str) -> Comparison | None:
        row, ours = self.rows[name], self.rows[OURS]
        skipped = name in (OURS, SHUFFLED) or (name == ALWAYS_0 and figure not in ERRORS)
        if skipped or figure not in row.figures or figure not in ours.figures:
            return None
        return compare(row.over_networks(figure), ours.over_networks(figure))


# ---- measuring -------------------------------------------------------------------------------------


class Meter:
    """What measures pictures, loaded once for all tables."""

    def __init__(self, options: argparse.Namespace):
        """
        Args:
            options: Of `trainer.evaluate`'s parser.
        """
        _, self.measures, self.distance, self.made_by = evaluate.measuring(options)

    def measure(self, manifest: Path, drawings: Sequence[Drawing]) -> tuple[list[Image], object]:
        """The images of these methods, and their scores.

        Raises:
            DataError: images that cannot be used, or methods that were not asked for the same.
        """
        wanted = {drawing.method for drawing in drawings}
        images = [image for image in read_manifest(manifest) if image.method in wanted]
        matching(images, PLAIN, common=False)
        scores = evaluate.score_manifests([manifest], [images], self.measures, self.distance)
        if scores.problems:
            listed = "\n".join(f"  {problem}" for problem in scores.problems[:LISTED])
            raise DataError(f"{len(scores.problems):,} images could not be used; the rest is kept:\n{listed}")
        return images, scores


def find(table: Table, manifest: Path, drawings: Sequence[Drawing], meter: Meter) -> Found:
    """Measures what is there of a table."""
    images, scores = meter.measure(manifest, drawings)
    results = measured(scores, PLAIN)
    rows = {
        name: Row(TITLES[name], _stacked([results.methods[d.method] for d in drawings if d.row == name]))
        for name in table.rows
        if any(d.row == name for d in drawings)
    }
    columns = tuple(name for name in table.figures if any(name in row.figures for row in rows.values()))
    if table.controls:
        rows |= _controls(results, drawings)
    seeds = len({image.seed for image in images})
    points = len({(image.valence, image.arousal) for image in images})
    return Found(len(results.prompts), points, seeds, rows, columns, meter.made_by, results.notes)


def _controls(results: Results, drawings: Sequence[Drawing]) -> dict[str, Row]:
    """The rows of no method: always 0, and ours with shuffled labels."""
    rows = {ALWAYS_0: Row(ALWAYS_0, _stacked([results.controls[ALWAYS_0]]))}
    ours = [drawing.method for drawing in drawings if drawing.row == OURS]
    if ours:
        shuffled = [results.controls[f"{method}, {SHUFFLED}"] for method in ours]
        rows[SHUFFLED] = Row(f"{TITLES[OURS]}, {SHUFFLED}", _stacked(shuffled))
    return rows


def _stacked(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}
