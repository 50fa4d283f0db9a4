"""A table as Markdown, with its spread, its tests and how it was made; and as JSON."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from trainer.core import markdown
from trainer.tables.figures import CLEAR, Found, Row, Tested
from trainer.tables.rows import OURS

NOTHING = "–"
PLACES = 3
SIGNIFICANT = 0.05


def shown(found: Found, command: str) -> str:
    """A document's section: what was measured, the table, intervals, tests, and the command.

    Args:
        found: The numbers.
        command: The command that made them.
    """
    count = ("networks", lambda name: str(len(found.rows[name].seeds) or NOTHING))
    tested = [name for name in found.rows if any((column, name) in found.tests for column in found.columns)]
    parts = [_how(found), _table(found, found.rows, _value, count), INTERVALS]
    parts += [_table(found, found.rows, _interval)]
    if tested:
        parts += [
            TESTS,
            _table(found, tested, lambda _, name, column: _test(found.tests.get((column, name)))),
        ]
    if found.further:
        parts += [FURTHER, _pairs(found)]
    parts += [f"Note: {note}" for note in found.notes]
    return "\n\n".join([*parts, f"Made by `{command}`."])


INTERVALS = "95 % intervals of these means, by a bootstrap over prompts:"
TESTS = (
    "Against ours, prompt by prompt (Wilcoxon's signed-rank test, two-sided): p after Holm's correction over the rows "
    "of a column, and the rank-biserial correlation r, which is above 0 where the row has larger values than ours:"
)


FURTHER = (
    "Further comparisons, by the same test: the difference of the means, * as above, p after Holm's correction over "
    "these rows of a column, and r:"
)


def _how(found: Found) -> str:
    seeds = f"{found.seeds} picture seed{'s' * (found.seeds > 1)}"
    measured = {what: by for what, by in found.made_by.items() if what != "LPIPS" or _smooth(found)}
    made_by = "; ".join(f"{what}: {by}" for what, by in measured.items())
    return (
        f"{found.prompts} prompts at {found.points} points, {seeds}. Means over prompts and networks ± the standard "
        f"deviation over networks (fits from different seeds); * differs from ours at p < {SIGNIFICANT:g} over prompts "
        f"and, seed by seed, by more than {CLEAR:g} times the deviation of these differences.\n\n"
        f"What measures: {made_by}."
    )


def _table(found: Found, names: Iterable[str], cell, *more: tuple[str, Callable[[str], str]]) -> str:
    """Rows by the figures' columns, with further columns to the left of them."""
    rows = [
        [
            found.rows[name].title,
            *(of(name) for _, of in more),
            *(cell(found, name, c) for c in found.columns),
        ]
        for name in names
    ]
    return markdown.table(["", *(head for head, _ in more), *found.columns], rows)


def _smooth(found: Found) -> bool:
    return any(column.startswith("LPIPS") for column in found.columns)


def _value(found: Found, name: str, column: str) -> str:
    row = found.rows[name]
    if not _has(row, column):
        return NOTHING
    spread = row.deviation(column)
    beside = "" if spread is None else f" ± {spread:.{PLACES}f}"
    return f"{_number(row.estimate(column).mean)}{beside}{' *' * _differs(found, name, column)}"


def _differs(found: Found, name: str, column: str) -> bool:
    """Whether prompts and networks both show a difference from ours."""
    _, p = found.tests.get((column, name), (None, None))
    return p is not None and p < SIGNIFICANT and found.rows[name].differs(found.rows[OURS], column)


def _interval(found: Found, name: str, column: str) -> str:
    row = found.rows[name]
    if not _has(row, column) or not math.isfinite(row.estimate(column).low):
        return NOTHING
    return f"{_number(row.estimate(column).low)} to {_number(row.estimate(column).high)}"


def _test(tested: Tested | None) -> str:
    test, p = tested or (None, None)
    if p is None:
        return NOTHING
    return f"{'p < 0.001' if p < 0.001 else f'p {p:.3f}'}, r {test.effect:+.2f}"


def _pairs(found: Found) -> str:
    """The pairs' differences, with a star where prompts and networks both show them, and their tests."""
    pairs = dict.fromkeys(pair for _, pair in found.further)
    rows = [
        [" − ".join(found.rows[name].title for name in pair), *(_pair(found, pair, c) for c in found.columns)]
        for pair in pairs
    ]
    return markdown.table(["", *found.columns], rows)


def _pair(found: Found, pair: tuple[str, str], column: str) -> str:
    test, p = found.further.get((column, pair), (None, None))
    if p is None:
        return NOTHING
    first, second = (found.rows[name] for name in pair)
    star = " *" * (p < SIGNIFICANT and first.differs(second, column))
    return f"{test.difference:+.{PLACES}f}{star}, {_test((test, p))}"


def _has(row: Row, column: str) -> bool:
    return column in row.figures and math.isfinite(row.estimate(column).mean)


def _number(value: float) -> str:
    return f"{round(value, PLACES) + 0.0:.{PLACES}f}"  # no -0.000


def as_json(found: Found, networks: dict[str, list[str]]) -> dict[str, Any]:
    """Every number.

    Args:
        found: The numbers.
        networks: The files of each row.
    """
    rows = {}
    for name, row in found.rows.items():
        figures = {}
        for column in found.columns:
            if _has(row, column):
                spread, mean = row.deviation(column), row.estimate(column)
                figures[column] = {
                    "mean": mean.mean,
                    "low": _finite(mean.low),
                    "high": _finite(mean.high),
                    "networks": row.of_networks(column),
                    "deviation": spread,
                    "against ours": _test_json(found.tests.get((column, name))),
                }
        rows[name] = {"networks": networks.get(name, []), "figures": figures}
    return {
        "prompts": found.prompts,
        "points": found.points,
        "seeds": found.seeds,
        "made_by": found.made_by,
        "rows": rows,
        "further": [
            {"first": first, "second": second, "figure": figure, **_test_json(tested)}
            for (figure, (first, second)), tested in found.further.items()
        ],
    }


def _test_json(tested: Tested | None) -> dict[str, Any] | None:
    if tested is None:
        return None
    test, p = tested
    return {"difference": _finite(test.difference), "effect": _finite(test.effect), "p": test.p, "p_holm": p}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
