"""Names of files and folders as people, their systems and ComfyUI write them."""

import glob
import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from .quoting import quoted

MOST_COMPARED = 1000  # names, so that advice does not take long
SERVED = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]*")
"""Folders whose files ComfyUI's web server finds: it compares its address, encoded, with the request's, decoded."""


def listed_name(name: object, names: Sequence[str]) -> str | None:
    """The one of a list that a name means: itself, or as another system writes it; None if there is none.

    Workflows saved on Windows have backslashes, and macOS writes accents as letters of their own.
    """
    if not isinstance(name, str):
        return None
    if name in names:
        return name
    found = [one for one in names if _alike(one) == _alike(name)]
    return found[0] if len(found) == 1 else None


def advice_on(name: object, names: Sequence[str]) -> str:
    """A question with the name of a list that was probably meant, after a blank; empty if none is near.

    It differs in case, lies in another folder, or is spelled nearly the same.
    """
    if not isinstance(name, str) or not names:
        return ""
    wanted = _alike(name).casefold()
    folded = {_alike(one).casefold(): one for one in names[:MOST_COMPARED]}
    near = [one for one in folded if one == wanted] or [
        one for one in folded if one.rpartition("/")[2] == wanted.rpartition("/")[2]
    ]
    near = near or get_close_matches(wanted[:200], folded, n=1, cutoff=0.8)
    return f" Did you mean {quoted(folded[near[0]])}?" if near else ""


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def folder_problem(folder: Path) -> str | None:
    """What ComfyUI cannot show of a pack in this folder, and what to do; None if it can show everything."""
    if not SERVED.fullmatch(folder.name):
        strange = next(mark for mark in folder.name if not SERVED.fullmatch(mark))
        problem = f"has {quoted(strange)} in its name: ComfyUI's server finds none of its files, so the pad on the "
        problem += "nodes, the help pages and the templates are missing"
    elif "." in folder.name or "@" in folder.name:
        problem = "has a point or @ in its name: ComfyUI's interface does not find the help pages"
    elif glob.escape(str(folder)) != str(folder):
        problem = "lies in a folder with a bracket, * or ? in its name: ComfyUI finds no translations and templates"
    else:
        return None
    return f"The pack's folder {quoted(str(folder))} {problem}. Rename it, for example to ComfyUI-EmotiCrafter."
