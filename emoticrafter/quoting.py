"""Quotes text from outside, so that an error, a log, a terminal or a menu can show it: printable, short, no markup."""

import logging
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_QUOTE = 80
LONGEST_MESSAGE = 4000
LARGEST_BITS = 1000
MOST_ITEMS = 8


def printable(text: str) -> str:
    """Spells out, as repr does, whatever could steer a terminal or cannot be written; line breaks and tabs stay.

    Half an emoji cannot be encoded, and logging it would end ComfyUI's queue. An escape character moves a terminal's
    cursor; a bidirectional override turns the rest of a line round.
    """
    if text.isprintable():
        return text
    return "".join(mark if mark in "\n\t" or _is_printable(mark) else ascii(mark)[1:-1] for mark in text)


def _is_printable(mark: str) -> bool:
    """Wide blanks and the joiners of Persian and of emoji are, too, whatever Python says."""
    return mark.isprintable() or mark in "\u200c\u200d" or unicodedata.category(mark) == "Zs"


def is_showable(name: str) -> bool:
    """Whether a list can offer a name as it is: ComfyUI's menus take their items for HTML."""
    return printable(name) == name and not set("<>\n\t") & set(name)


def shown(text: str, most: int = LONGEST_QUOTE) -> str:
    """Quotes a text in one line of at most `most` characters and three dots, without quotation marks.

    "<" is spelled out, too: menus of ComfyUI's interface take their items for HTML.
    """
    line = printable(text[:most]).replace("\n", r"\n").replace("\t", r"\t").replace("<", r"\x3c")
    return line if len(text) <= most else f"{line}..."


def quoted(value: object) -> str:
    """Quotes a value of any type: text in quotation marks, a short list with its items, else its type.

    Never the repr of what is nested or long, which can take minutes.
    """
    if isinstance(value, str):
        text = value if len(value) <= LONGEST_QUOTE else f"{value[:LONGEST_QUOTE]}..."
        return repr(text).replace("<", r"\x3c")
    if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
        return "a huge number"
    if isinstance(value, bool | int | float | None):
        return repr(value)
    if isinstance(value, list | tuple) and len(value) <= MOST_ITEMS:
        return f"[{', '.join(type(item).__name__ if _nests(item) else quoted(item) for item in value)}]"
    kind = type(value).__name__
    return f"a {kind} of {len(value):,}" if _nests(value) else f"a {shown(kind)}"


def _nests(value: object) -> bool:
    return isinstance(value, list | tuple | dict | set)


def shorten(text: str, most: int = LONGEST_MESSAGE) -> str:
    """A whole message, printable, of at most `most` characters and three dots; its line breaks stay."""
    return printable(text) if len(text) <= most else f"{printable(text[:most])}..."


@contextmanager
def printable_errors() -> Iterator[None]:
    """Makes the texts of whatever is raised inside printable and short, and those of its causes: all are logged."""
    try:
        yield
    except Exception as error:
        _clean(error)
        raise


def _clean(error: BaseException) -> None:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = tuple(shorten(part) if isinstance(part, str) else part for part in error.args)
        error = error.__cause__ or error.__context__


class PrintableFilter(logging.Filter):
    """Makes every message of a logger printable and short."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = shorten(record.getMessage()), ()
        return True


logging.getLogger("emoticrafter").addFilter(PrintableFilter())
