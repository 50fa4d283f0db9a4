"""The second miniature's emotion: the instant fit to pairs of captions such as the first one's network learns."""

from pathlib import Path

from torch import Tensor

from emoticrafter import save_network
from emoticrafter.fit.instant import Encoder, InstantFit
from emoticrafter.fit.pairs import Pair
from trainer.miniature.emotion import make_pairs
from trainer.miniature.flow import FlowText
from trainer.miniature.recipe import FlowRecipe

FAMILY = "Lumina 2"
AT_ONCE = 64


def fit_field(recipe: FlowRecipe, text: FlowText, out: Path) -> Path:
    """Fits a field to the pairs, unless there is one.

    Returns:
        Its file.
    """
    path = out / "network.safetensors"
    if not path.exists():
        pairs = make_pairs(recipe)
        known = encode_all(text, [*pairs.neutral, *pairs.emotional])
        encoder = Encoder(lambda prompt: (known[prompt], None), FAMILY, head=1, tail=0, window=None, padded=False)
        fitted = InstantFit(encoder)
        for row in zip(pairs.neutral, pairs.emotional, pairs.valence.tolist(), pairs.arousal.tolist(), strict=True):
            fitted.add(Pair(*row))
        save_network(fitted.field(), path, {"method": "instant", "pairs": fitted.pairs})
        (out / "finished").touch()
    return path


def encode_all(text: FlowText, prompts: list[str]) -> dict[str, Tensor]:
    """Features [T, D] of prompts, by prompt."""
    known = {}
    for start in range(0, len(prompts), AT_ONCE):
        some = prompts[start : start + AT_ONCE]
        features, mask = text(some)
        known |= {prompt: row[there] for prompt, row, there in zip(some, features, mask, strict=True)}
    return known
