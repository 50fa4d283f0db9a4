"""Tables: the rows of CSV and JSON files, each with its place in the file, and the values in them.

Every reader of tables uses these, so that a broken file is described in the same words everywhere: which row, which
line, what was expected and what was found.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import json
import math
import re
import unicodedata
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .files import regular
from .quoting import printable, quoted, shorten, shown
from .typed import read_number

LISTED = 20  # problems or columns spelled out in one message; the rest are counted
LONGEST_PROBLEM = 500
CANDIDATES = 1000  # columns searched for one with a similar name

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
DELIMITERS |= {"，": "a full-width comma", "；": "a full-width semicolon"}
SEPARATOR_LINE = re.compile(r'\s*"?sep=[^\r\n]*(\r\n|\r|\n)', re.IGNORECASE)
LINE_BREAK = re.compile(r"\r\n|\r|\n")
QUOTED = re.compile(r'("[^"]*(?:""[^"]*)*") +(?=[,;\t|\r\n]|$)|"[^"]*(?:""[^"]*)*"')  # 1: with blanks behind it
BETWEEN_WORDS = re.compile(r"[\s_.-]+")
BETWEEN_OBJECTS = re.compile(r"[\s,]*")
OTHER_KINDS = {
    b"PK\x03\x04": "a spreadsheet (.xlsx, .ods) or another zip archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of Excel 97 (.xls)",
    b"\x1f\x8b": "compressed with gzip",
    b"PAR1": "a Parquet file",
    b"{\\rtf": "a document (RTF)",
    b"%PDF": "a PDF",
}
"""What files begin with that are given in a table's place."""


class DataError(ValueError):
    """A data file that cannot be used as it is; the message says where, why and what to do."""

    def __init__(self, text: str):
        super().__init__(printable(text))  # it quotes the file


def listed(problems: Sequence[str]) -> str:
    """A line for each problem, the first of them in full and the rest as a number."""
    more = [f"... and {len(problems) - LISTED:,} more"] if len(problems) > LISTED else []
    return "\n".join(f"  {text}" for text in (*problems[:LISTED], *more))


@dataclass
class Problems:
    """Everything wrong with a file, to be reported at once."""

    path: Path
    found: list[str] = field(default_factory=list)
    rows: set[int] = field(default_factory=set)

    def add(self, row: Row, text: str) -> None:
        self.rows.add(row.number)
        self.found.append(f"{row.place}: {shorten(text, LONGEST_PROBLEM)}")

    def advice(self, scale: str = "") -> str:
        """What to do about rows of a user's file, whose ratings are on a scale that is known if it is told."""
        advice = "Correct these rows, or leave them out with --skip-bad."
        if any(", outside " in text for text in self.found):
            advice += scale or (
                " If the ratings are on another scale, say which: --scale=1..9, or a name such as --scale=oasis."
            )
        return advice

    def refuse(self, advice: str = "") -> None:
        """Raises :class:`DataError` with every problem when there are any."""
        if self.found:
            count = "1 problem" if len(self.found) == 1 else f"{len(self.found)} problems"
            raise DataError(f"{self.path}: {count}\n{listed(self.found)}" + (f"\n{advice}" if advice else ""))


@dataclass(frozen=True)
class Row:
    """A record: its number (the first after the header is 1), the line it starts on, its values, and its own name."""

    number: int
    line: int
    values: Mapping[str, Any]
    name: str = ""

    @property
    def place(self) -> str:
        return self.name or f"row {self.number} (line {self.line})"


# ----------------------------------------------------------------------------------------------------
# Reading
# ----------------------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, or of a UTF-16 one with a byte order mark (Excel's "Unicode Text"), without the mark.

    Raises:
        DataError: no such file, another kind of file, or bytes that are not UTF-8 (with their offset and line).
    """
    try:
        data = regular(Path(path)).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    for beginning, what in OTHER_KINDS.items():
        if data.startswith(beginning):
            raise DataError(f"{path}: this is {what}, expected text. Save it as text in UTF-8, a table as CSV UTF-8.")
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        text = data.decode(encoding).replace("\ufeff", "")  # files that were joined have marks inside
    except UnicodeDecodeError as error:
        line = len(LINE_BREAK.findall(data[: error.start].decode(encoding, "replace"))) + 1
        raise DataError(
            f"{path}: byte 0x{data[error.start]:02x} at offset {error.start} (line {line}) is not valid "
            f"{encoding.upper()}. Save the file again as UTF-8 (CSV UTF-8 in Excel)."
        ) from error
    if "\0" in text:
        line = len(LINE_BREAK.findall(text, 0, text.index("\0"))) + 1
        raise DataError(
            f"{path}: line {line} holds a NUL byte: this is not a text file, or it is damaged. Save it again as UTF-8."
        )
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without blanks around them; empty ones and those that begin with # are left out.

    Raises:
        DataError: see `read_text`.
    """
    # Not splitlines(): a line may hold U+2028 and its like.
    lines = (line.strip() for line in LINE_BREAK.split(read_text(path)))
    return [line for line in lines if line and not line.startswith("#")]


