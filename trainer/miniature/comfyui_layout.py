"""The miniature's weights under the names that ComfyUI's classes have, and the sizes that build those classes.

nodes/miniature_model.py builds the three parts from them: MODEL with the UNet's sizes in comfy.supported_models.SDXL,
CLIP with the text encoders' sizes as options, VAE as a TAESD. By the key "v_pred" beside the UNet's weights ComfyUI
knows that the velocity is predicted.

ComfyUI divides latents by 0.13025 before it decodes and multiplies after it encodes; TAESD's vae_scale and
vae_shift take that back, and give the latents deviation 1 and mean 0.
"""

import re

import torch
from torch import Tensor

from trainer.miniature.models import TIME_WIDTH
from trainer.miniature.recipe import Recipe

LATENT_SCALE = 0.13025  # ComfyUI's latent format of SDXL


def unet_sizes(recipe: Recipe) -> dict:
    """The config of ComfyUI's UNet (without its dtype)."""
    first, levels = recipe.unet_channels[0], len(recipe.unet_channels)
    depths, layers = recipe.unet_transformers, recipe.unet_layers
    return {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": first,
        "num_res_blocks": [layers] * levels,
        "channel_mult": [width // first for width in recipe.unet_channels],
        "transformer_depth": [depth for depth in depths for _ in range(layers)],
        "transformer_depth_middle": max(depths[-1], 1),
        "transformer_depth_output": [depth for depth in depths for _ in range(layers + 1)],
        "context_dim": sum(recipe.text_widths),
        "adm_in_channels": recipe.text_widths[1] + 6 * TIME_WIDTH,
        "num_classes": "sequential",
        "use_spatial_transformer": True,
        "use_linear_in_transformer": True,
        "use_checkpoint": False,
        "legacy": False,
    }


def text_sizes(recipe: Recipe) -> dict:
    """The options of ComfyUI's CLIP."""
    return {
        f"clip_{letter}_model_config": {
            "hidden_size": width,
            "num_attention_heads": width // 32,
            "num_hidden_layers": recipe.text_layers,
            "intermediate_size": 4 * width,
        }
        for letter, width in zip("lg", recipe.text_widths, strict=True)
    }


_OUTER = {
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
_RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}


def unet_state(state: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Renames diffusers' UNet2DConditionModel to ComfyUI's UNetModel, and adds the mark of velocity prediction."""
    renamed = {_unet_name(name, recipe): tensor for name, tensor in state.items()}
    return renamed | {"v_pred": torch.zeros(1)}


def _unet_name(name: str, recipe: Recipe) -> str:
    for theirs, ours in _OUTER.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    block, kind, number, rest = re.fullmatch(
        r"(down_blocks\.\d+|mid_block|up_blocks\.\d+)\.([a-z]+)\.(\d+)\.(.+)", name
    ).groups()
    if kind == "resnets":
        part = next(part for part in _RESNET if rest.startswith(part))
        rest = _RESNET[part] + rest.removeprefix(part)
    elif kind == "downsamplers":
        rest = rest.replace("conv.", "op.")
    return f"{_unet_place(block, kind, int(number), recipe)}.{rest}"


def _unet_place(block: str, kind: str, number: int, recipe: Recipe) -> str:
    """ComfyUI's name for a resnet, an attention or a resampler: numbered blocks, each a list of parts."""
    layers, levels = recipe.unet_layers, len(recipe.unet_channels)
    if block == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * number}"
    side, level = block.split(".")
    level, part = int(level), int(kind == "attentions")
    if side == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{(layers + 1) * (level + 1)}.0"
        return f"input_blocks.{1 + (layers + 1) * level + number}.{part}"
    if kind == "upsamplers":
        attended = recipe.unet_transformers[levels - 1 - level] > 0
        return f"output_blocks.{(layers + 1) * level + layers}.{1 + attended}"
    return f"output_blocks.{(layers + 1) * level + number}.{part}"


def text_state(clip_l: dict[str, Tensor], clip_g: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames transformers' CLIPTextModel and CLIPTextModelWithProjection to ComfyUI's SDXL CLIP."""
    named = {}
    for letter, state in (("l", clip_l), ("g", clip_g)):
        for name, tensor in state.items():
            inner = name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}"
            named[f"clip_{letter}.transformer.{inner}"] = tensor
    return named


def vae_state(state: dict[str, Tensor], deviation: float, mean: float) -> dict[str, Tensor]:
    """Renames diffusers' AutoencoderTiny to ComfyUI's TAESD, whose decoder has the clamp as its layer 0.

    Args:
        state: The autoencoder's weights.
        deviation: Of the raw latents.
        mean: Of the raw latents.
    """
    named = {}
    for name, tensor in state.items():
        side, _, number, rest = name.split(".", 3)
        named[f"taesd_{side}.{int(number) + (side == 'decoder')}.{rest}"] = tensor
    scale = deviation * LATENT_SCALE
    return named | {"vae_scale": torch.tensor(scale), "vae_shift": torch.tensor(-mean / scale)}
