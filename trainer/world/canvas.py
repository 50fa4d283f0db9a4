"""Anti-aliased shapes with soft gradients on a float picture: the painter's brush."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

SUPERSAMPLE = 4
_SUBPIXEL_BITS = 4
INK = np.float32([0.15, 0.10, 0.16])

Points = np.ndarray | Sequence[Sequence[float]]


@cache
def colour(code: str) -> np.ndarray:
    """`#rrggbb` as float32 RGB in [0, 1]; read-only, as callers share it."""
    rgb = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], dtype=np.float32)
    rgb.flags.writeable = False
    return rgb


def mix(a, b, t: float):
    """`a` at t = 0, `b` at t = 1; colours or numbers."""
    return a + (b - a) * t


def _hermite_basis(steps: int) -> np.ndarray:
    t = np.arange(steps)[:, None] / steps
    return np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2


_BASIS = _hermite_basis(6)
_TURN = np.linspace(0, 2 * math.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


def ring(points: Points) -> np.ndarray:
    """A closed smooth (Catmull-Rom) curve through points [N, 2]."""
    p = np.asarray(points, dtype=np.float64)
    return _spline(np.stack([np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)], axis=1))


def curve(points: Points) -> np.ndarray:
    """An open smooth (Catmull-Rom) curve through points [N, 2]."""
    p = np.asarray(points, dtype=np.float64)
    q = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    return np.concatenate([_spline(np.stack([q[:-3], q[1:-2], q[2:-1], q[3:]], axis=1)), p[-1:]])


def _spline(controls: np.ndarray) -> np.ndarray:
    return np.einsum("sk,nkd->nsd", _BASIS, controls).reshape(-1, 2)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> np.ndarray:
    """The outline of an ellipse [32, 2]; angle in radians."""
    if not angle:
        return _CIRCLE * (rx, ry) + (x, y)
    c, s = math.cos(angle), math.sin(angle)
    return _CIRCLE * (rx, ry) @ np.array([[c, s], [-s, c]]) + (x, y)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """The outline of a rectangle [4, 2]."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def ribbon(points: Points, width: float, end: float | None = None) -> np.ndarray:
    """The outline of a stroke along points [N, 2], of `width` at its start and `end` at its end."""
    p = np.asarray(points, dtype=np.float64)
    along = np.empty_like(p)
    along[0], along[-1] = p[1] - p[0], p[-1] - p[-2]
    along[1:-1] = p[2:] - p[:-2]
    length = np.maximum(np.sqrt((along**2).sum(1)), 1e-9)
    half = width if end is None else width + (end - width) * np.arange(len(p)) / (len(p) - 1)
    side = along[:, ::-1] * (-1, 1) * (half / 2 / length)[:, None]
    return np.concatenate([p + side, (p - side)[::-1]])


def dashes(start: np.ndarray, end: np.ndarray, width: np.ndarray | float, tip: float = 1.0) -> list[np.ndarray]:
    """Many straight strokes at once, from start [N, 2] to end [N, 2]; `tip` times as wide at the end."""
    along = end - start
    length = np.maximum(np.sqrt((along**2).sum(1)), 1e-9)
    side = along[:, ::-1] * (-1, 1) * (np.asarray(width) / 2 / length)[:, None]
    return list(np.stack([start + side, end + tip * side, end - tip * side, start - side], axis=1))


def dots(x: np.ndarray, y: np.ndarray, r: np.ndarray | float) -> list[np.ndarray]:
    """Many small discs at once (octagons), at x [N], y [N]."""
    return list(_CIRCLE[None, ::4] * np.broadcast_to(r, x.shape)[:, None, None] + np.stack([x, y], 1)[:, None])


