"""Paints the miniature world: `paint(scene, valence, arousal, seed)` gives a 128 x 128 picture.

The scene and the seed alone decide what is in the picture and where. Valence moves expression, light, colour
temperature, cloud cover and bloom; arousal moves contrast, saturation, line, wind, waves and tension. Every quantity
is a continuous function of both.
"""

from __future__ import annotations

import numpy as np

from trainer.world.backdrop import paint_land, paint_sky
from trainer.world.creatures import paint_bird, paint_cat, paint_dog, paint_face
from trainer.world.places import paint_house, paint_lighthouse, paint_mountain, paint_street, paint_windmill
from trainer.world.plants import paint_flowers, paint_tree
from trainer.world.scene import VA_RANGE, Scene, check_emotion
from trainer.world.things import paint_balloon, paint_boat, paint_campfire
from trainer.world.weather import finish, paint_air, paint_mist, paint_strokes
from trainer.world.world import Mood, World

PAINT = {
    "face": paint_face,
    "cat": paint_cat,
    "dog": paint_dog,
    "bird": paint_bird,
    "tree": paint_tree,
    "flowers": paint_flowers,
    "mountain": paint_mountain,
    "house": paint_house,
    "street": paint_street,
    "lighthouse": paint_lighthouse,
    "windmill": paint_windmill,
    "boat": paint_boat,
    "balloon": paint_balloon,
    "campfire": paint_campfire,
}


def paint(scene: Scene, valence: float, arousal: float, seed: int, size: int = 128) -> np.ndarray:
    """A picture of the scene in the mood of a valence-arousal pair.

    Args:
        scene: What it shows.
        valence: Pleasantness in [-3, 3].
        arousal: Intensity in [-3, 3].
        seed: Draws layout and hues, 0 or more; a seed gives the same layout for every emotion.
        size: Width and height in pixels, at least 32.

    Returns:
        RGB, uint8 [size, size, 3].

    Raises:
        ValueError: A value is outside its range.
    """
    valence, arousal = check_emotion(valence, arousal)
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, got {size}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    world = World(scene, Mood(valence / VA_RANGE, arousal / VA_RANGE), seed, size)
    paint_sky(world)
    # A mountain stands behind the land of its setting, everything else in front.
    behind = scene.subject == "mountain"
    if behind:
        PAINT[scene.subject](world)
    paint_land(world)
    paint_mist(world)
    if not behind:
        PAINT[scene.subject](world)
    paint_strokes(world)
    paint_air(world)
    return finish(world)
