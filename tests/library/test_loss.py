"""The loss: the reference's numbers, and weights that mean what they say."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from emoticrafter.fit.loss import PairLoss, effective_size, emotion_loss, pair_weights, weighted_loss

REFERENCE = Path(__file__).parents[1] / "reference"
EXPECTED = json.loads((REFERENCE / "published_layout_tiny_loss.json").read_text())


@pytest.fixture
def tensors():
    return load_file(REFERENCE / "published_layout_tiny_loss.safetensors")


@pytest.mark.parametrize(("power", "name"), [(0.0, "loss_unweighted"), (2.0, "loss_density_weighted")])
def test_loss_is_the_reference(tensors, power, name):
    loss = emotion_loss(**tensors, scale=EXPECTED["alpha"], density_power=power)
    assert loss.item() == pytest.approx(EXPECTED[name], rel=1e-5)


def test_loss_is_equation_10_by_default(tensors):
    target = tensors["neutral"] + 1.5 * (tensors["emotional"] - tensors["neutral"])
    error = (tensors["predicted"] - target) ** 2 / tensors["density"].view(-1, 1, 1)
    torch.testing.assert_close(emotion_loss(**tensors), error.mean(), rtol=1e-5, atol=0)


def test_loss_reaches_the_prediction(tensors):
    tensors["predicted"].requires_grad_()
    emotion_loss(**tensors).backward()
    assert torch.isfinite(tensors["predicted"].grad).all()


def test_loss_of_half_precision_features_is_computed_in_float32(tensors):
    half = {name: t.half() if t.ndim == 3 else t for name, t in tensors.items()}
    loss = emotion_loss(**half)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(emotion_loss(**tensors).item(), rel=1e-3)


def test_other_shapes_are_refused(tensors):
    with pytest.raises(ValueError, match=r"expected the same \[batch, tokens, width\]"):
        emotion_loss(**{**tensors, "neutral": tensors["neutral"][:, :5]})
    with pytest.raises(ValueError, match=r"density is \[5\]: expected one number per pair, \[6\]"):
        emotion_loss(**{**tensors, "density": tensors["density"][:5]})


def test_weights_have_mean_1_over_the_training_pairs():
    density = torch.tensor([0.1, 0.2, 0.4, 0.01])
    train = torch.tensor([True, True, True, False])
    weights = pair_weights(density, train, power=1.0)
    assert weights[train].mean().item() == pytest.approx(1)
    assert (weights[0] / weights[2]).item() == pytest.approx(4)
    assert weights[3] == weights[0], "a rarer pair that is not trained on may not weigh more"


def test_clipped_weights_keep_mean_1_and_their_order():
    density = torch.cat([torch.linspace(0.1, 0.2, 98), torch.tensor([1e-3, 1e-6])])
    train = torch.ones(100, dtype=torch.bool)
    free, clipped = pair_weights(density, train, 2.0), pair_weights(density, train, 2.0, clip=5.0)
    assert free.max() > 99, "one pair takes all the weight"
    assert clipped.max().item() == pytest.approx(5)
    assert clipped.mean().item() == pytest.approx(1)
    assert effective_size(free) < 2 < 60 < effective_size(clipped)
    torch.testing.assert_close(clipped[:98] / clipped[0], free[:98] / free[0])


def test_a_clip_of_1_makes_all_equal():
    weights = pair_weights(torch.tensor([0.1, 0.2, 0.3]), torch.ones(3, dtype=torch.bool), 1.0, clip=1.0)
    torch.testing.assert_close(weights, torch.ones(3, dtype=torch.float64))
    assert effective_size(weights) == pytest.approx(3)


def test_a_high_power_of_a_small_density_does_not_overflow():
    weights = pair_weights(torch.tensor([1e-200, 1e-100], dtype=torch.float64), torch.tensor([True, True]), 4.0)
    assert torch.isfinite(weights).all()


def test_a_density_of_0_is_refused():
    with pytest.raises(ValueError, match="not positive"):
        pair_weights(torch.tensor([0.0, 1.0]), torch.tensor([True, True]), 1.0)


def test_what_a_training_step_computes_is_the_reference(tensors):
    """The step's own module, with the reference's features in place of a network."""

    def network(neutral, valence, arousal, mask):
        return tensors["predicted"]

    batch = len(tensors["predicted"])
    step = PairLoss(network, EXPECTED["alpha"], batch=batch)
    for power, name in ((0.0, "loss_unweighted"), (2.0, "loss_density_weighted")):
        weight = tensors["density"].double().pow(-power).float()
        loss = step(tensors["neutral"], tensors["emotional"], None, None, weight)
        assert loss.item() == pytest.approx(EXPECTED[name], rel=1e-5)


def test_parts_of_a_batch_add_up_to_its_loss_with_preservation(tensors):
    weight = tensors.pop("density")
    content = torch.linalg.qr(torch.randn(tensors["neutral"].shape[-1], 3)).Q.T
    whole = weighted_loss(**tensors, weight=weight, preserve=0.5, content=content)
    parts = [
        weighted_loss(
            **{name: t[rows] for name, t in tensors.items()},
            weight=weight[rows],
            preserve=0.5,
            content=content,
            batch=len(weight),
        )
        for rows in torch.arange(len(weight)).split(4)
    ]
    torch.testing.assert_close(sum(parts), whole)
    assert whole > weighted_loss(**tensors, weight=weight)
