"""The network: agreement with the reference values and the plain oracle, batches, strength, refusals."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from benchmarks.plain import PlainNetwork
from emoticrafter import EmotionFeatures, EmotionNetwork, NetworkConfig, load_network
from emoticrafter.weights import published_state

REFERENCE = Path(__file__).parents[1] / "reference"
TINY = NetworkConfig(feature_width=96, width=64, depth=2, emotion_hidden=32)


def same(got, expected, atol=1e-5):
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def stirred(module, seed=0):
    """Every parameter random, norms and biases too, so that none can be left out or mixed up unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(std=0.1, generator=generator)
            if parameter.ndim == 1 and name.endswith("weight"):  # a norm's
                parameter.add_(1.0)
    return module


def twins(config, seed=0):
    """The plain oracle and our network with the same weights."""
    plain = stirred(PlainNetwork(config, vocabulary=8, positions=config.positions), seed)
    _, state = published_state(plain.state_dict(), "oracle")
    ours = EmotionNetwork(config)
    ours.load_state_dict(state)
    return plain, ours


def inputs(config, prompts=2, emotions=2, tokens=None, seed=1):
    generator = torch.Generator().manual_seed(seed)
    neutral = torch.randn(prompts, tokens or config.positions, config.feature_width, generator=generator)
    valence, arousal = torch.rand(2, emotions, generator=generator) * 6 - 3
    return neutral, valence, arousal


@pytest.fixture(scope="module")
def network():
    return stirred(EmotionNetwork(TINY))


# --- agreement ---------------------------------------------------------------------------------------------


def reference_values():
    io = load_file(REFERENCE / "published_layout_tiny_io.safetensors")
    arguments = [io[name] for name in ("neutral_prompt_feature", "valence", "arousal")]
    return arguments, io["emotional_prompt_feature"]


@torch.no_grad()
def test_the_network_agrees_with_the_reference_values():
    arguments, expected = reference_values()
    network = load_network(REFERENCE / "published_layout_tiny.pth")
    same(network(*arguments), expected)
    for number in range(4):  # one at a time takes another path through the attention
        same(network(*(values[number : number + 1] for values in arguments)), expected[number : number + 1])


@torch.no_grad()
def test_the_oracle_agrees_with_the_reference_values():
    arguments, expected = reference_values()
    state = torch.load(REFERENCE / "published_layout_tiny.pth", weights_only=True)
    config, _ = published_state(state, "reference")
    plain = PlainNetwork(config, vocabulary=64, positions=80)
    plain.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    same(plain(*arguments), expected)


SIZES = {
    "tiny": TINY,
    "one block": replace(TINY, depth=1),
    "three blocks, two heads, an odd feature width": replace(TINY, depth=3, width=128, feature_width=131),
    "features of width one": replace(TINY, feature_width=1, depth=1),
    "few emotion tokens": replace(TINY, emotion_tokens=1),
    "as many emotion tokens as text tokens": replace(TINY, emotion_tokens=77),
    "a short window": replace(TINY, positions=5),
    "heads and tokens that could be mixed up": replace(TINY, width=192, emotion_tokens=3, positions=12),
}


