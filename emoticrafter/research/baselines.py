"""Three other places where SDXL can be given an emotion: the paper's baselines, small enough to read in one go.

- cross attention: emotion tokens with keys and values of their own in every cross-attention layer of the UNet, as
  IP-Adapter does with an image (Ye et al. 2023, arXiv 2308.06721);
- time embedding: one vector added to the UNet's embedding of the time step, as class labels are in Dhariwal and
  Nichol 2021 (arXiv 2105.05233);
- textual inversion: learned words in a prompt template (Gal et al. 2022, arXiv 2208.01618), here a function of
  valence and arousal, as Cheng et al. 2024 (arXiv 2402.08654) do it for other continuous attributes.

Dang et al. (ICCV 2025, arXiv 2501.05710) name them and give no sizes. All three read valence and arousal through the
paper's own V-A encoder, so they differ only in where the emotion goes in. Each starts as no change at all, and
everything else stays frozen. trainer/baselines fits them, nodes/emotion_baseline.py uses them.

Shapes: B batch, K tokens per emotion axis, E width of the V-A encoder, C channels of an attention layer.
"""

import math
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..network import axis_encoder
from ..options import MOST
from ..quoting import quoted
from ..va import va_tensor
from ..weights.files import (
    check_numbers,
    described,
    existing_file,
    fill,
    parse_metadata,
    read_header,
    read_object,
    read_safetensors,
    save_tensors,
    target_file,
)

FORMAT, VERSION = "emoticrafter-baseline", 1
LAYER = re.compile(r"\w+(\.\w+)+")
LONGEST_TEMPLATE = 1000
MARK = "*"
"""Stands for a learned word in a prompt until its embedding is put in, as in Gal et al.: one token of CLIP."""

Attention = dict[str, tuple[Tensor, Tensor]]
"""Keys and values [B, 2K, C] of every cross-attention layer, by diffusers' names."""
Words = tuple[Tensor, Tensor]
"""Embeddings [B, 2K, W] for CLIP-L and OpenCLIP bigG."""
Effect = Attention | Tensor | Words
"""What a baseline makes of valence and arousal; the tensor is the time embedding's [B, C]."""


# --- the V-A encoder -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the V-A encoder."""

    tokens: int = 4
    """K, the tokens per emotion axis."""
    width: int = 256
    """E, the width of a token."""
    hidden: int = 256
    """The hidden width of the two valence-arousal MLPs."""


class VAEncoder(nn.Module):
    """The V-A encoder of the paper, before its last projection: one MLP per axis, from a number to K tokens."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.valence, self.arousal = (axis_encoder(config.tokens, config.width, config.hidden) for _ in range(2))

    def forward(self, valence: float | Tensor, arousal: float | Tensor) -> Tensor:
        """Maps valence and arousal in [-3, 3], [B] each, to [B, 2K, E], valence first; unchecked while training."""
        if not self.training:
            valence, arousal = va_tensor("valence", valence), va_tensor("arousal", arousal)
        tokens = [
            encoder(values.to(encoder[0].weight).reshape(-1, 1)).unflatten(-1, (-1, self.config.width))
            for encoder, values in ((self.valence, valence), (self.arousal, arousal))
        ]
        return torch.cat(tokens, dim=1)


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A bias-free layer that starts at 0: training starts from the base model as it is."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


# --- the three -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CrossAttentionConfig:
    """Sizes of a `CrossAttention`, most of them the base model's."""

    layers: dict[str, int]
    """C of each cross-attention layer, by diffusers' names, such as "mid_block.attentions.0.transformer_blocks.0"."""
    text_width: int
    """The width of the text features, 2048 for SDXL."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)


class CrossAttention(nn.Module):
    """Emotion tokens beside the text: attention to them is added to the attention to the text.

    out = attention(q, k_text, v_text) + strength * attention(q, k_emotion, v_emotion), in every layer.
    """

    method = "cross-attention"

    def __init__(self, config: CrossAttentionConfig):
        super().__init__()
        self.config = config
        self.encoder = VAEncoder(config.encoder)
        self.projection = _zero_linear(config.encoder.width, config.text_width)
        self.keys, self.values = (
            nn.ModuleDict({_key(n): nn.Linear(config.text_width, c, bias=False) for n, c in config.layers.items()})
            for _ in range(2)
        )

    def forward(self, valence: float | Tensor, arousal: float | Tensor) -> Attention:
        """Maps valence and arousal [B] to keys and values [B, 2K, C] of every layer."""
        tokens = self.projection(self.encoder(valence, arousal))
        return {name: (self.keys[_key(name)](tokens), self.values[_key(name)](tokens)) for name in self.config.layers}


def _key(layer: str) -> str:
    return layer.replace(".", "-")  # torch allows no dots in module names


@dataclass(frozen=True)
class TimeEmbeddingConfig:
    """Sizes of a `TimeEmbedding`."""

    time_width: int
    """The width of the UNet's time embedding, 1280 for SDXL."""
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(tokens=1))


