"""Trains the miniature's generator: the UNet and both text encoders together, on latents and captions.

Every sample is a picture with one of its captions, a feeling without content, or the empty prompt. The pooled vector
comes from another caption of the same content, in any mood: it tells content alone, and the mood is in the features,
where the emotion network changes it.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from emoticrafter.fit.loop import step_random
from trainer.core.device import Machine
from trainer.features.tokenizer import END
from trainer.miniature.folders import load_generator, save_generator
from trainer.miniature.models import TextEncoders, make_unet, noise_schedule, size_and_crop, unet_format
from trainer.miniature.recipe import Recipe
from trainer.runs.run import fit, small_schedule


class Denoising(nn.Module):
    """The UNet and the text encoders with their loss."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        self.unet, self.text = make_unet(recipe), TextEncoders(recipe)
        self.schedule = noise_schedule()

    def forward(self, latents: Tensor, tokens: Tensor, content: Tensor) -> Tensor:
        """The mean weighted error of the velocity at one random noise level per sample.

        Args:
            latents: [B, 4, H, W].
            tokens: The captions, [B, 77].
            content: The pooled vectors' captions, [B, up to 77].
        """
        features, _ = self.text(tokens)
        pooled = self.text.pooled(content)
        return denoising_loss(self.unet, self.schedule, latents, features, pooled, self.recipe.snr_limit)


def denoising_loss(
    unet: UNet2DConditionModel,
    schedule: DDPMScheduler,
    latents: Tensor,
    features: Tensor,
    pooled: Tensor,
    snr_limit: float,
) -> Tensor:
    """The mean error of a UNet's prediction at one random noise level per sample.

    A noise level weighs as its signal-to-noise ratio, at most `snr_limit`, in terms of the picture (Hang et al. 2023,
    arXiv 2303.09556), whether the UNet predicts the velocity (the miniature) or the noise (SDXL).

    Args:
        unet: With SDXL's conditioning.
        schedule: The noise that it was trained with.
        latents: [B, 4, H, W].
        features: Of the text, [B, 77, D].
        pooled: [B, P].
        snr_limit: The largest weight.
    """
    timesteps = torch.randint(len(schedule.alphas_cumprod), (len(latents),), device=latents.device)
    noise = torch.randn_like(latents)
    noisy = schedule.add_noise(latents, noise, timesteps)
    added = {"text_embeds": pooled, "time_ids": size_and_crop(len(latents), 8 * latents.shape[-1], latents.device)}
    predicted = unet(noisy, timesteps, features, added_cond_kwargs=added).sample.float()
    velocity = schedule.config.prediction_type == "v_prediction"
    wanted = schedule.get_velocity(latents, noise, timesteps) if velocity else noise
    error = (predicted - wanted).square().mean((1, 2, 3))
    snr = compute_snr(schedule, timesteps)
    return (error * snr.clamp(max=snr_limit) / (snr + 1 if velocity else snr)).mean()


def plain_attention(device: torch.device) -> AbstractContextManager:
    """Over so few tokens a processor's fused attention takes longer than its plain one, backward above all."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def train_generator(
    recipe: Recipe, latents: np.ndarray, tokens: dict[str, Tensor], folder: Path, training: Path, machine: Machine
) -> tuple[UNet2DConditionModel, TextEncoders]:
    """Trains UNet and text encoders, or reads them if they exist.

    Args:
        recipe: Their settings.
        latents: float16 [N, 4, H, W].
        tokens: From `caption_tokens`.
        folder: For the finished ones, in diffusers' layout.
        training: For the checkpoint.
        machine: To train on.
    """
    if not folder.exists():
        torch.manual_seed(recipe.seed)
        module = Denoising(recipe)
        _forget_unseen_words(module.text, tokens)
        module = module.to(machine.device, memory_format=unet_format(machine))
        all_latents = torch.from_numpy(np.array(latents)).to(machine.device)

        def loss(called: nn.Module, step: int) -> Tensor:
            rows, captions, contents = draw_captions(tokens, recipe, step)
            with plain_attention(machine.device):
                return called(
                    all_latents[rows.to(machine.device)].float(),
                    captions.to(machine.device, non_blocking=True),
                    contents.to(machine.device, non_blocking=True),
                )

        schedule = small_schedule(
            recipe.generator_steps, recipe.generator_lr, recipe.generator_ema, warmup=200, seed=recipe.seed
        )
        trained = fit(module, loss, schedule, machine, training, recipe.generator_batch)
        unet = trained.unet.cpu().to(memory_format=torch.contiguous_format)
        save_generator(unet, trained.text.cpu(), folder)
    return load_generator(folder, recipe)


def draw_captions(tokens: dict[str, Tensor], recipe: Recipe, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draws a step's pictures and their captions.

    Returns:
        The pictures' rows [B], the captions' tokens [B, 77] and those of the pooled vectors' captions, cut after the
        longest, all int64.
    """
    random, batch = step_random(recipe.seed, step), recipe.generator_batch
    rows = torch.from_numpy(random.integers(len(tokens["mood"]), size=batch))
    wording = torch.from_numpy(random.integers(recipe.captions, size=batch))
    share = torch.from_numpy(random.random(batch))[:, None]
    contentless = share < recipe.empty_share + recipe.mood_share
    captions = tokens["caption"][rows, wording]
    captions = torch.where(contentless, tokens["mood"][rows], captions)
    captions = torch.where(share < recipe.empty_share, tokens["empty"], captions)
    contents = torch.where(contentless, tokens["empty"], tokens["content"][rows, wording])
    longest = int((contents == END).int().argmax(1).max()) + 1
    return rows, captions.long(), contents[:, :longest].long()


@torch.no_grad()
def _forget_unseen_words(text: TextEncoders, tokens: dict[str, Tensor]) -> None:
    """Words that no caption has mean nothing: their embeddings are 0 from the start, and stay so."""
    seen = torch.cat([tensor.flatten() for tensor in tokens.values()]).unique().long()
    for encoder in (text.clip_l, text.clip_g):
        weight = encoder.get_input_embeddings().weight
        kept = torch.zeros(len(weight), 1)
        kept[seen] = 1
        kept[0] = 1  # what bigG is padded with
        weight.mul_(kept)
