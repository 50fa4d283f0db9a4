"""Mountain, house, street, lighthouse and windmill: cared for or ruined with valence, still or unruly with arousal."""

from __future__ import annotations

import math

import numpy as np

from trainer.world.backdrop import GROUNDS, landmark, swell, water
from trainer.world.canvas import INK, Brush, box, colour, curve, dashes, dots, ellipse, mirrored, mix, ribbon
from trainer.world.world import World

WHITE = colour("#ffffff")
Values = float | np.ndarray
LAMP = colour("#ffd884")
WALLS = ("#e8d4b0", "#d9a58a", "#b8c4cc", "#e0c070", "#c8b0c8")
ROOFS = ("#b0483a", "#7a4a3a", "#4f6a86", "#8a5a78", "#5f7a4a")


def _painted(world: World, plain: np.ndarray) -> np.ndarray:
    """The colour of paint: weathered with gloom, fresh with joy."""
    faded, fresh = mix(plain, colour("#6a6c72"), 0.62), mix(plain, colour("#ffdf90"), 0.25)
    return world.mood.by_valence(faded, plain, fresh)


def _cracks(brush: Brush, world: World, width: float, *paths: list) -> None:
    """Cracks that open with gloom."""
    brush.fill([ribbon(path, width, 0.003) for path in paths], INK, alpha=0.85 * world.mood.gloom)


def _pane(brush: Brush, world: World) -> np.ndarray:
    """The colour of a window."""
    return mix(colour("#2a3040") * brush.light, LAMP, _lamplight(world))


def _lamplight(world: World) -> float:
    """How brightly windows and lamps burn."""
    dark = {"day": 0.45, "dawn": 0.6}.get(world.scene.time, 0.8)
    return world.mood.by_valence(0.03, dark, 1.0)


def paint_mountain(world: World) -> None:
    """A peak between two lower ones, painted before the land so that the setting lies at its foot."""
    mood = world.mood
    generator = world.random("ridge")
    base = world.horizon + 0.06
    rock = mood.tint("#4a4c55", "#77788a", "#a08a90")
    peak = 0.5 + 1.5 * world.place
    for x, top, wide, haze in ((peak - world.side * 0.30, 0.34, 0.36, 0.4), (peak + world.side * 0.33, 0.38, 0.32, 0.3),
                               (peak, 0.13, 0.50, 0.0)):  # fmt: skip
        body = mix(rock, world.sky()[1], haze + 0.15 * mood.calm)
        left, right, teeth = _slopes(world, generator, x, top, wide, base)
        outline = np.concatenate([left, right[::-1][1:]])
        world.spotlit.fill(outline, mix(body, WHITE, 0.1), body * 0.72, ink=0.4)
        shaded = np.concatenate([right, [[x - 0.05, base]], teeth[::-1]])
        world.spotlit.fill(shaded, body * 0.62, body * 0.5, alpha=0.75)
        _snowcap(world, left, right, teeth, x, top)
    plume = 0.30 * mood.energy
    drift = np.sign(world.wind + 1e-9)
    world.brush.line([(peak, 0.14), (peak + drift * plume, 0.10), (peak + drift * 2 * plume, 0.13)], 0.02, WHITE,
                     0.07, alpha=0.55 * mood.energy, soft=0.012)  # fmt: skip


def _slopes(world, generator, x, top, wide, base):
    """Left and right flank and the broken line between light and shade, [9, 2] each, from summit to foot."""
    t = np.linspace(0, 1, 9)
    rough = (0.008 + 0.045 * world.mood.energy) * np.minimum(1, 6 * t) * (1 - 0.6 * t)
    sag = t ** (1.0 + 0.25 * world.mood.calm)
    sides = []
    for reach in (-wide, wide, -0.06):
        zigzag = np.where(np.arange(9) % 2 == 0, 1.0, -1.0) * generator.uniform(0.4, 1.0, 9) * rough
        across = (3 if reach == -0.06 else 1) * zigzag * 0.6
        sides.append(np.column_stack([x + reach * t + across, top + (base - top) * sag + zigzag]))
    sides[1][0] = sides[2][0] = sides[0][0]
    return sides


