"""What a run learns from: the table and its features, and the weights and directions that follow from them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emoticrafter.fit.density import fit_density
from emoticrafter.fit.loss import effective_size, pair_weights
from trainer.core.command_line import TrainingError
from trainer.core.rows import DataError
from trainer.data.findingemo import LICENCE as FINDINGEMO_LICENCE
from trainer.data.pairs import PairTable, load_table
from trainer.features.store import FeatureStore
from trainer.runs.directions import Directions, data_directions
from trainer.runs.settings import Settings


@dataclass
class Data:
    """A run's data; the training and validation rows are int64."""

    table: PairTable
    store: FeatureStore
    train: np.ndarray
    validation: np.ndarray
    weights: Tensor
    """float32 [len(table)], mean 1 over the training pairs."""
    directions: Directions
    summary: dict
    """What run.json and the network file say of the data."""


def read_data(settings: Settings, device: torch.device) -> Data:
    """Reads the table and the features, and works out what follows from them.

    Raises:
        TrainingError: They do not fit each other, are damaged, or one split is empty.
    """
    try:
        table = load_table(settings.data)
        store = FeatureStore(settings.data / "features", table)
        weights, weights_range = _weights(table, _train_density(table, settings), settings)
        train, validation = table.indexes("train"), table.indexes("validation")
        rank, seed = settings.preserve_rank, settings.seed
        directions = data_directions(store, train, table.valence, table.arousal, rank, seed, device)
    except (DataError, ValueError, OSError) as error:
        raise TrainingError(str(error)) from error
    summary = {
        "fingerprint": table.fingerprint(),
        "pairs": {"train": len(train), "validation": len(validation)},
        "sources": {name: table.source.count(name) for name in sorted(set(table.source))},
        "licences": _licences(table),
        "encoder": {"name": store.manifest["encoder_name"], "sha256": store.manifest["encoder"]},
        "features": {
            "dtype": str(store.dtype).removeprefix("torch."),
            "width": store.width,
            "bytes": store.nbytes,
        },
        "weights": weights_range,
    }
    return Data(table, store, train, validation, weights, directions, summary)


def _train_density(table: PairTable, settings: Settings) -> Tensor:
    """The density of the training pairs at every row of the table."""
    for split in ("train", "validation"):
        if not len(table.indexes(split)):
            raise ValueError(
                f"{settings.data} has no {split} pairs: make it with python -m trainer.prepare and a validation share "
                "such as 0.01."
            )
    train = table.indexes("train")
    density = fit_density(table.valence[train], table.arousal[train], settings.bandwidth)
    return torch.from_numpy(density(table.valence, table.arousal))


def _weights(table: PairTable, density: Tensor, settings: Settings) -> tuple[Tensor, dict]:
    train = torch.tensor([split == "train" for split in table.split])
    weights = pair_weights(density, train, settings.density_power, settings.weight_clip)
    quantiles = torch.quantile(
        weights[train], torch.tensor([0.0, 0.5, 0.99, 1.0], dtype=torch.float64)
    ).tolist()
    summary = dict(zip(("smallest", "median", "percentile_99", "largest"), quantiles, strict=True))
    summary |= {"effective_pairs": effective_size(weights[train]), "of": int(train.sum())}
    return weights.float(), summary


def _licences(table: PairTable) -> dict[str, str]:
    known = {"findingemo": FINDINGEMO_LICENCE}
    return {
        name: known.get(name.lower(), "not recorded: see its source") for name in sorted(set(table.source))
    }
