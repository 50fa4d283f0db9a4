"""Statistics of an evaluation: how readings follow what was asked for, spread over prompts, tests between methods.

Shapes: N images, P prompts, L levels asked for. All numbers are float64; valence and arousal are in [-3, 3]. A prompt
counts once, however many images it has: images of one prompt are alike, so only prompts count as independent.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import kendalltau, rankdata, shapiro, t, wilcoxon

FEWEST = 6
"""Prompts (or people) that an interval needs, and prompts that differ that a test needs: with five, the smallest
two-sided p of Wilcoxon's test is 0.0625."""
RESAMPLES = 2000
CONFIDENCE = 0.95


def agreement(asked: np.ndarray, got: np.ndarray) -> dict[str, float]:
    """How readings follow what was asked for.

    Kendall's tau is Stuart's tau-c, which reaches 1 although the asked values have only five levels. Tau-b, which then
    cannot exceed 0.894, is given beside it.
    """
    x, y = asked.ravel().astype(np.float64), got.ravel().astype(np.float64)
    return {f"tau-{kind}": tau(x, y, kind) for kind in "cb"} | {
        "slope": slope(x, y),
        "error": float(np.abs(x - y).mean()),
    }


def tau(asked: np.ndarray, got: np.ndarray, kind: str = "c") -> float:
    """Kendall's tau of two [N]; 0 where one of them never changes."""
    return float(np.nan_to_num(kendalltau(asked, got, variant=kind).statistic))


def slope(asked: np.ndarray, got: np.ndarray) -> float:
    """The least-squares slope of readings against asked values, both [N]."""
    return float(((asked - asked.mean()) * (got - got.mean())).mean() / asked.var())


def follow(asked: np.ndarray, got: np.ndarray) -> dict[str, float]:
    """The figures of one prompt and one axis: error, tau (tau-c), slope and range.

    Args:
        asked: [N].
        got: [N]; an image that could not be read is NaN and left out.

    Returns:
        ``tau`` and ``slope`` are NaN where fewer than two values were asked for, and 0 where the reading never changes.
        ``range`` is the largest reading minus the smallest.
    """
    known = np.isfinite(got)
    x, y = asked[known].astype(np.float64), got[known].astype(np.float64)
    if not len(x):
        return dict.fromkeys(("error", "tau", "slope", "range"), np.nan)
    found = {"error": float(np.abs(x - y).mean()), "tau": np.nan, "slope": np.nan, "range": float(np.ptp(y))}
    if len(np.unique(x)) > 1:
        found |= {"tau": tau(x, y), "slope": slope(x, y)}
    return found


# ---- spread over prompts ---------------------------------------------------------------------------


def resampled_means(values: np.ndarray, seed: int = 0, count: int = RESAMPLES) -> np.ndarray:
    """Means of prompts drawn with replacement: [P] to [count]."""
    drawn = np.random.default_rng(seed).integers(len(values), size=(count, len(values)))
    return values[drawn].mean(1)


def interval(resampled: np.ndarray, count: int) -> tuple[float, float]:
    """The 95 % interval of a mean of `count` values from its bootstrap: expanded percentiles.

    The middle 95 % of a bootstrap are too narrow for few values: with six, they hold the true mean in 83 of 100 cases.
    These percentiles give Student's interval where values are normal (T. C. Hesterberg, The American Statistician
    69(4), 2015, section 3.3); for many values they are the middle 95 % again.
    """
    tail = ndtr(np.sqrt(count / (count - 1)) * t.ppf((1 - CONFIDENCE) / 2, count - 1))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Estimate:
    """A mean over prompts; ``low`` and ``high`` are its 95 % interval, NaN where there are fewer than FEWEST."""

    mean: float
    low: float
    high: float
    prompts: int


def estimate(values: np.ndarray) -> Estimate:
    """Mean of values [P] over prompts with a bootstrap interval; prompts without a figure (NaN) are left out."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Estimate(np.nan, np.nan, np.nan, 0)
    bounds = interval(resampled_means(known), len(known)) if len(known) >= FEWEST else (np.nan, np.nan)
    return Estimate(float(known.mean()), *bounds, len(known))


# ---- calibration -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """Mean and standard deviation of the readings at each level asked for, [L] each."""

    asked: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @property
    def levels(self) -> list[tuple[float, float, float]]:
        """Level asked for, mean reading, standard deviation."""
        return list(zip(self.asked.tolist(), self.mean.tolist(), self.deviation.tolist(), strict=True))

    @property
    def error(self) -> float:
        """The mean distance between the levels and their mean readings: bias without the spread of images."""
        return float(np.abs(self.mean - self.asked).mean())


def calibration(asked: np.ndarray, got: np.ndarray) -> Calibration:
    """Readings by the level asked for; images that could not be read (NaN) are left out."""
    known = np.isfinite(got)
    x, y = asked[known], got[known]
    levels = np.unique(x)
    parts = [y[x == level] for level in levels]
    return Calibration(levels, np.array([part.mean() for part in parts]), np.array([part.std() for part in parts]))


# ---- tests between methods -------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Wilcoxon's signed-rank test of one figure between two methods, over the prompts that both have.

    Attributes:
        prompts: P.
        moved: Those in which the two differ.
        difference: The mean of first minus second.
        effect: Matched-pairs rank-biserial correlation, -1 to 1: positive where the first is larger.
        p: Two-sided; None where too few prompts differ, 1 where there are enough prompts and none differs.
        normality: p of Shapiro and Wilk's test of the differences; None where it is undefined.
    """

    prompts: int
    moved: int
    difference: float
    effect: float
    p: float | None
    normality: float | None


def compare(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compares two methods prompt by prompt.

    Args:
        first, second: [P], the same prompts in the same order; NaN leaves a prompt out.
    """
    known = np.isfinite(first) & np.isfinite(second)
    # Equal means may differ by 1e-16: without rounding, ties and zeros would be lost.
    difference = np.round((first - second)[known].astype(np.float64), 9)
    count, moved = len(difference), int(np.count_nonzero(difference))
    mean = float(difference.mean()) if count else np.nan
    if count >= FEWEST and not moved:
        return Comparison(count, 0, 0.0, 0.0, 1.0, None)
    if moved < FEWEST:
        return Comparison(count, moved, mean, np.nan, None, None)
    p = float(wilcoxon(difference).pvalue)
    normality = float(shapiro(difference).pvalue) if np.ptp(difference) > 0 else None
    return Comparison(count, moved, mean, rank_biserial(difference), p, normality)


def rank_biserial(difference: np.ndarray) -> float:
    """The matched-pairs rank-biserial correlation (Kerby 2014) of paired differences [P], zeros left out."""
    moved = difference[difference != 0]
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())


def holm(p: list[float | None]) -> list[float | None]:
    """Holm's correction (Scandinavian Journal of Statistics 6, 1979): adjusted p in the order given.

    None, where there is no test, does not count and stays None.
    """
    tested = [index for index, value in enumerate(p) if value is not None]
    adjusted, highest = list(p), 0.0
    for rank, index in enumerate(sorted(tested, key=lambda index: p[index])):
        highest = max(highest, (len(tested) - rank) * p[index])
        adjusted[index] = min(1.0, highest)
    return adjusted
