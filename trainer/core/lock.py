"""One process at a time: a lock that dies with its process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(path: Path, busy: Exception) -> Iterator[None]:
    """Keeps other processes from what `path` names until the block ends.

    Args:
        path: A file, or a folder that exists. The lock is ".lock" in the folder, or ".<name>.lock" beside the file.
        busy: Raised if another process holds it; says what to do.
    """
    lock = FileLock(path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise busy from error
    try:
        yield
    finally:
        lock.release()
