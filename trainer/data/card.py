"""The data card of a data folder's pairs, in the form that hubs read: README.md with a YAML header."""

from collections import Counter
from pathlib import Path

from emoticrafter.card_header import header
from emoticrafter.files import write_text
from emoticrafter.quoting import shown
from trainer.core import markdown
from trainer.data.findingemo import LICENCE as FINDINGEMO_LICENCE
from trainer.data.pairs import SPLITS, PairTable

NAME = "README.md"
UNKNOWN = "not recorded: see its source"
KNOWN = {"findingemo": FINDINGEMO_LICENCE}
"""Licences of sources, by their name in lower case."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def licence_of(source: str) -> str:
    return KNOWN.get(source.lower(), UNKNOWN)


def data_card(table: PairTable, about: dict) -> str:
    """The card of a table of pairs.

    Args:
        table: The pairs.
        about: How they were made, as in about.json.
    """
    sources = Counter(table.source)
    size = next((name for most, name in SIZES if len(table) < most), "1M<n<10M")
    values = {
        "task_categories": ["text-to-image"],
        "tags": ["emotion", "valence-arousal", "prompt-pairs"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": "pairs.jsonl"}],
    }
    splits = [[split, *_split(table, split)] for split in SPLITS if len(table.indexes(split))]
    head = ["split", "pairs", "neutral prompts", "valence", "arousal"]
    origin = [[shown(name), f"{count:,}", licence_of(name)] for name, count in sources.most_common()]
    made = "\n".join(f"- {name}: {shown(str(value))}" for name, value in about.items())
    return "\n\n".join(
        [
            header(values, [licence_of(name) for name in sources]),
            "# Pairs of prompts with valence and arousal",
            "Each line of `pairs.jsonl` has a neutral prompt, an emotional one with the same content, and the valence "
            "(-3 misery to +3 joy) and arousal (-3 sleepy to +3 alarmed or elated) between them, with the pair's id, "
            "source and split. A neutral prompt is in one split alone; validation chooses a training's best weights, "
            "test nothing.",
            markdown.table(head, splits),
            "## Sources",
            markdown.table(["source", "pairs", "licence"], origin, "lrl"),
            "## How it was made\n\nBy `python -m trainer.prepare`:\n\n" + made,
            "## Limits\n\nValence and arousal are as the sources rated or set them. Words of the emotional prompts "
            "carry the emotion, so a network learns what these words mean to its text encoders, in their language and "
            "culture.\n",
        ]
    )


def _split(table: PairTable, split: str) -> list[str]:
    rows = table.indexes(split)
    ranges = [f"{column[rows].min():+.2f} to {column[rows].max():+.2f}" for column in (table.valence, table.arousal)]
    return [f"{len(rows):,}", f"{len({table.neutral[row] for row in rows}):,}", *ranges]


def write_data_card(table: PairTable, about: dict, folder: Path) -> None:
    write_text(folder / NAME, data_card(table, about))
