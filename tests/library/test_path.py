"""Paths: what keyframes may say, and the points between them."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from emoticrafter.emotions import EMOTIONS, RUSSELL
from emoticrafter.path import EASINGS, SMOOTH, Keyframe, path_points, read_keyframes
from emoticrafter.va import Point

ROOT = Path(__file__).parents[2]
WAY = [Keyframe(0, Point(-3, 0)), Keyframe(4, Point(0, 3)), Keyframe(6, Point(1, -2)), Keyframe(10, Point(3, -2))]

each_easing = pytest.mark.parametrize("easing", [*EASINGS, SMOOTH])


def read(text: str, frames: int = 24, closed: bool = False) -> list[Keyframe]:
    return read_keyframes(text, frames, EMOTIONS, closed)


# ---- keyframes -------------------------------------------------------------------------------------


def test_a_line_is_a_position_and_an_emotion_or_two_numbers():
    assert read("0 calm\n\n  6:  -1.5, 2.25 \n12 At Ease\n50.5% 1 -1\n23 awe (Mikels)\n", 41) == [
        Keyframe(0, RUSSELL["calm"]),
        Keyframe(6, Point(-1.5, 2.25)),
        Keyframe(12, RUSSELL["at ease"]),
        Keyframe(20.2, Point(1, -1)),
        Keyframe(23, Point(1.51, 0.14)),
    ]


def test_a_line_may_be_written_as_keyboards_of_other_languages_write_it():
    calm, point = Keyframe(0, RUSSELL["calm"]), Keyframe(12, Point(-1.5, 2))
    for line in (
        "12 -1,5 2",
        "12: −1.5，2",
        "１２：－１．５、２",
        "50% -1,5; 2",
        "50 % –1.5 2,0",
        "%50 -1.5 2",
        "١٢ -١٫٥ ٢",
        "50％　-1.5　2",
    ):
        assert read(f"0 calm\n{line}", 25) == [calm, point], line
    for text in (
        "0 calm; 12 -1.5 2",
        "0 calm, 12 -1.5 2",
        "0、calm、12、(-1.5, 2)",
        "0 calm。12 [-1,5; 2]。",
        "0 calm | 12 -1,5; 2",
        "0：calm，12：-1.5，2",
        "0: calm, 50%: -1.5, 2",
        "0 calm;\n12 -1.5, 2;",
    ):
        assert read(text, 25) == [calm, point], text
    assert read("0 calm\n12,5% fear （Mikels）", 25)[1] == Keyframe(3, Point(-1.79, 0.76))
    assert read("0 calm\n12 1 .5\n15 +.5,-1e-1", 25)[1:] == [
        Keyframe(12, Point(1, 0.5)),
        Keyframe(15, Point(0.5, -0.1)),
    ]


def test_numbers_that_cannot_be_read_are_refused_by_the_sign_that_is_in_the_way():
    for words, told in (
        ("1,500 2,000 3", "a comma may separate numbers or decimals"),
        ("1² 2", "it holds '²' (SUPERSCRIPT TWO)"),
        ("1e999 0", "expected a finite number such as -1.5, got '1e999'"),
        ("-inf 0", "expected a finite number"),
        ("1'5 0", "the apostrophe may separate thousands or decimals"),
    ):
        with pytest.raises(ValueError, match="is not a point") as error:
            read(f"0 calm\n12 {words}")
        assert told in str(error.value)


def test_percentages_run_from_the_first_frame_to_the_last():
    assert [keyframe.frame for keyframe in read("0% calm\n50% sad\n100% calm", 25)] == [0, 12, 24]


def test_in_a_closed_path_the_whole_is_the_first_frame_again():
    assert [keyframe.frame for keyframe in read("0% calm\n50% sad\n100% calm", 24, closed=True)] == [0, 12]
    assert [keyframe.frame for keyframe in read("6 calm\n12 sad\n30 calm", 24, closed=True)] == [6, 12]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("12", '"12" is not a keyframe: expected a position and an emotion, such as "0 calm"'),
        ("calm", '"calm" is not a keyframe'),
        ("0.5 calm", '"0.5" is not a position: expected a whole frame such as 12, or a part such as 50%'),
        ("-3 calm", '"-3" is not a position'),
        ("first calm", '"first" is not a position'),
        ("150% calm", "150% (frame 34.5) is outside the path: its 24 frames are 0 to 23"),
        ("24 calm", "frame 24 is outside the path: its 24 frames are 0 to 23"),
        ("100000 calm", "frame 100000 is outside the path"),
        ("9999999999 calm", '"9999999999" is not a position'),
        ("12 2.5", '"2.5" is not a point: expected valence and arousal, two numbers, or a named emotion'),
        ("12 1 2 3", '"1 2 3" is not a point'),
        ("12 4 0", "valence is 4: expected a number from -3 to 3"),
        ("12 0 -3.5", "arousal is -3.5: expected a number from -3 to 3"),
        ("12 nan 0", '"nan 0" is not a point: expected valence and arousal'),
        ("12 \ud83d", r'there is no emotion "\ud83d": expected'),  # half an emoji, which no log takes
        ("12 exited", 'there is no emotion "exited": expected a named one; similar: excited'),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_its_number(line, told):
    with pytest.raises(ValueError, match="The keyframes cannot be used:\nline 3: ") as error:
        read(f"0 sad\n\n{line}\n23 tired")
    assert f"line 3: {told}" in str(error.value)
    assert str(error.value).count("line ") == 1, "the lines that are right are not blamed"


def test_positions_out_of_order_are_named_as_they_are_written():
    for first, second, told in (
        ("12", "12", "frame 12 does not come after frame 12 of line 1"),
        ("12", "6", "frame 6 does not come after frame 12 of line 1"),
        ("12", "0%", "0% (frame 0) does not come after frame 12 of line 1"),
        ("50%", "20%", "20% (frame 4.6) does not come after 50% (frame 11.5) of line 1"),
    ):
        with pytest.raises(ValueError, match="expected positions that rise from line to line") as error:
            read(f"{first} calm\n{second} sad\n23 calm")
        assert f"line 2: {told}: expected" in str(error.value)


def test_all_lines_at_fault_are_told_at_once():
    with pytest.raises(ValueError, match=r"(?s)line 1: .*line 2: .*line 4: "):
        read("x calm\n12 zzz\n13 calm\n13 calm")


def test_a_text_that_is_no_list_of_keyframes_is_told_in_a_few_lines():
    with pytest.raises(ValueError, match="line 10: ") as error:
        read(f"{'x' * 10_000} {'y' * 10_000}\n" * 1000)
    assert len(str(error.value)) < 2000


def test_a_closed_path_that_would_jump_is_refused():
    with pytest.raises(ValueError, match="line 2: in a closed path this is the first frame again: give it the same"):
        read("0% calm\n100% sad", closed=True)
    with pytest.raises(ValueError, match="line 2: frame 30 is outside the path"):
        read("0% calm\n30 sad", closed=True)


def test_too_few_keyframes_are_refused():
    for text, closed, told in (
        ("", False, "no keyframes"),
        ("0 calm", False, "1 keyframe"),
        ("0% calm\n100% calm", True, "1 keyframe"),
    ):
        with pytest.raises(ValueError, match=f"path has {told}: expected two or more, a line each, such as"):
            read(text, closed=closed)


def test_an_open_path_of_one_frame_is_told_as_that_and_blames_no_line():
    with pytest.raises(ValueError, match=r"frames is 1: .* Set frames to 2 or more, or closed to true") as error:
        read("0% calm\n100% sad", frames=1)
    assert "line" not in str(error.value)
    assert len(path_points(read("0% calm\n50% sad", 1, closed=True), 1, closed=True)) == 1


def test_the_keyframes_of_the_help_page_are_right():
    page = (ROOT / "web" / "docs" / "EmotiCrafterPath.md").read_text("utf-8")
    long, loop = re.findall(r"```\n(.*?)```", page, re.DOTALL)
    assert [keyframe.frame for keyframe in read(long, 25)] == [0, 12, 18, 24]
    assert [keyframe.point for keyframe in read(loop, 16, closed=True)] == [
        RUSSELL[word] for word in ("calm", "happy", "excited")
    ]
    assert all(f"**{easing}**" in page for easing in (*EASINGS, SMOOTH))


# ---- the points between ----------------------------------------------------------------------------


@each_easing
@pytest.mark.parametrize("closed", [False, True])
def test_a_path_meets_its_keyframes(easing, closed):
    points = path_points(WAY, 13, easing, closed)
    assert len(points) == 13
    for frame, point in WAY:
        assert points[frame] == point


@each_easing
@pytest.mark.parametrize("closed", [False, True])
def test_between_two_keyframes_each_axis_goes_one_way(easing, closed):
    points = np.array(path_points(WAY, 13, easing, closed))
    stretches = [(first.frame, second.frame) for first, second in itertools.pairwise(WAY)]
    rounds = np.concatenate([points, points[:1]]) if closed else points
    for start, end in [*stretches, (10, 13)] if closed else stretches:
        steps = np.diff(rounds[start : end + 1], axis=0)
        assert all((axis >= 0).all() or (axis <= 0).all() for axis in steps.T)


@each_easing
def test_an_open_path_rests_before_and_after_its_keyframes(easing):
    points = path_points([Keyframe(2, Point(-1, 1)), Keyframe(4, Point(1, 1))], 8, easing)
    assert points[:3] == [Point(-1, 1)] * 3
    assert points[4:] == [Point(1, 1)] * 4


def test_the_easings_are_what_their_names_say():
    way = [Keyframe(0, Point(0, 0)), Keyframe(4, Point(2, 0))]

    def valences(easing):
        return [point.valence for point in path_points(way, 5, easing)]

    assert valences("linear") == [0, 0.5, 1, 1.5, 2]
    assert valences("ease in-out") == [0, 0.3125, 1, 1.6875, 2]
    assert valences("ease in") == [0, 0.125, 0.5, 1.125, 2]
    assert valences("ease out") == [0, 0.875, 1.5, 1.875, 2]
    assert valences("hold") == [0, 0, 0, 0, 2]


def test_smooth_flows_through_a_keyframe_where_ease_in_out_rests():
    way = [Keyframe(0, Point(-2, 0)), Keyframe(10, Point(0, 0)), Keyframe(20, Point(2, 0))]
    smooth, eased = (np.diff([p.valence for p in path_points(way, 21, kind)]) for kind in (SMOOTH, "ease in-out"))
    assert smooth[9:11].min() > 0.15
    assert eased[9:11].max() < 0.1


@each_easing
def test_a_closed_path_may_begin_anywhere(easing):
    """The same loop, its keyframes three frames later: the same points, three frames later."""
    early = [Keyframe(1, Point(2, 1)), Keyframe(5, Point(-1, 2)), Keyframe(8, Point(0, -2))]
    late = [Keyframe(frame + 3, point) for frame, point in early]
    first, second = (path_points(way, 12, easing, closed=True) for way in (early, late))
    np.testing.assert_allclose(np.roll(first, 3, axis=0), second, atol=1e-6)


def test_a_closed_path_doubles_no_frame():
    """Out and back in eight equal steps: the last frame is one step before the first."""
    way = [Keyframe(0, Point(-2, 0)), Keyframe(4, Point(2, 0))]
    points = path_points(way, 8, closed=True)
    assert [point.valence for point in points] == [-2, -1, 0, 1, 2, 1, 0, -1]
    assert points[-1] != points[0]


def test_an_unknown_easing_is_refused():
    with pytest.raises(ValueError, match=r"easing is 'bounce': expected one of linear, ease in-out, .*smooth"):
        path_points(WAY, 13, "bounce")