def read_rows(path: Path) -> list[Row]:
    """All rows of a table, whatever its file is called.

    A table is CSV with a header, separated by commas, semicolons, tabs or bars; JSON Lines, one object a line; or
    other JSON, an array of objects or one after the other. Its first characters tell which.

    Raises:
        DataError: the file is not text, not such a table, empty, or has rows of another length.
    """
    path = Path(path)
    text = read_text(path)
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<table")):
        raise DataError(f"{path}: this is a web page or XML, expected CSV or JSON Lines. Download the file itself.")
    if start.startswith("version https://git-lfs"):
        raise DataError(f"{path}: this is a pointer of Git LFS, not the file itself. Get it with: git lfs pull")
    if start.startswith(("[", "{\n", "{\r")):  # the latter as `jq` prints objects
        rows = _json_rows(path, text)
    else:
        rows = _jsonl_rows(path, text) if start.startswith("{") else _csv_rows(path, text)
    if not rows:
        raise DataError(f"{path}: the file has no rows.")
    return rows


def _csv_rows(path: Path, text: str) -> list[Row]:
    text = QUOTED.sub(lambda cell: cell[1] or cell[0], text)
    declared = SEPARATOR_LINE.match(text)  # Excel's own "sep=;"
    delimiter = _delimiter(text[declared.end() :] if declared else text)
    problems, rows = Problems(path), []
    header: list[str] | None = None
    for line, cells in _records(path, text, delimiter, 1 if declared else 0):
        if header is None:
            header = _header(path, cells)
            width = max(place for place, name in enumerate(header, start=1) if name)
            continue
        # A column without a name is not read: spreadsheets add empty ones, R numbers the rows in one.
        values = {name: cell for name, cell in zip(header, cells, strict=False) if name}
        row = Row(len(rows) + len(problems.found) + 1, line, values)
        if len(cells) >= width and not any(cell.strip() for cell in cells[len(header) :]):
            rows.append(row)
        else:
            problems.add(row, f"{_counted(len(cells), 'cell')}, but the header names {_counted(width, 'column')}")
    what = DELIMITERS[delimiter] + (" (a decimal comma, too)" if delimiter == "," else "")
    header = "" if rows or not header else f" The first line names the columns, here: {', '.join(header)[:100]}."
    problems.refuse(f"A cell with {what} or a line break in it must be quoted.{header}")
    return rows


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _records(path: Path, text: str, delimiter: str, skip: int) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV text that are not blank, each with the line it starts on, without the first `skip`."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    line = 1
    try:
        for number, cells in enumerate(reader):
            started, line = line, reader.line_num + 1
            if number >= skip and any(cell.strip() for cell in cells):
                yield started, cells
    except csv.Error as error:
        raise DataError(
            f"{path}: the record that starts on line {line} is not valid CSV ({error}). "
            'Quotes inside a quoted cell are doubled (""), and every quote is closed, right before a separator.'
        ) from error


def _delimiter(text: str) -> str:
    """What separates the cells of the first record that is not blank: the sign that makes most of them."""

    def cells(delimiter: str) -> int:
        try:
            _, record = next(_records(Path(), text, delimiter, 0), (0, []))
        except DataError:  # the sign does not go with the quotes
            return 0
        return sum(bool(cell.strip()) for cell in record)

    return max(DELIMITERS, key=cells)


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [_visible(cell) for cell in cells]
    twice = sorted(name for name, count in Counter(names).items() if name and count > 1)
    if twice:
        advice = "The first line names the columns: rename or remove one."
        raise DataError(f"{path}: the header names [{', '.join(map(quoted, twice[:LISTED]))}] more than once. {advice}")
    return names


def _visible(name: str) -> str:
    """A column's name without blanks around it and marks that nobody sees."""
    return "".join(sign for sign in name if unicodedata.category(sign) != "Cf").strip()


def _jsonl_rows(path: Path, text: str) -> list[Row]:
    problems, rows = Problems(path), []
    # Not splitlines(): a JSON string may hold U+2028 and its like unescaped.
    for line, content in enumerate(LINE_BREAK.split(text), start=1):
        if not content.strip():
            continue
        row = Row(len(rows) + len(problems.found) + 1, line, {})
        try:
            values, end = _object(content.strip(), 0)
            if content.strip()[end:].strip(" \t,"):  # a comma is left where a line was cut from an array
                raise ValueError("not JSON: there is more behind the object")
            rows.append(Row(row.number, line, values))
        except ValueError as error:
            problems.add(row, str(error))
    problems.refuse("A JSONL file holds one JSON object on each line.")
    return rows