@torch.no_grad()
@pytest.mark.parametrize("block", ["paper", "published"])
@pytest.mark.parametrize("size", SIZES)
def test_both_block_orders_agree_with_the_oracle(size, block):
    config = replace(SIZES[size], block=block)
    plain, ours = twins(config)
    for batch in (1, 3):
        for tokens in {config.positions, (config.positions + 1) // 2, 1}:
            arguments = inputs(config, batch, batch, tokens)
            same(ours(*arguments), plain(*arguments))


@torch.no_grad()
def test_the_two_block_orders_differ():
    arguments = inputs(TINY)
    paper, published = (twins(replace(TINY, block=block))[1](*arguments) for block in ("paper", "published"))
    assert (paper - published).abs().max() > 0.1


@torch.no_grad()
def test_valence_and_arousal_both_count_and_are_not_interchangeable(network):
    neutral, _, _ = inputs(TINY, 1)
    made = [network(neutral, v, a) for v, a in ((0, 0), (2, 0), (0, 2), (2, 2))]
    for number, one in enumerate(made):
        for other in made[:number]:
            assert (one - other).abs().max() > 1e-2


# --- batches -----------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("block", ["paper", "published"])
@pytest.mark.parametrize(("prompts", "emotions"), [(1, 5), (5, 1), (5, 5), (1, 1)])
def test_prompts_and_emotions_broadcast(prompts, emotions, block):
    plain, ours = twins(replace(TINY, block=block))
    neutral, valence, arousal = inputs(TINY, prompts, emotions)
    batch = max(prompts, emotions)
    expected = plain(neutral.expand(batch, -1, -1), valence.expand(batch), arousal.expand(batch))
    same(ours(neutral, valence, arousal), expected)


@torch.no_grad()
def test_one_number_goes_with_many_of_the_other_axis(network):
    emotion = network.encode(1.5, torch.tensor([-1.0, 0.0, 1.0]))
    assert emotion.valence.shape == emotion.arousal.shape == (3, 16, 64)
    same(emotion.valence, network.encode(1.5, 0.0).valence.expand(3, -1, -1))
    as_column = network.encode(1.5, torch.tensor([[-1.0], [0.0], [1.0]]))
    same(as_column.arousal, emotion.arousal)


@torch.no_grad()
def test_axes_of_different_batches_are_joined(network):
    neutral, _, _ = inputs(TINY, 1)
    many = network.encode(torch.tensor([1.0, 2.0]), 0.5)
    mixed = EmotionFeatures(many.valence, network.encode(0.0, 0.5).arousal)
    same(network.inject(neutral, mixed), network.inject(neutral, many))


@torch.no_grad()
@pytest.mark.parametrize(("prompts", "emotions"), [(1, 1), (4, 1), (4, 4), (1, 4)])
def test_folded_and_plain_attention_give_the_same(prompts, emotions):
    """Training never folds, so a network without dropout takes the other path there."""
    network = stirred(EmotionNetwork(replace(TINY, dropout=0.0)))
    arguments = inputs(TINY, prompts, emotions)
    folded = network(*arguments)
    same(network.train()(*arguments), folded)


def test_batches_that_do_not_go_together_are_refused(network):
    tokens = torch.zeros(3, 16, 64)
    for prompts, valences, arousals in ((2, 3, 3), (2, 3, 1), (1, 2, 3)):
        told = f"{prompts} prompts cannot be joined with {valences} valence and {arousals} arousal features: expected"
        with pytest.raises(ValueError, match=f"{told} one, or as many of each"):
            network.inject(torch.zeros(prompts, 77, 96), (tokens[:valences], tokens[:arousals]))
    with pytest.raises(ValueError, match="are 2 valence and 3 arousal values: expected as many of both"):
        network.encode(torch.zeros(2), torch.zeros(3))


# --- strength ----------------------------------------------------------------------------------------------


DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("network_dtype", DTYPES)
def test_strength_0_gives_the_input_bit_for_bit(dtype, network_dtype):
    network = EmotionNetwork(TINY).to(network_dtype)
    neutral = inputs(TINY)[0].to(dtype)
    neutral[0, 0, :4] = torch.tensor([0.0, -0.0, torch.finfo(dtype).tiny, torch.finfo(dtype).max])
    out = network.inject(neutral, network.encode(2.0, -2.0), strength=0.0)
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    assert torch.equal(out.view(bits), neutral.view(bits))
    assert out.dtype == dtype
    assert out.data_ptr() != neutral.data_ptr()


@torch.no_grad()
def test_strength_scales_the_residual(network):
    neutral, valence, arousal = inputs(TINY)
    emotion = network.encode(valence, arousal)
    residual = network.residual(neutral, emotion)
    for strength in (0.5, 2.0, 3.0, -1.0):
        same(network.inject(neutral, emotion, strength), neutral + strength * residual)
    same(network.inject(neutral, emotion), network(neutral, valence, arousal), atol=0)
    many = network.inject(neutral[:1], network.encode(torch.zeros(3), 0.0), strength=0)
    assert torch.equal(many, neutral[:1].repeat(3, 1, 1))
    for strength in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match=f"strength is {strength}: expected a finite number"):
            network.inject(neutral, emotion, strength)


