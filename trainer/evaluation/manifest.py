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

from emoticrafter.typed import read_whole
from trainer.core.pictures import name_inside, path_inside
from trainer.core.rows import (
    DataError,
    Problems,
    Row,
    match_columns,
    named_cells,
    number_value,
    parse_each,
    read_rows,
    text_value,
    write_jsonl,
)

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
        path: A JSONL file, or another table.
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
    rows = read_rows(path)
    columns = match_columns(path, rows, (), {name: name for name in (*FIELDS, "id")})
    problems, images, lines = Problems(path), [], {}
    for row in rows:
        image = _image(row, named_cells(row, columns), problems, path.parent)
        if image and image.id in lines:
            problems.add(
                row, f"id {image.id!r} is taken by line {lines[image.id]}; images that share a file need an id each"
            )
        elif image:
            lines[image.id] = row.line
            images.append(image)
    if skipped is None or not images:
        problems.refuse(
            f"Every line needs {', '.join(FIELDS)}; paths are relative to the manifest, "
            f"valence and arousal from -3 to 3.{advice}"
        )
    else:
        skipped.extend(problems.found)
    return images


def _image(row: Row, cells: dict[str, Any], problems: Problems, folder: Path) -> Image | None:
    number = partial(number_value, low=-LIMIT, high=LIMIT)
    readers = {
        "path": partial(_file, folder),
        "prompt": _prompt_value,
        "valence": number,
        "arousal": number,
        "seed": _seed,
        "method": text_value,
        "id": text_value,
    }
    if cells.get("id") in (None, ""):
        del readers["id"]  # a bad path is one problem, not two
    values = parse_each(row, problems, readers, cells)
    return Image(**{"id": cells["path"].strip(), **values}) if values else None


def _file(folder: Path, value: Any) -> Path:
    return path_inside(folder, text_value(value))


def _seed(value: Any) -> int:
    seed = read_whole(value) if isinstance(value, str) and value.strip() else value
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        shown = "missing" if value is None else repr(value)[:40]
        raise ValueError(f"is {shown}, expected a whole number from 0 to 2^64 - 1")
    return seed


def _prompt_value(value: Any) -> str:
    """A prompt, which may be empty: an emotion alone can be drawn."""
    return value if value == "" else text_value(value)


def write_manifest(path: Path, images: Iterable[Image]) -> None:
    """Writes a manifest; an interrupted save leaves the old one.

    The images' files lie in the manifest's folder or below; relative paths start there.

    Raises:
        DataError: A file is outside the folder, an id is taken twice, or the disk cannot be written.
    """
    path, rows = Path(path), {}
    for image in images:
        name = name_inside(path.parent, image.path)
        if name is None:
            raise DataError(f"{image.path} lies outside {path.parent}: a manifest names files in its own folder.")
        if image.id in rows:
            raise DataError(f"{path}: the id {image.id!r} is taken more than once.")
        rows[image.id] = asdict(image) | {"path": name.as_posix()}
    write_jsonl(path, rows.values())
