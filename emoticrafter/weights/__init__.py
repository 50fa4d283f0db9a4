"""Weights on disk: our safetensors files and the published .pth layout.

A file of ours is one `.safetensors`; its metadata holds `format=emoticrafter`, a version, the network's
config and how it was trained, as JSON. The published files are pickled state dicts; they are read with
torch's restricted unpickler only, so a file that would run code is refused.
"""

import json
import math
import os
import pickle
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..files import write_atomically
from ..layout import check_layout, published_state
from ..network import EmotionNetwork, NetworkConfig

FORMAT = "emoticrafter"
VERSION = 1
SUFFIXES = (".safetensors", ".pth")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""What a network can be computed in, by its name."""
FILE_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def load_network(
    path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> EmotionNetwork:
    """Loads a network from a file of ours or from a published .pth.

    Args:
        path: `.safetensors` of ours, or `.pth` in the published layout.
        device: Where the network goes.
        dtype: float32, float16 or bfloat16; None keeps the file's own.

    Returns:
        The network in evaluation mode.

    Raises:
        FileNotFoundError: There is no such file.
        PermissionError: It may not be read.
        ValueError: The file is damaged, of another kind, lacks weights, has others, holds NaN or infinity, or
            numbers that are too large for `dtype`.
    """
    path = existing_file(path)
    if path.suffix.lower() == ".safetensors":
        config, state = _read_safetensors(path)
    else:
        config, state = published_state(read_pickle(path), path.name)
    return _build(config, state, dtype, path.name).to(device)


def save_network(network: EmotionNetwork, path: str | os.PathLike, training: dict | None = None) -> None:
    """Saves a network as one safetensors file: written beside its place, then moved there.

    Args:
        network: In any dtype, on any device.
        path: Ends in `.safetensors`; a file that is there is replaced.
        training: How it was trained (data, scale, loss, steps, validation figures, licence); anything that
            JSON can hold.

    Raises:
        ValueError: Another ending, or weights that are NaN or infinite.
    """
    path = target_file(path)
    state = network.state_dict()
    check_dtypes(state, path.name)
    check_numbers(state, network.input_projection.weight.dtype, path.name)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "config": json.dumps(asdict(network.config)),
        "training": json.dumps(training or {}),
    }
    save_tensors(path, state, metadata)


def read_metadata(path: str | os.PathLike) -> dict:
    """Reads what a file of ours says of itself, without its weights.

    Returns:
        {"version": int, "config": NetworkConfig, "training": dict}

    Raises:
        FileNotFoundError, ValueError: As `load_network`.
    """
    path = existing_file(path)
    with open_safetensors(path) as file:
        return _parse_metadata(file.metadata(), path.name)


# --- our own files -----------------------------------------------------------------------------------------


def existing_file(path: str | os.PathLike, suffixes: tuple[str, ...] = SUFFIXES) -> Path:
    """The path of a network file that is there (see `load_network` for the errors)."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path.name} is no network file: expected one of {', '.join(suffixes)}.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    path.open("rb").close()  # a file that may not be read is told from a damaged one
    return path


def target_file(path: str | os.PathLike) -> Path:
    """A path that a network can be saved to (see `save_network` for the error)."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name} does not end in .safetensors: networks are saved in that format only.")
    return path


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file whole or not at all, of tensors on any device; equal contents are equal files.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def write(temporary: Path) -> None:
        save_file(tensors, temporary, metadata)
        if metadata:
            _sort_metadata(temporary)

    try:
        write_atomically(path, write)
    except SafetensorError as error:  # what safetensors makes of a full disk
        raise OSError(f"{path} could not be written: {error}. What was there before is untouched.") from error


def _sort_metadata(path: Path) -> None:
    """Puts a safetensors file's metadata in order: it is written in an order of chance."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > size:
            raise ValueError(f"{path}: its header grows from {size} to {len(text)} bytes when it is sorted.")
        file.seek(8)
        file.write(text.ljust(size))


def open_safetensors(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path.name} cannot be read as safetensors ({path.stat().st_size:,} bytes: {error}). "
            "It is cut short or another kind of file: copy or download it again."
        ) from error


def _read_safetensors(path: Path) -> tuple[NetworkConfig, dict[str, Tensor]]:
    with open_safetensors(path) as file:
        return _parse_metadata(file.metadata(), path.name)["config"], read_tensors(file, path.name)


def read_tensors(file: safe_open, name: str) -> dict[str, Tensor]:
    """All tensors of an open safetensors file. They map it: copy what is to be kept, as reading a tensor whose file
    has been overwritten crashes.

    Raises:
        ValueError: One cannot be read.
    """
    try:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:  # such as a dtype that torch does not have
        raise ValueError(f"{name} holds tensors that cannot be read: {error}.") from error


