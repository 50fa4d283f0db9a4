"""The living subjects: valence is in their expression, arousal in how awake and tense they are."""

from __future__ import annotations

import math

import numpy as np

from trainer.world.canvas import INK, Brush, between, colour, curve, ellipse, mirrored, mix, ribbon, ring, spiky
from trainer.world.world import Mood, World

WHITE = colour("#ffffff")
ROSE = colour("#f08a86")
SKINS = ("#f4cba6", "#e3ab7e", "#c08457", "#8d5a3a")
HAIRS = ("#3a2a22", "#7a4a2a", "#c98f4a", "#b5552f", "#22202a")
COATS = (("#e09a4e", "#b86f2e"), ("#8d8a92", "#5d5a66"), ("#4a4450", "#2e2a34"), ("#e8d8c0", "#b89a78"))
DOGS = (("#c08a55", "#7a4f2e"), ("#e6d2ae", "#a97f52"), ("#7d5a48", "#49332c"), ("#d9d4cf", "#6d625e"))


def eye(brush: Brush, mood: Mood, x: float, y: float, r: float, iris: np.ndarray, tall: float = 0.85) -> None:
    """An eye from shut (arousal -3) to wide open (+3), with a pupil that narrows."""
    opening = 0.04 + 0.86 * mood.wild + 0.10 * mood.energy
    s = np.linspace(-1, 1, 13)
    arch = 1 - s**2
    smile = 0.35 * mood.joy
    upper = y + r * (0.25 - smile - tall * opening * 1.15 * arch**0.7 - 0.25 * s**2 + smile * s**2)
    lower = y + r * (0.25 - smile * 1.2 + tall * opening * 0.75 * arch**0.7 - 0.25 * s**2 + 0.02 + smile * s**2)
    px = x + r * s
    brush.fill(between(px, upper, lower), WHITE * 0.98, WHITE * 0.9)
    for radius, tint in ((0.68 - 0.10 * mood.energy, iris), (0.40 - 0.18 * mood.energy, INK)):
        disc = ellipse(x, y + 0.05 * r + 0.2 * r * mood.gloom * (1 - mood.wild), r * radius, r * radius)
        disc[:, 1] = np.clip(disc[:, 1], np.interp(disc[:, 0], px, upper), np.interp(disc[:, 0], px, lower))
        brush.fill(disc, tint)
    brush.ball(x + 0.22 * r, y - 0.12 * r, 0.14 * r, 0.14 * r, WHITE, alpha=min(1.0, 1.4 * mood.wild))
    brush.line(np.column_stack([px, upper]), 0.20 * r, INK)
    brush.line(np.column_stack([px, lower]), 0.09 * r, INK, alpha=0.7)


def mouth(brush: Brush, mood: Mood, y: float, w: float) -> None:
    """A mouth, from a frown to a smile; energy opens it."""
    s = np.linspace(-1, 1, 15)
    arch = 1 - s**2
    bend = 0.42 * w * mood.v
    gape = w * (0.05 + 0.05 * mood.wild + 0.75 * mood.energy)
    corner = y - 0.55 * bend
    upper = corner + arch * (bend - 0.45 * gape * (1 - mood.bright))
    lower = corner + arch * (bend + gape * (0.35 + 0.65 * mood.bright)) + 0.02 * w
    x = w * (1 - 0.25 * mood.energy * (1 - mood.bright)) * s
    brush.fill(between(x, upper, lower), colour("#7a2430"), colour("#a83a44"))
    teeth = between(x, upper, upper + 0.3 * (lower - upper))
    brush.fill(teeth, WHITE, alpha=mood.energy * (0.4 + 0.6 * mood.bright))
    brush.line(np.column_stack([x, upper]), 0.11 * w, INK, alpha=0.85)


def brow(brush: Brush, mood: Mood, x: float, y: float, w: float, side: int, tint: np.ndarray) -> None:
    """Eyebrows: raised and arched with joy, drawn together with anger, drooping with grief."""
    lift = -0.55 * w * mood.energy * (0.3 + 0.7 * mood.bright) - 0.12 * w * mood.joy
    knit = w * mood.gloom * (-0.55 + 1.25 * mood.wild)
    inner = (x - side * w * (0.9 + 0.15 * mood.gloom), y + lift + knit)
    outer = (x + side * w, y + lift - knit * 0.45 + 0.1 * w)
    top = (x, y + lift - w * (0.18 + 0.25 * mood.joy))
    brush.line([inner, top, outer], 0.30 * w, tint, 0.14 * w)


