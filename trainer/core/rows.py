"""Rows of CSV and JSONL files, each with its place in the file, and files that are written whole or not at all.

Every reader of the trainer uses these, so that a broken file is described in the same words everywhere: which row,
which line, what was expected and what was found.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from emoticrafter.files import write_atomically

LISTED = 20  # problems or columns spelled out in one message; the rest are counted
CANDIDATES = 1000  # columns searched for one with a similar name

# A prompt can be long, but a missing quote can swallow a whole file: stop far above the one, below the other.
csv.field_size_limit(1_000_000)


class DataError(ValueError):
    """A data file that cannot be used as it is; the message says where, why and what to do."""


def listed(problems: Sequence[str]) -> str:
    """A line for each problem, the first of them in full and the rest as a number."""
    more = [f"... and {len(problems) - LISTED:,} more"] if len(problems) > LISTED else []
    return "\n".join(f"  {text}" for text in (*problems[:LISTED], *more))


def refuse_options(problems: Sequence[str], head: str = "These options cannot be used:") -> None:
    """Raises DataError with everything that is wrong with options, if anything is."""
    if problems:
        raise DataError("\n".join([head, *(f"  {text}" for text in problems)]))


@dataclass
class Problems:
    """Everything wrong with a file, to be reported at once."""

    path: Path
    found: list[str] = field(default_factory=list)
    rows: set[int] = field(default_factory=set)

    def add(self, row: Row, text: str) -> None:
        self.rows.add(row.number)
        self.found.append(f"{row.place}: {text}")

    def advice(self) -> str:
        """What to do about rows of a user's file."""
        advice = "Correct these rows, or leave them out with --skip-bad."
        if any(", outside " in text for text in self.found):
            advice += " If the ratings are on another scale, say which: --scale=1..9, or a name such as --scale=oasis."
        return advice

    def refuse(self, advice: str = "") -> None:
        """Raises :class:`DataError` with every problem when there are any."""
        if self.found:
            count = "1 problem" if len(self.found) == 1 else f"{len(self.found)} problems"
            raise DataError(f"{self.path}: {count}\n{listed(self.found)}" + (f"\n{advice}" if advice else ""))


@dataclass(frozen=True)
class Row:
    """A record: its number (the first after the header is 1), the line it starts on, and its values."""

    number: int
    line: int
    values: Mapping[str, Any]

    @property
    def place(self) -> str:
        return f"row {self.number} (line {self.line})"


# ----------------------------------------------------------------------------------------------------
# Reading
# ----------------------------------------------------------------------------------------------------


def read_utf8(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        DataError: no such file, or bytes that are not UTF-8 (with their offset and line).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: this is UTF-16 text, expected UTF-8. Save it again as UTF-8 (CSV UTF-8 in Excel).")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # utf-8-sig counts from behind the mark.
        offset = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, offset) + 1
        raise DataError(
            f"{path}: byte 0x{data[offset]:02x} at offset {offset} (line {line}) is not valid UTF-8. "
            "Save the file again as UTF-8 (CSV UTF-8 in Excel)."
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}: line {line} holds a NUL byte: this is not a text file, or it is damaged.")
    return text


def read_rows(path: Path, delimiters: str = ",", suffix: str | None = None) -> list[Row]:
    """All rows of a ``.csv`` file (with a header) or a ``.jsonl`` file (one object a line).

    Args:
        path: The file.
        delimiters: What may separate CSV cells; the one that splits the header most often is taken.
        suffix: ".csv" or ".jsonl" where the file's own ending does not say.

    Raises:
        DataError: the file is not UTF-8 text, not CSV or JSONL, empty, or has rows of another length.
    """
    path = Path(path)
    suffix = suffix or path.suffix.lower()
    if suffix not in (".csv", ".jsonl"):
        raise DataError(f"{path}: expected a file ending in .csv or .jsonl, got {suffix or 'no ending'!r}.")
    text = read_utf8(path)
    rows = _csv_rows(path, text, delimiters) if suffix == ".csv" else _jsonl_rows(path, text)
    if not rows:
        raise DataError(f"{path}: the file has no rows.")
    return rows