def _parse_metadata(metadata: dict[str, str] | None, name: str) -> dict:
    if (metadata or {}).get("format") != FORMAT:
        raise ValueError(
            f"{name} is a safetensors file, but no emotion network (its metadata lacks format={FORMAT}). "
            "Checkpoints, LoRAs and VAEs have loaders of their own."
        )
    try:
        version = int(metadata["version"])
        if version > VERSION:
            raise ValueError(f"it has version {version} and this release reads up to {VERSION}: update")
        config = NetworkConfig(**json.loads(metadata["config"]))
        return {"version": version, "config": config, "training": json.loads(metadata.get("training", "{}"))}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"The metadata of {name} cannot be used: {error}") from error


def _build(
    config: NetworkConfig, state: dict[str, Tensor], dtype: torch.dtype | None, name: str
) -> EmotionNetwork:
    """A network that takes over the given tensors; built without memory of its own."""
    # By names and shapes first: building what a file merely claims to hold could keep the machine busy.
    if config.depth > len(state):
        raise ValueError(f"{name} says that it has {config.depth} blocks, and holds {len(state)} tensors.")
    check_layout(_shapes(config), state, name)
    check_dtypes(state, name)
    with torch.device("meta"):
        network = EmotionNetwork(config)
    dtype = dtype or state["input_projection.weight"].dtype
    check_numbers(state, dtype, name)
    # Copied, because a tensor that maps its file crashes whoever reads it once the file is overwritten.
    state = {key: tensor.to(dtype, copy=True) for key, tensor in state.items()}
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(True)


def _shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights, one block standing for all."""
    with torch.device("meta"):
        single = EmotionNetwork(replace(config, depth=1)).state_dict()
    first = "blocks.0."
    shapes = {key: tuple(tensor.shape) for key, tensor in single.items() if not key.startswith(first)}
    block = {key.removeprefix(first): tuple(t.shape) for key, t in single.items() if key.startswith(first)}
    for number in range(config.depth):
        shapes |= {f"blocks.{number}.{key}": shape for key, shape in block.items()}
    return shapes


def check_dtypes(state: dict[str, Tensor], name: str) -> None:
    """Refuses weights that are not floating-point numbers, or in a form that torch does not compute with."""
    for key, tensor in state.items():
        if tensor.dtype not in FILE_DTYPES:
            raise ValueError(
                f"{key} in {name} holds {dtype_name(tensor.dtype)}: expected "
                f"{', '.join(map(dtype_name, FILE_DTYPES))}."
            )


def check_numbers(state: dict[str, Tensor], dtype: torch.dtype, name: str) -> None:
    """Refuses weights that are no numbers, or too large for the dtype that they are going to have."""
    for key, tensor in state.items():
        largest = tensor.abs().max().item()
        if not math.isfinite(largest):
            raise ValueError(f"{key} in {name} holds NaN or infinite numbers: the weights cannot be used.")
        if largest > torch.finfo(dtype).max:
            raise ValueError(
                f"{key} in {name} holds numbers up to {largest:g}, too large for {dtype_name(dtype)}: "
                "use bfloat16 or float32."
            )


def dtype_name(dtype: torch.dtype) -> str:
    """Such as "float32"."""
    return str(dtype).removeprefix("torch.")


# --- pickled files ----------------------------------------------------------------------------------------


def read_pickle(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        head = file.read(40)
    # A zip, or a bare pickle as older releases of torch wrote them.
    if head and not head.startswith((b"PK", b"\x80")):
        raise ValueError(
            f"{path.name} is no PyTorch file: it begins with {head!r}. Perhaps a web page or a Git LFS pointer was "
            "saved in its place: download the file itself."
        )
    try:
        # A memory map spares reading the unused word embedding; only the zip form can be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_plain_zip(path))
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path.name} was refused: it holds more than tensors, and opening it could run code. "
            "Use a file from a source you trust, saved as a plain state dict."
        ) from error
    except Exception as error:  # torch.load raises what the damage happens to hit: EOFError, RuntimeError ...
        raise ValueError(
            f"{path.name} cannot be read as a PyTorch file ({path.stat().st_size:,} bytes: {error}). "
            "It is cut short or another kind of file: copy or download it again."
        ) from error
    if not isinstance(state, dict) or not state or not all(map(_is_weight, state.items())):
        raise ValueError(f"{path.name} holds no state dict: expected names with their tensors.")
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if size > path.stat().st_size:
        raise ValueError(
            f"{path.name} was refused: its tensors claim {size:,} bytes in a file of {path.stat().st_size:,}."
        )
    return state


def _is_plain_zip(path: Path) -> bool:
    """Whether the file is a zip, which torch writes uncompressed: mapped as they are, compressed bytes are nonsense."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        if packed := [e.filename for e in archive.infolist() if e.compress_type != zipfile.ZIP_STORED]:
            raise ValueError(f"it is compressed, {packed[0]} for one: save it again with torch.save")
    return True


def _is_weight(item: tuple) -> bool:
    name, tensor = item
    return (
        isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and not tensor.is_meta
    )
