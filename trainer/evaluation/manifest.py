"""The manifest of generated images: what was asked for, of which method, and in which file the image is.

One JSON object a line, for example in ``images/manifest.jsonl``:

    {"path": "ours/0001.png", "prompt": "A dog runs along a beach.", "valence": 1.5, "arousal": -3.0,
     "seed": 7, "method": "ours", "id": "ours-0001"}

``path`` is relative to the manifest and stays inside its folder; ``id`` is the path unless it is given. The generation
writes manifests; the evaluation and the user studies read them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trainer.core.pictures import path_inside
from trainer.core.rows import DataError, Problems, Row, number_value, parse_each, read_rows, text_value, write_jsonl

FIELDS = ("path", "prompt", "valence", "arousal", "seed", "method")
LIMIT = 3.0  # valence and arousal are in [-LIMIT, LIMIT]
LARGEST_SEED = 2**64 - 1  # what ComfyUI's samplers take


@dataclass(frozen=True)
class Image:
    """One generated image and what was asked for.

    Attributes:
        path: The file; :func:`read_manifest` makes it absolute.
        prompt: The neutral prompt.
        valence, arousal: What was asked for, in [-3, 3].
        seed: Of the initial noise, 0 to 2^64 - 1.
        method: What made it, such as "ours" or "cross-attention".
        id: Unique in the manifest.
    """

    path: Path
    prompt: str
    valence: float
    arousal: float
    seed: int
    method: str
    id: str


def read_manifest(path: Path, skipped: list[str] | None = None, advice: str = "") -> list[Image]:
    """Reads a manifest; its files must exist but are not opened.

    Args:
        path: A ``.jsonl`` file.
        skipped: If given, images that cannot be used are left out and described here instead of refused.
        advice: Added to the error.

    Returns:
        The images in the manifest's order, at least one.

    Raises:
        DataError: Every problem with its line: not JSON, missing fields, values out of range, ids taken twice, paths
            that leave the manifest's folder, missing files.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; give the manifest in it, such as {path / 'manifest.jsonl'}.")
    rows = read_rows(path, suffix=".jsonl")
    problems, images, lines = Problems(path), [], {}
    for row in rows:
        image = _image(row, problems, path.parent)
        if image and image.id in lines:
            problems.add(
                row, f"id {image.id!r} is taken by line {lines[image.id]}; images that share a file need an id each"
            )
        elif image:
            lines[image.id] = row.line
            images.append(image)
    if skipped is None or not images:
        problems.refuse(f"Every line needs {', '.join(FIELDS)}; paths are relative to the manifest.{advice}")
    else:
        skipped.extend(problems.found)
    return images


def _image(row: Row, problems: Problems, folder: Path) -> Image | None:
    readers = {
        "path": partial(_file, folder),
        "prompt": text_value,
        "valence": _number,
        "arousal": _number,
        "seed": _seed,
        "method": text_value,
        "id": text_value,
    }
    if "id" not in row.values:
        del readers["id"]  # a bad path is one problem, not two
    values = parse_each(row, problems, readers)
    return Image(**{"id": row.values["path"].strip(), **values}) if values else None


def _file(folder: Path, value: Any) -> Path:
    name = text_value(value)
    try:
        return path_inside(folder, name)
    except (OSError, RuntimeError) as error:  # a name too long for any file system; symlinks in a circle
        raise ValueError(f"{name[:60]!r} cannot be looked up ({error})") from error


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise ValueError(f"is the text {value[:40]!r}, expected a number without quotes")
    return number_value(value, -LIMIT, LIMIT)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_SEED:
        shown = "missing" if value is None else repr(value)[:40]
        raise ValueError(f"is {shown}, expected a whole number from 0 to 2^64 - 1")
    return value


def write_manifest(path: Path, images: Iterable[Image]) -> None:
    """Writes a manifest; an interrupted save leaves the old one.

    The images' files lie in the manifest's folder or below; relative paths start there.

    Raises:
        DataError: A file is outside the folder, an id is taken twice, or the disk cannot be written.
    """
    path, rows = Path(path), {}
    root = path.parent.resolve()
    for image in images:
        file = (root / image.path).resolve()
        if not file.is_relative_to(root):
            raise DataError(f"{image.path} lies outside {root}: a manifest names files in its own folder.")
        if image.id in rows:
            raise DataError(f"{path}: the id {image.id!r} is taken more than once.")
        rows[image.id] = asdict(image) | {"path": file.relative_to(root).as_posix()}
    write_jsonl(path, rows.values())
