"""Emotion on ComfyUI's CONDITIONING, as pure tensor functions.

CONDITIONING is a list of [tensor, dict]: text features [B, 77 * n, D] (n windows of 77 tokens, each with its
own start and end token) or None, and what other nodes have put beside them, `pooled_output` above all.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .network import EmotionFeatures, EmotionNetwork

WINDOW = 77
KNOWN_WIDTHS = {
    768: "Stable Diffusion 1.x",
    1024: "Stable Diffusion 2.x",
    1280: "the SDXL refiner",
    2048: "SDXL",
    4096: "T5, as in SD3 or Flux",
}

Conditioning = list[list]


@torch.no_grad()
def inject_emotion(
    conditioning: Sequence, network: EmotionNetwork, emotion: EmotionFeatures, strength: float = 1.0
) -> Conditioning:
    """Adds an emotion to every entry of a conditioning.

    Each window of 77 tokens is one call of the network, all windows of an entry in one batch. The pooled
    vector and everything else that an entry carries stay as they are; nothing is changed in place.

    Args:
        conditioning: Entries [tensor, dict]; an entry whose tensor is None passes.
        network: On any device; the features travel there and back.
        emotion: (e_v, e_a), each [N, K, E]: one emotion for all, or one per batch index of an entry. An
            entry with batch 1 becomes a batch of N.
        strength: Scale of the residual; 0 gives the same features bit for bit.

    Returns:
        A new list; each dict is a shallow copy, each tensor has the input's device and dtype.

    Raises:
        ValueError: Features of another width, no multiple of 77 tokens, NaN or infinity, no pooled vector, or
            a batch that does not go with N emotions. The error names the entry.
    """
    weight = network.input_projection.weight
    emotion = EmotionFeatures(*(tokens.to(weight) for tokens in emotion))
    result = []
    for index, (features, extra) in enumerate(conditioning):
        if features is not None:
            _check_entry(features, extra, network.config.feature_width, f"Entry {index} of the conditioning")
            features = _inject_windows(features, network, emotion, strength)
        result.append([features, extra.copy()])
    return result


def _inject_windows(
    features: Tensor, network: EmotionNetwork, emotion: EmotionFeatures, strength: float
) -> Tensor:
    """[B, 77 * n, D] and N emotions -> [max(B, N), 77 * n, D]; B or N is 1, or both are equal."""
    count = features.shape[1] // WINDOW
    emotions = len(emotion.valence)
    if emotions > 1:
        if len(features) not in (1, emotions):
            raise ValueError(
                f"A conditioning with a batch of {len(features)} cannot take {emotions} emotions: expected a "
                f"batch of 1 or {emotions}."
            )
        features = features.expand(emotions, -1, -1)
        emotion = EmotionFeatures(*(tokens.repeat_interleave(count, dim=0) for tokens in emotion))
    windows = features.unflatten(1, (count, WINDOW)).flatten(0, 1)  # [B * n, 77, D]
    moved = windows.to(network.input_projection.weight.device)
    injected = network.inject(moved, emotion, strength).to(windows.device)
    if not torch.isfinite(injected).all():
        raise ValueError(
            f"The emotion network gave NaN or infinite numbers in {network.input_projection.weight.dtype} at "
            f"strength {strength:g}: load it as float32, or lower the strength."
        )
    return injected.unflatten(0, (-1, count)).flatten(1, 2)


def _check_entry(features: Tensor, extra: dict, width: int, name: str) -> None:
    if not isinstance(features, Tensor) or not features.is_floating_point() or not len(features):
        got = (
            f"{features.dtype} of shape {tuple(features.shape)}"
            if isinstance(features, Tensor)
            else type(features)
        )
        raise ValueError(f"{name} holds no text features: expected floating-point numbers, got {got}.")
    if features.ndim != 3 or features.shape[2] != width:
        raise ValueError(
            f"{name} is {features.shape[-1]} wide{_known_as(features.shape[-1])}, of shape "
            f"{tuple(features.shape)}. This emotion network expects text {width} wide{_known_as(width)}: connect "
            "a prompt that was encoded with the CLIP of such a checkpoint."
        )
    tokens = features.shape[1]
    if tokens == 0 or tokens % WINDOW:
        raise ValueError(
            f"{name} has {tokens} tokens: expected a multiple of {WINDOW}, as CLIP Text Encode gives. Put the "
            "emotion before any node that cuts or joins tokens."
        )
    if extra.get("pooled_output") is None:
        raise ValueError(
            f"{name} has no pooled vector (pooled_output), which SDXL needs beside the text: connect the "
            "output of CLIP Text Encode, or of a node that keeps it."
        )
    if not torch.isfinite(features).all():
        raise ValueError(
            f"{name} holds NaN or infinite numbers: the text encoder or a node before this one has failed. "
            "Run the text encoder in float32, or check the LoRAs on it."
        )


def _known_as(width: int) -> str:
    return f" ({KNOWN_WIDTHS[width]})" if width in KNOWN_WIDTHS else ""
