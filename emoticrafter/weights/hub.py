"""Lists and downloads network files of a Hugging Face hub: resumable, checked, whole or not there.

A file comes in blocks and takes its name once its sha256 is right. `HF_ENDPOINT` names another hub address, such as a
mirror. The published weights are public, and no token is ever sent. huggingface_hub would start over after a failed
run, compare sizes only, and follow a redirect from https to http.
"""

import http
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from ..files import file_sha256
from ..quoting import printable, quoted, shown
from ..web import LateError, NoReplyError, Reply, Request, is_address, redirect
from .unfinished import MOVES_OPEN_FILES, held

REPOSITORY = "idvxlab/EmotiCrafter"
BLOCK = 8 << 20  # bytes of a request: what a broken connection costs at most
BLOCK_S = 1200  # for a block, with all tries and redirects
SILENCE_S = 60
LISTING_S = 60
LISTING_FILES = 10_000
LISTING_BYTES = 20_000_000
LONGEST_PATH = 255
UNCHECKED_BYTES = 100_000_000  # of a file without a checksum, which comes in one piece; the hub has one for larger ones
TRIES = 5
REDIRECTS = 5
RETRIED = {408, 429, 500, 502, 503, 504}
ADVICE = "Check the network and the names, or name a mirror in HF_ENDPOINT."


class HubFile(NamedTuple):
    """A file of a repository: its path there, its size in bytes, its sha256 (None for small files)."""

    path: str
    size: int
    sha256: str | None


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or https://huggingface.co.

    Raises:
        ValueError: HF_ENDPOINT is not an http(s) address, or holds a user, a password or a query.
    """
    address = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"
    if "@" in address:  # not shown: what is before it may be a password
        raise ValueError(
            "HF_ENDPOINT holds an @, as an address with a user or a password does: expected an address "
            "such as https://huggingface.co, without a login."
        )
    if re.search(r"[?#]", address):  # nor this: a query may hold a key
        raise ValueError("HF_ENDPOINT holds a ? or #: expected an address such as https://huggingface.co.")
    if not is_address(address):
        raise ValueError(f"HF_ENDPOINT is {quoted(address)}: expected an address such as https://huggingface.co.")
    return address


def list_files(repository: str, address: str) -> list[HubFile]:
    """The weight files of a repository.

    Args:
        repository: Such as "idvxlab/EmotiCrafter".
        address: From `endpoint`.

    Raises:
        OSError: The hub cannot be reached, or lacks the repository.
        ValueError: The repository's name or the hub's answer is malformed.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"{quoted(repository)} is not a repository name: expected owner/name.")
    where = f"{address}/{repository}"
    try:
        entries = list(_entries(f"{address}/api/models/{repository}/tree/main?recursive=true"))
    except LateError as error:
        raise OSError(f"{where} did not send its listing within {LISTING_S:g} s. Try again later.") from error
    except OSError as error:
        raise OSError(f"{where} cannot be listed: {_one_line(error)} {ADVICE}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{where} did not answer with a list of files: {_one_line(error)}") from error
    return [file for file in entries if PurePosixPath(file.path).suffix in (".pth", ".safetensors")]


def _entries(url: str | None) -> Iterator[HubFile]:
    """The files of a listing, page after page of the same server."""
    deadline, count, first = time.monotonic() + LISTING_S, 0, urlsplit(url)
    while url and count < LISTING_FILES:
        reply = _get(url, {}, LISTING_BYTES, deadline)
        if not reply.whole:
            raise ValueError(f"it has more than {LISTING_BYTES:,} bytes")
        page = json.loads(reply.body)
        if not isinstance(page, list):
            raise TypeError("expected a list")
        yield from (_entry(one) for one in page if one["type"] == "file")
        count += len(page)
        following = re.search(r'<([^<>]+)>;\s*rel="?next', reply.headers.get("Link") or "")
        url = urljoin(url, following[1]) if page and following else None
        if url and urlsplit(url)[:2] != first[:2]:
            raise ValueError("its next page is on another server")


