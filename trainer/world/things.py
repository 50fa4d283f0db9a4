"""Boat, balloon and campfire: bright or shabby with valence, tossed, swaying or blazing with arousal."""

from __future__ import annotations

import math

import numpy as np

from trainer.world.backdrop import swell, water
from trainer.world.canvas import INK, Brush, colour, curve, dashes, dots, ellipse, mirrored, mix, ribbon, ring
from trainer.world.world import Mood, World

WHITE = colour("#ffffff")
STRIPES = (("#e0483f", "#f6e2b0"), ("#3f78c0", "#f4d25a"), ("#8a4fa8", "#f5a05a"), ("#2f9a86", "#f6ecd0"))


def _cloth(world: World, plain: np.ndarray) -> np.ndarray:
    faded, fresh = mix(plain, colour("#6a6e76"), 0.62), mix(plain, colour("#ffd860"), 0.15)
    return world.mood.by_valence(faded, plain, fresh)


def paint_boat(world: World) -> None:
    mood, side = world.mood, world.side
    water(world, 3)
    wood = mood.tint("#4f4a48", "#8a5a38", "#b8682f")
    sail, trim = (_cloth(world, colour(c)) for c in STRIPES[int(world.hue[0] * 4)])
    sail = mix(sail, mood.by_valence(colour("#8a8c90"), WHITE, WHITE), 0.25)
    y, heel = 0.82 - 0.02 * mood.energy, -side * 0.33 * mood.energy
    brush = world.spotlit.at(0.5 + world.place, y, 0.95 * world.scale, angle=heel, flip=side < 0)
    brush.line([(0, -0.05), (0, -0.66)], 0.026, colour("#5a3f2c"))
    _sails(world, brush, sail, trim)
    tip = (-0.14 - 0.06 * mood.energy, -0.66 + 0.10 * mood.gloom * (1 - mood.wild))
    flag = curve([(0, -0.68), (-0.07, -0.70 - 0.03 * mood.energy), tip])
    brush.fill(ribbon(flag, 0.055, 0.03), _cloth(world, colour("#f0503f")))
    keel = [(-0.34, -0.09), (-0.24, 0.045), (0.0, 0.07), (0.22, 0.05), (0.34, -0.10)]
    hull = ring([*keel, (0.15, -0.065), (0, -0.055), (-0.15, -0.06)])
    brush.fill(hull, mix(wood, WHITE, 0.12), wood * 0.65, ink=0.6)
    brush.line([(-0.30, -0.045), (0, -0.015), (0.30, -0.05)], 0.022, trim)
    swell(world, 0.84, 0.98, 3, 1.0)
    _splash(world)


def _sails(world: World, brush: Brush, sail: np.ndarray, trim: np.ndarray) -> None:
    """The sail: full in the wind of wild moods, slack and torn in gloomy ones."""
    mood = world.mood
    full = 0.04 + 0.14 * mood.wild
    slack = 0.06 * mood.gloom
    main = curve([(0.02, -0.63 + slack), (0.13 + full, -0.42), (0.30 + 0.5 * full, -0.13)])
    jib = curve([(-0.02, -0.57 + slack), (-0.12 - full * 0.4, -0.36), (-0.26, -0.13)])
    for edge, foot, tint in ((main, 0.02, sail), (jib, -0.02, trim)):
        brush.fill([*edge, (foot, -0.12 + slack)], mix(tint, WHITE, 0.2), tint * 0.85, ink=0.5)
    band = [(0.02, -0.36), (0.155 + full * 0.95, -0.36), (0.19 + full * 0.88, -0.28), (0.02, -0.28)]
    brush.fill(band, trim, trim * 0.9, alpha=0.9)
    high, low = [(0.09, -0.50), (0.14, -0.47), (0.10, -0.42)], [(0.16, -0.24), (0.24, -0.20), (0.18, -0.14)]
    torn = [high, low, [(-0.13, -0.28), (-0.08, -0.24), (-0.12, -0.19)]]
    brush.fill(torn, world.sky()[1] * 0.6, alpha=0.9 * mood.gloom)


def _splash(world: World) -> None:
    energy = world.mood.energy
    spots = world.random("splash").random((18, 3))
    x = 0.5 + world.place + (spots[:, 0] - 0.5) * 0.8
    y = 0.86 - 0.22 * energy * spots[:, 1] * (0.3 + 1.4 * np.abs(spots[:, 0] - 0.5))
    world.brush.fill(dots(x, y, 0.006 + 0.012 * spots[:, 2]), WHITE, alpha=min(1.0, 1.4 * energy))


