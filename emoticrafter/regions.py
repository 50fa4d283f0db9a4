"""Gives ComfyUI's CONDITIONING another emotion inside a mask (see `conditioning.py`).

ComfyUI draws every entry of a conditioning and adds the results up, each weighted by its `mask` times
`mask_strength` and `strength`, divided by the sum of the weights. So an entry becomes two that share its weight:
the emotional one takes the share R (the region), the plain one the rest, 1 - R. At every place their weights add up
to the entry's own, and the share of other entries stays as it was.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .conditioning import Conditioning, Steering, inject_emotion
from .va import EmotionFeatures

REGION = "emoticrafter_region"
"""The key on an emotional entry that holds (its features, the plain features that they were made from, their mask)."""

VISIBLE = 1 / 512
"""Smaller weights, less than half a step of an 8-bit picture, are not worth an evaluation of the model."""

SLIVER = 1e-6
"""The weight that each part keeps of the other's place where ComfyUI crops an entry to where its mask is not 0."""


def regional_emotion(
    conditioning: Sequence,
    network: Steering,
    emotion: EmotionFeatures,
    mask: Tensor,
    strength: float = 1.0,
    feather: float = 0.0,
) -> Conditioning:
    """Gives a conditioning an emotion inside a mask and leaves it as it is outside.

    A region lies on top of earlier ones: where they overlap, its emotion replaces theirs. n regions turn one entry
    into n + 1. Entries without features pass, and so do those marked `default` (ComfyUI gives them whatever all
    others leave, regardless of their mask).

    Args:
        conditioning: Entries [tensor, dict], see `inject_emotion`; never changed in place.
        network: On any device.
        emotion: One emotion for all, or one per batch index.
        mask: [H, W] or [B, H, W], any size (ComfyUI stretches masks over the picture); 0 outside, 1 inside,
            a mixture between; clamped to this range.
        strength: Scale of the residual; 0 gives the same conditioning.
        feather: Width of the mask's soft edge as a part of its shorter side, 0 to 1.

    Returns:
        The plain entries, then the emotional ones; `conditioning` itself if nothing changes.

    Raises:
        ValueError: The mask is malformed, holds NaN, or has a batch that does not fit that of the prompt or of a
            mask on it; or see `inject_emotion`.
    """
    region = soften(read_mask(mask, "The mask"), feather)
    if strength == 0 or region.max() < VISIBLE:
        return conditioning
    # 1. every entry gives its share inside the region to an emotional copy of itself
    plain, covered = [], []
    for index, (features, extra) in enumerate(conditioning):
        inner, outer = None, extra
        if features is not None and "default" not in extra:
            inner, outer = _split(extra, region, len(features), f"entry {index} of the conditioning")
        if outer is not None:
            plain.append([features, outer.copy()])
        covered.append([None, extra] if inner is None else _beneath(features, extra, inner))
    # 2. copies that would be the same but for their mask become one: the model is evaluated once for them
    _join_equal(covered)
    # 3. the emotion is added to the plain features, also where an earlier region had its own
    emotional = inject_emotion(covered, network, emotion, strength)
    # 4. each remembers those plain features and their mask, for the region that may come on top
    for (beneath, plainly), (features, extra) in zip(covered, emotional, strict=True):
        extra[REGION] = (features, beneath, plainly.get("attention_mask"))
    emotional = [entry for entry in emotional if entry[0] is not None]
    return [*plain, *emotional] if emotional else conditioning


def read_mask(mask: Tensor, name: str) -> Tensor:
    """A checked mask as float32 [B, H, W] from 0 to 1; `name` begins the error's sentence.

    Raises:
        ValueError: It is not a tensor [H, W] or [B, H, W], is empty, or holds NaN or infinity.
    """
    if not isinstance(mask, Tensor) or mask.ndim not in (2, 3) or not mask.numel():
        got = f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"{name} is not a mask: expected numbers of shape (height, width) or (batch, height, width), got {got}. "
            "Connect a MASK; Convert Image to Mask turns a picture into one."
        )
    mask = mask.float().reshape(-1, *mask.shape[-2:])
    if not torch.isfinite(mask).all():
        raise ValueError(f"{name} holds NaN or infinite numbers: check the node that made it.")
    return mask.clamp(0, 1)