# --- dtypes ------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "mean", "most"), [(torch.float16, 1e-3, 2e-2), (torch.bfloat16, 1e-2, 0.15)])
@pytest.mark.parametrize("batch", [1, 3])
def test_half_precision_stays_close(dtype, mean, most, batch):
    """The residual has deviation 1, so these are fractions of it."""
    network = stirred(EmotionNetwork(TINY))
    arguments = inputs(TINY, batch, batch)
    exact = network(*arguments)
    half = network.to(dtype)(*arguments)
    assert half.dtype == torch.float32  # the input's, not the network's
    assert (half - exact).abs().mean() < mean
    assert (half - exact).abs().max() < most


@torch.no_grad()
@pytest.mark.parametrize("network_dtype", DTYPES)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
def test_the_result_has_the_dtype_of_the_features(network_dtype, dtype):
    network = EmotionNetwork(TINY).to(network_dtype)
    neutral, valence, arousal = inputs(TINY)
    assert network(neutral.to(dtype), valence, arousal).dtype == dtype
    assert network.encode(valence.to(dtype), arousal).valence.dtype == network_dtype


@torch.no_grad()
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_nothing_is_changed_in_place(network, strength):
    neutral, valence, arousal = inputs(TINY)
    emotion = network.encode(valence, arousal)
    tensors = [neutral, valence, arousal, *emotion, *network.state_dict().values()]
    before = [tensor.clone() for tensor in tensors]
    network.inject(neutral, emotion, strength).fill_(7.0)
    network(neutral, valence, arousal)
    assert all(torch.equal(was, tensor) for was, tensor in zip(before, tensors, strict=True))


@torch.no_grad()
def test_views_and_strided_features_are_read_right(network):
    neutral, valence, arousal = inputs(TINY, 2, 2)
    strided = neutral.transpose(0, 1).contiguous().transpose(0, 1)
    assert not strided.is_contiguous()
    same(network(strided, valence, arousal), network(neutral, valence, arousal))
    expanded = neutral[:1].expand(2, -1, -1)
    same(network(expanded, valence, arousal), network(neutral[:1], valence, arousal))


# --- training ----------------------------------------------------------------------------------------------


def test_training_drops_out_and_evaluation_does_not():
    network = stirred(EmotionNetwork(TINY))
    assert not network.training
    arguments = inputs(TINY)
    assert torch.equal(network(*arguments), network(*arguments))
    network.train()
    torch.manual_seed(0)
    first, second = network(*arguments), network(*arguments)
    assert (first - second).abs().max() > 1e-2
    torch.manual_seed(0)
    assert torch.equal(network(*arguments), first)


def test_every_place_drops_out_in_training_only(monkeypatch):
    """After the input, inside each attention, after each of a block's four branches."""
    chances = []
    dropout, attention = F.dropout, F.scaled_dot_product_attention

    def note_dropout(x, p, training):
        chances.append(p if training else 0.0)
        return dropout(x, p, training)

    def note_attention(*arguments, dropout_p):
        chances.append(dropout_p)
        return attention(*arguments, dropout_p=dropout_p)

    monkeypatch.setattr(F, "dropout", note_dropout)
    monkeypatch.setattr(F, "scaled_dot_product_attention", note_attention)
    network = EmotionNetwork(replace(TINY, dropout=0.3))
    network(*inputs(TINY))
    assert set(chances) == {0.0}
    chances.clear()
    network.train()(*inputs(TINY))
    assert chances == [0.3] * (1 + TINY.depth * (3 + 4))


@pytest.mark.parametrize("block", ["paper", "published"])
def test_gradients_reach_every_parameter(block):
    network = stirred(EmotionNetwork(replace(TINY, block=block))).train()
    torch.manual_seed(0)
    network(*inputs(TINY)).square().mean().backward()
    missed = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert missed == []


def test_gradients_are_the_same_folded_or_not():
    network = stirred(EmotionNetwork(replace(TINY, dropout=0.0)))
    gradients = []
    for training in (False, True):
        network.train(training).zero_grad()
        network(*inputs(TINY)).square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-5, msg=name)


