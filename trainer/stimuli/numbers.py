"""What can be counted in a picture, and which pictures hardly differ."""

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow

from trainer.core.pictures import Pixels

EDGE = 20.0
"""Grey levels a pixel: a steeper slope is an edge."""
LOOK = 32
"""Pixels of a side of the small copies that are compared."""
ROWS_AT_ONCE = 256


def numbers_of(pixels: Pixels) -> dict[str, float]:
    """Luminance, contrast, colourfulness, entropy, edge density and size of a picture.

    Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), 0 to 255. Luminance is its mean, contrast its standard
    deviation, entropy that of its 256 levels in bits (all three as the picture set NAPS has them: Marchewka et al.
    2014), edge density the share of pixels at which it changes by more than EDGE levels a pixel.
    """
    grey = _grey(pixels)
    height, width = grey.shape
    return {
        "luminance": float(grey.mean()),
        "contrast": float(grey.std()),
        "colourfulness": colourfulness(pixels),
        "entropy": _entropy(grey),
        "edge_density": float((steepness(pixels) > EDGE).mean()),
        "width": width,
        "height": height,
    }


def colourfulness(pixels: Pixels) -> float:
    """D. Hasler and S. Süsstrunk, "Measuring colourfulness in natural images" (2003), M(3); 0 for grey, 109 and more
    for what people call extremely colourful."""
    red, green, blue = np.moveaxis(pixels.astype(np.float32), -1, 0)
    opponents = (red - green, (red + green) / 2 - blue)
    spread = np.sqrt(sum(part.var(dtype=np.float64) for part in opponents))
    middle = np.sqrt(sum(part.mean(dtype=np.float64) ** 2 for part in opponents))
    return float(spread + 0.3 * middle)


def _entropy(grey: np.ndarray) -> float:
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # no minus zero


def _grey(pixels: Pixels) -> np.ndarray:
    return np.asarray(Pillow.fromarray(pixels).convert("L"))


def steepness(pixels: Pixels) -> np.ndarray:
    """Grey levels a pixel, float32 [H, W], by Sobel's kernels; the border counts as if the picture went on."""
    padded = np.pad(_grey(pixels).astype(np.float32), 1, mode="edge")
    across = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    down = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return np.hypot(across[:, 2:] - across[:, :-2], down[2:] - down[:-2]) / 8


# ---- pictures that hardly differ -------------------------------------------------------------------


def look_of(pixels: Pixels) -> np.ndarray:
    """A small copy of a picture, float32 [3 LOOK²] of 0 to 255, to compare it with others."""
    small = Pillow.fromarray(pixels).resize((LOOK, LOOK), Pillow.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel()


def nearest(looks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """For each of N small copies, the row of the one that is most like it, and how far that is.

    The distance is the root mean square of the differences in colour, 0 to 255; [N] each. One copy alone is
    infinitely far from row -1.
    """
    count = len(looks)
    rows, far = np.full(count, -1), np.full(count, np.inf)
    if count < 2:
        return rows, far
    every = np.stack(looks)
    every -= every.mean(0)  # |a - b|² = |a|² - 2ab + |b|² loses fewer digits then
    squares = (every.astype(np.float64) ** 2).sum(1)
    for start in range(0, count, ROWS_AT_ONCE):
        part = slice(start, min(start + ROWS_AT_ONCE, count))
        found = squares[part, None] - 2.0 * (every[part] @ every.T) + squares
        found[np.arange(part.stop - start), np.arange(start, part.stop)] = np.inf
        rows[part] = found.argmin(1)
    differences = every.astype(np.float64) - every[rows]
    return rows, np.sqrt((differences**2).mean(1))
