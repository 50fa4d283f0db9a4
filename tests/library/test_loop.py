"""The loop: its rates, batches in parts, and steps that follow from the seed and their number alone."""

import copy
import math

import pytest
import torch
from torch import nn

from emoticrafter.fit.loop import Fit, Schedule, step_random


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))


def test_rates_rise_and_stay_or_fall():
    constant, falling = Schedule(12, lr=1.0), Schedule(12, lr=1.0, warmup=4, cosine=True)
    assert [constant.rate(step) for step in (0, 11)] == [1, 1]
    rates = [falling.rate(step) for step in range(12)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[8] == pytest.approx(0.5)
    assert rates[11] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert Schedule(1000, lr=1.0, cosine=True, floor=0.01).rate(999) == pytest.approx(0.01, abs=1e-4)


def test_parts_of_a_batch_give_its_step():
    inputs = torch.randn(8, 3)
    whole, parts = (Fit(network().eval(), Schedule(4, lr=0.1, clip_norm=0.5)) for _ in range(2))

    def loss(fit):
        return lambda rows: (fit.model(rows)[:, 0] - rows.sum(1)).square().sum() / len(inputs)

    for _ in range(4):
        one, norm = whole.advance(loss(whole), [inputs])
        other, other_norm = parts.advance(loss(parts), inputs.split(3))
        torch.testing.assert_close((one, norm), (other, other_norm))
    for mine, theirs in zip(whole.parameters, parts.parameters, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_a_step_follows_from_the_seed_its_number_and_the_process():
    def drawn(seed, step, rank=0):
        fit = Fit(network(), Schedule(9, seed=seed), rank=rank)
        fit.step = step
        return fit.advance(lambda part: fit.model(part).sum(), [torch.ones(4, 3)])[0].item()

    assert drawn(0, 5) == drawn(0, 5)
    assert len({drawn(0, 5), drawn(1, 5), drawn(0, 6), drawn(0, 5, rank=1)}) == 4
    assert step_random(0, 5).random() == step_random(0, 5).random() != step_random(0, 6).random()


def test_the_moving_average_follows_and_soon_forgets_the_first_weights():
    fit = Fit(network(), Schedule(50, lr=0.1, ema=0.999))
    first = copy.deepcopy(fit.module)
    for _ in range(50):
        fit.advance(lambda part: fit.model(part).square().mean(), [torch.ones(4, 3)])
    moved, followed = ((one[0].weight - first[0].weight).norm() for one in (fit.module, fit.result))
    assert 0.5 * moved < followed != moved
    assert not fit.result.training and not any(weight.requires_grad for weight in fit.result.parameters())
