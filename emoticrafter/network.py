"""The whole emotion network.

Source: Dang et al., "EmotiCrafter: Text-to-Emotional-Image Generation based on Valence-Arousal Model",
ICCV 2025, arXiv 2501.05710; equations 4-7 are the emotion-injection block. The released weights were
trained with another order inside the block, here "published".

Shapes: B batch, T tokens (77 for SDXL), D feature width of the text encoder (2048 for SDXL), E network width (768),
H heads of size 64, K tokens per emotion axis (16), M tokens that the network adds (0 for SDXL).
"""

from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import HEAD_WIDTH, EmotionAttention, SelfAttention
from .encoders import CLIP_WINDOW, EncoderFacts, room_numbers
from .field import EmotionField, FieldConfig
from .options import BLOCK_ORDERS, MOST, OUTPUTS
from .quoting import quoted
from .va import EmotionFeatures, va_tensor

MOST_DEVIATIONS = 10.0
"""How far from its channel's mean a normalised feature is still told apart."""
MAY_BE_0 = ("added_tokens", "field_positions")


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
    """The most tokens that are read at once."""
    dropout: float = 0.1
    """Dropout while training, in [0, 1)."""
    block: str = "paper"
    """The order inside a block: "paper" (equations 4-7) or "published" (the released weights)."""
    window: int | None = CLIP_WINDOW
    """77: a prompt is windows of CLIP's, each read on its own. None: one piece of any length."""
    added_tokens: int = 0
    """M, the tokens that the network adds to a prompt, for encoders that do not pad."""
    normalise: bool = False
    """Whether features are read, and residuals written, in units of each channel's mean and scale."""
    field_positions: int = 0
    """P of the `EmotionField` that the network holds, and whose directions it corrects; 0: it holds none, and gives the
    whole residual."""
    output: str = "normed"
    """The residual of a token: "normed" by a LayerNorm, as in the paper, so that its size hardly varies, or "free"."""

    def __post_init__(self):
        problems = [
            f"{field.name} is {quoted(getattr(self, field.name))}: expected a whole number from {least} to {MOST:,}"
            for field in fields(self)
            if field.type in (int, "int")
            and not _is_count(getattr(self, field.name), least := int(field.name not in MAY_BE_0))
        ]
        if not problems and self.width % HEAD_WIDTH:
            problems.append(f"width is {self.width}: expected a multiple of {HEAD_WIDTH}, the size of a head")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            problems.append(f"dropout is {quoted(self.dropout)}: expected a number in [0, 1)")
        if self.block not in BLOCK_ORDERS:
            problems.append(f"block is {quoted(self.block)}: expected one of {', '.join(BLOCK_ORDERS)}")
        if self.output not in OUTPUTS:
            problems.append(f"output is {quoted(self.output)}: expected one of {', '.join(OUTPUTS)}")
        if self.window is not None and (type(self.window) is not int or self.window != CLIP_WINDOW):
            problems.append(f"window is {quoted(self.window)}: expected {CLIP_WINDOW} or nothing (in one piece)")
        if not isinstance(self.normalise, bool):
            problems.append(f"normalise is {quoted(self.normalise)}: expected true or false")
        if problems:
            raise ValueError("This network cannot be built: " + "; ".join(problems) + ".")


