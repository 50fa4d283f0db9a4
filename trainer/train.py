"""Trains the emotion network on a data folder.

    python -m trainer.train --data data --out runs/paper
    torchrun --nproc-per-node 4 -m trainer.train --data data --out runs/paper

The run's folder then holds network.safetensors (the best by validation loss, for the ComfyUI nodes), last.safetensors
(the checkpoint), metrics.jsonl, run.json, sensitivity.json, TensorBoard's events and in the end finished. A run that
was stopped goes on exactly with --resume.

Source: Dang et al., ICCV 2025, arXiv 2501.05710, section 3.
"""

import contextlib
import sys
import time

from trainer.core.command_line import TrainingError, status_of
from trainer.core.processes import Processes
from trainer.core.settings import numbers_of, read_command
from trainer.runs.settings import Settings


def read(arguments: list[str] | None = None) -> tuple[Settings, list[str]]:
    """Reads the command line.

    Returns:
        The settings, and what could not be read as a number, to be told together with everything else that is wrong.
    """
    return numbers_of(read_command("trainer.train", __doc__, Settings, arguments))


def _train(settings: Settings, unread: list[str]) -> int:
    import torch.distributed as dist

    from trainer.runs.run import FirstFailed, Together
    from trainer.runs.train import train

    rank = Processes.launched().rank
    try:
        train(settings, unread=unread)
    except Together:
        # All have stopped; the first one's message and status are everybody's.
        if rank == 0:
            raise
    except KeyboardInterrupt as error:
        if rank == 0 or dist.is_initialized():
            raise
        raise KeyboardInterrupt(f"Process {rank} was interrupted before the first step.") from error
    except TrainingError as error:
        # Until the processes have met, all find the same, and the first says it. torchrun ends all of them as soon as
        # one has failed, so the others wait to be ended.
        if rank == 0 or (dist.is_initialized() and not isinstance(error, FirstFailed)):
            raise
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(30)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Trains; everything that a user can put right is said in a line, without a traceback."""
    settings, unread = read(arguments)
    return status_of(lambda: _train(settings, unread), "train")


if __name__ == "__main__":
    sys.exit(main())
