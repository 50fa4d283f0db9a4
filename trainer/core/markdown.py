"""Tables in Markdown, and documents that get them between two marks."""

import re
from collections.abc import Sequence
from pathlib import Path

from emoticrafter.files import write_text
from emoticrafter.quoting import printable

BEGIN, END = "<!-- {name}: begin -->", "<!-- {name}: end -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None, padded: bool = False) -> str:
    """A table: names to the left, numbers to the right.

    Args:
        head: The columns' names.
        rows: Cells, a row each; names in them cannot be markup.
        align: "l" or "r" for each column; by default the first is left and the others are right.
        padded: Whether cells are filled up with blanks, so that columns stand below each other in a terminal.
    """
    align = align or "l" + "r" * (len(head) - 1)
    lines = [[_plain(cell) for cell in line] for line in (head, *rows)]
    widths = [max(4, *map(len, column)) if padded else 0 for column in zip(*lines, strict=True)]
    rules = [
        "-" * max(3, width - (side == "r")) + ":" * (side == "r") for side, width in zip(align, widths, strict=True)
    ]

    def filled(line: list[str]) -> str:
        sides = zip(line, align, widths, strict=True)
        return " | ".join(cell.ljust(width) if side == "l" else cell.rjust(width) for cell, side, width in sides)

    return "\n".join(f"| {filled(line)} |" for line in (lines[0], rules, *lines[1:]))


def _plain(cell: str) -> str:
    """A cell on one line, without HTML and links."""
    line = printable(" ".join(cell.split()))
    line = re.sub("<(?! )", "&lt;", line)  # "p < 0.001" is not markup
    return line.replace("|", r"\|").replace("](", r"]\(")


def put_between_marks(path: Path, text: str, name: str, title: str = "") -> None:
    """Puts text between the marks of this name in a document; without them it comes at the document's end.

    Args:
        path: The document; written if it does not exist.
        text: Markdown.
        name: Of the marks.
        title: First line of a new document.
    """
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before = path.read_text(encoding="utf-8") if path.exists() else f"{title}\n\n"
    start, marked, rest = before.partition(begin)
    after = rest.partition(end)[2] if marked else "\n"
    whole = f"{start.rstrip()}\n\n{begin}\n\n{text}\n\n{end}{after}"
    write_text(path, whole)
