"""Keeps an emotion away from chosen content, by the directions of words in the text features."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .encoders import CLIP_WINDOW
from .quoting import quoted

SAME_DIRECTION = 1e-6  # singular values of unit vectors below this are rounding: the same word twice


def word_directions(words: Sequence[tuple[str, Tensor, int]], empty: Tensor) -> Tensor:
    """The directions in which words change the text features.

    Each word has two, both means over positions of its features minus those of the empty prompt. One is over the
    word's own tokens: what a residual would add to put the word into the picture. The other is over all later
    positions: CLIP reads from left to right, so every later token, even the end and the padding, has seen the word,
    and SDXL reads those tokens as well. The start token comes first and has seen no word.

    Args:
        words: (word, its features [1, 77, D], its number of tokens without start and end) for each.
        empty: Features of the empty prompt from the same encoder, [1, 77, D].

    Returns:
        Orthonormal rows that span all directions, [R, D] with R at most twice the number of words, float32 on
        the CPU.

    Raises:
        ValueError: The encoder does not give windows of 77 tokens, or a word is longer than one or has features that
            are not finite.
    """
    if empty.ndim != 3 or empty.shape[:2] != (1, CLIP_WINDOW):
        raise ValueError(
            f"The CLIP for the protected words gives features of shape {tuple(empty.shape)} for an empty prompt: "
            f"expected [1, {CLIP_WINDOW}, width], as the CLIP of an SDXL checkpoint gives. Connect that one, before "
            "any node that changes how it encodes."
        )
    directions = [
        direction for word, features, count in words for direction in _directions(word, features, count, empty)
    ]
    rows = torch.stack(directions)  # [2 * words, D]
    # a word that changes nothing has no direction
    rows = rows[rows.norm(dim=1) > 0]
    # unit length first: whether two directions count as the same must not depend on how strong a word is;
    # then the right singular vectors span the same space and are orthonormal
    _, sizes, basis = torch.linalg.svd(rows / rows.norm(dim=1, keepdim=True), full_matrices=False)
    # directions that are sums of others drop out
    return basis[sizes > SAME_DIRECTION].float()


def remove_directions(residual: Tensor, basis: Tensor) -> Tensor:
    """Removes from a residual what lies in any of the directions.

    Args:
        residual: [..., D].
        basis: Orthonormal rows [R, D], from `word_directions`.

    Returns:
        [..., D], float32, on the residual's device; bit for bit the residual where it has no part to remove.
    """
    residual, basis = residual.float(), basis.to(residual.device, torch.float32)
    # orthogonal projection: r - (r B') B, with [..., D] @ [D, R] the share along each direction
    return residual - (residual @ basis.T) @ basis


def _directions(word: str, features: Tensor, count: int, empty: Tensor) -> tuple[Tensor, Tensor]:
    if features.shape != empty.shape or not 1 <= count <= CLIP_WINDOW - 2:
        raise ValueError(
            f"The protected word {quoted(word)} has {count} tokens and features of shape {tuple(features.shape)}: "
            f"expected 1 to {CLIP_WINDOW - 2} tokens in one window of {CLIP_WINDOW}. Give single words or short "
            "phrases, separated by commas."
        )
    change = features[0].cpu().double() - empty[0].cpu().double()  # on the CPU: not every accelerator has double
    if not torch.isfinite(change).all():
        raise ValueError(
            f"The features of the protected word {quoted(word)} hold NaN or infinite numbers: run the text encoder in "
            "float32, or check the LoRAs on it."
        )
    # position 0 is the start token; the word's own tokens follow, then the end and the padding
    return change[1 : 1 + count].mean(0), change[1 + count :].mean(0)
