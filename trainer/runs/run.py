"""Drives a fit in a folder: metrics, checkpoints, exact resume, and an orderly end when it is interrupted.

    run = Run(fit, folder, batch)
    run.resume()
    with run.open():
        while not run.done:
            run.advance(loss, parts)
            if run.pauses:
                run.log()
                with run.first_alone() as first:
                    if first:
                        run.save_if_due()

Several processes stop together: after each step they tell each other which of them were interrupted.

The folder gets metrics.jsonl, TensorBoard's events and the checkpoint, last.safetensors.
"""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from emoticrafter.fit.loop import Fit, Part, Schedule
from trainer.core.checkpoint import checkpoint_path, load_checkpoint, read_state, save_checkpoint
from trainer.core.command_line import Terminated, TrainingError, held_back
from trainer.core.device import Machine
from trainer.core.processes import Processes, Together, is_lost_process
from trainer.runs.logs import Logs


class NotFinite(TrainingError):
    """A loss or its gradient is infinite or not a number, at a step counted from 1."""

    def __init__(self, step: int, text: str):
        super().__init__(text)
        self.step = step


ECHO = 3.0
"""Seconds in which a process may get a signal twice: from its sender, and from torchrun, which passes it on."""


class Run:
    """A fit that goes on in a folder.

    Attributes:
        saved: The step of the checkpoint, or None.
        seconds: Spent on steps, those before a resume included.
        logs: The metrics of the first process while the run is open.
        came: This process's interruptions.
        stop: Why all processes stop after this step, or None.
    """

    def __init__(
        self,
        fit: Fit,
        folder: Path,
        batch: int,
        log_every: int = 25,
        save_minutes: float = 2.0,
        processes: Processes | None = None,
    ):
        """
        Args:
            fit: The fit.
            folder: The run's.
            batch: Samples a step, all processes together.
            log_every: Steps between two lines of metrics.
            save_minutes: Minutes between two checkpoints, which are written after a line of metrics.
            processes: That fit together; they have met when the run is opened.
        """
        self.fit, self.folder, self.batch = fit, folder, batch
        self.processes = processes or Processes()
        self.log_every, self.save_minutes = log_every, save_minutes
        self.saved: int | None = None
        self.seconds, self.saved_at, self.logs = 0.0, time.monotonic(), None
        self.came: list[KeyboardInterrupt] = []
        self.stop: KeyboardInterrupt | None = None
        self.bar = tqdm(disable=True)
        self._begin_window()

    def resume(self) -> None:
        """Goes to the folder's checkpoint, if there is one.

        Raises:
            TrainingError: It is damaged or of another network.
        """
        if checkpoint_path(self.folder).exists():
            self.seconds = read_state(self.folder)["seconds"]
            load_checkpoint(self.folder, self.fit)
            self.saved = self.fit.step

    @contextmanager
    def open(self) -> Iterator[None]:
        """Holds Ctrl-C, SIGTERM and SIGHUP back until a step is done, and shows progress meanwhile.

        Raises:
            KeyboardInterrupt: The run was interrupted; the text says at which step and what is saved.
            LostProcess: Another process is gone; the text says the same.
        """
        several = self.processes.count > 1
        held = held_back(ECHO if several else 0.0, quietly=not self.processes.first)
        try:
            with contextlib.ExitStack() as stack:
                if self.processes.first:
                    self.logs = stack.enter_context(contextlib.closing(Logs(self.folder, self.fit.step)))
                self.bar = stack.enter_context(self._bar())
                self.came = stack.enter_context(held)
                yield
                self._agree()  # an interruption after the last step is everybody's, too
                if several:
                    self.came.clear()
                if self.stop:
                    raise self.stop
        except KeyboardInterrupt as error:
            by = str(error) or (f" by {error.signal.name}" if isinstance(error, Terminated) else "")
            kind = Together if isinstance(error, Together) else KeyboardInterrupt
            raise kind(f"Stopped{by} at step {self.fit.step}. {self.kept}") from error
        except RuntimeError as error:
            if several and is_lost_process(error):
                raise self.processes.lost_process(f"at step {self.fit.step + 1}", self.kept) from error
            raise
        finally:
            # DistributedDataParallel goes before the processes part: where it is the group's last owner, gloo's thread
            # and its own end wait for each other.
            self.fit.model = self.fit.module

    def _bar(self) -> tqdm:
        return tqdm(
            desc=self.folder.name,
            total=self.fit.schedule.steps * self.batch,
            initial=self.fit.step * self.batch,
            unit="samples",
            unit_scale=True,
            disable=not self.processes.first,
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    # --- steps -------------------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        return self.fit.step >= self.fit.schedule.steps

    @property
    def pauses(self) -> bool:
        """Whether a line of metrics is due: at its step, at the end, and when the run was interrupted."""
        return self.done or self.stop is not None or self.fit.step % self.log_every == 0

    def advance(self, loss: Callable[[Part], Tensor], parts: Sequence[Part]) -> None:
        """Takes one step; see `Fit.advance`. Nothing here waits for a GPU."""
        started = time.monotonic()
        if not self.steps:
            self.started = started
        share, norm = self.fit.advance(loss, parts)
        # Sums stay on the device, as does the first step that is not finite.
        self.share += share
        self.norm += norm
        fine = torch.isfinite(share) & torch.isfinite(norm)
        self.bad = torch.where(fine, self.bad, self.bad.clamp(max=float(self.fit.step)))
        self.steps += 1
        self.bar.update(self.batch)
        self._agree()

    def _agree(self) -> None:
        """Sets `stop` if any process was interrupted: at the same step in all of them."""
        if self.processes.count == 1:
            self.stop = self.came[0] if self.came else None
            return
        told = self._tell()
        if any(told):
            self.stop = _stop_of(told)

    def _tell(self) -> list[int]:
        """Tells all processes by which signal this one was interrupted, or 0; gives the same of all."""
        return self.processes.tell(_number_of(self.came[0]) if self.came else 0)

    @contextmanager
    def first_alone(self) -> Iterator[bool]:
        """The others wait until the first process has done what the block does, such as saving.

        Yields:
            Whether this is the first.

        Raises:
            FirstFailed: In the others, if the first could not.
            KeyboardInterrupt: All stop now.
        """
        try:
            yield self.processes.first
        except Exception:
            self.processes.tell_failed()
            raise
        if self.processes.count > 1:
            told = self._tell()
            self.stop = self.stop and _stop_of(told)  # by now, others may have been interrupted, too
        if self.stop:
            raise self.stop

    def _begin_window(self) -> None:
        device = self.fit.device
        self.share, self.norm = torch.zeros((), device=device), torch.zeros((), device=device)
        self.bad = torch.full((), math.inf, device=device)
        self.steps = 0

    def log(self) -> None:
        """Writes the means over the steps since the last line; all processes call this at the same steps.

        Raises:
            NotFinite: A loss or a gradient was not finite.
        """
        if self.processes.count > 1:
            dist.all_reduce(self.share)
            dist.all_reduce(self.bad, dist.ReduceOp.MIN)
        if math.isfinite(bad := self.bad.item()):
            raise NotFinite(
                int(bad),
                f"{self.folder.name}: the loss or its gradient is not finite at step {int(bad)}. {self.kept} Run the "
                "same command with --precision float32, or choose a smaller learning rate in a new --out.",
            )
        seconds = time.monotonic() - self.started
        self.seconds += seconds
        values = {
            "loss": self.share.item() / self.steps,
            "gradient_norm": self.norm.item() / self.steps,
            "lr": self.fit.optimizer.param_groups[0]["lr"],
            "samples_per_second": self.steps * self.batch / seconds,
        }
        self._begin_window()
        if self.logs:
            self.logs.write("train", self.fit.step, values)
            self.bar.set_postfix(loss=f"{values['loss']:.4g}")

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def save_if_due(self, **state) -> None:
        """After `log`: saves when it is time, at the end, and when the run was interrupted."""
        if self.done or self.stop or time.monotonic() - self.saved_at >= 60 * self.save_minutes:
            self.save(**state)

    def save(self, **state) -> None:
        """Writes the checkpoint, with anything else that the run needs."""
        save_checkpoint(self.folder, self.fit, seconds=self.seconds, **state)
        self.saved, self.saved_at = self.fit.step, time.monotonic()

    @property
    def kept(self) -> str:
        """A sentence about the checkpoint."""
        if self.saved is None:
            return "There is no checkpoint yet."
        return (
            f"The checkpoint of step {self.saved} is kept in {checkpoint_path(self.folder)}: the same command "
            "(trainer.train with --resume) goes on there."
        )


def _number_of(interruption: KeyboardInterrupt) -> int:
    return interruption.signal if isinstance(interruption, Terminated) else signal.SIGINT


def _stop_of(told: Sequence[int]) -> Together:
    """The interruption that all processes end with, by the signals [processes] that each of them got."""
    ranks = [str(rank) for rank, number in enumerate(told) if number]
    name = " and ".join(signal.Signals(number).name for number in sorted({number for number in told if number}))
    whom = "" if len(ranks) == len(told) else f" to process{'es' if len(ranks) > 1 else ''} {', '.join(ranks)}"
    return Together(f" by {name}{whom}")


def small_schedule(
    steps: int, lr: float, ema: float = 0.99, warmup: int = 100, weight_decay: float = 1e-3, seed: int = 0
) -> Schedule:
    """A schedule that suits small networks: a short warm-up, then half a cosine down to a hundredth."""
    return Schedule(steps, lr, weight_decay, min(warmup, steps // 4), True, 0.01, 1.0, ema, seed)


class _Share(nn.Module):
    """A part's share of a loss, as a module, because DistributedDataParallel shares out what a module computes."""

    def __init__(self, module: nn.Module, called: Callable, loss: Callable[[Callable, Part], Tensor]):
        super().__init__()
        self.module, self.of = module, partial(loss, called)

    def forward(self, part: Part) -> Tensor:
        return self.of(part)


def fit(
    module: nn.Module,
    loss: Callable[[nn.Module, Part], Tensor],
    schedule: Schedule,
    machine: Machine,
    folder: Path,
    batch: int,
    parts: Callable[[int], Sequence[Part]] = lambda step: [step],
    processes: Processes | None = None,
) -> nn.Module:
    """Fits a module, going on from the folder's checkpoint if there is one.

    Args:
        module: On the machine's device, in float32; every parameter that is not frozen must take part in the loss.
        loss: Gives a part's share of a step's loss, called with the (compiled) module and the part.
        schedule: Steps and rates.
        machine: Its precision, and whether to compile.
        folder: For the checkpoint and metrics.jsonl.
        batch: Samples a step, all processes together.
        parts: What this process computes of a step; by default the step's number, which is the one part.
        processes: That fit together and have met; the first one alone writes.

    Returns:
        The moving average of the module, for evaluation.

    Raises:
        TrainingError: The loss is not finite, the checkpoint is damaged, or the disk is full.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP; the step that was under way is done, and saved.
    """
    processes = processes or Processes()
    fitted = Fit(module, schedule, machine.bfloat16, processes.rank, processes.count)
    run = Run(fitted, folder, batch, processes=processes)
    run.resume()
    with run.open():
        fitted.model = processes.shared(_Share(module, machine.compiled(module), loss))
        while not run.done:
            run.advance(fitted.model, parts(fitted.step))
            if run.pauses:
                run.log()
                with run.first_alone() as first:
                    if first:
                        run.save_if_due()
    return fitted.result