def tears(brush: Brush, mood: Mood, x: float, y: float, length: float) -> None:
    """Tears, which grow from the eye with gloom."""
    drop = length * mood.gloom
    path = [(x, y), (x + 0.004, y + drop * 0.5), (x, y + drop)]
    brush.line(path, 0.014, colour("#bfe4ff"), 0.030, alpha=0.9 * mood.gloom)


def paint_face(world: World) -> None:
    mood, pick = world.mood, world.hue
    skin = colour(SKINS[int(pick[0] * 4)])
    hair = colour(HAIRS[int(pick[1] * 5)])
    cloth = colour(("#b04a4a", "#3f6fa0", "#5f8a4f", "#8a5aa0", "#c08a3a")[int(pick[2] * 5)])
    skin = mood.by_valence(mix(skin, colour("#8f9aa8"), 0.35), skin, mix(skin, colour("#ffc08a"), 0.3))
    sag = 0.045 * mood.gloom * (1 - mood.wild) + 0.02 * mood.calm
    body = world.spotlit.at(0.5 + world.place, 0.56, world.scale)
    shrug = 0.05 * mood.energy - 0.04 * mood.calm
    shoulders = ring(mirrored([(-0.10, 0.24), (-0.30, 0.33 - shrug), (-0.42, 0.60)]))
    body.fill(shoulders, mix(cloth, WHITE, 0.12), cloth * 0.7, ink=0.5)
    neck = [(-0.085, 0.10), (0.085, 0.10), (0.10, 0.29), (0, 0.34), (-0.10, 0.29)]
    body.fill(neck, skin * 0.82, skin * 0.9)
    head = body.at(0, sag, 1.0, angle=world.side * (0.05 + 0.10 * mood.energy - 0.12 * mood.calm))
    _hair_behind(head, world, hair)
    for side in (-1, 1):
        head.ball(side * 0.245, 0.0, 0.04, 0.06, skin * 0.9, ink=0.4)
    oval = [(0, -0.32), (-0.17, -0.26), (-0.245, -0.05), (-0.20, 0.14), (-0.09, 0.265), (0, 0.285)]
    head.fill(ring(mirrored(oval)), mix(skin, WHITE, 0.10), skin * 0.9, ink=0.5)
    _features(head, world, hair, skin)
    _fringe(head, world, hair)


def _hair_behind(head: Brush, world: World, hair: np.ndarray) -> None:
    mood = world.mood
    long = 0.10 + 0.26 * (world.hue[3] > 0.45)
    mane = [(0, -0.40), (-0.22, -0.33), (-0.31, -0.06), (-0.29, long), (-0.14, long + 0.03)]
    outline = ring(mirrored(mane))
    outline[:, 0] += 0.30 * world.wind * np.clip(outline[:, 1] + 0.4, 0, 1)
    head.fill(spiky(outline, 0.045 * mood.energy), hair, hair * 0.65, ink=0.4)
    locks = []
    for k in range(6):
        y = -0.25 + 0.09 * k
        x, reach = 0.24 * np.sign(world.wind + 1e-9), 0.42 * world.wind
        lock = curve([(x, y), (x + reach * 0.5, y - 0.05), (x + reach, y + 0.03)])
        locks.append(ribbon(lock, 0.05, 0.004))
    head.fill(locks, hair, hair * 0.75, alpha=min(1.0, 2 * mood.energy))


def _fringe(head: Brush, world: World, hair: np.ndarray) -> None:
    part = world.side * 0.08
    fringe = ring([(0, -0.40), (-0.21, -0.34), (-0.285, -0.12), (-0.235, -0.08), (-0.16, -0.20), (part, -0.245),
                   (0.16, -0.20), (0.235, -0.08), (0.285, -0.12), (0.21, -0.34)])  # fmt: skip
    head.fill(spiky(fringe, 0.03 * world.mood.energy), mix(hair, WHITE, 0.12), hair * 0.85)


