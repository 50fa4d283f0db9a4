"""The miniature's autoencoder: trained on squares of painted pictures, then used once to encode them all."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from emoticrafter.fit.loop import step_random
from trainer.core.device import Machine
from trainer.miniature.dataset import fill
from trainer.miniature.folders import load_autoencoder, write_folder
from trainer.miniature.models import as_floats, decode, encode, make_autoencoder
from trainer.miniature.recipe import Recipe
from trainer.runs.run import fit, small_schedule

EDGES = 1.0
"""Weight of the error between neighbouring pixels' differences: outlines count as much as areas."""
STATISTICS = 0.01
"""Weight of the pull of each latent channel to mean 0 and deviation 1."""
ENCODED_AT_ONCE = 16


class Reconstruction(nn.Module):
    """The autoencoder with its loss."""

    def __init__(self, autoencoder: AutoencoderTiny, noise: float):
        super().__init__()
        self.autoencoder, self.noise = autoencoder, noise

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1] to a scalar."""
        wanted = pictures * 2 - 1
        latents = self.autoencoder.encode(wanted).latents
        noisy = latents + self.noise * torch.randn_like(latents)
        error = self.autoencoder.decode(noisy).sample.float() - wanted
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        latents = latents.float()
        spread = latents.mean((0, 2, 3)).square() + (latents.var((0, 2, 3)) - 1).square()
        return error.abs().mean() + EDGES * edges + STATISTICS * spread.mean()


def random_squares(pictures: np.ndarray, count: int, crop: int, random: np.random.Generator) -> np.ndarray:
    """`count` squares of `crop` pixels from uint8 [N, H, W, 3], some of them mirrored."""
    last = pictures.shape[1] - crop + 1
    squares = []
    for index, x, y, mirror in zip(
        random.integers(len(pictures), size=count),
        random.integers(last, size=count),
        random.integers(last, size=count),
        random.random(count) < 0.5,
        strict=True,
    ):
        square = pictures[index, y : y + crop, x : x + crop]
        squares.append(square[:, ::-1] if mirror else square)
    return np.stack(squares)


def train_autoencoder(
    recipe: Recipe, pictures: np.ndarray, folder: Path, training: Path, machine: Machine
) -> AutoencoderTiny:
    """Trains the autoencoder, or reads it if it exists.

    Args:
        recipe: Its settings.
        pictures: uint8 [N, H, W, 3].
        folder: For the finished one, in diffusers' layout; its config holds mean and deviation.
        training: For the checkpoint.
        machine: To train on.
    """
    if folder.exists():
        return load_autoencoder(folder)
    torch.manual_seed(recipe.seed)
    module = Reconstruction(make_autoencoder(), recipe.latent_noise)
    module = module.to(machine.device, memory_format=torch.channels_last)

    def loss(called: nn.Module, step: int) -> Tensor:
        random = step_random(recipe.seed, step)
        squares = random_squares(pictures, recipe.autoencoder_batch, recipe.autoencoder_crop, random)
        return called(as_floats(squares, machine.device))

    schedule = small_schedule(recipe.autoencoder_steps, recipe.autoencoder_lr, weight_decay=0.0, seed=recipe.seed)
    autoencoder = fit(module, loss, schedule, machine, training, recipe.autoencoder_batch).autoencoder
    _learn_statistics(autoencoder, pictures[:: max(1, len(pictures) // 256)], machine)
    autoencoder = autoencoder.cpu().to(memory_format=torch.contiguous_format)
    write_folder(folder, autoencoder.save_pretrained)
    return load_autoencoder(folder)


@torch.no_grad()
def _learn_statistics(autoencoder: AutoencoderTiny, pictures: np.ndarray, machine: Machine) -> None:
    raw = torch.cat(
        [
            encode(autoencoder, as_floats(pictures[i : i + ENCODED_AT_ONCE], machine.device))
            for i in range(0, len(pictures), ENCODED_AT_ONCE)
        ]
    )
    autoencoder.register_to_config(scaling_factor=1 / raw.std().item(), shift_factor=raw.mean().item())


@torch.no_grad()
def cache_latents(autoencoder: AutoencoderTiny, pictures: np.ndarray, path: Path, machine: Machine) -> np.ndarray:
    """Encodes pictures into a file: float16 [N, 4, H/8, W/8]."""
    autoencoder = autoencoder.to(machine.device, memory_format=torch.channels_last)

    def produce(ranges: list[range]) -> Iterator[np.ndarray]:
        for rows in ranges:
            batch = as_floats(pictures[rows.start : rows.stop], machine.device)
            with machine.autocast():
                yield encode(autoencoder, batch).half().cpu().numpy()

    size = pictures.shape[1] // 8
    return fill(path, (len(pictures), 4, size, size), "float16", produce, ENCODED_AT_ONCE)


@torch.no_grad()
def round_trip(
    autoencoder: AutoencoderTiny, pictures: np.ndarray, path: Path, noise: float, seed: int, machine: Machine
) -> np.ndarray:
    """Encodes pictures, disturbs the latents and decodes them: uint8 [N, H, W, 3], as blurred as generated ones."""
    autoencoder = autoencoder.to(machine.device, memory_format=torch.channels_last)

    def produce(ranges: list[range]) -> Iterator[np.ndarray]:
        for rows in ranges:
            torch.manual_seed(np.random.SeedSequence((seed, rows.start)).generate_state(1).item())
            with machine.autocast():
                latents = encode(autoencoder, as_floats(pictures[rows.start : rows.stop], machine.device))
                decoded = decode(autoencoder, latents + noise * torch.randn_like(latents))
            yield (decoded.float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    return fill(path, pictures.shape, "uint8", produce, ENCODED_AT_ONCE)
