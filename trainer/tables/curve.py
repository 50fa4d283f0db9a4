"""Figure 10: what the scale factor does, as a curve over its values."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from trainer.evaluation.results import ALWAYS_0
from trainer.figures import TRAIN, VALIDATION, save
from trainer.tables.figures import Found
from trainer.tables.rows import SCALES

NAME = "figure-10"
PANELS = {
    "slope": ("V slope", "A slope"),
    "error": ("V-Error", "A-Error"),
    "content": ("content", "CLIPScore"),
}


def draw_curve(found: Found, folder: Path) -> None:
    """Writes figure-10.png and figure-10-dark.png; bars are one standard deviation over networks."""
    save(lambda: _curve(found), folder, NAME)


def _curve(found: Found) -> plt.Figure:
    panels = {name: [one for one in both if one in found.columns] for name, both in PANELS.items()}
    panels = {name: columns for name, columns in panels.items() if columns}
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.2), layout="constrained")
    for one, (name, columns) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for column, colour in zip(columns, (TRAIN, VALIDATION), strict=False):
            _line(one, found, column, colour)
        one.set(title=name, xlabel="scale factor", xticks=list(SCALES.values()))
        one.grid(linewidth=0.6)
        one.legend(fontsize=8)
        if name == "error":
            zero = found.rows[ALWAYS_0].estimate("V-Error").mean
            one.axhline(zero, color="#8a93a5", linewidth=1, linestyle=":")
            one.annotate(ALWAYS_0, (1.0, zero), fontsize=8, va="bottom")
            one.set_ylim(bottom=0)
        if name == "slope":
            one.axhline(1, color="#8a93a5", linewidth=1, linestyle=":")
    return figure


def _line(axes, found: Found, column: str, colour: str) -> None:
    rows = [(scale, found.rows[name]) for name, scale in SCALES.items() if name in found.rows]
    rows = [(scale, row) for scale, row in rows if column in row.figures]
    values = [row.estimate(column).mean for _, row in rows]
    spread = [row.deviation(column) or 0.0 for _, row in rows]
    scales = [scale for scale, _ in rows]
    axes.errorbar(scales, values, spread, color=colour, marker="o", markersize=4, capsize=3, label=column)
