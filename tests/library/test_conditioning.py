"""Emotion on CONDITIONING: windows, batches, what must survive, what is refused."""

import math

import pytest
import torch

from emoticrafter import EmotionNetwork, NetworkConfig, conditioning
from emoticrafter.conditioning import inject_emotion
from emoticrafter.encoders import CLIP_WINDOW as WINDOW
from emoticrafter.protection import remove_directions

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
    assert whole.shape == long[0].shape


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


def test_an_entry_without_features_passes_and_nothing_stays_nothing(network):
    extra, emotion = {"pooled_output": None, "control": object()}, network.encode(1.0, 0.0)
    assert inject_emotion([[None, extra]], network, emotion) == [[None, extra]]
    assert inject_emotion([], network, emotion) == []


@pytest.mark.parametrize("settings", [{}, {"gains": (0.5, 1.5)}])
def test_one_prompt_takes_many_emotions_in_their_order_and_a_batch_one_each(network, settings):
    valence = torch.tensor([-3.0, 0.0, 3.0])
    for plain, pooled in (entry(windows=2), entry(batch=3, windows=2)):
        [(batch, _)] = inject_emotion([[plain, pooled]], network, network.encode(valence, -1.0), **settings)
        for index, value in enumerate(valence.tolist()):
            one = [plain[index : index + 1] if len(plain) > 1 else plain, pooled]
            [(alone, _)] = inject_emotion([one], network, network.encode(value, -1.0), **settings)
            torch.testing.assert_close(batch[index : index + 1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"gains": (1.5, 0.5)}])
def test_more_frames_than_the_memory_holds_at_once_go_through_in_parts(network, monkeypatch, settings):
    values = torch.linspace(-3, 3, 5)
    emotions = network.encode(values, -values)
    [(whole, _)] = inject_emotion([entry(windows=2)], network, emotions, **settings)
    seen = []
    hook = network.blocks[0].register_forward_hook(lambda *given: seen.append(len(given[-1])))
    monkeypatch.setattr(conditioning, "AT_ONCE", 3)
    [(parts, _)] = inject_emotion([entry(windows=2)], network, emotions, **settings)
    [(alone, _)] = inject_emotion([entry(windows=4)], network, network.encode(1.0, 1.0), **settings)
    hook.remove()
    assert max(seen) == 3
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    monkeypatch.undo()
    [(expected, _)] = inject_emotion([entry(windows=4)], network, network.encode(1.0, 1.0), **settings)
    torch.testing.assert_close(alone, expected, rtol=0, atol=1e-5)


def test_emotions_that_do_not_go_with_the_batch_are_refused(network):
    emotion = network.encode(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="batch of 2 cannot take 3 emotions"):
        inject_emotion([entry(batch=2)], network, emotion)


@pytest.mark.parametrize(
    ("width", "name"), [(768, "Stable Diffusion 1.x"), (1280, "the SDXL refiner"), (4096, "Stable")]
)
def test_the_text_of_another_model_is_refused_by_name(width, name):
    torch.manual_seed(0)
    network = EmotionNetwork(NetworkConfig(feature_width=2048, width=64, depth=1))
    with pytest.raises(ValueError, match=rf"is {width} wide \({name}.*expects text 2048 wide \(SDXL\): connect"):
        inject_emotion([entry(width=width)], network, network.encode(0.0, 0.0))


BAD_ENTRIES = (
    *(
        (torch.zeros(1, tokens, WIDTH), rf"Entry 1 of .* has {tokens} tokens.*multiple of 77")
        for tokens in (0, 76, 78, 100)
    ),
    *((torch.full((1, WINDOW, WIDTH), value), "holds NaN or infinite") for value in (math.nan, math.inf)),
    ("a house", "Entry 1 of the conditioning does not hold text features"),
    (torch.zeros(1, WINDOW, WIDTH, dtype=torch.int64), "Entry 1 of .* does not hold text features"),
    (torch.zeros(0, WINDOW, WIDTH), "Entry 1 of .* does not hold text features"),
)


