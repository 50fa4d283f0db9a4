"""Emotion on CONDITIONING: windows, batches, what must survive, what is refused."""

import pytest
import torch

from emoticrafter import EmotionNetwork, NetworkConfig
from emoticrafter.conditioning import WINDOW, inject_emotion

WIDTH = 128


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return EmotionNetwork(NetworkConfig(feature_width=WIDTH, width=64, depth=2))


def entry(batch=1, windows=1, width=WIDTH, dtype=torch.float32, seed=0, **extra):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, WINDOW * windows, width, generator=generator).to(dtype)
    return [features, {"pooled_output": torch.randn(batch, 32, generator=generator), **extra}]


def test_each_window_is_read_on_its_own(network):
    emotion = network.encode(2.0, -1.0)
    long = entry(windows=4)
    [(whole, _)] = inject_emotion([long], network, emotion)
    for start in range(0, 4 * WINDOW, WINDOW):
        window = [long[0][:, start : start + WINDOW], long[1]]
        [(alone, _)] = inject_emotion([window], network, emotion)
        torch.testing.assert_close(whole[:, start : start + WINDOW], alone, rtol=0, atol=1e-5)


def test_the_token_count_stays(network):
    for windows in (1, 2, 3, 4):
        [(features, _)] = inject_emotion([entry(3, windows)], network, network.encode(1.0, 1.0))
        assert features.shape == (3, WINDOW * windows, WIDTH)


def test_everything_beside_the_features_survives_as_the_same_object(network):
    control, hooks, mask = object(), object(), torch.ones(1, 8, 8)
    first = entry(control=control, area=(4, 4, 0, 0), strength=0.7, start_percent=0.2)
    second = entry(seed=1, hooks=hooks, mask=mask, width=WIDTH, target_height=512, unheard_of=[1])
    result = inject_emotion([first, second], network, network.encode(-2.0, 2.0))
    for (_, before), (_, after) in zip([first, second], result, strict=True):
        assert after.keys() == before.keys()
        assert all(after[key] is before[key] for key in before)
        assert after is not before


def test_the_input_is_never_changed_in_place(network):
    conditioning = [entry(2, 2), [None, {"pooled_output": None}]]
    before = conditioning[0][0].clone()
    result = inject_emotion(conditioning, network, network.encode(3.0, 3.0))
    result[0][1]["added"] = True
    result[0][0].zero_()
    assert torch.equal(conditioning[0][0], before)
    assert "added" not in conditioning[0][1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_strength_zero_is_the_plain_prompt_bit_for_bit(network, dtype):
    plain = entry(2, 2, dtype=dtype)
    [(features, _)] = inject_emotion([plain], network, network.encode(3.0, 3.0), strength=0.0)
    assert features.dtype == dtype
    assert torch.equal(features, plain[0])


def test_an_entry_without_features_passes(network):
    extra = {"pooled_output": None, "control": object()}
    [[features, kept]] = inject_emotion([[None, extra]], network, network.encode(1.0, 0.0))
    assert features is None
    assert kept == extra


def test_an_empty_conditioning_stays_empty(network):
    assert inject_emotion([], network, network.encode(1.0, 0.0)) == []


def test_one_prompt_with_many_emotions_is_a_batch_in_their_order(network):
    valence = torch.tensor([-3.0, 0.0, 3.0])
    plain = entry(windows=2)
    [(batch, _)] = inject_emotion([plain], network, network.encode(valence, 1.0))
    for index, value in enumerate(valence.tolist()):
        [(alone, _)] = inject_emotion([plain], network, network.encode(value, 1.0))
        torch.testing.assert_close(batch[index : index + 1], alone, rtol=0, atol=1e-5)


def test_a_batch_takes_one_emotion_each(network):
    plain = entry(batch=3, windows=2)
    valence = torch.tensor([-3.0, 0.0, 3.0])
    [(batch, _)] = inject_emotion([plain], network, network.encode(valence, -1.0))
    for index, value in enumerate(valence.tolist()):
        one = [plain[0][index : index + 1], plain[1]]
        [(alone, _)] = inject_emotion([one], network, network.encode(value, -1.0))
        torch.testing.assert_close(batch[index : index + 1], alone, rtol=0, atol=1e-5)


def test_emotions_that_do_not_go_with_the_batch_are_refused(network):
    emotion = network.encode(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="batch of 2 cannot take 3 emotions"):
        inject_emotion([entry(batch=2)], network, emotion)


@pytest.mark.parametrize(
    ("width", "name"),
    [(768, "Stable Diffusion 1.x"), (1280, "the SDXL refiner"), (4096, "T5")],
)
def test_the_text_of_another_model_is_refused_by_name(width, name):
    torch.manual_seed(0)
    network = EmotionNetwork(NetworkConfig(feature_width=2048, width=64, depth=1))
    with pytest.raises(
        ValueError, match=rf"is {width} wide \({name}.*expects text 2048 wide \(SDXL\): connect"
    ):
        inject_emotion([entry(width=width)], network, network.encode(0.0, 0.0))


@pytest.mark.parametrize("tokens", [0, 76, 78, 100])
def test_a_token_count_that_is_no_window_is_refused(network, tokens):
    broken = [torch.zeros(1, tokens, WIDTH), {"pooled_output": torch.zeros(1, 32)}]
    with pytest.raises(ValueError, match=f"Entry 1 of the conditioning has {tokens} tokens.*multiple of 77"):
        inject_emotion([entry(), broken], network, network.encode(0.0, 0.0))


@pytest.mark.parametrize("extra", [{}, {"pooled_output": None}])
def test_a_missing_pooled_vector_is_refused(network, extra):
    with pytest.raises(ValueError, match="no pooled vector"):
        inject_emotion([[torch.zeros(1, WINDOW, WIDTH), extra]], network, network.encode(0.0, 0.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_features_are_refused(network, value):
    broken = entry()
    broken[0][0, 5, 7] = value
    with pytest.raises(ValueError, match="holds NaN or infinite numbers"):
        inject_emotion([broken], network, network.encode(0.0, 0.0))


def test_a_result_that_overflows_is_refused_instead_of_drawn_black(network):
    large = entry(dtype=torch.float16)
    large[0][0, 0] = 65504
    with pytest.raises(ValueError, match="load it as float32, or lower the strength"):
        inject_emotion([large], network, network.encode(3.0, 3.0), strength=1e4)


@pytest.mark.parametrize(
    "features", ["a house", torch.zeros(1, WINDOW, WIDTH, dtype=torch.int64), torch.zeros(0, WINDOW, WIDTH)]
)
def test_what_is_no_text_feature_is_refused(network, features):
    with pytest.raises(ValueError, match="Entry 0 of the conditioning holds no text features"):
        inject_emotion([[features, {"pooled_output": torch.zeros(1, 32)}]], network, network.encode(0.0, 0.0))
