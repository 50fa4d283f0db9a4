"""Untrained stand-ins for models that come in parts (Z-Image, Qwen-Image, Flux.1), as ComfyUI nodes, for tests.

Real ComfyUI classes at small size with random weights, which small_encoders.py and small_models.py make.
"""

import sys
from importlib import import_module
from pathlib import Path

# The pack, linked or copied beside this folder. At the end: in front, its nodes/ would be found before ComfyUI's.
sys.path.append(str(Path(__file__).parents[1] / "emoticrafter-comfyui"))
FAMILIES = ["Z-Image", "Qwen-Image", "Flux.1"]


class _Small:
    CATEGORY = "tests"
    FUNCTION = "load"
    INPUT_TYPES = classmethod(lambda cls: {"required": {"family": (FAMILIES,)}})


class SmallModel(_Small):
    """Stands where UNETLoader does."""

    DESCRIPTION = "An untrained, small diffusion model of a family."
    RETURN_TYPES = ("MODEL",)

    def load(self, family):
        model, _latent = import_module("scripts.small_models").small_model(family)
        return (model,)


class SmallCLIP(_Small):
    """Stands where CLIPLoader and DualCLIPLoader do."""

    DESCRIPTION = "The untrained, small text encoders of a family, with its own tokenizers."
    RETURN_TYPES = ("CLIP",)

    def load(self, family):
        return (import_module("scripts.small_encoders").small_clip(family),)


class SmallVAE(_Small):
    """Stands where VAELoader does."""

    DESCRIPTION = "An untrained, small autoencoder for the latents of a family."
    RETURN_TYPES = ("VAE",)

    def load(self, family):
        return (import_module("scripts.small_models").small_vae(family),)


NODE_CLASS_MAPPINGS = {"SmallModel": SmallModel, "SmallCLIP": SmallCLIP, "SmallVAE": SmallVAE}
