"""Ordered points of the valence-arousal plane: Emotion Grid and Emotion Path make them, other nodes show them."""

from typing import NamedTuple

from comfy_api.latest import io


class Points(NamedTuple):
    """Carried by EMOTION_POINTS links: one point per image, frame or run.

    A grid's points come row by row: valence rises to the right, arousal falls downwards.
    """

    valence: tuple[float, ...]
    arousal: tuple[float, ...]
    columns: int = 0
    """The columns of a grid; 0 if the points do not form one."""


PointsType = io.Custom("EMOTION_POINTS")


def join(points: list[Points]) -> Points:
    """Joins the inputs of a node that takes lists: several come from a node that ran several times."""
    if len(points) == 1:
        return points[0]
    return Points(
        tuple(value for one in points for value in one.valence), tuple(value for one in points for value in one.arousal)
    )
