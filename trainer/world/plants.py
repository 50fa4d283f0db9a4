"""Trees and flowers: bloom or decay is valence, wind and tension arousal."""

from __future__ import annotations

import math

import numpy as np

from trainer.world.canvas import INK, Brush, colour, curve, dots, ellipse, mix, ribbon
from trainer.world.world import World

WHITE = colour("#ffffff")
PETALS = ("#f0525f", "#f0a02e", "#d96ac0", "#5f7fe0", "#f5d03a")
# A leaf of unit length and width.
LEAF = np.array([(t, s * math.sin(math.pi * t) / 2) for s, ts in ((1, range(9)), (-1, range(8, -1, -1)))
                 for t in (k / 8 for k in ts)])  # fmt: skip
# Where the branches of a tree start and end, in heights of the tree.
BRANCHES = (
    (0.34, -0.38, 0.62), (0.40, 0.36, 0.66), (0.52, -0.30, 0.86), (0.56, 0.28, 0.90), (0.62, 0.02, 1.0),
    (0.45, -0.16, 0.74), (0.50, 0.15, 0.78),
)  # fmt: skip


def paint_tree(world: World) -> None:
    mood = world.mood
    brush = world.spotlit.at(0.5 + world.place, 0.93, 0.80 * world.scale, lean=0.38 * world.wind)
    brush.ball(0, 0.01, 0.34, 0.035, INK, alpha=0.35, soft=0.015)
    bark = mood.tint("#4a4346", "#6b4c36", "#84562f")
    trunk = curve([(0.0, 0.02), (-0.02, -0.25), (0.02, -0.45), (0.0, -0.66)])
    roots = [ribbon(curve([(0, -0.12), (s * 0.06, -0.02), (s * 0.17, 0.02)]), 0.07, 0.01) for s in (-1, 1)]
    wood = [ribbon(trunk, 0.13, 0.05), *roots, *_branches(world)]
    brush.fill(wood, bark, bark * 0.6, ink=0.5)
    _crown(brush, world)


def _branches(world: World) -> list[np.ndarray]:
    mood = world.mood
    droop = 0.10 * mood.gloom * (1 - 0.6 * mood.wild)
    kinks = world.random("branches").uniform(-1, 1, (len(BRANCHES), 4))
    wood = []
    for (start, x, y), kink in zip(BRANCHES, kinks, strict=True):
        bend = 0.03 + 0.05 * mood.energy
        tip = np.array([x + 0.03 * kink[0], -y + droop])
        middle = (0.55 * x + bend * kink[1], -0.5 * (start + y) - 0.05 + bend * kink[2])
        wood.append(ribbon(curve([(0, -start), middle, tip]), 0.05, 0.008))
        for side in (-1, 1):
            twig = tip + np.array([side * 0.08 + 0.05 * x, -0.07 + 0.02 * kink[3] + 1.5 * droop])
            wood.append(ribbon([0.3 * np.array(middle) + 0.7 * tip, twig], 0.018, 0.004))
    return wood


def _crown(brush: Brush, world: World) -> None:
    """Clumps of leaves that shrink to nothing with gloom and blossom with joy."""
    mood = world.mood
    kind = world.hue[0]
    plain = colour("#5f9448" if kind < 0.5 else "#7f9a3a")
    leaf = mood.by_valence(colour("#6d6048"), plain, mix(plain, colour("#7fd048"), 0.6))
    generator = world.random("crown")
    full = 1 - 0.88 * mood.gloom
    clumps = [(x, y - 0.02, 0.17) for _, x, y in BRANCHES]
    x, y, size = np.array([*clumps, (0, 0.80, 0.2), (-0.2, 0.72, 0.17), (0.2, 0.74, 0.17)]).T
    jitter = generator.uniform(-0.03, 0.03, (len(x), 2))
    x, y = x + jitter[:, 0] + 0.05 * world.wind, -y + jitter[:, 1]
    size = size * (0.35 + 0.65 * full)
    edge = 0.35 * mood.energy
    for shift, tint in ((0.03, leaf * 0.68), (0.0, leaf), (-0.035, mix(leaf, colour("#fff2a0"), 0.28))):
        scale = size * (1.0 if shift >= 0 else 0.62)
        puffs = [_clump(a - shift, b + shift, r, edge) for a, b, r in zip(x, y, scale, strict=True)]
        ink = 0.4 if shift > 0 else 0.0
        brush.fill(puffs, tint, mix(tint, INK, 0.12), alpha=min(1.0, 1.25 * full), ink=ink)
    spots = generator.random((30, 3))
    blossom = colour("#ffb3c8" if kind < 0.5 else "#ff7a5c")
    around = spots[:, 0] * 2 * math.pi
    reach = np.sqrt(spots[:, 1])
    x, y = 0.42 * reach * np.cos(around), -0.72 + 0.30 * reach * np.sin(around)
    heads = dots(x, y, 0.012 + 0.014 * mood.joy)
    brush.fill(heads, mix(blossom, WHITE, 0.3), alpha=min(1.0, 1.3 * mood.joy))


