"""What the answers say about each method, and whether the methods differ.

A person's value of a measure for a method is the mean of that person's answers about it; people are the units of every
mean, interval and test. Two methods are compared within people: Shapiro-Wilk on the differences (S. S. Shapiro and
M. B. Wilk, 1965), Wilcoxon's signed-rank test, two-sided, without the zeros (F. Wilcoxon, 1945), and the matched-pairs
rank-biserial correlation (D. S. Kerby, 2014) as its effect size: the share of rank sums that favours the first method
minus the share that favours the second. Holm's correction (S. Holm, 1979) covers all tests of a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import kendalltau, shapiro, wilcoxon

from trainer.evaluation.statistics import CONFIDENCE, FEWEST, holm, interval, rank_biserial, resampled_means
from trainer.study.answers import Answers, Participant
from trainer.study.key import Key, Task


@dataclass(frozen=True)
class Measure:
    """A row of the table.

    Attributes:
        name: As in the JSON.
        title: As tables show it.
        kind: The kind of task that it comes from.
        axis: Of the series or the estimate.
        larger_is_better: Whether a larger value is better.
        published: Column of the paper -> its value (Dang et al., ICCV 2025, Table 3). Consistency means the same there:
            of the changes in a set of 25 pictures with those of valence and arousal.
    """

    name: str
    title: str
    kind: str
    axis: str | None
    larger_is_better: bool
    published: Mapping[str, float]


RESAMPLES = 10_000
OURS, GPT = "EmotiCrafter", "GPT-4+SDXL"
PUBLISHED = (OURS, GPT)
MEASURES = (
    Measure("a_ranking", "A-ranking (tau)", "order", "arousal", True, {OURS: 0.759, GPT: 0.165}),
    Measure("v_ranking", "V-ranking (tau)", "order", "valence", True, {OURS: 0.887, GPT: 0.584}),
    Measure("a_error", "A-Error", "estimate", "arousal", False, {OURS: 1.327, GPT: 2.029}),
    Measure("v_error", "V-Error", "estimate", "valence", False, {OURS: 0.692, GPT: 1.229}),
    Measure("consistency", "consistency (1-5)", "consistency", None, True, {OURS: 4.215, GPT: 3.525}),
    Measure("smoothness", "smoothness (1-5)", "smoothness", None, True, {OURS: 4.240, GPT: 3.195}),
)


# ---- values of people ------------------------------------------------------------------------------


def value_of(measure: Measure, task: Task, answer: Any, key: Key) -> float:
    """What one answer contributes to a measure: tau, an absolute error, or a rating."""
    if measure.kind == "order":
        asked = [getattr(key.pictures[name], measure.axis) for name in answer]
        return round(float(kendalltau(range(len(asked)), asked).statistic), 9)  # 1, not 1 - 1e-16
    if measure.kind == "estimate":
        estimated = answer[("valence", "arousal").index(measure.axis)]
        return abs(estimated - getattr(key.pictures[task.images[0]], measure.axis))
    return float(answer)


def values_of(measure: Measure, people: Sequence[Participant], key: Key) -> dict[str, dict[str, float]]:
    """Method -> session -> the person's mean."""
    found: dict[str, dict[str, list[float]]] = {method: {} for method in key.methods}
    for person in people:
        for task, answer in person.given:
            if task.kind == measure.kind and (measure.kind != "order" or task.axis == measure.axis):
                method = key.pictures[task.images[0]].method
                found[method].setdefault(person.session, []).append(value_of(measure, task, answer, key))
    return {
        method: {session: float(np.mean(values)) for session, values in by_person.items()}
        for method, by_person in found.items()
    }


def always_zero(measure: Measure, people: Sequence[Participant], key: Key) -> float | None:
    """The error of estimates that are always 0, over the same tasks; None for other measures."""
    if measure.kind != "estimate":
        return None
    asked = [
        abs(getattr(key.pictures[task.images[0]], measure.axis))
        for person in people
        for task, _ in person.given
        if task.kind == "estimate"
    ]
    return float(np.mean(asked)) if asked else None


