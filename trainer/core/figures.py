"""Matplotlib figures in a light and a dark style."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DPI = 150
TRAIN, VALIDATION = "#2f7ed8", "#f28e2b"
STYLES = {
    "light": {"ink": "#1d2433", "faint": "#d5d9e2", "paper": "#ffffff"},
    "dark": {"ink": "#e6e9f0", "faint": "#3a4356", "paper": "#151a24"},
}


@contextmanager
def style(name: str):
    ink, faint, paper = (STYLES[name][key] for key in ("ink", "faint", "paper"))
    colours = dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor"), ink
    )
    faces = dict.fromkeys(
        ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), paper
    )
    spines = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": faint,
        "grid.color": faint,
    }
    text = {"font.size": 10, "axes.titlesize": 11, "axes.titlelocation": "left", "legend.frameon": False}
    with plt.rc_context({**colours, **faces, **spines, **text, "axes.axisbelow": True}):
        yield


def save(draw: Callable[[], plt.Figure], folder: Path, name: str, suffix: str = ".png") -> None:
    """Writes <name>.png and <name>-dark.png, or as JPEG with ".jpg"."""
    folder.mkdir(parents=True, exist_ok=True)
    for mode, ending in (("light", ""), ("dark", "-dark")):
        with style(mode):
            figure = draw()
            figure.savefig(folder / f"{name}{ending}{suffix}", dpi=DPI)
            plt.close(figure)
