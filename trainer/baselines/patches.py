"""Puts the effects of emoticrafter/research/baselines.py into models of diffusers and transformers.

    with applied(unet, baseline(valence, arousal)):     # cross attention, time embedding
        predicted = unet(...)
    with inserted(text, places, baseline(valence, arousal)):    # textual inversion
        features, pooled = text(tokens)
    with emotional(pipeline, baseline, prompts, valence, arousal) as inputs:    # any of the three, on SDXL
        pictures = pipeline(**inputs).images

Nothing of the models is changed for good: what `with` puts in, its end takes out.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emoticrafter.research.baselines import (
    MARK,
    Attention,
    Baseline,
    CrossAttention,
    Effect,
    TextualInversion,
    Words,
    mark_places,
    scaled,
)
from trainer.features.tokenizer import END, TOKENS, WORDS, clip_tokenizer
from trainer.pictures.base import SDXLText


def attention_layers(unet: nn.Module) -> dict[str, int]:
    """The UNet's cross-attention layers by diffusers' names, with their channels."""
    return {
        name.removesuffix(".attn2"): layer.to_q.out_features
        for name, layer in unet.named_modules()
        if name.endswith(".attn2")
    }


def check_fit(baseline: Baseline, unet: nn.Module, text: nn.Module) -> None:
    """Raises ValueError if a baseline was fitted to a model of other sizes."""
    config = baseline.config
    if isinstance(baseline, CrossAttention):
        found = attention_layers(unet), unet.config.cross_attention_dim
        fits = found == (config.layers, config.text_width)
    elif isinstance(baseline, TextualInversion):
        found = tuple(one.config.hidden_size for one in (text.clip_l, text.clip_g))
        fits = found == config.text_widths
    else:
        found = unet.time_embedding.linear_2.out_features
        fits = found == config.time_width
    if not fits:
        raise ValueError(
            f"This {baseline.method} was fitted to another base model: its sizes are {_short(config)}, this model's "
            f"{_short(found)}. Take the model that it was fitted to, or fit it anew."
        )


def _short(sizes) -> str:
    text = str(sizes)
    return text if len(text) < 200 else f"{text[:200]} …"


@contextmanager
def applied(unet: nn.Module, effect: Attention | Tensor, last: bool = False) -> Iterator[None]:
    """Gives a UNet an emotion.

    Args:
        unet: diffusers' UNet2DConditionModel.
        effect: Of `CrossAttention` or `TimeEmbedding` for N rows, perhaps `scaled`.
        last: Whether the N rows are the last of the UNet's batch, as in diffusers' pipelines with guidance, or the
            first. The other rows, which are the unconditional ones, get no emotion.
    """
    if isinstance(effect, Tensor):
        hook = unet.time_embedding.register_forward_hook(
            lambda _module, _inputs, embedded: embedded + _padded(effect, embedded, last)
        )
        try:
            yield
        finally:
            hook.remove()
        return
    kept = {name: unet.get_submodule(f"{name}.attn2").processor for name in effect}
    try:
        for name, (keys, values) in effect.items():
            unet.get_submodule(f"{name}.attn2").processor = _EmotionAttention(keys, values, last)
        yield
    finally:
        for name, processor in kept.items():
            unet.get_submodule(f"{name}.attn2").processor = processor


class _EmotionAttention:
    """diffusers' attention processor for a cross-attention layer that has emotion tokens beside the text."""

    def __init__(self, keys: Tensor, values: Tensor, last: bool):
        self.keys, self.values, self.last = keys, values, last

    def __call__(self, layer, hidden_states, encoder_hidden_states, attention_mask=None, temb=None) -> Tensor:
        query = _heads(layer.to_q(hidden_states), layer.heads)
        text = (layer.to_k(encoder_hidden_states), layer.to_v(encoder_hidden_states))
        emotion = (_padded(part, query, self.last) for part in (self.keys, self.values))
        attended = [
            F.scaled_dot_product_attention(query, _heads(keys, layer.heads), _heads(values, layer.heads))
            for keys, values in (text, emotion)
        ]
        return layer.to_out[0](sum(attended).transpose(1, 2).flatten(2))


def _heads(x: Tensor, heads: int) -> Tensor:
    """[B, T, C] -> [B, H, T, C / H]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _padded(part: Tensor, like: Tensor, last: bool) -> Tensor:
    """As many rows as `like` has, in its dtype; the added ones are 0 and so change nothing."""
    if len(part) > len(like):
        raise ValueError(f"{len(part)} emotions were given for a batch of {len(like)}: expected one for each row.")
    empty = part.new_zeros(len(like) - len(part), *part.shape[1:])
    return torch.cat([empty, part] if last else [part, empty]).to(like.dtype)


# --- learned words ---------------------------------------------------------------------------------------------------


@contextmanager
def inserted(text: nn.Module, places: Tensor, words: Words) -> Iterator[None]:
    """Lets text encoders read learned words.

    Args:
        text: `SDXLText`, or the miniature's `TextEncoders`.
        places: Of the words in the tokens that will be encoded, [B, 2K] int64.
        words: Their embeddings, [B, 2K, W] for each encoder.
    """
    hooks = [
        encoder.get_input_embeddings().register_forward_hook(_insertion(places, own))
        for encoder, own in zip((text.clip_l, text.clip_g), words, strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _insertion(places: Tensor, words: Tensor):
    def put(_module, _inputs, embedded: Tensor) -> Tensor:
        where = places[:, :, None].expand_as(words).to(embedded.device)
        return embedded.scatter(1, where, words.to(embedded.dtype))

    return put


def prompt_tokens(baseline: Baseline | None, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The tokens of prompts, as any baseline changes them.

    Args:
        baseline: A `TextualInversion` puts its template round every prompt; with any other, or none, it stays as it is.
        prompts: B; words at the end of one that is too long for a window are left out.

    Returns:
        The tokens [B, 77], padded with the end token, and the places of the learned words [B, 2K] (of width 0 if
        there are none), both int64.
    """
    learned = isinstance(baseline, TextualInversion)
    count = 2 * baseline.config.encoder.tokens if learned else 0
    rows = [_window(baseline.prompt if learned else str, prompt) for prompt in prompts]
    [mark] = clip_tokenizer()(MARK)["input_ids"][1:-1]
    places = [mark_places(row, mark, count) if count else [] for row in rows]
    padded = [row + [END] * (TOKENS - len(row)) for row in rows]
    return torch.tensor(padded), torch.tensor(places, dtype=torch.int64).reshape(len(rows), count)


