"""What the commands of trainer.prepare share: their parser, types of options, and what they say of tables."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from trainer.core.rows import LISTED
from trainer.data.pairs import PairTable, Scale


def scale(text: str) -> Scale:
    try:
        return Scale.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, got {text}")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value


def seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or a positive integer, got {text}")
    return value


def parser_of(command: str, text: str) -> argparse.ArgumentParser:
    """A parser whose help says `text` as it stands."""
    name = f"python -m trainer.prepare {command}".strip()
    return argparse.ArgumentParser(
        name, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def say_skipped(skipped: list[str]) -> None:
    """Prints what was left out, the first of it in full."""
    if skipped:
        print(f"{len(skipped)} problems, the rows are left out:")
        for text in skipped[:LISTED]:
            print(f"  {text}")
        if len(skipped) > LISTED:
            print(f"  ... and {len(skipped) - LISTED} more")


def summarise(table: PairTable, path: Path) -> None:
    """Prints how many pairs a file has, and how they are spread."""
    train, validation = (len(table.indexes(split)) for split in ("train", "validation"))
    distinct = len(set(table.neutral)), len(set(table.emotional))
    print(f"{path}: {len(table):,} pairs ({train:,} to train, {validation:,} to validate)")
    print(f"  {distinct[0]:,} distinct neutral prompts, {distinct[1]:,} emotional ones")
    for name in ("valence", "arousal"):
        column = getattr(table, name).astype(np.float64)
        low, middle, high = np.min(column), np.mean(column), np.max(column)
        print(
            f"  {name} {low:+.2f} to {high:+.2f}, mean {middle:+.2f}, standard deviation {column.std():.2f}"
        )
    sources = ", ".join(f"{name} {count:,}" for name, count in Counter(table.source).most_common(8))
    print(f"  sources: {sources}")