def _features(head: Brush, world: World, hair: np.ndarray, skin: np.ndarray) -> None:
    mood = world.mood
    iris = colour(("#3f7fb0", "#5f8a3f", "#7a4a2a")[int(world.hue[4] * 3)])
    for side in (-1, 1):
        head.ball(side * 0.135, 0.10, 0.06, 0.042, ROSE, alpha=0.12 + 0.5 * mood.joy, soft=0.012)
        head.ball(side * 0.105, 0.035, 0.06, 0.03, skin * 0.55, alpha=0.4 * mood.gloom, soft=0.01)
        eye(head, mood, side * 0.105, -0.005, 0.066, iris)
        brow(head, mood, side * 0.108, -0.105, 0.068, side, hair * 0.8)
        tears(head, mood, side * 0.125, 0.055, 0.15)
    head.line([(0.0, 0.02), (0.022, 0.085), (-0.008, 0.095)], 0.012, skin * 0.62)
    mouth(head, mood, 0.175, 0.095)


def paint_cat(world: World) -> None:
    mood = world.mood
    coat, dark = (colour(c) for c in COATS[int(world.hue[0] * 4)])
    coat = mood.by_valence(mix(coat, colour("#7d8288"), 0.4), coat, mix(coat, colour("#ffc878"), 0.25))
    brush = world.spotlit.at(0.5 + world.place, 0.95, world.scale)
    tense = 1 + 0.06 * mood.energy - 0.10 * mood.calm
    fur = 0.05 * mood.energy
    _shadow(brush, 0.33)
    _cat_tail(brush, world, coat, dark)
    body = ring(mirrored([(0, -0.46), (-0.15, -0.40), (-0.22, -0.20), (-0.25, -0.03), (-0.12, 0.0)]))
    trunk = brush.at(0, 0, squash=tense)
    trunk.fill(spiky(body, fur), coat, mix(coat, dark, 0.45), ink=0.5)
    trunk.ball(0, -0.20, 0.11, 0.16, mix(coat, WHITE, 0.5), alpha=0.8, soft=0.01)
    for side in (-1, 1):
        trunk.ball(side * 0.075, -0.03, 0.07, 0.045, mix(coat, WHITE, 0.35), ink=0.5)
    head = brush.at(0, -0.56 * tense + 0.05 * mood.gloom + 0.05 * mood.calm, 1.0,
                    angle=world.side * (0.08 * mood.energy - 0.14 * mood.calm))  # fmt: skip
    _cat_head(head, world, coat, dark, fur)


def _cat_tail(brush: Brush, world: World, coat: np.ndarray, dark: np.ndarray) -> None:
    mood, side = world.mood, world.side
    up = mood.by_valence(0.02, 0.22, 0.55)
    sway = 0.06 * mood.a
    tail = curve([(side * 0.16, -0.05), (side * 0.36, -0.04 - 0.2 * up), (side * (0.42 + sway), -0.05 - 0.8 * up),
                  (side * (0.34 + 2 * sway), -0.07 - 1.15 * up)])  # fmt: skip
    brush.fill(spiky(ribbon(tail, 0.06 + 0.05 * mood.energy, 0.045 + 0.06 * mood.energy), 0.02 * mood.energy),
               dark, coat, ink=0.5)  # fmt: skip


