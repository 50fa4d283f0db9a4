"""Directions of the data's features: along valence, along arousal, and along differences of content.

The first two say which way the network's output should go when V or A grows (validation), the last is what the
semantic-preservation term protects. Shapes: B batch, T tokens, D feature width, R content directions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emoticrafter.encoders import EncoderFacts, room_numbers
from emoticrafter.fit.contrast import Lesson
from trainer.runs.lessons import Lessons

MOST_PAIRS = 1024
CONTENT_PAIRS = 256
BLOCK = 64
EMOTION_DIRECTIONS = 16
MOST_TOKENS = 4096
"""Of prompts of different lengths, for their content directions."""


@dataclass(frozen=True)
class Measure:
    """How changes of features are compared: in which units, and token by token or in the mean.

    Attributes:
        unit: What 1 is in each channel, [D]; None: features as they are.
        pooled: Prompts have different lengths: the mean over a prompt's own tokens counts.
        added_tokens, tail: M, and the tokens after the room for them.
    """

    unit: Tensor | None = None
    pooled: bool = False
    added_tokens: int = 0
    tail: int = 0

    def in_units(self, change: Tensor) -> Tensor:
        """[B, T, D], float32."""
        return change.float() if self.unit is None else change.float() / self.unit.to(change.device)

    def flat(self, change: Tensor, lesson) -> Tensor:
        """What of changes [B, T, D] is compared between prompts: [B, T * D], or pooled, [B, D].

        Args:
            change: Of the features of a lesson or batch.
            lesson: It.
        """
        change = self.in_units(change)
        if not self.pooled:
            return change.flatten(1)
        own = self.own(lesson)
        return torch.einsum("btd,bt->bd", change, own.float()) / own.sum(1, keepdim=True).clamp(min=1)

    def own(self, lesson) -> Tensor:
        """Where prompts differ in length: the tokens that are the prompt's, not added, bool [B, T]."""
        return lesson.learned & (self.number(lesson) == 0)

    def number(self, lesson) -> Tensor:
        """Which of the added tokens each token is, from 1, and 0 for all others: [B, T]."""
        return room_numbers(lesson.neutral, lesson.mask, self.added_tokens, self.tail)


def measure_of(encoder: EncoderFacts | None, lessons: Lessons | None) -> Measure:
    """How the features of a run's data are compared."""
    if encoder is None:
        return Measure()
    return Measure(encoder.scale, lessons.facts.padded is False, lessons.added_tokens, encoder.tail)


class Directions(NamedTuple):
    """Slopes of the changes that `measure` compares, per unit of V and of A; content directions [R, D]."""

    valence: Tensor
    """[T, D], or pooled, [1, D]."""
    arousal: Tensor
    content: Tensor
    measure: Measure = Measure()


def data_directions(
    read: Callable[[np.ndarray], Lesson],
    pairs: np.ndarray,
    valence: np.ndarray,
    arousal: np.ndarray,
    rank: int,
    seed: int,
    device: torch.device | str = "cpu",
    measure: Measure | None = None,
) -> Directions:
    """Estimates the directions from up to 1,024 pairs, those of content from up to 256 pairs' tokens.

    The slopes are the least-squares fit of emotional - neutral = constant + V slope_V + A slope_A at each token, or for
    the mean of a prompt's tokens. The content directions are the principal components of the neutral features, around
    their mean at each token (or over all), after the 16 main directions of the two slopes are taken out: where prompts
    differ from each other and emotion does not act in the same way on all.

    Args:
        read: Gives the features of rows.
        pairs: Rows to learn from, int64 [N].
        valence: Of all rows of the table; arousal likewise.
        rank: R; fewer come out if the width does not hold as many.
        seed: Chooses the pairs.
        device: To compute on.
        measure: How changes are compared.

    Returns:
        float32 on the CPU; the content directions are orthonormal.

    Raises:
        ValueError: Features that are not finite; the error names the row.
    """
    measure = measure or Measure()
    chosen = np.random.default_rng((seed, 1)).permutation(pairs)[:MOST_PAIRS]
    design = np.stack([np.ones(len(chosen)), valence[chosen], arousal[chosen]], axis=1)
    inverse = torch.from_numpy(np.linalg.pinv(design)).float().to(device)  # [3, N]
    slopes, content = 0.0, _Content(measure)
    for start in range(0, len(chosen), BLOCK):
        rows = chosen[start : start + BLOCK]
        lesson = Lesson(*(None if part is None else part.to(device) for part in read(rows)))
        neutral, emotional = lesson.neutral.float(), lesson.emotional.float()
        _check_finite(neutral, emotional, rows)
        change = measure.flat(emotional - neutral, lesson)  # [B, T D] or [B, D]
        slopes = slopes + torch.einsum("kb,bn->kn", inverse[:, start : start + BLOCK], change)
        if start < CONTENT_PAIRS:
            content.add(measure.in_units(neutral), lesson)
    slopes = slopes.unflatten(1, (-1, neutral.shape[2])).cpu()  # [3, T, D] or [3, 1, D]
    return Directions(slopes[1], slopes[2], content.solve(slopes[1:].flatten(0, 1), rank), measure)


