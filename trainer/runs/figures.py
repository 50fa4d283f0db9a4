"""The figures of a run's report."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator, NullFormatter

from trainer.core.figures import TRAIN, VALIDATION
from trainer.data.pairs import PairTable

SIZE, WIDE = (8.6, 4.4), (9.6, 4.4)
MAP = "magma"
AXES = ("valence", "arousal")


def _plane(axes: Axes) -> None:
    axes.set(xlim=(-3.4, 3.4), ylim=(-3.4, 3.4), xlabel="valence", ylabel="arousal", aspect="equal")
    axes.set_xticks(range(-3, 4))
    axes.set_yticks(range(-3, 4))


def _figure(columns: int = 1) -> tuple[plt.Figure, list[Axes]]:
    size = SIZE if columns == 1 else WIDE
    figure, axes = plt.subplots(1, columns, figsize=size, layout="constrained")
    return figure, list(np.atleast_1d(axes))


def data(table: PairTable) -> plt.Figure:
    """The pairs in the plane; the area of a dot is the number of pairs there."""
    figure, axes = _figure(2)
    for one, split, colour in zip(axes, ("train", "validation"), (TRAIN, VALIDATION), strict=True):
        rows = table.indexes(split)
        places, counts = np.unique(np.stack([table.valence[rows], table.arousal[rows]], 1), axis=0, return_counts=True)
        most = 500 if len(places) < 200 else 40
        one.scatter(*places.T, s=most * counts / counts.max() + 2, color=colour, alpha=0.75, linewidths=0)
        one.set_title(f"{split}: {len(rows):,} pairs at {len(places):,} places")
        one.grid(linewidth=0.6)
        _plane(one)
    return figure


def density(fitted, valence: np.ndarray, arousal: np.ndarray, weight: np.ndarray) -> plt.Figure:
    """The kernel density over the plane, and the weights that it gives the training pairs."""
    figure, (left, right) = _figure(2)
    axis = np.linspace(-3.4, 3.4, 171)
    places = np.meshgrid(axis, axis)
    values = fitted(places[0].ravel(), places[1].ravel()).reshape(places[0].shape)
    filled = left.contourf(*places, values, levels=values.max() * np.linspace(0, 1, 13), cmap=MAP)
    widths = np.sqrt(np.diag(fitted.covariance))
    left.set_title(f"density, kernel width {widths[0]:.2f} by {widths[1]:.2f}")
    dots = right.scatter(valence, arousal, c=weight, s=30, cmap="viridis", norm=LogNorm(), linewidths=0)
    right.set_title("weight of the training pairs")
    bars = (
        figure.colorbar(filled, ax=left, format="%.2g", shrink=0.8),
        figure.colorbar(dots, ax=right, format="%g", shrink=0.8, ticks=LogLocator(subs=(1, 2, 5))),
    )
    for axes, bar in zip((left, right), bars, strict=True):
        bar.outline.set_visible(False)
        _plane(axes)
    return figure


def weights(values: np.ndarray, effective: float) -> plt.Figure:
    """A histogram of the training pairs' weights."""
    figure, (axes,) = _figure()
    low, high = values.min() * 0.9, values.max() * 1.1
    axes.hist(values, bins=np.geomspace(low, high, 50), color=TRAIN)
    axes.set(xscale="log", yscale="log", xlabel="weight in the loss (their mean is 1)", ylabel="training pairs")
    for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        formatter("{x:g}")
    axes.axvline(1, color=VALIDATION, linewidth=1.2)
    axes.set_title(
        f"from {values.min():.3g} to {values.max():.3g}; worth {effective:,.0f} equal pairs of {len(values):,}"
    )
    axes.grid(axis="y", linewidth=0.6)
    return figure


def losses(training: list[dict], validations: list[dict]) -> plt.Figure:
    """The training and the validation loss over the steps."""
    figure, (axes,) = _figure()
    steps = [line["step"] for line in training]
    axes.plot(steps, [line["loss"] for line in training], color=TRAIN, linewidth=1.2, label="training")
    checked = [line["step"] for line in validations]
    values = [line["loss"] for line in validations]
    axes.plot(checked, values, color=VALIDATION, marker="o", markersize=3, linewidth=1.2, label="validation")
    if values:
        best = int(np.argmin(values))
        axes.plot(checked[best], values[best], "o", color=VALIDATION, markersize=9, fillstyle="none")
        axes.annotate("best", (checked[best], values[best]), xytext=(0, 9), textcoords="offset points", ha="center")
    axes.set(yscale="log", xlabel="step", ylabel="weighted loss", xlim=(0, None))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(linewidth=0.6)
    axes.legend()
    return figure


def sensitivity(maps: dict) -> plt.Figure:
    """The output's movement per unit of an axis, at each point of the plane."""
    figure, axes = _figure(2)
    highest = max(np.max(maps["valence"]), np.max(maps["arousal"]))
    for one, name in zip(axes, ("valence", "arousal"), strict=True):
        values = np.array(maps[name]).T  # [A, V]: arousal upwards
        image = one.imshow(values, origin="lower", extent=(-3.5, 3.5, -3.5, 3.5), vmin=0, vmax=highest, cmap=MAP)
        for (row, column), value in np.ndenumerate(values):
            ink = "white" if value < 0.6 * highest else "black"
            place = (maps["grid"][column], maps["grid"][row])
            one.annotate(f"{value:.2g}", place, color=ink, fontsize=6.5, ha="center", va="center")
        one.set_title(f"movement per unit of {name}")
        _plane(one)
        one.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
        one.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, label="root mean square over features", shrink=0.85)
    bar.outline.set_visible(False)
    return figure


def directions(validations: list[dict]) -> plt.Figure:
    """The consistency of the movement's direction, over the steps."""
    figure, axes = plt.subplots(1, 2, figsize=WIDE, layout="constrained", sharey=True)
    steps, colours = [line["step"] for line in validations], (TRAIN, VALIDATION, "#59a14f")
    keys = dict(zip(("monotone", "consistency", "alignment"), colours, strict=True))
    lowest = min((line[f"{axis}_{key}"] for line in validations for axis in AXES for key in keys), default=0.0)
    for one, name in zip(axes, AXES, strict=True):
        for key, colour in keys.items():
            values = [line[f"{name}_{key}"] for line in validations]
            marker = "o" if len(steps) < 30 else None
            one.plot(steps, values, color=colour, label=key, linewidth=1.5, marker=marker, markersize=2.5)
        one.set(title=name, xlabel="step", ylim=(min(0.0, lowest) - 0.05, 1.05))
        one.axhline(0, color="#8a93a5", linewidth=1)
        one.grid(linewidth=0.6)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
