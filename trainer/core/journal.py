"""Append-only JSONL: each line is on disk before the next is begun, and a kill costs at most the last one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emoticrafter.files import naming, regular


class Journal:
    """An open journal; see `opened`."""

    def __init__(self, stream):
        self._stream = stream

    def add(self, *lines: dict, sync: bool = False) -> None:
        """Appends lines; with `sync` they outlive a power failure, too."""
        with naming(self._stream.name):
            self._stream.write(b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines))
            self._stream.flush()
            if sync:
                os.fsync(self._stream.fileno())


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    """Opens a journal to append to, behind a line break if its last line was cut off.

    Lock it first (`trainer.core.lock`) where several processes may write.

    Raises:
        OSError: The folder cannot be written.
    """
    with regular(path).open("ab") as stream:
        if stream.tell() and not path.read_bytes().endswith(b"\n"):
            with naming(path):
                stream.write(b"\n")
                stream.flush()
        yield Journal(stream)


def lines(path: Path) -> Iterator[dict]:
    """The objects of a journal in order; lines that a kill or the disk damaged are left out."""
    for line in regular(path).read_bytes().split(b"\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value
