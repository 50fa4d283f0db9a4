"""Draws the pictures of the evaluation: 132 prompts at 25 points of valence and arousal, with a manifest.

    python -m trainer.generate sdxl --network network.safetensors --out images --method ours
    python -m trainer.generate sdxl --plain --out images
    python -m trainer.generate sdxl --rewritten rewritten.jsonl --out images
    python -m trainer.generate miniature --run runs/miniature --out images --method ours
    python -m trainer.generate comfyui --server http://127.0.0.1:8188 --workflow mine.json --out images --method mine
    torchrun --nproc-per-node 4 -m trainer.generate sdxl --network network.safetensors --out images --method ours

An interrupted command goes on when it is run again: pictures that are there are checked by their hash and kept. Run it
once for each method, with the same --out: the manifest holds them all. --dry-run says what it would take.
"""

import argparse
import io
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.core.command_line import status_of
from trainer.core.rows import DataError
from trainer.painters.plan import (
    LEVELS,
    PROMPTS,
    SDXL,
    Process,
    Task,
    estimate,
    plan,
    read_prompts,
    read_rewritten,
)

if TYPE_CHECKING:  # needs what --help should not
    from trainer.painters.store import Store


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("python -m trainer.generate", description=__doc__, formatter_class=raw)
    commands = top.add_subparsers(required=True, metavar="painter", dest="painter")

    command = _command(commands, "sdxl", "through diffusers")
    command.add_argument(
        "--model", default=SDXL, help="diffusers folder, hub id or .safetensors (%(default)s)"
    )
    command.add_argument("--network", type=Path, metavar="FILE", help="the emotion network")
    command.add_argument("--size", type=int, default=1024, help="pixels of a side (%(default)s)")
    command.add_argument("--steps", type=int, default=25, help="(%(default)s)")
    command.add_argument("--guidance", type=float, default=7.5, help="guidance scale (%(default)s)")
    command.add_argument("--strength", type=float, default=1.0, help="of the emotion (%(default)s)")

    command = _command(commands, "miniature", "with a run of trainer.miniature: its own held-out prompts")
    command.add_argument(
        "--run", type=Path, default=Path("runs/miniature"), help="the run's folder (%(default)s)"
    )
    command.add_argument(
        "--network", type=Path, metavar="FILE", help="the emotion network (default: the run's first)"
    )
    command.add_argument("--strength", type=float, default=1.0, help="of the emotion (%(default)s)")

    command = _command(
        commands, "comfyui", "through a running server, with a workflow of Workflow > Export (API)"
    )
    command.add_argument("--server", default="http://127.0.0.1:8188", metavar="URL", help="(%(default)s)")
    command.add_argument(
        "--workflow",
        type=Path,
        required=True,
        metavar="FILE",
        help="{prompt} stands where the prompt belongs",
    )
    command.add_argument("--timeout", type=float, default=600, help="seconds for one picture (%(default)s)")
    return top


def _command(commands, name: str, text: str) -> argparse.ArgumentParser:
    """A subcommand with the options that all three have."""
    command = commands.add_parser(name, help=text, description=text)
    add = command.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="of all methods that are compared")
    _add_method(add)
    _add_asked(add)
    add("--batch", type=int, default=5, metavar="N", help="pictures drawn together (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (%(default)s)")
    add("--dry-run", action="store_true", help="print how many pictures, how long and how large, and end")
    return command


def _add_method(add) -> None:
    add(
        "--method",
        help="the method's name in the manifest; letters, digits, - and _ (ours; plain with --plain, rewriting with "
        "--rewritten)",
    )
    add(
        "--plain",
        action="store_true",
        help="the prompts without emotion: one picture for each prompt and seed",
    )
    add(
        "--rewritten",
        type=Path,
        metavar="FILE",
        help="draw each prompt in the words that this file has for the point, without an emotion network "
        "(python -m trainer.baselines rewrite)",
    )


