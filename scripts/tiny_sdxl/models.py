"""The tiny SDXL's parts, made of ComfyUI's own classes with seeded random weights."""

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
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

CLIP_L = {"num_hidden_layers": 3, "intermediate_size": 128}
CLIP_G = {"num_hidden_layers": 3, "intermediate_size": 128}
"""The text encoders keep SDXL's widths (768, 1280) and tokenizers and lose most of their layers."""


def make_checkpoint() -> tuple:
    """(MODEL, CLIP, VAE), the same at every call."""
    return _model(), _clip(), _vae()


def _model() -> comfy.model_patcher.ModelPatcher:
    config = comfy.supported_models.SDXL(UNET)
    # "v_pred" makes the network's output the picture itself; with noise prediction an untrained network
    # would only leave its noise as it was.
    model = config.get_model({"v_pred": True})
    _fill(model.diffusion_model, seed=1)
    management = comfy.model_management
    return comfy.model_patcher.ModelPatcher(
        model, load_device=management.get_torch_device(), offload_device=management.unet_offload_device()
    )


def _clip() -> comfy.sd.CLIP:
    target = comfy.supported_models.SDXL(UNET).clip_target()
    options = {"clip_l_model_config": CLIP_L, "clip_g_model_config": CLIP_G}
    clip = comfy.sd.CLIP(target, model_options=options)
    _fill(clip.cond_stage_model, seed=2)
    return clip


def _vae() -> comfy.sd.VAE:
    model = comfy.taesd.taesd.TAESD()
    _fill(model, seed=3)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    state["vae_scale"], state["vae_shift"] = torch.tensor(1.0), torch.tensor(0.0)
    return comfy.sd.VAE(sd=state)


def make_controlnet() -> comfy.controlnet.ControlNet:
    """A ControlNet of the tiny SDXL's sizes; its hint is a picture of three channels."""
    config = {name: value for name, value in UNET.items() if name != "out_channels"}
    model = comfy.cldm.cldm.ControlNet(
        **config, hint_channels=3, num_head_channels=64, operations=comfy.ops.disable_weight_init
    )
    _fill(model, seed=4)
    return comfy.controlnet.ControlNet(model, load_device=comfy.model_management.get_torch_device())


@torch.no_grad()
def _fill(module: torch.nn.Module, seed: int) -> None:
    """Draw all weights: normal with 1/sqrt(inputs) deviation; norms are the identity, biases small."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in module.named_parameters():
        if weight.ndim > 1:
            inputs = weight[0].numel() if "embedding" not in name else 1
            weight.copy_(torch.randn(weight.shape, generator=generator) * inputs**-0.5)
        elif name.endswith("bias"):
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
        else:
            weight.fill_(1.0)
