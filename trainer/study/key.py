"""The key of a study: which picture of the page is which, and what every participant is asked.

The page shows pictures under numbers only; ``key.json`` stays with the researcher, who needs it to read the answers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.core.rows import DataError, read_text, replacing

FORMAT = "emoticrafter-study-key"
AXES = ("valence", "arousal")
SCALES = ("pad", "affective-slider", "affect-grid")
"""What a picture's valence and arousal can be estimated with: docs/study.md describes them."""
STEPS = {"affective-slider": 0.06, "affect-grid": 0.75}
"""Between two answers of a scale, both from -3 to 3: a hundredth of a slider's way, an eighth of the grid's."""


@dataclass(frozen=True)
class Task:
    """One thing that a participant is asked.

    Attributes:
        kind: "practice", "order", "estimate", "consistency" or "smoothness".
        images: Names of the pictures in the order shown, a set of 25 row by row; empty for practice and checks.
        axis: What a series runs along, "valence" or "arousal".
        check: The answer that an attention check asks for: a corner such as "top left", or a rating.
        scale: What an estimate is given with: "affective-slider" or "affect-grid"; None for the pad.
    """

    kind: str
    images: tuple[str, ...] = ()
    axis: str | None = None
    check: str | int | None = None
    scale: str | None = None


@dataclass(frozen=True)
class Picture:
    """A picture of the page; valence and arousal are those that were asked for, in [-3, 3]."""

    prompt: str
    valence: float
    arousal: float
    seed: int
    method: str
    id: str


@dataclass(frozen=True)
class Key:
    """A study.

    Attributes:
        seed: Everything that was drawn follows from it.
        pictures: Name on the page -> what it is.
        participants: The tasks of participant 1, 2, ... in their order.
    """

    seed: int
    pictures: dict[str, Picture]
    participants: list[list[Task]]

    @property
    def study(self) -> str:
        """The study's fingerprint, 16 hex digits; answers carry that of their study."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def methods(self) -> list[str]:
        return sorted({picture.method for picture in self.pictures.values()})

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "seed": self.seed,
            "pictures": {name: asdict(picture) for name, picture in self.pictures.items()},
            "participants": [[without_none(asdict(task)) for task in tasks] for tasks in self.participants],
        }

    def save(self, path: Path) -> None:
        """Writes the key; an interrupted save leaves what was there."""
        with replacing(path) as stream:
            json.dump({"study": self.study, **self._content()}, stream, ensure_ascii=False, indent=1)


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def load_key(path: Path) -> Key:
    """Reads a key.

    Raises:
        DataError: It is not a key, or was changed after it was written.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "key.json"
    try:
        content = json.loads(read_text(path))
        if content["format"] != FORMAT:
            raise LookupError("another format")
        pictures = {name: Picture(**values) for name, values in content["pictures"].items()}
        participants = [
            [Task(**values | {"images": tuple(values["images"])}) for values in tasks]
            for tasks in content["participants"]
        ]
        key, written = Key(content["seed"], pictures, participants), content["study"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not the key of a study. Expected the key.json that `make` wrote.") from error
    if key.study != written:
        raise DataError(
            f"{path}: was changed after it was written ({key.study} instead of {written}). Take the original."
        )
    return key
