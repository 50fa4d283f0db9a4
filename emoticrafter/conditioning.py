"""Emotion on ComfyUI's CONDITIONING, as pure tensor functions.

CONDITIONING is a list of [tensor, dict]: text features [B, T, D] or None, and what other nodes have put beside them,
such as `attention_mask` and `pooled_output`. With CLIP, T is 77 * n: n windows of 77 tokens, each with its own start
and end token. Other encoders give a prompt in one piece; `encoders.py` says what is peculiar to each.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from .encoders import CLIP_WINDOW, IDS_KEY, EncoderFacts, known_as, make_room
from .fingerprint import check_encoder
from .interleaved import interleave, is_interleaved, keys_and_signs
from .protection import remove_directions
from .quoting import quoted
from .va import EmotionFeatures

KEEP, ZERO = "keep", "zero"
AS_TRAINED = (1.0, 1.0)
ALL_STEPS = (0.0, 1.0)
# ComfyUI applies an entry from its start to its end, both included, and would blend two entries that meet exactly at
# a step. A boundary this much earlier meets no step, and since both sides share it, no step is left out.
BEFORE_THE_STEP = 1e-6
AT_ONCE = 128
"""Windows of 77 tokens per batch: more is not faster and can exhaust memory."""

Conditioning = list[list]


class Steering(Protocol):
    """What adds an emotion to text features: an `EmotionNetwork`, or anything else with these names."""

    feature_width: int
    """D of the features that it reads."""
    window: int | None
    """Tokens of a window that it reads on its own, None where a prompt is one piece."""
    added_tokens: int
    """M, the tokens that it adds to a prompt (`encoders.make_room`)."""
    encoder: EncoderFacts | None
    """The encoder that it was fitted to, None where that is not known."""
    weight: Tensor
    """A weight that tells its dtype and device."""
    training: bool
    """Whether it is learning, so that a gradient is wanted."""

    def encode(self, valence: float | Tensor, arousal: float | Tensor) -> EmotionFeatures:
        """Valence-arousal pairs to emotion features, each axis [N, ...]; `residual` reads them."""

    def residual(self, features: Tensor, emotion: EmotionFeatures, mask: Tensor | None = None) -> Tensor:
        """What the emotion adds to features at strength 1: [B, T, D], 0 where the mask [B, T] is False."""

    def inject(self, features: Tensor, emotion: EmotionFeatures, strength: float, mask: Tensor | None = None) -> Tensor:
        """The features with strength times the residual, [B, T, D] in their dtype."""


def inject_emotion(
    conditioning: Sequence,
    network: Steering,
    emotion: EmotionFeatures,
    strength: float = 1.0,
    *,
    gains: tuple[float, float] = AS_TRAINED,
    protected: Tensor | None = None,
    pooled: str | Tensor = KEEP,
    steps: tuple[float, float] = ALL_STEPS,
) -> Conditioning:
    """Adds an emotion to every entry of a conditioning.

    Each window of a prompt (all of it, but for CLIP) is one call of the network, up to 128 windows of 77 tokens in one
    batch. Tokens that an entry's `attention_mask` leaves out are neither read nor changed. Where the network adds
    tokens, the features and the mask grow. What else an entry carries beside its text stays as it is, except for what
    `pooled` and `steps` ask; nothing is changed in place. Where NegPip has put keys and values in turn, the keys take
    the emotion, and each value the same with its sign. The keywords at their defaults change nothing, bit for bit.
    A gradient is kept only for a network in training mode, that is, one which is learning.

    Args:
        conditioning: Entries [tensor, dict]; an entry whose tensor is None passes.
        network: On any device; the features travel there and back.
        emotion: (e_v, e_a) of its `encode`: one emotion for all, or N, one per batch index of an entry. An
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
        ValueError: Features of another width or of another encoder, a number of tokens or a mask that does not fit,
            NaN or infinity, no pooled vector where the model needs one, a batch that does not fit N emotions, or a
            setting out of its range. The error names the entry.
    """
    _check_settings(strength, gains, protected, pooled, steps, network.feature_width)
    if strength == 0:
        gains, protected, pooled, steps = AS_TRAINED, None, KEEP, ALL_STEPS
    emotion = EmotionFeatures(*(tokens.to(network.weight) for tokens in emotion))
    result = []
    with torch.set_grad_enabled(network.training and torch.is_grad_enabled()):
        for index, (features, extra) in enumerate(conditioning):
            if features is None:
                result.append([None, extra.copy()])
                continue
            name = f"Entry {index} of the conditioning"
            _check_entry(features, extra, network, name)
            if strength and network.encoder:
                check_encoder(*_seen(features, extra, name), extra, network.encoder, network.window, name)
            steered, grown = _steered(features, extra, network, emotion, strength, gains, protected, name)
            emotional = [steered, _with_pooled(grown, pooled, len(steered), name)]
            result += _in_turn([features, extra], emotional, *steps)
    return result


def _steered(
    features: Tensor,
    extra: dict,
    network: Steering,
    emotion: EmotionFeatures,
    strength: float,
    gains: tuple[float, float],
    protected: Tensor | None,
    name: str,
) -> tuple[Tensor, dict]:
    """An entry's features with the emotion, and its dict with the mask grown to match."""
    signs = keys_and_signs(features)[1] if is_interleaved(features) else None
    keys, mask = _seen(features, extra, name)
    if strength and network.added_tokens:
        keys, mask = make_room(keys, mask, network.added_tokens, network.encoder.tail if network.encoder else 0)
        extra = _with_room(extra, keys, mask)
    steered = _inject_windows(keys, mask, network, emotion, strength, gains, protected)
    return (steered if signs is None else interleave(steered, signs)), extra