def _window(wrap, prompt: str) -> list[int]:
    words, tokenizer = prompt.split(" "), clip_tokenizer()
    while len(tokens := tokenizer(wrap(" ".join(words)))["input_ids"]) > WORDS + 2 and words:
        words.pop()
    if len(tokens) > WORDS + 2:
        raise ValueError(
            f"The template takes {len(tokens) - 2} tokens by itself: expected at most {WORDS}, prompt included."
        )
    return tokens


# --- SDXL in diffusers -----------------------------------------------------------------------------------------------


@contextmanager
def emotional(
    pipeline,
    baseline: Baseline,
    prompts: Sequence[str],
    valence: Sequence[float] | Tensor,
    arousal: Sequence[float] | Tensor,
    strength: float = 1.0,
    guided: bool = True,
) -> Iterator[dict[str, Tensor]]:
    """Gives a StableDiffusionXLPipeline an emotion for each of B prompts, by any baseline.

    Args:
        pipeline: diffusers' pipeline, whose UNet is patched inside `with`.
        baseline: From `load_baseline`, on the pipeline's device.
        prompts: B neutral prompts.
        valence, arousal: [B], in [-3, 3].
        strength: 0 is the plain prompt, 1 as trained.
        guided: Whether the pipeline is called with a guidance scale above 1: its batch then begins with B
            unconditional rows.

    Yields:
        prompt_embeds [B, 77, D] and pooled_prompt_embeds [B, P], to call the pipeline with.
    """
    device, text = pipeline.unet.device, SDXLText(pipeline.text_encoder, pipeline.text_encoder_2)
    at = [torch.as_tensor(values, dtype=torch.float32, device=device) for values in (valence, arousal)]
    features, pooled, change = conditioning(pipeline.unet, text, baseline, prompts, *at, strength, guided)
    with change:
        yield {"prompt_embeds": features, "pooled_prompt_embeds": pooled}


@torch.no_grad()
def conditioning(
    unet: nn.Module,
    text: nn.Module,
    baseline: Baseline,
    prompts: Sequence[str],
    valence: Tensor,
    arousal: Tensor,
    strength: float = 1.0,
    last: bool = False,
) -> tuple[Tensor, Tensor, AbstractContextManager]:
    """Everything that drawing with a baseline takes, whatever its method.

    Args:
        unet: diffusers' UNet2DConditionModel.
        text: `SDXLText`, or the miniature's `TextEncoders`.
        baseline: From `load_baseline`, on their device.
        prompts: B neutral prompts.
        valence, arousal: [B], in [-3, 3].
        strength: 0 is the plain prompt, 1 as trained.
        last: See `applied`.

    Returns:
        Features [B, 77, D], pooled vectors [B, P], and the change of the UNet, to be drawn within.

    Raises:
        ValueError: The baseline was fitted to a model of other sizes, or a value lies outside the plane.
    """
    check_fit(baseline, unet, text)
    effect = baseline(valence, arousal)
    features, pooled = read_prompts(text, baseline, prompts, effect, strength)
    if strength == 0 or isinstance(baseline, TextualInversion):
        return features, pooled, nullcontext()
    return features, pooled, applied(unet, scaled(effect, strength), last)


def read_prompts(
    text: nn.Module, baseline: Baseline | None, prompts: Sequence[str], effect: Effect | None, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The UNet's conditioning for prompts: changed by learned words, plain with the other baselines.

    A strength of learned words goes from what the plain prompts give towards what the template gives, and beyond.

    Args:
        text: `SDXLText`, or the miniature's `TextEncoders`.
        baseline: Any, or none.
        prompts: B of them.
        effect: Of the baseline for B values.
        strength: Of learned words.

    Returns:
        Features [B, 77, D] and pooled vectors [B, P].
    """
    device = text.clip_g.device
    plain = partial(text, prompt_tokens(None, prompts)[0].to(device))
    if not isinstance(baseline, TextualInversion) or strength == 0:
        return plain()
    tokens, places = prompt_tokens(baseline, prompts)
    with inserted(text, places, effect):
        changed = text(tokens.to(device))
    if strength == 1:
        return changed
    features, pooled = (torch.lerp(a, b, strength) for a, b in zip(plain(), changed, strict=True))
    return features, pooled
