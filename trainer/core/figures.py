"""Matplotlib figures in a light and a dark style."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from emoticrafter.files import naming

DPI = 150
TRAIN, VALIDATION = "#2f7ed8", "#f28e2b"
STYLES = {"light": ("#1d2433", "#d5d9e2", "#ffffff"), "dark": ("#e6e9f0", "#3a4356", "#151a24")}
"""The colours of ink, faint lines and paper."""
INK = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor")
FAINT = ("axes.edgecolor", "grid.color")
PAPER = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
LAYOUT = {
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "legend.frameon": False},
    **{"font.size": 10, "axes.titlesize": 11, "axes.titlelocation": "left"},
    "text.parse_math": False,  # a name may hold $
}


@contextmanager
def style(name: str):
    parts = zip((INK, FAINT, PAPER), STYLES[name], strict=True)
    with plt.rc_context(LAYOUT | {key: colour for keys, colour in parts for key in keys}):
        yield


def save(draw: Callable[[], plt.Figure], folder: Path, name: str, suffix: str = ".png") -> None:
    """Writes <name>.png and <name>-dark.png, or as JPEG with ".jpg"."""
    folder.mkdir(parents=True, exist_ok=True)
    for mode, ending in (("light", ""), ("dark", "-dark")):
        with style(mode):
            figure = draw()
            path = folder / f"{name}{ending}{suffix}"
            with naming(path):
                figure.savefig(path, dpi=DPI)
            plt.close(figure)
