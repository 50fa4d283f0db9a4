"""Loads and saves emotion networks: our safetensors files, and the published .pth layout.

A file of ours is one `.safetensors`. Its metadata holds `format=emoticrafter`, a version, the network's config, its
text encoder and how it was trained, as JSON.
"""

import json
import os
from dataclasses import asdict

import torch
from torch import Tensor

from ..encoders import EncoderFacts
from ..network import EmotionNetwork, NetworkConfig, weight_shapes
from .encoder import encoder_metadata, encoder_tensors, take_encoder
from .files import (
    check_dtypes,
    check_layout,
    check_numbers,
    described,
    existing_file,
    fill,
    parse_metadata,
    read_header,
    read_safetensors,
    save_tensors,
    target_file,
)
from .pickles import read_pickle
from .published import published_state

FORMAT, VERSION = "emoticrafter", 1


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
        metadata, state = read_safetensors(path)
        config = _parse(metadata, path.name)["config"]
        encoder = take_encoder(metadata, state, config.feature_width, path.name)
    else:
        config, state = published_state(read_pickle(path), path.name)
        encoder = None
    return _build(config, encoder, state, dtype, path.name).to(device)


def save_network(network: EmotionNetwork, path: str | os.PathLike, training: dict | None = None) -> None:
    """Saves a network as one safetensors file, whole or not at all.

    Args:
        network: In any dtype, on any device.
        path: Ends in `.safetensors`; a file that is there is replaced.
        training: How it was trained (data, scale, loss, steps, validation figures, licence); anything that
            JSON can hold.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
        ValueError: Another ending, or weights that are NaN or infinite.
    """
    path = target_file(path)
    state = network.state_dict() | encoder_tensors(network.encoder)
    check_dtypes(state, path.name)
    check_numbers(network.state_dict(), network.weight.dtype, path.name)
    more = encoder_metadata(network.encoder)
    save_tensors(path, state, described((FORMAT, VERSION), asdict(network.config), training, **more))


def read_metadata(path: str | os.PathLike) -> dict:
    """What a file of ours says of itself, without reading its weights.

    Returns:
        {"version": int, "config": NetworkConfig, "training": dict}

    Raises:
        FileNotFoundError, ValueError: As `load_network`.
    """
    path = existing_file(path)
    return _parse(read_header(path), path.name)


def _parse(metadata: dict[str, str], name: str) -> dict:
    refusal = (
        f"{name} is a safetensors file, but not an emotion network (its metadata lacks format={FORMAT}). "
        "Checkpoints, LoRAs and VAEs have loaders of their own."
    )
    return parse_metadata(
        metadata,
        (FORMAT, VERSION),
        name,
        refusal,
        lambda told: {
            "version": int(told["version"]),
            "config": NetworkConfig(**json.loads(told["config"])),
            "training": json.loads(told.get("training", "{}")),
        },
    )


def _build(
    config: NetworkConfig, encoder: EncoderFacts | None, state: dict[str, Tensor], dtype: torch.dtype | None, name: str
) -> EmotionNetwork:
    # By names and shapes first: building what a file merely claims to hold could keep the machine busy.
    if config.depth > len(state):
        raise ValueError(f"{name} says that it has {config.depth} blocks, and holds {len(state)} tensors.")
    check_layout(weight_shapes(config), state, name)
    with torch.device("meta"):
        network = EmotionNetwork(config, encoder)
    network = fill(network, state, dtype or state["input_projection.weight"].dtype, name)
    return network.requires_grad_(True)
