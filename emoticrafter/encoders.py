"""The text encoders of image models: what is peculiar to each, as data, and how a file knows its encoder again.

A conditioning's text features are [B, T, D]. Encoders differ in D, in whether T is padded, in the mask that comes with
it, and in where a word that is appended to the prompt ends up. `FAMILIES` is the one place where that is written down.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

CLIP_WINDOW = 77
"""Tokens of CLIP's window, with its start and end; a longer prompt is several windows."""
SINK = 4.0
"""A token whose norm is this many times the median of its prompt's is an attention sink, and stays as it is."""


@dataclass(frozen=True)
class Family:
    """A family of models that read text the same way."""

    name: str
    """As people know it."""
    encoder: str
    """Its text encoder, as people know it."""
    clip_type: str
    """The `type` of ComfyUI's Load CLIP."""
    width: int
    """D; for taps of several layers, all of them side by side."""
    kind: str
    """The name of ComfyUI's class of this text encoder."""
    part: str = ""
    """The attribute of it that holds the encoder, where several share the class."""
    window: int | None = None
    """77 where a prompt is cut into CLIP's windows, None where it is encoded in one piece."""
    least: int = 1
    """Prompts are padded to this many tokens; 1: not padded, so appended words need tokens of their own."""
    causal: bool = True
    """Whether a token's features depend on earlier tokens alone."""
    masked: bool = False
    """Whether `attention_mask` may come with the features (ComfyUI drops most masks that are all ones)."""
    pooled: bool = False
    """Whether the encoder gives a `pooled_output`."""
    needs_pooled: bool = False
    """Whether the model cannot do without it."""
    layers: int = 1
    """How many layers of the encoder lie side by side in the channels."""
    blank_padding: bool = False
    """Whether the features of padding are 0."""
    blank_channels: bool = False
    """Whether the prompt begins with CLIP's features, which leave the latter half of the channels 0."""
    head: int = 0
    """Tokens before the prompt: a start token, the beginning of a chat template. A fit counts those of unpadded prompts
    for itself (Flux.2's are many, and depend on its tokenizer)."""
    tail: int = 0
    """Tokens after the prompt and before any padding: an end token, the end of a chat template."""
    plain_keys: tuple[str, ...] = ()
    """Keys of the entry's dict that carry the prompt a second time; they stay without the emotion."""

    @property
    def padded(self) -> bool:
        """Whether short prompts leave room for appended words."""
        return self.least > 1


_CLIP = {"window": CLIP_WINDOW, "least": CLIP_WINDOW, "pooled": True, "head": 1, "tail": 1}
_T5 = {"causal": False, "tail": 1}
_T5_WITH_CLIP = {"pooled": True, **_T5}
_MASKED = {"masked": True}
_KLEIN = {"least": 512, "head": 3, "tail": 9, "layers": 3, **_MASKED}

