"""How much of the plain picture's composition stays, and how much of the emotion, when the emotion begins later.

Held-out prompts are drawn at the corners of a square round the middle of the plane, from one start (ComfyUI's
start_percent) after another. The edges of every picture are compared with those of the plain prompt's picture from the
same noise, and a reader tells how much of the emotion is left. `emoticrafter/composition.py` has the starts that follow
from it for the nodes' composition.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emoticrafter.composition import measured_family, start_that_keeps
from emoticrafter.weights import load_network
from trainer.core import markdown
from trainer.core.device import find_device
from trainer.core.pictures import Pixels, decode
from trainer.evaluation.measures import read_by
from trainer.evaluation.readers import load_va_reader
from trainer.evaluation.readings import write_readings
from trainer.evaluation.scoring import READ, Scores
from trainer.evaluation.statistics import slope
from trainer.miniature.scores import find_readers
from trainer.painters.plan import PLAIN, grid
from trainer.stimuli.numbers import steepness
from trainer.tables.miniature import MeasureSettings, draw_and_score, of_method

STARTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6)
POINTS = grid((-2.0, 2.0))
COMPOSITIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the way from the edges of an emotion that is there from the first step to those of the plain picture."""


@dataclass(frozen=True)
class Measured:
    """What stays, with a start or without emotion.

    Attributes:
        edges: The agreement of edges with the plain picture, 1 at most.
        valence: The slope of read against asked values; NaN where one point was drawn alone.
        arousal: The same.
    """

    edges: float
    valence: float
    arousal: float

    def reach(self, whole: "Measured") -> float:
        """The mean of both slopes as shares of those of an emotion that is there from the first step.

        Not finite where that one is not seen at all.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.divide([self.valence, self.arousal], [whole.valence, whole.arousal])
        return float(shares.mean())


@dataclass(frozen=True)
class Nulls:
    """Edges that agree anyway.

    Attributes:
        other_seed: Of two plain pictures of one prompt from other noise: what the words alone have in common.
        neutral: With an emotion at 0, 0 from the first step, which asks for nothing.
    """

    other_seed: float
    neutral: float

    def kept(self, edges: float) -> float:
        """Agreement as a share of the way from another seed's picture, 0, to the plain picture, 1."""
        return (edges - self.other_seed) / (1 - self.other_seed)


def composition(settings: MeasureSettings, network: Path) -> str:
    """The curve and the starts that follow from it as Markdown, with how both were made.

    Raises:
        DataError: The network or a part of the run cannot be used.
    """
    plain = replace(settings, seeds=settings.seeds + 1).job("plain", PLAIN)
    neutral = settings.job("start-neutral", PLAIN, network)
    later = {start: settings.job(method_of(start), POINTS, network, start=start) for start in STARTS}
    reader = load_va_reader(find_readers(settings.run)[0], device=find_device(settings.device))
    scores = draw_and_score(settings, [plain, neutral, *later.values()], read_by(reader))
    write_readings(settings.folder / "composition.csv", scores)
    edges = PlainEdges(of_method(scores, plain.method))
    curve = {start: _measured(edges, of_method(scores, job.method)) for start, job in later.items()}
    nulls = Nulls(edges.of_other_seeds(), edges.agreement(of_method(scores, neutral.method)))
    seeds = f"{settings.seeds} seed{'s' * (settings.seeds > 1)}"
    head = f"{settings.prompts} held-out prompts, {len(POINTS)} points, {seeds}; {settings.how()}"
    family = measured_family(load_network(network).encoder)
    return "\n\n".join([head, curve_table(curve, nulls), kept_table(curve, nulls, family)])


def method_of(start: float) -> str:
    return f"start-{start:.2f}".replace(".", "_")


# ---- edges -----------------------------------------------------------------------------------------


def edge_agreement(first: Pixels, second: Pixels) -> float:
    """The correlation of how steep two pictures are, pixel by pixel.

    1 where all edges are in the same places with the same proportions, about 0 where nothing agrees; brighter or darker
    pictures, and more or less contrast, do not count. A picture without edges agrees with none: 0.
    """
    one, other = (steepness(pixels).ravel() for pixels in (first, second))
    if not one.std() or not other.std():
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


