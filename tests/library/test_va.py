"""Valence-arousal values: what is read, what is refused, and points made of points."""

import math

import pytest
import torch

from emoticrafter import EmotionNetwork, NetworkConfig
from emoticrafter.conditioning import inject_emotion
from emoticrafter.va import Point, blended, grid_points, intensified, va_tensor

NAN = float("nan")


def test_numbers_and_tensors_are_read_as_one_row():
    for value, expected in (
        (1.5, [1.5]),
        (-3, [-3.0]),
        ([0.5, 3.0], [0.5, 3.0]),
        (torch.tensor(2.0), [2.0]),
        (torch.tensor([1, -2]), [1.0, -2.0]),
        (torch.tensor([[1.0], [-2.0]]), [1.0, -2.0]),
    ):
        values = va_tensor("valence", value)
        assert values.is_floating_point() and values.tolist() == expected
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert va_tensor("arousal", torch.tensor([-3.0, 3.0], dtype=dtype)).dtype == dtype


def test_a_value_that_cannot_be_used_is_named():
    for value, told in (
        (3.5, "arousal is 3.5: expected a number from -3 to 3"),
        (-100, "arousal is -100: expected a number from -3 to 3"),
        (NAN, "arousal is nan: expected a number from -3 to 3"),
        (float("inf"), "arousal is inf: expected a number from -3 to 3"),
        (torch.tensor([0.0, 1.0, -4.0]), "arousal is -4: expected"),
        (torch.tensor([0.0, NAN]), "arousal is nan: expected"),
        (torch.tensor([]), "arousal is empty: expected one number or one per image"),
    ):
        with pytest.raises(ValueError, match=told):
            va_tensor("arousal", value)


# ---- intensity and blending ------------------------------------------------------------------------


@pytest.mark.parametrize("point", [Point(2.48, 1.58), Point(-1.94, -0.8), Point(0.0, 0.0), Point(3.0, -3.0)])
def test_intensity_one_leaves_a_point_and_zero_is_neutral(point):
    assert intensified(point, 1.0) == point
    assert intensified(point, 0.0) == Point(0.0, 0.0)


def test_intensity_moves_a_point_along_its_ray():
    assert intensified(Point(1.0, -0.4), 2.0) == Point(2.0, -0.8)
    assert intensified(Point(1.0, -0.4), 0.5) == Point(0.5, -0.2)


def test_at_the_edge_the_kind_of_emotion_stays():
    happy = Point(2.48, 1.58)
    valence, arousal = intensified(happy, 3.0)
    assert valence == 3.0
    assert math.atan2(arousal, valence) == pytest.approx(math.atan2(*reversed(happy)), abs=1e-6)


def test_a_blend_lies_between_both():
    calm, angry = Point(1.69, -0.92), Point(-1.57, 1.75)
    assert blended(calm, angry, 0.0) == calm
    assert blended(calm, angry, 1.0) == angry
    assert blended(calm, angry, 0.5) == Point(0.06, 0.415)


def test_an_intensity_or_a_weight_that_cannot_be_used_is_named():
    point = Point(1.0, 1.0)
    for value in (-0.5, NAN):
        with pytest.raises(ValueError, match=f"intensity is {value}: expected a number from 0 to 3."):
            intensified(point, value)
    for value in (1.5, NAN):
        with pytest.raises(ValueError, match=f"blend is {value}: expected a number from 0 to 1."):
            blended(point, Point(0.0, 0.0), value)


# ---- grids -----------------------------------------------------------------------------------------

WHOLE = (-3.0, 3.0)


def test_a_grid_reads_like_a_chart():
    points = grid_points(3, 2, (-3.0, 3.0), (-1.0, 2.0))
    assert points == [(-3.0, 2.0), (0.0, 2.0), (3.0, 2.0), (-3.0, -1.0), (0.0, -1.0), (3.0, -1.0)]


def test_the_five_by_five_grid_is_the_one_of_the_paper():
    points = grid_points(5, 5, WHOLE, WHOLE)
    assert len(points) == len(set(points)) == 25
    for values in zip(*points, strict=True):
        assert set(values) == {-3.0, -1.5, 0.0, 1.5, 3.0}


def test_steps_of_a_fifth_are_round_numbers():
    points = grid_points(31, 1, WHOLE, (0.5, 0.5))
    assert [valence for valence, _ in points] == [round(-3 + 0.2 * step, 1) for step in range(31)]
    assert {arousal for _, arousal in points} == {0.5}


def test_one_column_or_row_stands_in_the_middle():
    assert grid_points(1, 1, WHOLE, (1.0, 2.0)) == [(0.0, 1.5)]


def test_no_value_is_minus_zero():
    assert all(
        math.copysign(1, value) == 1 for point in grid_points(3, 3, WHOLE, WHOLE) for value in point if not value
    )


def test_a_grid_that_cannot_be_made_is_refused():
    for arguments, told in (
        ((5, 5, (2.0, -1.0), WHOLE), "valence_min is 2 and .* is -1: expected the lower value in valence_min."),
        ((5, 5, WHOLE, (1.0, 0.0)), "arousal_min is 1 and .* is 0: expected the lower value in arousal_min."),
        ((5, 5, (-4.0, 3.0), WHOLE), "valence_min is -4: expected a number from -3 to 3."),
        ((5, 5, WHOLE, (0.0, NAN)), "arousal_max is nan: expected a number from -3 to 3."),
        ((0, 5, WHOLE, WHOLE), "columns is 0: expected 1 or more."),
        ((5, -1, WHOLE, WHOLE), "rows is -1: expected 1 or more."),
    ):
        with pytest.raises(ValueError, match=told):
            grid_points(*arguments)


def test_a_five_by_five_grid_runs_the_network_once_as_a_batch():
    torch.manual_seed(0)
    network = EmotionNetwork(NetworkConfig(feature_width=32, width=64, depth=2))
    encoded, injected = [], []
    network.valence_encoder.register_forward_hook(lambda module, inputs, output: encoded.append(len(output)))
    network.blocks[0].register_forward_hook(lambda module, inputs, output: injected.append(len(output)))
    valence, arousal = torch.tensor(grid_points(5, 5, WHOLE, WHOLE)).T
    prompt = [torch.randn(1, 77, 32), {"pooled_output": torch.zeros(1, 8)}]
    [(features, _)] = inject_emotion([prompt], network, network.encode(valence, arousal))
    assert features.shape == (25, 77, 32)
    assert encoded == injected == [25]
