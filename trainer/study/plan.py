"""Plans who is asked what, in which order: counterbalanced between participants, everything from one seed.

A content is a prompt with a seed. In each part, a participant meets a content once, by one method. A group has as many
participants as there are methods, and within it the contents go round the methods in a Latin square, so that every
method meets the same contents, valences and arousals. The methods follow each other in Williams' order (E. J. Williams,
Australian Journal of Scientific Research A 2, 1949): each comes equally often at each place and after each other one.
The order of the parts changes between groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trainer.core.rows import DataError, refuse_options
from trainer.core.settings import option
from trainer.evaluation.manifest import Image
from trainer.study.key import AXES, Task

SERIES = 5  # pictures in a series
CORNERS = ("top left", "top right", "bottom left", "bottom right")
PARTS = (("order", "valence"), ("order", "arousal"), ("estimate", None), ("consistency", None), ("smoothness", None))
SECONDS = {"practice": 20, "order": 35, "estimate": 15, "consistency": 30, "smoothness": 12}
"""Roughly what a task takes a participant, for the consent text."""

Content = tuple[str, int]  # prompt, seed
Point = tuple[float, float]  # valence, arousal
Part = tuple[str, str | None]  # kind, axis


@dataclass(frozen=True)
class Amounts:
    """How much each participant is asked, for each method; in smoothness, the axes take turns."""

    order: int = option(
        "series of five to put in order, along each axis, for each method (%(default)s)", 2, metavar="N"
    )
    estimate: int = option("pictures to estimate, for each method (%(default)s)", 5, metavar="N")
    consistency: int = option(
        "sets of 5 x 5 pictures to rate against the changes of valence and arousal, for each method (%(default)s)",
        2,
        metavar="N",
    )
    smoothness: int = option("series to rate, for each method (%(default)s)", 2, metavar="N")

    def problems(self) -> list[str]:
        """Everything that is wrong with the amounts."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        found = [f"--{name} must be from 0 to 100, got {n}" for name, n in values.items() if not 0 <= n <= 100]
        return found or ([] if any(values.values()) else ["nothing is asked: every amount is 0"])


# ---- what the images allow -------------------------------------------------------------------------


@dataclass(frozen=True)
class Stock:
    """The images that all methods have in common.

    Attributes:
        methods: Their names, sorted.
        ids: (method, content, point) -> id of the image.
        points: Content -> the points that every method has of it.
        series: Axis -> content -> five points along the axis, rising.
        sets: Content -> 25 points, five valences rising from left to right, five arousals falling from top to bottom.
    """

    methods: list[str]
    ids: dict[tuple[str, Content, Point], str]
    points: dict[Content, list[Point]]
    series: dict[str, dict[Content, list[Point]]]
    sets: dict[Content, list[Point]]

    @property
    def axes(self) -> list[str]:
        """The axes that series run along; an axis that never varies is left out."""
        return [axis for axis in AXES if self.series[axis]] or list(AXES)

    @property
    def parts(self) -> list[Part]:
        return [(kind, axis) for kind, axis in PARTS if axis is None or axis in self.axes]

    def contents(self, part: Part) -> dict[Content, list[Point]]:
        """The contents that a part can ask about."""
        kind, axis = part
        if kind == "consistency":
            return self.sets
        if kind == "smoothness":
            along_all = set.intersection(*(set(self.series[axis]) for axis in self.axes))
            return {content: points for content, points in self.points.items() if content in along_all}
        return self.series[axis] if axis else self.points


