"""The readers that nodes offer: the miniature's own, and files of models/emoticrafter_readers."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from ..emoticrafter.research.readers import (
    ClipHeads,
    load_content_reader,
    load_emotion_reader,
    read_pictures,
    read_subjects,
)
from . import networks
from .miniature_model import FOLDER as MINIATURE_FOLDER

FOLDER = "emoticrafter_readers"
MINIATURE = "miniature (only for its own pictures)"
EMOTION_FILE = MINIATURE_FOLDER / "emotion_reader.safetensors"
CONTENT_FILE = MINIATURE_FOLDER / "content_reader.safetensors"

networks.register_folder(FOLDER)


def reader_names() -> list[str]:
    return [MINIATURE] * EMOTION_FILE.is_file() + networks.network_names(FOLDER)


def reader_problem(names: Sequence[str | None]) -> bool | str:
    """A node's answer to ComfyUI's question whether readers can be chosen: True, or why not."""
    try:
        for name in names:
            if name is not None:  # else it is linked, so known only when it runs
                find_reader(name)
    except FileNotFoundError as error:
        return str(error)
    return True


def reader_versions(names: Sequence[str | None]) -> str:
    """The versions of readers' files; of all of them while a linked name is not known."""
    names = reader_names() if None in names else names
    own = [networks.version_of(str(file)) for file in (EMOTION_FILE, CONTENT_FILE)] * (MINIATURE in names)
    return " ".join(own + [networks.file_version(name, FOLDER) for name in names if name != MINIATURE])


def find_reader(name: str) -> Path:
    """The path of a reader (errors as `networks.find_network`)."""
    if name != MINIATURE:
        return Path(networks.find_network(name, FOLDER, "reader"))
    return _shipped(EMOTION_FILE)


def _shipped(file: Path) -> Path:
    if not file.is_file():
        raise FileNotFoundError(
            f"The miniature's reader {file} is missing. It comes with a git checkout of the project: clone it, or "
            "choose another reader."
        )
    return file


def emotion_reader(name: str, clip_vision) -> Callable[..., Tensor]:
    """`read_pictures` by a chosen reader.

    Args:
        name: Of `reader_names`.
        clip_vision: A CLIP_VISION, which only heads need; None without one.

    Raises:
        FileNotFoundError: As `find_reader`.
        ValueError: The file is no reader, or its heads have no vision model.
    """
    reader = load_emotion_reader(find_reader(name))
    encode = _encode_with(clip_vision, name, reader) if isinstance(reader, ClipHeads) else None
    managed = networks.ManagedNetwork(reader)

    def read(images: Tensor, first: int = 1) -> Tensor:
        return read_pictures(managed.ready(), images, encode, first=first)

    return read


def subject_reader(name: str) -> Callable[[Tensor], Tensor] | None:
    """`read_subjects` by the reader of contents that comes with a chosen reader: with the miniature's alone."""
    if name != MINIATURE:
        return None
    managed = networks.ManagedNetwork(load_content_reader(_shipped(CONTENT_FILE)))
    return lambda images: read_subjects(managed.ready(), images)


def _encode_with(clip_vision, name: str, heads: ClipHeads) -> Callable[[Tensor], Tensor]:
    """A function from images to image features, by a CLIP_VISION."""
    if clip_vision is None:
        raise ValueError(
            f"{name} reads CLIP's image features, and no vision model is connected: connect Load CLIP Vision to "
            f"clip_vision, with {heads.features} ({heads.width} wide)."
        )
    return lambda images: clip_vision.encode_image(images)["image_embeds"]