class TimeEmbedding(nn.Module):
    """One vector added to the time step's: the UNet's residual blocks read their sum."""

    method = "time-embedding"

    def __init__(self, config: TimeEmbeddingConfig):
        super().__init__()
        self.config = config
        self.encoder = VAEncoder(config.encoder)
        self.projection = _zero_linear(2 * config.encoder.tokens * config.encoder.width, config.time_width)

    def forward(self, valence: float | Tensor, arousal: float | Tensor) -> Tensor:
        """Maps valence and arousal [B] to what is added to the time embedding, [B, C]."""
        return self.projection(nn.functional.silu(self.encoder(valence, arousal).flatten(1)))


@dataclass(frozen=True)
class TextualInversionConfig:
    """Sizes of a `TextualInversion`, and its template."""

    text_widths: tuple[int, int]
    """The widths of both text encoders, (768, 1280) for SDXL."""
    template: str = "{prompt}, {emotion}"
    """Encoded in place of the prompt; 2K learned words replace {emotion}."""
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(tokens=2))

    def __post_init__(self):
        before, found, after = self.template.partition("{prompt}")
        if not found or after.count("{emotion}") != 1 or MARK in self.template or set("{}") & set(before):
            raise ValueError(
                f"The template is {quoted(self.template)}: expected {{prompt}} and after it {{emotion}}, once each, "
                f'and no "{MARK}", such as "{{prompt}}, {{emotion}}".'
            )


class TextualInversion(nn.Module):
    """Learned words whose embeddings follow valence and arousal: a start, plus the output of a small network."""

    method = "textual-inversion"

    def __init__(self, config: TextualInversionConfig):
        super().__init__()
        self.config = config
        self.encoder = VAEncoder(config.encoder)
        words = 2 * config.encoder.tokens
        self.start = nn.ParameterList([torch.zeros(words, width) for width in config.text_widths])
        self.projections = nn.ModuleList([_zero_linear(config.encoder.width, width) for width in config.text_widths])
        # The deviation of each encoder's own word embeddings: far smaller than the network's output, which is about 1.
        self.register_buffer("scales", torch.ones(2))

    def forward(self, valence: float | Tensor, arousal: float | Tensor) -> Words:
        """Maps valence and arousal [B] to word embeddings [B, 2K, W], K for valence, then K for arousal."""
        tokens = self.encoder(valence, arousal)
        clip_l, clip_g = (
            start + scale * projection(tokens)
            for start, scale, projection in zip(self.start, self.scales, self.projections, strict=True)
        )
        return clip_l, clip_g

    def prompt(self, text: str) -> str:
        """The template with a prompt in it, and marks where the learned words will be."""
        marks = " ".join([MARK] * (2 * self.config.encoder.tokens))
        before, _, after = self.config.template.partition("{prompt}")
        return before + text + after.replace("{emotion}", marks)


Baseline = CrossAttention | TimeEmbedding | TextualInversion
METHODS = {
    CrossAttention.method: (CrossAttention, CrossAttentionConfig),
    TimeEmbedding.method: (TimeEmbedding, TimeEmbeddingConfig),
    TextualInversion.method: (TextualInversion, TextualInversionConfig),
}


# --- how it is used --------------------------------------------------------------------------------------------------


def scaled(effect: Attention | Tensor, strength: float) -> Attention | Tensor:
    """Scales an effect on the UNet: attention is linear in its values, and a sum in what is added."""
    if isinstance(effect, Tensor):
        return strength * effect
    return {name: (keys, strength * values) for name, (keys, values) in effect.items()}


def mark_places(tokens: list[int], mark: int, count: int) -> list[int]:
    """The places of the learned words among a prompt's tokens: the last `count` marks, since the prompt comes first.

    Raises:
        ValueError: There are fewer.
    """
    places = [place for place, token in enumerate(tokens) if token == mark][-count:]
    if len(places) < count:
        raise ValueError(f"The prompt has {len(places)} places for learned words: expected {count}.")
    return places


