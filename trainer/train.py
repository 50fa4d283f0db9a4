"""Trains the emotion network on a data folder.

    python -m trainer.train --data data --out runs/paper
    torchrun --nproc-per-node 4 -m trainer.train --data data --out runs/paper

The run's folder then holds network.safetensors (the best by validation loss, for the ComfyUI nodes), last.safetensors
(the checkpoint), metrics.jsonl, run.json, sensitivity.json, TensorBoard's events and in the end finished. A run that
was stopped goes on exactly with --resume.

Source: Dang et al., ICCV 2025, arXiv 2501.05710, section 3.
"""

import contextlib
import copy
import math
import os
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from emoticrafter import EmotionNetwork, save_network
from emoticrafter.files import remove_leftovers
from emoticrafter.fit.loss import pair_errors
from trainer.core.checkpoint import (
    RUN,
    checkpoint_path,
    finished_path,
    load_checkpoint,
    read_state,
    save_checkpoint,
    writing,
)
from trainer.core.command_line import TrainingError, held_back, status_of
from trainer.runs.batches import Batch, Loader, batch_indexes, fits_on_device
from trainer.runs.data import Data, read_data
from trainer.runs.directions import Directions, content_error
from trainer.runs.logs import Logs, write_json
from trainer.runs.settings import Settings, check, holds_run, read
from trainer.runs.stops import building, explained, not_finite
from trainer.runs.validation import distinct_prompts, validate

WRITTEN = (
    "last.safetensors",
    "network.safetensors",
    "metrics.jsonl",
    "run.json",
    "sensitivity.json",
    "not_finite.json",
)
"""The files that a run writes whole."""


@dataclass
class Processes:
    """The processes that train together; torchrun says how many."""

    count: int = 1
    rank: int = 0
    local_rank: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0


class PairErrors(nn.Module):
    """The network with its loss per pair: the part of a step that is compiled and distributed."""

    def __init__(self, network: EmotionNetwork, settings: Settings, directions: Directions):
        super().__init__()
        self.network, self.scale, self.preserve = network, settings.scale, settings.preserve
        self.register_buffer("content", directions.content, persistent=False)

    def forward(self, neutral: Tensor, emotional: Tensor, valence: Tensor, arousal: Tensor) -> Tensor:
        """Two [B, T, D] and two [B] -> [B]: each pair's loss before its weight."""
        neutral = neutral.float()  # half-precision features would round the residual away
        predicted = self.network(neutral, valence, arousal)
        error = pair_errors(predicted, neutral, emotional, self.scale)
        if self.preserve:
            error = error + self.preserve * content_error(predicted - neutral, self.content)
        return error


# --- setup -----------------------------------------------------------------------------------------------------------


def join(processes: Processes, device: torch.device) -> None:
    """Meets the other processes, if there are any."""
    if processes.count > 1:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=30))


def launched() -> Processes:
    """The processes as torchrun started them; one without it."""
    names = ("WORLD_SIZE", "RANK", "LOCAL_RANK")
    return Processes(
        *(int(os.environ.get(name, default)) for name, default in zip(names, (1, 0, 0), strict=True))
    )


# --- a run -----------------------------------------------------------------------------------------------------------