def _seen(features: Tensor, extra: dict, name: str) -> tuple[Tensor, Tensor | None]:
    """The features that a network reads, and their mask: NegPip's keys without the values."""
    mask = _text_mask(extra, features, name)
    if not is_interleaved(features):
        return features, mask
    return keys_and_signs(features)[0], None if mask is None else mask[:, 0::2]


def doubts(conditioning: Sequence, network: Steering) -> list[str]:
    """What speaks against a conditioning's encoder and lets it pass all the same, for `inject_emotion`'s arguments."""
    if network.encoder is None:
        return []
    found = []
    for index, (features, extra) in enumerate(conditioning):
        if features is not None:
            name = f"Entry {index} of the conditioning"
            _check_entry(features, extra, network, name)
            seen = _seen(features, extra, name)
            found.append(check_encoder(*seen, extra, network.encoder, network.window, name))
    return [doubt for doubt in found if doubt]


def _text_mask(extra: dict, features: Tensor, name: str) -> Tensor | None:
    """The entry's attention mask as True for tokens that count, [B, T]; None where all do."""
    mask = extra.get("attention_mask")
    if mask is None or mask.ndim == 3:  # a bias between text and picture, [B, T + pixels, T + pixels]
        return None
    if mask.ndim != 2 or mask.shape[1] != features.shape[1] or len(mask) not in (1, len(features)):
        raise ValueError(
            f"{name} has an attention mask of shape {tuple(mask.shape)} for features of shape {tuple(features.shape)}: "
            "expected one number for each token. Put the emotion before any node that cuts or joins tokens."
        )
    mask = mask.to(features.device) != 0
    return None if mask.all() else mask.expand(len(features), -1)


def _with_room(extra: dict, features: Tensor, mask: Tensor | None) -> dict:
    """A copy whose attention mask, if there is one, covers the tokens that were made room for."""
    own = extra.get("attention_mask")
    if own is None:
        return extra
    grown = torch.ones(features.shape[:2], device=features.device) if mask is None else mask
    # as many rows as before: ComfyUI repeats them, and some of its models count tokens by the mask's sum
    return {**extra, "attention_mask": grown[: len(own)].to(own)}


