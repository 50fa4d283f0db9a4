"""What a pair of prompts teaches: the neutral prompt's features, and what its mood changes in them.

An encoder that pads gives both prompts one length, so the change is the difference, position by position. Others do
not: there the prompt's own tokens learn the change of their mean, and the tokens that are added learn the words that
the mood appends, which a causal encoder puts behind features that stay as they were.

Shapes: B pairs, T tokens, D feature width, W words' tokens of a pair, M added tokens.
"""

import math
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor

from ..encoders import make_room, prompt_tokens, room_numbers
from ..options import MOST_ADDED

SAME = 0.05
"""Features that differ by less, relative to their size, are the same: encoders in half precision are not exact."""
APPENDING = 0.25
"""The least share of the pairs whose mood appends words; where fewer do, no tokens are added for their sake."""
HELD = 0.99
"""The share of the moods whose words M tokens have to hold.

Where a phrase is cut off, its end is lost, which in many prompts is the arousal. On the second miniature, whose phrases
take 8 to 24 tokens, fields of 8, 16, 24 and 32 have slopes of 0.56, 0.97, 0.93 and 0.89 in valence, of 0.60, 0.76, 0.93
and 1.00 in arousal (8 scenes, 13 points). Of our own pairs, Qwen's tokenizer makes 11 to 40, half of them above 21.
"""


class Contrast(NamedTuple):
    """A pair as an encoder reads it, without the tokens that its masks leave out."""

    neutral: Tensor
    """[T, D]."""
    change: Tensor
    """Of each position, [T, D], or of all tokens of the prompt, [1, D]."""
    words: Tensor | None
    """Features of the appended words, [W, D]; None where the mood does not append any."""


class Lesson(NamedTuple):
    """A batch of contrasts, with room for the added tokens."""

    neutral: Tensor
    """[B, T, D]."""
    emotional: Tensor
    """What is to become of it, [B, T, D]."""
    mask: Tensor | None
    """Tokens that count, [B, T]; None for all."""
    learned: Tensor
    """Tokens that have something to learn, [B, T]."""


def contrast(
    neutral: Tensor, its_tokens: Tensor, emotional: Tensor, her_tokens: Tensor, padded: bool, most: int = MOST_ADDED
) -> Contrast:
    """Takes what a pair teaches from its features.

    Args:
        neutral: [T, D] float32, tokens that count alone.
        its_tokens: Which of them are the prompt's, [T].
        emotional: Likewise, [S, D]; S is T where the encoder pads.
        her_tokens: Likewise, [S].
        padded: Whether the encoder pads.
        most: The most tokens of the appended words.

    Raises:
        ValueError: Two lengths from an encoder that pads, or two widths.
    """
    if neutral.shape[-1] != emotional.shape[-1] or (padded and neutral.shape != emotional.shape):
        raise ValueError(
            f"The text encoder gave features of shape {list(emotional.shape)} after {list(neutral.shape)}: expected "
            "one shape for all prompts."
        )
    if padded:
        return Contrast(neutral, emotional - neutral, None)
    before, after = neutral[its_tokens], emotional[her_tokens]
    words = appended(before, after, most) if most else None
    return Contrast(neutral, (after.mean(0) - before.mean(0)).unsqueeze(0), words)


def appended(neutral: Tensor, emotional: Tensor, most: int = MOST_ADDED) -> Tensor | None:
    """The features of the words that a mood appends to a prompt.

    Args:
        neutral: Of the neutral prompt's tokens, [n, D].
        emotional: Of the emotional prompt's, [m, D].
        most: The most that are taken.

    Returns:
        [W, D]; None unless the emotional prompt begins with the neutral one's features, as it does where a causal
        encoder reads the same words and more.
    """
    known = len(neutral)
    if len(emotional) <= known or (emotional[:known] - neutral).norm() > SAME * neutral.norm():
        return None
    return emotional[known : known + most]


def room_for(lengths: Sequence[int], pairs: int, most: int = MOST_ADDED) -> int:
    """M: as many tokens as hold nearly all appended words; 0 where few moods append any.

    Args:
        lengths: Of the appended words, of the pairs that have such.
        pairs: All of them.
        most: The largest M.
    """
    if len(lengths) <= APPENDING * pairs:
        return 0
    return min(sorted(lengths)[math.ceil(HELD * len(lengths)) - 1], most)


