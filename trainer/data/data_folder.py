"""The data folder that training reads: pairs.jsonl, about.json and features/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.core.device import find_device
from trainer.core.rows import DataError, replacing
from trainer.data.findingemo import LICENCE, findingemo_table
from trainer.data.pairs import PairTable, Scale, concatenate, load_table, resplit, sample, save_table

if TYPE_CHECKING:
    from trainer.features.store import FeatureStore

FINDINGEMO = "findingemo"
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


@dataclass(frozen=True)
class PrepareSettings:
    """Which pairs a data folder gets, and how they are encoded.

    Attributes:
        out: The folder.
        pairs: Files of pairs; "findingemo" stands for its ratings.
        scale: The scale of the files' ratings; [-3, 3] if None.
        skip_bad: Leave bad rows out instead of refusing the file.
        limit: How many pairs to keep, spread over valence and arousal; all if None.
        validation: Share of neutral prompts kept for validation.
        scenes: Share of FindingEmo's pairs without people.
        seed: Decides wording, split and sample.
        encoder: Source of the text encoders, see `trainer.features.encoders.load_encoders`.
        dtype: What features are stored in: float16 or bfloat16.
        batch_size: Prompts encoded at once.
        device: auto, cpu, cuda, cuda:1 ...
    """

    out: Path
    pairs: Sequence[str | Path] = (FINDINGEMO,)
    scale: Scale | None = None
    skip_bad: bool = False
    limit: int | None = None
    validation: float = 0.01
    scenes: float = 0.1
    seed: int = 0
    encoder: str | Path = SDXL
    dtype: str = "float16"
    batch_size: int = 32
    device: str = "auto"


def prepare(settings: PrepareSettings) -> PairTable:
    """Makes a data folder; what an earlier run of the same settings left there is used.

    Raises:
        DataError: The pairs cannot be used, or the folder holds others.
        ValueError, OSError: The encoders cannot be read, or the features not written.
    """
    table, _ = collect_pairs(settings)
    write_pairs(table, settings)
    write_features(table, settings)
    return table


def collect_pairs(settings: PrepareSettings) -> tuple[PairTable, list[str]]:
    """The pairs of all sources, and the bad rows that were left out."""
    tables, skipped = [], []
    for source in settings.pairs:
        if source == FINDINGEMO:
            tables.append(findingemo_table(settings.seed, settings.validation, settings.scenes))
        else:
            bad = skipped if settings.skip_bad else None
            tables.append(load_table(Path(source), settings.scale, settings.validation, settings.seed, bad))
    table = concatenate(tables)
    if settings.limit:
        table = sample(table, settings.limit, settings.seed)
    if len(tables) > 1 or (settings.limit and len(set(table.split)) < 2):
        # Two files may share a prompt, and a sample may miss validation altogether.
        table = resplit(table, settings.validation, settings.seed)
    return table, skipped


def write_pairs(table: PairTable, settings: PrepareSettings) -> None:
    """Writes pairs.jsonl and about.json.

    Raises:
        DataError: The folder holds other pairs, which are not replaced.
    """
    path = settings.out / "pairs.jsonl"
    if path.exists():
        if load_table(path).fingerprint() == table.fingerprint():
            return
        raise DataError(f"{path} holds other pairs. Choose another --out, or remove {settings.out} first.")
    save_table(table, path)
    about = {
        "pairs": list(map(str, settings.pairs)),
        "seed": settings.seed,
        "validation": settings.validation,
    }
    if FINDINGEMO in settings.pairs:
        about |= {"scenes": settings.scenes, "licence": LICENCE}
    about["fingerprint"] = table.fingerprint()
    with replacing(settings.out / "about.json") as stream:
        stream.write(json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def write_features(table: PairTable, settings: PrepareSettings, progress: bool = False) -> FeatureStore:
    """Encodes the prompts into features/, going on where an earlier run stopped."""
    from trainer.features import store
    from trainer.features.encoders import load_encoders

    encoders = load_encoders(settings.encoder, find_device(settings.device))
    folder = settings.out / "features"
    return store.write_features(table, encoders, folder, settings.dtype, settings.batch_size, progress)
