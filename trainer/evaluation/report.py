"""Writes an evaluation as report.html (one file that loads nothing) and results.json, and its tables as Markdown."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from emoticrafter.files import write_text
from trainer.core import markdown as documents
from trainer.core.html import render
from trainer.core.rows import DataError
from trainer.evaluation import charts
from trainer.evaluation.manifest import Image
from trainer.evaluation.results import ALWAYS_0, CHECKED, FOLLOWED, Results, counted
from trainer.evaluation.statistics import FEWEST, Calibration, Comparison, Estimate

MEANINGS = {
    "V-Error, A-Error": "The mean distance between readings and the valence or arousal that was asked for.",
    "tau": "Kendall's tau-c within a prompt: does asking for more bring more? 1 always, 0 no more often than less.",
    "slope": "How far the reading moves for each step asked, within a prompt. 1 is all the way, 0 is not at all.",
    "range": "The largest reading of a prompt minus the smallest. The whole scale is 6 long.",
    "2": "The same by a second reader, which has another plan and learned from other pictures.",
    "content": "The share of pictures that the miniature's content reader takes for the prompt's subject.",
    "CLIPScore": "Whether CLIP finds the neutral prompt in the picture: 100 times the cosine of the two.",
    "CLIP-IQA": "Whether CLIP finds the picture more like “Good photo.” than like “Bad photo.”, from 0 to 1.",
    "LPIPS": "How different neighbours on the plane look, along valence, along arousal, and along both (Continuous). "
    "Low means smooth; pictures that never change are perfectly smooth, so a low value alone proves nothing.",
}
ROWS = {
    ALWAYS_0: "A reader that sees nothing and answers 0 to every picture. An error near its error shows no control.",
    "labels shuffled": "The same pictures, with the asked values shuffled within each prompt: what the method's "
    "range of readings scores without aim.",
    "labels negated": "The same pictures, as if the opposite of each had been asked. A method that does not beat "
    "this has not learned the sign.",
}
LEVEL = 0.05


@dataclass(frozen=True)
class Part:
    """A table: estimates by row and column, and the columns in order."""

    heading: str
    rows: dict[str, dict[str, Estimate]]
    columns: list[str]


def parts_of(results: Results) -> list[Part]:
    """The two tables: how methods follow the asked values, and what it costs."""
    rows = results.estimates
    columns = [name for name in charts.COLUMNS if any(name in found for found in rows.values())]
    followed = {*FOLLOWED, *(f"{name} 2" for name in CHECKED)}
    found = [Part("Valence and arousal", rows, [name for name in columns if name in followed])]
    if others := [name for name in columns if name not in followed]:
        rows = {name: row for name, row in rows.items() if any(column in row for column in others)}
        found.append(Part("Content, quality and smoothness", rows, others))
    return found


def markdown(results: Results) -> str:
    """The tables for a terminal or a document: means over prompts, columns aligned."""
    return "\n\n".join(
        documents.table(
            ["", *part.columns],
            [[name, *(_number(found.get(c)) for c in part.columns)] for name, found in part.rows.items()],
            padded=True,
        )
        for part in parts_of(results)
    )


def _number(value: Estimate | None) -> str:
    return "–" if value is None or not math.isfinite(value.mean) else f"{value.mean:.3f}"


# ---- the page --------------------------------------------------------------------------------------


def page(
    results: Results,
    images: Sequence[Image],
    made_by: dict[str, str],
    problems: list[str],
    shown: int,
    plain: str = "plain",
) -> str:
    """The report as one HTML document.

    Args:
        results: What was found.
        images: With their files, for the grids.
        made_by: What read and measured the images: "valence and arousal" -> "linear heads on …".
        problems: Images that could not be used, and why.
        shown: Prompts whose pictures are shown.
        plain: The method that got the plain prompts.
    """
    parts = parts_of(results)
    return render(
        Path(__file__).with_name("report.html"),
        results=results,
        pictures=len(images),
        made_by=made_by,
        problems=problems,
        plain=plain,
        always_0=ALWAYS_0,
        zero=results.estimates[ALWAYS_0],
        panels=charts.panels(results),
        shown=charts.grids(images, results.prompts[:shown]) if shown else None,
        parts=parts,
        columns=charts.COLUMNS,
        meanings=_meanings([name for part in parts for name in part.columns], plain in results.methods, plain),
        x=charts.x_of,
        y=charts.y_of,
        tests=_tests(results),
        number=_number,
        signed=charts.signed,
        counted=counted,
        isfinite=math.isfinite,
    )


def _meanings(columns: list[str], has_plain: bool, plain: str) -> dict[str, str]:
    kept = {name: text for name, text in MEANINGS.items() if any(name in c or c in name for c in columns)}
    if has_plain:
        kept[plain] = "What the same model draws without emotion: it stands at every point."
    return kept | ROWS


def _tests(results: Results) -> dict[str, dict]:
    """By figure: how many comparisons are clear, and the cells of each."""
    found = {}
    for figure, tests in groupby(results.tests, key=lambda test: test[0]):
        tests = list(tests)
        possible = [corrected for *_, corrected in tests if corrected is not None]
        clear = sum(corrected < LEVEL for corrected in possible)
        said = f"{clear} of {counted(len(possible), 'comparison')} below p = {LEVEL:g}" if possible else "no test"
        rows = [
            {"first": first, "second": second, "cells": _cells(test, corrected)}
            for _, first, second, test, corrected in tests
        ]
        found[figure] = {"said": said, "rows": rows}
    return found


def _cells(test: Comparison, corrected: float | None) -> list[str]:
    cells = [
        f"{test.difference:+.3f}" if math.isfinite(test.difference) else "–",
        f"{test.effect:+.2f}" if math.isfinite(test.effect) else "–",
        p_value(test.p) if test.p is not None else f"too few prompts differ ({test.moved} of {FEWEST})",
        p_value(corrected),
        p_value(test.normality),
        str(test.prompts),
    ]
    return [cell.replace("-", "−") for cell in cells]


def p_value(value: float | None) -> str:
    """A p for people; a dash for none."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


# ---- files -----------------------------------------------------------------------------------------


def as_json(results: Results, made_by: dict[str, str], problems: list[str]) -> dict:
    """Every number and text of the report, ready for JSON; NaN becomes null."""
    found = {
        "made_by": made_by,
        "notes": results.notes,
        "problems": problems,
        "prompts": results.prompts,
        "table": {row: {k: asdict(v) for k, v in one.items()} for row, one in results.estimates.items()},
        "per_prompt": {**results.methods, **results.controls},
        "calibration": {
            name: {"valence": _calibration(valence), "arousal": _calibration(arousal)}
            for name, (valence, arousal) in results.calibrations.items()
        },
        "tests": [
            {"figure": figure, "first": first, "second": second, **asdict(test), "p_holm": corrected}
            for figure, first, second, test, corrected in results.tests
        ],
    }
    return without_nan(found)


def _calibration(found: Calibration) -> dict:
    return asdict(found) | {"error": found.error}


def without_nan(value):
    """Numbers and texts, however nested, ready for JSON: arrays become lists, NaN and infinity null."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | np.ndarray):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(out: Path, text: str, found: dict) -> None:
    """Writes report.html and results.json, each whole or not at all."""
    numbers = json.dumps(found, indent=1, allow_nan=False) + "\n"
    for name, content in (("report.html", text), ("results.json", numbers)):
        try:
            write_text(out / name, content)
        except OSError as error:
            raise DataError(
                f"{out / name} could not be written ({error.strerror}). Measurements are kept: free some space and "
                "run the same command again."
            ) from error
