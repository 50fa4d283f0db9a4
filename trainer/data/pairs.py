"""The one table that training starts from: pairs of prompts with the valence and arousal between them.

A table is stored as ``pairs.jsonl``. It is read from that, from any CSV or JSONL file with the columns
``neutral, emotional, valence, arousal`` (and, if wanted, ``id, source, split``), or from the authors' CSV
layout (``Id, Arousal, Valence, Tag, Dataset, Neutral_Prompt, Emotional_Prompt``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.rows import (
    DataError,
    Problems,
    Row,
    listed,
    match_columns,
    named_cells,
    parse_each,
    read_rows,
    text_value,
    write_jsonl,
)
from trainer.data.scales import OURS, Scale, expect_ours

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
REQUIRED = ("neutral", "emotional", "valence", "arousal")
ALIASES = {name: name for name in (*REQUIRED, "id", "source", "split")} | {
    # The authors' layout.
    "neutral_prompt": "neutral",
    "emotional_prompt": "emotional",
    "dataset": "source",
}


@dataclass
class PairTable:
    """N pairs of prompts.

    Attributes:
        neutral: N prompts without emotion.
        emotional: N prompts with the same content and the emotion.
        valence: float32 [N] in [-3, 3], misery to joy.
        arousal: float32 [N] in [-3, 3], sleepy to alarmed or elated.
        source: N names of where the pair is from.
        split: N of "train", "validation" (which chooses the best weights) or "test" (which chooses nothing); a neutral
            prompt is in one of them alone.
        id: N distinct names.

    Raises:
        ValueError: columns of different length, values out of range, or an unknown split.
    """

    neutral: list[str]
    emotional: list[str]
    valence: np.ndarray
    arousal: np.ndarray
    source: list[str]
    split: list[str]
    id: list[str]

    def __post_init__(self) -> None:
        self.valence = np.asarray(self.valence, dtype=np.float32)
        self.arousal = np.asarray(self.arousal, dtype=np.float32)
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"the columns of a table differ in length: {lengths}")
        for name in ("valence", "arousal"):
            column = getattr(self, name)
            if not (np.abs(column) <= 3).all():  # also false for NaN
                raise ValueError(f"{name} must lie in [-3, 3], got {column.min()} to {column.max()}")
        if unknown := set(self.split) - set(SPLITS):
            raise ValueError(f"split must be one of {SPLITS}, got {sorted(unknown)}")

    def __len__(self) -> int:
        return len(self.neutral)

    def rows(self) -> Iterable[dict[str, Any]]:
        """One dict per pair, as written to pairs.jsonl."""
        names = ("id", "neutral", "emotional", "valence", "arousal", "source", "split")
        for values in zip(*(getattr(self, name) for name in names), strict=True):
            # The shortest decimal that gives the same float32 back.
            plain = [float(str(value)) if isinstance(value, np.float32) else value for value in values]
            yield dict(zip(names, plain, strict=True))

    def fingerprint(self) -> str:
        """SHA-256 over every value and the order, so that features and runs can tell whose data they hold."""
        digest = hashlib.sha256()
        for row in self.rows():
            digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    def indexes(self, split: str) -> np.ndarray:
        """int64 positions of the pairs in a split."""
        return np.flatnonzero(np.array(self.split) == split)

    def subset(self, indexes: Sequence[int]) -> PairTable:
        """The pairs at these positions, in this order."""
        columns = {name: [column[index] for index in indexes] for name, column in vars(self).items()}
        return PairTable(**columns)


# ----------------------------------------------------------------------------------------------------
# Split, sample, join
# ----------------------------------------------------------------------------------------------------


def same_prompt(prompt: str) -> str:
    """What two spellings of one prompt have in common: SDXL's tokenizers ignore case and runs of blanks."""
    return " ".join(prompt.lower().split())


