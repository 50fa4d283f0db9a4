"""Fits a network to a text encoder: what a mean cannot know, namely that a mood looks different in different scenes.

    encoded = EncodedPairs(encoder, file)
    for pair in pairs:
        encoded.add(pair)
    fit = NetworkFit(encoded, SIZES["small"])
    while fit.step < fit.steps:
        fit.advance()
    save_network(fit.network, path)

It learns what is left of the pairs once the field of the instant fit is taken away, in units of each channel's spread,
which makes one loss sensible for channels of all sizes. Whoever drives it may stop between any two calls and go on
later.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO

import torch
from torch import Tensor

from ..field import EmotionField, FieldConfig
from ..files import text_sha256
from ..network import EmotionNetwork, NetworkConfig
from ..options import MOST_ADDED
from .contrast import Contrast, ContrastFile, collate
from .instant import Encoder, InstantFit
from .loop import Fit, Schedule, step_random
from .loss import PairLoss
from .pairs import Pair

STEPS = 600
BATCH = 32
WARMUP = 20
RATE, AVERAGE, DROPOUT = 1e-3, 0.99, 0.1
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


class EncodedPairs:
    """Pairs as an encoder reads them, encoded once for any number of fits; the field comes with them.

    Attributes:
        instant: The fit of the field, to the pairs that are learned.
        pairs: How many have been encoded.
        learned, held_out: (row of the file, valence, arousal) of each.
    """

    def __init__(self, encoder: Encoder, file: BinaryIO, most_added: int = MOST_ADDED):
        """
        Args:
            encoder: What reads them.
            file: Open for writing and reading; owned by this object.
            most_added: The largest M, for encoders that do not pad.
        """
        self.instant = InstantFit(encoder, most_added)
        self.pairs, self.learned, self.held_out = 0, [], []
        self._file, self._first = ContrastFile(file), None

    @property
    def nbytes(self) -> int:
        """What they take on disk."""
        return self._file.nbytes

    @property
    def longest(self) -> int:
        """The most tokens of a neutral prompt."""
        return self._file.longest

    def add(self, pair: Pair) -> None:
        """Encodes a pair; one scene of twenty is held out, to see what is learned, but never the first.

        Raises:
            ValueError: As `InstantFit.add`.
            OSError: The disk is full.
        """
        self._first = self._first or pair.neutral  # a few pairs, or one scene, are something to learn from, too
        held_out = pair.neutral != self._first and int(text_sha256(pair.neutral)[:8], 16) < HELD_OUT * 16**8
        read, row = self.instant.read(pair), len(self._file)
        self._file.append(read.taught)  # before the sums: where the disk is full, the pair can be added again
        if not held_out:
            self.instant.take(pair, read)
        (self.held_out if held_out else self.learned).append((row, pair.valence, pair.arousal))
        self.pairs += 1

    def lesson(self, chosen: Sequence[tuple[int, float, float]], device: torch.device) -> dict[str, Tensor | None]:
        """Some of `learned` or `held_out` as a batch, by the names that `PairLoss` has for it."""
        rows, valence, arousal = zip(*chosen, strict=True)
        contrasts = [Contrast(*(None if t is None else t.to(device) for t in self._file[row])) for row in rows]
        instant, encoder = self.instant, self.instant.encoder
        lesson = collate(contrasts, encoder.head, encoder.tail, encoder.padded, instant.room_tokens, instant.share)
        values = {"valence": valence, "arousal": arousal, "weight": [1.0] * len(rows)}
        return lesson._asdict() | {name: torch.tensor(of, device=device) for name, of in values.items()}


class NetworkFit:
    """A network that is being fitted to encoded pairs.

    Attributes:
        steps: Of the whole fit.
        at_once: Pairs that are in memory together, of the BATCH of a step; a driver may lower it where memory ends.
    """

    def __init__(
        self,
        encoded: EncodedPairs,
        size: Size,
        steps: int = STEPS,
        seed: int = 0,
        device: str | torch.device = "cpu",
        bfloat16: bool = False,
    ):
        """
        Args:
            encoded: What it learns from.
            size: Of the network.
            steps: Of the fit.
            seed: Decides first weights and batches.
            device: Where it is fitted.
            bfloat16: Whether to compute under autocast to bfloat16.

        Raises:
            ValueError: There are no pairs.
        """
        self.encoded, self.seed, self.at_once = encoded, seed, BATCH
        field = encoded.instant.field()
        torch.manual_seed(seed)
        network = EmotionNetwork(_config(size, field.config, encoded.longest), field.encoder)
        network.field.load_state_dict(field.state_dict())
        schedule = Schedule(steps, RATE, warmup=WARMUP, cosine=True, clip_norm=1.0, ema=AVERAGE, seed=seed)
        self._fit = Fit(network.to(device).train(), schedule, bfloat16)
        self._loss = PairLoss(network, batch=BATCH, unit=network.feature_scale)

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self._fit.step

    @property
    def steps(self) -> int:
        return self._fit.schedule.steps

    @steps.setter
    def steps(self, steps: int) -> None:
        """Shortens or lengthens what is left."""
        self._fit.schedule = replace(self._fit.schedule, steps=steps)

    @property
    def network(self) -> EmotionNetwork:
        """The network so far, in evaluation mode: the moving average of its weights."""
        return self._fit.result

    def advance(self) -> float:
        """Takes a step; gives its loss.

        Raises:
            torch.OutOfMemoryError: Of the device; lower `at_once` and call again.
            ValueError: The loss is NaN or infinite, and so are the weights by now: nothing can be made of this fit.
        """
        learned = self.encoded.learned
        chosen = [learned[row] for row in step_random(self.seed, self.step).integers(len(learned), size=BATCH)]
        parts = [chosen[start : start + self.at_once] for start in range(0, BATCH, self.at_once)]
        loss, _ = self._fit.advance(self._share, parts)
        if not math.isfinite(loss.item()):
            raise ValueError(
                f"The loss of step {self.step} is {loss.item()}, so the network cannot learn on: fit again with "
                "another seed, or use the instant method."
            )
        return loss.item()

    def _share(self, part: Sequence[tuple[int, float, float]]) -> Tensor:
        return self._loss(**self.encoded.lesson(part, self._fit.device))

    @torch.no_grad()
    def held_out_loss(self, network: EmotionNetwork | EmotionField) -> float:
        """The loss of a network or field on the scenes that are not learned from; NaN if there are none."""
        rows = self.encoded.held_out
        loss = PairLoss(network, batch=len(rows), unit=self._loss.unit)
        parts = [rows[start : start + self.at_once] for start in range(0, len(rows), self.at_once)]
        losses = [loss(**self.encoded.lesson(part, self._fit.device)).item() for part in parts]
        return sum(losses) if losses else math.nan


def learnable(fitted: EmotionNetwork | EmotionField) -> EmotionNetwork | EmotionField:
    """A copy of a fitted network or field that can learn on: without dropout, the field in a network as it is."""
    if isinstance(fitted, EmotionField):
        return copy.deepcopy(fitted).requires_grad_(True).train()
    network = EmotionNetwork(replace(fitted.config, dropout=0.0), fitted.encoder)
    network.load_state_dict(fitted.state_dict())
    if network.config.field_positions:
        network.field.requires_grad_(False)
    return network.train()


@torch.no_grad()
def scale_residual(fitted: EmotionNetwork | EmotionField, scale: float) -> None:
    """Makes strength 1 of a fitted network or field what `scale` was, in place.

    Raises:
        ValueError: Its residual is not a multiple of its last weights: tokens are added, or the output is normed.
    """
    if fitted.added_tokens or (isinstance(fitted, EmotionNetwork) and fitted.config.output != "free"):
        raise ValueError(
            "The residual of this network cannot be scaled: expected one without added tokens whose output is free. "
            "Set the strength where it is used."
        )
    if isinstance(fitted, EmotionField):
        fitted.directions.mul_(scale)
        return
    for weight in fitted.output_projection.parameters():
        weight.mul_(scale)
    if fitted.config.field_positions:
        scale_residual(fitted.field, scale)


def _config(size: Size, field: FieldConfig, longest: int) -> NetworkConfig:
    """Of a network that corrects a field: `longest` is the most tokens of a prompt, before any are added."""
    return NetworkConfig(
        feature_width=field.feature_width,
        **asdict(size),
        positions=field.window or min(longest + field.added_tokens, MOST_POSITIONS),
        dropout=DROPOUT,
        window=field.window,
        added_tokens=field.added_tokens,
        normalise=True,
        field_positions=field.positions,
        output="free",
    )
