"""Emotion on ComfyUI's CONDITIONING, as pure tensor functions.

CONDITIONING is a list of [tensor, dict]: text features [B, 77 * n, D] (n windows of 77 tokens, each with its
own start and end token) or None, and what other nodes have put beside them, `pooled_output` above all.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .interleaved import interleave, is_interleaved, keys_and_signs
from .network import EmotionFeatures, EmotionNetwork
from .protection import WINDOW, remove_directions

KEEP, ZERO = "keep", "zero"
AS_TRAINED = (1.0, 1.0)
ALL_STEPS = (0.0, 1.0)
# ComfyUI applies an entry from its start to its end, both included, and would blend two entries that meet exactly at
# a step. A boundary this much earlier meets no step, and since both sides share it, no step is left out.
BEFORE_THE_STEP = 1e-6
AT_ONCE = 128
"""Windows per batch: more is not faster and can exhaust memory."""
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
    conditioning: Sequence,
    network: EmotionNetwork,
    emotion: EmotionFeatures,
    strength: float = 1.0,
    *,
    gains: tuple[float, float] = AS_TRAINED,
    protected: Tensor | None = None,
    pooled: str | Tensor = KEEP,
    steps: tuple[float, float] = ALL_STEPS,
) -> Conditioning:
    """Adds an emotion to every entry of a conditioning.

    Each window of 77 tokens is one call of the network, up to 128 windows of an entry in one batch. What an entry
    carries beside its text stays as it is, except for what `pooled` and `steps` ask; nothing is changed in place.
    Where NegPip has put keys and values in turn, the keys take the emotion, and each value the same with its sign.
    The keywords at their defaults change nothing, bit for bit.

    Args:
        conditioning: Entries [tensor, dict]; an entry whose tensor is None passes.
        network: On any device; the features travel there and back.
        emotion: (e_v, e_a), each [N, K, E]: one emotion for all, or one per batch index of an entry. An
            entry with batch 1 becomes a batch of N.
        strength: Scale of the residual; 0 returns the same conditioning bit for bit, whatever the keywords say.
        gains: Of valence and of arousal: 0 as if that value were 0, 1 as trained, more exaggerates it alone.
        protected: Orthonormal directions [R, D] that the residual may not touch, from `word_directions`.
        pooled: "keep" (as published), "zero", or the vector [1, P] or one per batch index to use instead.
        steps: Start and end of the emotion as shares of the denoising, in [0, 1]. Other than (0, 1), an entry
            becomes up to three that follow each other, the plain prompt outside and the emotional one inside,
            within the range that the entry may have already.

    Returns:
        A new list; each dict is a shallow copy, each tensor has the input's device and dtype.

    Raises:
        ValueError: Features of another width, a number of tokens that 77 does not divide, NaN or infinity, no
            pooled vector, a batch that does not fit N emotions, or a setting out of its range. The error names
            the entry.
    """
    _check_settings(strength, gains, protected, pooled, steps, network.config.feature_width)
    if strength == 0:
        gains, protected, pooled, steps = AS_TRAINED, None, KEEP, ALL_STEPS
    weight = network.input_projection.weight
    emotion = EmotionFeatures(*(tokens.to(weight) for tokens in emotion))
    result = []
    for index, (features, extra) in enumerate(conditioning):
        if features is None:
            result.append([None, extra.copy()])
            continue
        name = f"Entry {index} of the conditioning"
        _check_entry(features, extra, network.config.feature_width, name)
        keys, signs = keys_and_signs(features) if is_interleaved(features) else (features, None)
        injected = _inject_windows(keys, network, emotion, strength, gains, protected)
        if signs is not None:
            injected = interleave(injected, signs)
        emotional = [injected, _with_pooled(extra, pooled, len(injected), name)]
        result += _in_turn([features, extra], emotional, *steps)
    return result


def _inject_windows(
    features: Tensor,
    network: EmotionNetwork,
    emotion: EmotionFeatures,
    strength: float,
    gains: tuple[float, float],
    protected: Tensor | None,
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
        # an emotion goes with all n windows of its prompt: [N, K, E] -> [N * n, K, E], prompt by prompt
        emotion = EmotionFeatures(*(tokens.repeat_interleave(count, dim=0) for tokens in emotion))
    # each window is a prompt of its own to the network, as it was to CLIP: [B, 77 * n, D] -> [B * n, 77, D]
    windows = features.unflatten(1, (count, WINDOW)).flatten(0, 1)
    parts = []
    for start in range(0, len(windows), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        its_own = emotion if emotions == 1 else EmotionFeatures(*(tokens[some] for tokens in emotion))
        parts.append(_injected(windows[some], network, its_own, strength, gains, protected))
    injected = torch.cat(parts)
    if not torch.isfinite(injected).all():
        raise ValueError(
            f"The emotion network gave NaN or infinite numbers in {network.input_projection.weight.dtype} at "
            f"strength {strength:g}: load it as float32, or lower the strength."
        )
    # the windows of a prompt side by side again: [B * n, 77, D] -> [B, 77 * n, D]
    return injected.unflatten(0, (-1, count)).flatten(1, 2)


def _injected(
    windows: Tensor,
    network: EmotionNetwork,
    emotion: EmotionFeatures,
    strength: float,
    gains: tuple[float, float],
    protected: Tensor | None,
) -> Tensor:
    """[B, 77, D] and 1 or B emotions -> [B, 77, D], on the same device."""
    moved = windows.to(network.input_projection.weight.device)
    if gains == AS_TRAINED and protected is None:
        return network.inject(moved, emotion, strength).to(windows.device)
    residual = _residual(moved, network, emotion, gains)
    # the protected directions go last: nothing that a gain adds may put them back
    if protected is not None:
        residual = remove_directions(residual, protected)
    return (moved + (strength * residual).to(moved.dtype)).to(windows.device)


def _residual(
    features: Tensor, network: EmotionNetwork, emotion: EmotionFeatures, gains: tuple[float, float]
) -> Tensor:
    """The residual with a gain on each axis: [B, T, D], float32.

    A gain on the value itself would only move the slider, and would end where the slider ends, just where arousal is
    too weak. So the gain is on the value's effect: the residuals r of (V, A), (V, 0), (0, A) and (0, 0) span a
    bilinear surface, exact at those four corners, which is read at (g_v, g_a). The network is never asked for a
    value that it was not trained on. Corners of weight 0 are not computed.
    """
    # e_v(0) and e_a(0): an axis at rest
    neutral = network.encode(0.0, 0.0)
    # g_v g_a r(V, A) + g_v (1 - g_a) r(V, 0) + (1 - g_v) g_a r(0, A) + (1 - g_v)(1 - g_a) r(0, 0)
    valence, arousal = gains
    corners = (
        (valence * arousal, emotion.valence, emotion.arousal),
        (valence * (1 - arousal), emotion.valence, neutral.arousal),
        ((1 - valence) * arousal, neutral.valence, emotion.arousal),
        ((1 - valence) * (1 - arousal), neutral.valence, neutral.arousal),
    )
    # in float32: gains above 1 take differences of close numbers, and half precision would lose them
    return sum(
        share * network.residual(features, EmotionFeatures(e_v, e_a)).float() for share, e_v, e_a in corners if share
    )


def _with_pooled(extra: dict, pooled: str | Tensor, batch: int, name: str) -> dict:
    """A copy with the pooled vector that was asked for."""
    own = extra["pooled_output"]
    if isinstance(pooled, str):
        return extra.copy() if pooled == KEEP else {**extra, "pooled_output": torch.zeros_like(own)}
    if pooled.ndim != 2 or pooled.shape[1] != own.shape[-1] or len(pooled) not in (1, batch):
        raise ValueError(
            f"{name} cannot take a pooled vector of shape {tuple(pooled.shape)}: expected "
            f"[1 or {batch}, {own.shape[-1]}]. Take it from a prompt of the same CLIP."
        )
    return {**extra, "pooled_output": pooled.to(own)}


def _in_turn(plain: list, emotional: list, start: float, end: float) -> Conditioning:
    """The emotional entry from `start` to `end`, the plain one before and after, within the entry's own range."""
    if (start, end) == ALL_STEPS:
        return [emotional]
    start, end = (place - BEFORE_THE_STEP if 0 < place < 1 else place for place in (start, end))
    first, last = plain[1].get("start_percent", 0.0), plain[1].get("end_percent", 1.0)
    # only cuts inside the entry's own range count; one at its end would leave a part that meets no step
    last_cut = last - 2 * BEFORE_THE_STEP
    cuts = [place for place in (start, end) if first < place < last_cut and start < end]
    # up to three parts: plain, emotional, plain
    result = []
    for since, until in pairwise([first, *cuts, last]):
        features, extra = emotional if start <= since < end else plain
        spell = {"start_percent": since, "end_percent": until} if cuts else {}
        result.append([features, {**extra, **spell}])
    return result


