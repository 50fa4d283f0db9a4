"""The statistics: known answers for perfect, constant and small samples, and what is said instead of a number."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from trainer.evaluation.statistics import FEWEST, calibration, compare, estimate, follow, holm

LEVELS = np.tile([-3.0, -1.5, 0.0, 1.5, 3.0], 5)


def test_a_perfect_reading():
    assert follow(LEVELS, LEVELS) == {"error": 0, "tau": pytest.approx(1), "slope": 1, "range": 6}


def test_a_reading_that_never_changes_scores_1_8_and_follows_nothing():
    assert follow(LEVELS, 0 * LEVELS) == {"error": 1.8, "tau": 0, "slope": 0, "range": 0}


def test_one_level_has_an_error_and_no_tau():
    found = follow(np.full(3, 1.5), np.array([1.0, 2.0, 1.5]))
    assert found["error"] == pytest.approx(1 / 3)
    assert np.isnan(found["tau"]) and np.isnan(found["slope"])


def test_unread_images_are_left_out():
    got = LEVELS.copy()
    got[3] = np.nan
    assert follow(LEVELS, got)["slope"] == pytest.approx(1)
    assert np.isnan(follow(LEVELS, np.full(25, np.nan))["error"])


def test_an_interval_holds_its_mean_and_narrows_with_prompts():
    values = np.random.default_rng(0).normal(1, 1, 400)
    wide, narrow = estimate(values[:20]), estimate(values)
    assert narrow.low < narrow.mean < narrow.high
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert estimate(values) == narrow  # the same every time


def test_an_interval_of_few_prompts_holds_the_true_mean_about_as_often_as_it_says():
    for prompts in (6, 12):
        random = np.random.default_rng(0)
        found = [estimate(random.normal(1, 1, prompts)) for _ in range(400)]
        # The plain percentiles: 0.83 and 0.90.
        assert 0.92 <= np.mean([one.low <= 1 <= one.high for one in found]) <= 0.98


def test_few_prompts_have_a_mean_and_no_interval():
    few = estimate(np.array([1.0, 3.0, np.nan]))
    assert (few.mean, few.prompts) == (2, 2)
    assert np.isnan(few.low)
    assert np.isnan(estimate(np.array([np.nan])).mean)


def test_calibration_is_the_bias_without_the_spread():
    spread = np.tile([1.0, -1.0], 25)
    found = calibration(np.repeat(LEVELS, 2), np.repeat(0.5 * LEVELS, 2) + spread)
    assert found.asked.tolist() == [-3, -1.5, 0, 1.5, 3]
    assert found.mean == pytest.approx(0.5 * found.asked)
    assert found.deviation == pytest.approx(1)
    assert found.error == pytest.approx(0.9)


def test_a_clear_difference_is_found():
    random = np.random.default_rng(0)
    first = random.normal(0, 1, 30)
    found = compare(first, first + 1 + random.normal(0, 0.1, 30))
    assert found.difference == pytest.approx(-1, abs=0.1)
    assert found.effect == -1 and found.p < 1e-6 and found.normality > 0.01


def test_the_effect_is_the_share_of_ranks():
    first, second = np.array([1.0, 2, 3, 4, 5, -6]), np.zeros(6)
    found = compare(first, second)
    assert found.effect == pytest.approx((15 - 6) / 21)
    assert found.p == pytest.approx(wilcoxon(first).pvalue)


def test_too_few_prompts_have_no_p():
    found = compare(np.arange(FEWEST - 1.0), np.ones(FEWEST - 1))
    assert found.p is None and found.prompts == FEWEST - 1
    gone = compare(np.r_[np.arange(5.0), np.nan], np.ones(6))
    assert gone.p is None


def test_equal_methods_do_not_differ():
    assert compare(np.ones(8), np.ones(8)).p == 1
    tenths = compare(np.full(8, 0.1 + 0.2), np.full(8, 0.3))
    assert (tenths.p, tenths.moved, tenths.effect) == (1, 0, 0)


def test_prompts_without_a_difference_do_not_count_for_a_test():
    found = compare(np.r_[np.ones(5), np.zeros(100)], np.zeros(105))
    assert (found.p, found.moved, found.prompts) == (None, 5, 105)
    assert found.difference == pytest.approx(5 / 105)


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # as R's p.adjust
    assert holm([]) == []
