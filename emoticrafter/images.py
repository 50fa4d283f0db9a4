"""Handles images as ComfyUI's links carry them: [B, H, W, C] in [0, 1]."""

from torch import Tensor


def colours(images: Tensor) -> Tensor:
    """Converts images [B, H, W, C] with C = 1 (grey), 3 or 4 (the fourth is dropped) to [B, H, W, 3].

    Raises:
        ValueError: Another shape, or an empty batch.
    """
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or not images.numel():
        raise ValueError(f"images have the shape {tuple(images.shape)}: expected [number, height, width, 3].")
    return images[..., :3].expand(-1, -1, -1, 3)
