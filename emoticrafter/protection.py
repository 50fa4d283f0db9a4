"""Content that an emotion may not touch: the directions of words in the text features."""

from collections.abc import Sequence

import torch
from torch import Tensor

WINDOW = 77
SAME_DIRECTION = 1e-6  # singular values of unit vectors below this are rounding: words given twice


def word_directions(words: Sequence[tuple[str, Tensor, int]], empty: Tensor) -> Tensor:
    """The directions in which words change the text features.

    A word has two, each the mean over positions of its features less those of the empty prompt. One is of the
    word's own tokens: what a residual adds that puts the word into the picture. The other is of all that comes
    after them: CLIP reads from left to right, so that every later token, the end and the padding too, has heard
    of the word, and SDXL reads those tokens as well. The start token comes before and knows of no word.

    Args:
        words: (the word, its features [1, 77, D], the number of its tokens without start and end) of each.
        empty: Features of the empty prompt from the same encoder, [1, 77, D].

    Returns:
        Orthonormal rows spanning all directions, [R, D] with R at most twice the number of words, float32 on
        the processor.

    Raises:
        ValueError: A word that is no single window of 77 tokens, or whose features are not finite.
    """
    directions = [
        direction
        for word, features, count in words
        for direction in _directions(word, features, count, empty)
    ]
    rows = torch.stack(directions)
    rows = rows[rows.norm(dim=1) > 0]
    # Unit length first: what counts as the same direction must not depend on how strong a word is.
    _, sizes, basis = torch.linalg.svd(rows / rows.norm(dim=1, keepdim=True), full_matrices=False)
    return basis[sizes > SAME_DIRECTION].float()


def remove_directions(residual: Tensor, basis: Tensor) -> Tensor:
    """The part of a residual that lies in none of the directions.

    Args:
        residual: [..., D].
        basis: Orthonormal rows [R, D], of `word_directions`.

    Returns:
        [..., D], float32, on the residual's device; bit for bit the residual where it has no part to remove.
    """
    residual, basis = residual.float(), basis.to(residual.device, torch.float32)
    return residual - (residual @ basis.T) @ basis


def _directions(word: str, features: Tensor, count: int, empty: Tensor) -> tuple[Tensor, Tensor]:
    if features.shape != empty.shape or features.shape[:2] != (1, WINDOW) or not 1 <= count <= WINDOW - 2:
        raise ValueError(
            f"The protected word {word!r} has {count} tokens and features of shape {tuple(features.shape)}: "
            f"expected 1 to {WINDOW - 2} tokens in one window of {WINDOW}. Give single words or short phrases, "
            "separated by commas, and the CLIP of an SDXL checkpoint."
        )
    change = features[0].cpu().double() - empty[0].cpu().double()  # double: not every accelerator has it
    if not torch.isfinite(change).all():
        raise ValueError(
            f"The features of the protected word {word!r} hold NaN or infinite numbers: run the text encoder in "
            "float32, or check the LoRAs on it."
        )
    return change[1 : 1 + count].mean(0), change[1 + count :].mean(0)
