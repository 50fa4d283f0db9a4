"""The training loop of the miniature's networks: AdamW, a cosine, a moving average, exact resume."""

import contextlib
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from trainer.core.checkpoint import checkpoint_path, load_checkpoint, read_state, save_checkpoint
from trainer.core.command_line import TrainingError, held_back
from trainer.runs.logs import Logs

LOG_EVERY = 25
SAVE_SECONDS = 120.0


@dataclass(frozen=True)
class Machine:
    """What the miniature is trained on; it changes speed and rounding, nothing else."""

    device: torch.device
    bfloat16: bool = False
    compile: bool = False

    @classmethod
    def find(cls, device: str = "auto", precision: str = "auto", compile: bool = False) -> "Machine":
        """Picks the GPU if there is one, and bfloat16 where the processor computes in it.

        Raises:
            ValueError: There is no such device.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.zeros((), device=device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"--device is {device!r}, which cannot be used here: {reason}") from error
        able = (
            torch.cuda.is_bf16_supported()
            if device.startswith("cuda")
            else getattr(torch.cpu, "get_capabilities", dict)().get("avx512_bf16", False)
        )
        return cls(torch.device(device), able if precision == "auto" else precision == "bfloat16", compile)

    def autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


@dataclass(frozen=True)
class Schedule:
    """How a network is trained."""

    steps: int
    lr: float
    ema: float = 0.99
    warmup: int = 100
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    seed: int = 0

    def rate(self, step: int) -> float:
        """A linear warm-up, then half a cosine down to a hundredth."""
        warmup = min(self.warmup, self.steps // 4)
        if step < warmup:
            return self.lr * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return self.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def step_random(seed: int, step: int) -> np.random.Generator:
    """What a step draws from. It follows from the seed and the step alone, so that a resume needs no other state."""
    return np.random.default_rng((seed, step))


class Progress:
    """A module on its way: what a step moves, what the checkpoint holds, and the losses since the last line."""

    def __init__(self, module: nn.Module, schedule: Schedule, machine: Machine, folder: Path):
        self.module, self.schedule, self.machine, self.folder = module, schedule, machine, folder
        self.average = copy.deepcopy(module).eval().requires_grad_(False)
        self.parameters = list(module.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, schedule.lr, weight_decay=schedule.weight_decay, fused=True
        )
        self.step, self.seconds, self.kept = 0, 0.0, None
        if checkpoint_path(folder).exists():
            state = read_state(folder)
            load_checkpoint(folder, module, self.average, self.optimizer)
            self.step = self.kept = state["step"]
            self.seconds = state["seconds"]
        self.total, self.counted = torch.zeros((), device=machine.device), 0
        self.started = self.saved = time.monotonic()

    def advance(self, called: nn.Module, loss: Callable[[nn.Module, int], Tensor]) -> None:
        """One step. Nothing here waits for a GPU."""
        torch.manual_seed(np.random.SeedSequence((self.schedule.seed, self.step)).generate_state(1).item())
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        with self.machine.autocast():
            value = loss(called, self.step)
        value.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.total += value.detach()
        _follow(self.average, self.parameters, self.schedule.ema, self.step)
        self.step += 1
        self.counted += 1

    def close(self) -> dict[str, float]:
        """The line of metrics for the steps since the last one.

        Raises:
            TrainingError: A loss was not finite.
        """
        if not math.isfinite(total := self.total.item()):
            raise self._lost("the loss is")
        values = {"loss": total / self.counted, "lr": self.schedule.rate(self.step - 1)}
        self.total.zero_()
        self.counted = 0
        return values

    def save(self) -> None:
        """Writes the checkpoint, of finite numbers only: the last good one is never lost to others.

        Raises:
            TrainingError: A loss or a weight is not finite, or the disk is full.
        """
        if not math.isfinite(self.total.item()):
            raise self._lost("the loss is")
        if not all(torch.isfinite(weight).all() for weight in self.parameters):
            raise self._lost("the weights are")
        spent = self.seconds + time.monotonic() - self.started
        state = {"step": self.step, "seconds": spent}
        save_checkpoint(self.folder, self.module, self.average, self.optimizer, state)
        self.kept, self.saved = self.step, time.monotonic()

    def _lost(self, what: str) -> TrainingError:
        kept = (
            "There is no checkpoint yet"
            if self.kept is None
            else f"The checkpoint of step {self.kept} is kept in {checkpoint_path(self.folder)}"
        )
        return TrainingError(
            f"{self.folder.name}: {what} not finite by step {self.step}. {kept}: run the same command with "
            "--precision float32, or choose a smaller learning rate in a new --out."
        )


def fit(
    module: nn.Module,
    loss: Callable[[nn.Module, int], Tensor],
    schedule: Schedule,
    machine: Machine,
    folder: Path,
    stop_after: int | None = None,
) -> nn.Module | None:
    """Trains a module, going on from the folder's checkpoint if there is one.

    Args:
        module: On the machine's device, in float32; every parameter must take part in the loss.
        loss: Gives the loss of a step; runs under autocast, with torch's generators seeded for that step.
        schedule: Steps and rates.
        machine: Where and in what precision.
        folder: For the checkpoint and metrics.jsonl.
        stop_after: Save and return None after this step, as if it had been interrupted there.

    Returns:
        The moving average of the module, for evaluation.

    Raises:
        TrainingError: The loss is not finite, the checkpoint is damaged, or the disk is full.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the step that was going on then is done, and saved.
    """
    run = Progress(module, schedule, machine, folder)
    called = torch.compile(module) if machine.compile else module
    with (
        Logs(folder, run.step, True) as logs,
        tqdm(total=schedule.steps, initial=run.step, desc=folder.name, mininterval=2) as bar,
        held_back() as came,
    ):
        while run.step < schedule.steps and not came:
            run.advance(called, loss)
            bar.update()
            if run.step % LOG_EVERY == 0:
                values = run.close()
                bar.set_postfix(loss=f"{values['loss']:.4g}")
                logs.write("train", run.step, values)
            if run.step == stop_after:
                run.save()
                return None
            if time.monotonic() - run.saved > SAVE_SECONDS:
                run.save()
        run.save()
        if came:
            raise KeyboardInterrupt(
                f"{folder.name}: stopped at step {run.step}, which is saved; run the same command again to go on."
            )
    return run.average


@torch.no_grad()
def _follow(average: nn.Module, parameters: list[Tensor], decay: float, step: int) -> None:
    decay = min(decay, (1 + step) / (10 + step))  # the first steps' weights are soon forgotten
    get_ema_multi_avg_fn(decay)(list(average.parameters()), parameters, None)