def _hash(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{text}".encode()).digest()[:8], "big")


def assign_split(neutral: Sequence[str], fraction: float = 0.01, seed: int = 0) -> list[str]:
    """Puts about ``fraction`` of the neutral prompts into validation, by a hash of the prompt.

    A prompt keeps its side when other rows come or go, and never has pairs on both. Of two or more
    distinct prompts at least one is validation, so that a small table can be validated too.

    Raises:
        ValueError: fraction outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"the validation share must be at least 0 and below 1, got {fraction}")
    hashes = {prompt: _hash(seed, prompt) for prompt in {same_prompt(text) for text in neutral}}
    chosen = {prompt for prompt, value in hashes.items() if value < fraction * 2**64}
    if fraction and not chosen and len(hashes) > 1:
        chosen = {min(hashes, key=hashes.get)}
    return [SPLITS[same_prompt(text) in chosen] for text in neutral]


def resplit(table: PairTable, fraction: float = 0.01, seed: int = 0) -> PairTable:
    """The same pairs with a new split."""
    return PairTable(**{**vars(table), "split": assign_split(table.neutral, fraction, seed)})


def hold_out(table: PairTable, fraction: float, seed: int = 0) -> PairTable:
    """Moves about ``fraction`` of the neutral prompts from training to test, by a hash of the prompt.

    Validation stays as it is. At least one prompt is moved, if the fraction is not 0 and two or more are trained on.

    Raises:
        DataError: The table has test pairs already.
    """
    if TEST in table.split and fraction:
        raise DataError("the pairs have a test split of their own already: leave out --test.")
    prompts = {same_prompt(table.neutral[row]) for row in table.indexes(TRAIN)}
    moved = {prompt for prompt in prompts if _hash(seed, f"test {prompt}") < fraction * 2**64}
    if fraction and not moved and len(prompts) > 1:
        moved = {min(prompts, key=lambda prompt: _hash(seed, f"test {prompt}"))}
    split = [TEST if same_prompt(text) in moved else old for text, old in zip(table.neutral, table.split, strict=True)]
    return PairTable(**{**vars(table), "split": split})


def sample(table: PairTable, count: int, seed: int = 0) -> PairTable:
    """``count`` pairs spread over valence and arousal as the whole table is, in the table's order."""
    if count >= len(table):
        return table
    if count < 1:
        raise ValueError(f"expected at least 1 pair to keep, got {count}")
    # Sorted by emotion with ties in random order, every k-th pair is a stratified sample.
    tie = np.random.default_rng(seed).permutation(len(table))
    order = np.lexsort((tie, table.arousal, table.valence))
    picked = order[np.floor((np.arange(count) + 0.5) * len(table) / count).astype(np.int64)]
    return table.subset(np.sort(picked))


def concatenate(tables: Sequence[PairTable]) -> PairTable:
    """One table after the other; ids that would collide get their table's number in front."""
    if len(tables) == 1:
        return tables[0]
    ids = [name for table in tables for name in table.id]
    if len(set(ids)) < len(ids):
        ids = [f"{number}/{name}" for number, table in enumerate(tables, start=1) for name in table.id]
    columns = {name: [v for table in tables for v in getattr(table, name)] for name in vars(tables[0])}
    return PairTable(**{**columns, "id": ids})


# ----------------------------------------------------------------------------------------------------
# Files
# ----------------------------------------------------------------------------------------------------


def save_table(table: PairTable, path: Path) -> None:
    """Writes a table as JSONL; an interrupted save leaves what was there.

    Raises:
        DataError: the file cannot be written.
    """
    write_jsonl(path, table.rows())


def load_table(
    path: Path, scale: Scale | None = OURS, fraction: float = 0.01, seed: int = 0, skipped: list[str] | None = None
) -> PairTable:
    """Reads and checks a CSV or JSONL file of pairs.

    Args:
        path: The file, or a data folder with ``pairs.jsonl`` in it.
        scale: The scale of its valence and arousal; None if nobody said: [-3, 3], unless they look otherwise.
        fraction, seed: The validation split, where the file has no ``split`` column.
        skipped: If given, bad rows are left out and described here instead of refused.

    Raises:
        DataError: everything that is wrong with it, with row and line numbers.
    """
    path, rows = _read_pairs(Path(path))
    columns, problems, records = match_columns(path, rows, REQUIRED, ALIASES), Problems(path), []
    cells = [named_cells(row, columns) for row in rows]
    scale = scale or expect_ours(path, *([cell[name] for cell in cells] for name in ("valence", "arousal")))
    readers = {
        "neutral": text_value,
        "emotional": text_value,
        "valence": scale.to_valence,
        "arousal": scale.to_arousal,
        "id": lambda value: text_value(_as_text(value)),
        "source": text_value,
        "split": _split_value,
    }
    readers = {name: read for name, read in readers.items() if name in columns}
    for row, cell in zip(rows, cells, strict=True):
        if values := parse_each(row, problems, readers, cell):
            missing = {"id": f"row-{row.number}", "source": path.stem, "split": None}
            records.append({**missing, "row": row, **values})
    _check_ids(records, problems)
    _check_split(records, problems)
    if skipped is None:
        problems.refuse(problems.advice())
    else:
        skipped.extend(problems.found)
        records = [record for record in records if record["row"].number not in problems.rows]
        if not records:
            raise DataError(f"{path}: none of its {len(rows)} rows can be used\n{listed(problems.found)}")
    if "split" not in columns:
        splits = assign_split([record["neutral"] for record in records], fraction, seed)
        records = [record | {"split": split} for record, split in zip(records, splits, strict=True)]
    return PairTable(**{name: [record[name] for record in records] for name in PairTable.__dataclass_fields__})


def _read_pairs(path: Path) -> tuple[Path, list[Row]]:
    """The file that a path stands for, and its rows."""
    if path.is_dir():
        path = path / "pairs.jsonl"
        if not path.exists():
            raise DataError(f"{path} does not exist. Make it with: python -m trainer.prepare --out {path.parent}")
    rows = read_rows(path)
    columns = {column.strip().lower() for column in rows[0].values}
    if "image" in columns and not columns & {"neutral", "neutral_prompt"}:
        raise DataError(
            f"{path}: these are rated pictures, not pairs of prompts. Have the pairs written: "
            "python -m trainer.prepare write-prompts --help (or caption-pairs, if they have captions)."
        )
    return path, rows


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _split_value(value: Any) -> str:
    if value not in SPLITS:
        raise ValueError(f"is {value!r}, expected 'train', 'validation' or 'test'")
    return value


def _check_ids(records: list[dict], problems: Problems) -> None:
    first: dict[str, Row] = {}
    for record in records:
        earlier = first.setdefault(record["id"], record["row"])
        if earlier is not record["row"]:
            problems.add(record["row"], f"id {record['id']!r} is already taken by row {earlier.number}")


def _check_split(records: list[dict], problems: Problems) -> None:
    """A prompt that is trained on must not be validated or tested on."""
    first: dict[str, dict] = {}
    for record in records:
        earlier = first.setdefault(same_prompt(record["neutral"]), record)
        if earlier["split"] != record["split"]:
            problems.add(
                record["row"],
                f"its neutral prompt is in {record['split']} here and in {earlier['split']} in row "
                f"{earlier['row'].number}; remove the split column to have one made",
            )
