"""What the report shows: its columns, dots with intervals, calibration curves, and grids of the images themselves.

These are values and positions; report.html draws them as HTML and SVG without a script.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.core.pictures import PictureError, data_url, decode, jpeg
from trainer.evaluation.manifest import Image
from trainer.evaluation.results import ALWAYS_0, CHECKED, Results
from trainer.evaluation.statistics import Estimate

CELL = 144  # pixels of a picture in the grids: sharp on a dense screen


@dataclass(frozen=True)
class Column:
    """A figure of the tables: what is good, what its panel adds to that, and the numbers that the panel reaches."""

    good: str
    more: str = ""
    reached: tuple[float, ...] | None = None  # None: it has no panel


COLUMNS = {
    "V-Error": Column("lower is better", reached=(0,)),
    "A-Error": Column("lower is better", reached=(0,)),
    "V tau": Column("1 is best", ", 0 is chance", (0, 1)),
    "A tau": Column("1 is best", ", 0 is chance", (0, 1)),
    "V slope": Column("1 is best", ", 0 is no change", (0, 1)),
    "A slope": Column("1 is best", ", 0 is no change", (0, 1)),
    "V range": Column(""),
    "A range": Column(""),
    **{f"{name} 2": Column("of the second reader") for name in CHECKED},
    "content": Column("higher is better", reached=(0, 1)),
    "CLIPScore": Column("higher is better", reached=()),
    "CLIP-IQA": Column("higher is better", reached=(0, 1)),
    "LPIPS-V": Column("lower is smoother"),
    "LPIPS-A": Column("lower is smoother"),
    "LPIPS-Continuous": Column("lower is smoother", reached=(0,)),
}


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
    for figure, column in COLUMNS.items():
        mine = {name: row[figure] for name, row in rows.items() if figure in row}
        mine = {name: value for name, value in mine.items() if np.isfinite(value.mean)}
        if column.reached is not None and mine.keys() & results.methods.keys():
            ends = [end for value in mine.values() for end in (value.low, value.mean, value.high)]
            ends = [*filter(np.isfinite, ends), *column.reached]
            low, high = min(ends), max(ends)
            found.append(Panel(figure, column.good + column.more, mine, low, high if high > low else low + 1))
    return found


# ---- calibration -----------------------------------------------------------------------------------


def x_of(value: float) -> str:
    """Where a level stands in a drawing of 224 by 222."""
    return f"{34 + (np.clip(value, -3, 3) + 3) * 30:.1f}"


def y_of(value: float, below: float = 0) -> str:
    """Where a reading stands there, or what is to be `below` it."""
    return f"{190 - (np.clip(value, -3, 3) + 3) * 30 + below:.1f}"


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
    of = {}
    for image in images:
        of.setdefault(image.method, {}).setdefault(image.prompt, []).append(image)
    return {prompt: [_grid(own[prompt]) for own in of.values() if prompt in own] for prompt in prompts}


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
