"""A CLIP of ComfyUI as the fits see it: a function from text to features, and where the prompt lies in them.

Nothing of ComfyUI is imported: a CLIP is any object with its `tokenize`, `encode_from_tokens` and `cond_stage_model`.
"""

import torch
from torch import Tensor

from ..encoders import CLIP_WINDOW, common_ends, find_family
from ..quoting import quoted
from .instant import Encoder

UNLIKE = ("a stone bridge", "two old friends at a table", "rain over the fields and hills, late in autumn")
"""Prompts that begin and end with different words, and have different lengths."""


def make_encoder(clip) -> Encoder:
    """Describes a CLIP for a fit.

    Raises:
        ValueError: It gives no text features, so that nothing can be steered.
    """
    family = find_family(clip.cond_stage_model)

    def encode(text: str) -> tuple[Tensor, Tensor | None]:
        found = clip.encode_from_tokens(clip.tokenize(text), return_pooled=True, return_dict=True)
        features, mask = (found.get(name) if isinstance(found, dict) else None for name in ("cond", "attention_mask"))
        if not isinstance(features, Tensor) or features.ndim != 3 or not features.numel():
            raise ValueError(
                "This CLIP gives no text features that an emotion could be added to: its model reads the words itself."
            )
        window = family.window if family else None
        if mask is None:
            return features[0, :window], None
        if not isinstance(mask, Tensor) or mask.ndim != 2 or not len(mask) or mask.shape[1] != features.shape[1]:
            size = list(mask.shape) if isinstance(mask, Tensor) else quoted(mask)
            raise ValueError(
                f"This CLIP gives an attention mask of {size} with features of {list(features.shape)}: expected one "
                "number for each token."
            )
        return features[0, :window], mask[0, :window].to(features.device) != 0

    if family and family.padded:
        pads = not family.masked  # a mask leaves the padding out
        tokens = len(encode(UNLIKE[0])[0]) if pads else None
        return Encoder(encode, family.name, family.head, family.tail, family.window, pads, tokens)
    lengths = [len(encode(text)[0]) for text in UNLIKE]
    if not family and len(set(lengths)) == 1:
        window = CLIP_WINDOW if lengths[0] == CLIP_WINDOW else None
        return Encoder(encode, _kind(clip), 1, 0, window, True, lengths[0])
    ids = [_token_ids(clip, text) for text in UNLIKE]
    head, tail = common_ends(ids)
    # what an encoder cuts off before it hands its features on, it cuts from the beginning of a template
    cut = len(ids[0]) - lengths[0]
    return Encoder(encode, family.name if family else _kind(clip), max(head - cut, 0), tail, None, False)


def _kind(clip) -> str:
    return type(clip.cond_stage_model).__name__


def _token_ids(clip, text: str) -> list:
    try:
        [batch, *_] = clip.tokenize(text).values()  # of the first of its encoders
        return [token if isinstance(token, int) else "picture" for token, *_ in batch[0]]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"This {_kind(clip)} gives tokens that cannot be counted ({error}): use another CLIP."
        ) from error


@torch.no_grad()
def probe(encoder: Encoder) -> list[float]:
    """Sixteen numbers that change when the encoder does: the mean features of a text along fixed directions."""
    features, chosen = encoder(UNLIKE[0])
    mean = features[chosen].mean(0).cpu()
    directions = torch.randn(16, len(mean), generator=torch.Generator().manual_seed(0))
    return [round(number, 4) for number in (directions @ mean / len(mean) ** 0.5).tolist()]
