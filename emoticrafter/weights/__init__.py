"""Weights on disk: networks of ours, the published .pth layout, and what every file of weights needs."""

from .files import (
    DTYPES,
    SUFFIXES,
    check_dtypes,
    check_layout,
    check_numbers,
    dtype_name,
    existing_file,
    fill,
    open_safetensors,
    parse_metadata,
    read_header,
    read_pickle,
    read_safetensors,
    save_tensors,
    target_file,
)
from .network import load_network, read_metadata, save_network
from .published import published_state

__all__ = [
    "DTYPES",
    "SUFFIXES",
    "check_dtypes",
    "check_layout",
    "check_numbers",
    "dtype_name",
    "existing_file",
    "fill",
    "load_network",
    "open_safetensors",
    "parse_metadata",
    "published_state",
    "read_header",
    "read_metadata",
    "read_pickle",
    "read_safetensors",
    "save_network",
    "save_tensors",
    "target_file",
]
