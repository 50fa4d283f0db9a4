"""The folder of generated images: each whole or not there, with its hash, so that drawing goes on where it stopped.

Every process notes what it drew in parts/<method>-<rank>-of-<count>.jsonl. Whichever finds all pictures of the plan
there writes manifest.jsonl, and SHA256SUMS, which `sha256sum --check` reads.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from emoticrafter.files import file_sha256, remove_leftovers, write_atomically
from trainer.core.rows import DataError, replacing
from trainer.evaluation.manifest import Image, write_manifest
from trainer.painters.plan import Process, Task

NEEDED = ("path", "prompt", "valence", "arousal", "seed", "method", "sha256", "made", "seconds", "drawn")


class Store:
    """Where pictures go.

    Args:
        folder: Of all methods that are compared.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def notes(self) -> dict[str, dict]:
        """What was drawn by all processes, by path; the newest note of a path counts."""
        found: dict[str, dict] = {}
        for part in sorted((self.folder / "parts").glob("*.jsonl")):
            for line in part.read_bytes().split(b"\n"):
                try:
                    row = json.loads(line)
                    complete = all(name in row for name in NEEDED)
                except (ValueError, TypeError):
                    continue  # what an interrupted process cut off
                if complete and row["drawn"] >= found.get(row["path"], row)["drawn"]:
                    found[row["path"]] = row
        return found

    def missing(self, tasks: Sequence[Task]) -> list[Task]:
        """Tasks whose picture is not there, is damaged, or was made with other settings."""
        notes = self.notes()
        return [task for task in tasks if not self._is_drawn(task, notes.get(task.path))]

    def _is_drawn(self, task: Task, note: dict | None) -> bool:
        path = self.folder / task.path
        return (
            note is not None
            and note["made"] == task.made
            and path.is_file()
            and file_sha256(path) == note["sha256"]
        )

    @contextmanager
    def drawing(self, method: str, process: Process) -> Iterator[Callable[[Task, bytes, float], None]]:
        """Gives a function that keeps a picture: its task, its file's content, and the seconds that it took.

        Raises:
            DataError: another process is drawing this part, or the folder cannot be written.
        """
        part = self.folder / "parts" / f"{method}-{process.rank}-of-{process.count}.jsonl"
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(part.with_name(f".{part.name}.lock"))
            with lock.acquire(timeout=0), part.open("ab") as stream:
                if stream.tell() and not part.read_bytes().endswith(b"\n"):
                    stream.write(b"\n")

                def keep(task: Task, content: bytes, seconds: float) -> None:
                    path = self.folder / task.path
                    try:
                        remove_leftovers(path)
                        write_atomically(path, lambda temporary: temporary.write_bytes(content))
                        stream.write((json.dumps(self._note(task, seconds)) + "\n").encode())
                        stream.flush()
                    except OSError as error:
                        raise DataError(
                            f"{path} could not be written ({error.strerror}). What was drawn before is kept: make "
                            "room and run the same command again."
                        ) from error

                yield keep
        except Timeout as error:
            raise DataError(
                f"{self.folder}: another process is drawing {method} there. Wait for it, or start all of them with "
                "torchrun, which shares the pictures out."
            ) from error
        except PermissionError as error:
            raise DataError(f"{self.folder} cannot be written: {error.strerror}.") from error

    def _note(self, task: Task, seconds: float) -> dict:
        return {
            "path": task.path,
            "prompt": task.prompt,
            "valence": task.valence,
            "arousal": task.arousal,
            "seed": task.seed,
            "method": task.method,
            "sha256": file_sha256(self.folder / task.path),
            "made": task.made,
            "seconds": round(seconds, 6),
            "drawn": time.time(),
        }

    def measured(self, method: str) -> tuple[float | None, float | None]:
        """Seconds and bytes of a picture of a method so far; None where there is none."""
        found = [note for note in self.notes().values() if note["method"] == method]
        sizes = [path.stat().st_size for note in found if (path := self.folder / note["path"]).is_file()]
        if not sizes:
            return None, None
        return sum(note["seconds"] for note in found) / len(found), sum(sizes) / len(sizes)

    def merge(self, tasks: Sequence[Task]) -> Path:
        """Writes the manifest of the plan and of whatever other methods drew here before.

        Returns:
            The manifest.
        """
        planned = {task.path for task in tasks}
        methods = {task.method for task in tasks}
        notes = self.notes()
        # Of the plan's own methods, only what is planned: a shorter list of prompts makes a shorter manifest.
        rows = [notes[path] for path in notes if path in planned or notes[path]["method"] not in methods]
        rows = sorted(
            (row for row in rows if (self.folder / row["path"]).is_file()), key=lambda row: row["path"]
        )
        write_manifest(
            self.folder / "manifest.jsonl",
            [
                Image(
                    Path(row["path"]),
                    row["prompt"],
                    row["valence"],
                    row["arousal"],
                    row["seed"],
                    row["method"],
                    row["path"],
                )
                for row in rows
            ],
        )
        with replacing(self.folder / "SHA256SUMS") as stream:
            stream.writelines(f"{row['sha256']}  {row['path']}\n" for row in rows)
        return self.folder / "manifest.jsonl"
