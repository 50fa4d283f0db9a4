"""Points of the valence-arousal plane, in an order: what Emotion Grid and Emotion Path make and others show."""

from typing import NamedTuple

from comfy_api.latest import io


class Points(NamedTuple):
    """What an EMOTION_POINTS link carries: one point per image, frame or run.

    Of a grid they come row by row as one reads: valence rises to the right, arousal falls downwards.
    """

    valence: tuple[float, ...]
    arousal: tuple[float, ...]
    columns: int = 0
    """The columns of a grid; 0 where the points are none."""


PointsType = io.Custom("EMOTION_POINTS")


def join(points: list[Points]) -> Points:
    """What a node with list inputs was given as one: a list of several comes from a node that ran for each."""
    if len(points) == 1:
        return points[0]
    return Points(
        tuple(value for one in points for value in one.valence),
        tuple(value for one in points for value in one.arousal),
    )
