"""A run's pairs: their features, their weights in the loss, and which of them each step sees.

All epochs' shuffled orders follow each other as one endless stream, and a step takes the next `batch` pairs of it. So
no pair is dropped at an epoch's end, every batch has the same size, and the step alone says where a run is.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emoticrafter.encoders import EncoderFacts
from emoticrafter.fit.contrast import Lesson
from emoticrafter.fit.loss import effective_size, pair_weights
from trainer.core.command_line import TrainingError
from trainer.core.processes import Processes
from trainer.core.rows import DataError
from trainer.data.card import licence_of
from trainer.data.density import training_density
from trainer.data.pairs import PairTable, load_table
from trainer.features.store import FeatureStore
from trainer.runs.directions import Directions, data_directions, measure_of, not_finite
from trainer.runs.encoder import encoder_facts
from trainer.runs.lessons import Lessons
from trainer.runs.settings import Settings

# --- pairs, features, weights ----------------------------------------------------------------------------------------


@dataclass
class Data:
    """The pairs of a run with their features; the training and validation rows are int64."""

    table: PairTable
    store: FeatureStore
    train: np.ndarray
    validation: np.ndarray
    weights: Tensor
    """float32 [len(table)], mean 1 over the training pairs."""
    directions: Directions
    summary: dict
    """A description of the data for run.json and the network's file."""
    encoder: EncoderFacts | None = None
    """What the network's file is to know of its encoder."""
    lessons: Lessons | None = None
    """What the pairs of that encoder teach."""


def read_data(settings: Settings, device: torch.device) -> Data:
    """Reads the table and the features, and works out weights and directions.

    Raises:
        TrainingError: They do not belong together, are damaged, or one split is empty.
    """
    try:
        table = load_table(settings.data)
        store = FeatureStore(settings.data / "features", table)
        if settings.check_features and Processes.launched().local_rank == 0:  # once a machine
            store.check_shards(progress=True)
        weights, weights_range = _weights(table, training_density(table, settings.bandwidth), settings)
        train, validation = table.indexes("train"), table.indexes("validation")
        if broken := store.not_finite(validation):
            raise ValueError(not_finite(broken[0]))
        lessons = Lessons(store, train, settings.added_tokens, settings.scale) if store.facts else None
        encoder = encoder_facts(store, train, settings.seed)
        measure = measure_of(encoder, lessons)
        read = lessons or (lambda rows: Lesson(store.neutral(rows), store.emotional(rows), None, None))
        directions = data_directions(
            read, train, table.valence, table.arousal, settings.preserve_rank, settings.seed, device, measure
        )
    except (DataError, ValueError, OSError) as error:
        raise TrainingError(str(error)) from error
    sources = sorted(set(table.source))
    summary = {
        "fingerprint": table.fingerprint(),
        "pairs": {"train": len(train), "validation": len(validation)},
        "sources": {name: table.source.count(name) for name in sources},
        "licences": {name: licence_of(name) for name in sources},
        "encoder": {"name": store.manifest["encoder_name"], "sha256": store.manifest["encoder"]},
        "features": {"dtype": str(store.dtype).removeprefix("torch."), "width": store.width, "bytes": store.nbytes},
        "weights": weights_range,
    }
    return Data(table, store, train, validation, weights, directions, summary, encoder, lessons)


def _weights(table: PairTable, density: Tensor, settings: Settings) -> tuple[Tensor, dict]:
    train = torch.tensor([split == "train" for split in table.split])
    weights = pair_weights(density, train, settings.density_power, settings.weight_clip)
    shares = {"smallest": 0.0, "median": 0.5, "percentile_99": 0.99, "largest": 1.0}
    summary = {name: weights[train].quantile(share).item() for name, share in shares.items()}
    summary |= {"effective_pairs": effective_size(weights[train]), "of": int(train.sum())}
    return weights.float(), summary


# --- the batch of a step ---------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """What `PairLoss` reads: features [B, T, D]; valence, arousal and the loss's weights, float32 [B]."""

    neutral: Tensor
    emotional: Tensor
    valence: Tensor
    arousal: Tensor
    weight: Tensor
    mask: Tensor | None = None
    """Tokens that count, [B, T]; None for all."""
    learned: Tensor | None = None
    """Tokens that have something to learn, [B, T]; None for all."""


def batch_indexes(pairs: np.ndarray, batch: int, step: int, seed: int) -> np.ndarray:
    """The table's rows that a step sees, all processes together.

    Args:
        pairs: The rows to train on, int64 [N].
        batch: Pairs a step; more than N is allowed.
        step: From 0.
        seed: Of the run.

    Returns:
        int64 [batch].
    """
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // len(pairs)
    chosen = [_order(seed, int(epoch), len(pairs))[places[epochs == epoch] % len(pairs)] for epoch in np.unique(epochs)]
    return pairs[np.concatenate(chosen)]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)


class Loader:
    """Gives the batches of one process: from a pool on the device, or mapped from disk one batch ahead."""

    def __init__(self, data: Data, device: torch.device, pool: bool):
        """
        Args:
            data: The pairs with their features and weights.
            device: The batches' device.
            pool: Holds all features on the device.
        """
        self.store, self.lessons, self.device = data.store, data.lessons, device
        axes = (torch.from_numpy(axis) for axis in (data.table.valence, data.table.arousal))
        self.numbers = torch.stack([*axes, data.weights])
        self.pool = data.store.pool(device) if pool else None
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" and not pool else None
        if pool:
            self.numbers = self.numbers.to(device)
            self.rows = torch.stack([data.store.neutral_rows, data.store.emotional_rows]).to(device)
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
            for tensor in filter(torch.is_tensor, batch):
                tensor.record_stream(current)
        return batch

    def _read(self, indexes: np.ndarray) -> tuple[Batch, torch.cuda.Event | None]:
        index = torch.from_numpy(indexes)
        if self.lessons is None:
            batch = Batch(self.store.neutral(index), self.store.emotional(index), *self.numbers[:, index])
        else:
            neutral, emotional, mask, learned = self.lessons(index)
            batch = Batch(neutral, emotional, *self.numbers[:, index], mask, learned)
        if self.stream is None:
            return batch, None
        # On a stream of its own, so that the copy runs beside the step before.
        with torch.cuda.stream(self.stream):
            moved = Batch(*(t if t is None else self._moved(t) for t in batch))
            ready = torch.cuda.Event()
            ready.record(self.stream)
        return moved, ready

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.contiguous().pin_memory().to(self.device, non_blocking=True)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


def fits_on_device(choice: str, store: FeatureStore, device: torch.device) -> bool:
    """Whether the features are held on the device: `choice` is auto, yes or no.

    Those of a known encoder never are: which of their tokens learn what is worked out while they are read.
    """
    if store.facts:
        return False
    if choice != "auto" or device.type != "cuda":
        return choice == "yes"
    free, _ = torch.cuda.mem_get_info(device)
    return store.nbytes < free / 2
