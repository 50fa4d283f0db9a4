"""What was measured of images, kept in a file beside their manifest, so that no image is measured twice.

One JSON object a line: ``by`` is what measured (its name and the fingerprint of its weights), ``of`` the sha256 of the
image's file (of two for a distance), with the prompt's where it matters, and ``values`` what came out. So an image that
was drawn anew, or another model, is measured again, and nothing else.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from trainer.core.rows import DataError

Key = tuple[str, str]
"""By, of."""


class Kept:
    """The values of a file by what they were measured by and of; new ones are appended at once."""

    def __init__(self, path: Path, stream):
        self.path, self._stream = path, stream
        self._values = _read(path)

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def get(self, key: Key, otherwise: list[float]) -> list[float]:
        return self._values.get(key, otherwise)

    def add(self, found: dict[Key, list[float]]) -> None:
        """Keeps values; those with a NaN stay out of the file, so that the next run tries again."""
        lines = []
        for (by, of), values in found.items():
            self._values[by, of] = values
            if all(math.isfinite(value) for value in values):
                lines.append(json.dumps({"by": by, "of": of, "values": values}) + "\n")
        self._stream.write("".join(lines).encode())
        self._stream.flush()


def _read(path: Path) -> dict[Key, list[float]]:
    values = {}
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
            values[row["by"], row["of"]] = [float(value) for value in row["values"]]
        except (ValueError, LookupError, TypeError):
            continue  # what an interrupted run cut off: it is measured again
    return values


@contextmanager
def keeping(manifest: Path) -> Iterator[Kept]:
    """Opens the file of a manifest, ``manifest.measured.jsonl`` beside ``manifest.jsonl``.

    Raises:
        DataError: another run is writing there, or the folder cannot be written or is full.
    """
    path = manifest.with_suffix(".measured.jsonl")
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        with lock.acquire(timeout=0), path.open("ab") as stream:
            if stream.tell() and not path.read_bytes().endswith(b"\n"):
                stream.write(b"\n")
                stream.flush()
            yield Kept(path, stream)
    except Timeout as error:
        raise DataError(f"{manifest} is being evaluated by another run: wait until it has ended.") from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}): what is measured is kept beside the manifest. Make the "
            "folder writable and see that there is room, or copy the images to another one."
        ) from error
