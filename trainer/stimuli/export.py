"""From a table of norms to folders that run as they are: jsPsych, PsychoPy, plain CSV, contact sheets."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image as Pillow

from emoticrafter.figures.drawing import draw_grid
from emoticrafter.files import file_sha256
from trainer.core.html import render
from trainer.core.pictures import PictureError, decode
from trainer.core.rows import DataError, Row, listed, read_text
from trainer.core.settings import option
from trainer.stimuli.norms import CODEBOOK, files_of, read_norms, write_codebook, write_table

PAGE = Path(__file__).with_name("page")
ANSWERS = ("nine-point", "affective-slider", "affect-grid")
COPIED = ("rate.js", "answers.js", "rate.css")
SHEET_CELL = 192
"""Pixels of a picture on a contact sheet."""


@dataclass(frozen=True)
class ExportSettings:
    """What the experiments show and ask."""

    title: str = option("heading of the page (%(default)s)", "Pictures and feelings")
    answer: str = option(
        "how the page asks: %(choices)s (%(default)s); PsychoPy has the nine points", "nine-point", choices=ANSWERS
    )
    each: int | None = option("pictures that a participant sees, drawn anew for each (default: all)", None, metavar="N")
    instructions_file: Path | None = option(
        "your own text before the pictures, plain, its paragraphs separated by blank lines",
        None,
        flag="--instructions",
        metavar="TXT",
    )

    def check(self) -> None:
        """Raises DataError for what argparse cannot see."""
        if self.each is not None and self.each < 1:
            raise DataError(f"--each {self.each}: expected 1 picture or more.")
        if not self.title.strip():
            raise DataError("--title is empty: expected a heading for the page.")


@dataclass(frozen=True)
class Stimulus:
    """A line of the table and its picture, as PNG without metadata, in which ComfyUI writes the prompt."""

    cells: dict[str, str]
    png: bytes = field(repr=False)

    @property
    def file(self) -> str:
        """In an export's folder."""
        return f"pictures/{self.cells['picture']}.png"


# ---- reading ---------------------------------------------------------------------------------------


def read_set(path: Path) -> list[Stimulus]:
    """The pictures of a table that are not excluded.

    Raises:
        DataError: The table or pictures cannot be used, are missing, or are not those that were measured.
    """
    path = path / "norms.csv" if path.is_dir() else path
    rows = [row for row in read_norms(path) if not row.values["excluded"].strip()]
    if not rows:
        raise DataError(f"{path}: every picture is excluded: empty the column for those that are to be exported.")
    found, problems = [], []
    for row, file in zip(rows, files_of(path, rows), strict=True):
        try:
            found.append(_stimulus(row, file))
        except (PictureError, OSError) as error:
            problems.append(f"{row.place}: {error}")
    if problems:
        raise DataError(
            f"{path}: {len(problems):,} of {len(rows):,} pictures cannot be exported\n{listed(problems)}\n"
            "Mend them and run measure again, or write something into their column excluded."
        )
    return found


def _stimulus(row: Row, file: Path) -> Stimulus:
    if file_sha256(file) != row.values["sha256"]:
        raise PictureError(f"{file} is not the picture that was measured")
    buffer = io.BytesIO()
    Pillow.fromarray(decode(file)).save(buffer, "PNG")
    return Stimulus(dict(row.values), buffer.getvalue())


# ---- writing ---------------------------------------------------------------------------------------


