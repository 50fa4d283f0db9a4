"""The second miniature's emotion: the instant fit to the same pairs of captions that the first one's network learns."""

from pathlib import Path

from emoticrafter import save_network
from emoticrafter.fit.instant import Encoder, InstantFit
from emoticrafter.fit.pairs import Pair
from trainer.miniature.emotion import make_pairs
from trainer.miniature.flow import FlowText
from trainer.miniature.recipe import FlowRecipe

FAMILY = "Lumina 2"


def fit_field(recipe: FlowRecipe, text: FlowText, out: Path) -> Path:
    """Fits a field to the pairs, unless there is one.

    Returns:
        Its file.
    """
    path = out / "network.safetensors"
    if not path.exists():

        def encode(prompt: str):
            [features], [mask] = text([prompt])
            return features, mask

        fitted = InstantFit(Encoder(encode, FAMILY, head=1, tail=0, window=None, padded=False))
        pairs = make_pairs(recipe)
        for row in zip(pairs.neutral, pairs.emotional, pairs.valence.tolist(), pairs.arousal.tolist(), strict=True):
            fitted.add(Pair(*row))
        save_network(fitted.field(), path, {"method": "instant", "pairs": fitted.pairs})
        (out / "finished").touch()
    return path
