"""A frozen text-to-image model with SDXL's conditioning: a diffusers folder, of the miniature or of SDXL."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from emoticrafter.files import file_sha256
from trainer.core.device import Machine
from trainer.features.tokenizer import END
from trainer.miniature.models import noise_schedule

PARTS = ("unet", "text_encoder", "text_encoder_2")


class SDXLText(nn.Module):
    """Both text encoders of a diffusers folder, read as SDXL reads them; the miniature's class is called alike."""

    def __init__(self, clip_l: nn.Module, clip_g: nn.Module):
        super().__init__()
        self.clip_l, self.clip_g = clip_l, clip_g

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, 77] to features [B, 77, D] and pooled vectors [B, P]; D from the layers before the last."""
        narrow = self.clip_l(input_ids=tokens, output_hidden_states=True)
        past_end = (tokens == END).cumsum(1) > 1  # where bigG is padded with 0
        wide = self.clip_g(input_ids=tokens.masked_fill(past_end, 0), output_hidden_states=True)
        return torch.cat([narrow.hidden_states[-2], wide.hidden_states[-2]], dim=-1), wide.text_embeds


@dataclass
class Base:
    """A frozen text-to-image model with SDXL's conditioning.

    Attributes:
        unet: On the machine's device, with the text encoders.
        text: Tokens to features and pooled vectors.
        schedule: The noise that the UNet was trained with.
        name: The folder's.
        fingerprint: sha256 of the UNet's file, the first if there are several.
    """

    unet: UNet2DConditionModel
    text: SDXLText
    schedule: DDPMScheduler
    name: str
    fingerprint: str


def load_base(folder: Path, machine: Machine) -> Base:
    """Reads UNet and text encoders of a diffusers folder, frozen; in bfloat16 on a GPU that computes in it.

    Raises:
        FileNotFoundError: The folder lacks a part.
    """
    if missing := [part for part in PARTS if not (folder / part / "config.json").is_file()]:
        raise FileNotFoundError(f"{folder} is not a diffusers folder of SDXL: expected {missing[0]}/config.json in it.")
    half = machine.bfloat16 and machine.device.type == "cuda"
    dtype = torch.bfloat16 if half else torch.float32
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype)
    if unet.config.addition_embed_type != "text_time":
        raise ValueError(f"{folder} holds another model than SDXL: its UNet does not read a pooled vector.")
    text = SDXLText(
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=dtype),
        CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype=dtype),
    )
    known = folder / "scheduler"
    return Base(
        unet.to(machine.device).eval().requires_grad_(False),
        text.to(machine.device).eval().requires_grad_(False),
        DDPMScheduler.from_pretrained(known) if known.is_dir() else noise_schedule(),
        folder.resolve().name,
        weights_sha256(folder / "unet"),
    )


def weights_sha256(part: Path) -> str:
    """Of a part's weights, the first file if there are several; "" without any."""
    weights = sorted(part.glob("*.safetensors"))
    return file_sha256(weights[0]) if weights else ""
