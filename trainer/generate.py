"""Draws the pictures of the evaluation: 132 prompts at 25 points of valence and arousal, with a manifest.

    python -m trainer.generate sdxl --network network.safetensors --out images --method ours
    python -m trainer.generate sdxl --plain --out images
    python -m trainer.generate sdxl --empty --network network.safetensors --out empty   # figure 5c
    python -m trainer.generate sdxl --rewritten rewritten.jsonl --out images
    python -m trainer.generate miniature --run runs/miniature --out images --method ours
    python -m trainer.generate comfyui --server http://127.0.0.1:8188 --workflow mine.json --out images --method mine
    python -m trainer.generate comfyui --workflow z_image.json --network z_image.safetensors --out images --method ours
    torchrun --nproc-per-node 4 -m trainer.generate sdxl --network network.safetensors --out images --method ours

An interrupted command continues when it is run again: pictures that exist are checked by their hash and kept. Run it
once for each method with the same --out: the manifest lists them all. --dry-run estimates time and disk space.
"""

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.core.command_line import status_of
from trainer.core.device import DEVICE_HELP
from trainer.core.processes import Processes
from trainer.core.prompts import read_prompts
from trainer.core.rows import DataError, refuse_options
from trainer.core.settings import option, read_commands
from trainer.painters.plan import (
    LEVELS,
    PLAIN,
    PROMPTS,
    estimate,
    grid,
    is_method_name,
    plan,
    read_levels,
    read_rewritten,
    share,
)
from trainer.painters.settings import ComfyuiSettings, MiniatureSettings, PainterSettings, SdxlSettings

if TYPE_CHECKING:  # needs what --help should not
    from trainer.painters.draw import Job


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is drawn; `painter` has the options of each painter's own."""

    out: Path = option("gets the pictures of all methods that are compared", metavar="FOLDER")
    method: str | None = option(
        "the method's name in the manifest; letters, digits, - and _ (ours; plain with --plain, rewriting with "
        "--rewritten)",
        None,
    )
    plain: bool = option("the prompts without emotion: one picture for each prompt and seed", False)
    rewritten: Path | None = option(
        "draw each prompt in the words that this file has for each point, without an emotion network "
        "(python -m trainer.baselines rewrite)",
        None,
        metavar="FILE",
    )
    prompts: Path = option("one a line (default: the protocol's 132)", PROMPTS, metavar="FILE")
    empty: bool = option("draw the empty prompt, emotion alone, in place of --prompts", False)
    limit: int | None = option("only the first N prompts", None, metavar="N")
    levels: tuple[float, ...] = option(
        "of both axes: --levels -3,-1.5,0,1.5,3", LEVELS, type=read_levels, metavar="LIST"
    )
    seeds: list[int] = option("pictures of every prompt and point (0)", [0], metavar="N")
    batch: int = option(
        "pictures of a prompt drawn together; other batches, other last bits (%(default)s)", 5, metavar="N"
    )
    device: str = option(DEVICE_HELP, "auto")
    dry_run: bool = option("only print how many pictures, how long and how large", False)
    painter: PainterSettings

    @property
    def name(self) -> str:
        """The method's."""
        return self.method or ("plain" if self.plain else "rewriting" if self.rewritten else "ours")

    @property
    def without_network(self) -> bool:
        return self.plain or bool(self.rewritten)

    def settings(self) -> PainterSettings:
        """The painter's, with the network that it draws with."""
        return replace(self.painter, network=None) if self.without_network else self.painter

    def texts(self) -> list[str]:
        """The prompts."""
        return [""] if self.empty else read_prompts(self.prompts, self.limit)

    def problems(self) -> list[str]:
        """Everything that is wrong with the options."""
        found = []
        if not is_method_name(self.name):
            found.append(f"--method {self.name!r}: expected letters, digits, - and _")
        if self.name == "plain" and not self.plain:
            found.append("--method plain is the name of the prompts without emotion: give --plain or another name")
        if self.rewritten and (self.plain or getattr(self.painter, "network", None)):
            found.append("--rewritten draws other words, without a network: leave out --plain and --network")
        if self.empty and (self.rewritten or self.prompts != PROMPTS):
            found.append("--empty draws the empty prompt alone: leave out --prompts and --rewritten")
        if any(seed < 0 for seed in self.seeds) or len(set(self.seeds)) < len(self.seeds):
            found.append(f"--seeds {self.seeds}: expected different numbers from 0")
        if self.batch < 1 or (self.limit is not None and self.limit < 1):
            found.append("--batch and --limit must be at least 1")
        return found


