"""Rows of tables, as the library reads them, and files of rows that are written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from emoticrafter.files import write_atomically
from emoticrafter.tables import (
    LISTED,
    DataError,
    Problems,
    Row,
    listed,
    match_columns,
    named_cells,
    number_of,
    number_value,
    parse_each,
    read_lines,
    read_rows,
    read_text,
    text_value,
)

__all__ = [
    "LISTED",
    "DataError",
    "Problems",
    "Row",
    "listed",
    "match_columns",
    "named_cells",
    "number_of",
    "number_value",
    "parse_each",
    "read_lines",
    "read_rows",
    "read_text",
    "refuse_options",
    "replacing",
    "text_value",
    "write_jsonl",
]

# A prompt can be long, but a missing quote can swallow a whole file: stop far above the one, below the other.
csv.field_size_limit(1_000_000)


def refuse_options(problems: Sequence[str], head: str = "These options cannot be used:") -> None:
    """Raises DataError with everything that is wrong with options, if anything is."""
    if problems:
        raise DataError("\n".join([head, *(f"  {text}" for text in problems)]))


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
