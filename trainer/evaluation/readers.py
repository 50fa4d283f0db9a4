"""Readers: images in, valence and arousal out. What an evaluation says is worth as much as its reader.

    reader = load_va_reader("reader.safetensors", backbone="openai/clip-vit-base-patch32")
    reader.read([pixels, ...])      # [B, 2] in [-3, 3]

The file formats are the library's (emoticrafter/readers.py): heads on an image model's features, in the published form
(width -> 1, sigmoid, times 6 minus 3), and the miniature's reader.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from emoticrafter.research.readers import ClipHeads, Reader, load_emotion_reader
from emoticrafter.va import VA_MAX, VA_MIN
from trainer.core.pictures import Pixels
from trainer.core.rows import DataError
from trainer.evaluation.backbones import CLIP_BASE, Backbone, load_backbone, state_sha256
from trainer.evaluation.scoring import Measure

COLUMNS = ("valence", "arousal")


class VAReader(Protocol):
    """Anything that reads valence and arousal off images.

    Attributes:
        name: What it is, for people.
        fingerprint: Changes with its answers: kept readings of another fingerprint are not used.
        failures: Why images were left unread; whoever tells them takes them out.
    """

    name: str
    fingerprint: str
    failures: list[str]

    def read(self, pictures: list[Pixels]) -> Iterable[np.ndarray]:
        """[B, 2] in [-3, 3], perhaps row by row; NaN for an image that it has no answer to."""


def reading(reader: VAReader) -> Measure:
    """The measure of a reader."""

    def run(pictures: list[Pixels], prompts: list[str]) -> Iterable[np.ndarray]:
        return reader.read(pictures)

    return Measure(f"reader {reader.fingerprint}", COLUMNS, run, failures=reader.failures)


class HeadsReader:
    """Linear heads on a frozen image model."""

    def __init__(self, backbone: Backbone, heads: ClipHeads):
        if heads.width != backbone.width:
            raise DataError(
                f"The reader's heads expect features {heads.width} wide (of {heads.features}), and {backbone.name} "
                f"gives {backbone.width}: give --backbone {heads.features}."
            )
        self.backbone, self.heads, self.failures = backbone, heads.to(backbone.device), []
        self.name = f"linear heads on {backbone.name}"
        self.fingerprint = f"{backbone.fingerprint}-{state_sha256(heads.state_dict())}"

    @torch.no_grad()
    def read(self, pictures: list[Pixels]) -> np.ndarray:
        return self.heads(self.backbone.images(pictures)).cpu().numpy()


class MiniatureReader:
    """The miniature's small convolutional network: for the miniature's pictures only."""

    name = "the miniature's own reader"

    def __init__(self, network: Reader, device: str = "cpu"):
        self.network, self.device, self.failures = network.to(device), device, []
        self.fingerprint = state_sha256(network.state_dict())

    @torch.no_grad()
    def read(self, pictures: list[Pixels]) -> np.ndarray:
        found = [self.network(batch) for batch in same_sizes(pictures, self.device)]
        return torch.cat(found).clamp(VA_MIN, VA_MAX).cpu().numpy()


def same_sizes(pictures: list[Pixels], device: str):
    """Pictures in order as float batches [B, 3, H, W] in [0, 1]; a batch ends where the size changes."""
    start = 0
    for stop in range(1, len(pictures) + 1):
        if stop == len(pictures) or pictures[stop].shape != pictures[start].shape:
            batch = torch.from_numpy(np.stack(pictures[start:stop])).to(device)
            yield batch.permute(0, 3, 1, 2).float() / 255
            start = stop


def load_va_reader(path: str | Path, backbone: str | None = None, device: str = "cpu") -> VAReader:
    """A reader from its file.

    Args:
        path: Heads (.safetensors of `fit-reader`, or published ones as .pth), or a miniature's reader.
        backbone: The model whose features the heads read; by default the one that the file names.
        device: Where to run.

    Raises:
        DataError: a file or model is not there, or they do not go together.
    """
    try:
        found = load_emotion_reader(path)
    except (FileNotFoundError, ValueError) as error:
        raise DataError(
            f"{error} A reader is made by `python -m trainer.evaluate fit-reader`; the miniature's is "
            "readers/emotion.safetensors in its run."
        ) from error
    if isinstance(found, Reader):
        return MiniatureReader(found, device)
    named = found.features if "/" in found.features or Path(found.features).exists() else CLIP_BASE
    return HeadsReader(load_backbone(backbone or named, device), found)
