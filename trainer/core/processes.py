"""The processes that work together: as torchrun or accelerate started them, or started by one of the commands."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is."""

    count: int = 1
    rank: int = 0
    local_rank: int = 0

    @classmethod
    def launched(cls) -> "Processes":
        """What torchrun says in the environment; one process without it."""
        said = os.environ.get
        return cls(int(said("WORLD_SIZE", 1)), int(said("RANK", 0)), int(said("LOCAL_RANK", 0)))

    @property
    def first(self) -> bool:
        return self.rank == 0


def begin_worker() -> None:
    """Sets up a process that another one started: it ends when its parent ends, in any way, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes at once
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
