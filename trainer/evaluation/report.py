"""Writes what an evaluation found: report.html (one file, nothing loaded from anywhere) and results.json."""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from emoticrafter.files import write_atomically
from trainer.core.rows import DataError
from trainer.evaluation import charts
from trainer.evaluation.manifest import Image
from trainer.evaluation.results import ALWAYS_0, FOLLOWED, Results, counted
from trainer.evaluation.statistics import FEWEST, Calibration, Comparison, Estimate
from trainer.runs.report import CSS

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
MEANINGS = {
    "V-Error, A-Error": "How far readings are from the valence or arousal that was asked for: the mean distance.",
    "tau": "Kendall's tau-c within a prompt: does asking for more bring more? 1 always, 0 no more often than less.",
    "slope": "How far the reading moves for each step asked, within a prompt. 1 is all the way, 0 is not at all.",
    "range": "The largest reading of a prompt less the smallest. The whole scale is 6 long.",
    "content": "The share of pictures that the miniature's content reader takes for the prompt's subject.",
    "CLIPScore": "Whether CLIP finds the neutral prompt in the picture: 100 times the cosine of the two.",
    "CLIP-IQA": "Whether CLIP finds the picture more like “Good photo.” than like “Bad photo.”, from 0 to 1.",
    "LPIPS": "How different neighbours on the plane look, along valence, along arousal, and along both (Continuous). "
    "Low means smooth; pictures that never change are perfectly smooth, so low alone is no merit.",
}
ROWS = {
    ALWAYS_0: "A reader that sees nothing and answers 0 to every picture. An error near its error shows no control.",
    "labels shuffled": "The same pictures, with the asked values changed about within each prompt: what the method's "
    "range of readings scores without aim.",
}
LEVEL = 0.05
MORE_CSS = """
:root { --accent: light-dark(#2f5fd0, #8fb0ff); }
body { overflow-wrap: break-word; }
main { max-width: 78rem; }
h3 { font-size: 0.95rem; font-weight: 600; margin: 1.2rem 0 0.45rem; }
.panel h3 { margin: 0 0 0.3rem; }
.wide { overflow-x: auto; margin-bottom: 1.25rem; }
.wide table { width: auto; min-width: 100%; }
.wide th, .wide td { white-space: nowrap; padding-right: 1.1rem; }
.wide tbody th { width: auto; position: sticky; left: 0; background: var(--paper); color: var(--ink); }
th small, td small { color: var(--quiet); display: block; font-weight: 400; }
tr.control th, tr.control td { color: var(--quiet); }
tr.control td { font-style: italic; }
.meanings { display: block; padding: 0; border: 0; margin: 0.5rem 0; max-width: 60rem; }
.meanings dt { float: left; clear: left; min-width: 8.5rem; padding-right: 1rem; color: var(--ink); font-size: 0.9rem; }
.meanings dd { font-size: 0.9rem; color: var(--quiet); margin: 0 0 0.35rem 8.5rem; }
.note { border-left: 3px solid light-dark(#c77700, #f0b429); padding: 0.1rem 0 0.1rem 0.8rem; color: var(--ink); }
details { border-top: 1px solid var(--faint); }
summary { cursor: pointer; padding: 0.5rem 0; }
summary small { color: var(--quiet); margin-left: 0.6rem; font-size: 0.85rem; }
ul { margin: 0 0 1rem; padding-left: 1.2rem; }
@media (max-width: 40rem) {
  body { padding: 1.25rem 0.75rem 3rem; }
  section { padding: 1rem 0.9rem; }
  section th { width: auto; }
  .wide tbody th { white-space: normal; min-width: 7.5rem; max-width: 9rem; }
  .dots { grid-template-columns: fit-content(5.5rem) 1fr 3.2rem; }
  .set figcaption { margin-left: 1.7rem; }
  .grid { grid-template-columns: 1.5rem repeat(var(--n), minmax(0, 1fr)); }
  .meanings dt { float: none; }
  .meanings dd { margin-left: 0; }
}
"""


