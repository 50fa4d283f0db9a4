"""The unfinished file of a download: a regular file of its own that one download at a time may write."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

WAIT_S = 10.0  # for another download of the same file that is about to end
POLL_S = 0.1
MOVES_OPEN_FILES = os.name != "nt"
BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
FLAGS = (
    os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)


@contextmanager
def held(path: Path) -> Iterator[BinaryIO]:
    """The file, opened to read and write without a buffer, while nobody else holds it.

    A link in its place, another name of another file or a pipe is taken away first: what is in it belongs to others.

    Raises:
        OSError: A folder has its name, or another download holds it.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        file = _opened(path)
        try:
            if _is_locked(file) and _is_still(path, file):
                with file:
                    yield file
                return
        finally:
            file.close()
        if time.monotonic() > deadline:
            raise OSError(f"Another download is writing {path}: wait until it has ended, or name another folder.")
        time.sleep(POLL_S)


def _opened(path: Path) -> BinaryIO:
    with suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            raise OSError(f"{path} is a folder, where the unfinished download has to be: move it away.")
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            path.unlink()
    return os.fdopen(os.open(path, FLAGS, 0o666), "r+b", buffering=0)


def _is_still(path: Path, file: BinaryIO) -> bool:
    """Whether the name is still this file's: another download may have finished it meanwhile."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _is_locked(file: BinaryIO) -> bool:
    """Locks the file for this process until it is closed; whether that went well."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek((1 << 31) - 2)  # a byte that nobody reads
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in BUSY  # a file system without locks has to do without
    return True
