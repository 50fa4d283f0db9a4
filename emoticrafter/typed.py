"""Reads what people type: numbers and lists, as keyboards of several languages write them.

A number is read as the person meant it, or refused with the sign that leaves this open: nothing is guessed.
"""

import math
import re
import unicodedata

from .quoting import quoted

LONGEST_NUMBER = 400  # characters, so that no text takes long to read
HYPHENS = "−‐‑‒–—﹣"  # what keyboards and word processors put in the place of a minus, the real one first
FULL_WIDTH = {chr(sign + 0xFEE0): chr(sign) for sign in range(ord("!"), ord("~") + 1) if chr(sign) != ","}
SIGNS = str.maketrans(dict.fromkeys(HYPHENS, "-") | FULL_WIDTH | {"٫": "."})  # the last: Arabic's decimal point
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
WHOLE = re.compile(r"[-+]?[0-9]+")
DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+([eE][-+]?[0-9]+)?")
THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2},[0-9]{3}")
GROUPED = re.compile(r"[-+]?\d{1,3}(,\d{3})+")
LEADING_ZERO = re.compile(r"[-+]?0\d+")
NUMERIC = re.compile(r"[-+.,]*([0-9]|(nan|inf|infinity)\b)", re.IGNORECASE)
GROUPING = {",": "comma", "٬": "thousands separator", "'": "apostrophe", "’": "apostrophe"}

SEPARATOR = r"[,，﹐︐、､﹑︑،⹁፣᠂꓾・･／•;；﹔︔\u037e؛፤|｜¦。｡।۔\n\r\t\v\f\x85\u2028\u2029\u3000]"
NOT_A_COMMA = SEPARATOR.replace(",", "", 1)
APART = re.compile(rf"\s*{SEPARATOR}\s*|\s+")
BRACKETED = re.compile(r"[(\[{（［｛【](.*)[)\]}）］｝】]", re.DOTALL)
BULLET = re.compile(r"(?:[-*–—·‣◦▪]|[0-9]{1,2}[.)])\s+")
QUOTES = ('""', "''", "“”", "„“", "„”", "‘’", "«»", "»«", "「」", "『』", "‹›")
APART_BUT_FOR_DECIMALS = re.compile(rf"\s*(?:(?<!\d),|,(?!\d)|{NOT_A_COMMA})\s*|\s+")


# ---- numbers ---------------------------------------------------------------------------------------


def read_number(text: str, most: float = math.inf) -> float:
    """A finite number, with digits of any script.

    Takes a typographic or full-width minus, a decimal comma ("1,5") and an exponent.

    Args:
        text: The number.
        most: How large it may be, which decides how a comma is meant; the number itself is not compared.

    Raises:
        ValueError: Not finite, not a number, or open to two readings: without `most`, "1,500" may be 1.5 or 1500. Says
            what was expected and names the sign that stands in the way.
    """
    plain = _plain(text)
    if DECIMAL_COMMA.fullmatch(plain) and (most < 1000 or not THOUSANDS.fullmatch(plain)):
        plain = plain.replace(",", ".")
    if not NUMBER.fullmatch(plain):
        finite = "finite " if NUMERIC.match(plain) and not re.search("[0-9]", plain) else ""
        raise ValueError(f"expected a {finite}number such as -1.5, got {quoted(text)}{_obstacle(plain)}")
    if not math.isfinite(value := float(plain)):
        raise ValueError(f"expected a finite number such as -1.5, got {quoted(text)}")
    return value


def read_whole(text: str) -> int:
    """A whole number, with digits and signs as `read_number` takes them.

    Raises:
        ValueError: Anything else, also "1.0", "1e3" and "1,000".
    """
    plain = _plain(text)
    if not WHOLE.fullmatch(plain):
        raise ValueError(f"expected a whole number such as 12, got {quoted(text)}{_obstacle(plain)}")
    return int(plain)


def looks_numeric(text: str) -> bool:
    """Whether a text begins like a number, so that an error should speak of numbers."""
    return bool(NUMERIC.match(_plain(text)))


def _plain(text: str) -> str:
    """A number's text in ASCII, as far as its signs have one; empty where it is too long for one."""
    if len(text) > LONGEST_NUMBER:
        return ""
    return "".join(_digit(sign) for sign in text.translate(SIGNS) if sign not in INVISIBLE).strip()


def _digit(sign: str) -> str:
    value = unicodedata.decimal(sign, None)  # none for superscripts and fractions
    return sign if value is None else str(value)