def _snowcap(world: World, left, right, teeth, x: float, top: float) -> None:
    snow = world.mood.tint("#a8b0bc", "#eef4fa", "#fff4e0")
    jag = 0.035 + 0.03 * world.mood.wild
    low = max(left[3][1], right[3][1])
    lit = [(x - 0.10, low - jag), (x - 0.05, low + jag * 0.6)]
    dim = [(x, low - jag), (x + 0.055, low + jag * 0.8), (x + 0.10, low - jag)]
    world.spotlit.fill(np.concatenate([left[:4], lit, dim, right[3::-1]]), snow, snow * 0.92)
    world.spotlit.fill(np.concatenate([teeth[:3], dim, right[3::-1]]), snow * 0.72, alpha=0.8)


def paint_house(world: World) -> None:
    mood = world.mood
    wall = _painted(world, colour(WALLS[int(world.hue[0] * 5)]))
    roof = _painted(world, colour(ROOFS[int(world.hue[1] * 5)]))
    lean = 0.20 * mood.energy * world.side
    brush = world.spotlit.at(0.5 + world.place, 0.90, 0.82 * world.scale, lean=lean, flip=world.side < 0)
    brush.ball(0, 0.0, 0.44, 0.035, INK, alpha=0.4, soft=0.015)
    _smoke(world, brush)
    brush.fill(box(0.16, -0.84, 0.26, -0.55), wall * 0.7, roof * 0.7, ink=0.4)
    brush.fill(box(-0.34, -0.46, 0.34, 0.0), mix(wall, WHITE, 0.12), wall * 0.82, ink=0.5)
    sag = 0.06 * mood.gloom
    jut = 0.05 * mood.energy
    ridge = [(-0.20, -0.67 + sag * 0.3), (0.0, -0.78 + sag - jut), (0.20, -0.67 + sag * 0.8)]
    eaves = [(0.44, -0.42 - jut * 2), (0.36, -0.42), (-0.36, -0.42)]
    outline = [(-0.44, -0.42 - jut), *ridge, *eaves]
    brush.fill(outline, mix(roof, WHITE, 0.1), roof * 0.75, ink=0.6)
    for y in (-0.50, -0.59):
        half = 0.40 * (0.86 + y) / 0.40
        brush.line([(-half, y), (0, y + 0.02 + sag), (half, y)], 0.012, roof * 0.6, alpha=0.7)
    _front(brush, world, wall, roof)
    _decay(brush, world)


def _front(brush: Brush, world: World, wall: np.ndarray, roof: np.ndarray) -> None:
    mood = world.mood
    door = _painted(world, colour(ROOFS[int(world.hue[2] * 5)]))
    brush.fill(box(-0.075, -0.27, 0.075, 0.0), door, door * 0.7, ink=0.6)
    brush.ball(0.045, -0.13, 0.012, 0.012, LAMP)
    pane = _pane(brush, world)
    for x in (-0.215, 0.215):
        brush.glow(x, -0.26, 0.16, LAMP, 0.5 * _lamplight(world) * (0.3 + 0.7 * mood.bright))
        brush.fill(box(x - 0.07, -0.34, x + 0.07, -0.19), pane, pane * 0.9, lit=False, ink=0.6)
        bars = [box(x - 0.006, -0.34, x + 0.006, -0.19), box(x - 0.07, -0.272, x + 0.07, -0.260)]
        brush.fill(bars, wall * 0.6)
        for side in (-1, 1):
            hinge, lift = x + side * 0.075, 0.035 * mood.energy
            edge = hinge + side * (0.06 + 0.04 * mood.energy)
            shutter = [(hinge, -0.35), (edge, -0.35 - lift), (edge, -0.18 - lift), (hinge, -0.18)]
            brush.fill(shutter, door * 0.9, ink=0.4)
        blooms = np.linspace(x - 0.07, x + 0.07, 6)
        brush.fill(box(x - 0.08, -0.185, x + 0.08, -0.165), colour("#7a5030"))
        brush.fill(dots(blooms, np.full(6, -0.195), 0.020), colour("#ff6f86"), alpha=mood.joy)
    brush.ball(0, -0.57, 0.055, 0.055, mix(pane, wall * 0.4, 0.2), lit=False, ink=0.5)