FAMILIES = (
    Family("Stable Diffusion 1.x", "CLIP-L", "stable_diffusion", 768, "SD1ClipModel", "clip_l", **_CLIP),
    Family("Stable Diffusion 2.x", "CLIP-H", "stable_diffusion", 1024, "SD2ClipModel", **_CLIP),
    Family("SDXL", "CLIP-L and CLIP-G", "sdxl", 2048, "SDXLClipModel", needs_pooled=True, **_CLIP),
    Family("the SDXL refiner", "CLIP-G", "sdxl", 1280, "SDXLRefinerClipModel", needs_pooled=True, **_CLIP),
    Family(
        "Stable Diffusion 3", "CLIP-L, CLIP-G and T5-XXL", "sd3", 4096, "SD3ClipModel", least=154, **_T5_WITH_CLIP,
        blank_channels=True,
    ),
    Family("Flux.1", "T5-XXL", "flux", 4096, "FluxClipModel", least=256, **_T5_WITH_CLIP),
    Family("Chroma", "T5-XXL", "chroma", 4096, "PixArtT5XXL", **_T5),
    Family("Lumina 2", "Gemma 2 2B", "lumina2", 2304, "LuminaModel", "gemma2_2b", head=1, **_MASKED),
    Family("Z-Image", "Qwen3-4B", "lumina2", 2560, "ZImageTEModel", head=3, tail=5, **_MASKED),
    Family("Qwen-Image", "Qwen2.5-VL 7B", "qwen_image", 3584, "QwenImageTEModel", tail=5, **_MASKED),
    Family("Qwen-Image 2.1", "Qwen3-VL 8B", "qwen_image", 4096, "Qwen3VLTEModel", "qwen3vl_8b", tail=5, **_MASKED),
    Family("Flux.2", "Mistral 3 24B", "flux2", 15360, "Flux2TEModel", "mistral3_24b", tail=1, layers=3, **_MASKED),
    Family("Flux.2 Klein 4B", "Qwen3-4B", "flux2", 7680, "Flux2TEModel", "qwen3_4b", **_KLEIN),
    Family("Flux.2 Klein 9B", "Qwen3-8B", "flux2", 12288, "Flux2TEModel", "qwen3_8b", **_KLEIN),
    Family("Krea 2", "Qwen3-VL 4B", "krea2", 30720, "Krea2TEModel", tail=5, layers=12, **_MASKED),
    Family("Wan", "UMT5-XXL", "wan", 4096, "WanT5Model", least=512, blank_padding=True, **_T5),
    Family(
        "HunyuanImage", "Qwen2.5-VL 7B", "hunyuan_image", 3584, "HunyuanImageTEModel", tail=1, **_MASKED,
        plain_keys=("conditioning_byt5small",),
    ),
    Family(
        "HiDream-I1", "T5-XXL", "hidream", 4096, "HiDreamTEModel", least=128, **_T5_WITH_CLIP,
        plain_keys=("conditioning_llama3",)
    ),
    Family(
        "Anima", "Qwen3-0.6B", "stable_diffusion", 1024, "AnimaTEModel", **_MASKED,
        plain_keys=("t5xxl_ids", "t5xxl_weights"),
    ),
)  # fmt: skip
"""Every family that this project knows. Others work, too: what a file must know, it knows by itself (EncoderFacts)."""

SECOND_TEXTS = {family.plain_keys[0]: family.name for family in FAMILIES if family.plain_keys}
"""Keys of an entry that carry its prompt a second time, and whose model reads them."""
IDS_KEY = "text_input_ids"
"""The key of an entry whose model reads the words itself: no features, so nothing to steer (HiDream-O1)."""


def find_family(text_encoder: object) -> Family | None:
    """The family of one of ComfyUI's text encoders (`clip.cond_stage_model`), None if it is not known."""
    kinds = [kind.__name__ for kind in type(text_encoder).__mro__]
    known = [family for family in FAMILIES if family.kind in kinds]
    fitting = [family for family in known if not family.part or hasattr(text_encoder, family.part)]
    return min(fitting, key=lambda family: kinds.index(family.kind), default=None)


def known_as(width: int) -> str:
    """Such as " (SDXL)", for a message after a width; empty for one that no family has."""
    names = [family.name for family in FAMILIES if family.width == width]
    return f" ({' or '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)})" if names else ""


# ---- what a file knows of its encoder ----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EncoderFacts:
    """The encoder that a network or a field was fitted to."""

    family: str
    """As people know it; a `Family.name` where it is one of them."""
    mean: Tensor = field(repr=False)
    """The mean of each channel over the tokens of many prompts, [D] float32."""
    scale: Tensor = field(repr=False)
    """Its standard deviation, positive, [D] float32."""
    head: int = 0
    """Tokens before the prompt, as in `Family`."""
    tail: int = 0
    """Tokens after the prompt and before any padding, as in `Family`."""
    first: Tensor | None = field(default=None, repr=False)
    """The first token of a prompt, [D] float32, where it is the same in all: a causal encoder's, before the prompt."""

    @property
    def known(self) -> Family | None:
        """What is written down about the family, None if nothing is."""
        return next((family for family in FAMILIES if family.name == self.family), None)

    def tail_of(self, mask: Tensor | None, window: int | None) -> int:
        """Tokens at the end that are not the prompt's: 0 where padding follows, unmasked, as it takes part in it."""
        pads = mask is None and (window is not None or (self.known is not None and self.known.padded))
        return 0 if pads else self.tail


