"""A table as Markdown, with its spread, its tests and how it was made; and as JSON."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from trainer.core import markdown
from trainer.evaluation.report import without_nan
from trainer.tables.figures import CLEAR, Found, Row, Tested

NOTHING = "–"
PLACES = 3
SIGNIFICANT = 0.05


def shown(found: Found, command: str) -> str:
    """A document's section: what was measured, the table, intervals, tests, and the command that made them."""
    rows, tested = found.rows, {key[1:] for key in found.tests}
    titles = {name: [row.title] for name, row in rows.items()}
    counts = {name: [row.title, str(len(row.seeds) or NOTHING)] for name, row in rows.items()}
    parts = [_how(found), _table(found, counts, _value, "networks"), INTERVALS, _table(found, titles, _interval)]
    if ours := {name: title for name, title in titles.items() if (name, found.reference) in tested}:
        parts += [TESTS.format(_ours(found)), _table(found, ours, _against_ours)]
    if pairs := {pair: [" − ".join(rows[name].title for name in pair)] for pair in found.pairs if pair in tested}:
        parts += [FURTHER, _table(found, pairs, _pair)]
    parts += [f"Note: {note}" for note in found.notes]
    return "\n\n".join([*parts, f"Made by `{command}`."])


INTERVALS = "95 % intervals of these means, by a bootstrap over prompts:"
TESTS = (
    "Against {}, prompt by prompt (Wilcoxon's signed-rank test, two-sided): p after Holm's correction over the rows of "
    "a column, and the rank-biserial correlation r, which is above 0 where the row has the larger values:"
)
FURTHER = (
    "Further comparisons, by the same test: the difference of the means, * as above, p after Holm's correction over "
    "these rows of a column, and r:"
)


def _how(found: Found) -> str:
    seeds = f"{found.seeds} picture seed{'s' * (found.seeds > 1)}"
    smooth = any(column.startswith("LPIPS") for column in found.columns)
    measured = {what: by for what, by in found.made_by.items() if what != "LPIPS" or smooth}
    made_by = "; ".join(f"{what}: {by}" for what, by in measured.items())
    return (
        f"{found.prompts} prompt{'s' * (found.prompts > 1)} at {found.points} points, {seeds}. Means over prompts and "
        "networks ± the standard deviation over networks (fits from different seeds); * differs from "
        f"{_ours(found)} at p < {SIGNIFICANT:g} over prompts and, seed by seed, by more than {CLEAR:g} times the "
        f"deviation of these differences.\n\nWhat measures: {made_by}."
    )


def _ours(found: Found) -> str:
    """The row that the others are tested against, as the table calls it."""
    title = found.rows[found.reference].title
    return title if title == "ours" else f"“{title}”"


def _table(found: Found, rows: Mapping[Any, list[str]], cell: Callable, *head: str) -> str:
    """A line for each row: its first cells, under `head`, and one of `cell` for each figure."""
    lines = [[*first, *(cell(found, row, column) for column in found.columns)] for row, first in rows.items()]
    return markdown.table(["", *head, *found.columns], lines)


def _value(found: Found, name: str, column: str) -> str:
    row = found.rows[name]
    if not _has(row, column):
        return NOTHING
    spread = row.deviation(column)
    beside = "" if spread is None else f" ± {spread:.{PLACES}f}"
    return f"{_number(row.estimate(column).mean)}{beside}{_star(found, column, name, found.reference)}"


def _star(found: Found, column: str, first: str, second: str) -> str:
    """A star if prompts and networks both show a difference."""
    _, p = found.tests.get((column, first, second), (None, None))
    clear = p is not None and p < SIGNIFICANT and found.rows[first].differs(found.rows[second], column)
    return " *" * clear


def _interval(found: Found, name: str, column: str) -> str:
    row = found.rows[name]
    if not _has(row, column) or not math.isfinite(row.estimate(column).low):
        return NOTHING
    return f"{_number(row.estimate(column).low)} to {_number(row.estimate(column).high)}"


def _against_ours(found: Found, name: str, column: str) -> str:
    return _test(found.tests.get((column, name, found.reference)))


def _test(tested: Tested | None) -> str:
    test, p = tested or (None, None)
    if p is None:
        return NOTHING
    return f"{'p < 0.001' if p < 0.001 else f'p {p:.3f}'}, r {test.effect:+.2f}"


def _pair(found: Found, pair: tuple[str, str], column: str) -> str:
    """The difference of a pair, with its test."""
    test, p = found.tests.get((column, *pair), (None, None))
    if p is None:
        return NOTHING
    return f"{test.difference:+.{PLACES}f}{_star(found, column, *pair)}, {_test((test, p))}"


def _has(row: Row, column: str) -> bool:
    return column in row.figures and math.isfinite(row.estimate(column).mean)


def _number(value: float) -> str:
    return f"{round(value, PLACES) + 0.0:.{PLACES}f}"  # no -0.000


def as_json(found: Found, networks: dict[str, list[str]]) -> dict[str, Any]:
    """Every number, and the files of each row's networks."""
    rows = {}
    for name, row in found.rows.items():
        figures = {column: _figure(found, name, column) for column in found.columns if _has(row, column)}
        rows[name] = {"networks": networks.get(name, []), "figures": figures}
    return without_nan(
        {
            "prompts": found.prompts,
            "points": found.points,
            "seeds": found.seeds,
            "made_by": found.made_by,
            "rows": rows,
            "further": [
                {"first": first, "second": second, "figure": figure, **_numbers(tested)}
                for (figure, first, second), tested in found.tests.items()
                if second != found.reference
            ],
        }
    )


def _figure(found: Found, name: str, column: str) -> dict[str, Any]:
    row, tested = found.rows[name], found.tests.get((column, name, found.reference))
    mean = row.estimate(column)
    return {
        "mean": mean.mean,
        "low": mean.low,
        "high": mean.high,
        "networks": row.of_networks(column),
        "deviation": row.deviation(column),
        "against ours": _numbers(tested) if tested else None,
    }


def _numbers(tested: Tested) -> dict[str, float | None]:
    test, p = tested
    return {"difference": test.difference, "effect": test.effect, "p": test.p, "p_holm": p}
