"""What is counted in a picture, against values worked out by hand."""

import numpy as np
import pytest

from trainer.stimuli.numbers import look_of, nearest, numbers_of


def flat(*colour: int, side: int = 40) -> np.ndarray:
    return np.full((side, side, 3), colour, dtype=np.uint8)


def test_one_colour_has_its_grey_and_nothing_else():
    found = numbers_of(flat(200, 200, 200))
    assert (found["luminance"], found["width"], found["height"]) == (200, 40, 40)
    assert [found[name] for name in ("contrast", "colourfulness", "entropy", "edge_density")] == [0, 0, 0, 0]


def test_black_and_white_halves():
    pixels = flat(0, 0, 0)
    pixels[:, 20:] = 255
    found = numbers_of(pixels)
    assert (found["luminance"], found["contrast"], found["entropy"]) == (127.5, 127.5, 1)
    assert found["edge_density"] == pytest.approx(2 / 40)  # a column on both sides of the border
    assert found["colourfulness"] == 0


def test_colourfulness_is_that_of_hasler_and_suesstrunk():
    red, blue = flat(255, 0, 0), flat(0, 0, 255)
    # rg = 255, yb = 127.5 all over: no spread, and 0.3 times the length of the mean.
    assert numbers_of(red)["colourfulness"] == pytest.approx(0.3 * np.hypot(255, 127.5))
    both = np.concatenate([red, blue])
    # rg is 255 and 0, yb 127.5 and -255.
    spread, middle = np.hypot(127.5, 191.25), np.hypot(127.5, 63.75)
    assert numbers_of(both)["colourfulness"] == pytest.approx(spread + 0.3 * middle)


def test_the_nearest_picture_and_its_distance():
    looks = [look_of(flat(value, value, value)) for value in (10, 200, 14, 90)]
    rows, far = nearest(looks)
    assert rows.tolist() == [2, 3, 0, 2]
    assert far.tolist() == pytest.approx([4, 110, 4, 76])
    assert nearest(looks[:1])[0].tolist() == [-1]


def test_many_pictures_are_compared_in_parts(monkeypatch):
    random = np.random.default_rng(0)
    looks = list(random.uniform(0, 255, (23, 48)).astype(np.float32))
    whole = nearest(looks)
    monkeypatch.setattr("trainer.stimuli.numbers.ROWS_AT_ONCE", 5)
    for one, other in zip(whole, nearest(looks), strict=True):
        np.testing.assert_allclose(one, other)
    distances = np.sqrt(((np.stack(looks)[:, None] - np.stack(looks)) ** 2).mean(2)) + np.diag([np.inf] * 23)
    np.testing.assert_array_equal(whole[0], distances.argmin(1))
