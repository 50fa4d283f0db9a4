"""Readers: networks that estimate a picture's valence and arousal.

They come as two kinds of file: the miniature's reader, a small convolutional network for the miniature's own pictures;
and heads on CLIP's image features, the form in which such predictors were published (CLIP ViT-B/32, one linear layer
and a sigmoid per axis).

Shapes: B batch, W width of CLIP's image features.
"""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..images import colours
from ..options import MOST
from ..quoting import quoted, shown
from ..va import VA_MAX, VA_MIN
from ..weights.files import (
    described,
    existing_file,
    fill,
    parse_metadata,
    read_object,
    read_safetensors,
    save_tensors,
    some,
)
from ..weights.pickles import read_pickle

AXES = ("valence", "arousal")
READ_SIZE = 64
GROUP = 16
TENSORS_A_LEVEL = 8  # a weight and a bias for each of two convolutions and two norms
MINIATURE_FORMATS = ("emoticrafter-miniature-reader", "emoticrafter-miniature")
"""Of the trainer's own files, and of those that are shipped."""
CONTENT = (14, 6, 4)
"""What the miniature's content reader scores: its world's subjects, settings and times."""
HEADS_FORMAT, HEADS_VERSION = "emoticrafter-clip-heads", 1


# --- the miniature's reader ------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """Four levels of two convolutions; each level halves the size."""

    def __init__(self, channels: tuple[int, ...], outputs: int):
        super().__init__()
        widths = (3, *channels)
        self.levels = nn.ModuleList(_level(before, after) for before, after in itertools.pairwise(widths))
        self.head = nn.Linear(channels[-1], outputs)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Maps pictures [B, 3, H, W] in [0, 1] to each level's output, [B, C, 32, 32] and smaller."""
        x = F.interpolate(pictures, (READ_SIZE, READ_SIZE), mode="area") * 2 - 1
        found = []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found

    def forward(self, pictures: Tensor) -> Tensor:
        """Maps pictures [B, 3, H, W] in [0, 1] to [B, outputs]."""
        return self.head(self.features(pictures)[-1].mean((2, 3))).float()


