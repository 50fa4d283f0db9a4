"""A field of emotion: what a mood adds to text features on average, at every point of the plane. Nothing is trained.

The mean difference between emotional and neutral prompts, over many pairs, is one direction for each point of the
valence-arousal plane (or one for each position in the prompt, where the encoder pads prompts). Steering text features
along such directions is the nearest published rival of an emotion network (arXiv 2603.17998); there, one direction for
one trait, here, a bilinear surface over the 25 points of a 5 x 5 grid.

Shapes: B batch, T tokens, D feature width, P directions of a point (1, or one for each position), M added tokens.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from .encoders import CLIP_WINDOW, EncoderFacts, prompt_tokens, room_numbers
from .options import MOST
from .quoting import quoted
from .va import VA_MAX, VA_MIN, EmotionFeatures, va_tensor

LEVELS = 5
POINTS = LEVELS**2
STEP = (VA_MAX - VA_MIN) / (LEVELS - 1)


@dataclass(frozen=True)
class FieldConfig:
    """The sizes of a field."""

    feature_width: int
    """D, the width of the text features."""
    positions: int = 1
    """P: 1 for one direction for all tokens of the prompt, or one for each of P positions."""
    window: int | None = CLIP_WINDOW
    """77: a prompt is windows of CLIP's, each read on its own. None: one piece of any length."""
    added_tokens: int = 0
    """M, the tokens that the field adds to a prompt, for encoders that do not pad."""

    def __post_init__(self):
        least = {"feature_width": 1, "positions": 1, "added_tokens": 0}
        problems = [
            f"{field.name} is {quoted(value)}: expected a whole number from {least[field.name]} to {MOST:,}"
            for field in fields(self)
            if field.name in least
            and (type(value := getattr(self, field.name)) is not int or not least[field.name] <= value <= MOST)
        ]
        if self.window is not None and (type(self.window) is not int or self.window != CLIP_WINDOW):
            problems.append(f"window is {quoted(self.window)}: expected {CLIP_WINDOW} or nothing (in one piece)")
        if problems:
            raise ValueError("This field cannot be built: " + "; ".join(problems) + ".")


def field_basis(valence: Tensor, arousal: Tensor) -> Tensor:
    """The bilinear basis of the 25 points: [B] and [B] -> [B, 25], non-negative, each row adds up to 1."""
    levels = torch.linspace(VA_MIN, VA_MAX, LEVELS, device=valence.device, dtype=valence.dtype)
    # a hat over each level, 1 there and 0 from the next one on: [B, 5]
    of_valence, of_arousal = (
        (1 - (axis.unsqueeze(-1) - levels).abs() / STEP).clamp(min=0) for axis in (valence, arousal)
    )
    # their products: bilinear between four neighbouring points
    return (of_valence.unsqueeze(-1) * of_arousal.unsqueeze(-2)).flatten(1)


class EmotionField(nn.Module):
    """Adds a direction to text features, read from a bilinear surface over valence and arousal.

    It serves wherever an `EmotionNetwork` does (`conditioning.Steering`); its emotion features are the values
    themselves, [B, 1, 1] each.

    Args:
        config: Its sizes.
        encoder: The text encoder that it is fitted to; tells which tokens are the prompt's.
        directions: [25, P, D] float32, zeros without.
        room: [25, M, D] float32, the features of the added tokens; zeros without.
    """

    def __init__(
        self,
        config: FieldConfig,
        encoder: EncoderFacts | None = None,
        directions: Tensor | None = None,
        room: Tensor | None = None,
    ):
        super().__init__()
        self.config, self.encoder = config, encoder
        shape = (POINTS, config.positions, config.feature_width)
        self.directions = nn.Parameter(torch.zeros(shape) if directions is None else directions)
        if config.added_tokens:
            shape = (POINTS, config.added_tokens, config.feature_width)
            self.room = nn.Parameter(torch.zeros(shape) if room is None else room)
        self.eval()

    @property
    def weight(self) -> Tensor:
        """A weight that tells the field's dtype and device."""
        return self.directions

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

    def encode(self, valence: float | Tensor, arousal: float | Tensor) -> EmotionFeatures:
        """Valence-arousal pairs, one number or [B] of each, to emotion features [B, 1, 1].

        Raises:
            ValueError: A value outside [-3, 3], not finite, or two different numbers of values.
        """
        valence, arousal = va_tensor("valence", valence), va_tensor("arousal", arousal)
        valence, arousal = torch.broadcast_tensors(valence.to(self.weight), arousal.to(self.weight))
        return EmotionFeatures(valence.reshape(-1, 1, 1), arousal.reshape(-1, 1, 1))

    def inject(
        self,
        neutral: Tensor,
        emotion: EmotionFeatures | tuple[Tensor, Tensor],
        strength: float = 1.0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Adds the emotion to text features; arguments and result as `EmotionNetwork.inject`."""
        if strength == 0:
            return neutral.expand(max(len(neutral), len(emotion[0])), -1, -1).clone()
        return neutral + (strength * self.residual(neutral, emotion, mask)).to(neutral.dtype)

    def forward(
        self, neutral: Tensor, valence: float | Tensor, arousal: float | Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Encodes and injects at strength 1: [B, T, D] and V-A values -> [B, T, D]."""
        return self.inject(neutral, self.encode(valence, arousal), mask=mask)

    def residual(
        self, neutral: Tensor, emotion: EmotionFeatures | tuple[Tensor, Tensor], mask: Tensor | None = None
    ) -> Tensor:
        """What `inject` adds at strength 1: [B, T, D], 0 where the mask [B, T] is False."""
        valence, arousal = emotion
        basis = field_basis(valence.flatten(), arousal.flatten()).to(self.weight)
        # the direction of each position at these points: [N, 25] x [25, P, D] -> [N, P, D]
        at_point = torch.einsum("nk,kpd->npd", basis, self.directions)
        steered = self.steered(neutral, mask)  # [B, T]
        # one direction for all tokens of the prompt, or one for each position: [B, T, D]
        if self.config.positions == 1:
            residual = at_point * steered.unsqueeze(-1)
        else:
            tokens = neutral.shape[1]
            placed = nn.functional.pad(at_point[:, :tokens], (0, 0, 0, max(0, tokens - at_point.shape[1])))
            residual = placed.where(steered.unsqueeze(-1), 0)
        if self.added_tokens:
            residual = self._fill_room(residual, neutral, basis, mask)
        return residual if mask is None else residual.where(mask.unsqueeze(-1), 0)

    def steered(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """The tokens that take a direction, [B, T]."""
        if self.encoder is None:
            return prompt_tokens(features, mask, 1, 0)
        return prompt_tokens(features, mask, self.encoder.head, self.encoder.tail_of(mask, self.window))

    def _fill_room(self, residual: Tensor, neutral: Tensor, basis: Tensor, mask: Tensor | None) -> Tensor:
        """The added tokens move from the copies that `make_room` put there to features of their own."""
        tail = self.encoder.tail if self.encoder else 0
        number = room_numbers(neutral, mask, self.added_tokens, tail)  # [B, T], 0 outside the room
        own = torch.einsum("nk,kmd->nmd", basis, self.room)  # [N, M, D]
        rows = max(len(own), len(neutral))
        own, number = own.expand(rows, -1, -1), number.expand(rows, -1)
        index = (number - 1).clamp(min=0).unsqueeze(-1).expand(-1, -1, own.shape[2])
        return torch.where((number > 0).unsqueeze(-1), own.gather(1, index) - neutral, residual)
