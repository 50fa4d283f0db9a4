"""Writes what an evaluation found: report.html (one file, nothing loaded from anywhere) and results.json."""

import base64
import html
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from emoticrafter.files import write_atomically
from trainer.evaluation.pictures import PictureError, decode
from trainer.evaluation.results import ALWAYS_0, Results
from trainer.evaluation.statistics import FEWEST, Calibration, Estimate
from trainer.manifest import Image
from trainer.report import CSS

COLUMNS = {
    "V-Error": "lower is better",
    "A-Error": "lower is better",
    "V tau": "1 is best",
    "A tau": "1 is best",
    "V slope": "1 is best",
    "A slope": "1 is best",
    "V range": "",
    "A range": "",
    "content": "higher is better",
    "CLIPScore": "higher is better",
    "CLIP-IQA": "higher is better",
    "LPIPS-V": "lower is smoother",
    "LPIPS-A": "lower is smoother",
    "LPIPS-Continuous": "lower is smoother",
}
CELL = 112  # pixels of a picture in the grids
MORE_CSS = """
main { max-width: 76rem; }
.wide { overflow-x: auto; }
.wide table { min-width: 60rem; }
th small, td small { color: var(--quiet); white-space: nowrap; display: block; }
tr.control th, tr.control td { color: var(--quiet); font-style: italic; }
.grids, .curves { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; }
figcaption { color: var(--quiet); font-size: 0.85rem; margin-top: 0.4rem; }
.grid { display: grid; gap: 2px; width: max-content; }
.grid img { width: 84px; height: 84px; object-fit: cover; }
.grid span { width: 84px; height: 84px; background: var(--faint); }
svg { width: 17rem; height: auto; }
svg text { fill: var(--quiet); font-size: 9px; }
"""


def markdown(results: Results) -> str:
    """The table for a terminal or a document; means over prompts, their 95 % interval below the docs' heading."""
    rows = results.estimates
    columns = _columns(rows)
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for name, found in rows.items():
        lines.append(f"| {name} | " + " | ".join(_number(found.get(column)) for column in columns) + " |")
    return "\n".join(lines)


def _columns(rows: dict[str, dict[str, Estimate]]) -> list[str]:
    return [name for name in COLUMNS if any(name in found for found in rows.values())]


def _number(value: Estimate | None) -> str:
    return "–" if value is None or not math.isfinite(value.mean) else f"{value.mean:.3f}"


def _interval(value: Estimate | None) -> str:
    if value is None or not math.isfinite(value.low):
        return ""
    return f"<small>{value.low:.3f} to {value.high:.3f}</small>"


# ---- the page --------------------------------------------------------------------------------------


def page(
    results: Results, images: Sequence[Image], made_by: dict[str, str], problems: list[str], shown: int
) -> str:
    """The report as one HTML document.

    Args:
        results: What was found.
        images: With their files, for the grids.
        made_by: What read and measured the images: "valence and arousal" -> "linear heads on …".
        problems: Images that could not be used, and why.
        shown: Prompts whose pictures are shown.
    """
    parts = [
        _section("How well the pictures follow", _warnings(results, problems) + _table(results)),
        _section("Calibration", _curves(results)),
        _section("Differences between methods", _tests(results)),
        _section("Pictures", _grids(images, results.prompts[:shown])),
        _section("What measured", _facts(made_by)),
    ]
    title = f"{len(images):,} pictures of {len(results.prompts):,} prompts"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Evaluation</title><style>{CSS}{MORE_CSS}</style><main><h1>Evaluation</h1><p>{title}</p>"
        + "".join(parts)
        + "</main></html>\n"
    )


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{heading}</h2>{body}</section>"


def _warnings(results: Results, problems: list[str]) -> str:
    zero = results.estimates[ALWAYS_0]
    text = (
        "Means over prompts, with the middle 95 % of a bootstrap over prompts. On these points a reader that sees "
        f"nothing and always says 0 has a V-Error of {zero['V-Error'].mean:.3f} and an A-Error of "
        f"{zero['A-Error'].mean:.3f}: an error near that shows no control. Look at tau and slope beside it."
    )
    found = f"<p>{text}</p>" + "".join(
        f'<p class="warning">{html.escape(note)}</p>' for note in results.notes
    )
    if problems:
        listed = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems[:20])
        found += f'<p class="warning">{len(problems):,} problems</p><ul>{listed}</ul>'
    return found


def _table(results: Results) -> str:
    rows = results.estimates
    columns = _columns(rows)
    head = "".join(f"<th>{name}<small>{COLUMNS[name]}</small></th>" for name in columns)
    body = ""
    for name, found in rows.items():
        cells = "".join(f"<td>{_number(found.get(c))}{_interval(found.get(c))}</td>" for c in columns)
        kind = ' class="control"' if name in results.controls else ""
        body += f"<tr{kind}><th>{html.escape(name)}</th>{cells}</tr>"
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _tests(results: Results) -> str:
    if not results.tests:
        return "<p>There is one method alone.</p>"
    text = (
        "Wilcoxon's signed-rank test over the prompts that both have, two-sided; p after Holm's correction over the "
        "pairs of a figure. Effect: matched-pairs rank-biserial correlation, from -1 to 1. Normality: p of Shapiro "
        "and Wilk's test of the differences, which Wilcoxon's test does not need."
    )
    body = ""
    for figure, first, second, test, corrected in results.tests:
        p = f"too few prompts ({test.prompts} of {FEWEST})" if test.p is None else f"{test.p:.2g}"
        cells = [
            f"{first} less {second}",
            "–" if not math.isfinite(test.difference) else f"{test.difference:+.3f}",
            "–" if not math.isfinite(test.effect) else f"{test.effect:+.2f}",
            p,
            "–" if corrected is None else f"{corrected:.2g}",
            "–" if test.normality is None else f"{test.normality:.2g}",
            str(test.prompts),
        ]
        body += f"<tr><th>{figure}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
    head = "".join(
        f"<th>{n}</th>" for n in ("", "", "difference", "effect", "p", "p (Holm)", "normality", "prompts")
    )
    return f'<p>{text}</p><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _facts(made_by: dict[str, str]) -> str:
    rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in made_by.items())
    return f"<table>{rows}</table>"


