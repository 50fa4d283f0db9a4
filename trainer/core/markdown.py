"""Tables in Markdown, and documents that get them between two marks."""

from collections.abc import Sequence
from pathlib import Path

from emoticrafter.files import write_atomically

BEGIN, END = "<!-- {name}: begin -->", "<!-- {name}: end -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None) -> str:
    """A table: names to the left, numbers to the right.

    Args:
        head: The columns' names.
        rows: Cells, a row each.
        align: "l" or "r" for each column; by default the first is left and the others are right.
    """
    align = align or "l" + "r" * (len(head) - 1)
    rules = ["---" if side == "l" else "---:" for side in align]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rules, *rows])


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
    write_atomically(path, lambda temporary: temporary.write_text(whole, encoding="utf-8"))
