"""Blanks a key in what a server sends back, however it is spelled. Clean first, cut afterwards."""

import base64
import re
from collections.abc import Iterator

PLACEHOLDER = 3  # characters of a key that hides nothing ("x", "-"): blanking those would blank half of every word
PART = 8  # characters of a key in a row that give a part of it away
BLANK = "***"

# A character as JSON, an address, or HTML may spell it, once or twice; a backslash alone spells nothing.
SPELLED = re.compile(
    r"\\+(?:u00|x)(?P<json>[0-9a-f]{2})|%(?:25)*(?P<address>[0-9a-f]{2})"
    r"|&(?:amp;)*#x0*(?P<hex>[0-9a-f]{2});|&(?:amp;)*#0*(?P<html>[0-9]{2,3});|\\+",
    re.IGNORECASE,
)


class Secret:
    """A key, and its forms in base64."""

    def __init__(self, key: str):
        self._forms = list(_forms(key)) if len(key) > PLACEHOLDER else []

    def blanked(self, text: str, parts: bool = False) -> str:
        """The text without the key.

        Args:
            text: From the server.
            parts: Blanks parts of the key, too, and what may be its beginning at the text's end: for excerpts.
        """
        if not self._forms:
            return text
        plain, starts = _unspelled(text)
        done, pieces = 0, []
        for begin, end in _merged(self._found(plain, parts)):
            pieces += [text[done : starts[begin]], BLANK]
            done = starts[end]
        return "".join(pieces) + text[done:]

    def _found(self, plain: str, parts: bool) -> list[tuple[int, int]]:
        """Where the key stands: from, to."""
        found = []
        for form in self._forms:
            size = min(PART, len(form)) if parts else len(form)
            for piece in {form[at : at + size] for at in range(len(form) - size + 1)}:
                found += [(match, match + size) for match in _places(piece, plain)]
            cut = next((n for n in range(size - 1, PLACEHOLDER - 1, -1) if plain.endswith(form[:n])), 0)
            found += [(len(plain) - cut, len(plain))] if parts and cut else []
        return found


def _places(piece: str, text: str) -> Iterator[int]:
    at = text.find(piece)
    while at >= 0:
        yield at
        at = text.find(piece, at + 1)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in order, those that touch made one."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            begin, before = merged.pop()
            end = max(before, end)
        merged.append((begin, end))
    return merged


def _forms(key: str) -> Iterator[str]:
    """The key and its base64, which looks different at each of three places in what is encoded with it."""
    yield _unspelled(key)[0]
    for before in range(3):
        data = b"\0" * before + key.encode()
        coded = base64.b64encode(data).decode()[(0, 2, 3)[before] : len(data) * 8 // 6]
        yield from {coded, coded.replace("+", "-").replace("/", "_")}


def _unspelled(text: str) -> tuple[str, list[int] | range]:
    """The text with its characters unescaped, and where each of them begins; at the end, where the text ends."""
    plain, starts, done = [], [], 0
    for match in SPELLED.finditer(text):
        plain.append(text[done : match.start()])
        starts += range(done, match.start())
        done = match.end()
        if form := match.lastgroup:
            plain.append(chr(int(match[form], 10 if form == "html" else 16)))
            starts.append(match.start())
    rest = range(done, len(text) + 1)
    return "".join(plain) + text[done:], [*starts, *rest] if done else rest
