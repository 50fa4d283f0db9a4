"""One prompt along both axes, a row for each method: what the numbers of table 1 look like."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt

from trainer.core.figures import save
from trainer.core.pictures import decode
from trainer.evaluation.manifest import Image, read_manifest
from trainer.tables.rows import TITLES
from trainer.tables.sources import Drawing

NAME, SUFFIX = "table-1", ".jpg"
AXES = ("valence", "arousal")
LINE = 18  # characters of a row's title, which there is room for on the left
HEAD = 0.3  # inches of the columns' titles


def draw_side_by_side(manifest: Path, drawings: Sequence[Drawing], folder: Path) -> str:
    """Writes table-1.jpg and table-1-dark.jpg: the first network of each row, along valence and along arousal.

    Returns:
        The prompt that is shown: one a third into the list, so that the choice is nobody's.
    """
    firsts = {drawing.method: TITLES[drawing.row] for drawing in drawings if drawing.seed == 0}
    images = [image for image in read_manifest(manifest) if image.method in firsts]
    prompts = list(dict.fromkeys(image.prompt for image in images))
    prompt = prompts[len(prompts) // 3]
    seed = min(image.seed for image in images)
    shown = [image for image in images if image.prompt == prompt and image.seed == seed]
    save(lambda: _figure(shown, firsts), folder, NAME, SUFFIX)
    return prompt


def _figure(images: Sequence[Image], titles: dict[str, str]) -> plt.Figure:
    valences, arousals = ([(axis, value) for value in sorted({getattr(i, axis) for i in images})] for axis in AXES)
    columns = [*valences, None, *arousals]  # None is a gap between the axes
    height = HEAD + 0.7 * len(titles)
    figure, panels = plt.subplots(
        len(titles),
        len(columns),
        figsize=(1.2 + 0.65 * len(columns), height),
        gridspec_kw={
            "width_ratios": [1 if column else 0.15 for column in columns],
            **{"left": 0.17, "right": 0.995, "bottom": 0.005, "top": 1 - HEAD / height, "wspace": 0.03, "hspace": 0.03},
        },
        squeeze=False,
    )
    for panel in panels.flat:
        panel.axis("off")
    for row, (method, title) in zip(panels, titles.items(), strict=True):
        own = [image for image in images if image.method == method]
        row[0].text(-0.1, 0.5, fill(title, LINE), transform=row[0].transAxes, ha="right", va="center", fontsize=9)
        for cell, column in zip(row, columns, strict=True):
            if column:
                cell.imshow(decode(_nearest(own, *column).path))
    for cell, column in zip(panels[0], columns, strict=True):
        if column:
            axis, value = column
            title = f"{axis[0].upper()} {value:+g}" if value else f"{axis[0].upper()} 0"
            cell.set_title(title, fontsize=9, loc="center", pad=3)
    return figure


def _nearest(images: Sequence[Image], axis: str, value: float) -> Image:
    """The picture at the value with the other axis nearest to 0; plain prompts have one for all."""
    other = AXES[1 - AXES.index(axis)]
    return min(images, key=lambda image: (abs(getattr(image, axis) - value), abs(getattr(image, other))))
