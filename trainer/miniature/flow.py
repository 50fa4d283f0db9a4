"""The second miniature's networks, of today's kind: Lumina 2's diffusion transformer and a small causal language model.

Shapes: B batch, T tokens (of the longest caption; shorter ones have a mask), D features; latents are [B, 4, 16, 16]
with deviation 1. Flow matching: at a noise level s from 0 to 1 a latent is (1 - s) x + s noise.
"""

import io
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

import sentencepiece
import torch
from diffusers import Lumina2Transformer2DModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional
from transformers import Gemma2Config, Gemma2Model

from trainer.miniature.recipe import FlowRecipe
from trainer.miniature.sampling import has_begun

PAD, END, START, UNKNOWN = 0, 1, 2, 3  # Gemma's
TIME_SCALE = 1000.0  # Z-Image's
PATCH = 2
HEAD_WIDTH = 32
ROPE_BASE = 10_000  # ComfyUI's
ROPE_AXES = (8, 12, 12)  # of a head's 32: text and picture, row, column
TEXT_HEAD_WIDTH = 256  # Gemma 2's, and the only one that ComfyUI gives it


# --- text ------------------------------------------------------------------------------------------------------------


def train_pieces(captions: Iterable[str], size: int) -> bytes:
    """A sentencepiece model of captions with Gemma's special tokens, in lower case; at most `size` pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        normalization_rule_name="nmt_nfkc_cf",
        pad_id=PAD,
        eos_id=END,
        bos_id=START,
        unk_id=UNKNOWN,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def tokenize(pieces: bytes, captions: list[str]) -> Tensor:
    """Captions to [B, T] int64: the start token, the pieces, padding."""
    rows = [torch.tensor(row) for row in _processor(pieces).encode(captions)]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


@lru_cache(maxsize=4)
def _processor(pieces: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=pieces, add_bos=True)


def make_language_model(recipe: FlowRecipe) -> Gemma2Model:
    """The language model, untrained. As ComfyUI's, it has neither Gemma's soft caps nor its window."""
    layers = recipe.text_layers
    config = Gemma2Config(
        vocab_size=recipe.pieces,
        hidden_size=recipe.text_width,
        intermediate_size=recipe.text_hidden,
        num_hidden_layers=layers,
        num_attention_heads=recipe.text_heads,
        num_key_value_heads=1,
        head_dim=TEXT_HEAD_WIDTH,
        query_pre_attn_scalar=TEXT_HEAD_WIDTH,
        layer_types=["full_attention"] * layers,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        attn_implementation="sdpa",
        use_cache=False,
    )
    return Gemma2Model(config)


class FlowText(nn.Module):
    """The language model with its vocabulary, as the second miniature's text encoder."""

    def __init__(self, model: Gemma2Model, pieces: bytes):
        super().__init__()
        self.model, self.pieces = model, pieces

    @torch.no_grad()
    def forward(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Prompts to features [B, T, D], the states before the last layer, and their mask [B, T]."""
        tokens = tokenize(self.pieces, prompts).to(self.model.device)
        return self.model(input_ids=tokens, output_hidden_states=True).hidden_states[-2], tokens != PAD


# --- pictures --------------------------------------------------------------------------------------------------------


def make_transformer(recipe: FlowRecipe) -> Lumina2Transformer2DModel:
    """The diffusion transformer, untrained: every block begins as the identity."""
    width = recipe.dit_width
    model = Lumina2Transformer2DModel(
        sample_size=recipe.picture_size // 8,
        in_channels=4,
        hidden_size=width,
        num_layers=recipe.dit_layers,
        num_refiner_layers=1,
        num_attention_heads=width // HEAD_WIDTH,
        num_kv_heads=width // HEAD_WIDTH,
        multiple_of=recipe.dit_hidden,
        ffn_dim_multiplier=recipe.dit_hidden / (4 * width),
        axes_dim_rope=ROPE_AXES,
        axes_lens=(512, 64, 64),
        cap_feat_dim=recipe.text_width,
    )
    for block in (*model.noise_refiner, *model.layers):
        nn.init.zeros_(block.norm1.linear.weight)
        nn.init.zeros_(block.norm1.linear.bias)
    for block in (*model.noise_refiner, *model.context_refiner, *model.layers):
        block.attn.set_processor(RotatedAttention())
        block.attn.norm_q.eps = block.attn.norm_k.eps = torch.finfo(torch.float32).eps  # as ComfyUI
    nn.init.zeros_(model.norm_out.linear_2.weight)
    nn.init.zeros_(model.norm_out.linear_2.bias)
    return model


class RotatedAttention:
    """Attention of diffusers' Lumina 2, rotated in real numbers, which torch.compile takes.

    The mask is [B, 1, 1, S], true for tokens that are there.
    """

    def __call__(self, attn: Attention, hidden_states: Tensor, attention_mask, image_rotary_emb, **_) -> Tensor:
        head = attn.to_q.out_features // attn.heads
        query, key, value = (
            part(hidden_states).unflatten(-1, (-1, head)) for part in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = rotate(attn.norm_q(query), image_rotary_emb), rotate(attn.norm_k(key), image_rotary_emb)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        read = functional.scaled_dot_product_attention(query, key, value, attention_mask, scale=attn.scale)
        return attn.to_out[0](read.transpose(1, 2).flatten(2))


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Rotates neighbouring channels of [B, S, heads, C] by angles, as cosine and sine [B, S, 1, C / 2]."""
    cosine, sine = angles
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2)


