"""Writes the miniature's weights for shipping: float16 safetensors under ComfyUI's names.

    python -m trainer.miniature export --out runs/miniature --to miniature

unet.safetensors, text_encoders.safetensors, vae.safetensors, emotion_network.safetensors and readers.safetensors;
`comfyui_layout` says how ComfyUI builds its classes from them.
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from emoticrafter.files import write_atomically
from trainer.miniature.comfyui_layout import text_sizes, text_state, unet_sizes, unet_state, vae_state
from trainer.miniature.models import TextEncoders
from trainer.miniature.recipe import Recipe

FORMAT, VERSION = "emoticrafter-miniature", "1"


def write_part(path: Path, state: dict[str, Tensor], config: dict) -> None:
    """Writes tensors in float16 with a config beside them in the file.

    Raises:
        ValueError: A weight that float16 cannot hold.
    """
    halves = {name: tensor.detach().cpu().half().contiguous() for name, tensor in state.items()}
    for name, tensor in halves.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path.name}: {name} is not finite in float16. Train it anew with a lower rate.")
    metadata = {"format": FORMAT, "version": VERSION, "config": json.dumps(config)}
    write_atomically(path, lambda temporary: save_file(halves, temporary, metadata))


def export_model(
    unet: UNet2DConditionModel, text: TextEncoders, autoencoder: AutoencoderTiny, recipe: Recipe, to: Path
) -> None:
    """Writes the three files that ComfyUI's MODEL, CLIP and VAE are made of."""
    write_part(to / "unet.safetensors", unet_state(unet.state_dict(), recipe), unet_sizes(recipe))
    encoders = text_state(text.whole_clip_l().state_dict(), text.clip_g.state_dict())
    write_part(to / "text_encoders.safetensors", encoders, text_sizes(recipe))
    config = autoencoder.config
    latents = vae_state(autoencoder.state_dict(), 1 / config.scaling_factor, config.shift_factor)
    write_part(to / "vae.safetensors", latents, {"latent_channels": 4})