def _entry(one: dict) -> HubFile:
    path, size, lfs = one["path"], one["size"], one.get("lfs")
    if not isinstance(path, str) or len(path) > LONGEST_PATH or not path.isprintable():  # it could steer the terminal
        raise ValueError(f"the name {quoted(path)} is not printable text of at most {LONGEST_PATH} characters")
    if type(size) is not int or not 0 <= size < 1 << 63:
        raise ValueError(f"the size of {quoted(path)} is not a number of bytes")
    sha256 = lfs["oid"] if lfs is not None else None
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"{quoted(path)} has a malformed sha256")
    return HubFile(path, size, sha256)


def _one_line(error: Exception) -> str:
    """An error's text without line breaks and control characters: the hub chose it."""
    text = printable(" ".join(str(error)[:1000].split()))[:300] or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def choose(files: list[HubFile], name: str) -> HubFile:
    """The file of that name.

    Raises:
        ValueError: There is none; the error lists those that exist.
    """
    for file in files:
        if name == file.path:
            return file
    raise ValueError(f"There is no {name}: the repository has {', '.join(f.path for f in files) or 'no weights'}.")


def download(repository: str, file: HubFile, folder: Path, address: str) -> Path:
    """Downloads one file into a folder; goes on where an earlier try stopped, if a checksum tells what that left.

    Until it is complete and its checksum is right it is named `<name>.part`.

    Raises:
        ValueError: The file has another checksum than the hub says, or a name or size that cannot be used here.
        OSError: The disk has too little room, the hub cannot be reached, or another download is writing the file;
            what has come is kept for the next try.
    """
    target = folder / _local_name(file)
    _check_size(file)
    if target.is_dir():
        raise OSError(f"{target} is a folder: name another one with --to.")
    if _is_there(target, file):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with held(part) as out:
        if _is_there(target, file):  # another download has ended meanwhile
            part.unlink()
            return target
        _complete(repository, file, out, part, address)
        if MOVES_OPEN_FILES:
            part.replace(target)
    if not MOVES_OPEN_FILES:
        part.replace(target)
    return target


def _complete(repository: str, file: HubFile, out: BinaryIO, part: Path, address: str) -> None:
    """Fetches what the unfinished file lacks, and checks the whole."""
    if file.sha256 is None or out.seek(0, os.SEEK_END) > file.size:
        out.truncate(0)
    _check_room(out, part, file.size)
    try:
        _fetch(f"{address}/{repository}/resolve/main/{quote(file.path)}", file, out)
    except OSError as error:
        raise OSError(
            f"The download of {file.path} from {address}/{repository} stopped at {out.tell():,} of {file.size:,} "
            f"bytes: {_one_line(error)} {ADVICE} What has come is kept; run the same command again to go on."
        ) from error
    os.fsync(out.fileno())
    if not _is_right(part, file):
        out.truncate(0)
        part.unlink()
        raise ValueError(
            f"{file.path} arrived damaged (another sha256 than {file.sha256}); it was removed. Download it again."
        )


def _local_name(file: HubFile) -> str:
    """The last part of its path; backslashes and colons would lead elsewhere on Windows."""
    name = PurePosixPath(file.path).name
    if not re.fullmatch(r"[\w+-][\w .+-]*", name):
        raise ValueError(f"{file.path!r} cannot be used as a file name: expected letters, digits, . _ - and +.")
    return name


def _check_size(file: HubFile) -> None:
    if file.size < 1:
        raise ValueError(f"{file.path} has {file.size} bytes on the hub: there is nothing to download.")
    if file.sha256 is None and file.size > UNCHECKED_BYTES:
        raise ValueError(f"The hub names no checksum for {file.path}: nothing would tell whether it arrived whole.")


def _check_room(out: BinaryIO, part: Path, size: int) -> None:
    need, free = size - out.seek(0, os.SEEK_END), shutil.disk_usage(part.parent).free
    if need > free:
        raise OSError(
            f"{part.stem} needs {need:,} more bytes, and {part.parent} has {free:,} free. "
            "Make room, or name another folder."
        )


