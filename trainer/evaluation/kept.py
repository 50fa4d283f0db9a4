"""Measurements kept in a file beside the manifest, so that no image is measured twice.

One JSON object a line: ``by`` names what measured (with the fingerprint of its weights), ``of`` is the sha256 of the
image's file (of both files for a distance), with the prompt's where it matters, and ``values`` holds the result. An
image that was drawn anew or another model is therefore measured again, and nothing else.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.core.journal import Journal, lines, opened
from trainer.core.lock import locked
from trainer.core.rows import DataError

Key = tuple[str, str]
"""By, of."""


class Kept(dict[Key, list[float]]):
    """The values in a file by what measured them and of what; new ones are appended at once."""

    def __init__(self, path: Path, journal: Journal):
        super().__init__()
        self._journal = journal
        for line in lines(path):
            with suppress(ValueError, LookupError, TypeError):  # a damaged line: it is measured again
                self[line["by"], line["of"]] = [float(value) for value in line["values"]]

    def add(self, found: dict[Key, list[float]]) -> None:
        """Keeps values; those with a NaN stay out of the file, so that the next run tries again."""
        self.update(found)
        whole = {key: values for key, values in found.items() if all(map(math.isfinite, values))}
        self._journal.add(*({"by": by, "of": of, "values": values} for (by, of), values in whole.items()))


@contextmanager
def keeping(manifest: Path) -> Iterator[Kept]:
    """Opens the file of a manifest, ``manifest.measured.jsonl`` beside ``manifest.jsonl``.

    Raises:
        DataError: Another run is writing there, or the folder cannot be written or is full.
    """
    path = manifest.with_suffix(".measured.jsonl")
    busy = DataError(f"{manifest} is being evaluated by another run: wait until it has ended.")
    try:
        with locked(path, busy), opened(path) as journal:
            yield Kept(path, journal)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}): measurements are kept beside the manifest. Make the folder "
            "writable and free some space, or copy the images to another one."
        ) from error