def _json_rows(path: Path, text: str) -> list[Row]:
    """The objects of a JSON array or text, each with the line it starts on; a comma behind the last does not matter."""
    text = text.rstrip()
    rows, end = [], len(text) - len(text.lstrip().removeprefix("["))
    text = text if text.startswith("[", end - 1) else f"{text}]"
    breaks = [found.end() for found in LINE_BREAK.finditer(text)]
    while not text.startswith("]", start := BETWEEN_OBJECTS.match(text, end).end()):
        row = Row(len(rows) + 1, bisect(breaks, start) + 1, {})
        try:
            values, end = _object(text, start)
        except ValueError as error:
            raise DataError(
                f"{path}: {row.place}: {error}\nExpected JSON objects, one on each line or in an array."
            ) from error
        rows.append(replace(row, values=values))
    return rows


def _object(text: str, start: int) -> tuple[dict, int]:
    """The JSON object that starts there, and where it ends.

    Raises:
        ValueError: there is none; the text says why.
    """
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}, column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: it is nested too deeply") from error
    except ValueError as error:  # int() refuses thousands of digits
        raise ValueError("holds a number with too many digits to be read") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value, end


def match_columns(path: Path, rows: list[Row], required: Iterable[str], aliases: Mapping[str, str]) -> dict[str, str]:
    """Finds the file's column for each name we know.

    Args:
        path: For messages.
        rows: The file's rows; of their column names case does not matter, nor what stands between words.
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
        name = aliases.get(BETWEEN_WORDS.sub("_", column.strip().lower()))
        if name and name in found:
            raise DataError(
                f"{path}: the columns {quoted(found[name])} and {quoted(column)} both mean {name!r}. Remove one."
            )
        if name:
            found[name] = column
    missing = [name for name in required if name not in found]
    if missing:
        names = [[alias for alias, name in aliases.items() if name == wanted] for wanted in missing]
        raise DataError(_missing(path, names, columns, set(found.values())))
    return found


def named_cells(row: Row, columns: Mapping[str, str]) -> dict[str, Any]:
    """A row's cells by our names, from what `match_columns` found; None where the row lacks one."""
    return {name: row.values.get(column) for name, column in columns.items()}


def _missing(path: Path, missing: list[list[str]], columns: list[str], used: set[str]) -> str:
    free = {column.lower(): column for column in columns if column.strip() and column not in used}
    candidates, lines = list(free)[:CANDIDATES], []
    for names in missing:
        near = [match for name in names for match in difflib.get_close_matches(name, candidates, n=1, cutoff=0.7)]
        near = near or [column for column in free if [names] == [other for other in missing if other[0] in column]]
        lines.append(
            f"  no column {names[0]!r}" + (f"; did you mean {quoted(free[near[0]])}? Rename it." if near else "")
        )
    told = ", ".join(map(shown, columns[:LISTED])) or "none"
    more = f" and {len(columns) - LISTED} more" if len(columns) > LISTED else ""
    text = f"{path}: missing columns\n" + "\n".join(lines) + f"\nThe file has: {told}{more}."
    if used:
        return text
    if len(columns) == 1:
        text += " No comma, semicolon, tab or bar separates it."
    return f"{text}\nThe first line of CSV names the columns, the keys of every object those of JSON."


# ----------------------------------------------------------------------------------------------------
# Values
# ----------------------------------------------------------------------------------------------------


def text_value(value: Any) -> str:
    """A text cell without blanks around it.

    Raises:
        ValueError: not text, empty, not encodable, or with a NUL in it.
    """
    if value is None:
        raise ValueError("is missing")
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
    number = number_of(value, max(abs(low), abs(high)))
    if not low <= number <= high:
        raise ValueError(f"is {number:g}, outside {low:g}..{high:g}")
    return number


def number_of(value: Any, most: float = math.inf) -> float:
    """A finite number from a JSON number or a cell; see `read_number`.

    Raises:
        ValueError: not a number, or not finite.
    """
    if isinstance(value, str) and value.strip():
        return read_number(value, most)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"is {_shown(value)}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"is {_shown(value)}, expected a finite number")
    return number


def _shown(value: Any) -> str:
    return "missing" if value is None or (isinstance(value, str) and not value.strip()) else quoted(value)


def parse_each(
    row: Row, problems: Problems, readers: Mapping[str, Callable[[Any], Any]], cells: Mapping | None = None
) -> dict[str, Any] | None:
    """Reads a row's cells, or the given ones.

    Returns:
        Name -> value; None if a reader failed, which is noted as "<name> <why>".
    """
    cells, values, before = row.values if cells is None else cells, {}, len(problems.found)
    for name, read in readers.items():
        try:
            values[name] = read(cells.get(name))
        except ValueError as error:
            problems.add(row, f"{name} {error}")
    return values if len(problems.found) == before else None
