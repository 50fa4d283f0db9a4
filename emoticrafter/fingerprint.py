"""How a file knows its text encoder again, and what a conditioning looks like otherwise.

Channels of a text encoder differ in their mean and size, and keep them whatever the prompt. The channels of another
encoder of the same width are in another order, so ranks that agree tell the one from the other.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .encoders import FAMILIES, EncoderFacts, Family, prompt_tokens

SURE, DOUBTFUL = 4.0, 2.5
"""Likeness of features: at least SURE is the encoder of the file, below DOUBTFUL is another (see `likeness`)."""
LEAST_TOKENS = 4
"""Fewer say too little of their encoder."""
LEAST_WIDTH = 32
"""D of encoders below which chance decides."""
TELLING = 0.15
"""How far channels must differ in the file's statistics, in standard deviations or on a log scale, to tell anything."""


def likeness(features: Tensor, mask: Tensor | None, facts: EncoderFacts, window: int | None) -> float | None:
    """How alike some features and those of a file's encoder are.

    Three rank correlations over the D channels are compared: of the features' mean with the file's, of their size with
    the file's, and of the first token with the file's, which in a causal encoder is the same in every prompt. With
    another encoder, each is normally distributed around 0 with variance 1/D. So a multiple of sqrt(D) says how far the
    agreement is from chance, in standard deviations.

    Args:
        features: [B, T, D].
        mask: [B, T], True for tokens that count; None for all.
        facts: Of the file.
        window: Tokens of a window of it, None where a prompt is one piece.

    Returns:
        The larger of that of the first token and that of the other two together; None where too little can be told: few
        tokens, features that are all 0, statistics in which all channels are alike.
    """
    width = features.shape[2]
    if width < LEAST_WIDTH:
        return None
    if window:
        features = features.unflatten(1, (-1, window)).flatten(0, 1)
        mask = None if mask is None else mask.unflatten(1, (-1, window)).flatten(0, 1)
    # where CLIP's features come before T5's, T5 alone fills the latter half of the channels
    own = slice(width // 2 if facts.known and facts.known.blank_channels else 0, width)
    layers = facts.known.layers if facts.known and width % facts.known.layers == 0 else 1
    found = []
    tokens = features[prompt_tokens(features, mask, facts.head, facts.tail_of(mask, window))].float().cpu()[:, own]
    tokens = tokens[tokens.any(1)]  # padding that an encoder sets to 0 says nothing
    if len(tokens) >= LEAST_TOKENS:
        theirs = _profiles(facts.mean[own], facts.scale[own])
        found.append(_agreement(_profiles(tokens.mean(0), tokens.std(0)), theirs, layers))
    first = _first(features, mask)[own]
    if facts.first is not None and first.any():
        found.append(_agreement([first], [facts.first[own]], layers))
    told = [number for number in found if number is not None]
    # the layers of one encoder agree by chance together, or not at all: they count as one
    return max(told) * ((width - own.start) / layers) ** 0.5 if told else None


def _first(features: Tensor, mask: Tensor | None) -> Tensor:
    """The first token that counts, a mean over prompts: [D] float32."""
    place = torch.zeros(len(features), dtype=torch.long) if mask is None else mask.long().argmax(1).cpu()
    return features.cpu()[torch.arange(len(features)), place].float().mean(0)


def _profiles(mean: Tensor, scale: Tensor) -> list[Tensor | None]:
    """What tells channels apart: their mean, and their root mean square; None for what does not."""
    mean, scale = mean.float(), scale.float().clamp(min=1e-12)
    size = (mean.square() + scale.square()).sqrt()
    return [mean if (mean / scale.median()).std() > TELLING else None, size if size.log().std() > TELLING else None]


def _agreement(got: Sequence[Tensor | None], expected: Sequence[Tensor | None], layers: int) -> float | None:
    """The sum of rank correlations over the square root of their number, None without any."""
    pairs = [(one, other) for one, other in zip(got, expected, strict=True) if one is not None and other is not None]
    if not pairs:
        return None
    return sum(_rank_correlation(one, other, layers) for one, other in pairs) / len(pairs) ** 0.5


def _rank_correlation(one: Tensor, other: Tensor, layers: int) -> float:
    """Spearman's, of two [D]: outliers, of which text encoders have many, count no more than others.

    Channels are compared within each layer, as layers differ in size in much the same way in all encoders.
    """
    ranks = torch.stack([one, other]).unflatten(1, (layers, -1)).argsort(2).argsort(2).double()
    ranks = ranks - ranks.mean(2, keepdim=True)
    return (ranks[0] * ranks[1]).sum().item() / ranks[0].square().sum().item()


# ---- verdicts ----------------------------------------------------------------------------------------


def check_encoder(
    features: Tensor, mask: Tensor | None, extra: dict, facts: EncoderFacts, window: int | None, name: str
) -> str | None:
    """Compares an entry of a conditioning with the encoder that a file was fitted to.

    Args:
        features: [B, T, D], D as in the file.
        mask: [B, T] or None, as in `likeness`.
        extra: The entry's dict.
        facts: Of the file.
        window: Of the file.
        name: Of the entry, for the message.

    Returns:
        What speaks against it, if it may pass all the same; None if nothing does.

    Raises:
        ValueError: It is of another encoder. The message names both.
    """
    number, known, families = likeness(features, mask, facts, window), facts.known, looks_like(features, extra)
    others = [f"{family.name} ({family.encoder})" for family in families if family.name != facts.family]
    own = f"{facts.family} ({known.encoder})" if known else facts.family
    looks = f"looks like {_or(others)}" if others else "is not known"
    if (known and known.blank_channels != _begins_blank(features)) or (number is not None and number < DOUBTFUL):
        raise ValueError(
            f"{name} is text of another encoder: this file was fitted to {own}, and the encoder of the prompt {looks}. "
            f"Connect the CLIP of {facts.family}, or load or fit a file for the model that you have."
        )
    if number is not None and number < SURE:
        return f"{name} is unlike the text of {own}, to which this file was fitted: check that both are of one model."
    if known and others and known not in families:
        return f"This file was fitted to {own}, and the encoder of {name} {looks}: the emotion may be off."
    return None


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def looks_like(features: Tensor, extra: dict) -> list[Family]:
    """The families that a conditioning's entry could come from, by its width, its padding, and what is beside it.

    Args:
        features: [B, T, D]; where no family has that width, it does not count.
        extra: The entry's dict.
    """
    widths = {family.width for family in FAMILIES}
    return [
        family
        for family in FAMILIES
        if features.shape[2] not in widths or family.width == features.shape[2]
        if all(_fits(family, features, extra))
    ]


def _fits(family: Family, features: Tensor, extra: dict) -> list[bool]:
    tokens = features.shape[1]
    ends_blank = not features[:, -1].any()
    return [
        tokens >= family.least and (family.window is None or tokens % family.window == 0),
        family.masked or "attention_mask" not in extra,
        (extra.get("pooled_output") is not None) == family.pooled,
        # blank padding is that family's, which has none where a prompt fills it
        family.blank_padding if ends_blank else not family.blank_padding or tokens > family.least,
        _begins_blank(features) == family.blank_channels,
        all(key in extra for key in family.plain_keys) or family.plain_keys == ("conditioning_byt5small",),
        not any(key in extra for other in FAMILIES for key in other.plain_keys if key not in family.plain_keys),
    ]


def _begins_blank(features: Tensor) -> bool:
    """Whether the first token fills the first half of the channels alone, as CLIP's beside T5's do (SD3)."""
    half = features.shape[2] // 2
    return bool(features[:, 0, :half].any()) and not features[:, 0, half:].any()
