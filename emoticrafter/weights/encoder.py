"""What a file knows of its text encoder: a name in its metadata, and statistics of the features as tensors."""

import json

import torch
from torch import Tensor

from ..encoders import EncoderFacts
from ..quoting import quoted, shown
from .files import check_dtypes, read_object

MEAN, SCALE, FIRST = "encoder.mean", "encoder.scale", "encoder.first"
MOST_ENDS = 1000


def encoder_metadata(encoder: EncoderFacts | None) -> dict[str, str]:
    """What goes into the metadata, beside `encoder_tensors`; empty without an encoder."""
    if encoder is None:
        return {}
    return {"encoder": json.dumps({"family": encoder.family, "head": encoder.head, "tail": encoder.tail})}


def encoder_tensors(encoder: EncoderFacts | None) -> dict[str, Tensor]:
    """What goes into the file, beside the weights; empty without an encoder."""
    if encoder is None:
        return {}
    tensors = {MEAN: encoder.mean, SCALE: encoder.scale, FIRST: encoder.first}
    return {name: tensor.float() for name, tensor in tensors.items() if tensor is not None}


def take_encoder(metadata: dict[str, str], state: dict[str, Tensor], width: int, name: str) -> EncoderFacts | None:
    """Takes the statistics out of a file's tensors, so that the weights remain.

    Args:
        metadata: The file's.
        state: Its tensors; those of the encoder are removed.
        width: D, the width of the features that the file's weights read.
        name: The file's, for errors.

    Returns:
        What the file knows of its encoder, None where it knows nothing.

    Raises:
        ValueError: A name without statistics, or statistics of another width or that are not finite and positive.
    """
    if "encoder" not in metadata:
        return None
    mean, scale, first = (state.pop(key, None) for key in (MEAN, SCALE, FIRST))
    # copied, as a tensor that maps its file crashes whoever reads it once the file is overwritten
    check_dtypes({key: of for key, of in ((MEAN, mean), (SCALE, scale), (FIRST, first)) if of is not None}, name)
    mean, scale, first = (None if of is None else of.to(torch.float32, copy=True) for of in (mean, scale, first))
    for tensor in (mean, scale) if first is None else (mean, scale, first):
        if tensor is None or tensor.shape != (width,) or not torch.isfinite(tensor).all():
            raise ValueError(
                f"{name} lacks the statistics of its text encoder, or they cannot be used: expected "
                f"{MEAN} and {SCALE}, [{width}] each."
            )
    if not (scale > 0).all():
        raise ValueError(f"{SCALE} in {name} holds numbers that are not positive: the file cannot be used.")
    try:
        told = read_object(metadata["encoder"])
        ends = _ends(told["head"], told["tail"])
        return EncoderFacts(shown(str(told["family"])), mean, scale, *ends, first)
    except (KeyError, ValueError, RecursionError) as error:
        why = shown(str(error))
        raise ValueError(f"{name} describes its text encoder in a way that cannot be read: {why}.") from error


def _ends(*numbers: object) -> tuple[int, ...]:
    """The tokens before and after a prompt, checked."""
    for number in numbers:
        if type(number) is not int or not 0 <= number <= MOST_ENDS:
            raise ValueError(f"expected 0 to {MOST_ENDS} tokens before and after the prompt, got {quoted(number)}")
    return numbers
