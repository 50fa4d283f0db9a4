"""The tiny SDXL's parts, made of ComfyUI's own classes with seeded random weights."""

import comfy.cldm.cldm
import comfy.controlnet
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.taesd.taesd
import torch

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 2],
    "transformer_depth": [0, 1, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 1, 1, 1, 1],
    "context_dim": 2048,
    "adm_in_channels": 2816,
    "num_classes": "sequential",
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "use_checkpoint": False,
    "legacy": False,
    "dtype": torch.float32,
}
"""SDXL's plan with a tenth of its channels, one block a level and one transformer where SDXL has two or ten."""

REFINER_UNET = {**UNET, "context_dim": 1280, "adm_in_channels": 2560}
"""The refiner reads the second text encoder alone, and an aesthetic score beside sizes and crops."""

CLIP_L = {"num_hidden_layers": 3, "intermediate_size": 128}
CLIP_G = {"num_hidden_layers": 3, "intermediate_size": 128}
"""The text encoders keep SDXL's widths (768, 1280) and tokenizers and lose most of their layers."""


def make_checkpoint() -> tuple:
    """(MODEL, CLIP, VAE), the same at every call."""
    config = comfy.supported_models.SDXL(UNET)
    # "v_pred" makes the network's output the picture itself; with noise prediction an untrained network
    # would only leave its noise as it was.
    return _model(config.get_model({"v_pred": True}), seed=1), _clip(config), _vae()


def make_refiner() -> tuple:
    """(MODEL, CLIP, VAE) of a refiner, whose text is 1280 wide; it can only predict noise."""
    config = comfy.supported_models.SDXLRefiner(REFINER_UNET)
    return _model(config.get_model({}), seed=7), _clip(config), _vae()


def _model(model: comfy.model_base.BaseModel, seed: int) -> comfy.model_patcher.ModelPatcher:
    _fill(model.diffusion_model, seed)
    _heed_the_text(model.diffusion_model)
    management = comfy.model_management
    return comfy.model_patcher.ModelPatcher(
        model, load_device=management.get_torch_device(), offload_device=management.unet_offload_device()
    )


@torch.no_grad()
def _heed_the_text(unet: torch.nn.Module) -> None:
    """Let the text move an untrained picture visibly, and keep the latents near deviation 1."""
    for name, weight in unet.named_parameters():
        if "attn2.to_v" in name or "attn2.to_out" in name:
            weight.mul_(2.0)
        elif name.startswith("out.2"):
            weight.mul_(0.3)


def _clip(config: comfy.supported_models_base.BASE) -> comfy.sd.CLIP:
    options = {"clip_l_model_config": CLIP_L, "clip_g_model_config": CLIP_G}
    clip = comfy.sd.CLIP(config.clip_target(), model_options=options)
    _fill(clip.cond_stage_model, seed=2)
    return clip


def _vae() -> comfy.sd.VAE:
    vae = comfy.sd.VAE(sd=comfy.taesd.taesd.TAESD().state_dict())
    model = vae.first_stage_model
    _fill(model, seed=3, grain=0.3)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.padding_mode = "replicate"  # zeros would give every picture a coloured rim
    _calibrate_colours(model.taesd_decoder)
    # The decoder is made for latents of deviation 1; ComfyUI hands over what SDXL's format divides.
    model.vae_scale.data.fill_(comfy.latent_formats.SDXL().scale_factor)
    model.vae_shift.data.zero_()
    return vae


@torch.no_grad()
def _calibrate_colours(decoder: torch.nn.Sequential) -> None:
    """Let latents of deviation 1 decode to pictures that use the range 0 to 1 without being cut off."""
    for name, weight in decoder.named_parameters():
        if name.endswith("bias"):
            weight.zero_()
    coarse = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    latents = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")
    pictures = decoder(latents)  # [1, 3, 128, 128]
    scale = 0.25 / pictures.std((0, 2, 3))
    decoder[-1].weight.mul_(scale[:, None, None, None])
    decoder[-1].bias.copy_(0.5 - scale * pictures.mean((0, 2, 3)))


def make_controlnet() -> comfy.controlnet.ControlNet:
    """A ControlNet of the tiny SDXL's sizes; its hint is a picture of three channels."""
    config = {name: value for name, value in UNET.items() if name != "out_channels"}
    model = comfy.cldm.cldm.ControlNet(
        **config, hint_channels=3, num_head_channels=64, operations=comfy.ops.disable_weight_init
    )
    _fill(model, seed=4)
    return comfy.controlnet.ControlNet(model, load_device=comfy.model_management.get_torch_device())


@torch.no_grad()
def _fill(module: torch.nn.Module, seed: int, grain: float = 0.6) -> None:
    """Draw all weights: normal with 1/sqrt(inputs) deviation; norms are the identity, biases small.

    A 3 x 3 kernel is part blur and part noise (`grain`): with noise alone a picture has no shapes.
    """
    generator = torch.Generator().manual_seed(seed)
    blur = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0]))
    blur /= blur.norm()
    for name, weight in module.named_parameters():
        if "token_embedding" in name:  # 49,408 words: drawn 32 numbers wide and repeated, to be made at once
            drawn = torch.randn(len(weight), 32, generator=generator)
            weight.copy_(drawn.repeat(1, weight.shape[1] // 32))
            continue
        drawn = torch.randn(weight.shape, generator=generator)
        if weight.ndim == 4 and weight.shape[-1] == 3:
            kernels = (1 - grain) * drawn[..., :1, :1] * blur + grain * drawn / 3
            weight.copy_(kernels * weight.shape[1] ** -0.5)
        elif weight.ndim > 1:
            inputs = 1 if "embedding" in name else weight[0].numel()
            weight.copy_(drawn * inputs**-0.5)
        elif name.endswith("bias"):
            weight.copy_(drawn * 0.1)
        else:
            weight.fill_(1.0)
