"""Applies the paper's baselines: as patches of ComfyUI's MODEL, or as tokens of its CLIP.

Keys, values and vectors depend on valence and arousal alone: they are computed once, on the CPU, and the patches hold
these few numbers instead of the baseline's weights.
"""

import comfy.utils
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..emoticrafter.research.baselines import (
    MARK,
    Attention,
    CrossAttention,
    TextualInversion,
    TimeEmbedding,
    Words,
    mark_places,
    scaled,
)

POSITIVE = 0  # in transformer_options["cond_or_uncond"]
ANOTHER_BASE = "Connect the model that it was fitted to, or fit it to this one (docs/baselines.md)."


def patched(
    model: ModelPatcher, baseline: CrossAttention | TimeEmbedding, valence: float, arousal: float, strength: float
) -> ModelPatcher:
    """A MODEL whose positive prompt has the emotion; strength 0 returns the model as it is.

    Raises:
        ValueError: The baseline was fitted to a model with other sizes, or a value lies outside [-3, 3].
    """
    effect = scaled(baseline(valence, arousal), strength)
    sizes = getattr(model.model.model_config, "unet_config", {})
    if isinstance(baseline, CrossAttention):
        places = _attention_places(sizes)
        if places.keys() != effect.keys() or sizes.get("context_dim") != baseline.config.text_width:
            raise ValueError(
                f"This cross-attention was fitted to a UNet with {len(effect)} cross-attention layers for text "
                f"{baseline.config.text_width} wide, and this model has {len(places)} for text "
                f"{sizes.get('context_dim')} wide. {ANOTHER_BASE}"
            )
    elif 4 * sizes.get("model_channels", 0) != baseline.config.time_width:
        raise ValueError(
            f"This time-embedding is {baseline.config.time_width} wide, and this model's time embedding "
            f"{4 * sizes.get('model_channels', 0)}. {ANOTHER_BASE}"
        )
    if strength == 0:
        return model
    model = model.clone()
    if isinstance(baseline, CrossAttention):
        _add_attention(model, effect, places)
    else:
        model.set_model_patch(_AddedTime(effect), "emb_patch")
    return model


def _attention_places(sizes: dict) -> dict[str, tuple[str, int, int]]:
    """ComfyUI's place of each cross-attention layer: the block's kind and number, and the transformer in it."""
    found = {}
    for name, key in comfy.utils.unet_to_diffusers(sizes).items() if sizes else ():
        layer, ours, _ = name.partition(".attn2.to_q.weight")
        if ours:
            kind, number, *_, index = key.partition(".attn2.")[0].split(".")
            kind = kind.partition("_")[0]  # input, middle, output
            found[layer] = (kind, 0 if kind == "middle" else int(number), int(index))
    return found


def _add_attention(model: ModelPatcher, effect: Attention, places: dict[str, tuple[str, int, int]]) -> None:
    others = model.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    for name, (keys, values) in effect.items():
        place = places[name]
        before = others.get(place) or others.get(place[:2])  # another pack's patch of this layer still counts
        model.set_model_attn2_replace(_AddedAttention(keys, values, before), *place)


def _positive_rows(count: int, options: dict) -> list[slice]:
    """The rows of a batch that belong to the positive prompt."""
    parts = options.get("cond_or_uncond") or [POSITIVE]
    size = count // len(parts)
    return [slice(n * size, (n + 1) * size) for n, part in enumerate(parts) if part == POSITIVE]