def _cat_head(head: Brush, world: World, coat: np.ndarray, dark: np.ndarray, fur: float) -> None:
    mood = world.mood
    for side in (-1, 1):
        ear = head.at(side * 0.135, -0.10, angle=side * mood.by_valence(0.75, 0.12, 0.0), flip=side < 0)
        tall = -0.17 - 0.05 * mood.energy
        ear.fill([[-0.075, 0.03], [0.02, tall], [0.085, 0.05]], coat, dark, ink=0.6)
        ear.fill([[-0.04, 0.01], [0.02, tall * 0.72], [0.055, 0.03]], ROSE, alpha=0.7)
    skull = ring(mirrored([(0, -0.17), (-0.14, -0.13), (-0.215, 0.03), (-0.13, 0.15), (0, 0.175)]))
    head.fill(spiky(skull, fur), mix(coat, WHITE, 0.12), mix(coat, dark, 0.2), ink=0.5)
    lines = [[(x, -0.155 + abs(x) * 0.3), (x * 0.8, -0.085)] for x in (-0.06, 0.0, 0.06)]
    stripes = [ribbon(line, 0.026, 0.006) for line in lines]
    head.fill(stripes, dark, alpha=0.85)
    iris = colour(("#9fbf3f", "#e0b030", "#5fb0c8")[int(world.hue[4] * 3)])
    for side in (-1, 1):
        eye(head, mood, side * 0.092, -0.01, 0.066, iris, 1.0)
        tears(head, mood, side * 0.11, 0.05, 0.10)
        head.ball(side * 0.14, 0.075, 0.04, 0.028, ROSE, alpha=0.5 * mood.joy, soft=0.01)
    head.ball(0, 0.085, 0.085, 0.055, mix(coat, WHITE, 0.65), soft=0.006)
    mouth(head, mood, 0.108, 0.065)
    head.fill([[-0.026, 0.058], [0.026, 0.058], [0, 0.085]], ROSE * 0.85)
    droop = 0.05 * mood.gloom - 0.05 * mood.energy
    whiskers = [ribbon([[s * 0.07, 0.085 + 0.02 * k], [s * 0.28, 0.07 + 0.05 * k + droop]], 0.008, 0.003)
                for s in (-1, 1) for k in (-0.6, 0.6)]  # fmt: skip
    head.fill(whiskers, WHITE, alpha=0.85)


def _shadow(brush: Brush, wide: float) -> None:
    brush.ball(0, 0.005, wide, 0.03, INK, alpha=0.35, soft=0.015)


def paint_dog(world: World) -> None:
    mood = world.mood
    coat, dark = (colour(c) for c in DOGS[int(world.hue[0] * 4)])
    coat = mood.by_valence(mix(coat, colour("#7d8288"), 0.4), coat, mix(coat, colour("#ffc878"), 0.25))
    brush = world.spotlit.at(0.5 + world.place, 0.95, world.scale)
    tense = 1 + 0.06 * mood.energy - 0.10 * mood.calm
    fur = 0.04 * mood.energy
    _shadow(brush, 0.36)
    _dog_tail(brush, world, coat)
    body = ring(mirrored([(0, -0.46), (-0.17, -0.38), (-0.23, -0.18), (-0.28, -0.03), (-0.14, 0.0)]))
    trunk = brush.at(0, 0, squash=tense)
    trunk.fill(spiky(body, fur), coat, mix(coat, dark, 0.4), ink=0.5)
    for side in (-1, 1):
        trunk.line([(side * 0.085, -0.26), (side * 0.09, -0.05)], 0.10, mix(coat, WHITE, 0.15))
        trunk.ball(side * 0.095, -0.025, 0.075, 0.04, mix(coat, WHITE, 0.35), ink=0.5)
    collar = mood.tint("#5a4a50", "#c0483f", "#ff5a3c")
    trunk.line([(-0.13, -0.37), (0, -0.335), (0.13, -0.37)], 0.04, collar)
    head = brush.at(0, -0.56 * tense + 0.05 * mood.gloom + 0.05 * mood.calm, 1.0,
                    angle=-world.side * (0.10 * mood.energy - 0.14 * mood.calm))  # fmt: skip
    _dog_head(head, world, coat, dark, fur)


def _dog_tail(brush: Brush, world: World, coat: np.ndarray) -> None:
    """The tail: held up with joy; energy makes it wag, seen several times."""
    mood, side = world.mood, world.side
    up = mood.by_valence(-0.05, 0.5, 1.0)
    for k in (-1, 1, 0):
        swing = 0.55 * k * mood.energy
        angle = 0.25 + 0.9 * up + swing
        tip = (side * (0.22 + 0.24 * math.cos(angle)), -0.08 - 0.26 * math.sin(angle))
        middle = (side * (0.22 + 0.15 * math.cos(angle - 0.3)), -0.08 - 0.15 * math.sin(angle - 0.3))
        alpha = 1.0 if k == 0 else 0.5 * mood.energy
        brush.line([(side * 0.20, -0.07), middle, tip], 0.075, coat, 0.03, alpha=alpha, ink=0.4)


