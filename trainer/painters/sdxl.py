"""Draws with SDXL through diffusers: the prompt's features go through the emotion network, then into the pipeline.

The file of a baseline (emoticrafter/research/baselines.py) may take the network's place.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image as Pillow
from torch import Tensor

from emoticrafter import load_network
from emoticrafter.research.baselines import is_baseline, load_baseline
from trainer.baselines.patches import emotional
from trainer.core.command_line import quiet
from trainer.core.rows import DataError
from trainer.painters.plan import SDXL, Task
from trainer.painters.settings import SdxlSettings

EMBEDS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
"""In the order of a pipeline's encode_prompt."""


class SdxlPainter:
    """A pipeline and an emotion network on one device: in float16 on a GPU, in float32 elsewhere.

    Raises:
        DataError: The model is missing, or the network reads features of another width.
    """

    def __init__(self, settings: SdxlSettings, device: str):
        quiet()
        dtype = torch.float16 if device.startswith("cuda") else torch.float32
        self.pipeline = _load(settings.model, dtype).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        self.settings, self.device = settings, device
        self.network, self.baseline = None, None
        if settings.network and is_baseline(settings.network):
            self.baseline = load_baseline(settings.network, device)
        elif settings.network:
            self.network = load_network(settings.network, device=device)
            own, width = self.network.config.feature_width, self.pipeline.unet.config.cross_attention_dim
            if own != width:
                raise DataError(f"{settings.network} reads text features {own} wide, and {settings.model} has {width}.")
        self.encode = lru_cache(maxsize=4)(self._encode)

    @property
    def guided(self) -> bool:
        return self.settings.guidance > 1

    @torch.no_grad()
    def _encode(self, prompt: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.pipeline.encode_prompt(prompt, device=self.device, do_classifier_free_guidance=self.guided)

    @torch.no_grad()
    def draw(self, tasks: Sequence[Task]) -> list[Pillow.Image]:
        """Pictures of a batch; each one's noise follows only from its seed."""
        if self.baseline is not None:
            prompts, *at = zip(*((task.text, task.valence, task.arousal) for task in tasks), strict=True)
            strength = self.settings.strength
            with emotional(self.pipeline, self.baseline, prompts, *at, strength, self.guided) as features:
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
            height=self.settings.size,
            width=self.settings.size,
            num_inference_steps=self.settings.steps,
            guidance_scale=self.settings.guidance,
            generator=[torch.Generator().manual_seed(task.seed) for task in tasks],
        )
        return found.images

    def _features(self, task: Task) -> tuple:
        features, negative, pooled, negative_pooled = self.encode(task.text)
        if self.network is not None:
            emotion = self.network.encode(task.valence, task.arousal)
            changed = self.network.inject(features.float(), emotion, self.settings.strength)
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
