"""Trains the emotion network on a data folder.

    python -m trainer.train --data data --out runs/paper
    torchrun --nproc-per-node 4 -m trainer.train --data data --out runs/paper

The run's folder then holds network.safetensors (the best by validation loss, for the ComfyUI nodes), last.safetensors
(the checkpoint), metrics.jsonl, run.json, sensitivity.json, TensorBoard's events and in the end finished. A run that
was stopped goes on exactly with --resume.

Source: Dang et al., ICCV 2025, arXiv 2501.05710, section 3.
"""

import sys

from trainer.core.command_line import status_of
from trainer.core.processes import said_once
from trainer.core.settings import numbers_of, read_command
from trainer.runs.settings import Settings


def read(arguments: list[str] | None = None) -> tuple[Settings, list[str]]:
    """Reads the command line.

    Returns:
        The settings, and what could not be read as a number, to be told together with everything else that is wrong.
    """
    return numbers_of(read_command("trainer.train", __doc__, Settings, arguments))


def main(arguments: list[str] | None = None) -> int:
    """Trains; everything that a user can put right is said in a line, without a traceback."""
    settings, unread = read(arguments)

    def run() -> None:
        from trainer.runs.train import train

        train(settings, unread=unread)

    return status_of(lambda: said_once(run), "train")


if __name__ == "__main__":
    sys.exit(main())
