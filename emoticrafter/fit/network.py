"""Fits a network to a text encoder: what a mean cannot know, namely that a mood looks different in different scenes.

    fit = NetworkFit(encoder, SIZES["small"], file)
    for pair in pairs:
        fit.add(pair)
    fit.begin(600)
    while fit.step < fit.steps:
        fit.advance()
    save_network(fit.network(), path)

It learns what is left of the pairs once the field of the instant fit is taken away, in units of each channel's spread,
which makes one loss sensible for channels of all sizes. Pairs are encoded once. Whoever drives it may stop between any
two calls and go on later.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from ..field import EmotionField
from ..files import text_sha256
from ..network import EmotionNetwork, NetworkConfig
from .contrast import Contrast, ContrastFile, collate
from .instant import ADDED_TOKENS, Encoder, InstantFit
from .loop import Fit, Schedule, step_random
from .loss import PairLoss
from .pairs import Pair

STEPS = 600
BATCH = 32
WARMUP = 20
LEARNING_RATE, AVERAGE, DROPOUT = 1e-3, 0.99, 0.0
HELD_OUT = 0.05
MOST_POSITIONS = 512
"""Tokens that a network reads at once; longer prompts are read in overlapping pieces."""


@dataclass(frozen=True)
class Size:
    """The sizes of a network, as in `NetworkConfig`."""

    width: int
    depth: int
    emotion_tokens: int
    emotion_hidden: int


SIZES = {"small": Size(128, 4, 8, 64), "medium": Size(384, 6, 16, 128), "full": Size(768, 12, 16, 256)}
"""full is the paper's."""


class NetworkFit:
    """A network that is being fitted.

    Attributes:
        instant: The fit of the field, to the pairs that are learned.
        pairs: How many have been encoded.
        steps: Steps of the whole fit; 0 until it begins.
        at_once: Pairs that are in memory together, of the BATCH of a step; a driver may lower it where memory ends.
    """

    def __init__(self, encoder: Encoder, size: Size, file: BinaryIO, seed: int = 0, added_tokens: int = ADDED_TOKENS):
        """
        Args:
            encoder: What it is fitted to.
            size: Of the network.
            file: For the encoded pairs, open for writing and reading; owned by this object.
            seed: Decides first weights and batches.
            added_tokens: M, for encoders that do not pad.
        """
        self.instant = InstantFit(encoder, added_tokens)
        self.size, self.seed = size, seed
        self.pairs, self.steps, self.at_once = 0, 0, BATCH
        self._file = ContrastFile(file)
        self._learned, self._held_out = [], []  # (row of the file, valence, arousal)
        self._fit: Fit | None = None

    # ---- pairs ----

    @property
    def nbytes(self) -> int:
        """What the encoded pairs take on disk."""
        return self._file.nbytes

    def add(self, pair: Pair) -> None:
        """Encodes a pair; one scene of twenty is held out, to see what is learned.

        Raises:
            ValueError: As `InstantFit.add`.
            OSError: The disk is full.
        """
        held_out = int(text_sha256(pair.neutral)[:8], 16) < HELD_OUT * 16**8
        taught = self.instant.read(pair) if held_out else self.instant.add(pair)
        self._file.append(taught)
        (self._held_out if held_out else self._learned).append((len(self._file) - 1, pair.valence, pair.arousal))
        self.pairs += 1

    # ---- steps ----

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self._fit.step if self._fit else 0

    def begin(self, steps: int, device: str | torch.device = "cpu", bfloat16: bool = False) -> None:
        """Takes the field of the pairs and makes the network that corrects it.

        Args:
            steps: Of the fit.
            device: Where it is fitted.
            bfloat16: Whether to compute under autocast to bfloat16.

        Raises:
            ValueError: There are no pairs.
        """
        field, encoder = self.instant.field(), self.instant.encoder
        sizes = {name: getattr(self.size, name) for name in ("width", "depth", "emotion_tokens", "emotion_hidden")}
        longest = self._file.longest + field.added_tokens
        config = NetworkConfig(
            feature_width=field.feature_width,
            **sizes,
            positions=encoder.window or min(longest, MOST_POSITIONS),
            dropout=DROPOUT,
            window=encoder.window,
            added_tokens=field.added_tokens,
            normalise=True,
            field_positions=field.config.positions,
            output="free",
        )
        torch.manual_seed(self.seed)
        network = EmotionNetwork(config, field.encoder)
        network.field.load_state_dict(field.state_dict())
        self.steps = steps
        schedule = Schedule(
            steps, LEARNING_RATE, warmup=WARMUP, cosine=True, clip_norm=1.0, ema=AVERAGE, seed=self.seed
        )
        self._fit = Fit(network.to(device).train(), schedule, bfloat16)
        self._loss = PairLoss(network, batch=BATCH, unit=field.encoder.scale).to(device)

    def advance(self) -> float:
        """Takes a step; gives its loss.

        Raises:
            torch.OutOfMemoryError: Of the device; lower `at_once` and call again.
        """
        rows = step_random(self.seed, self.step).integers(len(self._learned), size=BATCH)
        chosen = [self._learned[row] for row in rows]
        parts = [chosen[start : start + self.at_once] for start in range(0, BATCH, self.at_once)]
        loss, _ = self._fit.advance(lambda part: self._loss(**self._batch(part)), parts)
        return loss.item()

    @torch.no_grad()
    def held_out_loss(self, network: EmotionNetwork | EmotionField) -> float:
        """The loss of a network or field on the scenes that are not learned from; NaN if there are none."""
        loss = PairLoss(network, batch=len(self._held_out), unit=self._loss.unit)
        parts = [self._held_out[start : start + BATCH] for start in range(0, len(self._held_out), BATCH)]
        return sum(loss(**self._batch(part)).item() for part in parts) if parts else math.nan

    def network(self) -> EmotionNetwork:
        """The network so far, in evaluation mode: the moving average of its weights."""
        return self._fit.result

    def _batch(self, chosen: Sequence[tuple[int, float, float]]) -> dict[str, Tensor | None]:
        """What `PairLoss` reads, on the network's device."""
        rows, valence, arousal = zip(*chosen, strict=True)
        device, instant = self._fit.device, self.instant
        contrasts = [Contrast(*(None if t is None else t.to(device) for t in self._file[row])) for row in rows]
        ends = instant.encoder.head, instant.encoder.tail
        lesson = collate(contrasts, *ends, instant.encoder.padded, self.network().added_tokens, instant.share)
        values = {"valence": valence, "arousal": arousal, "weight": [1.0] * len(rows)}
        return lesson._asdict() | {name: torch.tensor(of, device=device) for name, of in values.items()}
