"""Weights on disk: our safetensors files and the published .pth layout.

A file of ours is one `.safetensors`; its metadata holds `format=emoticrafter`, a version, the network's config
and how it was trained, as JSON. The published files are pickled state dicts; they are read with torch's
restricted unpickler only, so a file that would run code is refused.

    python -m emoticrafter.weights download                    # lists what the authors have published
    python -m emoticrafter.weights download scale_factor_1.5.pth --to models/emoticrafter
    python -m emoticrafter.weights convert in.pth out.safetensors --dtype float16
    python -m emoticrafter.weights inspect out.safetensors
"""

import argparse
import json
import os
import pickle
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from . import hub
from .files import file_sha256, write_atomically
from .layout import check_layout, published_state
from .network import EmotionNetwork, NetworkConfig

FORMAT = "emoticrafter"
VERSION = 1
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SUFFIXES = (".safetensors", ".pth")


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
        ValueError: The file is damaged, of another kind, lacks weights, has others, or holds NaN or infinity.
    """
    path = _existing_file(path)
    if path.suffix == ".safetensors":
        config, state = _read_safetensors(path)
    else:
        config, state = published_state(_read_pickle(path), path.name)
    return _build(config, state, path.name).to(device=device, dtype=dtype)


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
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name} does not end in .safetensors: networks are saved in that format only.")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    _check_finite(state, path.name)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "config": json.dumps(asdict(network.config)),
        "training": json.dumps(training or {}),
    }
    write_atomically(path, lambda temporary: save_file(state, temporary, metadata))


def read_metadata(path: str | os.PathLike) -> dict:
    """Reads what a file of ours says of itself, without its weights.

    Returns:
        {"version": int, "config": NetworkConfig, "training": dict}

    Raises:
        FileNotFoundError, ValueError: As `load_network`.
    """
    path = _existing_file(path)
    with _open_safetensors(path) as file:
        return _parse_metadata(file.metadata(), path.name)


# --- our own files -----------------------------------------------------------------------------------------


def _existing_file(path: str | os.PathLike) -> Path:
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path.name} is no network file: expected one of {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    return path


def _open_safetensors(path: Path):
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path.name} cannot be read as safetensors ({path.stat().st_size:,} bytes: {error}). "
            "It is cut short or another kind of file: copy or download it again."
        ) from error


def _read_safetensors(path: Path) -> tuple[NetworkConfig, dict[str, Tensor]]:
    with _open_safetensors(path) as file:
        config = _parse_metadata(file.metadata(), path.name)["config"]
        return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


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
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"The metadata of {name} cannot be used: {error}") from error


def _build(config: NetworkConfig, state: dict[str, Tensor], name: str) -> EmotionNetwork:
    """A network that takes over the given tensors; built without memory of its own."""
    with torch.device("meta"):
        network = EmotionNetwork(config)
    expected = network.state_dict()
    check_layout({key: tuple(t.shape) for key, t in expected.items()}, state, name)
    _check_finite(state, name)
    dtype = state["input_projection.weight"].dtype
    network.load_state_dict({key: tensor.to(dtype) for key, tensor in state.items()}, assign=True)
    return network.requires_grad_(True)


def _check_finite(state: dict[str, Tensor], name: str) -> None:
    for key, tensor in state.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{key} in {name} holds {tensor.dtype}: expected a floating dtype.")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{key} in {name} holds NaN or infinite numbers: the weights cannot be used.")


# --- pickled files ----------------------------------------------------------------------------------------


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        # A memory map spares reading the unused word embedding; only the zip form can be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
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
    if not isinstance(state, dict) or not state or not all(isinstance(t, Tensor) for t in state.values()):
        raise ValueError(f"{path.name} holds no state dict: expected names with their tensors.")
    return state


# --- command line ------------------------------------------------------------------------------------------


def convert(source: Path, target: Path, dtype: torch.dtype) -> None:
    """Rewrites a network (published .pth or ours) as a safetensors file of ours in another dtype."""
    print(f"Reading {source} ({source.stat().st_size / 1e6:,.1f} MB) ...", flush=True)
    network = load_network(source, dtype=dtype)
    if source.suffix == ".safetensors":
        training = read_metadata(source)["training"]
    else:
        training = {"converted_from": {"file": source.name, "sha256": file_sha256(source)}}
    print(f"Writing {target} ...", flush=True)
    save_network(network, target, training)
    inspect(target)


def inspect(path: Path) -> None:
    """Prints what a network file holds."""
    network = load_network(path)
    training = read_metadata(path)["training"] if path.suffix == ".safetensors" else {}
    parameters = sum(p.numel() for p in network.parameters())
    print(f"{path}: {path.stat().st_size / 1e6:,.1f} MB, sha256 {file_sha256(path)}")
    print(f"{parameters / 1e6:,.2f} million parameters, {str(network.dtype).removeprefix('torch.')}")
    for name, value in asdict(network.config).items():
        print(f"  {name:16} {value}")
    print("training: " + (json.dumps(training, indent=2) if training else "not recorded"))


def download(name: str | None, folder: Path, repository: str) -> None:
    """Downloads one published file, or lists what there is."""
    endpoint = hub.endpoint()
    files = hub.list_files(repository, endpoint)
    if name is None:
        print(f"{endpoint}/{repository} has:")
        for file in files:
            print(f"  {file.path:40} {file.size / 1e6:10,.1f} MB")
        print("Name one of them to download it.")
        return
    path = hub.download(repository, hub.choose(files, name), folder, endpoint)
    print(f"{path} is complete. Convert it to a third of the size:")
    print(
        f"  python -m emoticrafter.weights convert {path} {path.with_suffix('.safetensors')} --dtype float16"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emoticrafter.weights", description=__doc__.split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    one = commands.add_parser(
        "convert", help="rewrite a network as a safetensors file, smaller in half precision"
    )
    one.add_argument("source", type=Path, help="a published .pth, or a .safetensors of ours")
    one.add_argument("target", type=Path, help="the .safetensors file to write")
    one.add_argument("--dtype", choices=DTYPES, default="float16", help="default: %(default)s")
    one = commands.add_parser("inspect", help="show sizes, dtype, checksum and how it was trained")
    one.add_argument("file", type=Path)
    one = commands.add_parser(
        "download",
        help="fetch published weights from the Hugging Face hub",
        description="Without a name: lists the files. HF_ENDPOINT names another hub address, such as a mirror.",
    )
    one.add_argument("name", nargs="?", help="a file of the repository, such as scale_factor_1.5.pth")
    one.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="default: the current folder")
    one.add_argument("--repository", default=hub.REPOSITORY, help="default: %(default)s")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "convert":
            convert(_existing_file(options.source), options.target, DTYPES[options.dtype])
        elif options.command == "inspect":
            inspect(_existing_file(options.file))
        else:
            download(options.name, options.to, options.repository)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
