"""Draws within each prompt's range, as training-free steering does (Ekin and Gandelsman 2026, arXiv 2603.17998).

There, a search finds how strongly each prompt can be steered while its pictures change evenly and keep their subject;
what is asked for is spread over that. Here it is the search of *Emotion Range*, on its eight rays.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from emoticrafter.range import Ray, search_range
from emoticrafter.va import VA_MAX, Point, rounded
from trainer.painters.plan import Task

if TYPE_CHECKING:
    from PIL.Image import Image

    from trainer.painters.draw import Painter


class RangedPainter:
    """A painter that searches the range of a prompt and seed first, and spreads valence and arousal over it.

    Args:
        painter: Draws for the search, and what is asked for.
        pictures: That the search may see on each ray.
        at_once: Pictures that the search draws together, at most.
    """

    def __init__(self, painter: "Painter", pictures: int, at_once: int):
        self.painter, self.pictures, self.at_once = painter, pictures, at_once
        self._searched: tuple[tuple[int, int], list[Ray]] | None = None

    def draw(self, tasks: Sequence[Task]) -> "list[Image]":
        """Pictures of one prompt and seed."""
        rays = self._rays(tasks[0])
        return self.painter.draw([moved(task, *within(rays, Point(task.valence, task.arousal))) for task in tasks])

    def _rays(self, task: Task) -> list[Ray]:
        """The ones of its prompt and seed, which are searched once while its pictures are drawn."""
        key = task.number, task.seed
        if self._searched is None or self._searched[0] != key:
            self._searched = key, search_range(lambda points: self._look(task, points), self.pictures)
        return self._searched[1]

    def _look(self, task: Task, points: Sequence[Point]) -> Tensor:
        """Pictures of a task's prompt at other points, [B, H, W, 3] in [0, 1]."""
        tasks, at_once = [moved(task, *point) for point in points], self.at_once
        parts = [self.painter.draw(tasks[start : start + at_once]) for start in range(0, len(tasks), at_once)]
        return torch.from_numpy(np.stack([np.asarray(picture) for part in parts for picture in part])) / 255


def moved(task: Task, valence: float, arousal: float) -> Task:
    return replace(task, valence=valence, arousal=arousal)


def within(rays: Sequence[Ray], point: Point) -> Point:
    """Where a point of the plane lies when the plane's edge is drawn in to the ends of the rays.

    Between two of the rays, which stand at equal angles, the reach passes evenly from the one's to the other's.
    """
    turn = math.atan2(point.arousal, point.valence) / math.tau * len(rays) % len(rays)
    below, share = int(turn), turn % 1
    ends = [rays[(below + one) % len(rays)].limit().reach for one in (0, 1)]
    scale = ((1 - share) * ends[0] + share * ends[1]) / VA_MAX
    return rounded(scale * point.valence, scale * point.arousal)
