"""The folders of a run of the miniature, each written whole or not at all."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from trainer.miniature.models import TextEncoders
from trainer.miniature.recipe import Recipe


def needs(out: Path, *stages: str) -> None:
    """Checks that a run has done the stages that a command reads.

    Raises:
        FileNotFoundError: It has not; the text names the stage to run.
    """
    for stage in stages:
        if not (out / stage).exists():
            raise FileNotFoundError(
                f"{out / stage} does not exist: run the stage first, "
                f"python -m trainer.miniature train --out {out} --stages {stage}"
            )


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary folder, then moves it to `path`, which must not exist yet."""
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    temporary.replace(path)


def save_generator(unet: UNet2DConditionModel, text: TextEncoders, folder: Path) -> None:
    """Writes UNet and text encoders as a diffusers folder, which the trainer reads as a source of encoders."""

    def write(temporary: Path) -> None:
        unet.save_pretrained(temporary / "unet")
        text.whole_clip_l().save_pretrained(temporary / "text_encoder")
        text.clip_g.save_pretrained(temporary / "text_encoder_2")

    write_folder(folder, write)


def load_generator(folder: Path, recipe: Recipe) -> tuple[UNet2DConditionModel, TextEncoders]:
    """Reads what `save_generator` wrote, in float32 on the CPU, for evaluation."""
    text = TextEncoders(recipe)
    text.load_clip_l(CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32))
    text.clip_g = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)
    return unet.eval().requires_grad_(False), text.eval().requires_grad_(False)


def load_autoencoder(folder: Path) -> AutoencoderTiny:
    """Reads the autoencoder of a run."""
    return AutoencoderTiny.from_pretrained(folder, low_cpu_mem_usage=False).eval().requires_grad_(False)
