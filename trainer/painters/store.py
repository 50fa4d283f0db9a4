"""The folder of generated images. Each is whole or absent, with its hash, so that drawing continues where it stopped.

Every process notes what it drew in parts/<method>-<rank>-of-<count>.jsonl. The one that finds all
planned pictures in it writes manifest.jsonl, and SHA256SUMS for `sha256sum --check`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from emoticrafter.files import file_sha256, remove_leftovers, write_atomically
from trainer.core import journal
from trainer.core.lock import locked
from trainer.core.processes import Processes
from trainer.core.rows import DataError, replacing
from trainer.evaluation.manifest import Image, write_manifest
from trainer.painters.plan import Task

ASKED = ("path", "prompt", "valence", "arousal", "seed", "method")
NOTED = (*ASKED, "sha256", "made", "seconds", "drawn")


@dataclass(frozen=True)
class Store:
    """Where the pictures of all methods that are compared go."""

    folder: Path

    def notes(self) -> dict[str, dict]:
        """What was drawn by all processes, by path; the newest note of a path counts."""
        found: dict[str, dict] = {}
        for part in sorted((self.folder / "parts").glob("*.jsonl")):
            for row in journal.lines(part):
                complete = all(name in row for name in NOTED)
                if complete and row["drawn"] >= found.get(row["path"], row)["drawn"]:
                    found[row["path"]] = row
        return found

    def missing(self, tasks: Sequence[Task]) -> list[Task]:
        """Tasks whose picture does not exist, is damaged, or was made with other settings."""
        notes = self.notes()
        return [task for task in tasks if not self._is_drawn(task, notes.get(task.path))]

    def _is_drawn(self, task: Task, note: dict | None) -> bool:
        path = self.folder / task.path
        return note is not None and note["made"] == task.made and path.is_file() and file_sha256(path) == note["sha256"]

    @contextmanager
    def drawing(self, method: str, processes: Processes) -> Iterator[Callable[[Task, bytes, float], None]]:
        """Yields a function that keeps a picture: its task, its file's content, and the seconds that it took.

        Raises:
            DataError: Another process is drawing this part, or the folder cannot be written.
        """
        part = self.folder / "parts" / f"{method}-{processes.rank}-of-{processes.count}.jsonl"
        busy = DataError(
            f"{self.folder}: another process is drawing {method} there. Wait for it, or start all processes with "
            "torchrun, which shares the pictures out."
        )
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with locked(part, busy), journal.opened(part) as notes:
                yield lambda task, content, seconds: self._keep(notes, task, content, seconds)
        except PermissionError as error:
            raise DataError(f"{self.folder} cannot be written: {error.strerror}.") from error

    def _keep(self, notes: journal.Journal, task: Task, content: bytes, seconds: float) -> None:
        path = self.folder / task.path
        try:
            remove_leftovers(path)
            write_atomically(path, lambda temporary: temporary.write_bytes(content))
            asked = {name: getattr(task, name) for name in ASKED}
            made = {"sha256": file_sha256(path), "made": task.made}
            notes.add({**asked, **made, "seconds": round(seconds, 6), "drawn": time.time()})
        except OSError as error:
            raise DataError(
                f"{path} could not be written ({error.strerror}). What was drawn before is kept: make room and run "
                "the same command again."
            ) from error

    def measured(self, method: str) -> tuple[float | None, float | None]:
        """Mean seconds and bytes of a picture of a method so far; None before any is drawn."""
        found = [note for note in self.notes().values() if note["method"] == method]
        sizes = [path.stat().st_size for note in found if (path := self.folder / note["path"]).is_file()]
        if not sizes:
            return None, None
        return sum(note["seconds"] for note in found) / len(found), sum(sizes) / len(sizes)

    def merge(self, tasks: Sequence[Task]) -> Path:
        """Writes the manifest, which it returns: of the plan and of everything that other methods drew here before."""
        planned, methods = {task.path for task in tasks}, {task.method for task in tasks}
        # Of the plan's own methods, only what is planned: a shorter list of prompts makes a shorter manifest.
        rows = [
            note
            for path, note in sorted(self.notes().items())
            if (path in planned or note["method"] not in methods) and (self.folder / path).is_file()
        ]
        manifest = self.folder / "manifest.jsonl"
        images = [Image(Path(row["path"]), *(row[name] for name in ASKED[1:]), row["path"]) for row in rows]
        write_manifest(manifest, images)
        with replacing(self.folder / "SHA256SUMS") as stream:
            stream.writelines(f"{row['sha256']}  {row['path']}\n" for row in rows)
        return manifest