def take_stock(images: Iterable[Image]) -> Stock:
    """Sorts the images of a manifest.

    Raises:
        DataError: A method has two images for the same request.
    """
    ids: dict[tuple[str, Content, Point], str] = {}
    for image in images:
        request = (image.method, (image.prompt, image.seed), (image.valence, image.arousal))
        if request in ids:
            raise DataError(
                f"{ids[request]!r} and {image.id!r} were made by {image.method!r} for the same prompt, seed, valence "
                "and arousal. Keep one of them in the manifest, or give the methods different names."
            )
        ids[request] = image.id
    methods = sorted({method for method, _, _ in ids})
    having = Counter(request[1:] for request in ids)
    points: dict[Content, list[Point]] = {}
    for content, point in sorted(key for key, count in having.items() if count == len(methods)):
        points.setdefault(content, []).append(point)
    series = {
        axis: {content: found for content, have in points.items() if (found := five_along(have, number))}
        for number, axis in enumerate(AXES)
    }
    sets = {content: found for content, have in points.items() if (found := set_of(have))}
    return Stock(methods, ids, points, series, sets)


def five_along(points: Collection[Point], axis: int) -> list[Point] | None:
    """Five points that rise along an axis (0 valence, 1 arousal) while the other is held as near to 0 as possible."""
    for held in sorted({point[1 - axis] for point in points}, key=lambda value: (abs(value), value)):
        line = sorted(point for point in points if point[1 - axis] == held)
        if len(line) >= SERIES:
            return _spread(line)
    return None


def set_of(points: Collection[Point]) -> list[Point] | None:
    """5 x 5 points as the page shows them: valence rises from left to right, arousal from bottom to top."""
    valences, arousals = (_spread(sorted(set(values))) for values in zip(*points, strict=True))
    found = [(valence, arousal) for arousal in arousals[::-1] for valence in valences]
    return found if len(found) == SERIES**2 and set(found) <= set(points) else None


def _spread(line: Sequence[Any]) -> list[Any]:
    """Five of a line, evenly spread; none if it has fewer."""
    if len(line) < SERIES:
        return []
    return [line[round(step * (len(line) - 1) / (SERIES - 1))] for step in range(SERIES)]


def plan_problems(stock: Stock, amounts: Amounts, participants: int, seed: int) -> list[str]:
    """Everything that is wrong with the settings, or that the images do not allow."""
    problems = amounts.problems()
    if not 1 <= participants <= 1000:
        problems.append(f"--participants must be from 1 to 1000, got {participants}")
    if seed < 0:
        problems.append(f"--seed must be 0 or more, got {seed}")
    for part in stock.parts:
        kind, axis = part
        have, asked = len(stock.contents(part)), getattr(amounts, kind)
        need = asked * len(stock.methods)
        if have < need:
            what = {"estimate": "pictures at common points", "consistency": "5 x 5 pictures"}.get(kind, "full series")
            along = f" along {axis}" if axis else ""
            problems.append(
                f"--{kind} {asked} with {len(stock.methods)} methods ({', '.join(stock.methods)}) needs {need} prompts "
                f"(or seeds) with {what}{along} by every method, and there are {have}: at most --{kind} "
                f"{have // len(stock.methods)}. A series is {SERIES} values of one axis while the other stays"
            )
    return problems


# ---- counter-balancing -----------------------------------------------------------------------------


def williams(count: int) -> list[list[int]]:
    """Williams' square: over its rows, each number stands equally often at each place and after each other one."""
    first = [0]
    for step in range(1, count):
        first.append((first[-1] + (step if step % 2 else -step)) % count)
    rows = [[(number + shift) % count for number in first] for shift in range(count)]
    return rows if count % 2 == 0 or count == 1 else rows + [row[::-1] for row in rows]


class Deck:
    """Deals each of its cards once before any comes again."""

    def __init__(self, cards: Iterable[Hashable], random: np.random.Generator):
        self.cards, self.random = list(cards), random
        self.left: list[Any] = []

    def deal(self, count: int, allowed: Collection[Hashable]) -> list[Any]:
        """``count`` different cards among those ``allowed``, which must be in the deck."""
        while len(hand := list(dict.fromkeys(card for card in self.left if card in allowed))[:count]) < count:
            self.left += shuffled(self.cards, self.random)
        for card in hand:
            self.left.remove(card)
        return hand


