"""Lists and downloads network files of a Hugging Face hub, by huggingface_hub: resumable, checked, whole or not there.

huggingface_hub's own download starts over after a failed run, removes the old file before it has the new one, and
compares sizes only. So the file is read in blocks here and takes its name once its sha256 is right. `HF_ENDPOINT` names
another hub address, such as a mirror. The published weights are public, and no token is ever sent.
"""

import itertools
import os
import re
import shutil
import sys
import threading
import urllib.parse
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from ..files import file_sha256

REPOSITORY = "idvxlab/EmotiCrafter"
BLOCK = 8 << 20  # bytes of a request: what a broken connection costs at most
LISTING_S = 60
LISTING_FILES = 10_000
ADVICE = "Check the network and the names, or name a mirror in HF_ENDPOINT."
T = TypeVar("T")


class HubFile(NamedTuple):
    """A file of a repository: its path there, its size in bytes, its sha256 (None for small files)."""

    path: str
    size: int
    sha256: str | None


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or https://huggingface.co.

    Raises:
        ValueError: HF_ENDPOINT is not an http(s) address, or holds a user or a password.
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
    """The weight files of a repository.

    Args:
        repository: Such as "idvxlab/EmotiCrafter".
        address: From `endpoint`.

    Raises:
        OSError: The hub cannot be reached, or lacks the repository.
        ValueError: The repository's name or the hub's answer is malformed.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"{repository!r} is not a repository name: expected owner/name.")
    where = f"{address}/{repository}"
    found = _within(LISTING_S, lambda: _tree(repository, address), where)
    try:
        files = [HubFile(entry.path, entry.size, entry.lfs and entry.lfs.sha256) for entry in found]
        weights = [file for file in files if PurePosixPath(file.path).suffix in (".pth", ".safetensors")]
        for file in weights:
            _check_entry(file)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} did not answer with a list of files: {_one_line(error)}") from error
    return weights


def _tree(repository: str, address: str) -> list:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    tree = HfApi(endpoint=address, token=False).list_repo_tree(repository, recursive=True)
    return [entry for entry in itertools.islice(tree, LISTING_FILES) if isinstance(entry, RepoFile)]


def _within(seconds: float, action: Callable[[], T], where: str) -> T:
    """What `action` gives, in a thread of its own: a hub that trickles would be read for ever."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(action())
        except Exception as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return result.result(seconds)
    except FutureTimeoutError:
        raise OSError(f"{where} did not send its listing within {seconds:g} s. Try again later.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{where} did not answer with a list of files: {_one_line(error)}") from error
    except Exception as error:  # of the HTTP library that this release of huggingface_hub uses
        raise OSError(f"{where} cannot be listed: {_one_line(error)} {ADVICE}") from error


def _check_entry(file: HubFile) -> None:
    if not file.path.isprintable():  # it could steer the terminal
        raise ValueError(f"the name {file.path!a} has control characters")
    if type(file.size) is not int or not 0 <= file.size < 1 << 63:
        raise ValueError(f"the size of {file.path!a} is not a number of bytes")
    if file.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
        raise ValueError(f"{file.path!a} has a malformed sha256")


def _one_line(error: Exception) -> str:
    """An error's text without line breaks and control characters: the hub chose it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(mark if mark.isprintable() else "?" for mark in text)[:300]


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
    """Downloads one file into a folder; goes on where an earlier try stopped.

    Until it is complete and its checksum is right it is named `<name>.part`.

    Raises:
        ValueError: The file has another checksum than the hub says, or a name that cannot be used here.
        OSError: The disk has too little room, or the hub cannot be reached; what has come is kept for
            the next try.
    """
    target = folder / _local_name(file)
    if target.is_file() and target.stat().st_size == file.size and _is_right(target, file):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if _size(part) > file.size:
        part.unlink()
    _check_room(part, file.size)
    try:
        _fetch(repository, file, part, address)
    except Exception as error:  # of the disk, or of the HTTP library that this release of huggingface_hub uses
        raise OSError(
            f"The download of {file.path} from {address}/{repository} stopped at {_size(part):,} of {file.size:,} "
            f"bytes: {_one_line(error)} {ADVICE} What has come is kept; run the same command again to go on."
        ) from error
    if not _is_right(part, file):
        part.unlink()
        raise ValueError(
            f"{file.path} arrived damaged (another sha256 than {file.sha256}); it was removed. Download it again."
        )
    part.replace(target)
    return target


def _local_name(file: HubFile) -> str:
    """The last part of its path; backslashes and colons would lead elsewhere on Windows."""
    name = PurePosixPath(file.path).name
    if not re.fullmatch(r"[\w+-][\w .+-]*", name):
        raise ValueError(f"{file.path!r} cannot be used as a file name: expected letters, digits, . _ - and +.")
    return name


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_room(part: Path, size: int) -> None:
    need, free = size - _size(part), shutil.disk_usage(part.parent).free
    if need > free:
        raise OSError(
            f"{part.stem} needs {need:,} more bytes, and {part.parent} has {free:,} free. "
            "Make room, or name another folder."
        )


def _is_right(path: Path, file: HubFile) -> bool:
    return file.sha256 is None or file_sha256(path) == file.sha256


def _fetch(repository: str, file: HubFile, part: Path, address: str) -> None:
    """Appends to `part` what it lacks, block by block."""
    from huggingface_hub import HfFileSystem

    part.touch()
    hub = HfFileSystem(endpoint=address, token=False, skip_instance_cache=True)
    whole = {"mode": "rb", "size": file.size, "block_size": BLOCK, "cache_type": "none"}
    with part.open("ab") as out, hub.open(f"{repository}/{file.path}", **whole) as remote:
        while (have := out.tell()) < file.size:
            remote.seek(have)
            wanted = min(BLOCK, file.size - have)
            block = remote.read(wanted)
            if len(block) != wanted:  # a mirror that knows no ranges sends the whole file
                raise OSError(f"the hub sent {len(block):,} bytes where {wanted:,} were asked for.")
            out.write(block)
            out.flush()
            _show(part.stem, have + wanted, file.size)
    print(file=sys.stderr)


def _show(name: str, have: int, size: int) -> None:
    print(f"\r{name} {have / 1e6:,.1f} of {size / 1e6:,.1f} MB ({have / max(size, 1):.0%})", end="", file=sys.stderr)
