"""How far the point can go: where, on rays from neutral, pictures stop changing or lose what the plain one shows.

The search is after the elastic range search of training-free steering (Ekin and Gandelsman 2026, arXiv 2603.17998):
pictures are put where the answer lies, and a range ends where one is too far from the plain one. The two distances are
plain ones and need no network: of colours, which a mood changes, and of where edges are, which it should keep. Readers
can stand in: one of valence and arousal for colours where the emotion stops moving, and one of subjects for edges.

Shapes: B pictures, N of them on a ray, in their order from the plain one outwards; M numbers tell a picture's mood, C
what it shows.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .images import colours
from .va import VA_MAX, VA_MIN, Point, check_number, rounded

STEP = 0.5
"""Pictures are drawn at its multiples of reach: the larger of a point's two numbers, without their signs."""
MOST = round(VA_MAX / STEP)
"""Pictures on a ray."""
DIRECTIONS = {
    "pleasure": Point(1, 0),
    "excitement": Point(1, 1),
    "arousal": Point(0, 1),
    "distress": Point(-1, 1),
    "displeasure": Point(-1, 0),
    "depression": Point(-1, -1),
    "sleepiness": Point(0, -1),
    "relaxation": Point(1, -1),
}
"""The rays by the circumplex's words, counter-clockwise."""
KEEP = 0.4
"""Agreement with the plain picture, below which what it shows counts as lost."""
STILL = 1 / 3
"""Pictures have stopped changing where they go on at less than this share of their pace so far."""
JUMP = 0.5
"""A step with more than this share of a ray's whole change is a jump."""
UNCHANGED = 0.01
"""Colours that differ by less are the same to the eye. Of readings it is 0.06, well below a reader's error."""
COLOUR_SIZE, EDGE_SIZE = 16, 32

EDGE, LOST, JUMPS, STOPS, SAME = "edge", "lost", "jumps", "stops", "same"
WHY = {
    EDGE: "to the edge of the plane",
    LOST: "further on, the content is lost",
    JUMPS: "further on, pictures jump",
    STOPS: "further on, little changes",
    SAME: "pictures do not change",
}
"""Why a range ends."""


# ---- pictures ------------------------------------------------------------------------------------------


class Sketch(NamedTuple):
    """What is compared of pictures.

    Attributes:
        colours: [B, 768] in [0, 1].
        mood: What tells how far the emotion has moved, [B, M] in [0, 1]: the colours, or a reader's numbers.
        content: What should stay, [B, C] of length 1: the product of two is their agreement.
    """

    colours: Tensor
    mood: Tensor
    content: Tensor


def sketch(images: Tensor) -> Sketch:
    """Sketches of images [B, H, W, C] in [0, 1], of any size: their colours, and edges of mean 0, [B, 961].

    Raises:
        ValueError: Another shape, or a picture of NaN or infinite numbers.
    """
    pictures = colours(images).movedim(-1, 1).float().cpu()
    if not pictures.isfinite().all():
        raise ValueError(
            "A picture holds NaN or infinite numbers: expected numbers from 0 to 1. The VAE may need another precision."
        )
    grey = F.adaptive_avg_pool2d(pictures, EDGE_SIZE).mean(1)
    across, down = grey[:, 1:, 1:] - grey[:, 1:, :-1], grey[:, 1:, 1:] - grey[:, :-1, 1:]
    edges = (across.square() + down.square()).sqrt().flatten(1)
    edges = F.normalize(edges - edges.mean(1, keepdim=True))
    means = F.adaptive_avg_pool2d(pictures, COLOUR_SIZE).flatten(1)
    return Sketch(means, means, edges)


def read_sketch(images: Tensor, readings: Tensor, subjects: Tensor | None = None) -> Sketch:
    """Sketches of images as readers see them.

    Args:
        images: [B, H, W, C] in [0, 1], of any size.
        readings: Their valence and arousal, [B, 2] in [-3, 3].
        subjects: How likely each subject is, [B, C]; without it edges tell what is kept.

    Raises:
        ValueError: As `sketch`.
    """
    plain = sketch(images)
    mood = (readings - VA_MIN) / (VA_MAX - VA_MIN)
    return Sketch(plain.colours, mood, plain.content if subjects is None else F.normalize(subjects))


# ---- one ray -------------------------------------------------------------------------------------------


class Limit(NamedTuple):
    """How far a ray goes, and one of WHY."""

    reach: float
    why: str


