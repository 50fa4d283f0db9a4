"""Downloads from a Hugging Face hub with the standard library: resumable, checked, whole or not there.

`HF_ENDPOINT` names another hub address, such as a mirror. The published weights are public, so no token is
ever sent.
"""

import errno
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from .files import file_sha256

REPOSITORY = "idvxlab/EmotiCrafter"
T = TypeVar("T")
TIMEOUT_S = 30
RETRIES = 4
BLOCK = 1 << 20


class HubFile(NamedTuple):
    """A file of a repository: its path there, its size in bytes, its sha256 (None for small files)."""

    path: str
    size: int
    sha256: str | None


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or https://huggingface.co.

    Raises:
        ValueError: HF_ENDPOINT is no http(s) address.
    """
    address = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"HF_ENDPOINT is {address!r}: expected an address such as https://huggingface.co.")
    return address


def list_files(repository: str, address: str) -> list[HubFile]:
    """Lists the weights (.pth and .safetensors) of a repository.

    Raises:
        ValueError: The repository's name is odd, or the answer is no listing.
        OSError: The hub cannot be reached or has no such repository.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"{repository!r} is no repository name: expected owner/name.")
    url = f"{address}/api/models/{repository}/tree/main?recursive=true"
    body = _retry(lambda: _read(url))
    try:
        files = [_hub_file(entry) for entry in json.loads(body) if entry["type"] == "file"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{url} did not answer with a list of files: {body[:80]!r}") from error
    return [file for file in files if PurePosixPath(file.path).suffix in (".pth", ".safetensors")]


def _read(url: str) -> bytes:
    with _open(url) as answer:
        return answer.read()


def _hub_file(entry: dict) -> HubFile:
    return HubFile(str(entry["path"]), int(entry["size"]), (entry.get("lfs") or {}).get("oid"))


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
        OSError: The hub cannot be reached; what has come is kept for the next try.
    """
    target = folder / _local_name(file)
    if target.is_file() and target.stat().st_size == file.size and _is_right(target, file):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
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


def _open(url: str, headers: dict[str, str] | None = None):
    request = urllib.request.Request(url, headers={"User-Agent": "emoticrafter", **(headers or {})})  # noqa: S310
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - endpoint() admits http(s) only
    except urllib.error.HTTPError as error:
        hint = "; check the names and HF_ENDPOINT" if error.code in (401, 403, 404) else ""
        error.msg = f"{error.msg} ({url}{hint})"
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