def test_an_entry_that_cannot_take_an_emotion_is_refused_by_its_number(network):
    emotion = network.encode(0.0, 0.0)
    for features, told in BAD_ENTRIES:
        with pytest.raises(ValueError, match=told):
            inject_emotion([entry(), [features, entry()[1]]], network, emotion)
    for extra in ({}, {"pooled_output": None}):
        with pytest.raises(ValueError, match="no pooled vector"):
            inject_emotion([[entry()[0], extra]], network, emotion)


def test_a_result_that_overflows_is_refused_instead_of_drawn_black(network):
    large = entry(dtype=torch.float16)
    large[0][0, 0] = 65504
    with pytest.raises(ValueError, match="load it as float32, or lower the strength"):
        inject_emotion([large], network, network.encode(3.0, 3.0), strength=1e4)


# ---- gains -----------------------------------------------------------------------------------------


def with_gains(network, *gains, valence=2.0, arousal=-1.5):
    [(features, _)] = inject_emotion([entry()], network, network.encode(valence, arousal), gains=gains)
    return features


def test_settings_at_their_defaults_are_the_published_way_bit_for_bit(network):
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        plain, emotion = entry(dtype=dtype), network.encode(2.0, -1.5)
        default = {"gains": (1.0, 1.0), "protected": None, "pooled": "keep", "steps": (0.0, 1.0)}
        [[features, extra]] = inject_emotion([plain], network, emotion, 1.25, **default)
        assert torch.equal(features, network.inject(plain[0], emotion, 1.25))
        assert extra.keys() == plain[1].keys()
        assert extra["pooled_output"] is plain[1]["pooled_output"]


@pytest.mark.parametrize(
    ("gains", "place"), [((1.0, 0.0), (2.0, 0.0)), ((0.0, 1.0), (0.0, -1.5)), ((0.0, 0.0), (0.0, 0.0))]
)
def test_a_gain_of_zero_is_the_emotion_with_that_value_at_zero(network, gains, place):
    [(expected, _)] = inject_emotion([entry()], network, network.encode(*place))
    torch.testing.assert_close(with_gains(network, *gains), expected, rtol=0, atol=1e-5)