class Ray:
    """A ray and what has been drawn on it.

    Attributes:
        name: Of DIRECTIONS.
        reaches: Of the pictures, rising, from the plain one's 0; N.
        kept: Agreement of what they show with the plain one, N: 1 is all, 0 as in unrelated pictures.
    """

    def __init__(self, name: str, plain: Sketch, keep: float = KEEP):
        self.name, self.keep = name, keep
        self.reaches, self.kept = [0.0], [1.0]
        self._plain, self._colours, self._moods = plain.content, [plain.colours], [plain.mood]

    def point(self, reach: float) -> Point:
        """The ray's point at a reach from 0 to 3."""
        return rounded(*(reach * value for value in DIRECTIONS[self.name]))

    def add(self, reach: float, drawn: Sketch) -> None:
        """Takes the sketch of one picture."""
        at = bisect(self.reaches, reach)
        self.reaches.insert(at, reach)
        self.kept.insert(at, (drawn.content * self._plain).sum().item())
        self._colours.insert(at, drawn.colours)
        self._moods.insert(at, drawn.mood)

    def limit(self) -> Limit:
        """The nearest of what ends the ray, by all that is drawn; between two pictures, where they suggest it."""
        return self._end()[0]

    def next_reach(self) -> float:
        """Where another picture tells the most, while there are fewer than MOST.

        At the edge first, then amid the two pictures between which the ray ends; where that is as fine as can be, or
        nothing ends it, amid the outermost two that are more than a step apart.
        """
        if len(self.reaches) == 1:
            return VA_MAX
        seen_at = self._end()[1]
        wide = [(a, b) for a, b in pairwise(self.reaches) if b - a > STEP]
        a, b = ([gap for gap in wide if gap[1] == seen_at] or wide)[-1]
        return STEP * ((a + b) // (2 * STEP))

    def _end(self) -> tuple[Limit, float]:
        """The limit, and the reach of the picture that shows it."""
        if _change(self._moods, 0, *range(1, len(self.reaches))) < UNCHANGED:
            return Limit(0.0, SAME), VA_MAX
        return min([*self._lost(), *self._jumps(), *self._stops(), (Limit(VA_MAX, EDGE), VA_MAX)])

    def _lost(self) -> Iterator[tuple[Limit, float]]:
        for (a, before), (b, after) in pairwise(zip(self.reaches, self.kept, strict=True)):
            if after < self.keep:
                yield Limit(_crossing(a, before, b, after, self.keep), LOST), b
                return

    def _jumps(self) -> Iterator[tuple[Limit, float]]:
        """Not within the first step: where much changes there and little later, pictures stop changing."""
        changes = [_change(self._colours, at - 1, at) for at in range(1, len(self.reaches))]
        for (a, b), change in zip(pairwise(self.reaches), changes, strict=True):
            if a > 0 and b - a <= STEP and change > JUMP * sum(changes):
                yield Limit(a, JUMPS), b

    def _stops(self) -> Iterator[tuple[Limit, float]]:
        """Compares at each picture the pace of change from there to the edge with the pace up to it.

        What is left to change then ends where it would end at the pace so far.
        """
        last = len(self.reaches) - 1
        for at, reach in enumerate(self.reaches[1:-1], 1):
            left, pace = _change(self._moods, at, last), _change(self._moods, 0, at) / reach
            if left < STILL * pace * (VA_MAX - reach):
                yield Limit(reach + left / pace, STOPS), reach
                return


def _change(seen: Sequence[Tensor], at: int, *others: int) -> float:
    """The largest distance between what is seen of a picture and of others."""
    return max((_distance(seen[at], seen[other]) for other in others), default=0.0)


def _distance(a: Tensor, b: Tensor) -> float:
    return (a - b).square().mean().sqrt().item()


def _crossing(a: float, before: float, b: float, after: float, level: float) -> float:
    """Where a straight line from (a, before) to (b, after) falls to a level."""
    return a + (b - a) * (before - level) / (before - after)


# ---- the search ----------------------------------------------------------------------------------------

Draw = Callable[[Sequence[Point]], Tensor]
"""Draws a picture at each point, from the same noise: images [B, H, W, C] in [0, 1]."""
Look = Callable[[Tensor], Sketch]
"""Sketches of images, as `sketch` makes them."""


def search_range(draw: Draw, pictures: int = 3, keep: float = KEEP, look: Look = sketch) -> list[Ray]:
    """Draws the plain picture, and then on every ray, one picture at a time, where it tells the most.

    Args:
        draw: Is called with neutral alone, for the prompt without emotion, then again and again with a point of each
            ray.
        pictures: On each ray, at most.
        keep: Agreement that a picture must have with the plain one, 0 to 1.
        look: What is compared of pictures.

    Returns:
        The rays of DIRECTIONS.

    Raises:
        ValueError: Numbers out of range, or a picture that cannot be compared.
    """
    check_number("pictures", pictures, 1, MOST)
    check_number("keep", keep, 0.0, 1.0)
    plain = look(draw([Point(0.0, 0.0)]))
    rays = [Ray(name, Sketch(*(part[0] for part in plain)), keep) for name in DIRECTIONS]
    for _ in range(pictures):
        reaches = [ray.next_reach() for ray in rays]
        drawn = look(draw([ray.point(reach) for ray, reach in zip(rays, reaches, strict=True)]))
        for ray, reach, *parts in zip(rays, reaches, *drawn, strict=True):
            ray.add(reach, Sketch(*parts))
    return rays


def ends(rays: Sequence[Ray]) -> list[Point]:
    """The points up to which the rays go."""
    return [ray.point(ray.limit().reach) for ray in rays]


def range_text(rays: Sequence[Ray]) -> str:
    """A line for each ray: its name, how far it goes, and why it ends there."""
    lines = []
    for ray, (valence, arousal) in zip(rays, ends(rays), strict=True):
        lines.append(f"{ray.name}: {valence:+.2f}, {arousal:+.2f}, {WHY[ray.limit().why]}")
    return "\n".join(lines)
