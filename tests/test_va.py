"""Valence-arousal values: what is read, what is refused."""

import pytest
import torch

from emoticrafter.va import va_tensor


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, [1.5]),
        (-3, [-3.0]),
        ([0.5, 3.0], [0.5, 3.0]),
        (torch.tensor(2.0), [2.0]),
        (torch.tensor([1, -2]), [1.0, -2.0]),
        (torch.tensor([[1.0], [-2.0]]), [1.0, -2.0]),
    ],
)
def test_numbers_and_tensors_are_read_as_one_row(value, expected):
    values = va_tensor("valence", value)
    assert values.is_floating_point()
    assert values.tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_floating_dtype_stays(dtype):
    assert va_tensor("arousal", torch.tensor([-3.0, 3.0], dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3.5, "arousal is 3.5: expected a number from -3 to 3"),
        (-100, "arousal is -100: expected a number from -3 to 3"),
        (float("nan"), "arousal is nan: expected a number from -3 to 3"),
        (float("inf"), "arousal is inf: expected a number from -3 to 3"),
        (torch.tensor([0.0, 1.0, -4.0]), "arousal is -4: expected"),
        (torch.tensor([0.0, float("nan")]), "arousal is nan: expected"),
        (torch.tensor([]), "arousal is empty: expected one number or one per image"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(value, told):
    with pytest.raises(ValueError, match="arousal") as error:
        va_tensor("arousal", value)
    assert told in str(error.value)
