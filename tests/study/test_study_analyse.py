"""The analysis of answers, and its reports."""

import re

import numpy as np
import pytest
from scipy import stats

from tests.study.studies import answer, content, put, sealed
from trainer.study.analyse import MEASURES, analyse, compare, summarise, value_of
from trainer.study.answers import read_answers
from trainer.study.key import Key, Task
from trainer.study.rehearsal import rehearse
from trainer.study.report import as_markdown, as_text, comparisons_table


def measure(name: str):
    return next(each for each in MEASURES if each.name == name)


def series(key: Key, axis: str) -> Task:
    return next(task for task in key.participants[0] if task.kind == "order" and task.axis == axis)


def test_tau_counts_pairs(study_key):
    """Ten pairs: one swap of neighbours leaves 9 - 1 = 8 tenths."""
    taus = {"01234": 1, "43210": -1, "10234": 0.8, "10324": 0.6, "40123": 0.2}
    for name, axis in (("v_ranking", "valence"), ("a_ranking", "arousal")):
        task = series(study_key, axis)
        rising = sorted(task.images, key=lambda image: getattr(study_key.pictures[image], axis))
        for places, tau in taus.items():
            given = [rising[int(place)] for place in places]
            assert value_of(measure(name), task, given, study_key) == pytest.approx(tau)


def test_errors_are_distances_on_each_axis(study_key):
    name = next(name for name, picture in study_key.pictures.items() if (picture.valence, picture.arousal) == (1.5, 0))
    task = Task("estimate", (name,))
    assert value_of(measure("v_error"), task, [-1.0, 0.5], study_key) == 2.5
    assert value_of(measure("a_error"), task, [-1.0, 0.5], study_key) == 0.5


DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
"""Darwin's maize: 15 paired differences, the textbook example of the signed-rank test."""


def test_the_tests_agree_with_the_reference():
    found = compare("v_error", "a", "b", DARWIN)
    assert found.statistic == 24  # the negative ones have the ranks 10 and 14
    assert found.p == pytest.approx(0.041259765625)  # exact
    assert found.effect == pytest.approx((96 - 24) / 120)
    assert found.shapiro_p == pytest.approx(stats.shapiro(DARWIN).pvalue)
    assert found.shapiro_p == pytest.approx(0.098, abs=0.001)
    assert found.median == 24
    other_way = compare("v_error", "b", "a", [-value for value in DARWIN])
    assert (other_way.p, other_way.effect) == (found.p, -found.effect)


def test_zeros_and_rounding_errors_do_not_count_as_differences():
    tiny = 0.1 + 0.2 - 0.3
    found = compare("v_error", "a", "b", [*DARWIN, 0, tiny, -tiny])
    assert (found.people, found.moved, found.statistic, found.effect) == (18, 15, 24, 0.6)


def test_too_few_people_get_words_instead_of_numbers():
    assert compare("v_error", "a", "b", []).note == "nobody answered about both"
    few = compare("v_error", "a", "b", [1, 2, 3, 4, 5, 0])
    assert few.note == "too few people: 5 of 6 differ, at least 6 must"
    assert few.p is None
    assert few.effect is None
    assert compare("v_error", "a", "b", [1, 2, 3, 4, 5, 6]).p == pytest.approx(2 / 2**6)
    few = summarise([1, 2, 3, 4, 5], 0)
    assert few.note == "too few people for an interval: 5, at least 6 are needed"
    assert (few.mean, few.low) == (3, None)
    assert summarise([1, 2, 3, 4, 5, 6], 0).low is not None
    assert summarise([], 0).note == "no answers"


def test_the_interval_is_the_bootstrap_s():
    values = np.random.default_rng(0).normal(2, 1, 400)
    found = summarise(values, seed=1)
    assert found.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    assert found == summarise(values, seed=1)
    assert found != summarise(values, seed=2)
    assert summarise([3.0] * 6, 0).low == summarise([3.0] * 6, 0).high == 3.0


