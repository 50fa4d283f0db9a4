"""Weights on disk: networks of ours, the published .pth layout, and in `files` what every file of weights needs."""

from .network import load_network, read_metadata, save_network
from .published import published_state

__all__ = ["load_network", "published_state", "read_metadata", "save_network"]
