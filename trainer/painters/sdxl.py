"""Draws with SDXL through diffusers: the prompt's features go through the emotion network, then into the pipeline.

The file of a baseline (emoticrafter/research/baselines.py) may take the network's place.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image as Pillow
from torch import Tensor

from emoticrafter import load_network
from emoticrafter.files import file_sha256
from emoticrafter.research.baselines import is_baseline, load_baseline
from trainer.baselines.patches import emotional
from trainer.core.rows import DataError
from trainer.painters.plan import SDXL, Task

EMBEDS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)
"""What a pipeline's encode_prompt gives, in its order."""
FLOPS_A_STEP = 12e12
"""Of SDXL's UNet at 1024 x 1024, with and without the prompt: 2 x 6 TFLOP."""


class SdxlPainter:
    """A pipeline and an emotion network on one device."""

    def __init__(
        self,
        model: str,
        network: Path | None,
        device: str,
        size: int = 1024,
        steps: int = 25,
        guidance: float = 7.5,
        strength: float = 1.0,
    ):
        """
        Args:
            model: A diffusers folder, a hub id, or a single .safetensors checkpoint.
            network: The emotion network's file, or a baseline's; None draws the plain prompts.
            device: Where to draw; float16 on a GPU, float32 elsewhere.
            size: Pixels of a side.
            steps, guidance: Of the sampler, which is the model's own.
            strength: Of the emotion.

        Raises:
            DataError: the model is not there, or the network reads features of another width.
        """
        self.pipeline = _load(model, torch.float16 if device.startswith("cuda") else torch.float32).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        self.device, self.size, self.steps, self.guidance = device, size, steps, guidance
        self.network, self.baseline, self.strength = None, None, strength
        if network and is_baseline(network):
            self.baseline = load_baseline(network, device)
        elif network:
            self.network = load_network(network, device=device)
            width = self.pipeline.unet.config.cross_attention_dim
            if self.network.config.feature_width != width:
                raise DataError(
                    f"{network} reads text features {self.network.config.feature_width} wide, and {model} has {width}."
                )
        self.encode = lru_cache(maxsize=4)(self._encode)

    @torch.no_grad()
    def _encode(self, prompt: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.pipeline.encode_prompt(
            prompt, device=self.device, do_classifier_free_guidance=self.guidance > 1
        )

    @torch.no_grad()
    def draw(self, tasks: Sequence[Task]) -> list[Pillow.Image]:
        """Pictures of a batch; each one's noise follows from its seed alone."""
        if self.baseline is not None:
            prompts, *at = zip(*((task.text, task.valence, task.arousal) for task in tasks), strict=True)
            guided = self.guidance > 1
            with emotional(self.pipeline, self.baseline, prompts, *at, self.strength, guided) as features:
                return self._paint(features, tasks)
        parts = [self._features(task) for task in tasks]
        features = {
            name: torch.cat(column)
            for name, column in zip(EMBEDS, zip(*parts, strict=True), strict=True)
            if column[0] is not None
        }
        return self._paint(features, tasks)

    def _paint(self, features: dict[str, Tensor], tasks: Sequence[Task]) -> list[Pillow.Image]:
        found = self.pipeline(
            **features,
            height=self.size,
            width=self.size,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=[torch.Generator().manual_seed(task.seed) for task in tasks],
        )
        return found.images

    def _features(self, task: Task) -> tuple:
        features, negative, pooled, negative_pooled = self.encode(task.text)
        if self.network is not None:
            emotion = self.network.encode(task.valence, task.arousal)
            changed = self.network.inject(features.float(), emotion, self.strength)
            if not torch.isfinite(changed).all():
                raise DataError(f"The emotion network gave NaN or infinite numbers for {task.prompt!r}.")
            features = changed.to(features.dtype)
        return features, negative, pooled, negative_pooled


def _load(model: str, dtype: torch.dtype) -> StableDiffusionXLPipeline:
    try:
        if model.endswith(".safetensors"):
            return StableDiffusionXLPipeline.from_single_file(model, torch_dtype=dtype, add_watermarker=False)
        return StableDiffusionXLPipeline.from_pretrained(model, torch_dtype=dtype, add_watermarker=False)
    except (OSError, ValueError) as error:
        why = str(error).strip().split("\n")[0][:200]
        raise DataError(
            f"{model} could not be loaded as SDXL: expected a diffusers folder, a .safetensors checkpoint, or a hub id "
            f"such as {SDXL}. For a machine without a connection, run `hf download {SDXL} --local-dir DIR` on another "
            f"and give the folder DIR. ({why})"
        ) from error


def settings(
    model: str, network: Path | None, size: int, steps: int, guidance: float, strength: float
) -> dict:
    """What the pictures depend on beside the task."""
    return {
        "painter": "diffusers",
        "model": model,
        "network": file_sha256(network)[:16] if network else None,
        "size": size,
        "steps": steps,
        "guidance": guidance,
        "strength": strength if network else None,
    }
