"""Contrastive pairs of prompts, and their files: CSV (comma, semicolon or tab) or JSON lines.

Columns: neutral, emotional, valence and arousal, in any order; others are ignored. `python -m trainer.prepare`
reads more kinds of file and says more about them; this reader is what a node needs.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..quoting import quoted
from ..typed import read_number
from ..va import VA_MAX, VA_MIN

COLUMNS = {
    "neutral": ("neutral", "neutral_prompt"),
    "emotional": ("emotional", "emotional_prompt"),
    "valence": ("valence", "v"),
    "arousal": ("arousal", "a"),
}
SUFFIXES = (".csv", ".tsv", ".jsonl")
LONGEST_PROMPT = 4000
LARGEST_FILE = 64 << 20
MOST_PROBLEMS = 5


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
        ValueError: It cannot be read as pairs; says which lines and why.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name} has {path.stat().st_size >> 20} MB: expected at most {LARGEST_FILE >> 20}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start}): save it so.") from None
    rows = _json_rows(text) if path.suffix.lower() == ".jsonl" else _csv_rows(text)
    pairs, problems = [], []
    for line, row in rows:
        try:
            pairs.append(_pair(row))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        more = f" and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise ValueError(f"{path.name} has lines that are not pairs: {'; '.join(problems[:MOST_PROBLEMS])}{more}.")
    if not pairs:
        raise ValueError(f"{path.name} holds no pairs: expected a line for each, with {', '.join(COLUMNS)}.")
    return pairs


def _csv_rows(text: str) -> Iterator[tuple[int, dict]]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        yield reader.line_num, {"": f"it cannot be read as CSV ({error})"}


def _json_rows(text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _pair(row: object) -> Pair:
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    named = {str(name).strip().lower(): value for name, value in row.items()}
    values = [_cell(named, name) for name in COLUMNS]
    return Pair(*(_text(*value) for value in values[:2]), *(_number(*value) for value in values[2:]))


def _cell(row: dict, name: str) -> tuple[str, object]:
    for alias in COLUMNS[name]:
        if row.get(alias) not in (None, ""):
            return name, row[alias]
    raise ValueError(f"it has no {name}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_PROMPT:
        raise ValueError(f"{name} is {quoted(value)}: expected a text of 1 to {LONGEST_PROMPT} characters")
    return " ".join(value.split())


def _number(name: str, value: object) -> float:
    number = read_number(value, VA_MAX) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not VA_MIN <= number <= VA_MAX:
        raise ValueError(f"{name} is {quoted(value)}: expected a number from {VA_MIN:g} to {VA_MAX:g}")
    return float(number)