def test_answers_with_known_results(study_key, tmp_path):
    """Six people see exactly what was asked for, but order and rate the rival's pictures the wrong way round."""
    for number in range(1, 7):
        values = content(study_key, number)
        for entry, task in zip(values["answers"], study_key.participants[number - 1], strict=True):
            if task.images and study_key.pictures[task.images[0]].method == "rival":
                estimate = task.kind == "estimate"
                entry["answer"] = [0, 0] if estimate else answer(task, study_key, wrong=True)
        put(tmp_path, **{f"p{number}": sealed(values)})
    found = analyse(read_answers(tmp_path, study_key), study_key)
    means = {
        name: {method: summary["mean"] for method, summary in values["methods"].items()}
        for name, values in found["measures"].items()
    }
    assert means["v_ranking"] == means["a_ranking"] == {"ours": 1, "rival": -1}
    assert means["consistency"] == means["smoothness"] == {"ours": 5, "rival": 1}
    for name in ("v_error", "a_error"):
        assert means[name]["ours"] == 0
        # both methods were asked about the same points
        assert means[name]["rival"] == pytest.approx(found["measures"][name]["always_zero"])
    rankings = [c for c in found["comparisons"] if c["measure"] == "v_ranking"]
    assert [(c["people"], c["statistic"], c["effect"]) for c in rankings] == [(6, 0, 1)]
    assert found["people"] == found["complete"] == 6
    assert found["measures"]["v_ranking"]["published"] == {"EmotiCrafter": 0.887, "GPT-4+SDXL": 0.584}


def test_the_reports_set_the_published_values_apart(study_key, tmp_path):
    rehearse(study_key, tmp_path, 6)
    found = analyse(read_answers(tmp_path, study_key), study_key)
    markdown, text = as_markdown(found), as_text(found)
    assert "| measure | ours | rival | always 0 | EmotiCrafter (published) | GPT-4+SDXL (published) |" in markdown
    assert re.search(r"\| A-ranking \(tau\) ↑ \| .*, n 6 \| .*, n 6 \| – \| 0\.759 \| 0\.165 \|", markdown)
    published = {m.name: tuple(m.published.values()) for m in MEASURES}
    assert published["a_error"] == (1.327, 2.029) and published["v_error"] == (0.692, 1.229)
    assert published["consistency"] == (4.215, 3.525) and published["smoothness"] == (4.240, 3.195)
    assert re.search(r"smoothness \(1-5\) ↑ .*–  +4\.240", text)
    assert "SIMULATED ANSWERS" in markdown and "SIMULATED ANSWERS" in text
    assert all(len(line) <= 110 for line in text.splitlines() if " " in line and "  " not in line)


def test_the_tests_say_how_many_people_differ(study_key, tmp_path):
    """Six people order the rival's pictures the wrong way round, and estimate both methods' alike."""
    for number in range(1, 7):
        values = content(study_key, number)
        for entry, task in zip(values["answers"], study_key.participants[number - 1], strict=True):
            rival = task.images and study_key.pictures[task.images[0]].method == "rival"
            if rival and task.kind == "order":
                entry["answer"] = answer(task, study_key, wrong=True)
        put(tmp_path, **{f"p{number}": sealed(values)})
    found = analyse(read_answers(tmp_path, study_key), study_key)
    head, rows = comparisons_table(found)
    assert head[2:4] == ["n", "differ"] and all(len(row) == len(head) for row in rows)
    shown = {row[0]: row[2:4] for row in rows}
    assert shown["V-ranking (tau)"] == ["6", "6"] and shown["V-Error"] == ["6", "0"]


def test_two_people_are_too_few_and_the_report_says_so(study_key, tmp_path):
    put(tmp_path, a=content(study_key, 1), b=content(study_key, 2))
    text = as_text(analyse(read_answers(tmp_path, study_key), study_key))
    assert "1.000, too few people for an interval: 2, at least 6 are needed" in text  # of both, tau is 1
    assert "too few people: 0 of 2 differ, at least 6 must" in text
    assert not re.search(r"\[\d\.\d", text)
