"""Valence-arousal values: their range and their reading.

Valence is pleasantness (-3 misery .. +3 joy), arousal is intensity (-3 sleepy .. +3 alarmed or elated).
"""

import torch
from torch import Tensor

VA_MIN = -3.0
VA_MAX = 3.0


def va_tensor(name: str, value: float | Tensor) -> Tensor:
    """Reads one axis as a checked 1-D tensor.

    Args:
        name: "valence" or "arousal", used in the error.
        value: A number, or a tensor of any shape that holds B numbers, such as [B] or [B, 1].

    Returns:
        float32 or the tensor's own floating dtype, [B], on the tensor's device.

    Raises:
        ValueError: A value is not finite or lies outside [-3, 3], or there is none.
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
