"""The whole emotion network.

Source: Dang et al., "EmotiCrafter: Text-to-Emotional-Image Generation based on Valence-Arousal Model",
ICCV 2025, arXiv 2501.05710; equations 4-7 are the emotion-injection block. The released weights were
trained with another order inside the block, here "published".

Shapes: B batch, T tokens (77), D feature width of the text encoder (2048 for SDXL), E network width (768),
H heads of size 64, K tokens per emotion axis (16).
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .options import BLOCK_ORDERS, MOST
from .va import va_tensor

HEAD_WIDTH = 64


@dataclass(frozen=True)
class NetworkConfig:
    """The sizes of a network; the defaults are the paper's, for SDXL."""

    feature_width: int = 2048
    """D, the width of the text features: 768 + 1280 for SDXL."""
    width: int = 768
    """E, a multiple of 64 (the size of a head)."""
    depth: int = 12
    """The number of emotion-injection blocks."""
    emotion_tokens: int = 16
    """K, the tokens per emotion axis."""
    emotion_hidden: int = 256
    """The hidden width of the two valence-arousal MLPs."""
    positions: int = 77
    """The longest window of tokens; a longer prompt is several windows."""
    dropout: float = 0.1
    """Dropout while training, in [0, 1)."""
    block: str = "paper"
    """The order inside a block: "paper" (equations 4-7) or "published" (the released weights)."""

    def __post_init__(self):
        problems = [
            f"{field.name} is {getattr(self, field.name)!r}: expected a whole number from 1 to {MOST:,}"
            for field in fields(self)
            if field.type in (int, "int") and not _is_count(getattr(self, field.name))
        ]
        if not problems and self.width % HEAD_WIDTH:
            problems.append(f"width is {self.width}: expected a multiple of {HEAD_WIDTH}, the size of a head")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            problems.append(f"dropout is {self.dropout!r}: expected a number in [0, 1)")
        if self.block not in BLOCK_ORDERS:
            problems.append(f"block is {self.block!r}: expected one of {', '.join(BLOCK_ORDERS)}")
        if problems:
            raise ValueError("This network cannot be built: " + "; ".join(problems) + ".")


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST


class EmotionFeatures(NamedTuple):
    """The V-A encoder's output for valence-arousal pairs: e_v and e_a, each [B, K, E]."""

    valence: Tensor
    arousal: Tensor


# --- attention ---------------------------------------------------------------------------------------------


def split_heads(x: Tensor) -> Tensor:
    """[B, T, E] -> [B, H, T, 64]."""
    return x.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, H, T, 64] -> [B, T, E]."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head attention among the tokens of a window; no causal mask, no padding mask."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        # one product gives the queries, keys and values of all tokens: [B, T, 3E] -> three of [B, H, T, 64]
        query, key, value = (split_heads(part) for part in self.query_key_value(x).chunk(3, dim=-1))
        # every token attends to every other, the padding included, as SDXL reads it, too
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        return F.dropout(self.out(merge_heads(attended)), self.dropout, self.training)