def _decay(brush: Brush, world: World) -> None:
    """Cracks in the wall, boards over the windows and holes in the roof."""
    gloom = world.mood.gloom
    left = [(-0.30, -0.45), (-0.27, -0.36), (-0.31, -0.27), (-0.28, -0.16)]
    middle = [(0.12, 0.0), (0.15, -0.10), (0.11, -0.17), (0.14, -0.25)]
    _cracks(brush, world, 0.014, left, middle, [(0.33, -0.42), (0.29, -0.37), (0.31, -0.30)])
    start = np.array([(-0.29, -0.31), (0.14, -0.22), (0.14, -0.33)])
    end = np.array([(-0.14, -0.22), (0.29, -0.30), (0.29, -0.24)])
    brush.fill(dashes(start, end, 0.03), colour("#6a5a4c"), alpha=gloom)
    brush.fill([[-0.22, -0.56], [-0.14, -0.60], [-0.12, -0.52], [-0.19, -0.50]], INK, alpha=0.9 * gloom)


def _smoke(world: World, brush: Brush) -> None:
    """Smoke from the chimney: a still thread when calm, torn away when wild; white or sooty."""
    mood = world.mood
    tint = mood.tint("#33343a", "#b8b8c0", "#fff2e4")
    blown = world.wind * world.side
    for k in range(5):
        t = (k + 1) / 5
        x = 0.21 + t * (0.04 + 0.75 * blown) + 0.03 * math.sin(4 * t + world.hue[3] * 6)
        y = -0.84 - 0.26 * t * (1 - 0.45 * mood.energy)
        wide, tall = 0.035 + 0.05 * t * (0.6 + mood.wild), 0.03 + 0.04 * t
        brush.ball(x, y, wide, tall, tint, alpha=0.6 * (1 - 0.6 * t), soft=0.012)


def paint_street(world: World) -> None:
    """A street in one-point perspective; depth 0 is the vanishing point, 1 the picture's edge."""
    mood = world.mood
    stone = mood.tint("#5c5e66", "#938e8a", "#ccac84")
    stone = mix(stone, mood.tint(*GROUNDS[world.scene.setting]), 0.55)
    depth = np.linspace(0.02, 1.3, 8)
    left, right = _along(world, -0.34, 0.62, depth), _along(world, 0.34, 0.62, depth)
    world.brush.fill(np.concatenate([left, right[::-1]]), mix(stone, world.sky()[1], 0.3), stone * 0.8)
    wet = ((-0.1, 0.5), (0.14, 0.66), (-0.04, 0.85))
    puddles = [ellipse(*_along(world, x, 0.62, d)[0], 0.11 * d, 0.018 * d) for x, d in wet]
    world.brush.fill(puddles, mix(world.sky()[1], WHITE, 0.1), alpha=0.8 * mood.gloom)
    cobbles = [ellipse(*_along(world, x, 0.62, d)[0], 0.05 * d, 0.010 * d)
               for d in (0.3, 0.42, 0.56, 0.74) for x in (-0.20, 0.0, 0.20)]  # fmt: skip
    world.brush.fill(cobbles, stone * 0.68, alpha=0.45, soft=0.003)
    generator = world.random("street")
    for side in (-1, 1):
        for near, far in ((0.28, 0.16), (0.48, 0.28), (0.82, 0.48), (1.40, 0.82)):
            _facade_along(world, side, near, far, generator)
    for d in (0.36, 0.66):
        for side in (-1, 1):
            _lamp(world, side, d)
    for side in (-1, 1):
        landmark(world, 0.5 + side * 0.36, 0.95, 0.50)
    _bunting(world)


