"""The table of a set, norms.csv: a line for each picture, with what was asked, rated, read, measured and flagged."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.core.pictures import path_inside
from trainer.core.rows import DataError, Problems, Row, match_columns, read_rows, replacing
from trainer.stimuli.ratings import Norm

NORMS = {
    f"{who}_{axis}_{what}": f"{meaning} of {axis}, {whose}"
    for who, whose in (("raters", "from people"), ("readers", "from programs that read pictures, one value each"))
    for axis in ("valence", "arousal")
    for what, meaning in (
        ("mean", "mean, 1 to 9,"),
        ("sd", "standard deviation (n - 1), on the same scale,"),
        ("n", "number of judgements"),
    )
}
CODEBOOK = {
    "picture": "name that exports give the picture; it follows from the file's content and says nothing about it",
    "file": "the picture, relative to the manifest",
    "id": "in the manifest",
    "scene": "number of the prompt, from 1",
    "prompt": "without emotion",
    "seed": "of the first noise; pictures of one scene and seed are a matched set",
    "method": "what drew it",
    "asked_valence": "asked for, 1 (unpleasant) to 9 (pleasant), 5 in the middle; -3 to 3 inside the project",
    "asked_arousal": "asked for, 1 (calm) to 9 (stirring)",
    **NORMS,
    "luminance": "mean grey value (BT.601), 0 to 255",
    "contrast": "standard deviation of the grey values",
    "colourfulness": "M(3) of Hasler and Süsstrunk (2003), 0 for grey",
    "entropy": "of the 256 grey levels, bits, 0 to 8",
    "edge_density": "share of pixels whose grey value changes by more than 20 levels a pixel (Sobel)",
    "width": "pixels",
    "height": "pixels",
    "bytes": "of the file",
    "content": "1 if the miniature's reader recognises the prompt's subject, 0 if not",
    "clip_score": "100 times the cosine of picture and prompt in CLIP",
    "nearest": "id of the most similar picture of the set",
    "nearest_distance": "root mean square difference in colour from it, at 32 x 32 pixels, 0 to 255",
    "look_at": "why a person should look at the picture; empty if nothing was found",
    "content_warning": "yours to fill in; it begins as a suggestion, and measuring again keeps it",
    "excluded": "yours: anything here leaves the picture out of exports; measuring again keeps it",
    "model": "what drew the picture",
    "network": "the emotion network, with its fingerprint",
    "settings": "everything else that the picture depends on",
    "licence": "of the picture",
    "sha256": "of the file",
}
"""Column -> meaning, in the table's order."""
OWN = ("content_warning", "excluded")
"""Columns that people fill in."""
DIGITS = 6


def on_nine(value: float) -> float:
    """A value in [-3, 3] on the scale from 1 to 9."""
    return 5 + value * 4 / 3


def norm_cells(who: str, axis: str, norm: Norm) -> dict[str, Any]:
    """A norm in [-3, 3] as cells on the scale from 1 to 9."""
    mean = None if norm.mean is None else on_nine(norm.mean)
    sd = None if norm.sd is None else norm.sd * 4 / 3
    return {f"{who}_{axis}_mean": mean, f"{who}_{axis}_sd": sd, f"{who}_{axis}_n": norm.n}


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a CSV whole or not at all; None and what a row lacks is an empty cell."""
    with replacing(path) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows([_cell(row.get(column)) for column in columns] for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def write_norms(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the table."""
    write_table(path, tuple(CODEBOOK), rows)


def write_codebook(path: Path) -> None:
    """Writes what the columns mean."""
    write_table(path, ("column", "meaning"), [{"column": name, "meaning": text} for name, text in CODEBOOK.items()])


def read_norms(path: Path) -> list[Row]:
    """The lines of a table that `write_norms` wrote, perhaps edited in a spreadsheet.

    Raises:
        DataError: It is not such a table.
    """
    path = Path(path)
    rows = read_rows(path / "norms.csv" if path.is_dir() else path)
    columns = match_columns(path, rows, CODEBOOK, {name: name for name in CODEBOOK})
    return [
        Row(row.number, row.line, {name: str(row.values.get(column) or "") for name, column in columns.items()})
        for row in rows
    ]


def own_cells(path: Path) -> dict[str, dict[str, str]]:
    """Id -> what people filled in, of the table that is there already; empty without one.

    Raises:
        DataError: The table cannot be read: it is not written over.
    """
    if not path.exists():
        return {}
    try:
        rows = read_norms(path)
    except DataError as error:
        raise DataError(f"{error}\nIt may hold what you filled in, so it is kept: mend it, or move it away.") from error
    return {row.values["id"]: {name: row.values[name] for name in OWN} for row in rows}


def files_of(path: Path, rows: Sequence[Row]) -> list[Path]:
    """The pictures of a table's lines; they lie beside it.

    Raises:
        DataError: Every line whose picture is missing.
    """
    problems, found = Problems(path), []
    for row in rows:
        try:
            found.append(path_inside(path.parent, row.values["file"]))
        except ValueError as error:
            problems.add(row, f"file {error}")
    problems.refuse("The table lies beside the manifest of its pictures: keep them together.")
    return found