# --- files -----------------------------------------------------------------------------------------------------------


def save_baseline(baseline: Baseline, path: str | os.PathLike, training: dict | None = None) -> None:
    """Saves a baseline as one safetensors file that holds its sizes and how it was trained.

    Raises:
        ValueError: The path does not end in .safetensors, or there are weights that are NaN or infinite.
        OSError: The disk is full or cannot be written; what was there before is untouched.
    """
    path = target_file(path)
    state = baseline.state_dict()
    check_numbers(state, torch.float32, path.name)
    metadata = described((FORMAT, VERSION), asdict(baseline.config), training, method=baseline.method)
    save_tensors(path, state, metadata)


def save_words(baseline: TextualInversion, valence: float, arousal: float, path: str | os.PathLike) -> None:
    """Saves the learned words of one point as an SDXL embedding, which ComfyUI and other programs load by name.

    Raises:
        ValueError: A value outside [-3, 3], or a path that does not end in .safetensors.
    """
    path = target_file(path)
    clip_l, clip_g = (words[0] for words in baseline(valence, arousal))
    save_tensors(path, {"clip_l": clip_l, "clip_g": clip_g})


def is_baseline(path: str | os.PathLike) -> bool:
    """Whether a file holds a baseline; False for any other kind, or none."""
    path = Path(path)
    return path.suffix == ".safetensors" and path.is_file() and read_header(path).get("format") == FORMAT


def load_baseline(path: str | os.PathLike, device: str | torch.device = "cpu") -> Baseline:
    """Loads a baseline in evaluation mode, in float32.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, of another kind, lacks weights or has others, or holds NaN or infinity.
    """
    path = existing_file(path, (".safetensors",))
    metadata, state = read_safetensors(path)
    refusal = (
        f"{path.name} is a safetensors file, but not a baseline (its metadata lacks format={FORMAT}). "
        "python -m trainer.baselines train writes them."
    )
    make, config = parse_metadata(metadata, (FORMAT, VERSION), path.name, refusal, _parse)
    _check_sizes(config, len(state), path.name)
    with torch.device("meta"):
        baseline = make(config)
    return fill(baseline, state, torch.float32, path.name).eval().requires_grad_(False).to(device)


def baseline_training(path: str | os.PathLike) -> dict:
    """How a baseline was trained, as its file says."""
    return read_object(read_header(Path(path)).get("training", "{}"))


def _parse(metadata: dict[str, str]) -> tuple:
    """The class of a baseline and its config."""
    if metadata["method"] not in METHODS:
        raise ValueError(f"its method is {quoted(metadata['method'])}: expected one of {', '.join(METHODS)}")
    make, config = METHODS[metadata["method"]]
    values = read_object(metadata["config"])
    values["encoder"] = EncoderConfig(**values["encoder"])
    for name, (fits, expected) in FORMS.items():
        if name in values and not fits(values[name]):
            raise ValueError(f"its {name} is {quoted(values[name])}: expected {expected}")
    if "text_widths" in values:
        values["text_widths"] = tuple(values["text_widths"])
    return make, config(**values)


FORMS: dict[str, tuple[Callable[[object], bool], str]] = {
    "layers": (
        lambda value: isinstance(value, dict) and all(map(LAYER.fullmatch, value)),
        "diffusers' names of layers with their channels",
    ),
    "text_widths": (lambda value: isinstance(value, list) and len(value) == 2, "two widths"),
    "template": (lambda value: isinstance(value, str) and len(value) <= LONGEST_TEMPLATE, "a short text"),
}
"""Entry of a file's config -> whether a value can be used, and what was expected."""


def _check_sizes(config, tensors: int, name: str) -> None:
    """Refuses sizes that a file merely claims: building them could keep the machine busy."""
    layers = getattr(config, "layers", {})
    sizes = [*asdict(config.encoder).values(), *layers.values(), *getattr(config, "text_widths", ())]
    sizes += [getattr(config, kind, 1) for kind in ("text_width", "time_width")]
    whole = all(type(size) is int and 1 <= size <= MOST for size in sizes)
    if not whole or 2 * len(layers) > tensors or math.prod(sizes[:2]) > MOST:
        raise ValueError(f"The metadata of {name} cannot be used: sizes are whole numbers from 1 to {MOST:,}.")
