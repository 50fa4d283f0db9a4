"""Which pairs each step sees, and their features on the device.

All epochs' shuffled orders follow each other as one endless stream, and a step takes the next `batch` pairs of it. So
no pair is dropped at an epoch's end, every batch has the same size, and the step alone says where a run is.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.data.pairs import PairTable
from trainer.features.store import FeatureStore


class Batch(NamedTuple):
    """Features [B, T, D] in the stored dtype; valence, arousal and the loss's weights, float32 [B]."""

    neutral: Tensor
    emotional: Tensor
    valence: Tensor
    arousal: Tensor
    weight: Tensor


def batch_indexes(pairs: np.ndarray, batch: int, step: int, seed: int) -> np.ndarray:
    """The table's rows that a step sees, all processes together.

    Args:
        pairs: The rows to train on, int64 [N].
        batch: How many a step takes; more than N is allowed.
        step: From 0.
        seed: Of the run.

    Returns:
        int64 [batch].
    """
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // len(pairs)
    chosen = [
        _order(seed, int(epoch), len(pairs))[places[epochs == epoch] % len(pairs)]
        for epoch in np.unique(epochs)
    ]
    return pairs[np.concatenate(chosen)]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)


class Loader:
    """Gives the batches of one process: from a pool on the device, or mapped from disk one batch ahead."""

    def __init__(
        self, table: PairTable, store: FeatureStore, weights: Tensor, device: torch.device, pool: bool
    ):
        """
        Args:
            table: The pairs.
            store: Their features.
            weights: Of every row of the table, float32 [len(table)].
            device: Where the batches go.
            pool: Holds all features on the device.
        """
        self.store, self.device = store, device
        self.numbers = torch.stack(
            [torch.from_numpy(table.valence), torch.from_numpy(table.arousal), weights]
        )
        self.pool = store.pool(device) if pool else None
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" and not pool else None
        if pool:
            self.numbers = self.numbers.to(device)
            self.rows = torch.stack([store.neutral_rows, store.emotional_rows]).to(device)
        self._thread = ThreadPoolExecutor(1, "features")
        self._ahead: tuple[bytes, Future] | None = None

    def load(self, indexes: np.ndarray, following: np.ndarray | None = None) -> Batch:
        """The batch of some rows of the table.

        Args:
            indexes: int64 [B].
            following: The rows that will be asked for next; they are read meanwhile.
        """
        if self.pool is not None:
            index = torch.from_numpy(indexes).to(self.device, non_blocking=True)
            neutral, emotional = self.pool[self.rows[:, index]]
            return Batch(neutral, emotional, *self.numbers[:, index])
        ahead, self._ahead = self._ahead, None
        asked = indexes.tobytes()
        future = ahead[1] if ahead and ahead[0] == asked else self._thread.submit(self._read, indexes)
        if following is not None:
            self._ahead = (following.tobytes(), self._thread.submit(self._read, following))
        batch, ready = future.result()
        if ready is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(ready)
            for tensor in batch:
                tensor.record_stream(current)
        return batch

    def _read(self, indexes: np.ndarray) -> tuple[Batch, torch.cuda.Event | None]:
        index = torch.from_numpy(indexes)
        batch = Batch(self.store.neutral(index), self.store.emotional(index), *self.numbers[:, index])
        if self.stream is None:
            return batch, None
        # On a stream of its own, so that the copy runs beside the step before.
        with torch.cuda.stream(self.stream):
            moved = Batch(*(t.contiguous().pin_memory().to(self.device, non_blocking=True) for t in batch))
            ready = torch.cuda.Event()
            ready.record(self.stream)
        return moved, ready

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


def fits_on_device(choice: str, store: FeatureStore, device: torch.device) -> bool:
    """Whether the features are held on the device: `choice` is auto, yes or no."""
    if choice != "auto" or device.type != "cuda":
        return choice == "yes"
    free, _ = torch.cuda.mem_get_info(device)
    return store.nbytes < free / 2