def markdown(results: Results) -> str:
    """The tables for a terminal or a document: means over prompts; the same two as on the page, columns aligned."""
    return "\n\n".join(_piped(rows, columns) for _, rows, columns in _parts(results))


def _piped(rows: dict[str, dict[str, Estimate]], columns: Sequence[str]) -> str:
    table = [["", *columns]]
    for name, found in rows.items():
        table.append([name.replace("|", r"\|"), *(_number(found.get(column)) for column in columns)])
    first, *widths = (max(map(len, column)) for column in zip(*table, strict=True))
    lines = [
        f"| {name:<{first}} | "
        + " | ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        + " |"
        for name, *cells in table
    ]
    rule = f"| {'-' * max(3, first)} | " + " | ".join("-" * (width - 1) + ":" for width in widths) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def _parts(results: Results) -> list[tuple[str, dict[str, dict[str, Estimate]], list[str]]]:
    """Heading, rows and columns of each table: what follows the asked values, and what it costs."""
    rows, columns = results.estimates, _columns(results.estimates)
    others = [name for name in columns if name not in FOLLOWED]
    found = [("Valence and arousal", rows, [name for name in columns if name in FOLLOWED])]
    if others:
        rows = {name: row for name, row in rows.items() if any(column in row for column in others)}
        found.append(("Content, quality and smoothness", rows, others))
    return found


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
    parts = [
        _section(
            "How well the pictures follow", _opening(results, problems) + charts.overview(results, plain)
        ),
        _section("Pictures", _pictures(images, results.prompts[:shown])) if shown else "",
        _section("All numbers", _tables(results, plain)),
        _section("What was read at each level", CALIBRATION + charts.curves(results)),
        _section("Differences between methods", _tests(results)),
        _section("What measured", _facts(made_by) + _problems(problems)),
    ]
    methods = ", ".join(results.methods)
    title = f"{counted(len(images), 'picture')} of {counted(len(results.prompts), 'prompt')}: {methods}"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation: {html.escape(methods)}</title><style>{CSS}{MORE_CSS}{charts.CSS}</style>"
        f"<main><h1>Evaluation</h1><p>{html.escape(title)}</p>" + "".join(parts) + "</main></html>\n"
    )


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{heading}</h2>{body}</section>"


def _opening(results: Results, problems: list[str]) -> str:
    zero = results.estimates[ALWAYS_0]
    text = (
        "Each picture was asked for with a valence V (from −3, unpleasant, to 3, pleasant) and an arousal A (from −3, "
        "calm, to 3, stirred). A reader then looked at the picture alone. Dots are means over prompts, bars their 95 % "
        "bootstrap intervals, and the dashed line is a reader that always says 0: on these points its V-Error is "
        f"{zero['V-Error'].mean:.3f} and its A-Error {zero['A-Error'].mean:.3f}. An error near that shows no control, "
        "so look at tau and slope beside it."
    )
    notes = list(results.notes)
    if problems:
        notes.append(
            f"{counted(len(problems), 'problem')} with pictures that were left out: see the end of this page."
        )
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
    return f"<p>{text}</p>{notes}"


def _pictures(images: Sequence[Image], prompts: Sequence[str]) -> str:
    text = "Valence rises to the right, arousal upwards. The first seed of each prompt."
    return f"<p>{text}</p>{charts.grids(images, prompts)}"


CALIBRATION = (
    "<p>Dots are the mean readings of all pictures that were asked for at a level, bars their standard deviation. On "
    "the diagonal, pictures are read as they were asked for.</p>"
)


# ---- tables ----------------------------------------------------------------------------------------


