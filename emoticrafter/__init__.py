"""EmotiCrafter: continuous valence-arousal emotion for the text features of Stable Diffusion XL.

The network is in `network.py`, its files in `weights/`, ComfyUI's conditioning in `conditioning.py`.
Method: Dang et al., "EmotiCrafter: Text-to-Emotional-Image Generation based on Valence-Arousal Model",
ICCV 2025, arXiv 2501.05710.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import EmotionFeatures, EmotionNetwork, NetworkConfig
    from .weights import load_network, save_network

__all__ = ["EmotionFeatures", "EmotionNetwork", "NetworkConfig", "load_network", "save_network"]


def __getattr__(name: str):
    """Loads torch when one of these is asked for: `emoticrafter.files` and others need none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".weights" if name.endswith("_network") else ".network", __name__), name)