def _inject_windows(
    features: Tensor,
    mask: Tensor | None,
    network: Steering,
    emotion: EmotionFeatures,
    strength: float,
    gains: tuple[float, float],
    protected: Tensor | None,
) -> Tensor:
    """[B, n * window, D] and N emotions -> [max(B, N), n * window, D]; B or N is 1, or both are equal."""
    size = network.window or features.shape[1]
    count = features.shape[1] // size
    emotions = len(emotion.valence)
    if emotions > 1:
        if len(features) not in (1, emotions):
            raise ValueError(
                f"A conditioning with a batch of {len(features)} cannot take {emotions} emotions: expected a "
                f"batch of 1 or {emotions}."
            )
        features = features.expand(emotions, -1, -1)
        mask = None if mask is None else mask.expand(emotions, -1)
        # an emotion goes with all n windows of its prompt: [N, K, E] -> [N * n, K, E], prompt by prompt
        emotion = EmotionFeatures(*(tokens.repeat_interleave(count, dim=0) for tokens in emotion))
    # each window is a prompt of its own to the network, as it was to CLIP: [B, n * 77, D] -> [B * n, 77, D]
    windows = features.unflatten(1, (count, size)).flatten(0, 1)
    masks = None if mask is None else mask.unflatten(1, (count, size)).flatten(0, 1)
    parts = []
    at_once = max(1, AT_ONCE * CLIP_WINDOW // size)
    for start in range(0, len(windows), at_once):
        some = slice(start, start + at_once)
        its_own = emotion if emotions == 1 else EmotionFeatures(*(tokens[some] for tokens in emotion))
        its_mask = None if masks is None else masks[some]
        parts.append(_injected(windows[some], its_mask, network, its_own, strength, gains, protected))
    injected = torch.cat(parts)
    if not torch.isfinite(injected if masks is None else injected[masks]).all():
        raise ValueError(
            f"The emotion network gave NaN or infinite numbers in {network.weight.dtype} at "
            f"strength {strength:g}: load it as float32, or lower the strength."
        )
    # the windows of a prompt side by side again: [B * n, 77, D] -> [B, n * 77, D]
    return injected.unflatten(0, (-1, count)).flatten(1, 2)


def _injected(
    windows: Tensor,
    mask: Tensor | None,
    network: Steering,
    emotion: EmotionFeatures,
    strength: float,
    gains: tuple[float, float],
    protected: Tensor | None,
) -> Tensor:
    """[B, T, D] and 1 or B emotions -> [B, T, D], on the same device."""
    device = network.weight.device
    moved, mask = windows.to(device), None if mask is None else mask.to(device)
    if gains == AS_TRAINED and protected is None:
        return network.inject(moved, emotion, strength, mask).to(windows.device)
    residual = _residual(moved, mask, network, emotion, gains)
    # the protected directions go last: nothing that a gain adds may put them back
    if protected is not None:
        residual = remove_directions(residual, protected)
    return (moved + (strength * residual).to(moved.dtype)).to(windows.device)


def _residual(
    features: Tensor, mask: Tensor | None, network: Steering, emotion: EmotionFeatures, gains: tuple[float, float]
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
        share * network.residual(features, EmotionFeatures(e_v, e_a), mask).float()
        for share, e_v, e_a in corners
        if share
    )


def _with_pooled(extra: dict, pooled: str | Tensor, batch: int, name: str) -> dict:
    """A copy with the pooled vector that was asked for."""
    own = extra.get("pooled_output")
    if isinstance(pooled, str):
        return extra.copy() if pooled == KEEP or own is None else {**extra, "pooled_output": torch.zeros_like(own)}
    if own is None:
        raise ValueError(f"{name} has no pooled vector to replace, as its model reads none: set pooled to {KEEP!r}.")
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
            f"The protected words are {protected.shape[-1]} wide{known_as(protected.shape[-1])}. This emotion network "
            f"expects text {width} wide{known_as(width)}: encode them with the CLIP that encodes the prompt."
        )
    if isinstance(pooled, str) and pooled not in (KEEP, ZERO):
        raise ValueError(f"pooled is {quoted(pooled)}: expected {KEEP!r}, {ZERO!r} or a vector.")


def _check_entry(features: Tensor, extra: dict, network: Steering, name: str) -> None:
    if not isinstance(features, Tensor) or not features.is_floating_point() or not len(features):
        got = f"{features.dtype} of shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features)
        raise ValueError(f"{name} does not hold text features: expected floating-point numbers, got {got}.")
    if extra.get(IDS_KEY) is not None:
        raise ValueError(
            f"{name} holds token ids ({IDS_KEY}) in place of text features: its model reads the words itself, so "
            "nothing can be added to them. Use a model with a text encoder of its own, or put the mood into the prompt."
        )
    width = network.feature_width
    if features.ndim != 3 or features.shape[2] != width:
        expected = f" ({network.encoder.family})" if network.encoder else known_as(width)
        raise ValueError(
            f"{name} is {features.shape[-1]} wide{known_as(features.shape[-1])}, of shape "
            f"{tuple(features.shape)}. This emotion network expects text {width} wide{expected}: connect "
            "a prompt that was encoded with the CLIP of such a checkpoint."
        )
    tokens, window = features.shape[1], network.window or 1
    if tokens == 0 or tokens % window:
        expected = f"a multiple of {window}, as CLIP Text Encode gives" if window > 1 else "at least 1"
        raise ValueError(
            f"{name} has {tokens} tokens: expected {expected}. Put the "
            "emotion before any node that cuts or joins tokens."
        )
    if extra.get("pooled_output") is None and _needs_pooled(network):
        raise ValueError(
            f"{name} has no pooled vector (pooled_output), which SDXL needs beside the text: connect the "
            "output of CLIP Text Encode, or of a node that keeps it."
        )
    mask = _text_mask(extra, features, name)
    if not torch.isfinite(features if mask is None else features[mask]).all():
        raise ValueError(
            f"{name} holds NaN or infinite numbers: the text encoder or a node before this one has failed. "
            "Run the text encoder in float32, or check the LoRAs on it."
        )


def _needs_pooled(network: Steering) -> bool:
    """Whether the model behind a network cannot do without a pooled vector; a file that does not say is for SDXL."""
    if network.encoder is None:
        return network.window == CLIP_WINDOW
    return network.encoder.known is not None and network.encoder.known.needs_pooled
