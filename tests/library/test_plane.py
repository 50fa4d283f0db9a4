"""Emotion maps: where points are, what belongs together, and that all of it can be read."""

import re
from pathlib import Path

import pytest

from emoticrafter.figures import plane
from emoticrafter.figures.plane import draw_map
from tests.library.test_drawing import assert_readable, record_texts

GRID = [(v, a) for a in (3.0, 1.5, 0.0, -1.5, -3.0) for v in (-3.0, -1.5, 0.0, 1.5, 3.0)]
ROOT = Path(__file__).parents[2]


def of_colour(figure, colour, above=1.0):
    """The middle of all pixels of a colour in the upper part of a figure (the legend is below)."""
    pixels = figure.load()
    found = [(x, y) for x in range(figure.width) for y in range(int(figure.height * above)) if pixels[x, y] == colour]
    return tuple(sum(place[axis] for place in found) / len(found) for axis in (0, 1)) if found else None


@pytest.mark.parametrize("size", [384, 768, 1500])
def test_no_text_overlaps_another(monkeypatch, size):
    texts = record_texts(monkeypatch)
    draw_map(GRID * 8, GRID * 8, size)
    assert_readable(texts)
    words_of_the_pad = re.findall(r'name: "(\w+)", angle: \d+', (ROOT / "web" / "emotions.js").read_text("utf-8"))
    assert len(words_of_the_pad) == 8
    assert {text for text, _, _ in texts} >= {*words_of_the_pad, "asked (200)", "read (200)"}


def test_a_point_is_at_its_valence_and_arousal():
    middle, right, top = (of_colour(draw_map(read=[point]), plane.READ, 0.9) for point in ((0, 0), (3, 0), (0, 3)))
    assert right[0] - middle[0] == pytest.approx(middle[1] - top[1], abs=1)
    assert right[0] - middle[0] > 250
    assert right[1] == pytest.approx(middle[1], abs=1) and top[0] == pytest.approx(middle[0], abs=1)


def test_a_point_beyond_the_plane_stands_on_its_border():
    beyond, border = (of_colour(draw_map(read=[point]), plane.READ, 0.9) for point in ((9, -9), (3, -3)))
    assert beyond == border


def test_asked_and_read_are_joined_and_their_distance_is_told(monkeypatch):
    texts = record_texts(monkeypatch)
    figure = draw_map([(-2, 0)], [(2, 1)])
    assert of_colour(figure, plane.PAIR)[0] == pytest.approx(
        of_colour(draw_map(read=[(0, 0)]), plane.READ, 0.9)[0], abs=25
    )
    assert "mean error: valence 4.00, arousal 1.00" in [text for text, _, _ in texts]


def test_one_kind_alone_is_shown_without_the_other(monkeypatch):
    texts = record_texts(monkeypatch)
    draw_map(GRID)
    assert [text for text, _, _ in texts if "asked" in text or "read" in text] == ["asked (25)"]


def test_a_route_is_drawn_on_request():
    assert draw_map(GRID).tobytes() != draw_map(GRID, route=True).tobytes()


def test_no_points_and_other_numbers_of_both_kinds_are_refused():
    with pytest.raises(ValueError, match="connect asked, read or both"):
        draw_map()
    with pytest.raises(ValueError, match=r"25 points were asked for and 24 were read.*in the same order"):
        draw_map(GRID, GRID[1:])