@dataclass(frozen=True, kw_only=True)
class Sdxl(Drawing):
    """Through diffusers."""

    painter: SdxlSettings

    def problems(self) -> list[str]:
        found, network = super().problems(), self.painter.network
        if not self.without_network and not network:
            found.append("give --network, the emotion network, --plain for the prompts without emotion, or --rewritten")
        if self.painter.size % 8:
            found.append(f"--size {self.painter.size}: expected a multiple of 8")
        if network and not network.is_file():
            found.append(f"--network {network} does not exist")
        return found


@dataclass(frozen=True, kw_only=True)
class Miniature(Drawing):
    """With a run of trainer.miniature: its own held-out prompts."""

    painter: MiniatureSettings

    def settings(self) -> PainterSettings:
        from trainer.miniature.held_out import best_network

        network = self.painter.network or best_network(self.painter.run)
        return replace(self.painter, network=None if self.without_network else network)

    def texts(self) -> list[str]:
        from trainer.miniature.held_out import held_out_prompts

        if self.prompts != PROMPTS:
            raise DataError("The miniature draws its own held-out prompts: leave out --prompts.")
        return [""] if self.empty else held_out_prompts(self.limit)


@dataclass(frozen=True, kw_only=True)
class Comfyui(Drawing):
    """Through a running server, with a workflow of Workflow > Export (API)."""

    painter: ComfyuiSettings

    def settings(self) -> PainterSettings:
        return replace(self.painter, plain=self.without_network)


def read_job(drawing: Drawing) -> "Job":
    """Plans the pictures that are asked for; no model is loaded yet.

    Raises:
        DataError: The options, prompts, networks or folders cannot be used.
    """
    from trainer.painters.draw import Job

    refuse_options(drawing.problems())
    painter, prompts = drawing.settings(), drawing.texts()
    points = PLAIN if drawing.plain else grid(drawing.levels)
    words = read_rewritten(drawing.rewritten) if drawing.rewritten else None
    tasks = plan(prompts, points, drawing.seeds, drawing.name, painter.as_json(), words)
    return Job(drawing.out, painter, tasks, drawing.batch, drawing.device)


def generate(drawing: Drawing) -> None:
    """Draws what is missing, and writes the manifest once all pictures are there."""
    from trainer.painters.draw import draw

    job, processes = read_job(drawing), Processes.launched()
    waiting = job.missing(processes)
    prompts, mine = len({task.number for task in job.tasks}), len(share(job.tasks, processes))
    print(
        f"{job.method}: {len(job.tasks):,} pictures of {prompts} prompts, "
        f"{len(waiting):,} of {mine:,} to be drawn here",
        flush=True,
    )
    if drawing.dry_run:
        seconds, size = job.store.measured(job.method)
        print(estimate(len(waiting), job.painter.pixels, seconds, size, job.painter.flops))
        return
    draw(job, waiting, processes)
    if left := len(job.missing()):
        print(f"{left:,} pictures are left to the other processes; the last one writes the manifest")
        return
    manifest = job.store.merge(job.tasks)
    print(f"{manifest}: next, python -m trainer.evaluate {manifest} --help")


def main(arguments: list[str] | None = None) -> int:
    """Runs one painter; a user's mistake is told in one line, without a traceback."""
    painters = {"sdxl": Sdxl, "miniature": Miniature, "comfyui": Comfyui}
    drawing = read_commands("trainer.generate", __doc__, painters, arguments, kind="painter")
    return status_of(partial(generate, drawing), "eval")


if __name__ == "__main__":
    sys.exit(main())
