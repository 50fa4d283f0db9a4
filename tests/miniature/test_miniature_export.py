"""The files that are shipped: equal for equal weights, readable, and refused where float16 is too small."""

import json

import pytest
import torch
from safetensors import safe_open

from trainer.miniature.export import FORMAT, VERSION, write_part

STATE = {"b": torch.linspace(-1, 1, 6).view(2, 3), "a": torch.ones(3)}
CONFIG = {"sizes": [64, 128], "named": "é"}


def test_a_part_holds_its_tensors_in_float16_and_its_config(tmp_path):
    write_part(tmp_path / "part.safetensors", STATE, CONFIG)
    with safe_open(tmp_path / "part.safetensors", "pt") as file:
        assert file.metadata() == {"format": FORMAT, "version": VERSION, "config": json.dumps(CONFIG)}
        for name, tensor in STATE.items():
            torch.testing.assert_close(file.get_tensor(name), tensor.half(), rtol=0, atol=0)


def test_equal_weights_are_equal_files(tmp_path):
    """safetensors alone writes the metadata in an order of chance."""
    for number in range(8):
        write_part(tmp_path / f"{number}.safetensors", STATE, CONFIG)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_weight_that_float16_cannot_hold_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"part\.safetensors: a is not finite in float16"):
        write_part(tmp_path / "part.safetensors", {"a": torch.tensor([70_000.0])}, {})
    assert list(tmp_path.iterdir()) == []
