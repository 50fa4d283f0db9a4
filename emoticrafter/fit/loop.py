"""The loop that fits a network: AdamW, a schedule, a moving average, batches in parts, exact resume.

    fit = Fit(module, Schedule(steps=1000, cosine=True))
    while fit.step < fit.schedule.steps:
        fit.advance(loss_of_batch, [batch_of_step(fit.step)])

Whoever drives it shows progress, validates, saves and stops between two steps. A step draws what it needs from the
seed and its number alone, so the weights, AdamW's moments and `step` are all that a resume needs.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

Part = TypeVar("Part")


@dataclass(frozen=True)
class Schedule:
    """Steps, learning rates and regularisation of a fit."""

    steps: int
    lr: float = 1e-3
    """The largest learning rate."""
    weight_decay: float = 1e-5
    warmup: int = 0
    """Steps in which the learning rate rises from 0."""
    cosine: bool = False
    """Whether the rate then falls along half a cosine, or stays."""
    floor: float = 0.0
    """The cosine's end, as a share of `lr`."""
    clip_norm: float = 0.0
    """The largest norm of the gradient; 0 is no limit."""
    ema: float = 0.0
    """Decay of the moving average of the weights; 0 is no average."""
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if not self.cosine:
            return self.lr
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done)))


def step_random(seed: int, step: int) -> np.random.Generator:
    """The generator that a step draws its data from."""
    return np.random.default_rng((seed, step))


class Fit:
    """A module that is being fitted.

    Attributes:
        module: The network, float32; every parameter that is not frozen must take part in the loss.
        model: Called by losses: the module, or something around it that compiles it or shares it out to processes.
        average: The moving average of the module in evaluation mode, or None.
        step: The steps that are done.
    """

    def __init__(
        self, module: nn.Module, schedule: Schedule, bfloat16: bool = False, rank: int = 0, processes: int = 1
    ):
        """
        Args:
            module: On its device.
            schedule: Steps and rates.
            bfloat16: Whether losses are computed under autocast to bfloat16.
            rank: The number of this process among those that fit together.
            processes: Their number; with more than one, set `model` to a DistributedDataParallel.
        """
        self.module = self.model = module
        self.schedule, self.rank, self.processes, self.step = schedule, rank, processes, 0
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.device = self.parameters[0].device
        self.average, self.averages = None, []
        if schedule.ema:
            self.average = copy.deepcopy(module).eval().requires_grad_(False)
            both = zip(self.average.parameters(), module.parameters(), strict=True)
            self.averages = [average for average, parameter in both if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, schedule.lr, weight_decay=schedule.weight_decay, fused=True)
        self.autocast = partial(torch.autocast, self.device.type, torch.bfloat16, enabled=bfloat16)

    @property
    def result(self) -> nn.Module:
        """The network to validate and save: the moving average, or without one the module itself."""
        return self.module if self.average is None else self.average

    def advance(self, loss: Callable[[Part], Tensor], parts: Sequence[Part]) -> tuple[Tensor, Tensor]:
        """Takes one step. Nothing here waits for a GPU.

        Args:
            loss: Gives a part's share of the step's loss, a scalar; the shares of all parts and processes add up to it.
            parts: This process's data, in as many parts as memory asks for; usually one.

        Returns:
            This process's share of the loss and the norm of the whole gradient before clipping, scalars on the device.
        """
        # Dropout and noise follow from the seed, the step and the process: a resumed run draws the same.
        torch.manual_seed(_seed_of(self.schedule.seed, self.step, self.rank))
        # The step's learning rate.
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        # Forward and backward, part by part: gradients add up, and only one part's activations are in memory.
        share = torch.zeros((), device=self.device)
        self.optimizer.zero_grad(set_to_none=True)  # of a step that was broken off
        for number, part in enumerate(parts, start=1):
            share += self._accumulate(loss, part, last=number == len(parts))
        # The gradient is scaled down to the largest norm allowed.
        norm = nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip_norm or math.inf)
        # AdamW moves the weights; the next step begins without gradients.
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        # The moving average follows. Its decay grows from 0.1, so that it soon forgets the first steps' weights.
        if self.average is not None:
            decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                get_ema_multi_avg_fn(decay)(self.averages, self.parameters, None)
        self.step += 1
        return share, norm

    def _accumulate(self, loss: Callable[[Part], Tensor], part: Part, last: bool) -> Tensor:
        """Adds a part's gradient; gives its share of the loss."""
        # Processes exchange gradients once a step, with the last part.
        waits = self.processes > 1 and not last
        with self.model.no_sync() if waits else contextlib.nullcontext():
            with self.autocast():
                share = loss(part)
            # DistributedDataParallel takes the mean over processes, and the step's loss is the sum over them.
            (share * self.processes).backward()
        return share.detach()


def _seed_of(*numbers: int) -> int:
    return np.random.SeedSequence(numbers).generate_state(1).item()
