"""Every image of an evaluation in one CSV, with what was asked and what was measured: others can recompute the tables.

    id,method,prompt,seed,asked valence,asked arousal,read valence,read arousal,...,content

A figure of a table is a mean over prompts of what `trainer.evaluation.statistics.follow` gives for a prompt's rows.
"""

import csv
import math
from pathlib import Path

from trainer.core.rows import replacing
from trainer.evaluation.scoring import READ, READ_AGAIN, Scores

ASKED = ("id", "method", "prompt", "seed", "asked valence", "asked arousal")
DIGITS = 7
"""Significant ones: readings are float32."""


def write_readings(path: Path, scores: Scores) -> None:
    """Writes a line for each image that could be read; an empty cell is no answer.

    Raises:
        DataError: The file cannot be written.
    """
    names = {name: f"read {name}" if name in (*READ, *READ_AGAIN) else name for name in scores.columns}
    with replacing(path) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow([*ASKED, *names.values()])
        for row, image in enumerate(scores.images):
            asked = [image.id, image.method, image.prompt, image.seed, f"{image.valence:g}", f"{image.arousal:g}"]
            table.writerow([*asked, *(_cell(float(scores.columns[name][row])) for name in names)])


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.{DIGITS}g}"
