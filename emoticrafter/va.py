"""Valence-arousal values: their range, checks, points of the plane and grids of points.

Valence is pleasantness (-3 misery .. +3 joy), arousal is intensity (-3 sleepy .. +3 alarmed or elated).
"""

from typing import NamedTuple

import torch
from torch import Tensor

VA_MIN = -3.0
VA_MAX = 3.0
INTENSITY_MAX = 3.0
DECIMALS = 6  # computed points are rounded, so that -2.8 is not -2.8000000000000003


class EmotionFeatures(NamedTuple):
    """What a network reads valence and arousal from: (e_v, e_a), [B, K, E] each; see `EmotionNetwork.encode`."""

    valence: Tensor
    arousal: Tensor


class Point(NamedTuple):
    """A point of the plane; each number in [-3, 3]."""

    valence: float
    arousal: float


def va_tensor(name: str, value: float | Tensor) -> Tensor:
    """Reads one axis as a checked 1-D tensor.

    Args:
        name: "valence" or "arousal", used in the error.
        value: A number, or a tensor of any shape that holds B numbers, such as [B] or [B, 1].

    Returns:
        float32 or the tensor's own floating dtype, [B], on the tensor's device.

    Raises:
        ValueError: A value is not finite or lies outside [-3, 3], or the tensor is empty.
    """
    values = torch.as_tensor(value).reshape(-1)
    if not values.is_floating_point():
        values = values.float()
    if values.numel() == 0:
        raise ValueError(f"{name} is empty: expected one number or one per image.")
    # NaN fails both comparisons, so it is caught by the same line.
    outside = ~((values >= VA_MIN) & (values <= VA_MAX))
    if outside.any():
        got = values[outside][0].item()
        raise ValueError(f"{name} is {got:g}: expected a number from {VA_MIN:g} to {VA_MAX:g}.")
    return values


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raises ValueError, by name, for a number outside [low, high]; NaN is outside."""
    if not low <= value <= high:
        raise ValueError(f"{name} is {value:g}: expected a number from {low:g} to {high:g}.")


def rounded(valence: float, arousal: float) -> Point:
    """A computed point, rounded, clamped to the plane, and without a negative zero."""
    inside = (min(max(float(value), VA_MIN), VA_MAX) for value in (valence, arousal))
    return Point(*(round(value, DECIMALS) + 0.0 for value in inside))


def blended(first: Point, second: Point, weight: float) -> Point:
    """A point on the straight line between two: weight 0 gives `first`, 1 gives `second`.

    Raises:
        ValueError: A weight outside [0, 1].
    """
    check_number("blend", weight, 0.0, 1.0)
    return rounded(*(a + weight * (b - a) for a, b in zip(first, second, strict=True)))


def intensified(point: Point, intensity: float) -> Point:
    """Moves a point along its ray from neutral (0, 0): 0 is neutral, 1 leaves it where it is, 2 is twice as far.

    It stops where the ray meets the edge of the plane, so the direction (the kind of emotion) stays the same.

    Raises:
        ValueError: An intensity outside [0, 3].
    """
    check_number("intensity", intensity, 0.0, INTENSITY_MAX)
    furthest = max(map(abs, point))
    scale = min(intensity, VA_MAX / furthest) if furthest else 0.0
    return rounded(scale * point.valence, scale * point.arousal)


def grid_points(
    columns: int, rows: int, valence_range: tuple[float, float], arousal_range: tuple[float, float]
) -> list[Point]:
    """Evenly spaced points, both ends included, row by row from the top left.

    Valence rises to the right, arousal falls downwards. A single column or row sits in the middle of its range.

    Raises:
        ValueError: No column or row, or a range that is reversed or leaves [-3, 3].
    """
    valences = _evenly("valence", "columns", columns, *valence_range)
    arousals = _evenly("arousal", "rows", rows, *arousal_range)
    return [rounded(valence, arousal) for arousal in reversed(arousals) for valence in valences]


def _evenly(axis: str, counted: str, count: int, low: float, high: float) -> list[float]:
    check_number(f"{axis}_min", low, VA_MIN, VA_MAX)
    check_number(f"{axis}_max", high, VA_MIN, VA_MAX)
    if low > high:
        raise ValueError(f"{axis}_min is {low:g} and {axis}_max is {high:g}: expected the lower value in {axis}_min.")
    if count < 1:
        raise ValueError(f"{counted} is {count}: expected 1 or more.")
    if count == 1:
        return [(low + high) / 2]
    return [low + (high - low) * step / (count - 1) for step in range(count)]