def export(stimuli: Sequence[Stimulus], out: Path, formats: Sequence[str], settings: ExportSettings) -> None:
    """Writes a folder for each format into a new folder, whole or not at all.

    Raises:
        DataError: The folder exists, or cannot be written.
    """
    if out.exists():
        raise DataError(f"{out} exists already, and may be in use with participants. Choose another --out.")
    settings.check()
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for name in formats:
            folder = partial / name
            folder.mkdir(parents=True)
            FORMATS[name](stimuli, folder, settings)
        partial.rename(out)
    except OSError as error:
        raise DataError(f"{out}: could not be written: {error.strerror}. Nothing was changed.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_pictures(stimuli: Sequence[Stimulus], folder: Path) -> None:
    (folder / "pictures").mkdir()
    for stimulus in stimuli:
        (folder / stimulus.file).write_bytes(stimulus.png)


def write_csv(stimuli: Sequence[Stimulus], folder: Path, settings: ExportSettings) -> None:
    """The table, what its columns mean, and the pictures under the names that experiments give them."""
    _write_pictures(stimuli, folder)
    write_table(folder / "stimuli.csv", tuple(CODEBOOK), [{**one.cells, "file": one.file} for one in stimuli])
    write_codebook(folder / "codebook.csv")


def write_jspsych(stimuli: Sequence[Stimulus], folder: Path, settings: ExportSettings) -> None:
    """A page that runs from the disk and from any web server."""
    _write_pictures(stimuli, folder)
    shutil.copytree(PAGE / "jspsych", folder / "jspsych")
    for name in COPIED:
        shutil.copyfile(PAGE / name, folder / name)
    study = {
        "title": settings.title,
        "answer": settings.answer,
        "each": settings.each,
        "instructions": _instructions(settings),
        "warnings": _warnings(stimuli),
        # No prompt, point or norm: participants can read what a page loads.
        "pictures": [{"picture": one.cells["picture"], "file": one.file} for one in stimuli],
    }
    text = json.dumps(study, ensure_ascii=False, indent=1).replace("<", "\\u003c")
    (folder / "stimuli.js").write_text(f"const STUDY = {text};\n", encoding="utf-8", newline="\n")
    page = render(PAGE / "index.html", title=settings.title)
    (folder / "index.html").write_text(page, encoding="utf-8", newline="\n")


def write_psychopy(stimuli: Sequence[Stimulus], folder: Path, settings: ExportSettings) -> None:
    """A conditions file and a script that shows its pictures."""
    _write_pictures(stimuli, folder)
    rows = [{**one.cells, "file": one.file} for one in stimuli]
    columns = ("picture", "file", "scene", "seed", "asked_valence", "asked_arousal", "content_warning")
    write_table(folder / "conditions.csv", columns, rows)
    texts = {"TITLE": settings.title, "EACH": settings.each, "INSTRUCTIONS": "\n\n".join(_instructions(settings))}
    if warnings := _warnings(stimuli):
        texts["INSTRUCTIONS"] += f"\n\nSome pictures may upset you: {', '.join(warnings)}."
    head = "\n".join(f"{name} = {value!r}" for name, value in texts.items())
    script = (PAGE / "psychopy.txt").read_text("utf-8").replace("# SETTINGS", head)
    (folder / "rate.py").write_text(script, encoding="utf-8", newline="\n")


def write_sheets(stimuli: Sequence[Stimulus], folder: Path, settings: ExportSettings) -> None:
    """A picture of every scene and seed over the plane, for people who choose."""
    groups: dict[tuple[str, str], list[Stimulus]] = {}
    for one in stimuli:
        groups.setdefault((one.cells["scene"], one.cells["seed"]), []).append(one)
    for (scene, seed), part in groups.items():
        part.sort(key=lambda one: (-float(one.cells["asked_arousal"]), float(one.cells["asked_valence"])))
        valence, arousal = (
            [round((float(one.cells[f"asked_{axis}"]) - 5) * 0.75, 3) for one in part]
            for axis in ("valence", "arousal")
        )
        pictures = [Pillow.open(io.BytesIO(one.png)) for one in part]
        columns = len(set(valence)) if len(part) == len(set(valence)) * len(set(arousal)) else 0
        title = f"{scene}. {part[0].cells['prompt']}  (seed {seed})"
        draw_grid(pictures, valence, arousal, columns, title, SHEET_CELL).save(
            folder / f"scene-{scene}-seed-{seed}.png"
        )


FORMATS: dict[str, Callable[[Sequence[Stimulus], Path, ExportSettings], None]] = {
    "jspsych": write_jspsych,
    "psychopy": write_psychopy,
    "csv": write_csv,
    "contact-sheet": write_sheets,
}


def _instructions(settings: ExportSettings) -> list[str]:
    text = read_text(settings.instructions_file or PAGE / "instructions.txt")
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _warnings(stimuli: Sequence[Stimulus]) -> list[str]:
    return sorted({one.cells["content_warning"].strip() for one in stimuli} - {""})