def test_a_seed_fixes_the_fresh_weights():
    made = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        made.append(EmotionNetwork(TINY).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not torch.equal(made[0]["input_projection.weight"], made[2]["input_projection.weight"])


# --- refusals ----------------------------------------------------------------------------------------------


def test_the_default_sizes_are_the_papers():
    config = NetworkConfig()
    assert (config.feature_width, config.width, config.depth, config.emotion_tokens) == (2048, 768, 12, 16)
    assert (config.emotion_hidden, config.positions, config.dropout, config.block) == (256, 77, 0.1, "paper")


def test_a_size_that_cannot_be_built_is_named():
    for name, size, expected in (
        ("width", 100, "a multiple of 64"),
        ("depth", 0, "a whole number"),
        ("feature_width", "2048", "a whole number"),
        ("emotion_tokens", 16.0, "a whole number"),
        ("positions", True, "a whole number"),
        ("dropout", 1.0, r"a number in \[0, 1\)"),
        ("dropout", float("nan"), r"a number in \[0, 1\)"),
        ("block", "other", "one of paper, published"),
        ("block", None, "one of paper, published"),
    ):
        with pytest.raises(ValueError, match=f"cannot be built: {name} is {size!r}: expected {expected}"):
            NetworkConfig(**{name: size})


def test_all_problems_of_a_config_are_told_at_once():
    with pytest.raises(ValueError, match="cannot be built") as error:
        NetworkConfig(depth=-1, width=0, emotion_hidden=None, dropout=2, block="x", feature_width=0)
    for name in ("depth", "width", "emotion_hidden", "dropout", "block", "feature_width"):
        assert f" {name} is " in str(error.value)


def test_features_of_another_shape_are_refused(network):
    for shape, told in (
        ((1, 77, 768), "(1, 77, 768): this network expects [batch, tokens, 96]"),
        ((77, 96), "(77, 96): this network expects [batch, tokens, 96]"),
        ((1, 154, 96), "154 tokens: this network reads windows of 1 to 77; give a longer prompt window by"),
        ((1, 0, 96), "0 tokens: this network reads windows of 1 to 77"),
    ):
        with pytest.raises(ValueError, match=re.escape(told)):
            network.inject(torch.zeros(shape), network.encode(0.0, 0.0))


def test_the_emotion_of_another_network_is_refused(network):
    other = EmotionNetwork(replace(TINY, width=128)).encode(0.0, 0.0)
    with pytest.raises(ValueError, match="valence features have the shape") as error:
        network.inject(torch.zeros(1, 77, 96), other)
    assert "(1, 16, 128)" in str(error.value)
    assert "expects [batch, 16, 64]; encode them with the same network" in str(error.value)


def test_the_network_refuses_values_out_of_range(network):
    """test_va has all of them."""
    for values in ({"valence": 3.01, "arousal": 0.0}, {"valence": 0.0, "arousal": float("nan")}):
        told = r"(valence is 3\.01|arousal is nan): expected a number from -3 to 3"
        for use in (network.encode, partial(network, torch.zeros(1, 77, 96))):
            with pytest.raises(ValueError, match=told):
                use(**values)


def test_a_short_prompt_beside_a_long_one_leaves_no_piece_without_a_token(monkeypatch):
    """Pieces behind a short prompt's end are masked whole: attention over nothing is NaN, in its gradients as well."""
    network = stirred(EmotionNetwork(replace(TINY, positions=4, window=None, dropout=0.0)))
    seen, attend = [], F.scaled_dot_product_attention

    def watched(query, key, value, mask=None, **more):
        if mask is not None:
            seen.append(mask.any(-1).all().item())
        return attend(query, key, value, mask, **more)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    neutral, valence, arousal = inputs(TINY, tokens=12)
    mask = torch.arange(12) < torch.tensor([[3], [12]])
    network.train()(neutral, valence, arousal, mask).sum().backward()
    assert len(seen) > 3 and all(seen)
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_masked_tokens_around_a_short_prompt_do_not_have_it_read_in_pieces():
    network = stirred(EmotionNetwork(replace(TINY, positions=4, window=None)))
    neutral, valence, arousal = inputs(TINY, tokens=12)
    mask = torch.zeros(2, 12, dtype=torch.bool)
    mask[:, 4:7] = True
    alone = network(neutral[:, 4:7], valence, arousal)
    same(network(neutral, valence, arousal, mask)[:, 4:7], alone, atol=1e-4)
    none = torch.zeros_like(mask)
    assert torch.equal(network(neutral, valence, arousal, none), neutral)
