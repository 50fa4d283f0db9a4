"""Readers: images in, valence and arousal out. An evaluation is worth as much as its reader.

    reader = load_va_reader("reader.safetensors", backbone="openai/clip-vit-base-patch32")
    reader.read([pixels, ...])      # [B, 2] in [-3, 3]

A reader is linear heads on the features of a frozen image model (CLIP or DINOv2), or the miniature's small network. Its
file format is the library's (emoticrafter/research/readers.py).

Shapes: B images, W features.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer, CLIPModel

from emoticrafter.research.readers import ClipHeads, Reader, load_emotion_reader
from emoticrafter.va import VA_MAX, VA_MIN
from trainer.core.pictures import Pixels
from trainer.core.rows import DataError

KINDS = ("clip", "dinov2", "dinov2_with_registers")
"""The model types of transformers that can be a backbone."""
CLIP_BASE = "openai/clip-vit-base-patch32"
Device = str | torch.device


# ---- image models ----------------------------------------------------------------------------------


class Backbone:
    """A frozen image model; a CLIP has features of texts, too.

    Attributes:
        name: The folder or hub id that it was loaded from.
        kind: One of KINDS.
        fingerprint: 16 hex digits over its weights.
        width: W.
    """

    def __init__(self, name: str, model: nn.Module, processor, tokenizer, device: torch.device):
        self.name, self.kind, self.device = name, model.config.model_type, device
        self.model, self.processor, self.tokenizer = model, processor, tokenizer
        self.width = model.config.projection_dim if self.kind == "clip" else model.config.hidden_size
        self.fingerprint = state_sha256(model.state_dict())
        model.to(device)

    @torch.no_grad()
    def images(self, pictures: list[Pixels]) -> Tensor:
        """Features of B images, float32 [B, W], not normalised: CLIP's projected ones, DINOv2's of the whole image."""
        pixels = self.processor(images=pictures, input_data_format="channels_last", return_tensors="pt")
        pixels = pixels["pixel_values"].to(self.device)
        if self.kind == "clip":
            # Not get_image_features: it gives a tensor in transformers 4 and an object in 5.
            return self.model.visual_projection(self.model.vision_model(pixels).pooler_output).float()
        return self.model(pixels).pooler_output.float()

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Tensor:
        """A CLIP's features of B texts, float32 [B, W]; texts are cut where the model's positions end."""
        longest = self.model.config.text_config.max_position_embeddings
        asked = {"padding": True, "truncation": True, "max_length": longest, "return_tensors": "pt"}
        tokens = self.tokenizer(texts, **asked).to(self.device)
        hidden = self.model.text_model(tokens["input_ids"], tokens["attention_mask"]).pooler_output
        return self.model.text_projection(hidden).float()


@cache
def load_backbone(source: str, device: Device = "cpu") -> Backbone:
    """Loads a model once for everything that uses it.

    Args:
        source: A folder as transformers saves it (config.json, model.safetensors, preprocessor_config.json and, for a
            CLIP, the tokenizer's files), or an id on the hub.
        device: Where to run.

    Raises:
        DataError: The model is missing, cannot be downloaded, or is of another kind; the message says what to get.
    """
    try:
        config = AutoConfig.from_pretrained(source)
        if config.model_type not in KINDS:
            raise DataError(f"{source} is a {config.model_type} model; expected one of {', '.join(KINDS)}.")
        kind = CLIPModel if config.model_type == "clip" else AutoModel
        model = kind.from_pretrained(source, dtype=torch.float32)
        processor = AutoImageProcessor.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source) if config.model_type == "clip" else None
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(_advice(source, error)) from error
    return Backbone(source, model.eval().requires_grad_(False), processor, tokenizer, torch.device(device))


def _advice(source: str, error: Exception) -> str:
    why = str(error).strip().split("\n")[0][:200]
    if Path(source).exists():
        return (
            f"{source} is not a complete model: expected the folder of a CLIP or a DINOv2 with config.json, "
            f"model.safetensors, preprocessor_config.json and, for a CLIP, its tokenizer's files. ({why})"
        )
    return (
        f"The model {source} is not on this machine and could not be downloaded from the Hugging Face hub. Check the "
        f"id and the connection; if this machine has none, run `hf download {source} --local-dir DIR` on another and "
        f"give the folder DIR. ({why})"
    )


def state_sha256(state: dict[str, Tensor]) -> str:
    """16 hex digits over names and numbers, the same for any file format and dtype."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


# ---- readers ---------------------------------------------------------------------------------------


class VAReader(Protocol):
    """Anything that reads valence and arousal off images.

    Attributes:
        name: How reports call it.
        fingerprint: Changes with its answers: kept readings of another fingerprint are not used.
        failures: Why images were left unread; the caller reports them and clears the list.
    """

    name: str
    fingerprint: str
    failures: list[str]

    def read(self, pictures: list[Pixels]) -> Iterable[np.ndarray]:
        """[B, 2] in [-3, 3], perhaps row by row; NaN for an image that it cannot read."""


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

    def __init__(self, network: Reader, device: Device = "cpu"):
        self.network, self.device, self.failures = network.to(device), device, []
        self.fingerprint = state_sha256(network.state_dict())

    @torch.no_grad()
    def read(self, pictures: list[Pixels]) -> np.ndarray:
        found = [self.network(batch) for batch in same_sizes(pictures, self.device)]
        return torch.cat(found).clamp(VA_MIN, VA_MAX).cpu().numpy()


def same_sizes(pictures: list[Pixels], device: Device) -> Iterator[Tensor]:
    """Pictures in order as float batches [B, 3, H, W] in [0, 1]; a batch ends where the size changes."""
    start = 0
    for stop in range(1, len(pictures) + 1):
        if stop == len(pictures) or pictures[stop].shape != pictures[start].shape:
            batch = torch.from_numpy(np.stack(pictures[start:stop])).to(device)
            yield batch.permute(0, 3, 1, 2).float() / 255
            start = stop


def load_va_reader(path: str | Path, backbone: str | None = None, device: Device = "cpu") -> VAReader:
    """Loads a reader.

    Args:
        path: Heads (.safetensors of `fit-reader`, or published ones as .pth), or a miniature's reader.
        backbone: The model whose features the heads read; by default the one that the file names.
        device: Where to run.

    Raises:
        DataError: A file or model is missing, or they do not fit together.
    """
    try:
        found = load_emotion_reader(path)
    except (FileNotFoundError, ValueError) as error:
        raise DataError(
            f"{error} `python -m trainer.evaluate fit-reader` makes a reader; the miniature's is "
            "readers/emotion.safetensors in its run."
        ) from error
    if isinstance(found, Reader):
        return MiniatureReader(found, device)
    named = found.features if "/" in found.features or Path(found.features).exists() else CLIP_BASE
    return HeadsReader(load_backbone(backbone or named, device), found)
