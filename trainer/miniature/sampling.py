"""Pictures from the miniature in batches, equal to ComfyUI's KSampler with sampler "euler" and scheduler "simple".

The schedule "simple" takes whole timesteps, so that both compute the same numbers; a test holds their pictures to
one level of 8 bits.
"""

from collections.abc import Callable

import torch
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor

from emoticrafter.conditioning import BEFORE_THE_STEP
from trainer.miniature.models import noise_schedule, size_and_crop


def euler_simple(steps: int) -> EulerDiscreteScheduler:
    """The scheduler: timesteps evenly from 999 down, the last sigma 0, the first noise as ComfyUI scales it."""
    known = noise_schedule().config
    scheduler = EulerDiscreteScheduler.from_config(known, timestep_spacing="leading")
    scheduler.set_timesteps(timesteps=[999 - int(step * 1000 / steps) for step in range(steps)])
    return scheduler


def has_begun(share: float, start: float) -> bool:
    """Whether what begins at `start` counts at a step, `share` of the way from all noise (0) to none (1)."""
    return share >= start - BEFORE_THE_STEP


@torch.no_grad()
def sample(
    unet: UNet2DConditionModel,
    positive: tuple[Tensor, Tensor],
    negative: tuple[Tensor, Tensor],
    noise: Tensor,
    steps: int,
    guidance: float,
    progress: Callable[[int], None] | None = None,
    *,
    opening: tuple[Tensor, Tensor] | None = None,
    start: float = 0.0,
) -> Tensor:
    """Latents for a batch of prompts.

    Args:
        unet: The UNet, on the noise's device.
        positive: Features [B, 77, D] and pooled vectors [B, P].
        negative: The same for the empty prompt, [1, 77, D] and [1, P].
        noise: [B, 4, H, W], normal.
        steps: Steps of the sampler.
        guidance: Guidance scale (ComfyUI's cfg); 1 is none.
        progress: Called after every step with its number.
        opening: As `positive`, and in its place before `start`.
        start: ComfyUI's start_percent of `positive`, from 0 to 1; counts with an `opening`.

    Returns:
        Latents [B, 4, H, W] of deviation 1.
    """
    batch, device = len(noise), noise.device
    scheduler = euler_simple(steps)
    sizes = size_and_crop(2 * batch, 8 * noise.shape[-1], device)
    latents = noise * scheduler.init_noise_sigma
    for number, timestep in enumerate(scheduler.timesteps):
        text, pooled = positive if opening is None or has_begun(1 - float(timestep) / 999, start) else opening
        features = torch.cat([text, negative[0].expand(batch, -1, -1)])
        added = {"text_embeds": torch.cat([pooled, negative[1].expand(batch, -1)]), "time_ids": sizes}
        scaled = scheduler.scale_model_input(latents, timestep)
        predicted = unet(
            torch.cat([scaled, scaled]), timestep.to(device), features, added_cond_kwargs=added
        ).sample.float()
        wanted, plain = predicted.chunk(2)
        latents = scheduler.step(plain + guidance * (wanted - plain), timestep, latents).prev_sample
        if progress:
            progress(number)
    return latents
