"""The sky, the land and the weather around the subject."""

from __future__ import annotations

import math

import cv2
import numpy as np

from trainer.world.canvas import box, colour, curve, dashes, dots, ellipse, mix, ribbon
from trainer.world.world import World

WHITE = colour("#ffffff")
# The ground: withered, plain, in bloom.
GROUNDS = {
    "meadow": ("#7d7452", "#86a95c", "#86cf4c"),
    "forest": ("#57523f", "#5f8149", "#6fae44"),
    "beach": ("#958d7e", "#dcc796", "#ffe09a"),
    "desert": ("#8f765c", "#d6a164", "#f6b75a"),
    "snow": ("#a4adb8", "#dfe7ef", "#f8f6ff"),
    "town": ("#65666c", "#a0988f", "#d4b088"),
}


def noise(generator: np.random.Generator, rows: int, columns: int, size: int) -> np.ndarray:
    """Smooth random values, mean 0.5, float32 [size, size], with about rows x columns bumps."""
    grid = generator.random((rows, columns), dtype=np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def paint_sky(world: World) -> None:
    """Fills the picture: gradient, sun or moon, stars, clouds; cloud cover is valence, turmoil arousal."""
    pixels, size = world.pixels, world.pixels.shape[1]
    top, low = world.sky()
    y = np.clip((np.arange(size, dtype=np.float32) + 0.5) / size / world.horizon, 0, 1)[:, None]
    pixels[:] = top[:, None, None] + (low - top)[:, None, None] * y**1.4
    _stars(world)
    _sun(world)
    _clouds(world)
    _rainbow(world)


def _sun(world: World) -> None:
    mood, (x, y) = world.mood, world.sun
    y = {"dawn": world.horizon - 0.16, "sunset": world.horizon - 0.12}.get(world.scene.time, y)
    disc = colour({"night": "#fff6d8", "day": "#fff3b0", "dawn": "#ffe3b8"}.get(world.scene.time, "#ffd27a"))
    clear = mood.by_valence(0.10, 0.75, 1.0)
    shine = clear * (0.35 + (0.15 if world.night else 0.45) * mood.joy)
    world.brush.glow(x, y, 0.20 + 0.22 * mood.joy, disc, shine)
    radius = 0.05 if world.night else 0.058
    if not world.night:
        _sunbeams(world, x, y, disc)
    shape = _crescent(x, y, radius) if world.night else ellipse(x, y, radius, radius)
    world.brush.fill(shape, mix(disc, WHITE, 0.4), disc, alpha=clear, soft=0.004, lit=False)


def _crescent(x: float, y: float, r: float) -> np.ndarray:
    turn = np.linspace(-0.35, 1.35, 20) * math.pi
    horn = np.linspace(1.22, -0.22, 16) * math.pi
    outer = np.column_stack([x + r * np.cos(turn), y + r * np.sin(turn)])
    inner = np.column_stack([x + 0.4 * r + 0.72 * r * np.cos(horn), y - 0.42 * r + 0.72 * r * np.sin(horn)])
    return np.concatenate([outer, inner])


def _sunbeams(world: World, x: float, y: float, tint: np.ndarray) -> None:
    """Rays of the sun: joy shows them, energy makes them longer."""
    mood = world.mood
    angles = np.arange(12) * math.pi / 6 + world.hue[0]
    reach = 0.12 + 0.10 * mood.wild + 0.35 * mood.energy
    rays = [
        np.array([[x, y], [x + reach * math.cos(t - 0.07), y + reach * math.sin(t - 0.07)],
                  [x + reach * math.cos(t + 0.07), y + reach * math.sin(t + 0.07)]])
        for t in angles
    ]  # fmt: skip
    world.brush.fill(rays, tint, alpha=mood.joy * (0.22 + 0.3 * mood.energy), soft=0.004, lit=False)


def _stars(world: World) -> None:
    if not world.night:
        return
    places = world.random("stars").random((26, 3))
    big = 0.004 + 0.003 * world.mood.joy
    stars = dots(places[:, 0], places[:, 1] * world.horizon, big * (0.5 + places[:, 2]))
    world.brush.fill(stars, colour("#fff4d0"), alpha=world.mood.by_valence(0.0, 0.6, 1.0), lit=False)


def _clouds(world: World) -> None:
    """Clouds: few and white at high valence, a dark lid at low; still layers when calm, torn swirls when wild."""
    mood, size = world.mood, world.pixels.shape[1]
    generator = world.random("clouds")
    still = 0.65 * noise(generator, 7, 3, size) + 0.35 * noise(generator, 14, 4, size)
    torn = 0.55 * noise(generator, 6, 6, size) + 0.45 * noise(generator, 17, 15, size)
    field = mix(still, torn, 0.15 + 0.85 * mood.wild)
    y = (np.arange(size, dtype=np.float32)[:, None] + 0.5) / size / world.horizon
    threshold = mood.by_valence(0.22, 0.60, 0.74) + 0.25 * np.clip(y - 0.45, 0, 1)
    softness = mood.by_arousal(0.16, 0.11, 0.07)
    cover = np.clip(0.5 + (field - threshold) / (2 * softness), 0, 1)
    cover = cover * cover * (3 - 2 * cover) * mood.by_valence(0.92, 0.75, 0.75)
    top, low = world.sky()
    pale = mix(low, WHITE, 0.15 if world.night else 0.6)
    dark = mix(top * (0.75 if world.night else 0.68), low, 0.12)
    body = mood.by_valence(dark, pale, mix(pale, WHITE, 0.3))
    rough = mood.by_arousal(0.1, 0.3, 0.8) * (torn - 0.5)
    shade = np.clip(1 + rough, 0.3, 1.7)
    world.pixels += (body[:, None, None] * shade - world.pixels) * cover


def _rainbow(world: World) -> None:
    alpha = 0.55 * world.mood.joy**2
    if world.night or alpha < 0.004:
        return
    size = world.pixels.shape[1]
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    radius = np.hypot(at[None] - 0.5 + world.side * 0.12, (at[:, None] - world.horizon - 0.12))
    t = np.clip((radius - 0.50) / 0.085, 0, 1)
    hues = np.stack([np.clip(1.6 - np.abs(t - c) * 3.2, 0, 1) for c in (0.95, 0.5, 0.08)])
    band = np.clip(np.sin(t * math.pi), 0, 1) * alpha
    world.pixels += (hues - world.pixels) * band


def paint_land(world: World) -> None:
    """The far hills with what stands on them, and the ground of the setting."""
    mood, h = world.mood, world.horizon
    ground = mood.tint(*GROUNDS[world.scene.setting])
    generator = world.random("land")
    _, haze = world.sky()
    phases = generator.uniform(0, 6.28, 4)
    x = np.linspace(-0.02, 1.02, 30)
    far = h - 0.035 - 0.035 * np.sin(x * 5 + phases[0]) - 0.015 * np.sin(x * 13 + phases[1])
    near = h + 0.02 - 0.018 * np.sin(x * 4 + phases[2])
    fade = 0.62 + 0.2 * mood.calm
    if world.scene.setting == "beach":
        _sea(world, h)
        near += 0.10
    else:
        world.brush.fill(_below(x, far), mix(ground, haze, fade), mix(ground, haze, fade - 0.3))
    if not (world.scene.setting == "beach" and world.scene.subject in ("boat", "lighthouse")):
        _STANDING[world.scene.setting](world, generator)
    world.brush.fill(_below(x, near), mix(ground, haze, 0.18), ground * 0.82)
    _ground_detail(world, generator, ground)


def _below(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.column_stack([np.r_[x, x[-1], x[0]], np.r_[y, 1.02, 1.02]])


def sea_colours(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Colours of water at the horizon and nearby."""
    far = world.mood.tint("#59656f", "#5f9fb8", "#4fc0d8")
    near = world.mood.tint("#323d48", "#2f6f96", "#1f8fc4")
    return far, near


def _sea(world: World, h: float) -> None:
    far, near = sea_colours(world)
    world.brush.fill(box(-0.02, h - 0.02, 1.02, 1), far, near)
    swell(world, h + 0.01, h + 0.11, 3, 0.5)


def swell(world: World, top: float, bottom: float, rows: int, size: float) -> None:
    """Rows of waves between two heights: flat lines when calm, tall and jagged when wild."""
    mood = world.mood
    far, near = sea_colours(world)
    generator = world.random(f"swell {rows}")
    x = np.linspace(-0.02, 1.02, 48)
    for row in range(rows):
        depth = (row + 0.5) / rows
        height = size * (0.25 + 0.75 * depth) * (0.006 + 0.016 * mood.wild + 0.065 * mood.energy)
        phase = x * generator.uniform(9, 12) * (1.7 - 0.8 * depth) + generator.uniform(0, 6.28)
        rolling, sharp = np.sin(phase), 1 - 2 * np.abs(np.sin(phase / 2 + 0.6))
        crest = mix(top, bottom, depth) - height * mix(rolling, sharp, 0.75 * mood.energy)
        body = mix(far, near, depth)
        world.brush.fill(_below(x, crest), mix(body, WHITE, 0.12 + 0.06 * mood.joy), body)
        foam = ribbon(np.column_stack([x, crest]), 0.003 + 0.009 * mood.energy * size)
        world.brush.fill(foam, WHITE, alpha=0.12 + 0.25 * mood.wild + 0.4 * mood.energy)


def water(world: World, rows: int) -> None:
    """Water over the land from just below the horizon, with a path of sunlight and waves."""
    mood, shore = world.mood, world.horizon + 0.05
    far, near = sea_colours(world)
    world.brush.fill(box(-0.02, shore, 1.02, 1.02), mix(far, world.sky()[1], 0.35), near)
    glint = colour("#e8ecff" if world.night else "#fff0b8")
    rows_y = np.linspace(shore + 0.02, 0.95, 9)
    path = [ellipse(world.sun[0], y, 0.03 + 0.10 * (y - shore), 0.005) for y in rows_y]
    world.brush.fill(path, glint, alpha=mood.by_valence(0.05, 0.4, 0.9), soft=0.003, lit=False)
    if world.scene.setting == "beach":
        sand = world.mood.tint(*GROUNDS["beach"])
        for x in (0.06, 0.94):
            world.brush.ball(x, world.horizon + 0.15, 0.15, 0.03, mix(sand, WHITE, 0.15), sand * 0.85)
            landmark(world, x, world.horizon + 0.14, 0.36)
    swell(world, shore + 0.03, 0.82, rows, 0.7)


def _edges(generator: np.random.Generator, count: int, gap: float = 0.2) -> np.ndarray:
    """Places left and right of the middle, where the subject does not hide them."""
    x = generator.uniform(0, 0.5 - gap, count)
    return np.where(np.arange(count) % 2 == 0, x, 1 - x)


def _forest(world: World, generator: np.random.Generator) -> None:
    mood, h = world.mood, world.horizon
    leaf = mood.tint("#4b4a44", "#3f6b48", "#55953f")
    for layer, haze in ((0, 0.45), (1, 0.12)):
        tint = mix(leaf, world.sky()[1], haze + 0.2 * mood.calm)
        firs = []
        for x, tall in zip(_edges(generator, 10, 0.02 + 0.1 * layer), generator.uniform(0.22, 0.36, 10), strict=True):
            firs += _fir(x, h + 0.03, tall + 0.06 * layer, world.wind * 0.25, mood.gloom)
        world.brush.fill(firs, mix(tint, WHITE, 0.08), tint * 0.75)


def _fir(x: float, y: float, tall: float, wind: float, thin: float) -> list[np.ndarray]:
    """A fir: three stacked triangles and a trunk, thinner as it withers."""
    wide = tall * (0.30 - 0.13 * thin)
    tiers = [(0.10, 0.50, 1.0), (0.35, 0.75, 0.78), (0.60, 1.0, 0.52)]
    shapes = [np.array([[x - 0.008, y], [x + 0.008, y], [x + wind * tall * 0.2, y - tall * 0.3]])]
    for low, high, width in tiers:
        foot, tip = x + wind * tall * low, x + wind * tall * high
        shapes.append(np.array([[foot - wide * width, y - tall * low], [tip, y - tall * high],
                                [foot + wide * width, y - tall * low]]))  # fmt: skip
    return shapes


def _firs(world: World, generator: np.random.Generator) -> None:
    mood, h = world.mood, world.horizon
    leaf = mood.tint("#5a636b", "#5d7f86", "#5fa08e")
    for x, tall in zip(_edges(generator, 6), generator.uniform(0.13, 0.24, 6), strict=True):
        firs = _fir(x, h + 0.03, tall, world.wind * 0.25, 0.6 * mood.gloom)
        world.brush.fill(firs, mix(leaf, WHITE, 0.75), leaf)


def _bushes(world: World, generator: np.random.Generator) -> None:
    for x, big in zip(_edges(generator, 6), generator.uniform(0.03, 0.055, 6), strict=True):
        _bush(world, x, world.horizon + 0.02, big)


def _bush(world: World, x: float, y: float, big: float) -> None:
    leaf = world.mood.tint("#6d6650", "#6d9457", "#62ad48")
    puff = [ellipse(x + d * big + world.wind * 0.3 * big, y - big * (0.4 + u), big * r, big * r)
            for d, u, r in ((-0.8, 0.0, 0.8), (0.0, 0.5, 1.0), (0.8, 0.0, 0.75))]  # fmt: skip
    world.brush.fill(puff, mix(leaf, WHITE, 0.15), leaf * 0.75)


def _cacti(world: World, generator: np.random.Generator) -> None:
    for x, tall in zip(_edges(generator, 4, 0.22), generator.uniform(0.12, 0.2, 4), strict=True):
        _cactus(world, x, world.horizon + 0.03, tall)


def _cactus(world: World, x: float, y: float, tall: float) -> None:
    green = world.mood.tint("#6c6b55", "#5f8a5e", "#4fa45c")
    brush = world.brush.at(x, y, tall, lean=0.15 * world.wind)
    arms = [(0, -0.4), (-0.22, -0.42), (-0.25, -0.7)], [(0, -0.55), (0.2, -0.57), (0.23, -0.8)]
    stems = [ribbon([(0, 0), (0, -1)], 0.17), *(ribbon(curve(arm), 0.12) for arm in arms)]
    brush.fill([*stems, ellipse(0, -1, 0.085, 0.07)], mix(green, WHITE, 0.15), green * 0.7)


def _palms(world: World, generator: np.random.Generator) -> None:
    for x in _edges(generator, 2, 0.36):
        _palm(world, x, world.horizon + 0.16, generator.uniform(0.32, 0.42))


def _palm(world: World, x: float, y: float, tall: float) -> None:
    mood = world.mood
    leaf = mood.tint("#5f6050", "#4f8a55", "#3fae4f")
    brush = world.brush.at(x, y, tall, lean=0.25 * world.wind)
    brush.line([(0, 0), (0.05, -0.5), (0.02, -1)], 0.07, colour("#7d6248"), 0.045)
    droop = mood.by_valence(0.55, 0.25, 0.1)
    fronds = [
        ribbon(curve([(0.02, -1), (0.02 + 0.26 * c + 0.10 * world.wind, -1.14 + 0.1 * abs(c)),
                      (0.02 + 0.46 * c + 0.22 * world.wind, -1 + droop * abs(c) + 0.1 * c * c)]), 0.10, 0.01)
        for c in (-1.0, -0.55, 0.1, 0.6, 1.0)
    ]  # fmt: skip
    brush.fill(fronds, mix(leaf, WHITE, 0.15), leaf * 0.75)


def landmark(world: World, x: float, y: float, tall: float) -> None:
    """One of the things that stand in this setting, its foot at (x, y); nothing in a town."""
    mood, setting = world.mood, world.scene.setting
    if setting in ("forest", "snow"):
        leaf = mood.tint("#51504a", "#3f6b48", "#55953f")
        top = WHITE if setting == "snow" else leaf
        fir = _fir(x, y, tall, 0.25 * world.wind, 0.6 * mood.gloom)
        world.brush.fill(fir, mix(leaf, top, 0.8), leaf * 0.75)
    elif setting == "meadow":
        _bush(world, x, y, tall * 0.3)
    elif setting == "desert":
        _cactus(world, x, y, tall * 0.8)
    elif setting == "beach":
        _palm(world, x, y, tall)


def _skyline(world: World, generator: np.random.Generator) -> None:
    mood, h = world.mood, world.horizon
    wall = mood.tint("#565860", "#8a8690", "#c08f78")
    wall = mix(wall, world.sky()[1], 0.3 + 0.2 * mood.calm)
    edges = np.linspace(-0.02, 1.02, 11)
    blocks, panes = [], []
    for left, right, tall in zip(edges[:-1], edges[1:], generator.uniform(0.08, 0.25, 10), strict=True):
        roof = h - tall
        middle = (left + right) / 2
        gable = [[left, roof], [middle, roof - 0.045], [right, roof]]
        blocks.append(np.array([[left, h + 0.04], *gable, [right, h + 0.04]]))
        for x in (mix(left, right, 0.3), mix(left, right, 0.7)):
            rows = np.arange(roof + 0.03, h - 0.02, 0.055)
            panes += [box(x - 0.012, y, x + 0.012, y + 0.025) for y in rows]
    world.brush.fill(blocks, wall, wall * 0.8)
    dark, lamp = wall * 0.5 * world.brush.light, colour("#ffd27a")
    glow = mood.by_valence(0.05, 0.45, 1.0) * (1.0 if world.scene.time in ("night", "sunset") else 0.7)
    world.brush.fill(panes, mix(dark, lamp, glow), alpha=0.9, lit=False)


def _ground_detail(world: World, generator: np.random.Generator, ground: np.ndarray) -> None:
    """Grass, ripples or cobbles, and blossoms that open with joy."""
    mood, setting = world.mood, world.scene.setting
    spots = generator.random((22, 3))
    y = world.horizon + 0.06 + (0.96 - world.horizon) * spots[:, 1] ** 1.3
    near = 0.4 + 0.9 * (y - world.horizon) / (1 - world.horizon)
    if setting in ("meadow", "forest"):
        lean = 0.5 * world.wind
        foot = np.column_stack([spots[:, 0], y])
        blades = dashes(foot, foot + near[:, None] * (0.07 * lean, -0.065), 0.016 * near, 0.1)
        world.brush.fill(blades, ground * 0.62)
    else:
        marks = [ellipse(x, v, 0.06 * n, 0.006 * n) for x, v, n in zip(spots[:12, 0], y, near, strict=False)]
        world.brush.fill(marks, ground * 0.8, alpha=0.5, soft=0.003)
    for k, tint in enumerate(("#ff7f9f", "#ffd84a", "#ffffff")):
        size = (0.006 + 0.010 * mood.joy) * near[k::3]
        heads = dots(spots[k::3, 0], y[k::3] - 0.05 * near[k::3], size)
        world.brush.fill(heads, colour(tint), alpha=mood.joy)


_STANDING = {"meadow": _bushes, "forest": _forest, "beach": _palms, "desert": _cacti, "snow": _firs, "town": _skyline}