def _check_settings(strength, gains, protected, pooled, steps, width: int) -> None:
    if not abs(strength) < float("inf"):
        raise ValueError(f"strength is {strength}: expected a finite number.")
    for name, gain in zip(("valence", "arousal"), gains, strict=True):
        if not 0 <= gain < float("inf"):
            raise ValueError(f"The {name} gain is {gain:g}: expected 0 (none of it) or more, 1 as trained.")
    start, end = steps
    if not 0 <= start <= end <= 1:
        raise ValueError(
            f"start_percent is {start:g} and end_percent {end:g}: expected numbers from 0 to 1 for where in the "
            "denoising the emotion starts and ends, the start not after the end."
        )
    if protected is not None and protected.shape[1:] != (width,):
        raise ValueError(
            f"The protected words are {protected.shape[-1]} wide{_known_as(protected.shape[-1])}. This emotion network "
            f"expects text {width} wide{_known_as(width)}: encode them with the CLIP that encodes the prompt."
        )
    if isinstance(pooled, str) and pooled not in (KEEP, ZERO):
        raise ValueError(f"pooled is {pooled!r}: expected {KEEP!r}, {ZERO!r} or a vector.")


def _check_entry(features: Tensor, extra: dict, width: int, name: str) -> None:
    if not isinstance(features, Tensor) or not features.is_floating_point() or not len(features):
        got = f"{features.dtype} of shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features)
        raise ValueError(f"{name} does not hold text features: expected floating-point numbers, got {got}.")
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