class Run:
    """A network, its optimizer and what a step needs; the functions below move it on."""

    def __init__(self, settings: Settings, data: Data, device: torch.device, processes: Processes):
        self.settings, self.data, self.device, self.processes = settings, data, device, processes
        torch.manual_seed(settings.seed)
        self.network = EmotionNetwork(settings.network(data.store.width)).to(device).train()
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False) if settings.ema else None
        self.parameters = list(self.network.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        pool = fits_on_device(settings.features_on_device, data.store, device)
        self.loader = Loader(data.table, data.store, data.weights, device, pool)
        self.autocast = partial(
            torch.autocast, device.type, torch.bfloat16, enabled=_bfloat16(settings, device)
        )
        self.total = settings.steps or math.ceil(settings.epochs * len(data.train) / settings.batch)
        self.step, self.saved, self.best = 0, None, {"loss": math.inf, "step": 0}
        self.seconds = 0.0

    @property
    def result(self) -> EmotionNetwork:
        """The network that is validated and saved."""
        return self.network if self.average is None else self.average

    def wrap(self) -> nn.Module:
        """The module that steps call."""
        module = PairErrors(self.network, self.settings, self.data.directions).to(self.device)
        if self.processes.count > 1:
            devices = [self.device] if self.device.type == "cuda" else None
            module = DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)
        return torch.compile(module) if self.settings.compile else module

    def indexes(self, step: int) -> np.ndarray:
        """The rows of this process's share of a step, [batch / processes]."""
        rows = batch_indexes(self.data.train, self.settings.batch, step, self.settings.seed)
        return np.array_split(rows, self.processes.count)[self.processes.rank]

    def parts(self, step: int) -> list[np.ndarray]:
        return np.array_split(self.indexes(step), self.settings.accumulate)


def _bfloat16(settings: Settings, device: torch.device) -> bool:
    if settings.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return settings.precision == "bfloat16"


