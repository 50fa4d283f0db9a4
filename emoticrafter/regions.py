"""Another emotion inside a mask, on ComfyUI's CONDITIONING (see `conditioning.py`).

ComfyUI draws every entry of a conditioning and adds the results up, each weighted by its `mask` times
`mask_strength` and `strength`, divided by the sum of the weights. So an entry becomes two that share its weight:
the emotional one has the region R of it, the plain one has the rest, 1 - R. At every place their weights add up to
the entry's own, and what other entries have there stays as it was.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .conditioning import Conditioning, inject_emotion
from .network import EmotionFeatures, EmotionNetwork

REGION = "emoticrafter_region"
"""The key on an emotional entry that holds (its features, the plain features they were made of)."""

VISIBLE = 1 / 512
"""Weights below it, less than half a step of an 8-bit picture, are not worth an evaluation of the model."""

SLIVER = 1e-6
"""The weight that each part keeps of the other's place where ComfyUI crops an entry to where its mask is not 0."""


def regional_emotion(
    conditioning: Sequence,
    network: EmotionNetwork,
    emotion: EmotionFeatures,
    mask: Tensor,
    strength: float = 1.0,
    feather: float = 0.0,
) -> Conditioning:
    """Gives a conditioning an emotion inside a mask and keeps it as it is outside.

    A region lies on top of those that were laid before: where they overlap, its emotion takes the place of theirs.
    n regions make n + 1 entries of one. Entries without features, and those marked `default` (which ComfyUI
    gives what all others leave, whatever their mask), pass.

    Args:
        conditioning: Entries [tensor, dict], see `inject_emotion`; never changed in place.
        network: On any device.
        emotion: One emotion for all, or one per batch index.
        mask: [H, W] or [B, H, W], any size (ComfyUI stretches masks over the picture); 0 outside, 1 inside,
            between them a mixture; values beyond are cut to this range.
        strength: Scale of the residual; 0 gives the same conditioning.
        feather: Width of the mask's soft edge as a part of its shorter side, 0 to 1.

    Returns:
        The plain entries, then the emotional ones; `conditioning` itself if nothing changes.

    Raises:
        ValueError: The mask is none, holds NaN, or has a batch that does not go with that of the prompt or of a
            mask on it; or see `inject_emotion`.
    """
    region = soften(read_mask(mask, "The mask"), feather)
    if strength == 0 or region.max() < VISIBLE:
        return conditioning
    plain, covered = [], []
    for index, (features, extra) in enumerate(conditioning):
        inner, outer = None, extra
        if features is not None and "default" not in extra:
            inner, outer = _split(extra, region, len(features), f"entry {index} of the conditioning")
        if outer is not None:
            plain.append([features, outer.copy()])
        covered.append([None, extra] if inner is None else [_beneath(features, extra), inner])
    _join_equal(covered)
    emotional = inject_emotion(covered, network, emotion, strength)
    for (beneath, _), (features, extra) in zip(covered, emotional, strict=True):
        extra[REGION] = (features, beneath)
    emotional = [entry for entry in emotional if entry[0] is not None]
    return [*plain, *emotional] if emotional else conditioning


def read_mask(mask: Tensor, name: str) -> Tensor:
    """A checked mask as float32 [B, H, W] from 0 to 1; `name` begins the error's sentence.

    Raises:
        ValueError: It is no tensor [H, W] or [B, H, W] with something in it, or holds NaN or infinity.
    """
    if not isinstance(mask, Tensor) or mask.ndim not in (2, 3) or not mask.numel():
        got = f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"{name} is no mask: expected numbers of shape (height, width) or (batch, height, width), got {got}. "
            "Connect a MASK; Convert Image to Mask makes one of a picture."
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
    blurred = _blurred_rows(_blurred_rows(mask.cpu().double(), reach).mT, reach).mT
    # Rounded, because what sums leave of a 0 is no part of the region.
    return blurred.round(decimals=7).clamp(0, 1).to(mask)


def _blurred_rows(mask: Tensor, reach: int) -> Tensor:
    """The mean of every place and of `reach` others at both sides, [B, H, W]; past the end is as at the end."""
    width = 2 * reach + 1
    # Differences of running sums take as long for a wide reach as for a narrow one.
    sums = F.pad(F.pad(mask, (reach, reach), mode="replicate").cumsum(-1), (1, 0))
    return (sums[..., width:] - sums[..., :-width]) / width


def _split(extra: dict, region: Tensor, batch: int, name: str) -> tuple[dict | None, dict | None]:
    """The settings of the parts of an entry inside and outside of a region; None for a part that is empty."""
    own = extra.get("mask")
    if own is None:  # then its strength, if there is one, has not counted so far
        own, changed = torch.ones_like(region[:1]), {"mask_strength": 1.0, "set_area_to_bounds": False}
    else:
        own, changed = _own_mask(own, name), {}
    _check_batch(len(region), batch, name)
    own, region = _aligned(own, region.to(own.device), name)
    there = own != 0
    if (region * there).max() < VISIBLE:
        return None, extra
    if ((1 - region) * there).max() < VISIBLE:
        return extra, None
    if extra.get("set_area_to_bounds") and not changed:
        # The parts keep the frame of the whole: in a smaller one the model would draw something else.
        region = region.clamp(SLIVER, 1 - SLIVER)
    return {**extra, **changed, "mask": own * region}, {**extra, **changed, "mask": own * (1 - region)}


def _own_mask(mask: Tensor, name: str) -> Tensor:
    """The mask on an entry, [B, H, W]; its values are the user's, and may lie beyond 0 to 1."""
    read_mask(mask, f"The mask on {name}")
    return mask.float().reshape(-1, *mask.shape[-2:])


def _aligned(own: Tensor, region: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both masks in the size of the larger and the batch of the longer one."""
    if len(own) != len(region) and 1 not in (len(own), len(region)):
        raise ValueError(
            f"A batch of {len(region)} masks does not go with the {len(own)} masks on {name}: expected 1 or "
            f"{len(own)}."
        )
    size = tuple(max(sides) for sides in zip(own.shape[1:], region.shape[1:], strict=True))
    batch = max(len(own), len(region))
    return tuple(_resized(mask, size).expand(batch, -1, -1) for mask in (own, region))


def _resized(mask: Tensor, size: tuple[int, int]) -> Tensor:
    # Bilinear and stretched, as ComfyUI fits masks to the latent picture.
    return mask if mask.shape[1:] == size else F.interpolate(mask[:, None], size, mode="bilinear")[:, 0]


def _check_batch(masks: int, prompts: int, name: str) -> None:
    if masks != prompts and 1 not in (masks, prompts):
        raise ValueError(
            f"A batch of {masks} masks does not go with the batch of {prompts} prompts in {name}: expected 1 "
            f"mask or {prompts}."
        )


def _beneath(features: Tensor, extra: dict) -> Tensor:
    """The features to add an emotion to: those beneath an earlier region, unless a node has changed it since."""
    made, beneath = extra.get(REGION, (None, None))
    return beneath if made is features else features


def _join_equal(entries: list) -> None:
    """Adds up the masks of entries with one text and one set of settings, in place: one evaluation serves all."""
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
    # Objects such as ControlNets and hooks are the same or they are not; plain numbers may be equal.
    return all(
        one[key] is other[key] or (isinstance(one[key], int | float | str) and one[key] == other[key])
        for key in one.keys() - changing
    )
