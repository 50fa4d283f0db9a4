"""Draws the pictures of points as a KSampler and a VAE Decode do: one after the other, all from the same noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import comfy.sample
import latent_preview
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..emoticrafter.va import Point
from .networks import ManagedNetwork, encode, inject
from .progress import Shown

NEUTRAL = Point(0.0, 0.0)


def fitted_latent(model: ModelPatcher, latent: dict) -> Tensor:
    """A latent's tensor, with the channels and, if it is empty, the size of the model's latents."""
    ratio = latent.get("downscale_ratio_spacial")  # of ComfyUIs that fit an empty latent to the model
    return comfy.sample.fix_empty_latent_channels(model, latent["samples"], *([ratio] if ratio else []))


@dataclass
class Drawing:
    """What the pictures of all points have in common, named as KSampler's inputs.

    Attributes:
        latent: Of one picture.
        shown: Is told of every step, in parts of a picture.
        done: Pictures so far.
    """

    model: ModelPatcher
    vae: object
    positive: list
    negative: list
    network: ManagedNetwork
    strength: float
    latent: dict
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    shown: Shown
    done: int = 0

    def draw(self, points: Sequence[Point]) -> Tensor:
        """Pictures [B, H, W, 3]; neutral is the prompt without emotion.

        Raises:
            ValueError: The network cannot steer the prompt.
            InterruptProcessingException: The user stopped it.
        """
        # all at once, so that a small card loads the network once
        prompts = [self._prompt(point) for point in points]
        latents = torch.cat([self._sample(prompt) for prompt in prompts])
        images = self.vae.decode(latents)
        return images[:, 0] if images.ndim == 5 else images  # a video model's picture is a video of one frame

    def _prompt(self, point: Point) -> list:
        if point == NEUTRAL:
            return self.positive
        return inject(self.positive, encode(self.network, *point), self.strength)

    def _sample(self, positive: list) -> Tensor:
        samples = fitted_latent(self.model, self.latent)
        found = comfy.sample.sample(
            self.model,
            comfy.sample.prepare_noise(samples, self.seed, self.latent.get("batch_index")),
            self.steps,
            self.cfg,
            self.sampler_name,
            self.scheduler,
            positive,
            self.negative,
            samples,
            noise_mask=self.latent.get("noise_mask"),
            callback=self._follow(),
            disable_pbar=True,
            seed=self.seed,
        )
        self.done += 1
        return found

    def _follow(self):
        """What the sampler calls after each step."""
        previewer = latent_preview.get_previewer(self.model.load_device, self.model.model.latent_format)

        def step_done(step: int, denoised: Tensor, _noisy: Tensor, steps: int) -> None:
            picture = previewer.decode_latent_to_preview(denoised) if previewer else None
            self.shown.advance(self.done + (step + 1) / steps, picture=picture)

        return step_done
