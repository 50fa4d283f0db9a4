"""The training loop: exact resume, the moving average, and what it says when a loss is lost."""

import os
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from trainer.core.checkpoint import checkpoint_path, read_state
from trainer.core.command_line import TrainingError
from trainer.miniature import loop
from trainer.miniature.loop import Machine, Schedule, fit, step_random
from trainer.runs.logs import read_metrics

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


def convolutions():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 2, 3))
    return layers.to(memory_format=torch.channels_last)


def picture_loss(module, step):
    pictures = torch.from_numpy(step_random(0, step).random((4, 3, 8, 8))).float()
    found = module(pictures.to(memory_format=torch.channels_last))
    return (found - pictures[:, :2, 2:-2, 2:-2]).square().mean()


def test_a_resume_is_exact_where_channels_are_last(tmp_path):
    """AdamW's moments have to go back to the weights they are of, however those lie in memory."""
    schedule = Schedule(steps=12, lr=1e-2, ema=0.5)
    whole = fit(convolutions(), picture_loss, schedule, CPU, tmp_path / "whole")
    assert fit(convolutions(), picture_loss, schedule, CPU, tmp_path / "parts", stop_after=6) is None
    parts = fit(convolutions(), picture_loss, schedule, CPU, tmp_path / "parts")
    assert not whole[0].weight.is_contiguous()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_saves_the_step_that_it_came_in(tmp_path, interruptible, number):
    whole = fit(network(), loss, SCHEDULE, CPU, tmp_path / "whole")

    def interrupted(module, step):
        if step == 4:
            os.kill(os.getpid(), number)
        return loss(module, step)

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt, match="stopped at step 5, which is saved; run the same command"):
        fit(network(), interrupted, SCHEDULE, CPU, tmp_path / "parts")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    assert read_state(tmp_path / "parts")["step"] == 5
    parts = fit(network(), loss, SCHEDULE, CPU, tmp_path / "parts")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_it_learns_and_logs(tmp_path):
    torch.manual_seed(0)
    before = loss(network().eval(), 99).item()
    trained = fit(network(), loss, Schedule(steps=100, lr=0.05, ema=0.9), CPU, tmp_path)
    assert loss(trained, 99).item() < 0.3 * before
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [25, 50, 75, 100]


def losing(at):
    """The loss, without a number from one step on."""
    return lambda module, step: loss(module, step) * (float("nan") if step >= at else 1.0)


def test_the_first_line_after_a_resume_is_the_mean_of_its_own_steps(tmp_path):
    schedule = Schedule(steps=25, lr=1e-9)

    def constant(module, step):
        return 0 * loss(module, step) + 4.0

    fit(network(), constant, schedule, CPU, tmp_path, stop_after=15)
    fit(network(), constant, schedule, CPU, tmp_path)
    assert [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [pytest.approx(4.0)]


def test_a_lost_loss_is_named_with_what_to_do(tmp_path):
    schedule, out = Schedule(steps=60, lr=0.01), tmp_path / "run"
    with pytest.raises(
        TrainingError, match=r"loss is not finite by step 25\. There is no checkpoint yet: run"
    ):
        fit(network(), losing(0), schedule, CPU, out)
    fit(network(), loss, schedule, CPU, out, stop_after=30)
    with pytest.raises(
        TrainingError, match=r"by step 50\. The checkpoint of step 30 is kept in .*--precision"
    ):
        fit(network(), losing(31), schedule, CPU, out)


def finite(folder):
    return all(tensor.isfinite().all() for tensor in load_file(checkpoint_path(folder)).values())


def test_a_loss_that_is_lost_between_two_lines_overwrites_nothing(tmp_path, monkeypatch):
    fit(network(), loss, SCHEDULE, CPU, tmp_path, stop_after=3)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "SAVE_SECONDS", -1.0)  # every step
        with pytest.raises(TrainingError, match=r"not finite by step 6\. The checkpoint of step 5 is"):
            fit(network(), losing(5), SCHEDULE, CPU, tmp_path)
    with pytest.raises(TrainingError, match="not finite by step 8"):
        fit(network(), losing(7), SCHEDULE, CPU, tmp_path)  # in the last window, which has no line
    assert read_state(tmp_path)["step"] == 5 and finite(tmp_path)


def test_weights_that_are_lost_with_a_finite_loss_overwrite_nothing(tmp_path):
    """A gradient may be infinite where the loss is not, as that of a root at 0."""
    fit(network(), loss, SCHEDULE, CPU, tmp_path, stop_after=7)

    def rooted(module, step):
        return loss(module, step) + (0 * loss(module, step)).sqrt()

    with pytest.raises(TrainingError, match=r"weights are not finite by step 8\. The checkpoint of step 7"):
        fit(network(), rooted, SCHEDULE, CPU, tmp_path)
    assert finite(tmp_path)


@pytest.mark.parametrize("device", ["nonsense", "cuda:77"])
def test_a_device_that_is_not_there_is_told(device):
    with pytest.raises(ValueError, match=f"--device is '{device}', which cannot be used here"):
        Machine.find(device)


def test_the_rate_rises_and_falls():
    schedule = Schedule(steps=1000, lr=1.0, warmup=100)
    assert schedule.rate(0) == 0.01 and schedule.rate(100) == pytest.approx(1.0)
    assert schedule.rate(999) < 0.02
