"""Measured figures as a table in a document, between two marks, so that the text around it stays."""

import math
import statistics
from pathlib import Path

from emoticrafter.files import write_atomically

BEGIN, END = "<!-- {name}: begin -->", "<!-- {name}: end -->"
COLUMNS = {
    "V tau": "valence tau-c",
    "A tau": "arousal tau-c",
    "V tau-b": "valence tau-b",
    "A tau-b": "arousal tau-b",
    "V slope": "valence slope",
    "A slope": "arousal slope",
    "V-Error": "valence error",
    "A-Error": "arousal error",
    "subject": "subject right",
    "V jump": "valence jump",
    "A jump": "arousal jump",
    "V dist.": "valence distance",
    "A dist.": "arousal distance",
}


def table(rows: dict[str, dict[str, float]]) -> str:
    """Rows by name to Markdown; `name-0`, `name-1` … are one row of means with their standard deviation.

    A dash stands where a row has no such figure.
    """
    groups: dict[str, list[dict[str, float]]] = {}
    for name, found in rows.items():
        stem, _, last = name.rpartition("-")
        groups.setdefault(stem if stem and last.isdigit() else name, []).append(found)
    lines = ["| | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for name, found in groups.items():
        seeds = f" ({len(found)} seeds)" if len(found) > 1 else ""
        cells = [_cell(key, [one.get(key, math.nan) for one in found]) for key in COLUMNS.values()]
        lines.append(f"| {name}{seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(key: str, values: list[float]) -> str:
    if any(math.isnan(value) for value in values):
        return "–"
    factor, places, unit = (100, 1, " %") if key == "subject right" else (1, 2, "")
    spread = f" ± {factor * statistics.stdev(values):.{places}f}" if len(values) > 1 else ""
    return f"{factor * statistics.mean(values):.{places}f}{spread}{unit}"


def write_table(path: Path, text: str, name: str = "measured") -> None:
    """Puts text between the marks of this name in a document; without them it comes at the document's end."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before = path.read_text(encoding="utf-8") if path.exists() else "# The miniature, measured\n\n"
    start, marked, rest = before.partition(begin)
    after = rest.partition(end)[2] if marked else "\n"
    whole = f"{start.rstrip()}\n\n{begin}\n\n{text}\n\n{end}{after}"
    write_atomically(path, lambda temporary: temporary.write_text(whole, encoding="utf-8"))
