"""The density of a table's training pairs, or why no network can be trained on them."""

from typing import TYPE_CHECKING

from trainer.data.pairs import PairTable

if TYPE_CHECKING:  # needs what a command's help should not
    from torch import Tensor

PURPOSES = {"train": "training", "validation": "validation"}
NEEDED = "pairs of two or more neutral prompts and a --validation share such as 0.01, or a split column with both"


def training_density(table: PairTable, bandwidth: str) -> "Tensor":
    """The density of the training pairs at every row of the table, positive float64 [N].

    `trainer.prepare` asks for it, too: what training would refuse is not encoded first.

    Raises:
        ValueError: A split is empty, the training pairs' valences and arousals do not span the plane, or a pair lies so
            far from them that its density is 0.
    """
    import torch

    from emoticrafter.fit.density import fit_density

    for split in PURPOSES:
        if not len(table.indexes(split)):
            raise ValueError(f"None of the {len(table)} pairs is for {PURPOSES[split]}: training needs {NEEDED}.")
    train = table.indexes("train")
    fitted = fit_density(table.valence[train], table.arousal[train], bandwidth)
    density = torch.from_numpy(fitted(table.valence, table.arousal))
    if not (density > 0).all():
        row = int((density <= 0).nonzero()[0])
        raise ValueError(
            f"Row {row} of the table ({table.valence[row]:+.2f}, {table.arousal[row]:+.2f}) is so far from all training"
            " pairs that it would have no weight: leave it out, or add pairs near it."
        )
    return density