def _is_there(target: Path, file: HubFile) -> bool:
    """Whether the file is complete already. Without a checksum nobody knows whose it is."""
    right_size = file.sha256 is not None and target.is_file() and target.stat().st_size == file.size
    return right_size and _is_right(target, file)


def _is_right(path: Path, file: HubFile) -> bool:
    return file.sha256 is None or file_sha256(path) == file.sha256


def _fetch(url: str, file: HubFile, out: BinaryIO) -> None:
    """Appends to `out` what it lacks: block by block, or in one piece where no checksum would tell a mixture."""
    size = BLOCK if file.sha256 else file.size
    while (have := out.seek(0, os.SEEK_END)) < file.size:
        block = memoryview(_block(url, file, have, min(size, file.size - have)))
        while block:
            block = block[out.write(block) :]
        _show(_local_name(file), out.tell(), file.size)
    print(file=sys.stderr)


def _block(url: str, file: HubFile, have: int, wanted: int) -> bytes:
    """The next bytes of a file, exactly as many as wanted, and those."""
    headers = {"Range": f"bytes={have}-{have + wanted - 1}"} if file.sha256 else {}
    reply = _get(url, headers, wanted, time.monotonic() + BLOCK_S, checked=file.sha256 is not None)
    length, part = reply.headers.get("Content-Length") or "", reply.headers.get("Content-Range")
    sent = int(length) if re.fullmatch("[0-9]{1,18}", length) else len(reply.body) + (not reply.whole)
    if sent != wanted or len(reply.body) != wanted:  # a mirror that knows no ranges sends the whole file
        raise OSError(f"the hub sent {sent:,} bytes where {wanted:,} were asked for.")
    if reply.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise OSError("the hub sent the file compressed.")
    right = {f"bytes {have}-{have + wanted - 1}/{size}" for size in (file.size, "*")}
    asked = wanted == file.size if reply.status == 200 else bool(headers)
    if not asked or (part is not None and part.strip() not in right):
        raise OSError(f"the hub sent another part of the file than was asked for ({shown(part or 'HTTP 200')}).")
    return reply.body


def _get(url: str, headers: dict[str, str], limit: int, deadline: float, checked: bool = False) -> Reply:
    """A good reply, asked for again after faults that may pass.

    Raises:
        OSError: None came.
    """
    for attempt in range(TRIES):
        try:
            reply = _followed(url, headers, limit, deadline, checked)
            why = f"HTTP {reply.status} {_phrase(reply.status)}"
            if reply.status in (200, 206):
                return reply
            if reply.status not in RETRIED:
                break
        except LateError:
            raise
        except NoReplyError as error:
            why = str(error)
        if attempt + 1 < TRIES:
            time.sleep(2**attempt)
    raise OSError(why)


def _followed(url: str, headers: dict[str, str], limit: int, deadline: float, checked: bool) -> Reply:
    """The reply at the end of the redirects. From https to http only what a checksum guards may go."""
    for _ in range(REDIRECTS + 1):
        seconds = max(0.0, deadline - time.monotonic())
        reply = Request(url, None, {"User-Agent": "emoticrafter", **headers}, SILENCE_S, limit).send(seconds)
        if reply.status not in (301, 302, 303, 307, 308):
            return reply
        target = redirect(url, reply)
        if target is None:
            raise OSError("the hub redirects to what is not an address.")
        if url.startswith("https:") and not target.startswith("https:") and not checked:
            raise OSError("the hub redirects from https to http, where anybody on the way could change the answer.")
        url = target
    raise OSError(f"the hub redirects more than {REDIRECTS} times.")


def _phrase(status: int) -> str:
    return next((known.phrase for known in http.HTTPStatus if known == status), "")


def _show(name: str, have: int, size: int) -> None:
    print(f"\r{name} {have / 1e6:,.1f} of {size / 1e6:,.1f} MB ({have / max(size, 1):.0%})", end="", file=sys.stderr)
