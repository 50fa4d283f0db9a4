"""Reads, writes and checks files of weights, which are safetensors; `pickles` reads PyTorch's."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..files import regular, write_atomically
from ..quoting import quoted, shown

SUFFIXES = (".safetensors", ".pth")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""What a network can be computed in, by its name."""
FILE_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LARGEST_HEADER = 16 << 20
"""Bytes of a safetensors file's header: names, shapes and metadata."""
MOST_TENSORS = 10_000
LONGEST_REASON = 300
MOST_SIZES = 8
T = TypeVar("T")
Module = TypeVar("Module", bound=nn.Module)


def existing_file(path: str | os.PathLike, suffixes: tuple[str, ...] = SUFFIXES) -> Path:
    """The path of a weight file that is there.

    Raises:
        FileNotFoundError: There is no such file.
        PermissionError: It may not be read.
        ValueError: It has another ending.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path.name} is not a network file: expected one of {', '.join(suffixes)}.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    path.open("rb").close()  # a file that may not be read is told from a damaged one
    return path


def target_file(path: str | os.PathLike) -> Path:
    """A path that weights can be saved to.

    Raises:
        ValueError: It does not end in .safetensors.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name} does not end in .safetensors: networks are saved in that format only.")
    return path


def dtype_name(dtype: torch.dtype) -> str:
    """Such as "float32"."""
    return str(dtype).removeprefix("torch.")


# --- safetensors -------------------------------------------------------------------------------------------


def read_header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, {} if it has none; errors as `read_safetensors`."""
    with open_safetensors(path) as file:
        return file.metadata() or {}


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors of a safetensors file.

    The tensors map the file, so that those which are not used are not read. Copy what is to be kept: reading a tensor
    whose file has been overwritten crashes.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is damaged or another kind of file, or holds a dtype that torch does not have. The cause is
            what safetensors says.
    """
    with open_safetensors(path) as file:
        if (count := len(file.keys())) > MOST_TENSORS:
            raise ValueError(f"{path.name} holds {count:,} tensors: expected at most {MOST_TENSORS:,}.")
        try:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path.name} holds tensors that cannot be read: {_reason(error)}.") from error
        return file.metadata() or {}, tensors


def open_safetensors(path: Path) -> safe_open:
    """Opens a safetensors file, to read some of its tensors; errors as `read_safetensors`."""
    size = path.stat().st_size
    try:
        with regular(path).open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if LARGEST_HEADER < header <= size:
            raise OSError(f"a header of {header:,} bytes, at most {LARGEST_HEADER:,} are expected")
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path.name} cannot be read as safetensors ({size:,} bytes: {_reason(error)}). "
            "It is cut short or another kind of file: copy or download it again."
        ) from error


def parse_metadata(
    metadata: dict[str, str], expected: tuple[str, int], name: str, refusal: str, parse: Callable[[dict[str, str]], T]
) -> T:
    """What `parse` makes of a file's metadata.

    Args:
        metadata: As `read_header` gives it.
        expected: The format, and its latest version that can be read.
        name: The file's, for errors.
        refusal: The error for a file of another format.
        parse: Raises KeyError, TypeError or ValueError for what cannot be used.

    Raises:
        ValueError: Another format, a later version, or what `parse` raised, in one line.
    """
    form, latest = expected
    if metadata.get("format") != form:
        raise ValueError(refusal)
    try:
        if int(metadata["version"]) > latest:
            raise ValueError(
                f"it has version {shown(metadata['version'])} and this release reads up to {latest}: update"
            )
        return parse(metadata)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"The metadata of {name} cannot be used: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """An error's text, which may quote the file."""
    return shown(str(error), LONGEST_REASON)


def read_object(text: str) -> dict:
    """The JSON object in a file's metadata.

    Raises:
        ValueError: It is not JSON, or another value.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"it must be a mapping, a JSON object, and is {quoted(found)}")
    return found


def described(form: tuple[str, int], config: dict, training: dict | None = None, **more: str) -> dict[str, str]:
    """The metadata of a file of ours: its format and version, its sizes, and how it was trained."""
    texts = {"config": json.dumps(config), "training": json.dumps(training or {})}
    return {"format": form[0], "version": str(form[1]), **more, **texts}


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
    """Puts a safetensors file's metadata in order: safetensors writes it in a random one."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > size:
            raise ValueError(f"{path}: its header grows from {size} to {len(text)} bytes when it is sorted.")
        file.seek(8)
        file.write(text.ljust(size))


# --- checks ------------------------------------------------------------------------------------------------


def fill(module: Module, state: dict[str, Tensor], dtype: torch.dtype, name: str, exact: str | None = None) -> Module:
    """Gives a module, built on the meta device, the weights of the file `name` in `dtype`.

    Those whose names begin with `exact` become float32.

    Raises:
        ValueError: Names, shapes or dtypes do not fit, or a number is NaN, infinite or too large for `dtype`.
    """
    check_layout({key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}, state, name)
    check_dtypes(state, name)
    dtypes = {key: torch.float32 if exact and key.startswith(exact) else dtype for key in state}
    for key, tensor in state.items():
        check_numbers({key: tensor}, dtypes[key], name)
    # Copied, because a tensor that maps its file crashes whoever reads it once the file is overwritten.
    copies = {key: tensor.to(dtypes[key], copy=True) for key, tensor in state.items()}
    module.load_state_dict(copies, assign=True)
    return module


def check_layout(expected: dict[str, tuple[int, ...]], state: dict[str, Tensor], name: str) -> None:
    """Compares names and shapes.

    Raises:
        ValueError: Says what is missing, what is not known and what has another shape.
    """
    shapes = [
        f"{shown(key)} is {_sizes(state[key].shape)}, expected {list(shape)}"
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    problems = {
        "missing": [key for key in expected if key not in state],
        "not known": [key for key in state if key not in expected],
        "of another shape": shapes,
    }
    told = [f"{len(keys)} {what} ({some(keys)})" for what, keys in problems.items() if keys]
    if told:
        raise ValueError(f"The weights in {name} do not fit the network: {'; '.join(told)}.")


def _sizes(shape: torch.Size) -> str:
    return str(list(shape)) if len(shape) <= MOST_SIZES else f"of {len(shape)} dimensions"


def some(names: list[str], most: int = 5) -> str:
    """A list of names that fits an error."""
    return ", ".join(map(shown, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_dtypes(state: dict[str, Tensor], name: str) -> None:
    """Refuses weights that are not floating-point numbers, or in a form that torch does not compute with."""
    for key, tensor in state.items():
        if tensor.dtype not in FILE_DTYPES:
            expected = ", ".join(map(dtype_name, FILE_DTYPES))
            raise ValueError(f"{shown(key)} in {name} holds {dtype_name(tensor.dtype)}: expected {expected}.")


def check_numbers(state: dict[str, Tensor], dtype: torch.dtype, name: str) -> None:
    """Refuses weights that are missing, NaN or infinite, or too large for the dtype that they are going to have."""
    for key, tensor in state.items():
        largest = tensor.abs().max().item() if tensor.numel() else math.nan
        if not math.isfinite(largest):
            held = "NaN or infinite numbers" if tensor.numel() else "no numbers"
            raise ValueError(f"{shown(key)} in {name} holds {held}: the weights cannot be used.")
        if largest > torch.finfo(dtype).max:
            raise ValueError(
                f"{shown(key)} in {name} holds numbers up to {largest:g}, too large for {dtype_name(dtype)}: "
                "use bfloat16 or float32."
            )
