"""Pictures within the range that is searched for their prompt."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from emoticrafter.range import DIRECTIONS, Ray, Sketch
from emoticrafter.va import Point
from trainer.painters.plan import grid, plan
from trainer.painters.ranged import RangedPainter, within
from trainer.painters.settings import RangedSettings


class Box:
    """Paints a box that grows lighter with the emotion and moves away at `lost`; prompts have places of their own."""

    def __init__(self, lost: float = 3.5):
        self.lost, self.asked, self.together = lost, [], set()

    def draw(self, tasks):
        self.together.add(len(tasks))
        self.asked += [(task.prompt, task.valence, task.arousal) for task in tasks]
        return [self.paint(task) for task in tasks]

    def paint(self, task):
        reach = max(abs(task.valence), abs(task.arousal))
        picture = np.full((64, 64, 3), 60, np.uint8)
        at = 36 if reach >= self.lost else 4
        picture[20:44, at : at + 24] = 100
        return Image.fromarray(picture + np.uint8(20 * reach))


def tasks_of(*prompts):
    return plan(prompts, grid(), [0], "ranged", {})


def same(pictures, others):
    return all(np.array_equal(*map(np.asarray, pair)) for pair in zip(pictures, others, strict=True))


@pytest.mark.parametrize("lost, last", [(3.5, 3.0), (2.0, 1.5)])
def test_the_plane_is_spread_over_what_the_search_finds(lost, last):
    painter, tasks = Box(lost), tasks_of("a house")
    pictures = RangedPainter(painter, 3, 8).draw(tasks)
    assert len(pictures) == len(tasks) == 25
    drawn = np.array([asked[1:] for asked in painter.asked[-25:]])
    asked = np.array([(task.valence, task.arousal) for task in tasks])
    assert last - 0.5 <= np.abs(drawn).max() < min(lost, last + 0.5)
    assert np.allclose(drawn, asked * np.abs(drawn).max() / 3), "every ray ends alike: no direction turns"
    there = [painter.paint(replace(task, valence=v, arousal=a)) for task, (v, a) in zip(tasks, drawn, strict=True)]
    assert same(pictures, there)


def test_each_prompt_is_searched_once_however_its_points_are_shared_out():
    painter = RangedPainter(Box(), 3, 8)
    houses, boats = (tasks_of("a house", "a boat")[part] for part in (slice(25), slice(25, None)))
    parts = [houses[:5], houses[5:], boats]
    drawn = [picture for part in parts for picture in painter.draw(part)]
    assert len(painter.painter.asked) == 2 * (1 + 3 * 8) + 50
    whole = [picture for part in (houses, boats) for picture in RangedPainter(Box(), 3, 8).draw(part)]
    assert same(drawn, whole)


def test_a_search_draws_no_more_pictures_together_than_memory_is_known_to_hold():
    painter = Box(2.0)
    drawn = RangedPainter(painter, 3, at_once=5).draw(tasks_of("a house")[:5])
    assert max(painter.together) == 5
    assert same(drawn, RangedPainter(Box(2.0), 3, at_once=8).draw(tasks_of("a house")[:5]))


def rays_of(*reaches):
    """Rays that jump at their reach."""
    found = []
    for name, reach in zip(DIRECTIONS, reaches, strict=True):
        ray = Ray(name, Sketch(*torch.tensor([[0.0], [0.0], [1.0]])))
        for at, kept in ((reach, 1.0), (3.0, 1.0)) if reach == 3 else ((reach, 0.4), (3.0, 0.0)):
            ray.add(at, Sketch(*torch.tensor([[at / 3], [at / 3], [kept]])))
        found.append(ray)
    return found


def test_between_rays_the_reach_passes_evenly_from_one_to_the_other():
    rays = rays_of(1.5, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0)
    assert within(rays, Point(3, 0)) == pytest.approx((1.5, 0))
    assert within(rays, Point(3, 3)) == pytest.approx((3, 3))
    assert within(rays, Point(3, -3)) == pytest.approx((2, -2))
    assert within(rays, Point(-3, 1.5)) == pytest.approx((-3, 1.5))
    assert within(rays, Point(0, 0)) == (0, 0)
    between = within(rays, Point(3, 1.5))
    assert between.arousal == pytest.approx(between.valence / 2) and 1.5 < between.valence < 3


class Fixed:
    """Settings that no file stands behind."""

    pixels, flops = 128**2, None

    def as_json(self):
        return {"painter": "fixed"}


def test_pictures_of_another_search_are_others():
    found = [Fixed(), RangedSettings(Fixed(), 2), RangedSettings(Fixed(), 3)]
    assert len({str(settings.as_json()) for settings in found}) == 3