def _along(world: World, x: Values, y: Values, depth: Values) -> np.ndarray:
    """Where points at (x, y) from the vanishing point, seen at depth 1, lie at other depths, [N, 2].

    The street winds with energy.
    """
    depth = np.atleast_1d(depth)
    bend = 0.16 * world.mood.energy * world.side * np.sin(np.minimum(depth, 1) * math.pi)
    return np.stack([0.5 + world.place + bend + x * depth, world.horizon - 0.02 + y * depth], axis=1)


def _facade_along(world: World, side: int, near: float, far: float, generator: np.random.Generator) -> None:
    """One house front of the row, its roof, windows and door."""
    mood = world.mood
    wall_pick, roof_pick, tall = generator.random(3)
    haze = 0.45 * (1 - min(near, 1)) * (1 + mood.calm)
    wall = mix(_painted(world, colour(WALLS[int(wall_pick * 5)])), world.sky()[1], 0.6 * haze)
    roof = mix(_painted(world, colour(ROOFS[int(roof_pick * 5)])), world.sky()[1], 0.6 * haze)
    top = -(0.40 + 0.16 * tall)
    if world.scene.setting == "snow":
        roof = mix(roof, WHITE, 0.75)
    # The fronts lean over the street as arousal rises.
    crown = side * (0.34 - 0.13 * mood.energy)
    foot = side * 0.34

    def quad(t0: float, t1: float, y0: float, y1: float) -> np.ndarray:
        y = np.array([y0, y0, y1, y1])
        rise = (0.62 - y) / (0.62 - top)
        return _along(world, mix(foot, crown, rise), y, mix(near, far, np.array([t0, t1, t1, t0])))

    brush = world.spotlit
    brush.fill(quad(0, 1, top, 0.62), mix(wall, WHITE, 0.08), wall * 0.72, ink=0.45)
    eaves, ridge = quad(-0.04, 1, top, top + 0.04), quad(-0.04, 1, top - 0.20 - 0.08 * mood.energy, top)
    ridge[:2, 0] += side * 0.10 * np.array([near, far])
    brush.fill(np.concatenate([ridge[:2], eaves[[1, 0]]]), mix(roof, WHITE, 0.1), roof * 0.75, ink=0.45)
    pane = _pane(brush, world)
    panes = [quad(t, t + 0.24, y, y + 0.17) for t in (0.14, 0.60) for y in (top + 0.12, top + 0.42)]
    brush.fill(panes, pane, pane * 0.9, lit=False, ink=0.5)
    brush.fill(quad(0.40, 0.62, 0.32, 0.62), roof * 0.6, ink=0.4)
    cracks = [ribbon(quad(0.1, 0.2, top + 0.32, 0.2)[[0, 2]], 0.010 * near, 0.002)]
    brush.fill(cracks, INK, alpha=0.8 * mood.gloom)


def _lamp(world: World, side: int, depth: float) -> None:
    mood, glow = world.mood, _lamplight(world)
    foot = _along(world, side * 0.27, 0.62, depth)[0]
    brush = world.spotlit.at(foot[0], foot[1], depth, lean=0.14 * world.wind)
    brush.line([(0, 0), (0, -0.54)], 0.024, INK)
    swing = 0.08 * mood.energy * side
    brush.glow(swing, -0.60, 0.20, LAMP, 0.8 * glow)
    glass = mix(colour("#4a4a50") * brush.light, colour("#fff0b8"), glow)
    brush.ball(swing, -0.59, 0.042, 0.055, glass, lit=False, ink=0.6)