def _obstacle(plain: str) -> str:
    """The sign that keeps a text with digits from being a number."""
    if all(unicodedata.numeric(sign, None) is None for sign in plain):
        return ""
    if grouping := next((name for sign, name in GROUPING.items() if sign in plain), ""):
        return f": the {grouping} may separate thousands or decimals; write 1500 or 1.5"
    strange = next((sign for sign in plain if sign not in "+-.0123456789eE"), "")
    if not strange:
        return ""
    name = "" if strange.isascii() else f" ({unicodedata.name(strange, 'without a name')})"
    return f": it holds {strange!r}{name}"


# ---- lists -----------------------------------------------------------------------------------------


def read_words(text: str) -> list[str]:
    """The parts of a list, without blanks, bullets and quotation marks around them, and the full stop at its end.

    Commas, semicolons and their like of Latin, Chinese, Japanese and Arabic script separate, and so do bars, line
    breaks, tabs and full-width blanks; other blanks do not.
    """
    return [part for part in map(_bare, re.split(SEPARATOR, text.rstrip().rstrip("."))) if part]


def _bare(word: str) -> str:
    word = " ".join(word.strip(INVISIBLE).split())
    word = word[bullet.end() :] if (bullet := BULLET.match(word)) else word
    return word[1:-1].strip() if len(word) > 1 and word[0] + word[-1] in QUOTES else word


def read_numbers(text: str, count: int | None = None) -> list[float]:
    """The numbers of a list, separated as words are, or by blanks.

    A comma between digits separates ("-3,0,3") unless the count needs it as a decimal comma ("-1,5 2" for two
    numbers) or semicolons separate ("-3;-1,5;0").

    Args:
        text: The list.
        count: How many numbers there must be.

    Raises:
        ValueError: Something is not a number, the count is another, or a comma can be read in two ways.
    """
    every, decimal = _parts(APART, text), _parts(APART_BUT_FOR_DECIMALS, text)
    if count is not None:
        decimals = len(decimal) == count != len(every)
    elif len(every) == len(decimal) or len(decimal) == 1 or re.search(r"(?<!\d),|,(?!\d)", text):
        decimals = False
    elif not (decimals := bool(re.search(NOT_A_COMMA, text))):
        raise ValueError(f"expected numbers, got {quoted(text)}: a comma may separate numbers or decimals; write 1.5")
    parts = decimal if decimals else every
    if any(LEADING_ZERO.fullmatch(part) for part in parts):  # a point instead of numbers: "1,000"
        raise ValueError(f"expected numbers, got {quoted(text)}: a comma may separate numbers or decimals; write 1.5")
    if count not in (None, len(parts)):
        raise ValueError(f"expected {count} numbers, got {len(parts)} in {quoted(text)}")
    return [read_number(part) for part in parts]


def read_ranges(text: str, signs: str) -> list[tuple[float, float]]:
    """The ranges of a list, such as "1..9" or "-3..3,0..6"; a comma is a decimal one where it must be.

    Args:
        text: The list.
        signs: What stands between lowest and highest, a regular expression.

    Raises:
        ValueError: Something is not a range from lower to higher.
    """
    for separator in (APART_BUT_FOR_DECIMALS, APART):
        parts = [re.split(rf"\s*(?:{signs})\s*", part) for part in _parts(separator, text)]
        if all(len(part) == 2 for part in parts):
            break
    ranges = [tuple(map(read_number, part)) for part in parts]
    if any(len(part) != 2 or not part[0] < part[1] for part in ranges):
        raise ValueError(f"expected a range from lower to higher, got {quoted(text)}")
    return ranges


def read_wholes(text: str) -> list[int]:
    """The whole numbers of a list, separated as `read_numbers` has it.

    Raises:
        ValueError: Something is not a whole number, or commas may separate thousands ("1,000").
    """
    if GROUPED.fullmatch(text.strip()):
        raise ValueError(f"expected whole numbers, got {quoted(text)}: a comma may separate numbers or thousands")
    return [read_whole(part) for part in _parts(APART, text)]


def _parts(separator: re.Pattern, text: str) -> list[str]:
    """The parts between separators, without brackets round them all; a separator at the end ends nothing."""
    text = text.strip()
    parts = separator.split(bracketed[1].strip() if (bracketed := BRACKETED.fullmatch(text)) else text)
    return parts[:-1] if len(parts) > 1 and not parts[-1] else parts
