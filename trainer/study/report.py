"""The analysis as text for the terminal and as Markdown; the paper's values have columns of their own."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from trainer.core import markdown
from trainer.evaluation.report import p_value
from trainer.study.analyse import MEASURES, PUBLISHED

SIMULATED = "SIMULATED ANSWERS: a program gave them to try the analysis. They say nothing about people."
NOTHING = "–"

Table = tuple[list[str], list[list[str]]]  # head, rows


def sections(found: dict[str, Any]) -> list[tuple[str, str, Table | None]]:
    """Heading, text and table of each section."""
    counts = f"{found['people']} people, {found['complete']} of them with every task answered. Study {found['study']}."
    notes = [[note] for note in found["notes"]]
    return [
        ("User study", (f"{SIMULATED}\n" if found["simulated"] else "") + counts, None),
        ("Methods", METHODS.format(seed=found["bootstrap"]["seed"]), methods_table(found)),
        ("Comparisons", COMPARISONS, comparisons_table(found)),
        *([("Files", "Notes on single files.", (["file"], notes))] if notes else []),
    ]


METHODS = (
    "Mean over people [95 % bootstrap interval, seed {seed}], n people. Tau: Kendall's, between the order that people "
    "gave and the asked one. Errors: between asked and estimated values. Always 0: the error of estimates that are "
    "always 0, over the same pictures. The columns marked (published) are the paper's own study with other people and "
    "pictures (Dang et al., ICCV 2025, Table 3)."
)
COMPARISONS = (
    "Differences within people, first minus second; of n people, so many differ. Shapiro-Wilk p of the differences; "
    "of those who differ, Wilcoxon signed-rank W and two-sided p, p after Holm's correction over all tests here, and "
    "the matched-pairs rank-biserial r (above 0: the first method has larger values)."
)


def methods_table(found: dict[str, Any]) -> Table:
    methods = list(next(iter(found["measures"].values()))["methods"])
    head = ["measure", *methods, "always 0", *(f"{name} (published)" for name in PUBLISHED)]
    rows = []
    for measure in MEASURES:
        values = found["measures"][measure.name]
        rows.append(
            [
                f"{measure.title} {'↑' if measure.larger_is_better else '↓'}",
                *(_summary(values["methods"][method]) for method in methods),
                _number(values["always_zero"]),
                *(_number(values["published"].get(name)) for name in PUBLISHED),
            ]
        )
    return head, rows


def _summary(summary: dict[str, Any]) -> str:
    if summary["mean"] is None:
        return summary["note"]
    if summary["note"]:
        return f"{_number(summary['mean'])}, {summary['note']}"
    return f"{_number(summary['mean'])} [{_number(summary['low'])}, {_number(summary['high'])}], n {summary['people']}"


def comparisons_table(found: dict[str, Any]) -> Table:
    titles = {measure.name: measure.title for measure in MEASURES}
    head = ["measure", "first - second", "n", "differ", "median", "Shapiro p", "W", "p", "p (Holm)", "r"]
    rows = []
    for each in found["comparisons"]:
        row = [titles[each["measure"]], f"{each['first']} - {each['second']}"]
        row += [str(each["people"]), str(each["moved"])]
        if each["note"]:
            row += [each["note"], *[NOTHING] * 5]
        else:
            row += [_number(each["median"]), p_value(each["shapiro_p"]), f"{each['statistic']:g}"]
            row += [p_value(each["p"]), p_value(each["p_holm"]), f"{each['effect']:+.2f}"]
        rows.append(row)
    return head, rows


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


# ---- two ways to write it --------------------------------------------------------------------------


def as_text(found: dict[str, Any]) -> str:
    parts = []
    for heading, words, table in sections(found):
        wrapped = "\n".join(textwrap.fill(line, 110) for line in words.splitlines())
        parts.append(f"{heading.upper()}\n{wrapped}" + (f"\n\n{_aligned(*table)}" if table and table[1] else ""))
    return "\n\n".join(parts)


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_markdown(found: dict[str, Any]) -> str:
    parts = []
    for level, (heading, words, table) in enumerate(sections(found)):
        text = f"{'#' if level == 0 else '##'} {heading}\n\n{words}"
        parts.append(text + (f"\n\n{markdown.table(*table, 'l' * len(table[0]))}" if table and table[1] else ""))
    return "\n\n".join(parts) + "\n"
