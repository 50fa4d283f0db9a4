"""Verification by people: a sheet to vote in, several annotators' votes, agreement, and the pairs that pass.

    python -m trainer.prepare review-export written.jsonl --out review.csv
    (each annotator fills in the column "vote" of their own copy: anna.csv, ben.csv, chen.csv)
    python -m trainer.prepare review-import written.jsonl anna.csv ben.csv chen.csv --out verified.jsonl

The sheet is a CSV that opens in any spreadsheet. A vote is "yes" (the neutral prompt carries no emotion, the
emotional one shows the same content, and its feeling fits the two numbers) or "no"; an empty cell does not count.
A pair passes with more yes than no: a tie does not pass.

Agreement is Fleiss' kappa (J. L. Fleiss, Psychological Bulletin 76, 1971), where pairs may have different
numbers of votes: agreement is averaged over the pairs with at least two.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emoticrafter.typed import looks_numeric, read_number
from trainer.core.rows import DataError, Problems, Row, match_columns, named_cells, read_rows, replacing
from trainer.data.pairs import PairTable

COLUMNS = ("id", "check", "neutral", "emotional", "valence", "arousal", "image", "vote", "comment")
VOTES = {"yes": True, "y": True, "1": True, "true": True, "no": False, "n": False, "0": False, "false": False}
# A spreadsheet takes a cell that begins so for a formula, some also with the fullwidth forms of = + - @. Where it cuts
# at semicolons or tabs instead of commas, a cell begins behind each, and behind line breaks.
FORMULA = re.compile('(?:^|[;\t\r\n])[ \u00a0\u3000"]*(?=[=+@\t\r\uff1d\uff0b\uff0d\uff20-])')


@dataclass
class Verdict:
    """What the votes say about one pair.

    Attributes:
        index: Its position in the table.
        votes: Annotator -> yes (True) or no.
        comments: Annotator -> comment.
    """

    index: int
    votes: dict[str, bool]
    comments: dict[str, str]

    @property
    def yes(self) -> int:
        return sum(self.votes.values())

    @property
    def no(self) -> int:
        return len(self.votes) - self.yes

    @property
    def passes(self) -> bool:
        return self.yes > self.no

    @property
    def decision(self) -> str:
        return "kept" if self.passes else "tie, dropped" if self.votes and self.yes == self.no else "dropped"


def _guarded(text: str) -> str:
    """The text with an apostrophe before whatever a spreadsheet could take for a formula."""
    return FORMULA.sub(lambda begin: f"{begin[0]}'", text)


def _check(table: PairTable, index: int) -> str:
    """Binds a vote to the words it was given for; begins with a letter so that no spreadsheet reads a number."""
    seen = [table.neutral[index], table.emotional[index], str(table.valence[index]), str(table.arousal[index])]
    return "c" + hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:10]


def export_sheet(table: PairTable, path: Path, images: dict[str, str] | None = None) -> None:
    """Writes the sheet to vote in.

    Args:
        table: The pairs.
        path: Where to, a CSV file (UTF-8 with byte order mark, which Excel needs).
        images: Id -> picture, where there is one.

    Raises:
        DataError: the file cannot be written, or it exists: there may be votes in it.
    """
    path = Path(path)
    if path.exists():
        raise DataError(f"{path} exists, and there may be votes in it. Move it away, or choose another --out.")
    with replacing(path, encoding="utf-8-sig") as stream:
        sheet = csv.writer(stream, quoting=csv.QUOTE_ALL)
        sheet.writerow(COLUMNS)
        for index, row in enumerate(table.rows()):
            texts = [_guarded(row["neutral"]), _guarded(row["emotional"])]
            picture = _guarded((images or {}).get(row["id"], ""))
            values = [f"{row['valence']:g}", f"{row['arousal']:g}"]
            sheet.writerow([_guarded(row["id"]), _check(table, index), *texts, *values, picture, "", ""])


def image_column(path: Path) -> dict[str, str]:
    """Id -> picture of a file of pairs that names them; empty where it does not."""
    path = Path(path) / "pairs.jsonl" if Path(path).is_dir() else Path(path)
    rows = read_rows(path)
    columns = match_columns(path, rows, (), {"id": "id", "image": "image"})
    cells = [named_cells(row, columns) for row in rows]
    return {str(cell["id"]): cell["image"] for cell in cells if cell.get("id") and isinstance(cell.get("image"), str)}


def read_votes(table: PairTable, sheets: Sequence[Path]) -> list[Verdict]:
    """Reads filled-in sheets, one per annotator, whose name is the file's.

    Args:
        table: The pairs that were exported.
        sheets: CSV files; commas, semicolons or tabs, as the annotators' spreadsheets write them.

    Returns:
        A verdict for every pair of the table, in its order.

    Raises:
        DataError: everything that is wrong with a sheet, with row and line numbers.
    """
    names = [Path(sheet).stem for sheet in sheets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"the sheets' file names are the annotators' names, and {twice} comes more than once.")
    verdicts = [Verdict(index, {}, {}) for index in range(len(table))]
    by_check = {
        (_check(table, index), name): verdicts[index]
        for index in range(len(table))
        for name in (_guarded(table.id[index]), table.id[index])
    }
    for name, sheet in zip(names, sheets, strict=True):
        _read_sheet(Path(sheet), name, by_check)
    return verdicts


def _read_sheet(path: Path, annotator: str, by_check: dict[tuple[str, str], Verdict]) -> None:
    rows = read_rows(path)
    aliases = {name: name for name in COLUMNS}
    columns = match_columns(path, rows, ("id", "check", "vote"), aliases)
    problems, ids = Problems(path), {name for _, name in by_check}
    for row in rows:
        cell = {name: str(row.values[column]).strip() for name, column in columns.items()}
        verdict = _find(row, cell, by_check, ids, problems)
        vote = cell["vote"].lower()
        if vote and vote not in VOTES:
            problems.add(row, f"vote is {cell['vote']!r}, expected yes or no, or an empty cell for no vote")
        elif verdict and annotator in verdict.votes:
            problems.add(row, f"id {cell['id']!r} comes a second time")
        elif verdict and vote:
            verdict.votes[annotator] = VOTES[vote]
            verdict.comments.update({annotator: cell["comment"]} if cell.get("comment") else {})
    problems.refuse("Correct the sheet; nothing was imported.")


def _find(
    row: Row, cell: dict[str, str], by_check: dict[tuple[str, str], Verdict], ids: set[str], problems: Problems
) -> Verdict | None:
    name, check = cell["id"], cell["check"]
    verdict = by_check.get((check, name)) or _under_a_number(check, name, by_check)
    if verdict is None and name in ids:
        problems.add(row, f"the pair {name!r} is not the one that was shown: it has changed since the export")
    elif verdict is None:
        problems.add(row, f"no pair has the id {name!r} and the check {check!r}")
    return verdict


def _under_a_number(check: str, name: str, by_check: dict[tuple[str, str], Verdict]) -> Verdict | None:
    """The pair whose id is the same number: spreadsheets write 007 as 7 and 1e5 as 100000."""
    try:
        number = read_number(name)
        same = [key for key in by_check if key[0] == check and looks_numeric(key[1]) and read_number(key[1]) == number]
    except ValueError:
        return None
    return by_check[same[0]] if len(same) == 1 else None


def fleiss_kappa(counts: np.ndarray) -> float:
    """Agreement beyond chance: 1 is perfect, 0 is what chance gives.

    Args:
        counts: [subjects, categories], how many raters chose each category for each subject.

    Returns:
        Kappa; NaN if no subject has two ratings, or if all ratings are in one category, where chance alone
        would agree.
    """
    counts = np.asarray(counts, dtype=np.float64)
    raters = counts.sum(1)
    counts, raters = counts[raters >= 2], raters[raters >= 2]
    if not len(counts):
        return float("nan")
    observed = np.mean((np.square(counts).sum(1) - raters) / (raters * (raters - 1)))
    chance = np.square(counts.sum(0) / counts.sum()).sum()
    return float((observed - chance) / (1 - chance)) if chance < 1 else float("nan")


def agreement(verdicts: list[Verdict]) -> float:
    """Fleiss' kappa of the votes."""
    return fleiss_kappa(np.array([[verdict.yes, verdict.no] for verdict in verdicts]).reshape(-1, 2))


