"""Handles images as ComfyUI's links carry them: [B, H, W, C] in [0, 1]."""

from torch import Tensor


def colours(images: Tensor) -> Tensor:
    """Converts images [B, H, W, C] to [B, H, W, 3], laid on white where they are transparent.

    C is 1 (grey), 2 (grey and alpha), 3 or 4 (colour and alpha).

    Raises:
        ValueError: Another shape, or an empty batch.
    """
    if images.ndim != 4 or images.shape[-1] not in (1, 2, 3, 4) or not images.numel():
        raise ValueError(f"images have the shape {tuple(images.shape)}: expected [number, height, width, 3].")
    if images.shape[-1] % 2 == 0:
        colour, alpha = images[..., :-1], images[..., -1:]
        images = colour * alpha + (1 - alpha)
    return images.expand(-1, -1, -1, 3)
