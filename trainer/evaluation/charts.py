"""What the report shows in pictures: dots with intervals, calibration curves, and grids of the images themselves.

These are values and positions; report.html draws them as HTML and SVG without a script.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.core.pictures import PictureError, data_url, decode, jpeg
from trainer.evaluation.manifest import Image
from trainer.evaluation.results import ALWAYS_0, Results
from trainer.evaluation.statistics import Calibration, Estimate

CELL = 144  # pixels of a picture in the grids: sharp on a dense screen
PANELS = {
    "V-Error": ("lower is better", 0.0, None),
    "A-Error": ("lower is better", 0.0, None),
    "V tau": ("1 is best, 0 is chance", 0.0, 1.0),
    "A tau": ("1 is best, 0 is chance", 0.0, 1.0),
    "V slope": ("1 is best, 0 is no change", 0.0, 1.0),
    "A slope": ("1 is best, 0 is no change", 0.0, 1.0),
    "content": ("higher is better", 0.0, 1.0),
    "CLIPScore": ("higher is better", None, None),
    "CLIP-IQA": ("higher is better", 0.0, 1.0),
    "LPIPS-Continuous": ("lower is smoother", 0.0, None),
}
"""What is good, and the numbers that a panel's scale reaches at least."""


def signed(value: float) -> str:
    """A number as text sets it: with its sign, except 0."""
    return f"{value:+g}".replace("-", "−") if value else "0"


# ---- dots with intervals ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """One figure of every row that has it, on a scale from `low` to `high`."""

    figure: str
    good: str
    rows: dict[str, Estimate]
    low: float
    high: float

    def at(self, value: float) -> str:
        """Where a value stands, as CSS."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"


def panels(results: Results) -> list[Panel]:
    """A panel for each figure: every method's mean with its interval, beside "always 0" where it has that figure."""
    rows = {name: results.estimates[name] for name in (*results.methods, ALWAYS_0)}
    found = []
    for figure, (good, *reached) in PANELS.items():
        mine = {name: row[figure] for name, row in rows.items() if figure in row}
        mine = {name: value for name, value in mine.items() if np.isfinite(value.mean)}
        if mine.keys() & results.methods.keys():
            found.append(Panel(figure, good, mine, *_scale(mine, reached)))
    return found


def _scale(rows: dict[str, Estimate], reached: list[float | None]) -> tuple[float, float]:
    ends = [end for value in rows.values() for end in (value.low, value.mean, value.high) if np.isfinite(end)]
    ends += [end for end in reached if end is not None]
    low, high = min(ends), max(ends)
    return low, high if high > low else low + 1


# ---- calibration -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A method's readings at each level of an axis; `x` and `y` are places in a drawing of 224 by 222."""

    axis: str
    points: list[tuple[float, float, float]]
    """Level asked for, mean reading, standard deviation."""
    error: float

    @property
    def said(self) -> str:
        return "; ".join(f"{level:g} was read as {mean:.2f}" for level, mean, _ in self.points)

    @staticmethod
    def x(value: float) -> str:
        return f"{34 + (np.clip(value, -3, 3) + 3) * 30:.1f}"

    @staticmethod
    def y(value: float, below: float = 0) -> str:
        return f"{190 - (np.clip(value, -3, 3) + 3) * 30 + below:.1f}"


def curves(results: Results) -> dict[str, list[Curve]]:
    """Valence's and arousal's curve of each method."""
    return {
        name: [_curve(axis, found) for axis, found in zip(("valence", "arousal"), both, strict=True)]
        for name, both in results.calibrations.items()
    }


def _curve(axis: str, found: Calibration) -> Curve:
    points = zip(found.asked.tolist(), found.mean.tolist(), found.deviation.tolist(), strict=True)
    return Curve(axis, list(points), found.error)


# ---- pictures --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """The images of one method, prompt and seed: `sources` holds them as data URLs by (valence, arousal)."""

    method: str
    valences: list[float]
    arousals: list[float]
    sources: dict[tuple[float, float], str]


def grids(images: Sequence[Image], prompts: Sequence[str]) -> dict[str, list[Grid]]:
    """The images of some prompts, all methods beside each other; the first seed of each."""
    methods = list(dict.fromkeys(image.method for image in images))
    found: dict[str, list[Grid]] = {}
    for prompt in prompts:
        own = [image for image in images if image.prompt == prompt]
        by_method = [[image for image in own if image.method == method] for method in methods]
        found[prompt] = [_grid(mine) for mine in by_method if mine]
    return found


def _grid(images: list[Image]) -> Grid:
    seed = min(image.seed for image in images)
    images = [image for image in images if image.seed == seed]
    sources = {(image.valence, image.arousal): _source(image) for image in images}
    valences = sorted({valence for valence, _ in sources})
    arousals = sorted({arousal for _, arousal in sources}, reverse=True)
    return Grid(images[0].method, valences, arousals, sources)


def _source(image: Image) -> str:
    try:
        return data_url(jpeg(decode(image.path, at_least=CELL), CELL, quality=85))
    except PictureError:
        return ""
