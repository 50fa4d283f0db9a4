"""Neutral scenes and contrastive pairs made on the fly: no data set, so no licence, and most show nobody.

A pair is a neutral prompt and the same prompt retold with a mood (`wording`). "People appear" is one of the paper's
own limits, so four of five scenes have no people in them, and phrases about bodies go only to scenes with somebody.
"""

from random import Random
from typing import NamedTuple

from ..va import VA_MAX, VA_MIN
from .pairs import Pair
from .wording import KINDS, STEP, emotional_prompt

WITHOUT_BODY = tuple(kind for kind in KINDS if kind != "body")
PEOPLE_SHARE = 0.2
CELLS = tuple((STEP * v, STEP * a) for a in range(-2, 3) for v in range(-2, 3))
"""The 25 points of the wording tables."""


class Scene(NamedTuple):
    """A neutral prompt, and whether somebody is in it."""

    text: str
    has_people: bool


# Each block: subjects, then where or how they are seen. Any of the first goes with any of the second.
_NOBODY = """
a lighthouse | a wooden cabin | an old windmill | a small chapel | a farmhouse | a stone tower | a white cottage |
a water mill | a ruined castle | a glass house | a boathouse | a barn
--
on a rocky coast | at the edge of a forest | on a hill | beside a river | in a wide valley | in the mountains |
among fields | by a lake | in the desert | in an orchard | beside a country road | on a small island

a street | a market square | a harbour | a train station | a stone bridge | a narrow alley | a park | a canal |
a row of houses | a shopping street | a tram stop | a fountain
--
in an old town | in a big city | in a seaside town | in a mountain village | in a European city | in a small town |
in an Asian city | in the suburbs | seen from above | seen from a window

a kitchen | a library | a living room | a bedroom | a workshop | a hallway | a café | a greenhouse | an attic |
a classroom | a hotel lobby | a museum hall | a bathroom | a study
--
with a large window | with wooden furniture | with a tiled floor | with high ceilings | with plants on the shelves |
with a round table | in an old house | in a modern building | with white walls | seen from the doorway

a mountain range | a forest | a beach | a river | a waterfall | a lake | a field of wheat | a desert | a meadow |
a canyon | a coastline | a bamboo grove | a swamp | a glacier | rolling hills
--
with a path leading through | under a wide sky | in the morning | in the evening | in autumn | in spring |
with rocks in the foreground | with a few trees | seen from afar | with a wooden fence | after rain

a bowl of fruit | a vase of flowers | a cup of coffee | an open book | a violin | a wooden chair | a lamp |
a clock | a loaf of bread | a pair of shoes | a suitcase | a globe | a teapot | a stack of books | a candle |
a guitar
--
on a table | on a windowsill | in a corner of a room | on a wooden floor | on a shelf | next to a window |
on a stone wall | against a plain background | on a white cloth | in the grass

a sailing boat | a red car | a bicycle | a steam train | a rowing boat | a delivery van | a hot air balloon |
a motorcycle | a fishing boat | a bus | a tractor | an aeroplane | a space station
--
near the coast | in a wide landscape | in front of a building | at a crossing | on a long journey |
at the edge of a town | above the hills | between two villages | seen from the side | in the distance

a dog | a cat | a horse | a deer | a fox | an owl | a flock of birds | a swan | a bear | a rabbit | a cow |
an elephant | a fish | a wolf | a butterfly | a tiger
--
in a garden | in a forest | near a river | in a field | on a farm | in the mountains | in the grass | by a pond |
in a clearing | near an old wall | seen up close | seen from the side

an oak tree | a rose bush | a row of poplars | a cherry tree | a pine tree | a garden | a vineyard | sunflowers |
a palm tree | mushrooms | a willow | a hedge | a field of tulips
--
beside a path | in front of a house | on a hillside | by the water | in a park | behind a stone wall | in a yard |
in a botanical garden | at a crossroads | near a bench
"""

_SOMEBODY = """
a man | a woman | a child | an old man | an old woman | two friends | a family | a couple | a girl | a boy |
a musician | a fisherman | a farmer | a student | a nurse | a dancer | three people | a crowd
--
at a table | in a kitchen | in the street | at a window | on a bench in a park | in a workshop | at the beach |
on a train | in a field | in front of a house | in a library | at a market | on a bridge | in a garden |
in a classroom | at a bus stop
"""


def _parse(table: str) -> list[tuple[list[str], list[str]]]:
    """The blocks of a table: subjects and places."""
    blocks = [block.split("--") for block in table.strip().split("\n\n")]
    return [tuple([part.strip() for part in side.split("|")] for side in block) for block in blocks]


NOBODY, SOMEBODY = _parse(_NOBODY), _parse(_SOMEBODY)


def draw_scene(random: Random) -> Scene:
    """A scene without a mood."""
    has_people = random.random() < PEOPLE_SHARE
    subjects, places = random.choice(SOMEBODY if has_people else NOBODY)
    return Scene(f"{random.choice(subjects)} {random.choice(places)}", has_people)


def draw_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Contrastive pairs, spread evenly over the plane.

    Args:
        count: Their number; the first of a longer list are those of a shorter one.
        seed: Decides scenes, points and words.

    Returns:
        Every run of 25 has one pair near each of the 25 points: at it, moved by up to half the distance to the next.
    """
    random = Random(f"emoticrafter pairs {seed}")  # noqa: S311
    pairs = []
    while len(pairs) < count:
        for valence, arousal in random.sample(CELLS, len(CELLS)):
            scene = draw_scene(random)
            at = [min(max(x + random.uniform(-STEP / 2, STEP / 2), VA_MIN), VA_MAX) for x in (valence, arousal)]
            told = emotional_prompt(scene.text, *at, random, KINDS if scene.has_people else WITHOUT_BODY)
            pairs.append(Pair(scene.text, told, *at))
    return pairs[:count]
