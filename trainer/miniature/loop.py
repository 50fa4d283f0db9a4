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

from trainer.checkpoint import checkpoint_path, load_checkpoint, read_state, save_checkpoint
from trainer.logs import Logs

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
    """
    average = copy.deepcopy(module).eval().requires_grad_(False)
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(parameters, schedule.lr, weight_decay=schedule.weight_decay, fused=True)
    first, seconds = 0, 0.0
    if checkpoint_path(folder).exists():
        state = read_state(folder)
        load_checkpoint(folder, module, average, optimizer)
        first, seconds = state["step"], state["seconds"]
    called = torch.compile(module) if machine.compile else module
    started = saved = time.monotonic()

    def save(step: int) -> None:
        spent = seconds + time.monotonic() - started
        save_checkpoint(folder, module, average, optimizer, {"step": step, "seconds": spent})

    total = torch.zeros((), device=machine.device)
    with (
        Logs(folder, first, True) as logs,
        tqdm(total=schedule.steps, initial=first, desc=folder.name, mininterval=2) as bar,
    ):
        for step in range(first, schedule.steps):
            total += _step(called, parameters, optimizer, loss, schedule, machine, step)
            _follow(average, parameters, schedule.ema, step)
            bar.update()
            if (step + 1) % LOG_EVERY == 0:
                mean = total.item() / LOG_EVERY
                total.zero_()
                if not math.isfinite(mean):
                    raise FloatingPointError(f"{folder.name}: the loss is not finite by step {step + 1}.")
                bar.set_postfix(loss=f"{mean:.4g}")
                logs.write("train", step + 1, {"loss": mean, "lr": schedule.rate(step)})
            if step + 1 == stop_after:
                save(step + 1)
                return None
            if time.monotonic() - saved > SAVE_SECONDS:
                save(step + 1)
                saved = time.monotonic()
    save(schedule.steps)
    return average


def _step(module, parameters, optimizer, loss, schedule: Schedule, machine: Machine, step: int) -> Tensor:
    torch.manual_seed(np.random.SeedSequence((schedule.seed, step)).generate_state(1).item())
    for group in optimizer.param_groups:
        group["lr"] = schedule.rate(step)
    with machine.autocast():
        value = loss(module, step)
    value.backward()
    nn.utils.clip_grad_norm_(parameters, schedule.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return value.detach()


@torch.no_grad()
def _follow(average: nn.Module, parameters: list[Tensor], decay: float, step: int) -> None:
    decay = min(decay, (1 + step) / (10 + step))  # the first steps' weights are soon forgotten
    get_ema_multi_avg_fn(decay)(list(average.parameters()), parameters, None)