def _level(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1),
        nn.GroupNorm(after // GROUP, after),
        nn.SiLU(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.GroupNorm(after // GROUP, after),
        nn.SiLU(),
    )


def distance(reader: Reader, first: Tensor, second: Tensor) -> Tensor:
    """LPIPS-type distance (Zhang et al. 2018, arXiv 1801.03924) between pictures [B, 3, H, W]: [B], 0 for equal ones.

    The squared difference of the reader's activations, normalised at each place, averaged over places and summed over
    levels; without LPIPS's learned weights.
    """
    total = torch.zeros(len(first), device=first.device)
    for a, b in zip(reader.features(first), reader.features(second), strict=True):
        total += (F.normalize(a.float()) - F.normalize(b.float())).square().sum(1).mean((1, 2))
    return total


def load_reader(path: str | os.PathLike) -> tuple[Reader, dict]:
    """Reads a miniature's reader in float32, and its config with the held-out figures.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or not a reader of the miniature.
    """
    path = existing_file(path)
    metadata, state = _read(path)
    return _miniature(metadata, state, path.name)


def _miniature(metadata: dict[str, str], state: dict[str, Tensor], name: str) -> tuple[Reader, dict]:
    try:
        if metadata["format"] not in MINIATURE_FORMATS:
            raise ValueError(f"its format is {quoted(metadata['format'])}")
        config = read_object(metadata["config"])
        channels, outputs = _checked_channels(config["channels"], state), state["head.bias"].numel()
    except KeyError as error:
        raise ValueError(f"{name} is not a reader of the miniature: it has no {error}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not a reader of the miniature: {shown(str(error))}.") from error
    with torch.device("meta"):
        reader = Reader(channels, outputs)
    return _frozen(reader, state, name), config


def _checked_channels(channels: object, state: dict[str, Tensor]) -> tuple[int, ...]:
    """The channels of the levels, whose tensors the file holds: building what it merely claims could take minutes."""
    if not isinstance(channels, list) or not channels or not all(map(_is_width, channels)):
        raise ValueError(f"its channels are {quoted(channels)}: expected multiples of {GROUP}")
    if len(state) != TENSORS_A_LEVEL * len(channels) + 2:
        raise ValueError(f"it says that it has {len(channels):,} levels, and holds {len(state):,} tensors")
    return tuple(channels)


def _is_width(channels: object) -> bool:
    return type(channels) is int and 0 < channels <= MOST and channels % GROUP == 0


# --- heads on CLIP's image features ----------------------------------------------------------------------------------


class ClipHeads(nn.Module):
    """A linear layer and a sigmoid per axis, on CLIP's projected image features, not normalised."""

    def __init__(self, width: int = 512, features: str = "openai/clip-vit-base-patch32"):
        """
        Args:
            width: W; 512 of ViT-B/32, 768 of ViT-L/14, 1024 of ViT-H/14.
            features: The vision model that gives the features, for errors.
        """
        super().__init__()
        self.valence, self.arousal = nn.Linear(width, 1), nn.Linear(width, 1)
        self.features = features

    @property
    def width(self) -> int:
        """W."""
        return self.valence.in_features

    def forward(self, features: Tensor) -> Tensor:
        """Maps image features [B, W] to valence and arousal, [B, 2] in [-3, 3]."""
        if features.ndim != 2 or features.shape[-1] != self.width:
            raise ValueError(
                f"The CLIP vision model gives features {features.shape[-1]} wide, and this reader's heads expect "
                f"{self.width} (of {self.features}): connect that vision model, or choose another reader."
            )
        both = torch.cat([self.valence(features), self.arousal(features)], dim=-1)
        return VA_MIN + (VA_MAX - VA_MIN) * both.sigmoid()


HEADS_NAMES = {f"{axis}.{part}" for axis in AXES for part in ("weight", "bias")}


def save_heads(heads: ClipHeads, path: Path, training: dict | None = None) -> None:
    """Saves heads as one safetensors file: valence.weight [1, W], valence.bias [1], and the same for arousal.

    Args:
        heads: In any dtype, on any device.
        path: An existing file is replaced.
        training: How they were trained (data, held-out errors, licence); anything that JSON can hold.
    """
    metadata = described((HEADS_FORMAT, HEADS_VERSION), {"features": heads.features}, training)
    save_tensors(path, heads.state_dict(), metadata)


def _heads(metadata: dict[str, str], state: dict[str, Tensor], name: str) -> ClipHeads:
    """Heads of a .safetensors, or of a .pth that holds the same names; only files of ours say what they read."""
    features = "an unnamed model"
    if metadata.get("format") == HEADS_FORMAT:
        told = {"version": str(HEADS_VERSION), "config": "{}"} | metadata
        form = (HEADS_FORMAT, HEADS_VERSION)
        model = parse_metadata(told, form, name, "", lambda told: read_object(told["config"]).get("features"))
        features = shown(str(model or features))
    with torch.device("meta"):
        heads = ClipHeads(state["valence.weight"].numel(), features)
    return _frozen(heads, state, name)


# --- any of them -----------------------------------------------------------------------------------------------------


def load_emotion_reader(path: str | os.PathLike) -> Reader | ClipHeads:
    """Loads a reader of valence and arousal from a file of either kind.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, of another kind, or reads something other than valence and arousal.
    """
    path = existing_file(path)
    metadata, state = _read(path)
    if metadata.get("format") not in MINIATURE_FORMATS:
        return _heads(metadata, state, path.name)
    reader, config = _miniature(metadata, state, path.name)
    if config.get("kind") != "emotion":
        kind = shown(str(config.get("kind")))
        raise ValueError(f"{path.name} reads {kind}, not valence and arousal: choose the emotion reader.")
    _check_outputs(reader, len(AXES), "valence and arousal", path.name)
    return reader


def load_content_reader(path: str | os.PathLike) -> Reader:
    """Loads the miniature's reader of contents.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, of another kind, or reads something else.
    """
    reader, config = load_reader(path)
    name = Path(path).name
    if config.get("kind") != "content":
        kind = shown(str(config.get("kind")))
        raise ValueError(f"{name} reads {kind}, not what a picture shows: expected the content reader.")
    _check_outputs(reader, sum(CONTENT), "scores of subjects, settings and times", name)
    return reader


def _check_outputs(reader: Reader, expected: int, what: str, name: str) -> None:
    if (found := reader.head.out_features) != expected:
        raise ValueError(f"{name} has {found} outputs: expected {expected}, {what}. Choose another reader.")


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a file, refused by its names if it is not a reader."""
    metadata, state = ({}, read_pickle(path)) if path.suffix.lower() == ".pth" else read_safetensors(path)
    if metadata.get("format") not in MINIATURE_FORMATS and state.keys() != HEADS_NAMES:
        raise ValueError(
            f"{path.name} is not a reader of emotions: it holds {len(state)} tensors, such as "
            f"{some(sorted(state), 3)}. Expected the miniature's reader, or heads for CLIP with "
            f"{', '.join(sorted(HEADS_NAMES))}."
        )
    return metadata, state


def _frozen(network: nn.Module, state: dict[str, Tensor], name: str) -> nn.Module:
    return fill(network, state, torch.float32, name).eval().requires_grad_(False)


# --- reading ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def read_pictures(
    reader: Reader | ClipHeads,
    images: Tensor,
    encode: Callable[[Tensor], Tensor] | None = None,
    at_once: int = 16,
    first: int = 1,
) -> Tensor:
    """Reads valence and arousal from pictures.

    Args:
        reader: On any device.
        images: [B, H, W, C] in [0, 1], of any size.
        encode: For ClipHeads: images [b, H, W, 3] to CLIP's image features [b, W].
        at_once: Pictures per batch.
        first: The first picture's number, for errors.

    Returns:
        float32 [B, 2] in [-3, 3], on the CPU.

    Raises:
        ValueError: No images, features of another width, or a picture that cannot be read.
    """
    return _outputs(reader, images, encode, at_once, first).clamp(VA_MIN, VA_MAX)


@torch.no_grad()
def read_subjects(reader: Reader, images: Tensor, at_once: int = 16) -> Tensor:
    """Reads how likely each subject of the miniature's world is the one that a picture shows.

    Args:
        reader: Of `load_content_reader`, on any device.
        images: [B, H, W, C] in [0, 1], of any size.
        at_once: Pictures per batch.

    Returns:
        float32 [B, 14], rows that add up to 1, on the CPU.

    Raises:
        ValueError: No images, or a picture that cannot be read.
    """
    return _outputs(reader, images, None, at_once, first=1).split(CONTENT, dim=1)[0].softmax(1)


def _outputs(reader: nn.Module, images: Tensor, encode: Callable | None, at_once: int, first: int) -> Tensor:
    """What a reader says of pictures, float32 [B, outputs] on the CPU (errors as `read_pictures`)."""
    pictures, weight = colours(images), next(reader.parameters())
    parts = []
    for part in pictures.split(at_once):
        seen = encode(part) if isinstance(reader, ClipHeads) else part.movedim(-1, 1)
        parts.append(reader(seen.to(weight)).cpu())
    found = torch.cat(parts)
    if failed := [number for number, one in enumerate(found.isfinite().all(1).tolist(), first) if not one]:
        raise ValueError(
            f"Picture {failed[0]} cannot be read: it holds NaN or infinite numbers. A node before this one has failed."
        )
    return found


def readings_text(readings: Tensor) -> str:
    """Writes readings [B, 2] as text: a line per picture, and the mean if there are several."""
    lines = [f"valence {valence:+.2f}, arousal {arousal:+.2f}" for valence, arousal in readings.tolist()]
    if len(lines) == 1:
        return lines[0]
    valence, arousal = readings.mean(0).tolist()
    numbered = [f"picture {number}: {line}" for number, line in enumerate(lines, 1)]
    return "\n".join([f"{len(lines)} pictures, mean valence {valence:+.2f}, arousal {arousal:+.2f}", *numbered])