def _csv_rows(path: Path, text: str, delimiters: str) -> list[Row]:
    first_line = text.partition("\n")[0]
    delimiter = max(delimiters, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    problems, rows, line = Problems(path), [], 1
    header: list[str] | None = None
    try:
        for cells in reader:
            started, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(path, cells)
                continue
            row = Row(len(rows) + len(problems.found) + 1, started, dict(zip(header, cells)))  # noqa: B905
            if len(cells) == len(header):
                rows.append(row)
            else:
                problems.add(row, f"{len(cells)} cells, but the header names {len(header)} columns")
    except csv.Error as error:
        raise DataError(
            f"{path}: the record that starts on line {line} is not valid CSV ({error}). "
            'Quotes inside a quoted cell are doubled (""), and every quote is closed.'
        ) from error
    problems.refuse("A cell with a comma or a line break in it must be quoted.")
    return rows


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{path}: the header names {twice[:LISTED]} more than once.")
    return names


def _jsonl_rows(path: Path, text: str) -> list[Row]:
    problems, rows = Problems(path), []
    # Not splitlines(): a JSON string may hold U+2028 and its like unescaped.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        row = Row(len(rows) + len(problems.found) + 1, line, {})
        try:
            values = json.loads(content)
        except (json.JSONDecodeError, RecursionError) as error:
            problems.add(row, f"not JSON: {error}")
            continue
        except ValueError:  # int() refuses thousands of digits
            problems.add(row, "holds a number with too many digits to be read")
            continue
        if isinstance(values, dict):
            rows.append(Row(row.number, line, values))
        else:
            problems.add(row, f"expected a JSON object, got {type(values).__name__}")
    problems.refuse("A JSONL file holds one JSON object on each line.")
    return rows


def match_columns(path: Path, rows: list[Row], required: Iterable[str], aliases: Mapping[str, str]) -> dict[str, str]:
    """Finds the file's column for each name we know.

    Args:
        path: For messages.
        rows: The file's rows; of their column names case does not matter, nor blank or underscore.
        required: Our names that must be there.
        aliases: A documented name of a column -> our name; the first one for each is named in errors.

    Returns:
        Our name -> the file's column.

    Raises:
        DataError: a required column is missing (naming the nearest one) or two columns claim one name.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row.values))
    found: dict[str, str] = {}
    for column in columns:
        name = aliases.get(column.strip().lower().replace(" ", "_"))
        if name and name in found:
            raise DataError(f"{path}: the columns {found[name]!r} and {column!r} both mean {name!r}. Remove one.")
        if name:
            found[name] = column
    missing = [name for name in required if name not in found]
    if missing:
        names = [[alias for alias, name in aliases.items() if name == wanted] for wanted in missing]
        raise DataError(_missing(path, names, columns, set(found.values())))
    return found


def _missing(path: Path, missing: list[list[str]], columns: list[str], used: set[str]) -> str:
    free = {column.lower(): column for column in columns if column.strip() and column not in used}
    candidates, lines = list(free)[:CANDIDATES], []
    for names in missing:
        near = [match for name in names for match in difflib.get_close_matches(name, candidates, n=1, cutoff=0.7)]
        near = near or [column for column in free if names[0] in column]
        lines.append(f"  no column {names[0]!r}" + (f"; did you mean {free[near[0]]!r}? Rename it." if near else ""))
    shown = ", ".join(columns[:LISTED]) or "none"
    more = f" and {len(columns) - LISTED} more" if len(columns) > LISTED else ""
    text = f"{path}: missing columns\n" + "\n".join(lines) + f"\nThe file has: {shown}{more}."
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        text += "\nIts cells seem to be separated by another character; expected commas."
    return text


# ----------------------------------------------------------------------------------------------------
# Values
# ----------------------------------------------------------------------------------------------------


def text_value(value: Any) -> str:
    """A text cell without blanks around it.

    Raises:
        ValueError: not text, empty, not encodable, or with a NUL in it.
    """
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {_shown(value)}")
    if not value.strip():
        raise ValueError("is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a surrogate pair, which is not valid text") from error
    if "\0" in value:
        raise ValueError("holds a NUL character, which is not valid text")
    return value.strip()


def number_value(value: Any, low: float, high: float) -> float:
    """A finite number in [low, high] from a JSON number or a cell.

    Raises:
        ValueError: not a number, not finite, or outside the range.
    """
    number = _number(value)
    if not math.isfinite(number):
        raise ValueError(f"is {_shown(value)}, expected a finite number")
    if not low <= number <= high:
        raise ValueError(f"is {number:g}, outside {low:g}..{high:g}")
    return number


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    # float() also takes "1_000", which no data file means.
    if isinstance(value, str) and "_" not in value:
        try:
            return float(value)
        except ValueError:
            pass
    hint = "; write decimals with a point" if isinstance(value, str) and "," in value else ""
    raise ValueError(f"is {_shown(value)}, expected a number{hint}")


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "missing"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


# ----------------------------------------------------------------------------------------------------
# Writing
# ----------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: Path, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Collects a text that becomes a file once it is complete.

    Raises:
        DataError: the disk is full or the folder cannot be written; what was there before is untouched.
    """
    stream = io.StringIO(newline="")
    yield stream
    try:
        write_atomically(Path(path), lambda temporary: temporary.write_bytes(stream.getvalue().encode(encoding)))
    except OSError as error:
        raise DataError(f"{path}: could not be written: {error.strerror}. Nothing was changed.") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON object a line, or leaves what was there."""
    with replacing(path) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def parse_each(
    row: Row, problems: Problems, readers: Mapping[str, Callable[[Any], Any]], cells: Mapping | None = None
) -> dict[str, Any] | None:
    """Reads a row's cells, or the given ones.

    Returns:
        Name -> value; None if a reader failed, which is noted as "<name> <why>".
    """
    cells, values, before = cells or row.values, {}, len(problems.found)
    for name, read in readers.items():
        try:
            values[name] = read(cells.get(name))
        except ValueError as error:
            problems.add(row, f"{name} {error}")
    return values if len(problems.found) == before else None