def soften(mask: Tensor, feather: float) -> Tensor:
    """Spreads a mask's edges, [B, H, W], so that the change takes `feather` of the shorter side.

    Raises:
        ValueError: `feather` is not from 0 to 1.
    """
    if not 0 <= feather <= 1:
        raise ValueError(f"feather is {feather:g}: expected a part of the picture, from 0 to 1.")
    reach = round(feather * min(mask.shape[1:]) / 2)
    if not reach:
        return mask
    # a box of 2 * reach + 1 along the rows, then along the columns; in double, for the running sums
    blurred = _blurred_rows(_blurred_rows(mask.cpu().double(), reach).mT, reach).mT
    # rounded, because what the sums leave of a 0 does not belong to the region
    return blurred.round(decimals=7).clamp(0, 1).to(mask)


def _blurred_rows(mask: Tensor, reach: int) -> Tensor:
    """The mean of each place and its `reach` neighbours on both sides, [B, H, W]; the edge repeats beyond the end."""
    width = 2 * reach + 1
    # the sum over a box is a difference of two running sums: a wide reach takes as long as a narrow one
    sums = F.pad(F.pad(mask, (reach, reach), mode="replicate").cumsum(-1), (1, 0))
    return (sums[..., width:] - sums[..., :-width]) / width


def _split(extra: dict, region: Tensor, batch: int, name: str) -> tuple[dict | None, dict | None]:
    """The settings of an entry's parts inside and outside a region; None for an empty part."""
    own = extra.get("mask")
    if own is None:  # ComfyUI reads mask_strength only beside a mask, so it must not count now either
        own, changed = torch.ones_like(region[:1]), {"mask_strength": 1.0, "set_area_to_bounds": False}
    else:
        read_mask(own, f"The mask on {name}")  # checked only: its values are the user's and may lie outside [0, 1]
        own, changed = own.float().reshape(-1, *own.shape[-2:]), {}
    _check_batch(len(region), batch, name)
    own, region = _aligned(own, region.to(own.device), name)
    # a part that is nowhere visible is not made
    there = own != 0
    if (region * there).max() < VISIBLE:
        return None, extra
    if ((1 - region) * there).max() < VISIBLE:
        return extra, None
    if extra.get("set_area_to_bounds") and not changed:
        # ComfyUI crops to the mask; a sliver everywhere keeps the frame of the whole, as a smaller one would be drawn
        # differently
        region = region.clamp(SLIVER, 1 - SLIVER)
    # own R + own (1 - R) = own: together they weigh what the entry weighed
    return {**extra, **changed, "mask": own * region}, {**extra, **changed, "mask": own * (1 - region)}


def _aligned(own: Tensor, region: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both masks at the size of the larger and the batch of the longer one."""
    if len(own) != len(region) and 1 not in (len(own), len(region)):
        raise ValueError(
            f"A batch of {len(region)} masks does not fit the {len(own)} masks on {name}: expected 1 or {len(own)}."
        )
    batch, *size = (max(sides) for sides in zip(own.shape, region.shape, strict=True))
    # bilinear and stretched, as ComfyUI fits masks to the latent picture
    resized = (
        mask if list(mask.shape[1:]) == size else F.interpolate(mask[:, None], size, mode="bilinear")[:, 0]
        for mask in (own, region)
    )
    return tuple(mask.expand(batch, -1, -1) for mask in resized)


def _check_batch(masks: int, prompts: int, name: str) -> None:
    if masks != prompts and 1 not in (masks, prompts):
        raise ValueError(
            f"A batch of {masks} masks does not fit the batch of {prompts} prompts in {name}: expected 1 "
            f"mask or {prompts}."
        )


def _beneath(features: Tensor, extra: dict, inner: dict) -> list:
    """The entry to add an emotion to: beneath an earlier region, unless a node has changed that since."""
    made, beneath, mask = extra.get(REGION, (None, None, None))
    if made is not features:
        return [features, inner]
    # the emotion of that region may have added tokens, and made the mask longer
    return [beneath, inner if mask is None else {**inner, "attention_mask": mask}]


def _join_equal(entries: list) -> None:
    """Adds up, in place, the masks of entries that share text and settings: one evaluation serves all."""
    for index, (features, extra) in enumerate(entries):
        for other in entries[:index]:
            if features is not None and features is other[0] and _are_joinable(extra, other[1]):
                other[1] = {**other[1], "mask": other[1]["mask"] + extra["mask"]}
                entries[index] = [None, extra]
                break


def _are_joinable(one: dict, other: dict) -> bool:
    changing = {"mask", REGION}
    if one.keys() - changing != other.keys() - changing or not ("mask" in one and "mask" in other):
        return False
    if one["mask"].shape != other["mask"].shape:
        return False
    # ControlNets, hooks and other objects must be the same one; plain values need only be equal
    return all(
        one[key] is other[key] or (isinstance(one[key], int | float | str) and one[key] == other[key])
        for key in one.keys() - changing
    )