def _tables(results: Results, plain: str) -> str:
    found = "".join(
        f"<h3>{heading}</h3>{_table(rows, columns, results)}" for heading, rows, columns in _parts(results)
    )
    columns = _columns(results.estimates)
    kept = {name: text for name, text in MEANINGS.items() if any(name in c or c in name for c in columns)}
    if plain in results.methods:
        kept[plain] = "What the same model draws without emotion: it stands at every point."
    return f"<p>Means over prompts, and below them their 95 % interval.</p>{found}{_meanings(kept | ROWS)}"


def _meanings(texts: dict[str, str]) -> str:
    found = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in texts.items()
    )
    return f'<dl class="meanings">{found}</dl>'


def _table(rows: dict[str, dict[str, Estimate]], columns: Sequence[str], results: Results) -> str:
    head = "".join(f"<th>{name}<small>{COLUMNS[name]}</small></th>" for name in columns)
    body = ""
    for name, found in rows.items():
        cells = "".join(f"<td>{_number(found.get(c))}{_interval(found.get(c))}</td>" for c in columns)
        kind = ' class="control"' if name in results.controls else ""
        body += f"<tr{kind}><th>{html.escape(name)}</th>{cells}</tr>"
    return _wide(f"<th></th>{head}", body)


def _wide(head: str, body: str) -> str:
    """A table that scrolls within its place where that is narrow."""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="table">{table}</div>'


def _tests(results: Results) -> str:
    if not results.tests:
        return "<p>There is one method alone.</p>"
    text = (
        "Wilcoxon's signed-rank test over the prompts that both have, two-sided; p after Holm's correction over the "
        "comparisons of a figure. Effect: matched-pairs rank-biserial correlation, from −1 to 1. Normality: p of "
        "Shapiro and Wilk's test of the differences, which Wilcoxon's test does not need."
    )
    head = "".join(
        f"<th>{name}</th>" for name in ("", "difference", "effect", "p", "p (Holm)", "normality p", "prompts")
    )
    found = ""
    for number, (figure, tests) in enumerate(groupby(results.tests, key=lambda test: test[0])):
        tests = list(tests)
        possible = [corrected for *_, corrected in tests if corrected is not None]
        clear = sum(corrected < LEVEL for corrected in possible)
        said = (
            f"{clear} of {counted(len(possible), 'comparison')} below p = {LEVEL:g}"
            if possible
            else "no test"
        )
        body = "".join(_test_row(*test[1:]) for test in tests)
        found += (
            f"<details{' open' * (number == 0)}><summary>{figure}<small>{said}</small></summary>{_wide(head, body)}"
            "</details>"
        )
    return f"<p>{text}</p>{found}"


def _test_row(first: str, second: str, test: Comparison, corrected: float | None) -> str:
    cells = [
        f"{test.difference:+.3f}" if math.isfinite(test.difference) else "–",
        f"{test.effect:+.2f}" if math.isfinite(test.effect) else "–",
        _p(test.p) if test.p is not None else f"too few prompts differ ({test.moved} of {FEWEST})",
        _p(corrected),
        _p(test.normality),
        str(test.prompts),
    ]
    cells = "".join(f"<td>{html.escape(cell.replace('-', '−'))}</td>" for cell in cells)
    return f"<tr><th>{html.escape(first)} − {html.escape(second)}</th>{cells}</tr>"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _facts(made_by: dict[str, str]) -> str:
    rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in made_by.items())
    return f"<table>{rows}</table>"


def _problems(problems: list[str]) -> str:
    if not problems:
        return ""
    listed = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems[:20])
    more = f"<li>… and {len(problems) - 20:,} more, in results.json</li>" if len(problems) > 20 else ""
    return f"<h3>{counted(len(problems), 'problem')}</h3><ul>{listed}{more}</ul>"


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
        try:
            write_atomically(
                out / name, lambda path, content=content: path.write_text(content, encoding="utf-8")
            )
        except OSError as error:
            raise DataError(
                f"{out / name} could not be written ({error.strerror}). What was measured is kept: make room and run "
                "the same command again."
            ) from error
