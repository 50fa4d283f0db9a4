"""Directions of the data's features: along valence, along arousal, and along differences of content.

The first two say which way the network's output should go when V or A grows (validation), the last is what the
semantic-preservation term protects. Shapes: B batch, T tokens, D feature width, R content directions.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.features.store import FeatureStore

MOST_PAIRS = 1024
CONTENT_PAIRS = 256
BLOCK = 64
EMOTION_DIRECTIONS = 16


class Directions(NamedTuple):
    """Slopes of emotional - neutral features per unit of V and of A, [T, D] each; content directions [R, D]."""

    valence: Tensor
    arousal: Tensor
    content: Tensor


def data_directions(
    store: FeatureStore,
    pairs: np.ndarray,
    valence: np.ndarray,
    arousal: np.ndarray,
    rank: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Directions:
    """Estimates the directions from up to 1,024 pairs, those of content from up to 256 x 77 tokens.

    The slopes are the least-squares fit of emotional - neutral = constant + V slope_V + A slope_A at each token. The
    content directions are the principal components of the neutral features, around their mean at each token, after
    the 16 main directions of the two slopes are taken out: where prompts differ from each other and emotion does not
    act in the same way on all.

    Args:
        store: The features.
        pairs: Rows to learn from, int64 [N].
        valence: Of all rows of the table; arousal likewise.
        rank: R; fewer come out if the width does not hold as many.
        seed: Chooses the pairs.
        device: To compute on.

    Returns:
        float32 on the CPU; the content directions are orthonormal.

    Raises:
        ValueError: Features that are not finite; the error names the row.
    """
    chosen = np.random.default_rng((seed, 1)).permutation(pairs)[:MOST_PAIRS]
    design = np.stack([np.ones(len(chosen)), valence[chosen], arousal[chosen]], axis=1)
    inverse = torch.from_numpy(np.linalg.pinv(design)).float().to(device)  # [3, N]
    slopes = total = products = count = 0
    for start in range(0, len(chosen), BLOCK):
        rows = chosen[start : start + BLOCK]
        neutral, emotional = (f(rows).to(device).float() for f in (store.neutral, store.emotional))
        _check_finite(neutral, emotional, rows)
        slopes = slopes + torch.einsum("kb,btd->ktd", inverse[:, start : start + BLOCK], emotional - neutral)
        if start < CONTENT_PAIRS:
            total, count = total + neutral.sum(0), count + len(rows)
            flat = neutral.flatten(0, 1)
            products = products + (flat.T @ flat).double()
    mean = total.double().cpu() / count  # [T, D]
    covariance = products.cpu() / count - mean.T @ mean
    slopes = slopes.cpu()
    return Directions(slopes[1], slopes[2], _content(covariance, slopes[1:].flatten(0, 1), rank))


def _check_finite(neutral: Tensor, emotional: Tensor, rows: np.ndarray) -> None:
    fine = torch.isfinite(neutral.sum((1, 2)) + emotional.sum((1, 2)))
    if not fine.all():
        row = rows[int((~fine).nonzero()[0])]
        raise ValueError(not_finite(row))


def not_finite(row: int) -> str:
    """What is said of a row with such features."""
    return f"The features of row {row} of the table are not finite: delete the features folder and prepare it again."


def _content(covariance: Tensor, slopes: Tensor, rank: int) -> Tensor:
    """The main directions of a covariance [D, D] outside the span of the main ones of slopes [2T, D]."""
    _, strength, emotion = torch.linalg.svd(slopes.double(), full_matrices=False)
    emotion = emotion[:EMOTION_DIRECTIONS][strength[:EMOTION_DIRECTIONS] > 1e-9 * strength[0].clamp(min=1e-30)]
    outside = torch.eye(len(covariance), dtype=torch.float64) - emotion.T @ emotion
    _, vectors = torch.linalg.eigh(outside @ covariance @ outside)
    rank = min(rank, len(covariance) - len(emotion))
    return vectors[:, -rank:].T.flip(0).float().contiguous() if rank else vectors[:0].float()