def disagreements(verdicts: list[Verdict]) -> list[Verdict]:
    """Pairs on which annotators differ, the closest votes first."""
    split = [verdict for verdict in verdicts if verdict.yes and verdict.no]
    return sorted(split, key=lambda verdict: (abs(verdict.yes - verdict.no) / len(verdict.votes), verdict.index))


def write_disagreements(table: PairTable, verdicts: list[Verdict], path: Path) -> None:
    """Writes the pairs on which annotators differ, with everybody's vote and comment, as a CSV to talk over."""
    annotators = sorted({name for verdict in verdicts for name in verdict.votes})
    with replacing(path, encoding="utf-8-sig") as stream:
        sheet = csv.writer(stream, quoting=csv.QUOTE_ALL)
        header = ["id", "neutral", "emotional", "valence", "arousal", "yes", "no", "decision"]
        sheet.writerow([*header, *map(_guarded, annotators), "comments"])
        rows = list(table.rows())
        for verdict in disagreements(verdicts):
            row = rows[verdict.index]
            texts = [_guarded(row[name]) for name in ("id", "neutral", "emotional")]
            values = [f"{row['valence']:g}", f"{row['arousal']:g}", verdict.yes, verdict.no, verdict.decision]
            votes = [{True: "yes", False: "no", None: ""}[verdict.votes.get(name)] for name in annotators]
            comments = "; ".join(f"{name}: {text}" for name, text in verdict.comments.items())
            sheet.writerow([*texts, *values, *votes, _guarded(comments)])


def passed(table: PairTable, verdicts: list[Verdict], keep_unreviewed: bool = False) -> PairTable:
    """The pairs that passed and, on request, those without votes.

    Raises:
        DataError: no pair is left.
    """
    kept = [v.index for v in verdicts if v.passes or (keep_unreviewed and not v.votes)]
    if not kept:
        raise DataError("no pair passed: none has more yes than no.")
    return table.subset(kept)