def learning_rate(settings: Settings, step: int, total: int) -> float:
    """The learning rate of a step, from 0: a linear warm-up, then constant or half a cosine down to 0."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return settings.lr
    done = (step - settings.warmup) / max(1, total - settings.warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * done))


def train_step(run: Run, model: nn.Module) -> tuple[Tensor, Tensor]:
    """One step of this process. Nothing here waits for a GPU.

    Returns:
        This process's share of the loss (their sum is the step's loss), and the gradient's norm; both on the device.
    """
    settings, processes = run.settings, run.processes
    # The dropout of a step follows from the seed, the step and the process, so that a resume needs no other state.
    torch.manual_seed(
        np.random.SeedSequence((settings.seed, run.step, processes.rank)).generate_state(1).item()
    )
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(settings, run.step, run.total)
    parts = run.parts(run.step)
    following = [*parts[1:], run.parts(run.step + 1)[0]]
    share = torch.zeros((), device=run.device)
    for number, (rows, ahead) in enumerate(zip(parts, following, strict=True), start=1):
        batch = run.loader.load(rows, ahead)
        waits = processes.count > 1 and number < len(parts)
        with model.no_sync() if waits else contextlib.nullcontext():
            share += _backward(run, model, batch)
    norm = nn.utils.clip_grad_norm_(run.parameters, settings.clip_norm or math.inf)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    if run.average is not None:
        decay = min(
            settings.ema, (1 + run.step) / (10 + run.step)
        )  # the first steps' weights are soon forgotten
        with torch.no_grad():
            get_ema_multi_avg_fn(decay)(list(run.average.parameters()), run.parameters, None)
    return share, norm


def _backward(run: Run, model: nn.Module, batch: Batch) -> Tensor:
    with run.autocast():
        errors = model(batch.neutral, batch.emotional, batch.valence, batch.arousal)
    loss = (batch.weight * errors).sum() / run.settings.batch
    # DistributedDataParallel takes the mean over the processes, and the loss is a sum over them.
    (loss * run.processes.count).backward()
    return loss.detach()


class Window:
    """What the steps since the last line of metrics gave, kept on the device."""

    def __init__(self, run: Run):
        self.run = run
        self.clear()

    def clear(self) -> None:
        self.share = torch.zeros((), device=self.run.device)
        self.norm = torch.zeros((), device=self.run.device)
        self.bad = torch.full((), math.inf, device=self.run.device)
        self.steps, self.started = 0, time.monotonic()

    def add(self, share: Tensor, norm: Tensor) -> None:
        self.share += share
        self.norm += norm
        fine = torch.isfinite(share) & torch.isfinite(norm)
        self.bad = torch.where(fine, self.bad, torch.clamp(self.bad, max=float(self.run.step)))
        self.steps += 1

    def close(self) -> dict[str, float]:
        """The means over the window and all processes; every process calls this at the same steps.

        Raises:
            TrainingError: A loss or a gradient was not finite.
        """
        run = self.run
        if run.processes.count > 1:
            dist.all_reduce(self.share)
            dist.all_reduce(self.bad, dist.ReduceOp.MIN)
        if math.isfinite(bad := self.bad.item()):
            raise not_finite(run, int(bad))
        seconds = time.monotonic() - self.started
        values = {
            "loss": self.share.item() / self.steps,
            "gradient_norm": self.norm.item() / self.steps,
            "lr": run.optimizer.param_groups[0]["lr"],
            "samples_per_second": self.steps * run.settings.batch / seconds,
        }
        run.seconds += seconds
        self.clear()
        return values


# --- fit -------------------------------------------------------------------------------------------------------------


def fit(run: Run, model: nn.Module, logs: Logs) -> None:
    """Trains to the last step, with metrics, validations and checkpoints on the way; an interruption saves first."""
    settings, window, saved_at = run.settings, Window(run), time.monotonic()
    every = settings.validate_every or max(1, round(len(run.data.train) / settings.batch))
    # Several processes are not interrupted at the same step: one that would still save might wait for the others.
    held = held_back() if run.processes.count == 1 else contextlib.nullcontext([])
    with logs.bar(run) as bar, held as came:
        while run.step < run.total:
            window.add(*train_step(run, model))
            run.step += 1
            bar.update(settings.batch)
            done = run.step == run.total
            validates = done or run.step % every == 0
            stops = bool(came)
            if not (validates or stops or run.step % settings.log_every == 0):
                continue
            values = window.close()
            if not run.processes.first:
                continue
            logs.write("train", run.step, values)
            bar.set_postfix(loss=f"{values['loss']:.4g}")
            if validates:
                _validate(run, logs)
            if done or stops or time.monotonic() - saved_at >= 60 * settings.save_minutes:
                save(run)
                saved_at = time.monotonic()
            if stops:
                raise came[0]
            window.started = time.monotonic()


def _validate(run: Run, logs: Logs) -> None:
    """Validates, and saves the network if it is the best so far."""
    data, prompts = run.data, distinct_prompts(run.data.table.neutral, run.data.validation)
    numbers, maps = validate(
        run.result, run.loader, data.validation, prompts, data.directions, run.settings.scale, run.autocast
    )
    logs.write("validation", run.step, numbers)
    if numbers["loss"] < run.best["loss"]:
        run.best = {"step": run.step, **numbers}
        path = run.settings.out / "network.safetensors"
        with writing(path):
            save_network(run.result, path, provenance(run))
            write_json(run.settings.out / "sensitivity.json", {"step": run.step, **maps})


def save(run: Run) -> None:
    """Writes the checkpoint."""
    state = {
        "step": run.step,
        "best": run.best if math.isfinite(run.best["loss"]) else None,
        "seconds": run.seconds,
        "settings": run.settings.as_json(),
        "data": run.data.summary["fingerprint"],
    }
    save_checkpoint(run.settings.out, run.network, run.average, run.optimizer, state)
    run.saved = run.step


def resume(run: Run) -> None:
    """Puts a run where its checkpoint was.

    Raises:
        TrainingError: The checkpoint is damaged, of other settings or data, or further than the run shall go.
    """
    out = run.settings.out
    state = read_state(out, RUN)
    found = run.settings.differences(state["settings"])
    if state["data"] != run.data.summary["fingerprint"]:
        found.append(f"the data was {state['data'][:12]} and is {run.data.summary['fingerprint'][:12]}")
    if found:
        raise TrainingError(
            f"{checkpoint_path(out)} was made otherwise:\n- "
            + "\n- ".join(found)
            + "\nGive what it was made with, or choose another --out."
        )
    if state["step"] > run.total:
        raise TrainingError(
            f"{checkpoint_path(out)} is of step {state['step']}, beyond the {run.total} steps that are asked for: "
            "give more --steps or --epochs to go on, or choose another --out."
        )
    load_checkpoint(out, run.network, run.average, run.optimizer)
    run.step = run.saved = state["step"]
    run.best = state["best"] or run.best
    run.seconds = state["seconds"]


def provenance(run: Run) -> dict:
    """How a network was trained, as it goes into its file."""
    settings = run.settings.as_json()
    for name in ("data", "out", "resume", "device"):  # of this machine, not of the network
        del settings[name]
    return {
        "method": "Dang et al., ICCV 2025, arXiv 2501.05710",
        "data": run.data.summary,
        "scale": run.settings.scale,
        "loss": "weighted mean square of neutral + scale (emotional - neutral), weights density^-density_power",
        "steps": run.step,
        "samples": run.step * run.settings.batch,
        "validation": run.best,
        "seed": run.settings.seed,
        "settings": settings,
        "torch": torch.__version__,
    }


# --- the command -----------------------------------------------------------------------------------------------------


def train(settings: Settings, unread: list[str]) -> None:
    """A whole run, as one of its processes.

    Raises:
        TrainingError: It cannot start or go on.
    """
    device = check(settings, launched().count, unread)
    if device.type == "cuda":
        device = torch.device("cuda", launched().local_rank if launched().count > 1 else device.index or 0)
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    data = read_data(settings, device)
    with alone(settings) if launched().first else contextlib.nullcontext():
        with building(settings, device):
            run = Run(settings, data, device, launched())
            if settings.resume and checkpoint_path(settings.out).exists():
                resume(run)
        if run.processes.first and run.step < run.total:
            finished_path(settings.out).unlink(missing_ok=True)
        join(run.processes, device)
        try:
            with explained(run), Logs(settings.out, run.step, run.processes.first) as logs:
                logs.start(describe(run))
                fit(run, run.wrap(), logs)
                if run.processes.first:
                    finished_path(settings.out).touch()
                logs.end(run)
        finally:
            run.loader.close()
        if run.processes.count > 1:
            dist.destroy_process_group()


@contextlib.contextmanager
def alone(settings: Settings):
    """Keeps other runs out of a run's folder, and removes what killed ones left half-written there.

    Raises:
        TrainingError: Another run is writing there, or one has ended there since the settings were checked.
    """
    out = settings.out
    lock = FileLock(out / ".lock")
    with writing(out / ".lock"):
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise TrainingError(
                f"Another run is writing in {out}: wait until it has ended, or choose another --out."
            ) from error
    try:
        if taken := holds_run(settings):
            raise TrainingError(taken)
        for name in WRITTEN:
            remove_leftovers(out / name)
        yield
    finally:
        lock.release()


def describe(run: Run) -> dict:
    """What run.json says of a run."""
    return {
        "settings": run.settings.as_json(),
        "data": run.data.summary,
        "network": asdict(run.network.config) | {"parameters": sum(p.numel() for p in run.parameters)},
        "steps": run.total,
        "processes": run.processes.count,
        "device": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else "CPU",
        "precision": "bfloat16 autocast" if _bfloat16(run.settings, run.device) else "float32",
        "features_on_device": run.loader.pool is not None,
        "torch": torch.__version__,
    }


def main(arguments: list[str] | None = None) -> int:
    """Trains; everything that a user can put right is said in a line, without a traceback."""
    settings, unread = read(arguments, __doc__)

    def command() -> int:
        try:
            train(settings, unread)
        except TrainingError:
            # Until the processes have met, all find the same, and the first says it.
            if launched().first or dist.is_initialized():
                raise
            return 1
        return 0

    return status_of(command, "train")


if __name__ == "__main__":
    raise SystemExit(main())
