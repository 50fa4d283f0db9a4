"""Downloads from a Hugging Face hub with the standard library: resumable, checked, whole or not there.

`HF_ENDPOINT` names another hub address, such as a mirror. The published weights are public, so no token is
ever sent.
"""

import errno
import http.client
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from ..files import file_sha256

REPOSITORY = "idvxlab/EmotiCrafter"
T = TypeVar("T")
TIMEOUT_S = 30
RETRIES = 4
BLOCK = 1 << 20
LISTING_BYTES = 4 << 20
LISTING_S = 60


class HubFile(NamedTuple):
    """A file of a repository: its path there, its size in bytes, its sha256 (None for small files)."""

    path: str
    size: int
    sha256: str | None


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or https://huggingface.co.

    Raises:
        ValueError: HF_ENDPOINT is no http(s) address, or holds a user or a password.
    """
    address = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"
    if "@" in address:  # not shown: what is before it may be a password
        raise ValueError(
            "HF_ENDPOINT holds an @, as an address with a user or a password does: expected an address "
            "such as https://huggingface.co, without a login."
        )
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"HF_ENDPOINT is {address!r}: expected an address such as https://huggingface.co.")
    return address


def list_files(repository: str, address: str) -> list[HubFile]:
    """Lists the weights (.pth and .safetensors) of a repository.

    Raises:
        ValueError: The repository's name is odd, or the answer is no listing, too long or too slow.
        OSError: The hub cannot be reached or has no such repository.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"{repository!r} is no repository name: expected owner/name.")
    url = f"{address}/api/models/{repository}/tree/main?recursive=true"
    deadline = time.monotonic() + LISTING_S
    body = _retry(lambda: _read(url, deadline))
    try:
        files = [_hub_file(entry) for entry in json.loads(body) if entry["type"] == "file"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{url} did not answer with a list of files: {body[:80]!r}") from error
    weights = [file for file in files if PurePosixPath(file.path).suffix in (".pth", ".safetensors")]
    for file in weights:
        if not file.path.isprintable():  # it could steer the terminal
            raise ValueError(f"{url} lists a name with control characters: {file.path!a}.")
    return weights


def _read(url: str, deadline: float) -> bytes:
    """A whole answer of at most LISTING_BYTES; `deadline` is a time.monotonic() in seconds."""
    body = bytearray()
    with _open(url) as answer:
        expected = answer.length or 0
        while block := answer.read1(BLOCK):  # returns what has come, so that a trickle meets the deadline
            body += block
            if len(body) > LISTING_BYTES:
                raise ValueError(f"{url} answered with more than the {LISTING_BYTES:,} bytes of a listing.")
            if time.monotonic() > deadline:
                raise ValueError(f"{url} did not send its listing within {LISTING_S} s. Try again later.")
    if len(body) < expected:
        raise http.client.IncompleteRead(bytes(body), expected - len(body))
    return bytes(body)


def _hub_file(entry: dict) -> HubFile:
    path, size, sha256 = str(entry["path"]), entry["size"], (entry.get("lfs") or {}).get("oid")
    if type(size) is not int or not 0 <= size < 1 << 63:
        raise ValueError(f"the size of {path!a} is no number of bytes")
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"the sha256 of {path!a} is none")
    return HubFile(path, size, sha256)


def choose(files: list[HubFile], name: str) -> HubFile:
    """The file of that name.

    Raises:
        ValueError: There is none; the error lists those that exist.
    """
    for file in files:
        if name == file.path:
            return file
    raise ValueError(
        f"There is no {name}: the repository has {', '.join(f.path for f in files) or 'no weights'}."
    )


