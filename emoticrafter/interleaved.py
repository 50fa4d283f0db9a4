"""Conditioning in which the key and the value of every token lie side by side, as NegPip's nodes make it.

A window of 77 tokens is 154 rows there: key, value, key, value. The value is the key, or its negative where the
prompt gave the token a negative weight; NegPip's patch of the UNet takes them apart again.
"""

import torch
from torch import Tensor

from .encoders import CLIP_WINDOW


def is_interleaved(features: Tensor) -> bool:
    """Whether [B, T, D] holds keys and values in turn: |even| = |odd|, which text alone never gives."""
    if features.ndim != 3 or features.shape[1] == 0 or features.shape[1] % (2 * CLIP_WINDOW):
        return False
    keys = features[:, 0::2].abs()
    return torch.equal(keys, features[:, 1::2].abs()) and bool(keys.any())  # zeros are an emptied prompt


def keys_and_signs(features: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 2T, D] to the keys [B, T, D] and what each value is of its key, 1 or -1."""
    keys, values = features[:, 0::2], features[:, 1::2]
    return keys, torch.where(keys.signbit() == values.signbit(), 1, -1).to(features.dtype)


def interleave(keys: Tensor, signs: Tensor) -> Tensor:
    """The inverse of `keys_and_signs`; keys [B, T, D] may have a larger batch than the signs."""
    return torch.stack([keys, keys * signs], dim=2).flatten(1, 2)