def rotary_angles(mask: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary embedding, [B, T + rows^2, 1, HEAD_WIDTH / 2] each.

    Text stands at (1, 0, 0), (2, 0, 0) ..., and the patches of a picture at (after the text, row, column).
    """
    batch, tokens = mask.shape
    device = mask.device
    row, column = torch.meshgrid(torch.arange(rows, device=device), torch.arange(rows, device=device), indexing="ij")
    place = torch.stack([torch.zeros_like(row), row, column], -1).flatten(0, 1).expand(batch, -1, -1)
    after = functional.pad(mask.sum(1)[:, None, None] + 1, (0, 2))
    words = functional.pad(torch.arange(1, tokens + 1, device=device)[:, None], (0, 2)).expand(batch, -1, -1)
    position = torch.cat([words, place + after], 1).float()
    angles = [
        position[..., axis, None] / ROPE_BASE ** (torch.arange(0, width, 2, device=device) / width)
        for axis, width in enumerate(ROPE_AXES)
    ]
    angles = torch.cat(angles, -1)[:, :, None]
    return angles.cos(), angles.sin()


def velocity(
    model: Lumina2Transformer2DModel, latents: Tensor, noise_level: Tensor, text: Tensor, mask: Tensor
) -> Tensor:
    """From the picture to the noise, [B, 4, H, W].

    This is diffusers' forward with padded captions before the picture: its own packs every sample for itself.

    Args:
        model: The transformer.
        latents: Noisy, [B, 4, H, W].
        noise_level: [B], from 0 to 1.
        text: Features [B, T, D].
        mask: [B, T], true for tokens that are there.
    """
    tokens, rows = mask.shape[1], latents.shape[-1] // PATCH
    time, words = model.time_caption_embed(latents, TIME_SCALE * (1 - noise_level), text)
    patches = functional.pixel_unshuffle(latents, PATCH).flatten(2).transpose(1, 2)
    # pixel_unshuffle gives (channel, row, column) of a patch, Lumina 2 reads (row, column, channel)
    patches = patches.unflatten(-1, (-1, PATCH * PATCH)).transpose(-1, -2).flatten(-2)
    patches = model.x_embedder(patches)
    angles = rotary_angles(mask, rows)
    for layer in model.context_refiner:
        words = layer(words, mask[:, None, None], tuple(part[:, :tokens] for part in angles))
    for layer in model.noise_refiner:
        patches = layer(patches, None, tuple(part[:, tokens:] for part in angles), time)
    joint = torch.cat([words, patches], 1)
    there = functional.pad(mask, (0, rows * rows), value=True)[:, None, None]
    for layer in model.layers:
        joint = layer(joint, there, angles, time)
    out = model.norm_out(joint[:, tokens:], time)
    out = out.unflatten(-1, (PATCH * PATCH, -1)).transpose(-1, -2).flatten(-2)
    return -functional.pixel_shuffle(out.transpose(1, 2).unflatten(2, (rows, rows)), PATCH).float()


# --- sampling --------------------------------------------------------------------------------------------------------


def noise_levels(steps: int, shift: float) -> Tensor:
    """ComfyUI's scheduler "simple" for flow matching, [steps + 1] from 1 to 0: evenly spaced of 1,000, then shifted."""
    even = torch.tensor([(1000 - int(step * 1000 / steps)) / 1000 for step in range(steps)] + [0.0])
    return shift * even / (1 + (shift - 1) * even)


@torch.no_grad()
def sample_flow(
    model: Lumina2Transformer2DModel,
    positive: tuple[Tensor, Tensor],
    negative: tuple[Tensor, Tensor],
    noise: Tensor,
    steps: int,
    guidance: float,
    shift: float,
    *,
    opening: tuple[Tensor, Tensor] | None = None,
    start: float = 0.0,
) -> Tensor:
    """Latents for a batch of prompts, equal to ComfyUI's KSampler with sampler "euler" and scheduler "simple".

    Args:
        model: The transformer, on the noise's device.
        positive: Features [B, T, D] and their mask [B, T].
        negative: The same for the empty prompt, [1, T', D] and [1, T'].
        noise: [B, 4, H, W], normal.
        steps: Steps of the sampler.
        guidance: Guidance scale (ComfyUI's cfg); 1 is none.
        shift: ComfyUI's shift: above 1, more of the steps are at high noise.
        opening: As `positive`, and in its place before `start`.
        start: ComfyUI's start_percent of `positive`, from 0 to 1; counts with an `opening`.

    Returns:
        Latents [B, 4, H, W] of deviation 1.
    """
    batch, latents = len(noise), noise
    negative = tuple(part.expand(batch, *part.shape[1:]) for part in negative)
    even = noise_levels(steps, shift=1.0).tolist()  # a start counts along these, whatever the shift
    for share, (level, following) in zip(even[:-1], pairwise(noise_levels(steps, shift).tolist()), strict=True):
        at = noise.new_full((batch,), level)
        prompt = positive if opening is None or has_begun(1 - share, start) else opening
        wanted, plain = velocity(model, latents, at, *prompt), velocity(model, latents, at, *negative)
        latents = latents + (following - level) * (plain + guidance * (wanted - plain))
    return latents