class PlainEdges:
    """Plain pictures by prompt and seed, and how pictures from the same noise agree with them."""

    def __init__(self, plain: Scores):
        self.pictures = {(image.prompt, image.seed): decode(image.path) for image in plain.images}

    def agreement(self, scores: Scores) -> float:
        """The mean over pictures."""
        found = [edge_agreement(self.pictures[image.prompt, image.seed], decode(image.path)) for image in scores.images]
        return float(np.mean(found))

    def of_other_seeds(self) -> float:
        """The mean over pairs of plain pictures of one prompt."""
        pairs = [
            (one, self.pictures[prompt, seed + 1])
            for (prompt, seed), one in self.pictures.items()
            if (prompt, seed + 1) in self.pictures
        ]
        return float(np.mean([edge_agreement(*pair) for pair in pairs]))


def _measured(edges: PlainEdges, scores: Scores) -> Measured:
    asked = np.array([(image.valence, image.arousal) for image in scores.images])
    slopes = [
        slope(asked[:, axis], scores.columns[name]) if np.ptp(asked[:, axis]) else np.nan
        for axis, name in enumerate(READ)
    ]
    return Measured(edges.agreement(scores), *slopes)


# ---- the curve, and what follows from it -----------------------------------------------------------


def starts_that_keep(curve: dict[float, Measured], compositions: Sequence[float]) -> list[float]:
    """The start of each composition: where the edges have come that share of their way to the plain picture's.

    Between measured starts on a straight line; where a later start agrees less than an earlier one, as the earlier.
    """
    starts = np.array([*curve, 1.0])
    edges, earliest = np.unique(
        np.maximum.accumulate([*(found.edges for found in curve.values()), 1.0]), return_index=True
    )
    wanted = edges[0] + np.array(compositions) * (1 - edges[0])
    return np.interp(wanted, edges, starts[earliest]).tolist()


def at_start(curve: dict[float, Measured], start: float) -> Measured:
    """What stays at a start between the measured ones, on a straight line; at 1 the plain picture."""
    starts, found = [*curve, 1.0], [*curve.values(), Measured(1.0, 0.0, 0.0)]
    columns = zip(*((each.edges, each.valence, each.arousal) for each in found), strict=True)
    return Measured(*(float(np.interp(start, starts, column)) for column in columns))


def curve_table(curve: dict[float, Measured], nulls: Nulls) -> str:
    """A row for each start, and the nulls below; kept is that of `Nulls`, reach that of `Measured`."""
    others = {"emotion at 0, 0": nulls.neutral, "another seed": nulls.other_seed, "the plain picture": 1.0}
    rows = []
    for start, found in curve.items():
        slopes = [f"{found.valence:.2f}", f"{found.arousal:.2f}"]
        rows.append([f"start {start:g}", *_edges(found.edges, nulls), *slopes, _reach(found, curve[0.0])])
    rows += [[name, *_edges(edges, nulls), "–", "–", "–"] for name, edges in others.items()]
    return markdown.table(["", "edges", "kept", "V slope", "A slope", "reach"], rows)


def kept_table(curve: dict[float, Measured], nulls: Nulls, family: str) -> str:
    """For each composition the start by this curve, the start in the nodes, and what stays at that one."""
    rows = []
    for value, measured in zip(COMPOSITIONS, starts_that_keep(curve, COMPOSITIONS), strict=True):
        start = start_that_keeps(value, family)
        found = at_start(curve, start)
        rows.append(
            [f"{value:g}", f"{measured:.2f}", f"{start:.2f}", *_edges(found.edges, nulls), _reach(found, curve[0.0])]
        )
    head = ["composition", "start by this curve", f"in the nodes ({family})", "edges", "kept", "reach"]
    return markdown.table(head, rows, "r" * len(head))


def _edges(edges: float, nulls: Nulls) -> list[str]:
    return [f"{edges:.2f}", f"{100 * nulls.kept(edges):.0f} %"]


def _reach(found: Measured, whole: Measured) -> str:
    reach = found.reach(whole)
    return f"{100 * reach:.0f} %" if math.isfinite(reach) else "–"