# ---- which tokens, and room for more -----------------------------------------------------------------


def prompt_tokens(features: Tensor, mask: Tensor | None, head: int, tail: int) -> Tensor:
    """Which tokens carry the prompt, [B, T]: not those around it, nor masked ones, nor attention sinks.

    Args:
        features: [B, T, D].
        mask: [B, T], True for tokens that count; None for all.
        head: Tokens before the prompt.
        tail: Tokens after it; 0 where padding follows, which counts: that is where appended words would be.
    """
    counts = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device) if mask is None else mask
    # how many tokens that count stand before a token, and after it
    before, after = counts.long().cumsum(1) - 1, counts.flip(1).long().cumsum(1).flip(1) - 1
    chosen = counts & (before >= head) & (after >= tail)
    # sinks: tokens far longer than their neighbours, on which the encoder parks attention
    norms = features.float().norm(dim=-1)
    # padding that an encoder sets to 0 does not count here
    typical = norms.masked_fill(~counts | (norms == 0), torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num()
    return chosen & (norms <= SINK * typical)


def make_room(features: Tensor, mask: Tensor | None, count: int, tail: int) -> tuple[Tensor, Tensor | None]:
    """Gives each prompt `count` more tokens where its encoder would have put appended words: before the tail.

    The new tokens repeat the last token of the prompt, so that a small change to them is a small change to the whole.
    They take the place of masked tokens at the right end as far as every prompt has such, and lengthen the rest.

    Args:
        features: [B, T, D].
        mask: [B, T], True for tokens that count; None for all.
        count: M.
        tail: Tokens after the prompt that stay last.

    Returns:
        [B, T + M, D] or shorter by the masked tokens that made room, and its mask, or None.
    """
    if not count:
        return features, mask
    tokens = features.shape[1]
    place = _room(features, mask, tail)  # [B, 1]
    spare = 0 if mask is None else int((tokens - _ends(mask)).min())
    # index i of the longer prompt reads token i before the room, the last one of the prompt in it, i - M after it
    index = torch.arange(tokens + count - min(count, spare), device=features.device).expand(len(place), -1)
    source = torch.where(index < place, index, torch.clamp(index - count, min=place - 1))
    roomier = features.gather(1, source.unsqueeze(-1).expand(-1, -1, features.shape[2]))
    if mask is None:
        return roomier, None
    return roomier, mask.gather(1, source)


def room_numbers(features: Tensor, mask: Tensor | None, count: int, tail: int) -> Tensor:
    """The number of each token within the room that `make_room` made: [B, T], 1 to M there, 0 elsewhere."""
    ends = _room(features, mask, tail)  # one past the room, as M tokens came before the tail
    number = torch.arange(features.shape[1], device=features.device) - (ends - count) + 1
    return torch.where((number >= 1) & (number <= count), number, 0)


def _room(features: Tensor, mask: Tensor | None, tail: int) -> Tensor:
    """Where the tail begins in each prompt, at least 1: [B, 1]."""
    if mask is None:
        return torch.full((len(features), 1), max(features.shape[1] - tail, 1), device=features.device)
    return (_ends(mask) - tail).clamp(min=1)


def _ends(mask: Tensor) -> Tensor:
    """One past the last token that counts in each prompt: [B, 1]; T where none counts."""
    tokens = mask.shape[1]
    return tokens - mask.flip(1).long().argmax(1, keepdim=True)


def common_ends(prompts: Iterable[list]) -> tuple[int, int]:
    """How many tokens at the start and at the end all of some prompts share: (head, tail) of an encoder.

    Args:
        prompts: The token ids of prompts that begin and end with different words, without padding.
    """
    prompts = list(prompts)
    shortest = min(map(len, prompts))
    head = _shared(prompts, shortest)
    return head, _shared([prompt[::-1] for prompt in prompts], shortest - head)


def _shared(prompts: list[list], most: int) -> int:
    return next((place for place in range(most) if len({prompt[place] for prompt in prompts}) > 1), most)
