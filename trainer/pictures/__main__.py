"""Lets a fitted emotion network learn from pictures, through a frozen model (see trainer/pictures/stage.py).

python -m trainer.pictures --miniature runs/miniature --network NETWORK --teacher words --out runs/words-0
python -m trainer.pictures --miniature runs/miniature --network NETWORK --teacher labels --out runs/labels-0
python -m trainer.pictures --miniature runs/miniature --network NETWORK --teacher reader --out runs/reader-0
python -m trainer.pictures --sdxl sdxl --manifest rated/manifest.jsonl --network NETWORK --teacher labels --out runs/a
python -m trainer.pictures --sdxl sdxl --manifest plain/manifest.jsonl --pairs data --network NETWORK --out runs/b

On four GPUs, torchrun --nproc-per-node 4 -m takes the place of python -m. An interrupted command goes on where it
stopped when it is run again. It writes an emotion network like any other.
"""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.core.command_line import quiet, status_of
from trainer.core.device import DEVICE_HELP, PRECISIONS, Machine
from trainer.core.processes import Processes, said_once
from trainer.core.settings import count, option, read_command
from trainer.pictures.settings import Settings, Source

if TYPE_CHECKING:
    from trainer.pictures.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Command:
    """Let an emotion network learn from pictures."""

    source: Source
    network: Path = option("the fitted emotion network, or field, that it begins with", metavar="FILE")
    pairs: Path | None = option(
        "with --sdxl and --teacher words: pairs of prompts, whose neutral ones the pictures show", None, metavar="FILE"
    )
    out: Path = option("the folder of this run")
    device: str = option(DEVICE_HELP, "auto")
    precision: str = option("(%(default)s)", "auto", choices=PRECISIONS)
    accumulate: int = option(
        "parts that a process computes its share of the batch in, to save memory (%(default)s)", 1, type=count
    )
    gradient_checkpointing: bool = option("with --sdxl: compute the UNet's insides twice, to save memory", False)
    settings: Settings = option("of a new run; one that was begun has to keep its own", group="settings")

    def __post_init__(self):
        words = self.settings.teacher == "words"
        if bool(self.pairs) != bool(self.source.sdxl and words):
            raise ValueError(
                "--pairs goes with --sdxl and --teacher words, which needs them: the prompts that teach. The "
                "miniature has captions of its own, and --teacher labels needs none."
            )
        if self.source.sdxl and self.settings.teacher == "reader":
            raise ValueError("--teacher reader goes with --miniature: its reader knows no other pictures.")
        if wrong := Processes.launched().wrong_shares(self.settings.batch, self.accumulate):
            raise ValueError(f"{wrong}.")

    def run(self) -> None:
        from trainer.core.lock import alone
        from trainer.pictures.stage import train

        quiet()
        processes = Processes.launched()
        machine = Machine.find(self.device, self.precision, processes=processes)
        with processes.met(machine.device), contextlib.ExitStack() as stack:
            with processes.first_before():  # it paints and encodes
                if processes.first:
                    stack.enter_context(alone(self.out))
                stage = self._stage(machine)
            train(self.settings, stage, self.out, machine, self.accumulate, processes)

    def _stage(self, machine: Machine) -> "Stage":
        from trainer.pictures.loading import from_run, from_sdxl

        source, settings = self.source, self.settings
        if source.miniature:
            return from_run(source.miniature, self.network, settings.teacher, machine, settings.contrary_share)
        more = (self.gradient_checkpointing, settings.contrary_share)
        return from_sdxl(source, self.network, self.pairs, self.out, machine, *more)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; everything that a user can put right is said in a line, without a traceback."""
    # The settings refuse what is out of range as soon as they are read.
    return status_of(
        lambda: said_once(lambda: read_command("trainer.pictures", __doc__, Command, arguments).run()),
        "train,miniature",
        RuntimeError,
    )


if __name__ == "__main__":
    sys.exit(main())