def paint_balloon(world: World) -> None:
    mood, side = world.mood, world.side
    first, second = (_cloth(world, colour(c)) for c in STRIPES[int(world.hue[0] * 4)])
    _far_balloons(world, first)
    lift = 0.05 * mood.joy - 0.05 * mood.gloom
    sway = side * 0.34 * mood.energy
    brush = world.spotlit.at(0.5 + world.place, 0.88 - lift, 0.86 * world.scale, angle=sway)
    ropes = [ribbon([(s * 0.06, -0.09), (s * 0.13, -0.30)], 0.008) for s in (-1, -0.3, 0.3, 1)]
    brush.fill(ropes, INK, alpha=0.85)
    _envelope(brush, first, second, mood)
    patches = [ellipse(-0.12, -0.60, 0.045, 0.05, 0.4), ellipse(0.14, -0.48, 0.05, 0.04, 0.2)]
    brush.fill(patches, colour("#55504e"), alpha=0.85 * mood.gloom, ink=0.5 * mood.gloom)
    burner = 0.03 + 0.09 * mood.wild
    flame = mood.tint("#b0604a", "#ff9a3a", "#ffd24a")
    brush.glow(0, -0.24, 0.13, flame, 0.35 + 0.5 * mood.wild)
    brush.fill(_leaf_flame(0, -0.19, 0.05, burner + 0.03), flame, colour("#fff0b0"), lit=False)
    basket = mirrored([(-0.075, -0.10), (-0.06, 0.02)])
    brush.fill(basket, colour("#a8703f"), colour("#6e4526"), ink=0.6)
    brush.line([(-0.08, -0.10), (0.08, -0.10)], 0.022, colour("#c98f55"))
    _wake(world)


def _leaf_flame(x: float, y: float, wide: float, tall: float) -> np.ndarray:
    left, right = (x - wide / 2, y - tall * 0.3), (x + wide / 2, y - tall * 0.35)
    return ring([(x, y), left, (x - wide * 0.1, y - tall), right])


def _envelope(brush: Brush, first: np.ndarray, second: np.ndarray, mood: Mood) -> None:
    """Striped gores from the crown to the mouth; the skin sags and buckles with gloom."""
    crumple = 0.05 * mood.gloom
    top = -0.80 + 0.05 * (mood.gloom * (1 - 0.4 * mood.wild))
    t = np.linspace(0, 1, 22) ** 1.5
    y = top + (-0.28 - top) * t
    round_ = np.clip(1 - np.abs((t - 0.40) / np.where(t < 0.4, 0.40, 0.605)) ** 2, 0, 1)
    wide = 0.315 * np.sqrt(round_) + 0.04 * t
    wide = wide * (1 - crumple) + crumple * 0.7 * np.sin(t * 19 + 1) * np.minimum(1, 3 * t)

    def gore(left: float, right: float) -> np.ndarray:
        return np.concatenate([np.column_stack([wide * left, y]), np.column_stack([wide * right, y])[::-1]])

    brush.fill(gore(-1, 1), mix(first, WHITE, 0.15), first * 0.8, ink=0.6)
    for left, right in ((-0.68, -0.34), (0.0, 0.34), (0.68, 0.92)):
        brush.fill(gore(left, right), mix(second, WHITE, 0.15), second * 0.8)
    brush.fill(gore(0.45, 1), INK, alpha=0.20, soft=0.01)
    brush.ball(-0.12, top + 0.16, 0.05, 0.09, WHITE, alpha=0.18 + 0.3 * mood.joy, soft=0.015, angle=0.4)


def _far_balloons(world: World, tint: np.ndarray) -> None:
    """Two companions near the horizon."""
    far = mix(tint, world.sky()[1], 0.45)
    for x, y, r in ((0.14, 0.40, 0.045), (0.86, 0.30, 0.055)):
        brush = world.brush.at(x, y, angle=world.side * 0.3 * world.mood.energy)
        brush.ball(0, 0, r, r * 1.15, mix(far, WHITE, 0.2), far * 0.85)
        brush.fill(mirrored([(-0.3 * r, 1.45 * r), (-0.25 * r, 1.85 * r)]), far * 0.6)


def _wake(world: World) -> None:
    """Lines of speed behind the balloon."""
    energy = world.mood.energy
    away = -np.sign(world.wind - 1e-9)
    y = np.array([0.20, 0.31, 0.44, 0.56, 0.68])
    start = np.column_stack([0.5 + world.place + away * np.array([0.30, 0.36, 0.36, 0.30, 0.20]), y])
    lines = dashes(start, start + np.array([away * 0.30 * energy, 0.0]), 0.014, 0.1)
    world.brush.fill(lines, WHITE, alpha=0.65 * energy)


