"""Draws with the miniature: its own held-out prompts, its generator and its emotion network (or a baseline)."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow

from emoticrafter import load_network
from emoticrafter.files import file_sha256
from emoticrafter.research.baselines import Baseline, is_baseline, load_baseline
from trainer.baselines.patches import conditioning
from trainer.core.device import Machine
from trainer.core.rows import DataError
from trainer.miniature.folders import load_autoencoder, load_generator
from trainer.miniature.models import decode, tokenize
from trainer.miniature.recipe import read_recipe
from trainer.miniature.sampling import sample
from trainer.painters.plan import Task
from trainer.world.captions import emotional_caption, neutral_caption
from trainer.world.scene import all_scenes


def held_out_prompts(limit: int | None = None) -> list[str]:
    """A neutral caption of every held-out scene."""
    return [neutral_caption(scene, number) for number, scene in enumerate(all_scenes("held-out"))][:limit]


def emotional_captions(levels: Sequence[float]) -> list[dict]:
    """The painter's own emotional captions of the held-out scenes, as rows of `trainer.baselines rewrite`.

    They say exactly what the generator was taught: an upper bound of what rewriting could do here.
    """
    return [
        {
            "prompt": neutral_caption(scene, number),
            "valence": valence,
            "arousal": arousal,
            "rewritten": emotional_caption(scene, valence, arousal, number),
        }
        for number, scene in enumerate(all_scenes("held-out"))
        for arousal in levels
        for valence in levels
    ]


def default_network(run: Path) -> Path:
    return run / "emotion" / "default-0" / "network.safetensors"


class MiniaturePainter:
    """The generator of a run and an emotion network on one device."""

    def __init__(self, run: Path, network: Path | None, device: str, strength: float = 1.0):
        """
        Args:
            run: The run's folder.
            network: The emotion network's file, or a baseline's; None draws the plain prompts.
            device: Where to draw.
            strength: Of the emotion.

        Raises:
            DataError: a part of the run is not there.
        """
        try:
            self.recipe, self.machine = read_recipe(run), Machine.find(device)
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
        self.strength, self.size = strength, self.recipe.picture_size

    @torch.no_grad()
    def draw(self, tasks: Sequence[Task]) -> list[Pillow.Image]:
        """Pictures of a batch; each one's noise follows from its prompt's number and its seed."""
        device, side = self.machine.device, self.size // 8
        prompts = [task.text for task in tasks]
        points = torch.tensor([(task.valence, task.arousal) for task in tasks], device=device)
        change = nullcontext()
        if isinstance(self.network, Baseline):
            found = conditioning(self.unet, self.text, self.network, prompts, *points.T, self.strength)
            features, pooled, change = found
        else:
            features, pooled = self.text(tokenize(prompts).to(device))
            if self.network is not None:
                features = self.network.inject(features, self.network.encode(*points.T), self.strength)
        seeds = [int(np.random.SeedSequence((task.seed, task.number)).generate_state(1)[0]) for task in tasks]
        noise = [torch.randn(4, side, side, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        with self.machine.autocast():
            empty = self.text(tokenize([""]).to(device))
            stacked, steps = torch.stack(noise).to(device), self.recipe.sampler_steps
            with change:
                latents = sample(self.unet, (features, pooled), empty, stacked, steps, self.recipe.guidance)
            pictures = decode(self.autoencoder, latents).float()
        pixels = (pictures * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return [Pillow.fromarray(one) for one in pixels]


def settings(run: Path, network: Path | None, strength: float) -> dict:
    """What the pictures depend on beside the task.

    Raises:
        DataError: the run has no generator yet.
    """
    weights = run / "generator" / "unet" / "diffusion_pytorch_model.safetensors"
    if not weights.is_file():
        raise DataError(f"{run} has no generator yet: python -m trainer.miniature train --out {run}")
    if network and not network.is_file():
        raise DataError(f"{network} is not there: train the run's emotion stage, or give --network.")
    return {
        "painter": "miniature",
        "model": file_sha256(weights)[:16],
        "network": file_sha256(network)[:16] if network else None,
        "strength": strength if network else None,
    }