class _AddedAttention:
    """Replaces a layer's attention to the text by that plus attention to the emotion."""

    def __init__(self, keys: Tensor, values: Tensor, before=None):
        self.keys, self.values, self.before = keys, values, before

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, options: dict) -> Tensor:
        attend = self.before or self._attend
        result = attend(q, k, v, options).clone()
        for rows in _positive_rows(len(q), options):
            queries = q[rows]
            keys, values = (part.to(q).expand(len(queries), -1, -1) for part in (self.keys, self.values))
            result[rows] += self._attend(queries, keys, values, options)
        return result

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, options: dict) -> Tensor:
        return optimized_attention(q, k, v, options["n_heads"], attn_precision=options.get("attn_precision"))

    def to(self, target):
        """A copy on a device or in a dtype, as ComfyUI asks for when it loads the model."""
        before = self.before.to(target) if hasattr(self.before, "to") else self.before
        return _AddedAttention(self.keys.to(target), self.values.to(target), before)

    def models(self) -> list:
        return self.before.models() if hasattr(self.before, "models") else []


class _AddedTime:
    """Adds a vector to the time embedding."""

    def __init__(self, vector: Tensor):
        self.vector = vector

    def __call__(self, embedded: Tensor, channels: int, options: dict) -> Tensor:
        embedded = embedded.clone()
        for rows in _positive_rows(len(embedded), options):
            embedded[rows] += self.vector.to(embedded)
        return embedded

    def to(self, target):
        return _AddedTime(self.vector.to(target))


# --- learned words ---------------------------------------------------------------------------------------------------


def encode_plain(clip, text: str) -> list:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def encode_with_words(
    clip, baseline: TextualInversion, text: str, valence: float, arousal: float, strength: float
) -> list:
    """A prompt in the template with its learned words, as CONDITIONING.

    A strength goes from what the plain prompt gives (0, exactly) towards what the template gives (1), and beyond.

    Raises:
        ValueError: The CLIP is not SDXL's, or one of other sizes; a value lies outside [-3, 3].
    """
    words = baseline(valence, arousal)
    plain = clip.tokenize(text)
    if set(plain) != {"l", "g"} or _widths(clip) != baseline.config.text_widths:
        raise ValueError(
            f"This textual-inversion was fitted to SDXL's two text encoders, {baseline.config.text_widths} wide, and "
            f"this CLIP has other ones ({', '.join(plain)}). {ANOTHER_BASE}"
        )
    if strength == 0:
        return clip.encode_from_tokens_scheduled(plain)
    changed = clip.encode_from_tokens_scheduled(_with_words(clip, baseline, text, words))
    if strength == 1:
        return changed
    for letter, windows in clip.tokenize(baseline.prompt(text)).items():  # one window more may have been needed
        plain[letter] = plain[letter] + clip.tokenize("")[letter] * (len(windows) - len(plain[letter]))
    pairs = zip(clip.encode_from_tokens_scheduled(plain), changed, strict=True)
    return [_between(before, after, strength) for before, after in pairs]


def _widths(clip) -> tuple[int, ...]:
    encoders = (clip.cond_stage_model.clip_l, clip.cond_stage_model.clip_g)
    return tuple(encoder.transformer.get_input_embeddings().weight.shape[1] for encoder in encoders)


def _with_words(clip, baseline: TextualInversion, text: str, words: Words) -> dict[str, list]:
    """The template's tokens, with embeddings in place of the marks."""
    tokens = clip.tokenize(baseline.prompt(text))
    mark = clip.tokenize(MARK)["l"][0][1][0]
    for letter, (embeddings,) in zip("lg", words, strict=True):
        windows = [list(window) for window in tokens[letter]]
        everywhere = [(window, place) for window in windows for place in range(len(window))]
        ids = [window[place][0] for window, place in everywhere]
        for found, embedding in zip(mark_places(ids, mark, len(embeddings)), embeddings, strict=True):
            window, place = everywhere[found]
            window[place] = (embedding, *window[place][1:])
        tokens[letter] = windows
    return tokens


def _between(before: list, after: list, strength: float) -> list:
    (plain, about_plain), (changed, about) = before, after
    pooled = torch.lerp(about_plain["pooled_output"], about["pooled_output"], strength)
    return [torch.lerp(plain, changed, strength), {**about, "pooled_output": pooled}]