class _Content:
    """The main directions in which neutral prompts differ."""

    def __init__(self, measure: Measure):
        self.measure, self.total, self.products, self.count = measure, 0.0, 0.0, 0
        self.tokens: list[Tensor] = []

    def add(self, neutral: Tensor, lesson: Lesson) -> None:
        """Adds features in the measure's units, [B, T, D]."""
        if self.measure.pooled:
            self.tokens.append(neutral[self.measure.own(lesson)].cpu())
            return
        self.total, self.count = self.total + neutral.sum(0), self.count + len(neutral)
        flat = neutral.flatten(0, 1)
        self.products = self.products + (flat.T @ flat).double()

    def solve(self, slopes: Tensor, rank: int) -> Tensor:
        """The directions [R, D] outside the span of the main ones of slopes, [2T, D]."""
        emotion = _main(slopes)
        if not self.measure.pooled:
            mean = self.total.double().cpu() / self.count  # [T, D]
            return _components(self.products.cpu() / self.count - mean.T @ mean, emotion, rank)
        tokens = torch.cat(self.tokens)
        tokens = tokens[torch.linspace(0, len(tokens) - 1, min(len(tokens), MOST_TOKENS)).long()].double()
        tokens = tokens - tokens.mean(0)
        tokens = tokens - (tokens @ emotion.T) @ emotion
        # fewer tokens than channels: the components of their products are the covariance's
        strength, vectors = torch.linalg.eigh(tokens @ tokens.T)
        kept = strength > 1e-9 * strength[-1].clamp(min=1e-30)
        found = torch.nn.functional.normalize(vectors[:, kept].T @ tokens, dim=1)
        return found[-rank:].flip(0).float().contiguous()


def _check_finite(neutral: Tensor, emotional: Tensor, rows: np.ndarray) -> None:
    fine = torch.isfinite(neutral.sum((1, 2)) + emotional.sum((1, 2)))
    if not fine.all():
        row = rows[int((~fine).nonzero()[0])]
        raise ValueError(not_finite(row))


def not_finite(row: int) -> str:
    """What is said of a row with such features."""
    return f"The features of row {row} of the table are not finite: delete the features folder and prepare it again."


def _main(slopes: Tensor) -> Tensor:
    """Up to 16 main directions of slopes [2T, D], orthonormal, float64."""
    _, strength, emotion = torch.linalg.svd(slopes.double(), full_matrices=False)
    return emotion[:EMOTION_DIRECTIONS][strength[:EMOTION_DIRECTIONS] > 1e-9 * strength[0].clamp(min=1e-30)]


def _components(covariance: Tensor, emotion: Tensor, rank: int) -> Tensor:
    """The main directions of a covariance [D, D] outside the span of others, orthonormal [E, D]."""
    outside = torch.eye(len(covariance), dtype=torch.float64) - emotion.T @ emotion
    _, vectors = torch.linalg.eigh(outside @ covariance @ outside)
    rank = min(rank, len(covariance) - len(emotion))
    return vectors[:, -rank:].T.flip(0).float().contiguous() if rank else vectors[:0].float()
