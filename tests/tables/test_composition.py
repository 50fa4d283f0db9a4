"""What stays of a picture's edges and of the emotion when it begins later, and the starts that follow from it."""

import numpy as np
import pytest

from trainer.tables.composition import (
    Measured,
    Nulls,
    at_start,
    curve_table,
    edge_agreement,
    kept_table,
    starts_that_keep,
)

CURVE = {
    0.0: Measured(0.2, 1.0, 0.8),
    0.2: Measured(0.6, 0.8, 0.4),
    0.4: Measured(0.55, 0.4, 0.2),
    0.5: Measured(0.8, 0.1, 0.1),
}


def picture(seed: int) -> np.ndarray:
    """Twenty bars of grey in other places for each seed."""
    places, pixels = np.random.default_rng(seed), np.full((128, 128, 3), 80, np.uint8)
    for x, y, grey in zip(*places.integers(0, 118, (2, 20)), places.integers(40, 120, 20), strict=True):
        pixels[y : y + 10, x : x + 10] = grey
    return pixels


def test_edges_agree_whatever_the_light_and_not_with_those_of_another_picture():
    one = picture(0)
    assert edge_agreement(one, one) == pytest.approx(1)
    assert edge_agreement(one, 2 * one) > 0.99  # twice the contrast, and brighter
    assert edge_agreement(one, 255 - one) > 0.99
    assert abs(edge_agreement(one, picture(1))) < 0.15
    half = one.copy()
    half[:, 64:] = picture(1)[:, 64:]
    assert 0.3 < edge_agreement(one, half) < 0.8
    assert edge_agreement(one, np.full_like(one, 90)) == 0


def test_a_start_is_where_the_edges_have_come_their_share_of_the_way():
    none, quarter, half, most, whole = starts_that_keep(CURVE, (0.0, 0.25, 0.5, 0.75, 1.0))
    assert (none, whole) == (0.0, 1.0)
    assert quarter == pytest.approx(0.1)  # 0.2 of the way of 0.8, so 0.4 of the agreement
    assert half == pytest.approx(0.2)  # the earliest that has come so far, although a later one has less
    assert most == pytest.approx(0.5)


def test_between_starts_what_stays_is_read_on_a_straight_line():
    found = at_start(CURVE, 0.1)
    assert (found.edges, found.valence, found.arousal) == pytest.approx((0.4, 0.9, 0.6))
    assert found.reach(CURVE[0.0]) == pytest.approx((0.9 + 0.75) / 2)
    assert at_start(CURVE, 1.0) == Measured(1.0, 0.0, 0.0)


def test_the_tables_say_what_stays_beside_what_agrees_anyway():
    nulls = Nulls(other_seed=0.1, neutral=0.55)
    lines = curve_table(CURVE, nulls).splitlines()
    assert lines[2] == "| start 0 | 0.20 | 11 % | 1.00 | 0.80 | 100 % |"
    assert lines[-3:] == [
        "| emotion at 0, 0 | 0.55 | 50 % | – | – | – |",
        "| another seed | 0.10 | 0 % | – | – | – |",
        "| the plain picture | 1.00 | 100 % | – | – | – |",
    ]
    kept = kept_table(CURVE, nulls, "SDXL").splitlines()
    assert kept[2] == "| 0 | 0.00 | 0.00 | 0.20 | 11 % | 100 % |"
    assert kept[-1] == "| 1 | 1.00 | 1.00 | 1.00 | 100 % | 0 % |"
    unseen = {start: Measured(found.edges, 0.0, 0.0) for start, found in CURVE.items()}
    assert curve_table(unseen, nulls).splitlines()[2].endswith("| – |")