def _dog_head(head: Brush, world: World, coat: np.ndarray, dark: np.ndarray, fur: float) -> None:
    mood = world.mood
    skull = ring(mirrored([(0, -0.20), (-0.13, -0.16), (-0.19, 0.0), (-0.14, 0.15), (0, 0.20)]))
    head.fill(spiky(skull, fur), mix(coat, WHITE, 0.12), mix(coat, dark, 0.15), ink=0.5)
    patch = head.at(-world.side * 0.085, -0.02)
    patch.ball(0, 0, 0.075, 0.09, dark, alpha=0.55, soft=0.008)
    iris = colour("#6a3f22")
    for side in (-1, 1):
        eye(head, mood, side * 0.082, -0.03, 0.056, iris, 1.0)
        brow(head, mood, side * 0.082, -0.115, 0.045, side, dark)
        tears(head, mood, side * 0.10, 0.02, 0.11)
    muzzle = ring(mirrored([(0, 0.02), (-0.09, 0.06), (-0.115, 0.13), (-0.06, 0.195)]))
    head.fill(muzzle, mix(coat, WHITE, 0.6), mix(coat, WHITE, 0.35))
    mouth(head, mood, 0.135, 0.085)
    tongue = 0.10 * mood.joy * (0.4 + 0.6 * mood.wild)
    head.line([(0.015, 0.165), (0.02, 0.165 + tongue * 0.6), (0.02, 0.165 + tongue)], 0.05, colour("#f0707a"), 0.055,
              alpha=min(1.0, 3 * mood.joy))  # fmt: skip
    head.ball(0, 0.07, 0.042, 0.03, INK)
    for side in (-1, 1):
        hang = mood.by_valence(0.30, 0.23, 0.17) - 0.10 * mood.energy
        out = 0.03 + 0.13 * mood.energy
        ear = ring([(side * 0.11, -0.17), (side * (0.20 + out * 0.5), -0.13),
                    (side * (0.235 + out), -0.13 + hang * 0.7), (side * (0.20 + out), -0.13 + hang),
                    (side * (0.155 + out * 0.3), -0.05)])  # fmt: skip
        head.fill(ear, dark, dark * 0.75, ink=0.5)


def paint_bird(world: World) -> None:
    """A songbird on a twig that blossoms or is bare."""
    mood, side = world.mood, world.side
    plume = colour(("#d8533f", "#3f7fc0", "#e0a83a", "#5a9a6a")[int(world.hue[0] * 4)])
    plume = mood.by_valence(mix(plume, colour("#747a82"), 0.5), plume, mix(plume, colour("#ffd060"), 0.2))
    _twig(world)
    slump = -0.10 + 0.42 * mood.gloom * (1 - 0.6 * mood.wild) - 0.22 * mood.joy
    brush = world.spotlit.at(0.5 + world.place, 0.80, 1.12 * world.scale, flip=side < 0)
    body = brush.at(0, -0.19, angle=slump, squash=1 - 0.12 * mood.calm)
    fan = 0.05 + 0.09 * mood.energy
    tail = [(-0.13, 0.02), (-0.38, 0.10 - fan), (-0.40, 0.10 + fan * 0.5), (-0.12, 0.10)]
    body.fill(tail, plume * 0.7, ink=0.4)
    _wing(body, mood, plume, far=True)
    back = [(0.14, -0.14), (0.0, -0.12), (-0.14, -0.03), (-0.19, 0.06)]
    shape = ring([*back, (-0.08, 0.15), (0.08, 0.16), (0.19, 0.06), (0.21, -0.06)])
    body.fill(spiky(shape, 0.035 * mood.energy), mix(plume, WHITE, 0.10), plume * 0.8, ink=0.5)
    body.ball(0.09, 0.075, 0.10, 0.075, mix(plume, colour("#fff0d8"), 0.75), soft=0.012)
    _wing(body, mood, plume, far=False)
    nod = 0.35 * mood.gloom * (1 - mood.wild) - 0.15 * mood.joy
    head = body.at(0.14, -0.14 + 0.05 * mood.gloom, angle=nod)
    _bird_head(head, mood, plume)
    legs = [ribbon([[x, -0.06], [x + 0.01, 0.0]], 0.014) for x in (-0.02, 0.05)]
    brush.fill(legs, colour("#a0703a"))
    notes = brush.at(0.36, -0.42, 1.0)
    for x, y in ((0.0, 0.0), (0.09, -0.10)):
        notes.ball(x, y, 0.022, 0.017, INK, alpha=0.8 * mood.joy, angle=-0.3)
        notes.line([(x + 0.02, y), (x + 0.02, y - 0.08)], 0.009, INK, alpha=0.8 * mood.joy)


