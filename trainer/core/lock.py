"""One process at a time: a lock that dies with its process."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from trainer.core.command_line import TrainingError


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


def alone(folder: Path) -> AbstractContextManager[None]:
    """Keeps other processes from training into a folder, which is made if it does not exist.

    Raises:
        TrainingError: Another process is training there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"Another run is writing in {folder}: wait until it has ended, or choose another --out."
    return locked(folder, TrainingError(busy))
