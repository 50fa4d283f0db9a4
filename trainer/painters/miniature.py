"""Draws with a miniature: its own held-out prompts, its generator and its emotion network (or a baseline)."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from emoticrafter import load_network
from emoticrafter.conditioning import inject_emotion
from emoticrafter.quoting import quoted
from emoticrafter.research.baselines import Baseline, is_baseline, load_baseline
from trainer.baselines.patches import conditioning
from trainer.core.device import Machine
from trainer.core.rows import DataError
from trainer.miniature.flow import sample_flow
from trainer.miniature.flow_files import load_flow
from trainer.miniature.folders import load_autoencoder, load_generator
from trainer.miniature.models import decode, tokenize, unet_format
from trainer.miniature.recipe import FlowRecipe, Recipe, read_recipe
from trainer.miniature.sampling import sample
from trainer.painters.plan import Task
from trainer.painters.settings import MiniatureSettings


def miniature_painter(settings: MiniatureSettings, device: str) -> "MiniaturePainter":
    """The painter of a run of either miniature.

    Raises:
        DataError: A part of the run is missing, or the network does not go with it.
    """
    try:
        recipe = read_recipe(settings.run)
        return (FlowPainter if isinstance(recipe, FlowRecipe) else MiniaturePainter)(recipe, settings, device)
    except FileNotFoundError as error:
        raise DataError(str(error)) from error


class MiniaturePainter:
    """The generator of a run and an emotion network on one device."""

    def __init__(self, recipe: Recipe, settings: MiniatureSettings, device: str):
        run, network = settings.run, settings.network
        self.recipe, self.machine = recipe, Machine.find(device, settings.precision)
        for part in ("generator", "autoencoder"):
            if not (run / part).is_dir():
                raise DataError(f"{run} has no {part} yet: python -m trainer.miniature train --out {run}")
        self.strength, self.start = settings.strength, settings.start
        self.network = self._load_network(network) if network else None
        if self.start and isinstance(self.network, Baseline):
            raise DataError(f"{network} is a baseline, which begins with the first step: leave out the start.")
        self._load_generator(run / "generator")
        autoencoder = load_autoencoder(run / "autoencoder")
        self.autoencoder = autoencoder.to(self.machine.device, memory_format=torch.channels_last)

    def _load_network(self, path: Path):
        return (load_baseline if is_baseline(path) else load_network)(path, device=self.machine.device)

    def _load_generator(self, folder: Path) -> None:
        unet, text = load_generator(folder, self.recipe)
        self.unet = unet.to(self.machine.device, memory_format=unet_format(self.machine))
        self.text = text.to(self.machine.device)

    @torch.no_grad()
    def draw(self, tasks: Sequence[Task]) -> list[Pillow.Image]:
        """Pictures of a batch; each one's noise follows from its prompt's number and its seed.

        Raises:
            DataError: One holds NaN, which would be kept as a black picture.
        """
        noise = torch.stack([self._noise(task) for task in tasks]).to(self.machine.device)
        pictures = self._draw(tasks, noise)
        if not torch.isfinite(pictures).all():
            raise DataError(
                f"The miniature gave NaN for {quoted(tasks[0].text)} at strength {self.strength:g}: lower it, or draw "
                "with another network."
            )
        pixels = (pictures * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return [Pillow.fromarray(one) for one in pixels]

    def _draw(self, tasks: Sequence[Task], noise: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1]."""
        features, pooled, change = self._conditioning(tasks)
        opening = self._text([task.text for task in tasks]) if self.start else None
        with self.machine.autocast():
            empty = self._text([""])
            steps, guidance = self.recipe.sampler_steps, self.recipe.guidance
            with change:
                latents = sample(
                    self.unet, (features, pooled), empty, noise, steps, guidance, opening=opening, start=self.start
                )
            return decode(self.autoencoder, latents).float()

    def _conditioning(self, tasks: Sequence[Task]) -> tuple[Tensor, Tensor, AbstractContextManager]:
        """Features [B, 77, D], pooled vectors [B, P], and a change of the UNet to draw within."""
        prompts, device = [task.text for task in tasks], self.machine.device
        # [B] each
        valence, arousal = torch.tensor([(task.valence, task.arousal) for task in tasks], device=device).T
        if isinstance(self.network, Baseline):
            return conditioning(self.unet, self.text, self.network, prompts, valence, arousal, self.strength)
        features, pooled = self._text(prompts)
        if self.network is not None:
            features = self.network.inject(features, self.network.encode(valence, arousal), self.strength)
        return features, pooled, nullcontext()

    def _text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Features [B, 77, D] and pooled vectors [B, P]."""
        return self.text(tokenize(prompts).to(self.machine.device))

    def _noise(self, task: Task) -> Tensor:
        """[4, H, W]"""
        side = self.recipe.picture_size // 8
        [seed] = np.random.SeedSequence((task.seed, task.number)).generate_state(1)
        return torch.randn(4, side, side, generator=torch.Generator().manual_seed(int(seed)))


class FlowPainter(MiniaturePainter):
    """The second miniature's: prompts are not padded, and an emotion may add tokens to them."""

    recipe: FlowRecipe

    def _load_network(self, path: Path):
        if is_baseline(path):
            raise DataError(f"{path} is a baseline for SDXL's plan: expected an emotion network or field.")
        return load_network(path, device=self.machine.device)

    def _load_generator(self, folder: Path) -> None:
        transformer, text = load_flow(folder, self.recipe)
        self.transformer, self.text = transformer.to(self.machine.device), text.to(self.machine.device)

    def _draw(self, tasks: Sequence[Task], noise: Tensor) -> Tensor:
        recipe = self.recipe
        with self.machine.autocast():
            rows = [self._prompt(task) for task in tasks]
            features, mask = (pad_sequence(parts, batch_first=True) for parts in zip(*rows, strict=True))
            latents = sample_flow(
                self.transformer,
                (features, mask),
                self.text([""]),
                noise,
                recipe.sampler_steps,
                recipe.guidance,
                recipe.shift,
                opening=self.text([task.text for task in tasks]) if self.start else None,
                start=self.start,
            )
            return decode(self.autoencoder, latents).float()

    def _prompt(self, task: Task) -> tuple[Tensor, Tensor]:
        """Features [T, D] and a mask [T] of a prompt with its emotion."""
        features, mask = self.text([task.text])
        if self.network is not None:
            emotion = self.network.encode(task.valence, task.arousal)
            entry = [features, {"attention_mask": mask}]
            [[features, extra]] = inject_emotion([entry], self.network, emotion, self.strength)
            mask = extra["attention_mask"]
        return features[0], mask[0]
