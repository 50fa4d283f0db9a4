"""Whatever flies through the air, and the light, contrast and line of the whole picture."""

from __future__ import annotations

import cv2
import numpy as np

from trainer.world.backdrop import noise
from trainer.world.canvas import colour, curve, dashes, mix, ribbon
from trainer.world.world import World

LUMA = np.float32([0.299, 0.587, 0.114])
COLD, BLEAK = np.float32([0.79, 0.88, 1.02]), np.float32([1.08, 1.11, 1.16])
PLAIN, WARM = np.float32([0.97, 0.97, 0.97]), np.float32([1.13, 1.03, 0.80])
LANTERN = np.float32([1.22, 1.05, 0.80])


def paint_mist(world: World) -> None:
    """Mist over the land when calm, thunder when the gloom is wild."""
    mood, h = world.mood, world.horizon
    _, haze = world.sky()
    size = world.pixels.shape[1]
    y = (np.arange(size, dtype=np.float32) + 0.5) / size
    band = np.exp(-(((y - h) / 0.16) ** 2)) * 0.42 * mood.calm
    world.pixels += (haze[:, None, None] - world.pixels) * band[:, None]
    _lightning(world)


def _lightning(world: World) -> None:
    alpha = min(1.0, 1.4 * world.mood.gloom * world.mood.energy)
    generator = world.random("lightning")
    x = 0.5 - world.side * generator.uniform(0.22, 0.38)
    y = np.linspace(0, world.horizon - 0.03, 7)
    path = np.column_stack([x + np.r_[0, generator.uniform(-0.06, 0.06, 6)], y])
    world.brush.glow(x, world.horizon * 0.5, 0.3, colour("#c8d4ff"), 0.45 * alpha)
    world.brush.fill(ribbon(path, 0.020, 0.006), colour("#f4f2ff"), alpha=alpha, lit=False)


def paint_air(world: World) -> None:
    """Rain or snow with gloom, petals with joy, gusts with arousal: the faster, the longer."""
    _gusts(world)
    _rain(world)
    _petals(world)


def paint_strokes(world: World) -> None:
    """Makes the whole picture soft when calm, and jagged with visible, flowing strokes when wild."""
    mood, size = world.mood, world.pixels.shape[1]
    generator = world.random("strokes")
    bumps = generator.random((2, 40, 40), dtype=np.float32) - 0.5
    shift = [cv2.resize(b, (size, size), interpolation=cv2.INTER_LINEAR) for b in bumps]
    reach = size / 128 * 3.2 * mood.energy
    grid = np.arange(size, dtype=np.float32)
    image = cv2.remap(cv2.merge(list(world.pixels)), grid[None] + shift[0] * reach, grid[:, None] + shift[1] * reach,
                      cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    if mood.calm > 0:
        image += (cv2.GaussianBlur(image, (0, 0), size / 128 * 0.8) - image) * mood.calm
    flow = noise(generator, 5, 5, size) * 17 + grid[:, None] / size * 30
    stroke = np.sin(flow) + 0.6 * shift[0]
    np.multiply(cv2.split(image), 1 + stroke * mood.by_arousal(0.0, 0.025, 0.08), out=world.pixels)


def _gusts(world: World) -> None:
    energy = world.mood.energy
    spots = world.random("gusts").random((7, 3))
    lines = []
    for x, y, n in spots:
        long, bend = (0.10 + 0.45 * energy) * (0.6 + n), 0.03 + 0.05 * n
        start = x - long / 2
        lines.append(ribbon(curve([(start, y), (start + long * 0.35, y - bend), (start + long * 0.7, y + bend * 0.6),
                                   (start + long, y - bend * 0.3)]), 0.002, 0.011))  # fmt: skip
    world.brush.fill(lines, colour("#ffffff"), alpha=0.32 * energy, soft=0.004, lit=False)


def _rain(world: World) -> None:
    mood = world.mood
    spots = world.random("rain").random((46, 3))
    slant = 0.08 - 1.1 * world.side * mood.energy
    if world.scene.setting == "snow":
        long, thick, tint, alpha = 0.012 + 0.05 * mood.energy, 0.012, colour("#f4f8ff"), 0.9 * mood.gloom
    else:
        long, thick, tint = 0.035 + 0.05 * mood.wild + 0.10 * mood.energy, 0.0042, colour("#cfdbe8")
        alpha = mood.gloom * (0.35 + 0.25 * mood.wild)
    reach = long * (0.6 + 0.8 * spots[:, 2:])
    drops = dashes(spots[:, :2], spots[:, :2] + reach * (slant, 1), thick * (0.7 + 0.6 * spots[:, 2]))
    world.brush.fill(drops, tint, alpha=alpha, lit=False)


def _petals(world: World) -> None:
    """Drifting petals by day, fireflies by night."""
    mood = world.mood
    spots = world.random("petals").random((24, 4))
    tints = ("#ffe27a", "#fff6c0", "#b8ffd0") if world.night else ("#ff9fb4", "#fff2b0", "#ffffff")
    stretch = 1 + 3.0 * mood.energy
    shown = mood.joy * (0.35 + 0.3 * mood.wild + 0.35 * mood.energy)
    for k, tint in enumerate(tints):
        at, size = spots[k::3, :2], 0.007 + 0.007 * spots[k::3, 2]
        angle = mix(spots[k::3, 3] * 3.1, world.side * 0.5, mood.energy)
        half = np.column_stack([np.cos(angle), np.sin(angle)]) * (size * stretch)[:, None]
        flecks = dashes(at - half, at + half, size, 0.4)
        world.brush.fill(flecks, colour(tint), alpha=shown, lit=False)


def finish(world: World) -> np.ndarray:
    """Light and contrast of the whole picture; uint8 [S, S, 3].

    Valence moves brightness and colour temperature, arousal contrast and saturation about the picture's
    own mean, so that neither shifts what the other shows.
    """
    mood, size = world.mood, world.pixels.shape[1]
    image = world.pixels
    light = mood.by_valence(BLEAK, PLAIN, LANTERN) if world.night else mood.by_valence(COLD, PLAIN, WARM)
    at = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    edge = np.clip((at[:, None] ** 2 + at[None] ** 2) / 0.5, 0, 1)
    image *= light[:, None, None] * (1 - edge * mood.by_valence(0.40, 0.20, 0.08))
    mean = image.mean((1, 2), keepdims=True)
    image = mean + (image - mean) * mood.by_arousal(0.60, 1.0, 1.34)
    grey = np.einsum("c,chw->hw", LUMA, image)
    image = grey + (image - grey) * mood.by_arousal(0.68, 1.02, 1.42)
    return np.ascontiguousarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