# ---- curves and grids ------------------------------------------------------------------------------


def _curves(results: Results) -> str:
    text = (
        "The mean reading at each level that was asked for, and its standard deviation; the diagonal is perfect. "
        "The number is the mean distance of the points from the diagonal."
    )
    figures = "".join(
        f"<figure>{_curve(found)}<figcaption>{html.escape(name)}, {axis}: {found.error:.3f}</figcaption></figure>"
        for name, both in results.calibrations.items()
        for axis, found in zip(("valence", "arousal"), both, strict=True)
    )
    return f'<p>{text}</p><div class="curves">{figures}</div>'


def _curve(found: Calibration) -> str:
    def at(value: float) -> float:
        return 20 + (np.clip(value, -3, 3) + 3) * 30

    def up(value: float) -> float:
        return 220 - at(value)

    shapes = [
        '<rect x="20" y="20" width="180" height="180" fill="none" stroke="var(--faint)"/>',
        f'<line x1="{at(-3)}" y1="{up(-3)}" x2="{at(3)}" y2="{up(3)}" stroke="var(--quiet)" stroke-dasharray="3 3"/>',
    ]
    for level, mean, deviation in zip(found.asked, found.mean, found.deviation, strict=True):
        x = at(level)
        shapes.append(
            f'<line x1="{x:.1f}" y1="{up(mean - deviation):.1f}" x2="{x:.1f}" y2="{up(mean + deviation):.1f}" '
            'stroke="currentColor" opacity="0.4" stroke-width="4"/>'
            f'<circle cx="{x:.1f}" cy="{up(mean):.1f}" r="4" fill="currentColor"/>'
        )
    marks = "".join(
        f'<text x="{at(v):.0f}" y="213" text-anchor="middle">{v:+d}</text>'
        f'<text x="16" y="{up(v) + 3:.0f}" text-anchor="end">{v:+d}</text>'
        for v in (-3, 0, 3)
    )
    return f'<svg viewBox="0 0 220 220" role="img" aria-label="calibration">{"".join(shapes)}{marks}</svg>'


def _grids(images: Sequence[Image], prompts: list[str]) -> str:
    found = '<p>Valence rises to the right, arousal upwards; the first seed of each prompt.</p><div class="grids">'
    for prompt in prompts:
        for method in dict.fromkeys(image.method for image in images):
            mine = [image for image in images if image.prompt == prompt and image.method == method]
            if mine:
                seed = min(image.seed for image in mine)
                grid = _grid([image for image in mine if image.seed == seed])
                found += f"<figure>{grid}<figcaption>{html.escape(method)}: {html.escape(prompt)}</figcaption></figure>"
    return found + "</div>"


def _grid(images: list[Image]) -> str:
    valences = sorted({image.valence for image in images})
    arousals = sorted({image.arousal for image in images}, reverse=True)
    places = {(image.valence, image.arousal): image for image in images}
    cells = "".join(_cell(places.get((v, a))) for a in arousals for v in valences)
    return f'<div class="grid" style="grid-template-columns: repeat({len(valences)}, 84px)">{cells}</div>'


def _cell(image: Image | None) -> str:
    try:
        small = Pillow.fromarray(decode(image.path)) if image else None
    except PictureError:
        small = None
    if small is None:
        return "<span></span>"
    small.thumbnail((CELL, CELL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="V {image.valence:+g}, A {image.arousal:+g}">'


# ---- files -----------------------------------------------------------------------------------------


def as_json(results: Results, made_by: dict[str, str], problems: list[str]) -> dict:
    """Everything of the report that is a number or a text; what is not there is null."""
    rows = {**results.methods, **results.controls}
    found = {
        "made_by": made_by,
        "notes": results.notes,
        "problems": problems,
        "prompts": results.prompts,
        "table": {row: {k: asdict(v) for k, v in one.items()} for row, one in results.estimates.items()},
        "per_prompt": {row: {k: v.tolist() for k, v in one.items()} for row, one in rows.items()},
        "calibration": {
            name: {axis: _calibration(c) for axis, c in zip(("valence", "arousal"), both, strict=True)}
            for name, both in results.calibrations.items()
        },
        "tests": [
            {"figure": figure, "first": first, "second": second, **asdict(test), "p_holm": corrected}
            for figure, first, second, test, corrected in results.tests
        ],
    }
    return _without_nan(found)


def _calibration(found: Calibration) -> dict:
    return {
        "asked": found.asked.tolist(),
        "mean": found.mean.tolist(),
        "deviation": found.deviation.tolist(),
        "error": found.error,
    }


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(out: Path, text: str, found: dict) -> None:
    """Writes report.html and results.json, each whole or not at all."""
    numbers = json.dumps(found, indent=1, allow_nan=False) + "\n"
    for name, content in (("report.html", text), ("results.json", numbers)):
        write_atomically(out / name, lambda path, content=content: path.write_text(content, encoding="utf-8"))
