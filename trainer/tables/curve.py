"""Figure 10: what the scale factor does, as a curve over its values."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from trainer.core.figures import TRAIN, VALIDATION, save
from trainer.evaluation.results import ALWAYS_0
from trainer.tables.figures import Found

NAME = "figure-10"
PANELS = {"slope": ("V slope", "A slope"), "error": ("V-Error", "A-Error"), "content": ("content", "CLIPScore")}


def draw_curve(found: Found, scales: dict[str, float], folder: Path) -> None:
    """Writes figure-10.png and figure-10-dark.png over the rows' `scales`; bars are one deviation over networks."""
    ordered = dict(sorted(scales.items(), key=lambda item: item[1]))
    save(lambda: _curve(found, ordered), folder, NAME)


def _curve(found: Found, scales: dict[str, float]) -> plt.Figure:
    panels = {name: [one for one in both if one in found.columns] for name, both in PANELS.items()}
    panels = {name: columns for name, columns in panels.items() if columns}
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.2), layout="constrained")
    for one, (name, columns) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for column, colour in zip(columns, (TRAIN, VALIDATION), strict=False):
            _line(one, found, scales, column, colour)
        one.set(title=name, xlabel="scale factor", xticks=sorted(set(scales.values())))
        one.grid(linewidth=0.6)
        one.legend(fontsize=8)
        if name == "error":
            zero = found.rows[ALWAYS_0].estimate("V-Error").mean
            one.axhline(zero, color="#8a93a5", linewidth=1, linestyle=":")
            one.annotate(ALWAYS_0, (max(scales.values()), zero), fontsize=8, va="bottom", ha="right")
            one.set_ylim(bottom=0)
        if columns == ["content"]:
            one.set_ylim(0, 1.02)  # a share
        if name == "slope":
            one.axhline(1, color="#8a93a5", linewidth=1, linestyle=":")
    return figure


def _line(axes, found: Found, scales: dict[str, float], column: str, colour: str) -> None:
    rows = [found.rows[name] for name in scales]
    values = [row.estimate(column).mean for row in rows]
    spread = [row.deviation(column) or 0.0 for row in rows]
    axes.errorbar(
        list(scales.values()), values, spread, color=colour, marker="o", markersize=4, capsize=3, label=column
    )
