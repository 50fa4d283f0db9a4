"""Draws the pictures of the evaluation: 132 prompts at 25 points of valence and arousal, with a manifest.

    python -m trainer.generate sdxl --network network.safetensors --out images --method ours
    python -m trainer.generate sdxl --plain --out images
    python -m trainer.generate sdxl --rewritten rewritten.jsonl --out images
    python -m trainer.generate miniature --run runs/miniature --out images --method ours
    python -m trainer.generate comfyui --server http://127.0.0.1:8188 --workflow mine.json --out images --method mine
    torchrun --nproc-per-node 4 -m trainer.generate sdxl --network network.safetensors --out images --method ours

An interrupted command continues when it is run again: pictures that exist are checked by their hash and kept. Run it
once for each method with the same --out: the manifest lists them all. --dry-run estimates time and disk space.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.core.command_line import status_of
from trainer.core.device import DEVICE_HELP
from trainer.core.processes import Processes
from trainer.core.rows import DataError
from trainer.painters.plan import (
    LEVELS,
    PLAIN,
    PROMPTS,
    estimate,
    grid,
    is_method_name,
    plan,
    read_prompts,
    read_rewritten,
    share,
)
from trainer.painters.settings import ComfyuiSettings, MiniatureSettings, PainterSettings, SdxlSettings

if TYPE_CHECKING:  # needs what --help should not
    from trainer.painters.draw import Job


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("python -m trainer.generate", description=__doc__, formatter_class=raw)
    commands = top.add_subparsers(required=True, metavar="painter")
    _add_sdxl(_command(commands, "sdxl", "through diffusers", _sdxl).add_argument)
    text = "with a run of trainer.miniature: its own held-out prompts"
    _add_miniature(_command(commands, "miniature", text, _miniature).add_argument)
    text = "through a running server, with a workflow of Workflow > Export (API)"
    _add_comfyui(_command(commands, "comfyui", text, _comfyui).add_argument)
    return top


def _add_sdxl(add) -> None:
    text = "diffusers folder, hub id or .safetensors (%(default)s)"
    add("--model", default=SdxlSettings.model, help=text)
    add("--network", type=Path, metavar="FILE", help="the emotion network")
    add("--size", type=int, default=SdxlSettings.size, help="pixels of a side (%(default)s)")
    add("--steps", type=int, default=SdxlSettings.steps, help="(%(default)s)")
    add("--guidance", type=float, default=SdxlSettings.guidance, help="guidance scale (%(default)s)")
    add("--strength", type=float, default=SdxlSettings.strength, help="of the emotion (%(default)s)")


def _add_miniature(add) -> None:
    add("--run", type=Path, default=Path("runs/miniature"), help="the run's folder (%(default)s)")
    add("--network", type=Path, metavar="FILE", help="the emotion network (default: the run's first)")
    add("--strength", type=float, default=MiniatureSettings.strength, help="of the emotion (%(default)s)")


def _add_comfyui(add) -> None:
    add("--server", default="http://127.0.0.1:8188", metavar="URL", help="(%(default)s)")
    text = "{prompt} stands where the prompt belongs"
    add("--workflow", type=Path, required=True, metavar="FILE", help=text)
    text = "seconds for one picture (%(default)s)"
    add("--timeout", type=float, default=ComfyuiSettings.timeout, help=text)


def _command(commands, name: str, text: str, settings) -> argparse.ArgumentParser:
    """A subcommand with the options that all three have; `settings` reads its own."""
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(settings=settings)
    add = command.add_argument
    add(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="gets the pictures of all methods that are compared",
    )
    _add_method(add)
    _add_asked(add)
    add("--batch", type=int, default=5, metavar="N", help="pictures drawn together (%(default)s)")
    add("--device", default="auto", help=DEVICE_HELP)
    add("--dry-run", action="store_true", help="only print how many pictures, how long and how large")
    return command


def _add_method(add) -> None:
    text = (
        "the method's name in the manifest; letters, digits, - and _ (ours; plain with --plain, rewriting with "
        "--rewritten)"
    )
    add("--method", help=text)
    text = "the prompts without emotion: one picture for each prompt and seed"
    add("--plain", action="store_true", help=text)
    text = (
        "draw each prompt in the words that this file has for each point, without an emotion network "
        "(python -m trainer.baselines rewrite)"
    )
    add("--rewritten", type=Path, metavar="FILE", help=text)


def _add_asked(add) -> None:
    text = "one a line (default: the protocol's 132)"
    add("--prompts", type=Path, default=PROMPTS, metavar="FILE", help=text)
    add("--limit", type=int, metavar="N", help="only the first N prompts")
    text = "of both axes: --levels=-3,-1.5,0,1.5,3"
    add("--levels", type=_levels, default=LEVELS, metavar="LIST", help=text)
    text = "pictures of every prompt and point (0)"
    add("--seeds", type=int, nargs="+", default=[0], metavar="N", help=text)


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


# ---- from options to a job -------------------------------------------------------------------------


def read_job(options: argparse.Namespace) -> Job:
    """Plans the pictures that the options ask for; no model is loaded yet.

    Raises:
        DataError: The options, prompts, networks or folders cannot be used.
    """
    from trainer.painters.draw import Job

    method = options.method or ("plain" if options.plain else "rewriting" if options.rewritten else "ours")
    check(options, method)
    painter, prompts = options.settings(options)
    points = PLAIN if options.plain else grid(options.levels)
    words = read_rewritten(options.rewritten) if options.rewritten else None
    tasks = plan(prompts, points, options.seeds, method, painter.as_json(), words)
    return Job(options.out, painter, tasks, options.batch, options.device)


def check(options: argparse.Namespace, method: str) -> None:
    """Raises DataError with everything that is wrong with the options."""
    problems = []
    if not is_method_name(method):
        problems.append(f"--method {method!r}: expected letters, digits, - and _")
    if method == "plain" and not options.plain:
        problems.append(
            "--method plain is the name of the prompts without emotion: give --plain or another name"
        )
    if options.rewritten and (options.plain or getattr(options, "network", None)):
        problems.append("--rewritten draws other words, without a network: leave out --plain and --network")
    if any(seed < 0 for seed in options.seeds) or len(set(options.seeds)) < len(options.seeds):
        problems.append(f"--seeds {options.seeds}: expected different numbers from 0")
    if options.batch < 1 or (options.limit is not None and options.limit < 1):
        problems.append("--batch and --limit must be at least 1")
    if options.settings is _sdxl:
        problems += _sdxl_problems(options)
    if problems:
        raise DataError("These options cannot be used:\n" + "\n".join(f"  {text}" for text in problems))


def _sdxl_problems(options: argparse.Namespace) -> list[str]:
    problems = []
    if not _without_network(options) and not options.network:
        problems.append(
            "give --network, the emotion network, --plain for the prompts without emotion, or --rewritten"
        )
    if options.size % 8:
        problems.append(f"--size {options.size}: expected a multiple of 8")
    if options.network and not options.network.is_file():
        problems.append(f"--network {options.network} does not exist")
    return problems


def _without_network(options: argparse.Namespace) -> bool:
    return options.plain or bool(options.rewritten)


def _sdxl(options: argparse.Namespace) -> tuple[PainterSettings, list[str]]:
    network = None if _without_network(options) else options.network
    settings = SdxlSettings(
        options.model, network, options.size, options.steps, options.guidance, options.strength
    )
    return settings, read_prompts(options.prompts, options.limit)


def _miniature(options: argparse.Namespace) -> tuple[PainterSettings, list[str]]:
    from trainer.miniature.held_out import default_network, held_out_prompts

    if options.prompts != PROMPTS:
        raise DataError("The miniature draws its own held-out prompts: leave out --prompts.")
    network = None if _without_network(options) else options.network or default_network(options.run)
    return MiniatureSettings(options.run, network, options.strength), held_out_prompts(options.limit)


def _comfyui(options: argparse.Namespace) -> tuple[PainterSettings, list[str]]:
    from trainer.painters.comfyui import read_workflow

    without = _without_network(options)
    workflow = read_workflow(options.workflow, without)
    prompts = read_prompts(options.prompts, options.limit)
    return ComfyuiSettings(options.server, workflow, without, options.timeout), prompts


# ---- the command -----------------------------------------------------------------------------------


def generate(options: argparse.Namespace) -> None:
    """Draws what is missing, and writes the manifest once all pictures are there."""
    from trainer.painters.draw import draw

    job, processes = read_job(options), Processes.launched()
    waiting = job.missing(processes)
    prompts, mine = len({task.number for task in job.tasks}), len(share(job.tasks, processes))
    print(
        f"{job.method}: {len(job.tasks):,} pictures of {prompts} prompts, "
        f"{len(waiting):,} of {mine:,} to be drawn here",
        flush=True,
    )
    if options.dry_run:
        seconds, size = job.store.measured(job.method)
        print(estimate(len(waiting), job.painter.pixels, seconds, size, job.painter.flops))
        return
    if waiting:
        draw(job, waiting, processes)
    if left := len(job.missing()):
        print(f"{left:,} pictures are left to the other processes; the last one writes the manifest")
        return
    manifest = job.store.merge(job.tasks)
    print(f"{manifest}: next, python -m trainer.evaluate {manifest} --help")


def main(arguments: list[str] | None = None) -> int:
    """Runs one painter; a user's mistake is told in one line, without a traceback."""
    options = parser().parse_args(arguments)
    return status_of(lambda: generate(options), "eval")


if __name__ == "__main__":
    sys.exit(main())
