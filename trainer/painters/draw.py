"""Draws the pictures of a method that are missing, in this process or in several."""

import io
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trainer.core.command_line import say, status_of
from trainer.core.processes import Processes, begin_worker
from trainer.core.rows import DataError
from trainer.painters.plan import Task, share
from trainer.painters.settings import ComfyuiSettings, MiniatureSettings, PainterSettings, RangedSettings, TruthSettings
from trainer.painters.store import Store

if TYPE_CHECKING:
    from PIL.Image import Image


class Painter(Protocol):
    def draw(self, tasks: Sequence[Task]) -> "list[Image]":
        """One picture for each task, whatever else is in the batch."""


def load_painter(settings: PainterSettings, device: str) -> Painter:
    """The painter of these settings, with its models on a device; each needs other libraries."""
    if isinstance(settings, ComfyuiSettings):
        from trainer.painters.comfyui import ComfyuiPainter

        return ComfyuiPainter(settings)
    if isinstance(settings, MiniatureSettings):
        from trainer.painters.miniature import miniature_painter

        return miniature_painter(settings, device)
    if isinstance(settings, RangedSettings):
        from trainer.painters.ranged import RangedPainter

        return RangedPainter(load_painter(settings.painter, device), settings.pictures, settings.at_once)
    if isinstance(settings, TruthSettings):
        from trainer.painters.truth import TruthPainter

        return TruthPainter(settings, device)
    from trainer.painters.sdxl import SdxlPainter

    return SdxlPainter(settings, device)


@dataclass(frozen=True)
class Job:
    """All pictures of a method, and what draws them.

    Attributes:
        folder: Of all methods that are compared.
        painter: What draws.
        tasks: From `plan`.
        batch: Pictures of a prompt and seed that are drawn together.
        device: "auto", "cpu", "cuda", "cuda:1" …
    """

    folder: Path
    painter: PainterSettings
    tasks: Sequence[Task]
    batch: int = 5
    device: str = "auto"

    @property
    def method(self) -> str:
        return self.tasks[0].method

    @property
    def store(self) -> Store:
        return Store(self.folder)

    def missing(self, processes: Processes | None = None) -> list[Task]:
        """The pictures still to be drawn; with `processes`, those of this one's share."""
        return self.store.missing(share(self.tasks, processes or Processes()))

    def batches(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """The plan's batches with any of these tasks in them.

        What is drawn beside a picture decides its last bits, so batches follow from the plan alone: not from what is
        missing, nor from the number of processes, prompts or seeds.
        """
        wanted = set(tasks)
        size = 1 if isinstance(self.painter, ComfyuiSettings) else self.batch  # a server draws one at a time
        for _, group in groupby(self.tasks, key=lambda task: (task.number, task.seed)):
            points = list(group)
            parts = (points[start : start + size] for start in range(0, len(points), size))
            yield from (part for part in parts if not wanted.isdisjoint(part))


def draw(job: Job, tasks: Sequence[Task], processes: Processes | None = None) -> None:
    """Draws tasks of a job in the plan's batches and keeps each as PNG; without tasks no model is loaded.

    Raises:
        DataError: The painter cannot be made, or the folder is in use or cannot be written.
    """
    from tqdm import tqdm

    from trainer.core.device import find_device

    if not tasks:
        return
    processes = processes or Processes()
    painter = load_painter(job.painter, str(find_device(job.device, processes.local_rank)))
    waiting = set(tasks)
    with job.store.drawing(job.method, processes) as keep, tqdm(total=len(tasks), unit="picture", mininterval=1) as bar:
        for part in job.batches(tasks):
            began = time.monotonic()
            drawn = zip(part, painter.draw(part), strict=True)
            seconds = (time.monotonic() - began) / len(part)
            for task, picture in drawn:
                if task in waiting:
                    buffer = io.BytesIO()
                    picture.save(buffer, "PNG")
                    keep(task, buffer.getvalue(), seconds)
                    bar.update()


def complete(job: Job, processes: int = 1, title: str = "pictures") -> None:
    """Draws what is missing of a job, in so many processes at once, and writes the manifest.

    `title` begins the line that says how many are missing.

    Raises:
        DataError: Pictures are still missing, or see `draw`.
    """
    waiting = job.missing()
    if waiting:
        say(f"{title}: {job.method}, {len(waiting):,} of {len(job.tasks):,} to be drawn")
    if waiting and processes > 1:
        draw_apart(job, processes)
        waiting = job.missing()
    draw(job, waiting)
    if left := len(job.missing()):
        raise DataError(f"{job.method}: {left:,} pictures are still missing; run the command again.")
    job.store.merge(job.tasks)


def draw_apart(job: Job, count: int) -> None:
    """Shares a job out to processes of this machine. One that fails says why, and its pictures stay missing."""
    context = multiprocessing.get_context("spawn")  # a fork would copy half of torch's threads
    started = [context.Process(target=_draw_share, args=(job, Processes(count, n, n))) for n in range(count)]
    try:
        for process in started:
            process.start()
        for process in started:
            process.join()
    finally:
        for process in started:
            if process.is_alive():
                process.terminate()


def _draw_share(job: Job, processes: Processes) -> None:
    import torch

    begin_worker()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes.count))
    sys.exit(status_of(lambda: draw(job, job.missing(processes), processes), "eval"))