class EmotionAttention(nn.Module):
    """Multi-head attention from the tokens of a prompt to the K tokens of one emotion axis."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.dropout = dropout

    def forward(self, x: Tensor, emotion: Tensor) -> Tensor:
        # x is [B, T, E] or [1, T, E], emotion [B, K, E] or [1, K, E]: the shorter batch goes with all of the longer
        # keys and values come from the emotion alone: [B, K, E] each
        key, value = self.key_value(emotion).chunk(2, dim=-1)
        if not self.training and len(x) >= len(emotion) and x.shape[1] > 2 * emotion.shape[1]:
            return self._attend_folded(x, key, value)
        # queries come from the text: [B, H, T, 64] against keys and values [B, H, K, 64]
        query, key, value = split_heads(self.query(x)), split_heads(key), split_heads(value)
        batch = max(len(query), len(key))
        attended = F.scaled_dot_product_attention(
            query.expand(batch, -1, -1, -1),
            key.expand(batch, -1, -1, -1),
            value.expand(batch, -1, -1, -1),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return F.dropout(self.out(merge_heads(attended)), self.dropout, self.training)

    def _attend_folded(self, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The same result in about half the multiplications, as K is small against T.

        Keys and values depend on the emotion alone, so they are multiplied into the neighbouring projections first:
        with q = x Wq + b, the scores q k' are x (Wq k') + b k', and the output (softmax v) Wo is softmax (v Wo). The
        query projection (E x E) becomes E x HK, the output projection HK x E; HK is 192 for E = 768. It takes
        0.7 of the time, but more where one prompt goes with many emotions: there the query is shared.
        """
        heads = (-1, HEAD_WIDTH)
        # the attention's scale 1/sqrt(64) goes into the keys
        key = key.unflatten(-1, heads) * HEAD_WIDTH**-0.5  # [B, K, H, 64]
        value = value.unflatten(-1, heads)  # [B, K, H, 64]
        # Wq k': from a token straight to its scores, head by head: [B, HK, E]
        to_scores = torch.einsum("bkhd,hde->bhke", key, self.query.weight.unflatten(0, heads)).flatten(1, 2)
        # b k': what the query's bias adds to the scores: [B, HK]
        bias = torch.einsum("bkhd,hd->bhk", key, self.query.bias.unflatten(0, heads)).flatten(1, 2)
        # v Wo: from the attention weights straight to the output: [B, HK, E]
        from_scores = torch.einsum("bkhd,ehd->bhke", value, self.out.weight.unflatten(1, heads)).flatten(1, 2)
        # one emotion for all: the batch becomes rows of one large product, [1, B * T, E]
        rows = x if len(key) > 1 else x.flatten(0, 1).unsqueeze(0)
        scores = torch.baddbmm(bias.unsqueeze(1), rows, to_scores.transpose(1, 2))  # [B, T, HK]
        # softmax over the K tokens of each head
        attention = scores.unflatten(-1, (-1, key.shape[1])).softmax(-1).flatten(2)
        return torch.baddbmm(self.out.bias, attention, from_scores).view(x.shape)


# --- the emotion-injection block ---------------------------------------------------------------------------


class FeedForward(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.down(F.gelu(self.up(x), approximate="tanh")), self.dropout, self.training)