def shuffled(items: Iterable[Any], random: np.random.Generator) -> list[Any]:
    items = list(items)
    return [items[place] for place in random.permutation(len(items))]


def parts_in_order(turn: int) -> list[Part]:
    """The parts in one of eight orders; ratings come last, because they reveal the order of series."""
    valence, arousal, estimate, *ratings = PARTS
    ordering = [arousal, valence] if turn & 1 else [valence, arousal]
    first = [estimate, *ordering] if turn & 2 else [*ordering, estimate]
    return first + (ratings[::-1] if turn & 4 else ratings)


Item = tuple[Content, list[Point], str | None]  # content, points, and the axis of a series


def make_plan(stock: Stock, amounts: Amounts, participants: int, seed: int) -> list[list[Task]]:
    """The tasks of every participant; their images are ids of the manifest.

    Raises:
        DataError: The settings are wrong, or the images do not allow so much.
    """
    refuse_options(plan_problems(stock, amounts, participants, seed), "This study cannot be made:")
    random = np.random.default_rng([seed, 1])
    contents = Deck(sorted(stock.points), random)
    points = Deck(sorted({point for have in stock.points.values() for point in have}), random)
    turns = Deck(range(8), random)
    plan: list[list[Task]] = []
    for group in range(-(-participants // len(stock.methods))):
        [turn] = turns.deal(1, range(8))
        items = {part: _items(stock, part, amounts, group, contents, points) for part in stock.parts}
        for place in range(len(stock.methods)):
            plan.append(_tasks(stock, items, parts_in_order(turn), group, place, seed))
    return plan[:participants]


def _items(stock: Stock, part: Part, amounts: Amounts, group: int, contents: Deck, points: Deck) -> list[Item]:
    """The items that a group meets in a part, equally many for each method."""
    kind, axis = part
    have = stock.contents(part)
    items: list[Item] = []
    for number, content in enumerate(contents.deal(getattr(amounts, kind) * len(stock.methods), have)):
        if kind == "consistency":
            items.append((content, have[content], None))
        elif kind == "estimate":
            items.append((content, points.deal(1, have[content]), None))
        else:
            along = axis or stock.axes[(number // len(stock.methods) + group) % len(stock.axes)]
            items.append((content, stock.series[along][content], along))
    return items


def _tasks(
    stock: Stock, items: dict[Part, list[Item]], parts: list[Part], group: int, place: int, seed: int
) -> list[Task]:
    """One participant's tasks; ``place`` is the row of the Latin square within the group."""
    count = len(stock.methods)
    rows = williams(count)
    participant = group * count + place
    random = np.random.default_rng([seed, 2, participant])
    tasks: list[Task] = []
    for part in (part for part in parts if part in items):
        kind, asked = part[0], []
        for turn in range(len(items[part]) // count):
            for method in rows[(participant + turn) % len(rows)]:
                content, points, along = items[part][turn * count + (method - place) % count]
                ids = [stock.ids[stock.methods[method], content, point] for point in points]
                asked.append(Task(kind, tuple(shuffled(ids, random) if kind == "order" else ids), along))
        if kind == "order" and asked and not any(task.kind == "practice" for task in tasks):
            asked.insert(0, Task("practice"))
        tasks += _with_check(kind, asked, random)
    return tasks


def _with_check(kind: str, asked: list[Task], random: np.random.Generator) -> list[Task]:
    """The tasks with an attention check after the first one; only estimates and ratings of sets have one."""
    checks = {"estimate": CORNERS, "consistency": (1, 2, 4, 5)}
    if asked and kind in checks:
        check = checks[kind][random.integers(4)]
        asked.insert(int(random.integers(1, len(asked) + 1)), Task(kind, check=check))
    return asked


def minutes(plan: list[list[Task]]) -> int:
    """About how many minutes the longest plan takes."""
    return max(-(-sum(SECONDS[task.kind] for task in tasks) // 60) for tasks in plan)
