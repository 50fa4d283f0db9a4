"""Makes batches of latents that fit a batch of emotions."""


def latent_per_point(latent: dict, count: int) -> dict:
    """Gives every point of a batch a latent.

    ComfyUI itself accepts any batch: it silently drops surplus emotions, and starts over with the first where there
    are too few.

    Args:
        latent: ComfyUI's LATENT: `samples` [B, C, ...], maybe `batch_index`, `noise_mask` and more. Not changed.
        count: How many points there are.

    Returns:
        A latent of B = 1 as `count` copies that samplers give the same noise (one `batch_index` for all), so that
        pictures differ by their emotion alone; a latent of B = `count` as it is.

    Raises:
        ValueError: Another B.
    """
    samples = latent["samples"]
    if len(samples) == count:
        return latent
    if len(samples) != 1:
        raise ValueError(
            f"The latent holds {len(samples)} images, but there are {count} points: expected 1, which is repeated, or "
            f"{count}. Set batch_size to 1, or connect count to it."
        )
    [index] = latent.get("batch_index", [0])
    return {**latent, "samples": samples.repeat(count, *[1] * (samples.ndim - 1)), "batch_index": [index] * count}
