"""EmotiCrafter: continuous valence-arousal emotion for the text features of Stable Diffusion XL.

The network is in `network.py`, its files in `weights.py`, ComfyUI's conditioning in `conditioning.py`.
Method: Dang et al., "EmotiCrafter: Text-to-Emotional-Image Generation based on Valence-Arousal Model",
ICCV 2025, arXiv 2501.05710.
"""

from .network import EmotionFeatures, EmotionNetwork, NetworkConfig
from .weights import load_network, save_network

__all__ = ["EmotionFeatures", "EmotionNetwork", "NetworkConfig", "load_network", "save_network"]
