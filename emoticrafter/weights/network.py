"""Loads and saves emotion networks and fields: our safetensors files, and the published .pth layout.

A file of ours is one `.safetensors`. Its metadata holds `format=emoticrafter`, a version, its kind (a network, if it
does not say), its config, its text encoder and how it was fitted, as JSON; and its model card, as Markdown.
"""

import os
from dataclasses import asdict

import torch
from torch import Tensor

from ..encoders import EncoderFacts
from ..field import EmotionField, FieldConfig
from ..network import EmotionNetwork, NetworkConfig, weight_shapes
from .card import model_card
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
    read_object,
    read_safetensors,
    save_tensors,
    target_file,
)
from .pickles import read_pickle
from .published import published_state

FORMAT, VERSION = "emoticrafter", 2
CONFIGS = {"network": NetworkConfig, "field": FieldConfig}
"""The kinds of file. Fields came with version 2, and so did the settings of networks in NEWER."""
NEWER = ("window", "added_tokens", "normalise", "field_positions", "output")


def load_network(
    path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> EmotionNetwork | EmotionField:
    """Loads a network or a field from a file of ours, or a network from a published .pth.

    Args:
        path: `.safetensors` of ours, or `.pth` in the published layout.
        device: Where the network goes.
        dtype: float32, float16 or bfloat16; None keeps the file's own. A field is small, and always float32, also
            within a network: it may hold numbers that float16 does not.

    Returns:
        The network or field in evaluation mode.

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
        if isinstance(config, FieldConfig):
            return _build_field(config, encoder, state, path.name).to(device)
    else:
        config, state = published_state(read_pickle(path), path.name)
        encoder = None
    return _build(config, encoder, state, dtype, path.name).to(device)


def save_network(network: EmotionNetwork | EmotionField, path: str | os.PathLike, training: dict | None = None) -> None:
    """Saves a network or a field as one safetensors file, whole or not at all.

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
    check_numbers(network.state_dict(), torch.float64, path.name)  # each fits the dtype that it has
    more = encoder_metadata(network.encoder)
    version, config = 1, asdict(network.config)
    if isinstance(network, EmotionField):
        version, more["kind"] = 2, "field"
    elif all(config[name] == getattr(NetworkConfig, name) for name in NEWER):
        # as version 1 had them: older releases read such a file
        config = {name: value for name, value in config.items() if name not in NEWER}
    else:
        version = 2
    family = network.encoder.family if network.encoder else ""
    more["card"] = model_card(network.config, family, training or {})
    save_tensors(path, state, described((FORMAT, version), config, training, **more))


def read_metadata(path: str | os.PathLike) -> dict:
    """What a file of ours says of itself, without reading its weights.

    Returns:
        {"version": int, "config": NetworkConfig | FieldConfig, "training": dict}

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
            "config": CONFIGS[told.get("kind", "network")](**read_object(told["config"])),
            "training": read_object(told.get("training", "{}")),
        },
    )


def _build(
    config: NetworkConfig, encoder: EncoderFacts | None, state: dict[str, Tensor], dtype: torch.dtype | None, name: str
) -> EmotionNetwork:
    # By names and shapes first: building what a file merely claims to hold could keep the machine busy.
    if config.depth > len(state):
        raise ValueError(f"{name} says that it has {config.depth} blocks, and holds {len(state)} tensors.")
    check_layout(weight_shapes(config), state, name)
    try:
        with torch.device("meta"):
            network = EmotionNetwork(config, encoder)
    except ValueError as error:
        raise ValueError(f"{name} cannot be used: {error}") from error
    network = fill(network, state, dtype or state["input_projection.weight"].dtype, name, exact="field.")
    return network.requires_grad_(True)


def _build_field(
    config: FieldConfig, encoder: EncoderFacts | None, state: dict[str, Tensor], name: str
) -> EmotionField:
    with torch.device("meta"):
        field = EmotionField(config, encoder)
    return fill(field, state, torch.float32, name).requires_grad_(True)
