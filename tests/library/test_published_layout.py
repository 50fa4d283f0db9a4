"""The published layout: what is taken over, what is dropped, and that every odd key is named."""

import re
from dataclasses import replace

import pytest
import torch

from benchmarks.plain import PlainNetwork
from emoticrafter import EmotionNetwork, NetworkConfig
from emoticrafter.weights import published_state
from emoticrafter.weights.files import check_layout

CONFIG = NetworkConfig(
    feature_width=40, width=64, depth=2, emotion_tokens=3, emotion_hidden=8, positions=20, block="published"
)


def published(config=CONFIG, **sizes):
    torch.manual_seed(0)
    return PlainNetwork(config, **({"vocabulary": 5, "positions": config.positions} | sizes)).state_dict()


KEYS = sorted(key for key in published() if not key.startswith("h.1."))


def test_the_config_is_read_from_the_shapes():
    for config in (CONFIG, replace(CONFIG, feature_width=128, width=192, depth=1, emotion_tokens=16)):
        assert published_state(published(config), "x")[0] == config


def test_the_translation_fits_the_network_and_drops_what_is_unused():
    config, state = published_state(published(positions=90), "x")
    assert config.positions == 77
    EmotionNetwork(config).load_state_dict(state)  # strict: no key too many, none missing
    assert all(tensor.is_contiguous() for tensor in state.values())
    kept = sum(tensor.numel() for tensor in state.values())
    unused = 3 * CONFIG.depth * 2 * 64 * (64 + 1) + 5 * 64 + (90 - 77) * 64
    assert kept == sum(tensor.numel() for tensor in published(positions=90).values()) - unused


def test_keys_may_carry_the_prefix_of_a_parallel_module():
    plain = published()
    prefixed = {f"module.{name}": tensor for name, tensor in plain.items()}
    config, state = published_state(prefixed, "x")
    expected_config, expected = published_state(plain, "x")
    assert config == expected_config
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_the_unused_word_embedding_may_be_gone():
    state = published()
    del state["wte.weight"]
    assert published_state(state, "x")[0] == CONFIG


def test_a_full_size_conversion_is_a_third_of_the_file():
    """By their shapes: the published file in float32, ours in float16."""
    with torch.device("meta"):
        there = PlainNetwork(NetworkConfig(block="published")).state_dict()
    config, ours = published_state(there, "x")
    assert config == NetworkConfig(block="published")
    ratio = sum(2 * t.numel() for t in ours.values()) / sum(4 * t.numel() for t in there.values())
    assert ratio < 0.36


# --- what does not fit -------------------------------------------------------------------------------------


TELLING = re.compile(r"wpe|v_f\.[02]\.weight|xl_feature2gpt")  # the sizes are read from these


def told(state):
    with pytest.raises(ValueError, match=r"broken\.pth") as error:
        published_state(state, "broken.pth")
    return str(error.value)


@pytest.mark.slow
def test_any_key_that_is_missing_or_too_much_is_named():
    whole = published()
    for key in KEYS:
        if key != "wte.weight":
            less = told({name: tensor for name, tensor in whole.items() if name != key})
            assert key in less and "missing" in less
        more = told({**whole, f"{key}.extra": torch.zeros(1)})
        assert "1 not known" in more and f"{key}.extra" in more


@pytest.mark.slow
def test_any_tensor_of_another_shape_is_refused():
    whole = published()
    for key in KEYS:
        if key == "wte.weight":
            continue
        tensor = whole[key]
        longer = torch.cat([tensor, tensor[:1]])
        for changed in (longer, tensor.t(), tensor.flatten()[:-1], tensor[:0], tensor.flatten()[0]):
            if changed.shape == tensor.shape or (key == "wpe.weight" and changed is longer):
                continue  # square, or only more positions
            with pytest.raises(ValueError, match=r"do not fit the network|another model|cannot be built") as error:
                published_state({**whole, key: changed}, "broken.pth")
            if not TELLING.match(key):
                assert f"{key} is {list(changed.shape)}, expected {list(tensor.shape)}" in str(error.value)


def test_a_gap_in_the_blocks_is_named():
    for number in ("5", "999999999999", "00"):
        message = told({key.replace("h.1.", f"h.{number}."): tensor for key, tensor in published().items()})
        assert "missing" in message and "h.1." in message and f"h.{number}." in message


def test_the_state_dict_of_another_model_is_refused():
    for key in ("conv_in.weight", "model.diffusion_model.input_blocks.0.0.weight", "transformer.wte.weight"):
        message = told({key: torch.zeros(4, 4)})
        assert "broken.pth is a state dict of another model" in message and key in message
        assert f"Expected the layout of the published EmotiCrafter weights; it begins with {key}." in message


def test_all_differences_are_told_and_long_lists_cut():
    expected = {f"k{n}": (2,) for n in range(9)} | {"odd": (3, 4)}
    state = {"odd": torch.zeros(4, 3), "more": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"w\.pth do not fit") as error:
        check_layout(expected, state, "w.pth")
    assert "9 missing (k0, k1, k2, k3, k4 and 4 more)" in str(error.value)
    assert "1 not known (more)" in str(error.value)
    assert "1 of another shape (odd is [4, 3], expected [3, 4])" in str(error.value)
