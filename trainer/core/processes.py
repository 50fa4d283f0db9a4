"""The processes that work together: as torchrun or accelerate started them, or started by one of the commands.

Those that train together meet (`Processes.met`), exchange gradients (`shared`) and tell each other what all have to
know (`tell`). The first one writes files and speaks for all (`said_once`).
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.core.command_line import TrainingError

if TYPE_CHECKING:
    import torch
    import torch.distributed as dist
    from torch import nn

FAILED = -1
"""What the first process tells the others when it cannot go on; no signal has this number."""
PATIENCE = 30.0
"""Seconds that a process which failed leaves the first one to say the same, and torchrun to end all."""


class FirstFailed(TrainingError):
    """The first process of several cannot go on, and says why itself."""


class LostProcess(TrainingError):
    """Another process is gone."""


class Together(KeyboardInterrupt):
    """All processes stop at the same step."""


@dataclass
class Processes:
    """Which of how many processes this is.

    Attributes:
        group: The way by which they tell each other, once they have met.
    """

    count: int = 1
    rank: int = 0
    local_rank: int = 0
    group: "dist.ProcessGroup | None" = None

    @classmethod
    def launched(cls) -> "Processes":
        """What torchrun says in the environment; one process without it."""
        said = os.environ.get
        return cls(int(said("WORLD_SIZE", 1)), int(said("RANK", 0)), int(said("LOCAL_RANK", 0)))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wrong_shares(self, batch: int, accumulate: int) -> str:
        """Says why a batch cannot be shared out, in so many parts each; "" where it can."""
        parts = self.count * accumulate
        if parts <= 0 or batch % parts == 0:
            return ""
        near = max(parts, round(batch / parts) * parts)
        return (
            f"--batch is {batch}, which {self.count} process{'es' if self.count > 1 else ''} with --accumulate "
            f"{accumulate} cannot share: expected a multiple of {parts}, such as {near}"
        )

    # --- together ----------------------------------------------------------------------------------------------------

    @contextmanager
    def met(self, device: "torch.device") -> Iterator[None]:
        """All processes meet, and part when they are done or stop together; after anything else they just end.

        Raises:
            LostProcess: Another one is gone.
        """
        try:
            if self.count > 1:
                self._meet(device)
            yield
        except Together:
            self._part()
            raise
        except RuntimeError as error:
            if self.count > 1 and is_lost_process(error):
                raise self.lost_process("before the first step") from error
            raise
        self._part()

    def _meet(self, device: "torch.device") -> None:
        import torch
        import torch.distributed as dist

        if device.type not in ("cpu", "cuda"):
            raise TrainingError(
                f"--device is {device.type}: expected cpu or cuda, on which several processes can train."
            )
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=30))
        # By the processors, so that no step waits for a GPU; for hours, because the first one may be painting.
        self.group = dist.new_group(backend="gloo", timeout=timedelta(days=1))

    def _part(self) -> None:
        import torch.distributed as dist

        if self.group is not None:
            self.group = None
            dist.destroy_process_group()

    def shared(self, module: "nn.Module") -> "nn.Module":
        """The module, with its gradients the mean over the processes, which have met; alone the module itself."""
        if self.count == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module, broadcast_buffers=False)

    def tell(self, number: int = 0) -> list[int]:
        """Tells all processes a number; waits for theirs, and gives those of all, by rank.

        Raises:
            FirstFailed: In the others, where the first one told FAILED.
        """
        if self.count == 1:
            return [number]
        import torch
        import torch.distributed as dist

        told = torch.zeros(self.count, dtype=torch.int32)
        told[self.rank] = number
        dist.all_reduce(told, group=self.group)
        if told[0] == FAILED and not self.first:
            raise FirstFailed(f"Process {self.rank} ends because the first one could not go on.")
        return told.tolist()

    def tell_failed(self) -> None:
        """The first process tells the others that it cannot go on, if they are still there."""
        with contextlib.suppress(RuntimeError):
            self.tell(FAILED)

    @contextmanager
    def first_before(self) -> Iterator[None]:
        """The first process does what the block does before the others do, which then find the files it made.

        Raises:
            FirstFailed: In the others, if the first could not.
        """
        if not self.first:
            self.tell()
            yield
            return
        try:
            yield
        except BaseException:
            self.tell_failed()
            raise
        self.tell()

    def lost_process(self, when: str, kept: str = "") -> LostProcess:
        """The error for a process whose peer is gone; `kept` is a sentence about the checkpoint."""
        return LostProcess(
            f"Process {self.rank} lost another one {when}: it was killed or its machine is gone; look above for its "
            f"own message. {kept}".rstrip()
        )


def is_lost_process(error: RuntimeError) -> bool:
    from torch.distributed import DistError

    words = ("Connection closed by peer", "Connection reset", "Broken pipe", "Gloo")
    return isinstance(error, DistError) or any(word in str(error) for word in words)


def said_once(command: Callable[[], None]) -> None:
    """Runs a command of which this may be one of several processes: all of them are heard as one.

    What goes wrong is mostly found by all. The first one says it, and torchrun, which ends all as soon as one has
    failed, ends the others, which wait for that. What only another one finds, it says after a while.
    """
    if Processes.launched().first:
        return command()
    try:
        with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
            command()
    except Together:
        pass  # the first one's message and status are everybody's
    except LostProcess:
        raise
    except (Exception, KeyboardInterrupt):
        try:
            time.sleep(PATIENCE)
        except KeyboardInterrupt:
            sys.exit(1)
        raise


# --- started by a command --------------------------------------------------------------------------------------------


def begin_worker() -> None:
    """Sets up a process that another one started: it ends when its parent ends, in any way, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes at once
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
