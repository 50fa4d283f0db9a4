"""Kernel density: the reference's numbers, scipy's numbers, and all the ways to sum it agree."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde

from emoticrafter.fit import density as module
from emoticrafter.fit.density import fit_density

REFERENCE = json.loads((Path(__file__).parents[1] / "reference/published_layout_tiny_loss.json").read_text())


def spread_pairs(count: int, seed: int = 0) -> np.ndarray:
    """Pairs that are all different: [2, N]."""
    return np.clip(np.random.default_rng(seed).normal(0, 1.2, (2, count)), -3, 3)


def test_isotropic_density_is_the_reference():
    valence, arousal = np.array(REFERENCE["valence_arousal"]).T
    density = fit_density(valence, arousal, "isotropic")
    assert density.bandwidth == pytest.approx(REFERENCE["bandwidth"], rel=1e-6)
    np.testing.assert_allclose(density(valence, arousal), REFERENCE["density"], rtol=1e-5)


def test_scaled_density_is_scipys():
    valence, arousal = spread_pairs(500)
    arousal = 0.6 * valence + 0.3 * arousal  # a tilted kernel
    places = np.stack(spread_pairs(50, seed=1))
    expected = gaussian_kde(np.stack([valence, arousal]), "silverman")(places)
    np.testing.assert_allclose(fit_density(valence, arousal)(*places), expected, rtol=1e-9)


@pytest.mark.parametrize("bandwidth", ["scaled", "isotropic"])
def test_many_distinct_pairs_give_the_direct_sum(bandwidth, monkeypatch):
    valence, arousal = spread_pairs(4000)
    density = fit_density(valence, arousal, bandwidth)
    quick = density(valence, arousal)
    monkeypatch.setattr(module, "DIRECT_KERNELS", 10**9)
    np.testing.assert_allclose(quick[:300], density(valence[:300], arousal[:300]), rtol=1e-9)


def test_a_place_far_from_all_pairs_is_not_rounded_away():
    pairs = spread_pairs(4000) / 3
    places = np.concatenate([pairs, [[2.9], [-2.9]]], axis=1)
    expected = gaussian_kde(pairs, "silverman")(places[:, -1:])
    assert expected < 1e-12
    assert fit_density(*pairs)(*places)[-1] == pytest.approx(expected[0], rel=1e-9)


def test_repeated_pairs_count_as_often_as_they_occur():
    valence, arousal = np.round(spread_pairs(3000))
    expected = gaussian_kde(np.stack([valence, arousal]), "silverman")([valence[:20], arousal[:20]])
    np.testing.assert_allclose(fit_density(valence, arousal)(valence, arousal)[:20], expected, rtol=1e-9)


def test_density_is_one_in_all():
    step = 0.05
    axis = np.arange(-8, 8, step)
    grid = np.meshgrid(axis, axis)
    values = fit_density(*spread_pairs(200))(grid[0].ravel(), grid[1].ravel())
    assert values.sum() * step**2 == pytest.approx(1, rel=1e-6)


def test_tensors_give_a_tensor():
    valence, arousal = (torch.from_numpy(axis) for axis in spread_pairs(50))
    values = fit_density(valence, arousal)(valence, arousal)
    assert isinstance(values, torch.Tensor)
    assert values.dtype == torch.float64
    np.testing.assert_array_equal(values, fit_density(valence.numpy(), arousal.numpy())(valence.numpy(), arousal))


@pytest.mark.parametrize(
    ("valence", "arousal", "bandwidth", "message"),
    [
        ([1.0, 2.0], [1.0, 3.0], "wide", "bandwidth is 'wide': expected one of scaled, isotropic"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "scaled", "lie on one line or point.*isotropic"),
        ([1.0], [1.0], "scaled", "lie on one line or point.*isotropic"),
        ([1.0, 2.0], [1.0], "scaled", "2 valence and 1 arousal values"),
        ([1.0, float("nan")], [1.0, 2.0], "scaled", "Pair 1 is not finite"),
        ([], [], "isotropic", "no valence-arousal pairs"),
    ],
)
def test_bad_input_is_refused(valence, arousal, bandwidth, message):
    with pytest.raises(ValueError, match=message):
        fit_density(valence, arousal, bandwidth)