def between(x: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The outline [2N, 2] of what lies between two lines over x [N]."""
    return np.concatenate([np.column_stack([x, upper]), np.column_stack([x, lower])[::-1]])


def mirrored(half: Points) -> np.ndarray:
    """An outline that is alike on both sides of x = 0, from its half on one side, in order."""
    p = np.asarray(half, dtype=np.float64)
    return np.concatenate([p, (p * (-1, 1))[::-1][p[::-1, 0] != 0]])


def spiky(points: np.ndarray, length: float) -> np.ndarray:
    """Pushes every other point of an outline outwards, for fur that stands on end."""
    away = points - points.mean(0)
    push = np.zeros((len(points), 1))
    push[::2] = length
    return points + away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9) * push


class Brush:
    """Paints on `pixels` (float32 [3, S, S], RGB in [0, 1]) in its own coordinates.

    A fresh brush maps the unit square, y downwards, onto the picture; `at` gives a brush with another
    origin, scale and slant on the same pixels. `light` multiplies every colour that is not `lit=False`.
    """

    def __init__(self, pixels: np.ndarray, light: np.ndarray, matrix: np.ndarray | None = None) -> None:
        self.pixels = pixels
        self.light = light
        self.size = pixels.shape[1]
        self.matrix = np.array([[1.0, 0, 0], [0, 1, 0]]) if matrix is None else matrix

    def at(
        self,
        x: float,
        y: float,
        scale: float = 1.0,
        angle: float = 0.0,
        lean: float = 0.0,
        squash: float = 1.0,
        flip: bool = False,
    ) -> Brush:
        """A brush whose origin is (x, y): scaled, turned by `angle` (radians), leaning to the right
        by `lean` per unit of height, stretched vertically by `squash`, mirrored if `flip`."""
        c, s = math.cos(angle) * scale, math.sin(angle) * scale
        turn = np.array([[c, -s], [s, c]]) @ np.array([[-1.0 if flip else 1.0, -lean], [0, squash]])
        linear, shift = self.matrix[:, :2], self.matrix[:, 2]
        moved = np.column_stack([linear @ turn, linear @ (x, y) + shift])
        return Brush(self.pixels, self.light, moved)

    def fill(
        self,
        shape: Points | list[np.ndarray],
        top: np.ndarray,
        bottom: np.ndarray | None = None,
        *,
        alpha: float = 1.0,
        soft: float = 0.0,
        lit: bool = True,
        ink: float = 0.0,
    ) -> None:
        """Fills one outline [N, 2], or several as one, with a colour or a vertical gradient.

        `soft` blurs the edge (a fraction of the picture); `ink` is the strength of a thin dark outline.
        """
        if alpha < 0.004 or not len(shape):
            return
        shapes = shape if np.ndim(shape[0]) == 2 else [shape]
        points = np.concatenate(shapes) if len(shapes) > 1 else np.asarray(shapes[0])
        points = (points @ self.matrix[:, :2].T + self.matrix[:, 2]) * self.size
        counts = [len(s) for s in shapes]
        if ink:
            shadow = mix(top if bottom is None else bottom, INK, 0.7)
            self._blend(points, counts, shadow, None, alpha * ink, 0.0, lit, outline=True)
        self._blend(points, counts, top, bottom, alpha, soft * self.size, lit)

    def _blend(self, points, counts, top, bottom, alpha, soft, lit, outline=False) -> None:
        low, high = points.min(0), points.max(0)
        pad = 2 + 3 * soft
        x0, y0 = (max(math.floor(v - pad), 0) for v in low)
        x1, y1 = (min(math.ceil(v + pad), self.size) for v in high)
        if x1 <= x0 or y1 <= y0:
            return
        cover = _coverage(points - (x0, y0), counts, x1 - x0, y1 - y0, self.size if outline else 0)
        if soft:
            cover = cv2.GaussianBlur(cover, (0, 0), soft)
        paint = (top * self.light if lit else top)[:, None, None]
        if bottom is not None:
            t = np.arange(y0, y1, dtype=np.float32) + np.float32(0.5 - low[1])
            t /= np.float32(max(high[1] - low[1], 1e-6))
            other = (bottom * self.light if lit else bottom)[:, None, None]
            paint = paint + (other - paint) * np.clip(t, 0, 1)[:, None]
        region = self.pixels[:, y0:y1, x0:x1]
        region += (paint - region) * (cover * np.float32(alpha / 255))

    def ball(self, x: float, y: float, rx: float, ry: float, *paint, angle: float = 0.0, **options) -> None:
        """Fills an ellipse; further arguments as in `fill`."""
        self.fill(ellipse(x, y, rx, ry, angle), *paint, **options)

    def line(self, points: Points, width: float, tint: np.ndarray, end: float | None = None, **options) -> None:
        """Draws a smooth stroke through the points; further options as in `fill`."""
        path = curve(points) if len(points) > 2 else np.asarray(points, dtype=np.float64)
        self.fill(ribbon(path, width, end), tint, **options)

    def glow(self, x: float, y: float, radius: float, tint: np.ndarray, alpha: float) -> None:
        """Adds light that fades with the distance from (x, y)."""
        if alpha < 0.004:
            return
        cx, cy = (self.matrix[:, :2] @ (x, y) + self.matrix[:, 2]) * self.size
        reach = radius * math.sqrt(abs(np.linalg.det(self.matrix[:, :2]))) * self.size
        x0, x1 = max(int(cx - 2.2 * reach), 0), min(int(cx + 2.2 * reach) + 2, self.size)
        y0, y1 = max(int(cy - 2.2 * reach), 0), min(int(cy + 2.2 * reach) + 2, self.size)
        if x1 <= x0 or y1 <= y0:
            return
        fx = np.exp(-(((np.arange(x0, x1, dtype=np.float32) + 0.5 - cx) / reach) ** 2))
        fy = np.exp(-(((np.arange(y0, y1, dtype=np.float32) + 0.5 - cy) / reach) ** 2))
        # The bell is cut at its foot, so that the box it is painted in never shows.
        bell = np.maximum(fy[:, None] * fx - 0.008, 0)
        region = self.pixels[:, y0:y1, x0:x1]
        region += (1 - np.minimum(region, 1)) * tint[:, None, None] * (bell * np.float32(alpha))


def _coverage(points: np.ndarray, counts: list[int], w: int, h: int, outline: int) -> np.ndarray:
    """How much of each pixel the outlines cover, float32 [h, w] in [0, 255]."""
    mask = np.zeros((h * SUPERSAMPLE, w * SUPERSAMPLE), np.uint8)
    unit = 1 << _SUBPIXEL_BITS
    fixed = np.rint((points * SUPERSAMPLE - 0.5) * unit).astype(np.int32)
    start = 0
    for count in counts:
        part = [fixed[start : start + count]]
        start += count
        if outline:
            thickness = max(1, round(outline * SUPERSAMPLE * 0.012))
            cv2.polylines(mask, part, True, 255, thickness, cv2.LINE_8, _SUBPIXEL_BITS)
        else:
            cv2.fillPoly(mask, part, 255, cv2.LINE_8, _SUBPIXEL_BITS)
    # Two halvings take a fraction of the time of one quartering: OpenCV has a fast path for them.
    half = cv2.resize(mask, (2 * w, 2 * h), interpolation=cv2.INTER_AREA)
    return cv2.resize(half, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)
