"""The training loop: exact resume, the moving average, and what it says when a loss is lost."""

import pytest
import torch
from torch import nn

from trainer.checkpoint import read_state
from trainer.logs import read_metrics
from trainer.miniature.loop import Machine, Schedule, fit, step_random

CPU = Machine(torch.device("cpu"))
SCHEDULE = Schedule(steps=8, lr=0.05, ema=0.5, seed=3)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))


def loss(module, step):
    inputs = torch.from_numpy(step_random(0, step).normal(size=(16, 3))).float()
    return (module(inputs)[:, 0] - inputs.sum(1)).square().mean()


def test_an_interrupted_training_ends_as_one_in_one_go(tmp_path):
    whole = fit(network(), loss, SCHEDULE, CPU, tmp_path / "whole")
    assert fit(network(), loss, SCHEDULE, CPU, tmp_path / "parts", stop_after=3) is None
    assert read_state(tmp_path / "parts")["step"] == 3
    parts = fit(network(), loss, SCHEDULE, CPU, tmp_path / "parts")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_it_learns_and_logs(tmp_path):
    torch.manual_seed(0)
    before = loss(network().eval(), 99).item()
    trained = fit(network(), loss, Schedule(steps=100, lr=0.05, ema=0.9), CPU, tmp_path)
    assert loss(trained, 99).item() < 0.3 * before
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [25, 50, 75, 100]


def test_a_lost_loss_is_named(tmp_path):
    with pytest.raises(FloatingPointError, match="the loss is not finite by step 25"):
        fit(network(), lambda m, s: loss(m, s) * float("nan"), Schedule(steps=30, lr=0.1), CPU, tmp_path)


@pytest.mark.parametrize("device", ["nonsense", "cuda:77"])
def test_a_device_that_is_not_there_is_told(device):
    with pytest.raises(ValueError, match=f"--device is '{device}', which cannot be used here"):
        Machine.find(device)


def test_the_rate_rises_and_falls():
    schedule = Schedule(steps=1000, lr=1.0, warmup=100)
    assert schedule.rate(0) == 0.01 and schedule.rate(100) == pytest.approx(1.0)
    assert schedule.rate(999) < 0.02