def filled(words: Tensor, count: int) -> Tensor:
    """Appended words [W, D] as what M tokens are to become, [M, D]: cut off, or the last one repeated."""
    return torch.cat([words[:count], words[-1:].expand(max(count - len(words), 0), -1)])


def collate(contrasts: Sequence[Contrast], head: int, tail: int, padded: bool, count: int, share: float) -> Lesson:
    """Makes a batch.

    Args:
        contrasts: Of one encoder, on one device.
        head: Its tokens before a prompt.
        tail: Those after it.
        padded: Whether it pads.
        count: M.
        share: Of the change, for the prompt's own tokens.
    """
    if padded:
        neutral = torch.stack([one.neutral for one in contrasts]).float()
        change = torch.stack([one.change for one in contrasts]).float()
        return Lesson(neutral, neutral + share * change, None, prompt_tokens(neutral, None, head, 0))
    # shorter prompts are filled up on the right, and masked there; then every one gets its room
    neutral = torch.nn.utils.rnn.pad_sequence([one.neutral.float() for one in contrasts], batch_first=True)
    lengths = torch.tensor([len(one.neutral) for one in contrasts], device=neutral.device)
    mask = torch.arange(neutral.shape[1], device=neutral.device) < lengths.unsqueeze(1)
    neutral, mask = make_room(neutral, mask, count, tail)
    learned = prompt_tokens(neutral, mask, head, tail)
    change = torch.stack([one.change for one in contrasts]).float()  # [B, 1, D]
    emotional = neutral + share * change * learned.unsqueeze(-1)
    if count:
        # the tokens of the room become the appended words; without such there is nothing for them to learn
        number = room_numbers(neutral, mask, count, tail)
        zeros = neutral.new_zeros(count, neutral.shape[2])
        words = torch.stack([zeros if one.words is None else filled(one.words.float(), count) for one in contrasts])
        index = (number - 1).clamp(min=0).unsqueeze(-1).expand(-1, -1, neutral.shape[2])
        has_words = torch.tensor([one.words is not None for one in contrasts], device=neutral.device)
        emotional = torch.where((number > 0).unsqueeze(-1), words.gather(1, index), emotional)
        learned = torch.where(number > 0, has_words.unsqueeze(1), learned)
    return Lesson(neutral, emotional, mask, learned)


class ContrastFile:
    """Contrasts on disk, in bfloat16: what does not fit in memory is read again batch by batch.

    Attributes:
        nbytes: What is written.
        longest: The most tokens of a neutral prompt.
    """

    def __init__(self, file: BinaryIO):
        """
        Args:
            file: Open for writing and reading; this object owns it.
        """
        self._file, self.nbytes, self.longest = file, 0, 0
        self._places: list[list[tuple[int, int, int] | None]] = []  # of each tensor: where it begins, its shape

    def __len__(self) -> int:
        return len(self._places)

    def append(self, one: Contrast) -> None:
        """Writes a contrast.

        Raises:
            OSError: The disk is full; what was written before stays.
        """
        end, places = self.nbytes, []
        for tensor in one:
            places.append(None if tensor is None else (end, *tensor.shape))
            if tensor is not None:
                self._file.seek(end)
                self._file.write(tensor.to(torch.bfloat16).cpu().contiguous().view(torch.int16).numpy().tobytes())
                end += 2 * tensor.numel()
        self._file.flush()
        self._places.append(places)
        self.nbytes, self.longest = end, max(self.longest, len(one.neutral))

    def __getitem__(self, row: int) -> Contrast:
        """Reads a contrast: bfloat16, on the CPU."""
        return Contrast(*(None if place is None else self._read(*place) for place in self._places[row]))

    def _read(self, start: int, tokens: int, width: int) -> Tensor:
        self._file.seek(start)
        content = bytearray(self._file.read(2 * tokens * width))
        return torch.frombuffer(content, dtype=torch.bfloat16).view(tokens, width)

    def close(self) -> None:
        self._file.close()