class InjectionBlock(nn.Module):
    """One emotion-injection block, in either order."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        width, dropout = config.width, config.dropout
        self.order = config.block
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = SelfAttention(width, dropout)
        self.valence_norm = nn.LayerNorm(width)
        self.valence_attention = EmotionAttention(width, dropout)
        self.arousal_norm = nn.LayerNorm(width)
        self.arousal_attention = EmotionAttention(width, dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, dropout)

    def forward(self, x: Tensor, valence: Tensor, arousal: Tensor) -> Tensor:
        return (self._paper if self.order == "paper" else self._published)(x, valence, arousal)

    def _paper(self, x: Tensor, valence: Tensor, arousal: Tensor) -> Tensor:
        """Equations 4-7: pre-norm residuals, valence first."""
        # (4) the tokens of the text attend to each other
        x = x + self.self_attention(self.self_norm(x))
        # (5) then to the K valence tokens
        x = x + self.valence_attention(self.valence_norm(x), valence)
        # (6) then to the K arousal tokens
        x = x + self.arousal_attention(self.arousal_norm(x), arousal)
        # (7) and each passes through the feed-forward network by itself
        return x + self.feed_forward(self.feed_forward_norm(x))

    def _published(self, x: Tensor, valence: Tensor, arousal: Tensor) -> Tensor:
        """The order of the released weights: skips carry the normalised tokens, and arousal comes first."""
        # normalised before the skip leaves, so that the skip carries it
        x = self.self_norm(x)
        x = x + self.self_attention(x)
        x = self.arousal_norm(x)
        x = x + self.arousal_attention(x, arousal)
        x = self.valence_norm(x)
        x = x + self.valence_attention(x, valence)
        # the feed-forward network alone has the usual pre-norm skip
        return x + self.feed_forward(self.feed_forward_norm(x))


# --- the network -------------------------------------------------------------------------------------------


class EmotionNetwork(nn.Module):
    """Maps neutral text features and a valence-arousal pair to emotional text features.

    It starts in evaluation mode: call `train()` to fit it.
    """

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config = config or NetworkConfig()
        sizes = (config.emotion_tokens, config.width, config.emotion_hidden)
        self.valence_encoder = axis_encoder(*sizes)
        self.arousal_encoder = axis_encoder(*sizes)
        self.emotion_projection = nn.Linear(config.width, config.width, bias=False)
        self.input_projection = nn.Linear(config.feature_width, config.width, bias=False)
        self.position = nn.Embedding(config.positions, config.width)
        self.blocks = nn.ModuleList(InjectionBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.output_projection = nn.Linear(config.width, config.feature_width, bias=False)
        self.output_norm = nn.LayerNorm(config.feature_width)
        self.reset_parameters()
        self.eval()

    def reset_parameters(self) -> None:
        """Draws fresh weights as GPT-2 does: normal of deviation 0.02, less in the layers that end a branch.

        The valence-arousal MLPs keep torch's own start: with 0.02 a single number would hardly move them.
        """
        own_start = {id(m) for mlp in (self.valence_encoder, self.arousal_encoder) for m in mlp}
        for name, module in self.named_modules():
            if id(module) in own_start or not isinstance(module, nn.Linear | nn.Embedding):
                continue
            # four branches a block are added up: by their number, so that depth does not raise the variance
            ends_a_branch = name.endswith((".out", ".down"))
            nn.init.normal_(module.weight, std=0.02 / (4 * len(self.blocks)) ** 0.5 if ends_a_branch else 0.02)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)

    def encode(self, valence: float | Tensor, arousal: float | Tensor) -> EmotionFeatures:
        """Encodes valence-arousal pairs (the paper's V-A encoder).

        Args:
            valence: One number, or a tensor of B numbers ([B] or [B, 1]), in [-3, 3].
            arousal: Likewise. One number goes with B of the other axis.

        Returns:
            (e_v, e_a), each [B, K, E], in the network's dtype and on its device.

        Raises:
            ValueError: A value outside [-3, 3], not finite, or two different numbers of values.
        """
        valence, arousal = va_tensor("valence", valence), va_tensor("arousal", arousal)
        if len(valence) != len(arousal) and 1 not in (len(valence), len(arousal)):
            raise ValueError(
                f"There are {len(valence)} valence and {len(arousal)} arousal values: "
                "expected as many of both, or one of either."
            )
        batch = max(len(valence), len(arousal))
        return self._encode(valence.expand(batch), arousal.expand(batch))

    def _encode(self, valence: Tensor, arousal: Tensor) -> EmotionFeatures:
        return EmotionFeatures(
            self._encode_axis(self.valence_encoder, valence), self._encode_axis(self.arousal_encoder, arousal)
        )

    def _encode_axis(self, encoder: nn.Module, values: Tensor) -> Tensor:
        # a number each: [B] -> [B, 1], in the network's dtype and on its device
        values = values.to(self.input_projection.weight).reshape(-1, 1)
        # the axis's own MLP: [B, 1] -> [B, K * E] -> [B, K, E]
        tokens = encoder(values).unflatten(-1, (-1, self.config.width))
        # one projection shared by both axes
        return self.emotion_projection(tokens)

    def inject(
        self, neutral: Tensor, emotion: EmotionFeatures | tuple[Tensor, Tensor], strength: float = 1.0
    ) -> Tensor:
        """Adds the emotion to text features.

        Args:
            neutral: [B, T, D] on the network's device, any floating dtype, T at most `config.positions`.
            emotion: (e_v, e_a) of `encode`. One prompt goes with many emotions and the other way round.
            strength: Scale of the residual; 0 returns the input bit for bit.

        Returns:
            [B, T, D], a new tensor in the dtype of `neutral`.

        Raises:
            ValueError: Shapes that do not fit this network or each other, or a strength that is not finite.
        """
        batch = self._check_inject(neutral, emotion, strength)
        if strength == 0:
            return neutral.expand(batch, -1, -1).clone()
        return neutral + (strength * self.residual(neutral, emotion)).to(neutral.dtype)

    def forward(self, neutral: Tensor, valence: float | Tensor, arousal: float | Tensor) -> Tensor:
        """Encodes and injects at strength 1: [B, T, D] and V-A values -> [B, T, D].

        While training the values are not checked: the data was checked when it was read, and a check here would
        make a GPU wait in every step.
        """
        if self.training:
            return neutral + self.residual(neutral, self._encode(valence, arousal)).to(neutral.dtype)
        return self.inject(neutral, self.encode(valence, arousal))

    def residual(self, neutral: Tensor, emotion: EmotionFeatures | tuple[Tensor, Tensor]) -> Tensor:
        """What `inject` adds at strength 1: [B, T, D] in the network's dtype."""
        valence, arousal = emotion
        # text features to the network's width, plus learned positions: [B, T, D] -> [B, T, E]
        position = self.position.weight[: neutral.shape[1]]
        x = self.input_projection(neutral.to(position.dtype)) + position
        x = F.dropout(x, self.config.dropout, self.training)
        # each block attends to the text, to valence and to arousal: [B, T, E]
        for block in self.blocks:
            x = block(x, valence, arousal)
        # back to the text's width: [B, T, E] -> [B, T, D]
        return self.output_norm(self.output_projection(self.norm(x)))

    def _check_inject(self, neutral: Tensor, emotion, strength: float) -> int:
        config = self.config
        if neutral.ndim != 3 or neutral.shape[2] != config.feature_width:
            raise ValueError(
                f"The text features have the shape {tuple(neutral.shape)}: this network expects "
                f"[batch, tokens, {config.feature_width}]."
            )
        if not 1 <= neutral.shape[1] <= config.positions:
            raise ValueError(
                f"The text features have {neutral.shape[1]} tokens: this network reads windows of 1 to "
                f"{config.positions}; give a longer prompt window by window."
            )
        for name, tokens in zip(("valence", "arousal"), emotion, strict=True):
            if tokens.ndim != 3 or tokens.shape[1:] != (config.emotion_tokens, config.width):
                raise ValueError(
                    f"The {name} features have the shape {tuple(tokens.shape)}: this network expects "
                    f"[batch, {config.emotion_tokens}, {config.width}]; encode them with the same network."
                )
        if not abs(strength) < float("inf"):
            raise ValueError(f"strength is {strength}: expected a finite number.")
        batches = {len(neutral), len(emotion[0]), len(emotion[1])} - {1}
        if len(batches) > 1:
            raise ValueError(
                f"{len(neutral)} prompts cannot be joined with {len(emotion[0])} valence and "
                f"{len(emotion[1])} arousal features: expected one, or as many of each."
            )
        return max(batches, default=1)


def weight_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights, from a network of one block that stands for all."""
    with torch.device("meta"):
        single = EmotionNetwork(replace(config, depth=1)).state_dict()
    first = "blocks.0."
    shapes = {key: tuple(tensor.shape) for key, tensor in single.items() if not key.startswith(first)}
    block = {key.removeprefix(first): tuple(t.shape) for key, t in single.items() if key.startswith(first)}
    for number in range(config.depth):
        shapes |= {f"blocks.{number}.{key}": shape for key, shape in block.items()}
    return shapes


def axis_encoder(tokens: int, width: int, hidden: int) -> nn.Sequential:
    """One axis of the V-A encoder: a number, [B, 1], to K tokens of width E, [B, K * E]."""
    return nn.Sequential(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, tokens * width))
