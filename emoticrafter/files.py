"""Writes files whole or not at all, and hashes them."""

import errno
import glob
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a path in a temporary folder beside `path`, then moves the result to `path`.

    Whatever interrupts it, `path` holds the old file or the whole new one. A folder, because a writer may make
    temporary files of its own (safetensors does): whatever a kill leaves is in there, for `remove_leftovers`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        _write_in_folder(path, write)


def _write_in_folder(path: Path, write: Callable[[Path], None]) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    temporary = folder / "whole.tmp"  # no ending by which ComfyUI would list it as a network
    try:
        usual = folder / "usual.tmp"
        usual.touch()
        write(temporary)
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        # The permissions of an ordinary new file: some writers make theirs private. os.umask would tell them, too, but
        # only by changing them for a moment in every thread.
        temporary.chmod(stat.S_IMODE(usual.stat().st_mode))
        temporary.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Has the system's errors name this file: those of writing and reading name none, others a temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)
            error.filename2 = None
        raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text as `write_atomically` does; half a surrogate pair, which is not text, is spelled out."""
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode("utf-8", "backslashreplace")))


def remove_leftovers(path: Path) -> None:
    """Removes what killed calls of `write_atomically` left beside `path`; nothing may be writing it meanwhile."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def regular(path: Path) -> Path:
    """The path itself, unless it leads to a pipe or a device: reading one may never end.

    Raises:
        OSError: It does.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with regular(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