# ---- statistics ------------------------------------------------------------------------------------


@dataclass
class Summary:
    """A method's value: mean over people, their standard deviation, and the mean's 95 % bootstrap interval.

    ``note`` says why there is no mean or no interval.
    """

    people: int
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    note: str | None = None


def summarise(values: Sequence[float], seed: int) -> Summary:
    """Mean, spread and bootstrap interval (see :func:`trainer.evaluation.statistics.interval`) of people's values."""
    count = len(values)
    if not count:
        return Summary(0, note="no answers")
    mean = float(np.mean(values))
    if count < FEWEST:
        few = f"too few people for an interval: {count}, at least {FEWEST} are needed"
        return Summary(count, mean, note=few)
    low, high = interval(resampled_means(np.asarray(values), seed, RESAMPLES), count)
    return Summary(count, mean, float(np.std(values, ddof=1)), low, high)


@dataclass
class Comparison:
    """Two methods in one measure; differences are first minus second, within people.

    Attributes:
        people: How many answered about both.
        moved: Those of them to whom the two differ: the test and r rest on these.
        median: Of the differences.
        shapiro_p: That the differences are normal.
        statistic: Wilcoxon's: the smaller sum of ranks.
        p, p_holm: Two-sided; after Holm's correction over all tests of the report.
        effect: Matched-pairs rank-biserial r, -1 to 1; above 0 the first method has larger values.
        note: Why there is no test; None if there is one.
    """

    measure: str
    first: str
    second: str
    people: int
    moved: int = 0
    median: float | None = None
    shapiro_p: float | None = None
    statistic: float | None = None
    p: float | None = None
    p_holm: float | None = None
    effect: float | None = None
    note: str | None = None


def compare(measure: str, first: str, second: str, differences: Sequence[float]) -> Comparison:
    """Tests paired differences, or notes why they cannot be tested."""
    # Equal means of tenths differ by 1e-16: without rounding, ties and zeros would be lost.
    differences = np.round(np.asarray(differences, dtype=float), 9)
    found = Comparison(measure, first, second, len(differences))
    if not len(differences):
        found.note = "nobody answered about both"
        return found
    found.median = float(np.median(differences))
    moved = differences[differences != 0]
    found.moved = len(moved)
    if len(moved) < FEWEST:
        found.note = f"too few people: {len(moved)} of {len(differences)} differ, at least {FEWEST} must"
        return found
    if np.ptp(differences):
        found.shapiro_p = float(shapiro(differences).pvalue)
    result = wilcoxon(moved)
    found.statistic, found.p = float(result.statistic), float(result.pvalue)
    found.effect = rank_biserial(moved)
    return found


# ---- all of it -------------------------------------------------------------------------------------


def analyse(answers: Answers, key: Key, seed: int = 0) -> dict[str, Any]:
    """The whole analysis of what `read_answers` gave, ready for JSON; the seed is the bootstrap's."""
    measures, comparisons = {}, []
    for measure in MEASURES:
        values = values_of(measure, answers.people, key)
        measures[measure.name] = {
            "methods": {
                method: asdict(summarise(list(by_person.values()), seed)) for method, by_person in values.items()
            },
            "always_zero": always_zero(measure, answers.people, key),
            "published": dict(measure.published),
        }
        for first, second in combinations(key.methods, 2):
            both = [session for session in values[first] if session in values[second]]
            differences = [values[first][session] - values[second][session] for session in both]
            comparisons.append(compare(measure.name, first, second, differences))
    for comparison, corrected in zip(comparisons, holm([c.p for c in comparisons]), strict=True):
        comparison.p_holm = corrected
    return {
        "study": key.study,
        "simulated": answers.simulated,
        "people": len(answers.people),
        "complete": sum(person.finished is not None for person in answers.people),
        "bootstrap": {"seed": seed, "resamples": RESAMPLES, "level": CONFIDENCE},
        "measures": measures,
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "notes": answers.notes,
    }