def _clump(x: float, y: float, r: float, edge: float) -> np.ndarray:
    """A round clump of leaves whose outline turns ragged as `edge` grows."""
    outline = ellipse(x, y, r, r * 0.85)
    outline[::2] += (outline[::2] - (x, y)) * edge
    outline[1::4] -= (outline[1::4] - (x, y)) * edge * 0.5
    return outline


def paint_flowers(world: World) -> None:
    """Five blossoms: upright or hanging with valence, furled or flung wide with arousal."""
    brush = world.spotlit.at(0.5 + 0.6 * world.place, 1.0, world.scale, lean=0.30 * world.wind)
    generator = world.random("flowers")
    behind = [(-0.33, 0.44, 0.10), (0.33, 0.47, 0.10), (-0.16, 0.66, 0.125), (0.18, 0.69, 0.125)]
    plants = [*behind, (0.0, 0.50, 0.14)]
    picks = generator.permutation(len(PETALS))
    for (x, tall, r), pick in zip(plants, picks, strict=True):
        wobble = generator.uniform(-0.03, 0.03, 2)
        _flower(brush, world, x + wobble[0], tall + wobble[1], r, colour(PETALS[pick]))


def _flower(brush: Brush, world: World, x: float, tall: float, r: float, tint: np.ndarray) -> None:
    mood = world.mood
    green = mood.tint("#6b6444", "#4f8a45", "#4fb040")
    side = 1 if x >= 0 else -1
    hang = mood.gloom * (1 - 0.35 * mood.wild)
    high = tall * (1 - 0.18 * hang + 0.06 * mood.joy)
    head = np.array([x + side * 0.17 * hang, -high + 0.24 * tall * hang])
    stem = curve([(x * 0.75, 0.02), (x * 0.9, -0.45 * tall), (x, -high), head]) if hang > 0.02 else curve(
        [(x * 0.75, 0.02), (x * 0.9, -0.45 * tall), head])  # fmt: skip
    brush.fill(ribbon(stem, 0.026, 0.018), green, green * 0.7, ink=0.35)
    for s in (-1, 1):
        foot = np.array([x * 0.85, -0.25 * tall])
        tip = foot + np.array([s * 0.14, -0.12 + 0.17 * hang - 0.05 * mood.energy])
        brush.fill(_leaf(foot, tip, 0.055 * (1 - 0.5 * hang)), green, green * 0.75)
    _blossom(brush.at(head[0], head[1], r, angle=side * 1.9 * hang), world, tint)


def _leaf(foot: np.ndarray, tip: np.ndarray, width: float) -> np.ndarray:
    """A pointed oval from foot to tip."""
    (x, y), along = foot, tip - foot
    across = width / max(math.hypot(*along), 1e-9)
    turn = np.array([[along[0], along[1]], [-along[1] * across, along[0] * across]])
    return LEAF @ turn + (x, y)


def _blossom(brush: Brush, world: World, tint: np.ndarray) -> None:
    mood = world.mood
    tint = mood.by_valence(mix(tint, colour("#6a5548"), 0.75), mix(tint, colour("#b0a0a0"), 0.15), tint)
    spread = mood.by_arousal(0.45, 0.8, 1.0)
    long = mood.by_arousal(0.75, 0.85, 1.25) * mood.by_valence(0.75, 1.0, 1.12)
    wide = mood.by_arousal(0.30, 0.36, 0.27) * mood.by_valence(0.6, 1.0, 1.15)
    for ring_of, shade in ((0.5, 0.78), (0.0, 1.0)):
        petals = []
        for k in range(7):
            angle = ((k + ring_of) / 7 - 0.5) * 2 * math.pi * spread
            c, s = math.sin(angle), -math.cos(angle)
            tip = np.array([c, s]) * 1.15 * long
            petals.append(_leaf(np.array([c, s]) * 0.1, tip, 2.2 * wide))
        brush.fill(petals, mix(tint * shade, WHITE, 0.12), tint * shade * 0.85, ink=0.4)
    heart = mood.tint("#4a3828", "#c89030", "#ffd040")
    brush.ball(0, 0, 0.30, 0.30, heart, heart * 0.7, ink=0.3)
