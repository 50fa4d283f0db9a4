"""The processes that work together, as torchrun or accelerate started them."""

import os
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
