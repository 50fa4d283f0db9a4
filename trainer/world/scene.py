"""Scenes of the miniature world: a subject, a setting and a time of day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

SUBJECTS = (
    "face",
    "cat",
    "dog",
    "bird",
    "tree",
    "flowers",
    "mountain",
    "house",
    "street",
    "lighthouse",
    "windmill",
    "boat",
    "balloon",
    "campfire",
)
SETTINGS = ("meadow", "forest", "beach", "desert", "snow", "town")
TIMES = ("dawn", "day", "sunset", "night")

VA_RANGE = 3.0

Split = Literal["all", "train", "held-out"]


@dataclass(frozen=True)
class Scene:
    """The content of a picture without its emotion; layout and wording come from a seed.

    Raises:
        ValueError: A name is not in `SUBJECTS`, `SETTINGS` or `TIMES`.
    """

    subject: str
    setting: str
    time: str

    def __post_init__(self) -> None:
        for field, known in (("subject", SUBJECTS), ("setting", SETTINGS), ("time", TIMES)):
            value = getattr(self, field)
            if value not in known:
                raise ValueError(f"unknown {field} {value!r}: use one of {', '.join(known)}")

    @property
    def held_out(self) -> bool:
        """Whether training must never see this combination.

        Half of the (subject, setting) pairs lose one time of day each, in turn: every pair of two properties is still
        seen in training, and only the combination of all three is new.
        """
        subject, setting = SUBJECTS.index(self.subject), SETTINGS.index(self.setting)
        return (subject + setting) % 2 == 0 and (subject + setting // 2) % len(TIMES) == TIMES.index(self.time)


def check_emotion(valence: float, arousal: float) -> tuple[float, float]:
    """Both as floats.

    Raises:
        ValueError: One is not a number in [-3, 3].
    """
    for name, value in (("valence", valence), ("arousal", arousal)):
        if not -VA_RANGE <= value <= VA_RANGE:
            raise ValueError(f"{name} must be in [-3, 3], got {value}")
    return float(valence), float(arousal)


@cache
def all_scenes(split: Split = "all") -> tuple[Scene, ...]:
    """Every scene of a split, always in the same order.

    Raises:
        ValueError: The split is unknown.
    """
    if split not in ("all", "train", "held-out"):
        raise ValueError(f"unknown split {split!r}: use 'all', 'train' or 'held-out'")
    scenes = (Scene(s, p, t) for s in SUBJECTS for p in SETTINGS for t in TIMES)
    return tuple(s for s in scenes if split == "all" or s.held_out == (split == "held-out"))


def sample_scenes(count: int, seed: int, split: Split = "train") -> list[Scene]:
    """`count` scenes drawn uniformly with repetition; a seed always draws the same."""
    scenes = all_scenes(split)
    return [scenes[i] for i in np.random.default_rng(seed).integers(len(scenes), size=count)]