def _bunting(world: World) -> None:
    """Flags across the street: bright with joy, blown about with energy."""
    mood = world.mood
    x = np.linspace(0.06, 0.94, 12)
    dip = 4 * (x - 0.06) * (0.94 - x) / 0.88**2
    y = world.horizon - 0.30 + 0.11 * dip + 0.02 * mood.energy * np.sin(14 * x)
    top = np.column_stack([x, y])
    world.spotlit.fill(ribbon(top, 0.006), INK, alpha=0.8 * mood.joy)
    hang = np.array([0.06 * world.wind, 0.055 - 0.02 * mood.energy])
    flags = dashes(top, top + hang, 0.045, 0.05)
    for k, tint in enumerate(("#ff5f5f", "#ffd83f", "#4fb8ff")):
        world.spotlit.fill(flags[k::3], colour(tint), alpha=min(1.0, 1.3 * mood.joy))


def paint_lighthouse(world: World) -> None:
    mood, side = world.mood, world.side
    water(world, 3)
    tower = _painted(world, colour("#f2ece0"))
    stripe = _painted(world, colour(("#c8433a", "#3a5f9a", "#2f7a6a")[int(world.hue[0] * 3)]))
    rock = mood.tint("#3f4046", "#66625f", "#8a7462")
    at = 0.5 + world.place
    jag = 0.04 * mood.energy
    left = [(-0.34, 0.10), (-0.24, -0.02 - jag), (-0.13, -0.08)]
    right = [(0.14, -0.08), (0.23, -0.02 - jag), (0.36, 0.10)]
    cliff = [*left, (0.0, -0.10 - jag * 0.5), *right]
    brush = world.spotlit.at(at, 0.86, world.scale)
    brush.fill(cliff, mix(rock, WHITE, 0.15), rock * 0.6, ink=0.5)
    lean = brush.at(0, -0.07, lean=0.12 * mood.energy * side)
    _beam(world, lean)
    lean.fill(mirrored([(-0.115, 0.0), (-0.075, -0.50)]), mix(tower, WHITE, 0.15), tower * 0.8, ink=0.5)
    for low, high in ((0.06, 0.17), (0.28, 0.39)):
        a, b = (0.115 - 0.08 * v for v in (low, high))
        lean.fill(mirrored([(-a, -low), (-b, -high)]), stripe, stripe * 0.85)
    lean.fill([[0.03, 0.0], [0.02, -0.50], [0.075, -0.50], [0.115, 0.0]], INK, alpha=0.22)
    lean.fill(box(-0.10, -0.525, 0.10, -0.495), INK * 1.5)
    lamp = mix(colour("#4a4a50") * brush.light, colour("#fff2b0"), 0.12 + 0.88 * mood.bright)
    lean.fill(box(-0.055, -0.61, 0.055, -0.525), lamp, lit=False, ink=0.7)
    lean.fill([[-0.085, -0.605], [0.0, -0.70], [0.085, -0.605]], stripe, stripe * 0.8, ink=0.5)
    crack = [(-0.06, -0.46), (-0.03, -0.36), (-0.07, -0.26)]
    _cracks(lean, world, 0.012, crack, [(0.05, -0.05), (0.02, -0.15), (0.06, -0.24)])
    swell(world, 0.88, 0.99, 2, 1.0)
    _spray(world, at)


def _beam(world: World, brush: Brush) -> None:
    """The lighthouse's light: golden or dying with valence, far-reaching with energy."""
    mood = world.mood
    strong = 0.15 + 0.85 * mood.bright
    reach = 0.35 + 0.5 * mood.wild
    wide = 0.05 + 0.06 * mood.wild
    brush.glow(0, -0.57, 0.20, colour("#fff0b0"), 0.8 * strong)
    for side in (-1, 1):
        ray = np.array([[0, -0.57], [side * reach, -0.57 - wide - 0.06], [side * reach, -0.57 + wide - 0.06]])
        brush.fill(ray, colour("#fff2b8"), alpha=strong * (0.18 + 0.32 * mood.wild), soft=0.01, lit=False)


