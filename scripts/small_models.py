"""ComfyUI's own diffusion models and autoencoders at small size with random weights, for the small encoders' families.

To be imported in a process that has ComfyUI on its path.
"""

from importlib import import_module

import torch

from scripts.small_encoders import WIDTH, fill

_FLUX = {
    "in_channels": 16, "out_channels": 16, "context_in_dim": WIDTH, "hidden_size": 64, "mlp_ratio": 2.0, "num_heads": 1,
    "depth": 1, "depth_single_blocks": 1, "axes_dim": [16, 24, 24], "theta": 10000, "patch_size": 2, "qkv_bias": True,
    "vec_in_dim": None, "txt_ids_dims": [], "meanflow_sum": False,
}  # fmt: skip
_UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 64, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "transformer_depth": [0, 1], "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 1, 1], "use_spatial_transformer": True, "num_head_channels": 64, "legacy": False,
}  # fmt: skip
_LUMINA = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 64, "cap_feat_dim": WIDTH, "n_layers": 1,
    "n_refiner_layers": 1, "qk_norm": True, "n_heads": 1, "n_kv_heads": 1, "axes_dims": [16, 24, 24],
    "axes_lens": [600, 64, 64], "ffn_dim_multiplier": 1.0,
}  # fmt: skip

CONFIGS = {
    "Stable Diffusion 1.x": ("SD15", {**_UNET, "context_dim": WIDTH}),
    "SDXL": (
        "SDXL",
        {
            **_UNET, "context_dim": 2 * WIDTH, "use_linear_in_transformer": True, "num_classes": "sequential",
            "adm_in_channels": WIDTH + 1536,
        },
    ),
    "Stable Diffusion 3": (
        "SD3",
        {
            "in_channels": 16, "patch_size": 2, "depth": 1, "adm_in_channels": 2 * WIDTH, "num_patches": 64,
            "pos_embed_max_size": 8, "context_embedder_config": {
                "target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 64},
            },
        },
    ),
    "Flux.1": ("Flux", {"image_model": "flux", **_FLUX, "vec_in_dim": WIDTH, "guidance_embed": False}),
    "Chroma": (
        "Chroma",
        {
            "image_model": "chroma", **_FLUX, "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 64,
            "hidden_dim": 64, "n_layers": 1,
        },
    ),
    "Lumina 2": ("Lumina2", {**_LUMINA, "rope_theta": 10000.0}),
    "Z-Image": (
        "ZImage",
        {
            **_LUMINA, "dim": 256, "n_heads": 4, "n_kv_heads": 4, "rope_theta": 256.0, "z_image_modulation": True,
            "time_scale": 1000.0, "pad_tokens_multiple": 32,
        },
    ),
    "Qwen-Image": (
        "QwenImage",
        {
            "image_model": "qwen_image", "in_channels": 64, "num_layers": 1, "attention_head_dim": 64,
            "num_attention_heads": 1, "joint_attention_dim": WIDTH, "axes_dims_rope": (16, 24, 24),
        },
    ),
    "Flux.2": (
        "Flux2",
        {
            "image_model": "flux2", **_FLUX, "in_channels": 128, "out_channels": 128, "patch_size": 1,
            "context_in_dim": 3 * WIDTH, "axes_dim": [16, 16, 16, 16], "theta": 2000, "global_modulation": True,
            "vec_in_dim": None, "guidance_embed": False, "mlp_silu_act": True, "qkv_bias": False, "ops_bias": False,
            "default_ref_method": "index", "ref_index_scale": 10.0, "txt_ids_dims": [3],
        },
    ),
    "Wan": (
        "WAN21_T2V",
        {
            "image_model": "wan2.1", "dim": 128, "out_dim": 16, "num_heads": 1, "ffn_dim": 128, "num_layers": 1,
            "text_dim": WIDTH, "model_type": "t2v",
        },
    ),
    "HunyuanImage": (
        "HunyuanImage21",
        {
            "image_model": "hunyuan_video", **_FLUX, "in_channels": 64, "out_channels": 64, "patch_size": [1, 1],
            "axes_dim": [32, 32], "theta": 256, "vec_in_dim": None, "guidance_embed": False, "meanflow": False,
            "byt5": False, "use_cond_type_embedding": False, "vision_in_dim": None,
        },
    ),
    "HiDream-I1": (
        "HiDream",
        {
            "image_model": "hidream", "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 1,
            "num_single_layers": 1, "attention_head_dim": 64, "num_attention_heads": 1, "axes_dims_rope": [32, 16, 16],
            "max_resolution": [16, 16], "caption_channels": [WIDTH, WIDTH], "text_emb_dim": 2 * WIDTH,
            "llama_layers": [0, 1],
        },
    ),
}  # fmt: skip
"""Family -> the class in comfy.supported_models, and the sizes of its model."""
CONFIGS["Flux.2 Klein 4B"] = CONFIGS["Flux.2"]


PARAMETERS = {
    "Flux.1": "flux.model.FluxParams",
    "Flux.2": "flux.model.FluxParams",
    "Flux.2 Klein 4B": "flux.model.FluxParams",
    "Chroma": "chroma.model.ChromaParams",
    "HunyuanImage": "hunyuan_video.model.HunyuanVideoParams",
}
"""Where releases of ComfyUI ask for different sizes: the dataclass, below comfy.ldm, that knows which."""


def _sizes(name: str) -> tuple[str, dict]:
    """The class of a family's model and those of its sizes that this ComfyUI knows."""
    kind, config = CONFIGS[name]
    if name in PARAMETERS:
        module, parameters = PARAMETERS[name].rsplit(".", 1)
        known = getattr(import_module(f"comfy.ldm.{module}"), parameters).__dataclass_fields__
        config = {key: value for key, value in config.items() if key in known or key == "image_model"}
    return kind, config


def small_model(name: str):
    """The MODEL of a family as Load Diffusion Model would give it, and an empty latent for it, [1, C, ...]."""
    kind, config = _sizes(name)
    described = getattr(import_module("comfy.supported_models"), kind)({**config, "dtype": torch.float32})
    model = described.get_model({}, device=torch.device("cpu"))
    fill(model.diffusion_model)
    if hasattr(model.diffusion_model, "pos_embed"):
        model.diffusion_model.pos_embed.zero_()  # SD3's, part of the checkpoint
    cpu = torch.device("cpu")
    patcher = import_module("comfy.model_patcher").ModelPatcher(model, load_device=cpu, offload_device=cpu)
    space = model.latent_format
    size = [1, 8, 8] if space.latent_dimensions == 3 else [8, 8]
    return patcher, torch.zeros(1, space.latent_channels, *size)


_WAN_VAE = {
    "dim": 8, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": [],
    "temperal_downsample": [False, True, True], "dropout": 0.0,
}  # fmt: skip


def small_vae(name: str):
    """The VAE of a family whose latents have 16 channels: Wan's for Qwen-Image, a TAESD for the others."""
    if name == "Qwen-Image":
        model = import_module("comfy.ldm.wan.vae").WanVAE(**_WAN_VAE)
    else:
        model = import_module("comfy.taesd.taesd").TAESD(latent_channels=16)
    fill(model)
    return import_module("comfy.sd").VAE(sd=model.state_dict(), dtype=torch.float32)
