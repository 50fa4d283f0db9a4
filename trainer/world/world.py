"""The state that every part of a picture shares: scene, mood, light and random layout."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from trainer.world.canvas import Brush, colour, mix
from trainer.world.scene import Scene

# Top and horizon colours of the sky: gloomy, plain, glorious.
SKIES = {
    "dawn": [("#565b70", "#a3989e"), ("#8ea6cc", "#f0cdb8"), ("#86b4f0", "#ffcf9c")],
    "day": [("#56606e", "#989fa6"), ("#66a3d8", "#cfe3ea"), ("#3c9bee", "#fff0c0")],
    "sunset": [("#464a58", "#858188"), ("#5d5a94", "#e8905c"), ("#8a5cc0", "#ffae3c")],
    "night": [("#24272e", "#484b51"), ("#16224c", "#3d4a7c"), ("#2a3494", "#cc8f98")],
}
LIGHTS = {"dawn": (0.97, 0.90, 0.90), "day": (1.0, 1.0, 1.0), "sunset": (1.0, 0.80, 0.68), "night": (0.52, 0.56, 0.76)}


@dataclass(frozen=True)
class Mood:
    """Valence and arousal as the painter uses them, all smooth in both.

    `v` and `a` are in [-1, 1]; `bright` and `wild` are the same in [0, 1]. The others are 0 on one half of an axis and
    grow to 1 on the other: joy and gloom for valence, energy and calm for arousal.
    """

    v: float
    a: float

    @property
    def bright(self) -> float:
        return (self.v + 1) / 2

    @property
    def wild(self) -> float:
        return (self.a + 1) / 2

    @property
    def joy(self) -> float:
        return max(self.v, 0.0) ** 1.1

    @property
    def gloom(self) -> float:
        return max(-self.v, 0.0) ** 1.1

    @property
    def energy(self) -> float:
        return max(self.a, 0.0) ** 1.1

    @property
    def calm(self) -> float:
        return max(-self.a, 0.0) ** 1.1

    def by_valence(self, gloomy, plain, glorious):
        """Blends three colours or numbers along valence."""
        return mix(mix(plain, gloomy, self.gloom), glorious, self.joy)

    def tint(self, gloomy: str, plain: str, glorious: str) -> np.ndarray:
        """Blends three colours, `#rrggbb`, along valence."""
        return self.by_valence(colour(gloomy), colour(plain), colour(glorious))

    def by_arousal(self, calm, plain, wild):
        """Blends three colours or numbers along arousal."""
        return mix(mix(plain, calm, self.calm), wild, self.energy)


class World:
    """One picture in the making. Nothing drawn from the seed depends on the mood."""

    def __init__(self, scene: Scene, mood: Mood, seed: int, size: int) -> None:
        self.scene = scene
        self.mood = mood
        self.seed = seed
        self.night = scene.time == "night"
        layout = self.random("layout")
        # Water needs room below the horizon, a street vanishes at eye height, a mountain rises above.
        lowest = {"boat": 0.50, "street": 0.49, "mountain": 0.68}.get(scene.subject, 0.57)
        self.horizon = lowest + layout.uniform(0.0, 0.08)
        self.side = 1 if layout.random() < 0.5 else -1
        self.sun = (0.5 + self.side * layout.uniform(0.22, 0.36), layout.uniform(0.13, 0.24))
        self.place = layout.uniform(-0.07, 0.07)
        self.scale = layout.uniform(0.92, 1.08)
        self.hue = layout.random(6)
        plain, warm = np.float32(LIGHTS[scene.time]), np.float32([1.10, 0.98, 0.80])
        # A plain night is blue already, so gloom drains it to grey instead.
        cold = plain.mean() * np.float32([0.92, 0.94, 0.98] if self.night else [0.88, 0.98, 1.14])
        light = mood.by_valence(
            mix(plain, cold, 0.8), plain, mix(plain, plain.mean() * 1.12 * warm, 0.65 if self.night else 0.7)
        )
        self.pixels = np.empty((3, size, size), np.float32)
        self.brush = Brush(self.pixels, light)
        # Subjects keep a little more light than the land, so that they are seen at night.
        self.spotlit = Brush(self.pixels, mix(light, np.float32([1, 1, 1]), 0.5))

    def random(self, name: str) -> np.random.Generator:
        """The random generator of one part of the picture, independent of the other parts'."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    @property
    def wind(self) -> float:
        """How far things lean, in widths per height; it blows away from the sun."""
        return -self.side * (0.12 * self.mood.wild + 0.88 * self.mood.energy)

    def sky(self) -> tuple[np.ndarray, np.ndarray]:
        """The sky's colours at the top and at the horizon."""
        return tuple(self.mood.tint(*levels) for levels in zip(*SKIES[self.scene.time], strict=True))