def _bird_head(head: Brush, mood: Mood, plume: np.ndarray) -> None:
    gape = 0.010 + 0.055 * mood.energy + 0.015 * mood.joy
    beak = colour("#e8a030")
    head.fill([[0.10, -0.015], [0.23, 0.005 - gape], [0.10, 0.02]], beak, ink=0.4)
    head.fill([[0.10, 0.005], [0.21, 0.02 + gape * 0.8], [0.09, 0.045]], beak * 0.8)
    high = -0.13 - 0.11 * mood.energy
    crest = [((-0.06 + 0.04 * k, -0.09), (-0.10 + 0.05 * k, high), (-0.01 + 0.04 * k, -0.10)) for k in range(3)]
    head.fill(crest, plume * 0.85)
    head.ball(0, 0, 0.125, 0.12, mix(plume, WHITE, 0.15), plume * 0.9, ink=0.5)
    eye(head, mood, 0.035, -0.015, 0.052, colour("#4a3020"), 1.0)
    head.ball(0.02, 0.055, 0.035, 0.02, ROSE, alpha=0.6 * mood.joy, soft=0.01)
    tears(head, mood, 0.04, 0.035, 0.10)


def _wing(body: Brush, mood: Mood, plume: np.ndarray, far: bool) -> None:
    """A wing: folded when calm, lifted with energy."""
    lift = (0.15 if far else 0.0) + 1.35 * mood.energy
    wing = body.at(0.02, 0.0, angle=lift)
    long = 0.27 + 0.08 * mood.energy
    tips = [(-long * 0.6, -0.05), (-long, 0.06), (-long * 0.7, 0.09), (-long * 0.45, 0.12)]
    feathers = ring([(0.05, -0.04), *tips, (0.02, 0.08)])
    shade, alpha = (0.6, min(1.0, 3 * mood.energy)) if far else (0.85, 1.0)
    wing.fill(feathers, plume * shade, plume * 0.6, ink=0.4, alpha=alpha)


def _twig(world: World) -> None:
    mood = world.mood
    bark = mood.tint("#4a4444", "#6b4a34", "#7d5230")
    brush = world.spotlit.at(0.5 + world.place, 0.80)
    bend = 0.03 * mood.energy
    branch = curve([(-0.6, 0.06), (-0.3, 0.02), (0, 0.01), (0.3, -0.02 - bend), (0.6, -0.10 - 2 * bend)])
    brush.fill(ribbon(branch, 0.06, 0.03), bark, bark * 0.7, ink=0.4)
    generator = world.random("twig")
    leaf = mood.tint("#6f6252", "#6f9a4f", "#6fbf48")
    for x in (-0.42, -0.26, 0.24, 0.40):
        y = 0.04 - 0.10 * (x + 0.4) - 0.02
        tip = (x + 0.05 + 0.05 * world.wind, y - 0.13)
        brush.line([(x, y + 0.02), (x + 0.015, y - 0.06), tip], 0.016, bark, 0.006)
        size = 0.030 + 0.014 * generator.random()
        faded = {"angle": -0.5 + mood.gloom, "alpha": 1 - 0.75 * mood.gloom}
        brush.ball(x + 0.05, y - 0.06, size * 1.3, size * 0.6, leaf, **faded)
        for angle in (x, 2.1 + x, 4.2 + x):
            petal = (tip[0] + 0.022 * math.cos(angle), tip[1] + 0.022 * math.sin(angle))
            brush.ball(*petal, 0.026, 0.026, colour("#ffb0c4"), alpha=mood.joy)