def _spray(world: World, at: float) -> None:
    """Foam that leaps up the rocks with energy."""
    spots = world.random("spray").random((26, 3))
    high = 0.36 * world.mood.energy
    x = at + (spots[:, 0] - 0.5) * 0.75
    y = 0.90 - high * spots[:, 1] * (0.4 + np.abs(spots[:, 0] - 0.5) * 1.6)
    world.brush.fill(dots(x, y, 0.008 + 0.014 * spots[:, 2]), WHITE, alpha=min(1.0, 1.4 * world.mood.energy))


def paint_windmill(world: World) -> None:
    mood = world.mood
    wall = _painted(world, colour(WALLS[int(world.hue[0] * 5)]))
    roof = _painted(world, colour(ROOFS[int(world.hue[1] * 5)]))
    brush = world.spotlit.at(0.5 + world.place, 0.93, world.scale, lean=0.10 * mood.energy * world.side)
    brush.ball(0, 0.0, 0.26, 0.03, INK, alpha=0.4, soft=0.015)
    brush.fill(mirrored([(-0.17, 0.0), (-0.10, -0.46)]), mix(wall, WHITE, 0.12), wall * 0.75, ink=0.5)
    brush.fill([[0.04, 0.0], [0.03, -0.46], [0.10, -0.46], [0.17, 0.0]], INK, alpha=0.2)
    cap = curve(mirrored([(-0.125, -0.44), (-0.08, -0.57), (0.0, -0.62)]))
    brush.fill(cap, mix(roof, WHITE, 0.1), roof * 0.7, ink=0.5)
    brush.glow(0, -0.30, 0.12, LAMP, 0.5 * _lamplight(world))
    brush.fill(box(-0.04, -0.36, 0.04, -0.26), _pane(brush, world), lit=False, ink=0.6)
    brush.fill(box(-0.055, -0.14, 0.055, 0.0), roof * 0.6, ink=0.5)
    crack = [(-0.10, -0.40), (-0.06, -0.30), (-0.11, -0.20)]
    _cracks(brush, world, 0.013, crack, [(0.09, -0.03), (0.06, -0.13), (0.11, -0.22)])
    _sails(brush.at(0, -0.50), world)


def _sails(hub: Brush, world: World) -> None:
    """Four vanes, torn with gloom; seen in a whirl of after-images with energy."""
    mood = world.mood
    cloth = mood.tint("#77746e", "#ece4d4", "#fff0c8")
    turn = 0.2 + 0.9 * world.hue[2]
    wide, long = 0.095 * (1 - 0.45 * mood.gloom), 0.40 - 0.16 * mood.gloom
    hem = [(long, wide), (0.24, wide * (1 - 0.5 * mood.gloom)), (0.09, wide)]
    sheet = np.array([(0.07, 0.0), (0.40 - 0.10 * mood.gloom, 0.0), *hem])
    for ghost in (3, 2, 1, 0):
        alpha = 1.0 if ghost == 0 else 0.45 * mood.energy / ghost**0.5
        vane = hub.at(0, 0, angle=turn - 0.30 * ghost * (0.4 + 0.6 * mood.energy))
        sheets, spars = [], []
        for k in range(4):
            c, s = math.cos(k * math.pi / 2), math.sin(k * math.pi / 2)
            sheets.append(sheet @ np.array([[c, s], [-s, c]]))
            spars.append(ribbon([[0, 0], [0.42 * c, 0.42 * s]], 0.022, 0.014))
        vane.fill(sheets, cloth, cloth * 0.85, alpha=alpha, ink=0.4 if ghost == 0 else 0)
        vane.fill(spars, colour("#5a4030"), alpha=alpha)
    hub.ball(0, 0, 0.032, 0.032, colour("#4a3628"))
