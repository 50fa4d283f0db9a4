"""Draws with the miniature: its own held-out prompts, its generator and its emotion network (or a baseline)."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from emoticrafter import load_network
from emoticrafter.research.baselines import Baseline, is_baseline, load_baseline
from trainer.baselines.patches import conditioning
from trainer.core.device import Machine
from trainer.core.rows import DataError
from trainer.miniature.folders import load_autoencoder, load_generator
from trainer.miniature.models import decode, tokenize
from trainer.miniature.recipe import read_recipe
from trainer.miniature.sampling import sample
from trainer.painters.plan import Task
from trainer.painters.settings import MiniatureSettings


class MiniaturePainter:
    """The generator of a run and an emotion network on one device.

    Raises:
        DataError: A part of the run is missing.
    """

    def __init__(self, settings: MiniatureSettings, device: str):
        run, network = settings.run, settings.network
        try:
            self.recipe, self.machine = read_recipe(run), Machine.find(device, settings.precision)
            for part in ("generator", "autoencoder"):
                if not (run / part).is_dir():
                    raise DataError(f"{run} has no {part} yet: python -m trainer.miniature train --out {run}")
            unet, text = load_generator(run / "generator", self.recipe)
            load = load_baseline if network and is_baseline(network) else load_network
            self.network = load(network, device=self.machine.device) if network else None
        except FileNotFoundError as error:
            raise DataError(str(error)) from error
        self.unet = unet.to(self.machine.device, memory_format=torch.channels_last)
        self.text = text.to(self.machine.device)
        self.autoencoder = load_autoencoder(run / "autoencoder").to(self.machine.device)
        self.strength = settings.strength

    @torch.no_grad()
    def draw(self, tasks: Sequence[Task]) -> list[Pillow.Image]:
        """Pictures of a batch; each one's noise follows from its prompt's number and its seed."""
        features, pooled, change = self._conditioning(tasks)
        noise = torch.stack([self._noise(task) for task in tasks]).to(self.machine.device)
        with self.machine.autocast():
            empty = self.text(tokenize([""]).to(self.machine.device))
            steps, guidance = self.recipe.sampler_steps, self.recipe.guidance
            with change:
                latents = sample(self.unet, (features, pooled), empty, noise, steps, guidance)
            pictures = decode(self.autoencoder, latents).float()
        pixels = (pictures * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return [Pillow.fromarray(one) for one in pixels]

    def _conditioning(self, tasks: Sequence[Task]) -> tuple[Tensor, Tensor, AbstractContextManager]:
        """Features [B, 77, D], pooled vectors [B, P], and a change of the UNet to draw within."""
        prompts, device = [task.text for task in tasks], self.machine.device
        # [B] each
        valence, arousal = torch.tensor([(task.valence, task.arousal) for task in tasks], device=device).T
        if isinstance(self.network, Baseline):
            return conditioning(self.unet, self.text, self.network, prompts, valence, arousal, self.strength)
        features, pooled = self.text(tokenize(prompts).to(device))
        if self.network is not None:
            features = self.network.inject(features, self.network.encode(valence, arousal), self.strength)
        return features, pooled, nullcontext()

    def _noise(self, task: Task) -> Tensor:
        """[4, H, W]"""
        side = self.recipe.picture_size // 8
        [seed] = np.random.SeedSequence((task.seed, task.number)).generate_state(1)
        return torch.randn(4, side, side, generator=torch.Generator().manual_seed(int(seed)))
