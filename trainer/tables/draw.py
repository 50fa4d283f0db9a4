"""Draws the pictures of a table's rows by trainer.generate, which keeps what is there; and says what is missing."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoticrafter.research.baselines import METHODS as BASELINES
from trainer import generate
from trainer.core.rows import DataError, write_jsonl
from trainer.painters.plan import LEVELS
from trainer.tables.rows import OURS, PLAIN, REWRITING
from trainer.tables.sources import Drawing, Miniature, Sdxl, once

Source = Miniature | Sdxl
BATCH = {Miniature: 25, Sdxl: 5}


@dataclass(frozen=True)
class Asked:
    """Which pictures are drawn, and how.

    Attributes:
        out: The folder of the pictures of all tables.
        prompts: The first so many; None for all.
        seeds: Pictures of every prompt and point.
        processes: That draw at once.
        device: Of the painter.
    """

    out: Path
    prompts: int | None
    seeds: int
    processes: int
    device: str

    @property
    def manifest(self) -> Path:
        return self.out / "manifest.jsonl"


def arguments(source: Source, drawing: Drawing, asked: Asked) -> list[str]:
    """The command line of trainer.generate that draws these pictures."""
    words = source.painter(drawing, rewritten_file(source, asked))
    words += ["--out", str(asked.out), "--method", drawing.method, "--device", asked.device]
    words += ["--seeds", *map(str, range(asked.seeds)), "--batch", str(BATCH[type(source)])]
    return words + (["--limit", str(asked.prompts)] if asked.prompts else [])


def rewritten_file(source: Source, asked: Asked) -> Path:
    if isinstance(source, Sdxl):
        return source.rewritten or Path()
    return asked.out.parent / "rewritten.jsonl"


def draw(source: Source, drawings: Sequence[Drawing], asked: Asked) -> None:
    """Draws what is missing of every row.

    Raises:
        DataError: a network, model or folder cannot be used.
    """
    if isinstance(source, Miniature) and any(drawing.row == REWRITING for drawing in drawings):
        from trainer.painters.miniature import emotional_captions

        write_jsonl(rewritten_file(source, asked), emotional_captions(LEVELS))
    for number, drawing in enumerate(drawings, start=1):
        words = arguments(source, drawing, asked)
        options = generate.parser().parse_args(words)
        todo = generate.job(options)
        if todo.waiting:
            print(
                f"pictures {number} of {len(drawings)}: {drawing.method}, {len(todo.waiting):,} of "
                f"{len(todo.tasks):,} to be drawn",
                flush=True,
            )
        if todo.waiting and asked.processes > 1:
            _draw_apart(words, asked.processes)
            todo = generate.job(options)
        if left := generate.complete(todo, options):
            raise DataError(f"{drawing.method}: {left:,} pictures are not there yet; run the command again.")
        todo.store.merge(todo.tasks)


def _draw_apart(words: list[str], count: int) -> None:
    """Shares the pictures out to processes, as torchrun would; what they leave undone is drawn afterwards."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    started = []
    try:
        for rank in range(count):
            place = {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)}
            environment = {**os.environ, **place, "OMP_NUM_THREADS": threads}
            command = [sys.executable, "-m", "trainer.generate", *words]
            started.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))  # noqa: S603
        for process in started:
            process.wait()
    finally:
        for process in started:
            process.terminate()


# ---- what it takes ---------------------------------------------------------------------------------

MINUTES = {"emotion network": 7, "baseline": 5, "pictures and latents": 14}
"""Of fits to the miniature on two cores, as they were measured (docs/miniature.md)."""
PICTURE_SECONDS = 0.4  # of the miniature, on one core
FLOP_A_SECOND = 1e14


def dry_run(source: Source, drawings: Sequence[Drawing], asked: Asked, fits: bool) -> str:
    """What is missing, and about how long and how large it is, in words."""
    lines, minutes, methods = [], 0.0, list(drawings)
    absent = once([drawing for drawing in drawings if not source.is_there(drawing)])
    if isinstance(source, Miniature) and not (source.run / "recipe.json").is_file():
        lines.append(f"{source.run} is not there: it is made of the shipped weights, in seconds")
        absent = [drawing for drawing in absent if drawing.network != source.network(OURS, 0)]
    if absent and fits:
        minutes = sum(_fit_minutes(drawing) for drawing in absent) + _latents_minutes(source, absent)
        lines.append(f"fits: {len(absent)} are missing, about {_hours(minutes * 60)} on two cores")
        lines += [f"  {drawing.network}" for drawing in absent]
    elif absent:
        lines.append(f"fits: {len(absent)} are missing, and their rows are left out")
        gone = {drawing.network for drawing in absent}
        methods = [drawing for drawing in drawings if drawing.network not in gone]
    total, waiting, seconds, size = 0, 0, 0.0, 0.0
    for drawing in methods:
        count, left, each, large = _pictures(source, drawing, asked)
        total, waiting, seconds, size = (
            total + count,
            waiting + left,
            seconds + left * each,
            size + left * large,
        )
    lines.append(
        f"pictures: {waiting:,} of {total:,} are missing, about {_hours(seconds / asked.processes)} and "
        f"{size / 1e9:.2f} GB"
        + ("" if isinstance(source, Miniature) else ", at 100 TFLOP/s where none is drawn yet")
    )
    return "\n".join(lines)


def _fit_minutes(drawing: Drawing) -> int:
    return MINUTES["baseline" if drawing.row in BASELINES else "emotion network"]


def _latents_minutes(source: Source, absent: list[Drawing]) -> int:
    needed = any(drawing.row in BASELINES for drawing in absent)
    return MINUTES["pictures and latents"] if needed and not (source.run / "latents.npy").exists() else 0


def _hours(seconds: float) -> str:
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def _pictures(source: Source, drawing: Drawing, asked: Asked) -> tuple[int, int, float, float]:
    """How many pictures a row has, how many are missing, and seconds and bytes of one."""
    if isinstance(source, Miniature) and not _is_ready(source, drawing, asked):
        return _unready_pictures(source, drawing, asked)
    todo = generate.job(generate.parser().parse_args(arguments(source, drawing, asked)))
    seconds, size = todo.store.measured(drawing.method)
    likely = todo.flops / FLOP_A_SECOND if todo.flops else PICTURE_SECONDS
    return len(todo.tasks), len(todo.waiting), seconds or likely, size or 1.6 * todo.pixels


def _is_ready(source: Miniature, drawing: Drawing, asked: Asked) -> bool:
    words = drawing.row != REWRITING or rewritten_file(source, asked).is_file()
    return words and (source.run / "generator").is_dir() and source.is_there(drawing)


def _unready_pictures(source: Miniature, drawing: Drawing, asked: Asked) -> tuple[int, int, float, float]:
    from trainer.miniature.recipe import Recipe, read_recipe
    from trainer.painters.miniature import held_out_prompts

    points = 1 if drawing.row == PLAIN else len(LEVELS) ** 2
    count = len(held_out_prompts(asked.prompts)) * asked.seeds * points
    begun = (source.run / "recipe.json").is_file()
    side = (read_recipe(source.run) if begun else Recipe()).picture_size
    return count, count, PICTURE_SECONDS, 1.6 * side**2
