"""What the pairs of a store teach where its encoder is known: which tokens learn, and what of prompts of other lengths.

An encoder that pads: each position learns its own difference, as in the paper. Others, see `emoticrafter.fit.contrast`:
the prompt's own tokens learn the change of their mean, and added ones the words that a mood appends.

Shapes: B pairs, T tokens, D feature width.
"""

import numpy as np
import torch

from emoticrafter.encoders import prompt_tokens, room_numbers
from emoticrafter.fit.contrast import Lesson, collate, contrast, room_for
from trainer.features.store import FeatureStore

OWN_SHARE = 0.6
"""Of the change of their mean, for the prompt's own tokens beside added ones: validation looks at what they learned."""
TRIED = 64
"""Pairs that tell whether moods append words, and how many: with an encoder that reads both ways, none do."""


class Lessons:
    """Gives the lessons of rows of the table.

    Attributes:
        added_tokens: M, 0 where prompts are padded, or few moods append words.
    """

    def __init__(self, store: FeatureStore, rows, most_added: int, scale: float):
        """
        Args:
            store: With facts of its encoder.
            rows: Of the table, to train on, int64 [N].
            most_added: The largest M.
            scale: s of equation 9. It stretches a change; appended words are learned as they are.
        """
        self.store, self.facts, self.scale = store, store.facts, scale
        self._most_added = 0 if self.facts.padded else most_added
        self.added_tokens = self._room(rows) if self._most_added else 0

    def __call__(self, indexes) -> Lesson:
        """The lesson of rows of the table (B integers), on the processor.

        Raises:
            ValueError: A prompt has no tokens of its own.
        """
        ends = self.facts.head, self.facts.tail
        if self.facts.padded:
            neutral, learned = self._read(self.store.neutral_rows, indexes)
            return Lesson(neutral, self.store.emotional(indexes), None, learned)
        share = OWN_SHARE if self.added_tokens else 1.0
        lesson = collate(self._contrasts(indexes), *ends, False, self.added_tokens, share)
        if not self.added_tokens:
            return lesson
        number = room_numbers(lesson.neutral, lesson.mask, self.added_tokens, self.facts.tail).unsqueeze(-1)
        unscaled = lesson.neutral + (lesson.emotional - lesson.neutral) / self.scale
        return lesson._replace(emotional=torch.where(number > 0, unscaled, lesson.emotional))

    def _room(self, rows) -> int:
        # at random: tables are often sorted by mood or by source, or repeat the same moods scene by scene
        chosen = np.random.default_rng(0).choice(len(rows), min(len(rows), TRIED), replace=False)
        tried = self._contrasts(np.asarray(rows)[chosen])
        lengths = [len(one.words) for one in tried if one.words is not None]
        return room_for(lengths, len(tried), self._most_added)

    def _contrasts(self, indexes) -> list:
        """What each pair teaches, a list of B."""
        (neutral, its), (emotional, her) = (
            self._read(rows, indexes) for rows in (self.store.neutral_rows, self.store.emotional_rows)
        )
        for row, some in zip(indexes, its.any(1) & her.any(1), strict=True):
            if not some:
                raise ValueError(
                    f"A prompt of row {int(row)} of the table has no tokens of its own: leave the row out."
                )
        # a text fills its tensor as far as its mask goes
        lengths = (self.store.lengths[rows[indexes]] for rows in (self.store.neutral_rows, self.store.emotional_rows))
        return [
            contrast(one[:n], own[:n], other[:m], others[:m], False, self._most_added)
            for one, own, other, others, n, m in zip(neutral, its, emotional, her, *lengths, strict=True)
        ]

    def _read(self, rows: torch.Tensor, indexes) -> tuple[torch.Tensor, torch.Tensor]:
        """The features [B, T, D] of prompts, and which tokens carry them, [B, T]."""
        some = rows[torch.as_tensor(indexes, dtype=torch.int64)]
        features, tail = self.store.features(some).float(), 0 if self.facts.padded else self.facts.tail
        return features, prompt_tokens(features, self.store.mask(some), self.facts.head, tail)