def _add_asked(add) -> None:
    add(
        "--prompts",
        type=Path,
        default=PROMPTS,
        metavar="FILE",
        help="one a line (default: the protocol's 132)",
    )
    add("--limit", type=int, metavar="N", help="the first N prompts alone")
    add(
        "--levels",
        type=_levels,
        default=LEVELS,
        metavar="LIST",
        help="of both axes: --levels=-3,-1.5,0,1.5,3",
    )
    add(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help="pictures of every prompt and point (0)",
    )


def _levels(text: str) -> tuple[float, ...]:
    try:
        levels = tuple(sorted({float(word) for word in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as -3,0,3, got {text!r}") from None
    if not all(-3 <= level <= 3 for level in levels):
        raise argparse.ArgumentTypeError(f"expected numbers from -3 to 3, got {text!r}")
    named = {round(level, 2) for level in levels}  # as in the pictures' names
    if len(named) < len(levels):
        raise argparse.ArgumentTypeError(f"expected numbers that differ by 0.01 or more, got {text!r}")
    return levels


def check(options: argparse.Namespace) -> None:
    """Raises DataError with everything that is wrong with the options."""
    problems = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", options.method):
        problems.append(f"--method {options.method!r}: expected letters, digits, - and _")
    if options.method == "plain" and not options.plain:
        problems.append(
            "--method plain is the name of the prompts without emotion: give --plain, or another name"
        )
    if options.rewritten and (options.plain or getattr(options, "network", None)):
        problems.append("--rewritten draws other words, without a network: leave out --plain and --network")
    if any(seed < 0 for seed in options.seeds) or len(set(options.seeds)) < len(options.seeds):
        problems.append(f"--seeds {options.seeds}: expected different numbers from 0")
    if options.batch < 1 or (options.limit is not None and options.limit < 1):
        problems.append("--batch and --limit must be at least 1")
    if options.painter == "sdxl":
        if not options.plain and not options.network and not options.rewritten:
            problems.append(
                "give --network, the emotion network, --plain for the prompts without emotion, or --rewritten"
            )
        if options.size % 8:
            problems.append(f"--size {options.size}: expected a multiple of 8")
        if options.network and not options.network.is_file():
            problems.append(f"--network {options.network} is not there")
    if problems:
        raise DataError("These options cannot be used:\n" + "\n".join(f"  {text}" for text in problems))


# ---- painters: prompts, settings, and what draws (imported late: each needs other packages) --------


def _prepare(options: argparse.Namespace) -> tuple[list[str], dict, int, float | None]:
    """The prompts, the settings that pictures depend on, the pixels of one, and its operations if known."""
    without = options.plain or bool(options.rewritten)
    network = None if without else getattr(options, "network", None)
    if options.painter == "miniature":
        from trainer.miniature.recipe import read_recipe
        from trainer.painters import miniature as miniature

        options.network = network or (None if without else miniature.default_network(options.run))
        if options.prompts != PROMPTS:
            raise DataError("The miniature draws its own held-out prompts: leave out --prompts.")
        settings = miniature.settings(options.run, options.network, options.strength)
        return (
            miniature.held_out_prompts(options.limit),
            settings,
            read_recipe(options.run).picture_size ** 2,
            None,
        )
    prompts = read_prompts(options.prompts, options.limit)
    if options.painter == "comfyui":
        from trainer.painters import comfyui as comfyui

        options.workflow = comfyui.read_workflow(options.workflow, without)
        return prompts, comfyui.settings(options.workflow, without), 1024**2, None
    from trainer.painters import sdxl as sdxl

    options.network = network
    settings = sdxl.settings(
        options.model, network, options.size, options.steps, options.guidance, options.strength
    )
    flops = sdxl.FLOPS_A_STEP * options.steps * (options.size / 1024) ** 2
    return prompts, settings, options.size**2, flops


def _painter(options: argparse.Namespace, process: Process):
    import torch

    device = options.device
    if device == "auto":
        device = f"cuda:{process.local_rank}" if torch.cuda.is_available() else "cpu"
    if options.painter == "miniature":
        from trainer.painters.miniature import MiniaturePainter

        return MiniaturePainter(options.run, options.network, device, options.strength)
    if options.painter == "comfyui":
        from trainer.painters.comfyui import ComfyuiPainter

        return ComfyuiPainter(
            options.server, options.workflow, options.plain or bool(options.rewritten), options.timeout
        )
    from trainer.painters.sdxl import SdxlPainter

    return SdxlPainter(
        options.model,
        options.network,
        device,
        options.size,
        options.steps,
        options.guidance,
        options.strength,
    )


# ---- drawing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What a command is to draw, and what of it is missing.

    Attributes:
        tasks: All pictures of the method.
        mine: Those of this process.
        waiting: Of those, the ones to be drawn.
        pixels: Of a picture.
        flops: Operations for a picture, if known.
    """

    store: "Store"
    process: Process
    tasks: list[Task]
    mine: list[Task]
    waiting: list[Task]
    pixels: int
    flops: float | None


def job(options: argparse.Namespace) -> Job:
    """Plans what the options ask for; no model is loaded yet.

    Raises:
        DataError: the options, prompts, networks or folders cannot be used.
    """
    from trainer.painters.store import Store

    options.method = options.method or (
        "plain" if options.plain else "rewriting" if options.rewritten else "ours"
    )
    check(options)
    process, store = Process.of_environment(), Store(options.out)
    prompts, settings, pixels, flops = _prepare(options)
    words = read_rewritten(options.rewritten) if options.rewritten else None
    tasks = plan(prompts, options.levels, options.seeds, options.method, options.plain, settings, words)
    mine = process.share(tasks)
    return Job(store, process, tasks, mine, store.missing(mine), pixels, flops)


def generate(options: argparse.Namespace) -> int:
    """Draws what is missing, and writes the manifest once all is there."""
    todo = job(options)
    prompts = len({task.number for task in todo.tasks})
    print(
        f"{options.method}: {len(todo.tasks):,} pictures of {prompts} prompts, "
        f"{len(todo.waiting):,} of {len(todo.mine):,} to be drawn here",
        flush=True,
    )
    if options.dry_run:
        so_far = todo.store.measured(options.method)
        print(estimate(len(todo.waiting), todo.pixels, *so_far, todo.flops))
        return 0
    left = complete(todo, options)
    if left:
        print(f"{left:,} pictures are left to the other processes; the last one writes the manifest")
        return 0
    manifest = todo.store.merge(todo.tasks)
    print(f"{manifest}: next, python -m trainer.evaluate {manifest} --help")
    return 0


def complete(todo: Job, options: argparse.Namespace) -> int:
    """Draws what waits; the number of pictures that are then left to other processes."""
    if todo.waiting:
        draw(_painter(options, todo.process), todo.waiting, options.batch, todo.store, todo.process)
    return len(todo.store.missing(todo.tasks))


def draw(painter, tasks: Sequence[Task], batch: int, store, process: Process) -> None:
    """Draws tasks in batches and keeps each picture as PNG."""
    from tqdm import tqdm

    with (
        store.drawing(tasks[0].method, process) as keep,
        tqdm(total=len(tasks), unit="picture", mininterval=1) as bar,
    ):
        for start in range(0, len(tasks), batch):
            part, began = tasks[start : start + batch], time.monotonic()
            pictures = painter.draw(part)
            seconds = (time.monotonic() - began) / len(part)
            for task, picture in zip(part, pictures, strict=True):
                buffer = io.BytesIO()
                picture.save(buffer, "PNG")
                keep(task, buffer.getvalue(), seconds)
            bar.update(len(part))


def main(arguments: list[str] | None = None) -> int:
    """Runs one painter; everything that a user can put right is said in a line, without a traceback."""
    options = parser().parse_args(arguments)
    return status_of(lambda: generate(options), "eval")


if __name__ == "__main__":
    sys.exit(main())