def test_a_gain_goes_on_past_the_end_of_the_slider_and_leaves_the_other_axis(network):
    at = {gain: with_gains(network, 1.0, gain, valence=1.0, arousal=3.0) for gain in (0.0, 1.0, 2.0)}
    torch.testing.assert_close(at[2.0] - at[1.0], at[1.0] - at[0.0], rtol=0, atol=1e-5)
    assert (at[2.0] - at[1.0]).abs().max() > 1e-3
    still = with_gains(network, 1.0, 2.0, valence=1.0, arousal=0.0)
    torch.testing.assert_close(still, with_gains(network, 1.0, 1.0, valence=1.0, arousal=0.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("gain", [-0.5, float("nan"), float("inf")])
def test_a_gain_that_is_none_is_refused(network, gain):
    with pytest.raises(ValueError, match=r"arousal gain is .*expected 0"):
        with_gains(network, 1.0, gain)


# ---- protection ------------------------------------------------------------------------------------


def test_the_residual_leaves_protected_directions_alone_at_every_token(network):
    basis = torch.linalg.qr(torch.randn(WIDTH, 3, generator=torch.Generator().manual_seed(4))).Q.T
    plain, emotion = entry(2, 2), network.encode(2.0, 2.0)
    [(free, _)] = inject_emotion([plain], network, emotion)
    [(kept, _)] = inject_emotion([plain], network, emotion, 1.0, protected=basis)
    torch.testing.assert_close(kept @ basis.T, plain[0] @ basis.T, rtol=0, atol=1e-4)
    torch.testing.assert_close(kept - plain[0], remove_directions(free - plain[0], basis), rtol=0, atol=1e-4)


def test_protected_words_of_another_encoder_are_refused(network):
    with pytest.raises(ValueError, match=r"protected words are 768 wide \(Stable Diffusion 1.x\)"):
        inject_emotion([entry()], network, network.encode(0.0, 0.0), protected=torch.zeros(1, 768))


# ---- the pooled vector -----------------------------------------------------------------------------


def pooled_of(network, plain, pooled, valence=1.0, **settings):
    emotion = network.encode(valence, 0.0)
    [[_, extra]] = inject_emotion([plain], network, emotion, pooled=pooled, **settings)
    return extra["pooled_output"]


def test_the_pooled_vector_is_kept_or_zero_or_that_of_another_prompt(network):
    plain, other = entry(), torch.randn(1, 32, generator=torch.Generator().manual_seed(9))
    before = plain[1]["pooled_output"].clone()
    assert pooled_of(network, plain, "keep") is plain[1]["pooled_output"]
    assert not pooled_of(network, plain, "zero").any()
    assert torch.equal(pooled_of(network, plain, other), other)
    assert pooled_of(network, plain, other.half()).dtype == torch.float32
    assert torch.equal(plain[1]["pooled_output"], before)


def test_many_emotions_take_one_pooled_vector_or_one_each(network):
    three = torch.tensor([-1.0, 0.0, 1.0])
    for count in (1, 3):
        assert pooled_of(network, entry(), torch.ones(count, 32), three).shape == (count, 32)


@pytest.mark.parametrize("shape", [(1, 31), (2, 32), (32,)])
def test_a_pooled_vector_that_does_not_fit_is_refused(network, shape):
    with pytest.raises(ValueError, match=r"Entry 0 .* expected \[1 or 1, 32\]"):
        pooled_of(network, entry(), torch.ones(shape))
    with pytest.raises(ValueError, match="expected 'keep', 'zero'"):
        pooled_of(network, entry(), "none")


# ---- start and end ---------------------------------------------------------------------------------


def spells(network, steps, **range_of_the_entry):
    """What inject_emotion makes of an entry: (start, end, whether it is emotional) of each."""
    plain = entry(**range_of_the_entry)
    result = inject_emotion([plain], network, network.encode(1.0, 1.0), steps=steps)
    return [
        (
            None if (start := extra.get("start_percent")) is None else round(start, 4),
            None if (end := extra.get("end_percent")) is None else round(end, 4),
            not torch.equal(features, plain[0]),
        )
        for features, extra in result
    ]


def test_the_plain_prompt_and_the_emotional_one_take_turns(network):
    assert spells(network, (0.0, 1.0)) == [(None, None, True)]
    assert spells(network, (0.3, 1.0)) == [(0.0, 0.3, False), (0.3, 1.0, True)]
    assert spells(network, (0.0, 0.6)) == [(0.0, 0.6, True), (0.6, 1.0, False)]
    assert spells(network, (0.3, 0.6)) == [(0.0, 0.3, False), (0.3, 0.6, True), (0.6, 1.0, False)]
    assert spells(network, (0.3, 0.3)) == [(None, None, False)]


def test_a_range_that_an_entry_has_is_kept_and_cut_where_the_emotion_begins_and_ends(network):
    own = {"start_percent": 0.2, "end_percent": 0.8}
    assert spells(network, (0.0, 1.0), **own) == [(0.2, 0.8, True)]
    assert spells(network, (0.1, 0.9), **own) == [(0.2, 0.8, True)]
    assert spells(network, (0.2, 0.8), **own) == [(0.2, 0.8, True)]
    assert spells(network, (0.5, 1.0), **own) == [(0.2, 0.5, False), (0.5, 0.8, True)]
    assert spells(network, (0.0, 0.1), **own) == [(0.2, 0.8, False)]
    assert spells(network, (0.8, 1.0), **own) == [(0.2, 0.8, False)]
    assert spells(network, (0.5, 1.0), end_percent=0.6) == [(0.0, 0.5, False), (0.5, 0.6, True)]


def test_two_nodes_with_the_same_start_cut_once(network):
    emotion = network.encode(1.0, 1.0)
    once = inject_emotion([entry()], network, emotion, steps=(0.4, 1.0))
    twice = inject_emotion(once, network, emotion, steps=(0.4, 1.0))
    ranges = [[(extra["start_percent"], extra["end_percent"]) for _, extra in result] for result in (once, twice)]
    assert ranges[0] == ranges[1]


def test_what_an_entry_carries_goes_with_every_part(network):
    control, mask = object(), torch.ones(1, 8, 8)
    plain = entry(control=control, mask=mask, area=(4, 4, 0, 0))
    result = inject_emotion([plain], network, network.encode(1.0, 1.0), steps=(0.3, 0.6), pooled="zero")
    assert len(result) == 3
    for _, extra in result:
        assert extra["control"] is control
        assert extra["mask"] is mask
        assert extra.keys() == {*plain[1], "start_percent", "end_percent"}
    assert [bool(extra["pooled_output"].any()) for _, extra in result] == [True, False, True]
    assert "start_percent" not in plain[1]


def test_the_plain_parts_of_many_emotions_are_the_prompt_once(network):
    emotion = network.encode(torch.tensor([-1.0, 0.0, 1.0]), 0.0)
    result = inject_emotion([entry()], network, emotion, steps=(0.5, 1.0))
    assert [len(features) for features, _ in result] == [1, 3]


@pytest.mark.parametrize("steps", [(0.6, 0.4), (-0.1, 1.0), (0.0, 1.1), (float("nan"), 1.0)])
def test_a_start_after_the_end_is_refused(network, steps):
    named = f"start_percent is {steps[0]:g} and end_percent {steps[1]:g}: expected .*start not after the end"
    with pytest.raises(ValueError, match=named):
        spells(network, steps)


def test_strength_zero_is_the_plain_prompt_whatever_else_is_set(network):
    settings = {"gains": (2.0, 0.0), "protected": torch.eye(WIDTH)[:2], "pooled": "zero", "steps": (0.2, 0.7)}
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        plain = entry(2, 2, dtype=dtype)
        [[features, extra]] = inject_emotion([plain], network, network.encode(3.0, 3.0), 0.0, **settings)
        assert features.dtype == dtype and torch.equal(features, plain[0])
        assert extra == plain[1]


# ---- keys and values in turn, as NegPip makes them ---------------------------------------------------


def with_values(keys, negative=()):
    """[B, T, D] to [B, 2T, D]: each token's key and its value, which is turned round at the negative tokens."""
    values = keys.clone()
    values[:, list(negative)] *= -1
    return torch.stack([keys, values], dim=2).flatten(1, 2)


@pytest.mark.parametrize("windows", [1, 3])
def test_the_keys_take_the_emotion_and_the_values_the_same_with_their_sign(network, windows):
    keys, extra = entry(windows=windows)
    keys[0, 3, 5] = 0.0
    plain, negative = with_values(keys, negative=(2, 3, 76)), [2, 3, 76]
    settings = {"strength": 1.5, "gains": (2.0, 0.5)}
    [(expected, _)] = inject_emotion([[keys, extra]], network, network.encode(2.0, 1.0), **settings)
    [(found, _)] = inject_emotion([[plain, extra]], network, network.encode(2.0, 1.0), **settings)
    assert torch.equal(found, with_values(expected, negative))
    [(same, _)] = inject_emotion([[plain, extra]], network, network.encode(2.0, 1.0), 0.0)
    assert torch.equal(same, plain)


def test_keys_and_values_take_many_emotions_and_a_second_node(network):
    keys, extra = entry()
    emotions = network.encode(torch.tensor([1.0, -2.0]), 0.5)
    once = inject_emotion([[with_values(keys, [4]), extra]], network, emotions)
    [(twice, _)] = inject_emotion(once, network, emotions)
    [(expected, _)] = inject_emotion(inject_emotion([[keys, extra]], network, emotions), network, emotions)
    assert torch.equal(twice, with_values(expected, [4]))


def test_two_windows_of_text_and_an_emptied_prompt_are_not_taken_for_keys_and_values(network):
    for features in (entry(windows=2)[0], torch.zeros(1, 2 * WINDOW, WIDTH)):
        [(found, _)] = inject_emotion([[features, entry()[1]]], network, network.encode(2.0, 1.0))
        halves = [[half, entry()[1]] for half in features.split(WINDOW, dim=1)]
        alone = inject_emotion(halves, network, network.encode(2.0, 1.0))
        torch.testing.assert_close(found, torch.cat([half for half, _ in alone], dim=1), rtol=0, atol=1e-5)
