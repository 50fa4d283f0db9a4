"""A fit in a folder: exact resume, metrics, interruptions, and what is said when a loss is lost."""

import os
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from emoticrafter.fit.loop import Fit, Schedule, step_random
from trainer.core.checkpoint import checkpoint_path, read_state
from trainer.core.command_line import TERMINATIONS, TrainingError
from trainer.core.device import Machine
from trainer.runs.logs import read_metrics
from trainer.runs.run import Run, fit, small_schedule

CPU = Machine(torch.device("cpu"))
SCHEDULE = small_schedule(8, 0.05, ema=0.5, seed=3)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))


def loss(module, step):
    inputs = torch.from_numpy(step_random(0, step).normal(size=(16, 3))).float()
    return (module(inputs)[:, 0] - inputs.sum(1)).square().mean()


def convolutions():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 2, 3))
    return layers.to(memory_format=torch.channels_last)


def picture_loss(module, step):
    pictures = torch.from_numpy(step_random(0, step).random((4, 3, 8, 8))).float()
    found = module(pictures.to(memory_format=torch.channels_last))
    return (found - pictures[:, :2, 2:-2, 2:-2]).square().mean()


def begin(folder, steps, module=None, of=loss, schedule=SCHEDULE):
    """Takes some steps in a folder, going on from its checkpoint, and saves."""
    fitted = Fit(module or network(), schedule)
    run = Run(fitted, folder, 16)
    run.resume()
    with run.open():
        while fitted.step < steps:
            run.advance(lambda step: of(fitted.model, step), [fitted.step])
        run.log()
        run.save()


def same(one, other):
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_an_interrupted_training_ends_as_one_in_one_go(tmp_path):
    whole = fit(network(), loss, SCHEDULE, CPU, tmp_path / "whole", 16)
    begin(tmp_path / "parts", 3)
    assert read_state(tmp_path / "parts")["step"] == 3
    assert same(whole, fit(network(), loss, SCHEDULE, CPU, tmp_path / "parts", 16))


def test_a_resume_is_exact_where_channels_are_last(tmp_path):
    """AdamW's moments have to go back to the weights they are of, however those lie in memory."""
    schedule = small_schedule(12, 1e-2, ema=0.5)
    whole = fit(convolutions(), picture_loss, schedule, CPU, tmp_path / "whole", 4)
    begin(tmp_path / "parts", 6, convolutions(), picture_loss, schedule)
    assert not whole[0].weight.is_contiguous()
    assert same(whole, fit(convolutions(), picture_loss, schedule, CPU, tmp_path / "parts", 4))


@pytest.mark.parametrize("number", [signal.SIGINT, *TERMINATIONS])
def test_an_interruption_saves_the_step_that_it_came_in(tmp_path, interruptible, number):
    whole = fit(network(), loss, SCHEDULE, CPU, tmp_path / "whole", 16)

    def interrupted(module, step):
        if step == 4:
            os.kill(os.getpid(), number)
        return loss(module, step)

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    said = r"at step 5\. The checkpoint of step 5 is kept in .*same command"
    with pytest.raises(KeyboardInterrupt, match=said):
        fit(network(), interrupted, SCHEDULE, CPU, tmp_path / "parts", 16)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    assert read_state(tmp_path / "parts")["step"] == 5
    assert same(whole, fit(network(), loss, SCHEDULE, CPU, tmp_path / "parts", 16))


def test_it_learns_and_logs(tmp_path):
    before = loss(network().eval(), 99).item()
    trained = fit(network(), loss, small_schedule(90, 0.05, 0.9), CPU, tmp_path, 16)
    assert loss(trained, 99).item() < 0.3 * before
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [25, 50, 75, 90]


def test_a_line_of_metrics_is_the_mean_of_its_own_steps(tmp_path):
    schedule = small_schedule(25, 1e-9)

    def rising(module, step):
        return 0 * loss(module, step) + float(step)

    begin(tmp_path, 15, of=rising, schedule=schedule)
    fit(network(), rising, schedule, CPU, tmp_path, 16)
    assert [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [7, 19.5]


def losing(at, value="nan"):
    """The loss, without a number from one step on."""
    return lambda module, step: loss(module, step) * (float(value) if step >= at else 1.0)


def test_a_lost_loss_is_named_with_its_step_and_overwrites_nothing(tmp_path):
    schedule, out = small_schedule(60, 0.01), tmp_path / "run"
    with pytest.raises(TrainingError, match=r"run: the loss .* at step 1\. There is no checkpoint yet"):
        fit(network(), losing(0), schedule, CPU, out, 16)
    begin(out, 30, schedule=schedule)
    with pytest.raises(TrainingError, match=r"at step 32\. The checkpoint of step 30 is kept .*--precision"):
        fit(network(), losing(31), schedule, CPU, out, 16)
    assert read_state(out)["step"] == 30
    assert all(tensor.isfinite().all() for tensor in load_file(checkpoint_path(out)).values())


def test_a_gradient_that_is_lost_with_a_finite_loss_overwrites_nothing(tmp_path):
    """As that of a root at 0."""
    begin(tmp_path, 7)

    def rooted(module, step):
        return loss(module, step) + (0 * loss(module, step)).sqrt()

    with pytest.raises(TrainingError, match=r"gradient is not finite at step 8\. The checkpoint of step 7"):
        fit(network(), rooted, SCHEDULE, CPU, tmp_path, 16)
    assert all(tensor.isfinite().all() for tensor in load_file(checkpoint_path(tmp_path)).values())


def test_a_checkpoint_is_due_after_its_minutes(tmp_path):
    fitted = Fit(network(), SCHEDULE)
    run = Run(fitted, tmp_path, 16, log_every=1, save_minutes=0)
    with run.open():
        for _ in range(2):
            run.advance(lambda step: loss(fitted.model, step), [fitted.step])
            run.log()
            run.save_if_due(note="kept")
    assert read_state(tmp_path, {"step": int, "seconds": float, "note": str})["step"] == 2


def test_without_a_moving_average_the_module_itself_is_the_result():
    plain = Fit(network(), Schedule(1))
    assert plain.result is plain.module


def test_a_device_that_is_not_there_is_told():
    for device in ("nonsense", "cuda:77"):
        with pytest.raises(ValueError, match=f"--device is '{device}': expected auto, cpu, or a GPU that"):
            Machine.find(device)