def paint_campfire(world: World) -> None:
    mood = world.mood
    at, ground = 0.5 + world.place, 0.86
    tall = mood.by_arousal(0.20, 0.40, 0.68) * world.scale
    hot = mood.tint("#c04a3a", "#f4701e", "#ff8c22")
    _soot(world, at, ground, tall)
    bright = 0.25 + 0.45 * mood.wild
    world.brush.glow(at, ground - 0.06, 0.30 + 0.20 * mood.wild, hot, bright)
    brush = world.spotlit.at(at, ground)
    brush.ball(0, 0.05, 0.34, 0.06, mix(INK, hot, 0.25), soft=0.012)
    stone = mood.tint("#50525a", "#7d7a7a", "#a08a78")
    for side in (-1, 1):
        stones = [ellipse(side * x, y, 0.06, 0.045) for x, y in ((0.30, 0.03), (0.21, -0.005))]
        brush.fill(stones, mix(stone, WHITE, 0.12), stone * 0.6, ink=0.4)
    bark = mood.tint("#3f3836", "#6b4630", "#84522c")
    _flames(world, brush, tall, hot)
    logs = ((-0.24, 0.06, 0.16, -0.05), (0.24, 0.06, -0.16, -0.05), (-0.15, 0.075, 0.17, 0.065))
    for x0, y0, x1, y1 in logs:
        brush.line([(x0, y0), (x1, y1)], 0.065, bark, 0.05, ink=0.5)
        brush.ball(x0, y0, 0.03, 0.036, mix(bark, colour("#e8b070"), 0.4), ink=0.4)
    brush.glow(0, 0.01, 0.12, hot, 0.55)
    for side, x in ((-1, -0.12), (1, 0.10), (-1, 0.0)):
        brush.ball(x + side * 0.1, 0.085, 0.055, 0.04, mix(stone, WHITE, 0.15), stone * 0.6, ink=0.4)
    _sparks(world, brush, tall)


def _flames(world: World, brush: Brush, tall: float, hot: np.ndarray) -> None:
    """Three layers of tongues: low and round when calm, tall, split and leaning when wild."""
    mood = world.mood
    middle = mood.tint("#d8785a", "#ffb83a", "#ffd23f")
    core = mood.tint("#d8c0b0", "#ffe9a0", "#fff6c8")
    shifts = world.random("flames").uniform(-1, 1, (3, 5))
    lean = 0.30 * world.wind
    for layer, (size, tint) in enumerate(((1.0, hot), (0.70, middle), (0.42, core))):
        tongues = []
        for k, high in enumerate((0.55, 0.82, 1.0, 0.78, 0.5)):
            x = (k - 2) * 0.075 * size
            shift = shifts[layer, k]
            split = mix(0.85, high, 0.25 + 0.75 * mood.wild) + 0.10 * mood.energy * shift
            tip_x = x * (1.1 + 0.5 * mood.energy) + lean * tall * split + 0.03 * mood.energy * shift
            tip_y = -tall * size * split
            fat = 0.085 * size * (1.15 - 0.3 * mood.energy)
            left = [(x - fat, -0.01), (x - fat * 0.9, tip_y * 0.35)]
            right = [(x + fat * 0.9, tip_y * 0.3), (x + fat, -0.01)]
            tongues.append(ring([*left, (tip_x, tip_y), *right, (x, 0.03)]))
        soft, ink = 0.004 + 0.006 * mood.calm, 0.3 if layer == 0 else 0
        brush.fill(tongues, tint, mix(tint, core, 0.4), lit=False, soft=soft, ink=ink)


def _soot(world: World, at: float, ground: float, tall: float) -> None:
    """Smoke, dark with gloom."""
    mood = world.mood
    for k in range(5):
        t = (k + 1) / 5
        x = at + 0.45 * world.wind * t + 0.05 * math.sin(3 * t + world.hue[1] * 6)
        y = ground - 0.10 - (0.25 + 0.5 * t) * (0.7 + 0.3 * mood.wild)
        alpha = 0.6 * mood.gloom * (1.1 - 0.5 * t)
        world.brush.ball(x, y, 0.06 + 0.10 * t, 0.06 + 0.07 * t, colour("#24222a"), alpha=alpha, soft=0.03)


def _sparks(world: World, brush: Brush, tall: float) -> None:
    mood = world.mood
    spots = world.random("sparks").random((30, 4))
    rise = tall * (0.6 + 0.7 * spots[:, 1])
    start = np.column_stack([(spots[:, 0] - 0.5) * 0.75 + 0.35 * world.wind * rise, -rise])
    across, down = 0.04 * world.wind * (1 + spots[:, 2]), -0.012 - 0.05 * mood.energy * spots[:, 2]
    flying = dashes(start, start + np.column_stack([across, down]), 0.008 + 0.008 * spots[:, 3], 0.3)
    tint = mood.tint("#e07050", "#ffc860", "#fff0a0")
    brush.fill(flying, tint, alpha=0.15 + 0.25 * mood.wild + 0.6 * mood.energy, lit=False)
