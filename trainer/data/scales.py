"""The scales that valence and arousal are rated on, and which one a file's ratings look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoticrafter.quoting import quoted
from emoticrafter.typed import read_ranges
from trainer.core.rows import DataError, number_of, number_value

Range = tuple[float, float]
"""The lowest and the highest rating."""

# Where ratings come from and the scale they were given on: (valence, arousal).
SCALES = {
    "emoticrafter": ((-3, 3), (-3, 3)),
    "findingemo": ((-3, 3), (0, 6)),
    "oasis": ((1, 7), (1, 7)),
    "emotic": ((1, 10), (1, 10)),
    "emobank": ((1, 5), (1, 5)),
    "nrc-vad-1": ((0, 1), (0, 1)),
    "nrc-vad-2": ((-1, 1), (-1, 1)),
    "warriner": ((1, 9), (1, 9)),
}
# Ranges that people rate on, the likeliest first for ratings that fit several.
COMMON = ((0, 1), (-1, 1), (1, 5), (1, 7), (1, 9), (1, 10), (0, 6), (0, 10), (-5, 5), (-10, 10), (0, 100), (-100, 100))
LARGEST = 100
RANGE_SIGNS = r"\.\.\.?|[…‥〜～]|．．"


@dataclass(frozen=True)
class Scale:
    """The ranges that a file's valence and arousal are given in; both become [-3, 3]."""

    valence: Range = (-3.0, 3.0)
    arousal: Range = (-3.0, 3.0)

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Reads a source's name ("oasis"), one range for both ("1..9"), or two ("-3..3,0..6").

        Raises:
            ValueError: none of these.
        """
        if (name := text.strip().lower()) in SCALES:
            return cls(*SCALES[name])
        try:
            ranges = read_ranges(text, RANGE_SIGNS)
        except ValueError:
            ranges = []
        if len(ranges) not in (1, 2):
            raise ValueError(
                f"scale {quoted(text)}: expected LOW..HIGH such as 1..9, two of them for valence and arousal such as "
                f"-3..3,0..6, or one of {', '.join(SCALES)}"
            )
        return cls(ranges[0], ranges[-1])

    def to_valence(self, value: Any) -> float:
        return _rescale(value, *self.valence)

    def to_arousal(self, value: Any) -> float:
        return _rescale(value, *self.arousal)

    def __str__(self) -> str:
        """As `parse` reads it."""
        ranges = [f"{low:g}..{high:g}" for low, high in (self.valence, self.arousal)]
        return ",".join(dict.fromkeys(ranges))


OURS = Scale()


def _rescale(value: Any, low: float, high: float) -> float:
    number = number_value(value, low, high)
    # Exact when the file is on our scale already; clipped because rounding may overshoot by one bit.
    return max(-3.0, min(3.0, (number - (low + high) / 2) * 6 / (high - low)))


# ----------------------------------------------------------------------------------------------------
# Ratings that nobody said the scale of
# ----------------------------------------------------------------------------------------------------


def expect_ours(path: Path, valence: Sequence[Any], arousal: Sequence[Any]) -> Scale:
    """Our scale, for the ratings of a file that nobody gave a scale for, if they can be on it.

    Args:
        path: The file, for the message.
        valence, arousal: Its cells; those that are not numbers do not count.

    Raises:
        DataError: the ratings as a whole look like another scale; says which one may fit.
    """
    columns = [_numbers(cells) for cells in (valence, arousal)]
    if not all(columns) or not (within_one(*columns) or any(map(_runs_outside, columns))):
        return OURS
    spans = [(min(column), max(column)) for column in columns]
    told = " and ".join(
        f"{name} from {low:g} to {high:g}" for name, (low, high) in zip(("valence", "arousal"), spans, strict=True)
    )
    fitting = _fitting(*spans)
    guess = f"--scale={fitting} if that is what they were rated on" if fitting else "--scale=LOWEST..HIGHEST"
    raise DataError(
        f"{path}: the ratings run over {told}: expected ratings from -3 to 3. Say which scale they are on: {guess}, "
        f"or --scale={OURS} if they are right as they stand."
    )


def _numbers(cells: Sequence[Any]) -> list[float]:
    found = []
    for cell in cells:
        try:
            found.append(number_of(cell, LARGEST))
        except ValueError:
            continue
    return found


def within_one(valence: Sequence[float], arousal: Sequence[float]) -> bool:
    """Whether everything lies within 0..1 or -1..1, which ratings from -3 to 3 do by chance only if they are few."""
    every = [*valence, *arousal]
    low, high, fractions = min(every), max(every), any(value % 1 for value in every)
    return fractions and high <= 1 and (low >= 0 or (low >= -1 and len(every) >= 10))


def _runs_outside(column: Sequence[float]) -> bool:
    """Whether so many ratings lie outside -3..3 that they are no slips."""
    share = sum(abs(value) > 3 for value in column) / len(column)
    return share > (0.25 if min(column) >= 0 else 0.5)


def _fitting(valence: Range, arousal: Range) -> Scale | None:
    """A scale that people use and that holds the ratings; the same for both axes unless just one goes below zero."""
    spans = [valence, arousal]
    if (valence[0] < 0) == (arousal[0] < 0):
        low, high = min(low for low, _ in spans), max(high for _, high in spans)
        spans = [(low, high)] * 2
    ranges = [_range_of(*span) for span in spans]
    return None if None in ranges else Scale(*ranges)


def _range_of(low: float, high: float) -> Range | None:
    ours = [(-3, 3)] if low < 0 and (low < -1 or high > 1) else []
    return next((range for range in (*ours, *COMMON) if range[0] <= low and high <= range[1]), None)
