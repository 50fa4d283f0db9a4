"""Frozen models as a loss sees them: what they make of prompts, and the velocity that they predict of a noisy picture.

A noisy picture is alpha x + sigma noise. Its velocity is the direction in which that changes: alpha noise - sigma x for
diffusion, noise - x for flow matching. A model that predicts the noise says the same in other units.

Shapes: B batch, T tokens, D feature width; latents are [B, 4, H, W].
"""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

import torch
from diffusers import Lumina2Transformer2DModel
from torch import Tensor

from emoticrafter.encoders import CLIP_WINDOW
from trainer.miniature import flow
from trainer.miniature.generator import plain_attention
from trainer.miniature.models import size_and_crop, tokenize
from trainer.miniature.recipe import FlowRecipe
from trainer.pictures.base import Base


class Text(NamedTuple):
    """What a model reads of B prompts."""

    features: Tensor
    """[B, T, D]."""
    mask: Tensor | None = None
    """[B, T], True for tokens that count; None for all."""
    pooled: Tensor | None = None
    """[B, P], where the model reads one."""


class Noise(NamedTuple):
    """Noise levels of B pictures, float32 [B] each."""

    time: Tensor
    """As the model is told."""
    alpha: Tensor
    sigma: Tensor


class Model(Protocol):
    """A frozen model.

    Attributes:
        name: For people.
        fingerprint: sha256 of its file.
        feature_width: D.
        window: Tokens of a prompt's window, None where a prompt is one piece.
        device: Where it is.
    """

    name: str
    fingerprint: str
    feature_width: int
    window: int | None
    device: torch.device

    def read(self, prompts: list[str]) -> Text:
        """The prompts' text, without a gradient."""

    def noise(self, share: Tensor) -> Noise:
        """The noise levels that stand at these shares, [B] in [0, 1), of how the model is trained."""

    def wanted(self, latents: Tensor, noise: Tensor, at: Noise) -> Tensor:
        """The velocity of pictures that are known, [B, 4, H, W]."""

    def velocity(self, noisy: Tensor, at: Noise, text: Text) -> Tensor:
        """The velocity that the model predicts, [B, 4, H, W] float32."""

    def levels(self, steps: int) -> Noise:
        """The noise levels before each step of a sampler, [steps], from all noise down."""

    def apart(self, noisy: Tensor, at: Noise, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """The picture and the noise of which a velocity makes a noisy picture, [B, 4, H, W] each."""

    def attention(self) -> AbstractContextManager:
        """The fastest attention, to compute a loss within."""


def spread(values: Tensor) -> Tensor:
    """[B] -> [B, 1, 1, 1]."""
    return values[:, None, None, None]


class UNetModel:
    """SDXL or the first miniature."""

    window = CLIP_WINDOW

    def __init__(self, base: Base):
        self.base, self.name, self.fingerprint = base, base.name, base.fingerprint
        self.feature_width, self.device = base.unet.config.cross_attention_dim, base.unet.device
        self.predicts_noise = base.schedule.config.prediction_type == "epsilon"
        self.alphas = base.schedule.alphas_cumprod.to(self.device).sqrt()

    @torch.no_grad()
    def read(self, prompts: list[str]) -> Text:
        features, pooled = self.base.text(tokenize(prompts).to(self.device))
        return Text(features, None, pooled)

    def noise(self, share: Tensor) -> Noise:
        """Evenly over the schedule's timesteps."""
        return self._at((share * len(self.alphas)).long())

    def _at(self, time: Tensor) -> Noise:
        alpha = self.alphas[time]
        return Noise(time, alpha, (1 - alpha**2).sqrt())

    def wanted(self, latents: Tensor, noise: Tensor, at: Noise) -> Tensor:
        return spread(at.alpha) * noise - spread(at.sigma) * latents

    def velocity(self, noisy: Tensor, at: Noise, text: Text) -> Tensor:
        sizes = size_and_crop(len(noisy), 8 * noisy.shape[-1], self.device)
        added = {"text_embeds": text.pooled, "time_ids": sizes}
        predicted = self.base.unet(noisy, at.time, text.features, added_cond_kwargs=added).sample.float()
        if not self.predicts_noise:
            return predicted
        # x = (noisy - sigma noise) / alpha, put into alpha noise - sigma x
        return (predicted - spread(at.sigma) * noisy) / spread(at.alpha)

    def levels(self, steps: int) -> Noise:
        """Whole timesteps, evenly from the last down, as ComfyUI's scheduler "simple" has them."""
        count = len(self.alphas)
        times = [count - 1 - int(step * count / steps) for step in range(steps)]
        return self._at(torch.tensor(times, device=self.device))

    def apart(self, noisy: Tensor, at: Noise, velocity: Tensor) -> tuple[Tensor, Tensor]:
        # noisy = alpha x + sigma noise and velocity = alpha noise - sigma x are a rotation, here turned back
        alpha, sigma = spread(at.alpha), spread(at.sigma)
        return alpha * noisy - sigma * velocity, sigma * noisy + alpha * velocity

    def attention(self) -> AbstractContextManager:
        # What is computed a second time is so after the loss, where no context reaches.
        return nullcontext() if self.base.unet.is_gradient_checkpointing else plain_attention(self.device)


class FlowModel:
    """The second miniature."""

    window = None

    def __init__(
        self, recipe: FlowRecipe, transformer: Lumina2Transformer2DModel, text: flow.FlowText, fingerprint: str
    ):
        self.recipe, self.transformer, self.text = recipe, transformer, text
        self.name, self.fingerprint = "the second miniature", fingerprint
        self.feature_width, self.device = recipe.text_width, transformer.device

    def read(self, prompts: list[str]) -> Text:
        return Text(*self.text(prompts))

    def noise(self, share: Tensor) -> Noise:
        """Logit-normal, as it was trained."""
        normal = torch.special.ndtri(share.clamp(1e-6, 1 - 1e-6))
        sigma = torch.sigmoid(normal + self.recipe.level_mean)
        return Noise(sigma, 1 - sigma, sigma)

    def wanted(self, latents: Tensor, noise: Tensor, at: Noise) -> Tensor:
        return noise - latents

    def velocity(self, noisy: Tensor, at: Noise, text: Text) -> Tensor:
        return flow.velocity(self.transformer, noisy, at.time, text.features, text.mask)

    def levels(self, steps: int) -> Noise:
        sigma = flow.noise_levels(steps, self.recipe.shift)[:-1].to(self.device)
        return Noise(sigma, 1 - sigma, sigma)

    def apart(self, noisy: Tensor, at: Noise, velocity: Tensor) -> tuple[Tensor, Tensor]:
        return noisy - spread(at.sigma) * velocity, noisy + spread(at.alpha) * velocity

    def attention(self) -> AbstractContextManager:
        return plain_attention(self.device)
