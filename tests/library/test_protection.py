"""The directions of protected words, and residuals without them."""

import pytest
import torch

from emoticrafter.encoders import CLIP_WINDOW as WINDOW
from emoticrafter.protection import remove_directions, word_directions

WIDTH = 64


def encoded(*vectors, count=2, empty=None):
    """The features of a word that adds one vector to its own tokens and one to all after them."""
    features = (torch.zeros(1, WINDOW, WIDTH) if empty is None else empty).clone()
    for places, vector in zip((slice(1, 1 + count), slice(1 + count, None)), vectors, strict=True):
        features[:, places] += vector
    return features


@pytest.fixture
def vectors():
    return torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def empty():
    return torch.randn(1, WINDOW, WIDTH, generator=torch.Generator().manual_seed(1))


def directions(vectors, empty, count=2):
    words = [
        (f"word {index}", encoded(*pair, count=count, empty=empty), count)
        for index, pair in enumerate(vectors.unflatten(0, (-1, 2)))
    ]
    return word_directions(words, empty)


def test_a_word_gives_the_direction_of_its_tokens_and_of_what_comes_after_them(vectors, empty):
    basis = directions(vectors, empty)
    assert basis.shape == (6, WIDTH)
    torch.testing.assert_close(basis @ basis.T, torch.eye(6), rtol=0, atol=1e-5)
    for vector in vectors:
        assert remove_directions(vector, basis).norm() < 1e-4 * vector.norm()


def test_the_direction_is_the_same_wherever_the_words_strength_and_order_put_it(vectors, empty):
    basis = directions(vectors, empty)
    other = directions(torch.cat([vectors[4:] * 100, vectors[:4] / 100]), empty)
    torch.testing.assert_close(other.T @ other, basis.T @ basis, rtol=0, atol=1e-4)


def test_a_word_given_twice_counts_once(vectors, empty):
    assert len(directions(torch.cat([vectors[:2], vectors[:2]]), empty)) == 2


def test_a_word_that_changes_nothing_protects_nothing(vectors, empty):
    assert directions(vectors[:2] * 0, empty).shape == (0, WIDTH)
    residual = torch.randn(2, 5, WIDTH)
    assert torch.equal(remove_directions(residual, directions(vectors[:2] * 0, empty)), residual)


def test_a_residual_without_a_protected_part_stays_bit_for_bit():
    basis = torch.eye(WIDTH)[:3]
    residual = torch.randn(2, WINDOW, WIDTH, generator=torch.Generator().manual_seed(3))
    residual[..., :3] = 0
    assert torch.equal(remove_directions(residual, basis), residual)


def test_what_is_removed_is_the_protected_part_and_nothing_else(vectors, empty):
    basis = directions(vectors, empty)
    generator = torch.Generator().manual_seed(3)
    mood = remove_directions(torch.randn(2, WINDOW, WIDTH, generator=generator), basis)
    people = torch.randn(2, WINDOW, 6, generator=generator) @ vectors
    torch.testing.assert_close(remove_directions(mood + people, basis), mood, rtol=0, atol=1e-4)


def test_a_word_may_fill_a_window_and_is_refused_by_name_beyond(vectors, empty):
    for count in (1, 75):
        assert len(directions(vectors[:2], empty, count)) == 2
    for count, windows in ((0, 1), (76, 1), (80, 2)):
        with pytest.raises(ValueError, match=f"protected word 'too long' has {count} tokens.*1 to 75 tokens"):
            word_directions([("too long", empty.repeat(1, windows, 1), count)], empty)
    with pytest.raises(ValueError, match="protected word 'people' hold NaN"):
        word_directions([("people", empty * float("nan"), 1)], empty)


def test_an_encoder_that_gives_no_window_is_blamed_and_not_the_words(vectors):
    empty = torch.zeros(1, 2 * WINDOW, WIDTH)
    with pytest.raises(ValueError, match=r"The CLIP for the protected words .*\(1, 154, 64\).* an SDXL checkpoint"):
        word_directions([("face", empty, 1)], empty)
