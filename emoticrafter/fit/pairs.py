"""Contrastive pairs of prompts, and their files: tables as `tables.read_rows` reads them.

Columns: neutral, emotional, valence and arousal, in any order; others are ignored. `python -m trainer.prepare`
converts other scales and says more about a file; this reader is what a node needs.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..quoting import quoted
from ..tables import DataError, Problems, match_columns, named_cells, number_value, parse_each, read_rows, text_value
from ..va import VA_MAX, VA_MIN

ALIASES = {
    "neutral": "neutral",
    "neutral_prompt": "neutral",
    "emotional": "emotional",
    "emotional_prompt": "emotional",
    "valence": "valence",
    "v": "valence",
    "arousal": "arousal",
    "a": "arousal",
}
"""A column's name in the file -> ours."""
SUFFIXES = (".csv", ".tsv", ".jsonl")
LONGEST_PROMPT = 4000
LARGEST_FILE = 16 << 20
MOST_PAIRS = 100_000
"""A field changes little after some thousands."""


class Pair(NamedTuple):
    """A neutral prompt, the same with a mood, and the mood's valence and arousal in [-3, 3]."""

    neutral: str
    emotional: str
    valence: float
    arousal: float


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read as pairs; says which rows and why.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name} has {path.stat().st_size >> 20} MB: expected at most {LARGEST_FILE >> 20}.")
    rows = read_rows(path)
    if len(rows) > MOST_PAIRS:
        raise DataError(f"{path} has {len(rows):,} rows: expected at most {MOST_PAIRS:,} pairs.")
    columns = match_columns(path, rows, READERS, ALIASES)
    problems = Problems(path)
    found = [parse_each(row, problems, READERS, named_cells(row, columns)) for row in rows]
    problems.refuse(f"Correct these rows; valence and arousal lie in [{VA_MIN:g}, {VA_MAX:g}].")
    pairs = [Pair(**values) for values in found]
    if all(pair.neutral == pair.emotional for pair in pairs):
        raise DataError(f"{path} has no pair whose emotional prompt differs from the neutral one: nothing to learn.")
    return pairs


def _prompt(value: object) -> str:
    text = " ".join(text_value(value).split())
    if len(text) > LONGEST_PROMPT:
        raise ValueError(f"is {quoted(text)}: expected at most {LONGEST_PROMPT:,} characters")
    return text


_rating = partial(number_value, low=VA_MIN, high=VA_MAX)
READERS = {"neutral": _prompt, "emotional": _prompt, "valence": _rating, "arousal": _rating}