def _is_count(value, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST


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

    def forward(self, x: Tensor, valence: Tensor, arousal: Tensor, mask: Tensor | None = None) -> Tensor:
        return (self._paper if self.order == "paper" else self._published)(x, valence, arousal, mask)

    def _paper(self, x: Tensor, valence: Tensor, arousal: Tensor, mask: Tensor | None) -> Tensor:
        """Equations 4-7: pre-norm residuals, valence first."""
        # (4) the tokens of the text attend to each other
        x = x + self.self_attention(self.self_norm(x), mask)
        # (5) then to the K valence tokens
        x = x + self.valence_attention(self.valence_norm(x), valence)
        # (6) then to the K arousal tokens
        x = x + self.arousal_attention(self.arousal_norm(x), arousal)
        # (7) and each passes through the feed-forward network by itself
        return x + self.feed_forward(self.feed_forward_norm(x))

    def _published(self, x: Tensor, valence: Tensor, arousal: Tensor, mask: Tensor | None) -> Tensor:
        """The order of the released weights: skips carry the normalised tokens, and arousal comes first."""
        # normalised before the skip leaves, so that the skip carries it
        x = self.self_norm(x)
        x = x + self.self_attention(x, mask)
        x = self.arousal_norm(x)
        x = x + self.arousal_attention(x, arousal)
        x = self.valence_norm(x)
        x = x + self.valence_attention(x, valence)
        # the feed-forward network alone has the usual pre-norm skip
        return x + self.feed_forward(self.feed_forward_norm(x))


# --- the network -------------------------------------------------------------------------------------------


class EmotionNetwork(nn.Module):
    """Maps neutral text features and a valence-arousal pair to emotional text features.

    It starts in evaluation mode: call `train()` to fit it. One that holds a field adds a correction to the field's mean
    change, on the tokens that the field steers.

    Args:
        config: Its sizes.
        encoder: The text encoder that it is fitted to; None where that is not known, as in the published files.

    Raises:
        ValueError: The config asks for an encoder's statistics, and there are none, or they have another width.
    """

    def __init__(self, config: NetworkConfig | None = None, encoder: EncoderFacts | None = None):
        super().__init__()
        self.config = config = config or NetworkConfig()
        self.encoder = encoder
        if config.normalise:
            self._keep_statistics(encoder)
        sizes = (config.emotion_tokens, config.width, config.emotion_hidden)
        self.valence_encoder = axis_encoder(*sizes)
        self.arousal_encoder = axis_encoder(*sizes)
        self.emotion_projection = nn.Linear(config.width, config.width, bias=False)
        self.input_projection = nn.Linear(config.feature_width, config.width, bias=False)
        self.position = nn.Embedding(config.positions, config.width)
        if config.added_tokens:
            self.room = nn.Embedding(config.added_tokens, config.width)
        self.blocks = nn.ModuleList(InjectionBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.output_projection = nn.Linear(config.width, config.feature_width, bias=False)
        if config.output == "normed":
            self.output_norm = nn.LayerNorm(config.feature_width)
        if config.field_positions:
            sizes = (config.feature_width, config.field_positions, config.window, config.added_tokens)
            self.field = EmotionField(FieldConfig(*sizes), encoder).requires_grad_(False)
        self.reset_parameters()
        self.eval()

    def _keep_statistics(self, encoder: EncoderFacts | None) -> None:
        width = self.config.feature_width
        if encoder is None or len(encoder.mean) != width:
            known = "nothing is known of its encoder" if encoder is None else f"they are {len(encoder.mean)} wide"
            raise ValueError(f"A network that normalises features needs their mean and scale, [{width}]: {known}.")
        # not in the state dict: what a file knows of its encoder is kept there once
        self.register_buffer("feature_mean", encoder.mean, persistent=False)
        self.register_buffer("feature_scale", encoder.scale, persistent=False)

    @property
    def weight(self) -> Tensor:
        """A weight that tells the network's dtype and device."""
        return self.input_projection.weight

    @property
    def feature_width(self) -> int:
        """D of the features that it reads."""
        return self.config.feature_width

    @property
    def window(self) -> int | None:
        """Tokens of a window, None where a prompt is one piece."""
        return self.config.window

    @property
    def added_tokens(self) -> int:
        """M, the tokens that it adds to a prompt."""
        return self.config.added_tokens

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
        if self.config.output == "free":
            nn.init.zeros_(self.output_projection.weight)

    def encode(self, valence: float | Tensor, arousal: float | Tensor) -> EmotionFeatures:
        """Encodes valence-arousal pairs (the paper's V-A encoder).

        Args:
            valence: One number, or a tensor of B numbers ([B] or [B, 1]), in [-3, 3].
            arousal: Likewise. One number goes with B of the other axis.

        Returns:
            (e_v, e_a), each [B, K, E], in the network's dtype and on its device. With a field, each has one more
            token: the value itself, which the field reads.

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
        tokens = self.emotion_projection(tokens)
        if not self.config.field_positions:
            return tokens
        return torch.cat([tokens, values.unsqueeze(-1).expand(-1, 1, self.config.width)], dim=1)

    def inject(
        self,
        neutral: Tensor,
        emotion: EmotionFeatures | tuple[Tensor, Tensor],
        strength: float = 1.0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Adds the emotion to text features.

        Args:
            neutral: [B, T, D] on the network's device, any floating dtype; T at most `config.positions` for a network
                that reads windows. Where the network adds tokens, after `encoders.make_room`.
            emotion: (e_v, e_a) of `encode`. One prompt goes with many emotions and the other way round.
            strength: Scale of the residual; 0 returns the input bit for bit.
            mask: [B, T], True for tokens that count: others are neither read nor changed. None for all.

        Returns:
            [B, T, D], a new tensor in the dtype of `neutral`.

        Raises:
            ValueError: Shapes that do not fit this network or each other, or a strength that is not finite.
        """
        batch = self._check_inject(neutral, emotion, strength, mask)
        if strength == 0:
            return neutral.expand(batch, -1, -1).clone()
        return neutral + (strength * self.residual(neutral, emotion, mask)).to(neutral.dtype)

    def forward(
        self, neutral: Tensor, valence: float | Tensor, arousal: float | Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Encodes and injects at strength 1: [B, T, D] and V-A values -> [B, T, D].

        While training the values are not checked: the data was checked when it was read, and a check here would
        make a GPU wait in every step.
        """
        if self.training:
            return neutral + self.residual(neutral, self._encode(valence, arousal), mask).to(neutral.dtype)
        return self.inject(neutral, self.encode(valence, arousal), mask=mask)

    def residual(
        self, neutral: Tensor, emotion: EmotionFeatures | tuple[Tensor, Tensor], mask: Tensor | None = None
    ) -> Tensor:
        """What `inject` adds at strength 1: [B, T, D] in the network's dtype, float32 where it normalises.

        A prompt with more tokens than `config.positions` is read in overlapping pieces.
        """
        config = self.config
        # 1 to M for the tokens that were made room for, 0 for those of the prompt: [B, T]
        room = None
        if config.added_tokens:
            tail = self.encoder.tail if self.encoder else 0
            room = room_numbers(neutral, mask, config.added_tokens, tail)
        if not config.field_positions:
            return self._read_in_pieces(neutral, emotion, mask, room)
        # the last token of each axis is its value, for the field; what it steers, the network corrects
        own = EmotionFeatures(*(tokens[:, :-1] for tokens in emotion))
        values = EmotionFeatures(*(tokens[:, -1:, :1] for tokens in emotion))
        steered = self.field.steered(neutral, mask) if room is None else self.field.steered(neutral, mask) | (room > 0)
        correction = self._read_in_pieces(neutral, own, mask, room).where(steered.unsqueeze(-1), 0)
        return self.field.residual(neutral, values, mask) + correction

    def _residual(self, neutral: Tensor, emotion, mask: Tensor | None, room: Tensor | None) -> Tensor:
        valence, arousal = emotion
        # text features to the network's width, plus learned positions: [B, T, D] -> [B, T, E]
        x = self.input_projection(self._read(neutral, mask)) + self._positions(neutral, mask)
        if room is not None:
            x = x + F.pad(self.room.weight, (0, 0, 1, 0))[room]
        x = F.dropout(x, self.config.dropout, self.training)
        # each block attends to the text, to valence and to arousal: [B, T, E]
        for block in self.blocks:
            x = block(x, valence, arousal, mask)
        # back to the text's width: [B, T, E] -> [B, T, D]
        residual = self.output_projection(self.norm(x))
        if self.config.output == "normed":
            residual = self.output_norm(residual)
        if self.config.normalise:
            residual = residual.float() * self.feature_scale
        return residual if mask is None else residual.where(mask.unsqueeze(-1), 0)

    def _read(self, neutral: Tensor, mask: Tensor | None) -> Tensor:
        """Features as the network reads them, in its dtype; 0 where the mask is."""
        if self.config.normalise:
            # (x - mean) / scale; clamped, as attention sinks lie hundreds of deviations away from all other tokens
            neutral = ((neutral.float() - self.feature_mean) / self.feature_scale).clamp(
                -MOST_DEVIATIONS, MOST_DEVIATIONS
            )
        neutral = neutral.to(self.weight.dtype)
        return neutral if mask is None else neutral.where(mask.unsqueeze(-1), 0)

    def _positions(self, neutral: Tensor, mask: Tensor | None) -> Tensor:
        """The learned positions [T, E], or [B, T, E], counted from each prompt's first token that counts."""
        if mask is None:
            return self.position.weight[: neutral.shape[1]]
        return self.position((mask.long().cumsum(1) - 1).clamp(min=0))

    def _read_in_pieces(self, neutral: Tensor, emotion, mask: Tensor | None, room: Tensor | None) -> Tensor:
        """The residual; of more tokens than there are positions, a mean over pieces that overlap by half.

        A piece weighs most in its middle and least at its ends, where its tokens lack their neighbours, so that the
        residual has no seam.
        """
        tokens, size = neutral.shape[1], self.config.positions
        if tokens <= size:
            return self._residual(neutral, emotion, mask, room)
        first, end = _span(mask) if mask is not None else (0, tokens)
        if end - first < tokens:  # masked tokens around a short prompt are no reason to cut it
            part = slice(first, end)
            masked, numbers = (None if of is None else of[:, part] for of in (mask, room))
            inside = self._read_in_pieces(neutral[:, part], emotion, masked, numbers)
            return F.pad(inside, (0, 0, first, tokens - end))
        starts = sorted({*range(0, tokens - size, -(-size // 2)), tokens - size})
        weight = torch.arange(1, size + 1, device=neutral.device)
        weight = torch.minimum(weight, weight.flip(0)).unsqueeze(-1)  # [size, 1]
        total, weights = 0, 0
        for start in starts:
            part, around = slice(start, start + size), (0, 0, start, tokens - size - start)
            masked, numbers = (None if of is None else of[:, part] for of in (mask, room))
            residual = self._residual(neutral[:, part], emotion, masked, numbers)
            total = total + F.pad(residual * weight, around)
            weights = weights + F.pad(weight, around)
        return total / weights

    def _check_inject(self, neutral: Tensor, emotion, strength: float, mask: Tensor | None) -> int:
        config = self.config
        if neutral.ndim != 3 or neutral.shape[2] != config.feature_width:
            raise ValueError(
                f"The text features have the shape {tuple(neutral.shape)}: this network expects "
                f"[batch, tokens, {config.feature_width}]."
            )
        if not 1 <= neutral.shape[1] <= (config.positions if config.window else MOST):
            raise ValueError(
                f"The text features have {neutral.shape[1]} tokens: this network reads windows of 1 to "
                f"{config.positions}; give a longer prompt window by window."
            )
        if mask is not None and (mask.dtype != torch.bool or mask.shape != neutral.shape[:2]):
            raise ValueError(
                f"The mask is {mask.dtype} of shape {tuple(mask.shape)}: expected torch.bool and "
                f"{tuple(neutral.shape[:2])}, one for each token."
            )
        count = config.emotion_tokens + bool(config.field_positions)
        for name, tokens in zip(("valence", "arousal"), emotion, strict=True):
            if tokens.ndim != 3 or tokens.shape[1:] != (count, config.width):
                raise ValueError(
                    f"The {name} features have the shape {tuple(tokens.shape)}: this network expects "
                    f"[batch, {count}, {config.width}]; encode them with the same network."
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


def _span(mask: Tensor) -> tuple[int, int]:
    """The first token that counts in any prompt of a mask [B, T], and one past the last; (0, T) where none does."""
    some = mask.any(0).nonzero().flatten().tolist()
    return (some[0], some[-1] + 1) if some else (0, mask.shape[1])


def weight_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights, from a network of one block that stands for all."""
    with torch.device("meta"):
        single = EmotionNetwork(replace(config, depth=1, normalise=False)).state_dict()
    first = "blocks.0."
    shapes = {key: tuple(tensor.shape) for key, tensor in single.items() if not key.startswith(first)}
    block = {key.removeprefix(first): tuple(t.shape) for key, t in single.items() if key.startswith(first)}
    for number in range(config.depth):
        shapes |= {f"blocks.{number}.{key}": shape for key, shape in block.items()}
    return shapes


def axis_encoder(tokens: int, width: int, hidden: int) -> nn.Sequential:
    """One axis of the V-A encoder: a number, [B, 1], to K tokens of width E, [B, K * E]."""
    return nn.Sequential(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, tokens * width))