def download(repository: str, file: HubFile, folder: Path, address: str) -> Path:
    """Downloads one file into a folder; goes on where an earlier try stopped.

    Until it is complete and its checksum is right it is named `<name>.part`.

    Raises:
        ValueError: The file has another checksum than the hub says, or a name that is none here.
        OSError: The disk has too little room, or the hub cannot be reached; what has come is kept for
            the next try.
    """
    target = folder / _local_name(file)
    if target.is_file() and target.stat().st_size == file.size and _is_right(target, file):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    _check_room(part, file.size)
    url = f"{address}/{repository}/resolve/main/{urllib.parse.quote(file.path)}"
    try:
        _retry(lambda: _fetch(url, part, file.size))
    except OSError as error:
        have = part.stat().st_size if part.exists() else 0
        raise OSError(
            f"The download of {url} stopped at {have:,} of {file.size:,} bytes: {error}. "
            "What has come is kept; run the same command again to go on."
        ) from error
    if part.stat().st_size != file.size or not _is_right(part, file):
        size = part.stat().st_size
        part.unlink()
        raise ValueError(
            f"{file.path} arrived damaged ({size:,} bytes of {file.size:,}, or another sha256 than "
            f"{file.sha256}); it was removed. Download it again."
        )
    part.replace(target)
    return target


def _local_name(file: HubFile) -> str:
    """The last part of its path; backslashes and colons would lead elsewhere on Windows."""
    name = PurePosixPath(file.path).name
    if not re.fullmatch(r"[\w+-][\w .+-]*", name):
        raise ValueError(
            f"{file.path!r} is no name that can be saved: expected letters, digits, . _ - and +."
        )
    return name


def _check_room(part: Path, size: int) -> None:
    need = size - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if need > free:
        raise OSError(
            f"{part.stem} needs {need:,} more bytes, and {part.parent} has {free:,} free. "
            "Make room, or name another folder."
        )


def _is_right(path: Path, file: HubFile) -> bool:
    return file.sha256 is None or file_sha256(path) == file.sha256


def _retry(action: Callable[[], T]) -> T:
    """Calls `action`, a few times while the hub or the way there fails for the moment."""
    for attempt in range(RETRIES):
        try:
            return action()
        except (OSError, http.client.HTTPException) as error:
            if attempt == RETRIES - 1 or _is_final(error):
                raise error if isinstance(error, OSError) else OSError(repr(error)) from error
            time.sleep(2**attempt)
    raise AssertionError("unreachable")


def _is_final(error: Exception) -> bool:
    """True for an answer that a second try will not change, and for a full or closed disk."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500 and error.code not in (408, 429)
    return isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.ENOSPC


def _fetch(url: str, part: Path, size: int) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    with _open(url, {"Range": f"bytes={have}-"} if have else {}) as answer:
        if answer.status != 206:
            have = 0  # the hub sends the whole file again
        with part.open("ab" if have else "wb") as out:
            while have <= size and (block := answer.read(BLOCK)):
                out.write(block)
                have += len(block)
                _show(part.stem, have, size)
    print(file=sys.stderr)
    if have < size:
        raise http.client.IncompleteRead(b"", size - have)


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s) only, and never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if new != "https" and (old, new) != ("http", "http"):
            told = f"redirect from {old} to {new} refused"
            raise urllib.error.HTTPError(req.full_url, code, told, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: dict[str, str] | None = None):
    request = urllib.request.Request(url, headers={"User-Agent": "emoticrafter", **(headers or {})})  # noqa: S310
    try:
        return urllib.request.build_opener(_WebRedirects).open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        hint = "; check the names and HF_ENDPOINT" if error.code in (401, 403, 404) else ""
        error.msg = f"{error.msg!a} ({url}{hint})"  # escaped: the hub chose the text
        raise
    except urllib.error.URLError as error:
        raise OSError(
            f"{url} cannot be reached: {error.reason}. Check the network, or name a mirror in HF_ENDPOINT."
        ) from error


def _show(name: str, have: int, size: int) -> None:
    print(
        f"\r{name} {have / 1e6:,.1f} of {size / 1e6:,.1f} MB ({have / max(size, 1):.0%})",
        end="",
        file=sys.stderr,
    )
