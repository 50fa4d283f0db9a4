"""Draws the truth: the miniature's painter paints what is asked, and the run's autoencoder takes it there and back.

What a generator could do at best: its pictures are decoded by that autoencoder, too. Errors below these are the
reader's own.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image as Pillow

from trainer.core.device import Machine
from trainer.core.rows import DataError
from trainer.miniature.dataset import measuring_seed
from trainer.miniature.folders import load_autoencoder
from trainer.miniature.held_out import held_out_prompts
from trainer.miniature.models import as_floats, decode, encode
from trainer.miniature.recipe import read_recipe
from trainer.painters.plan import Task
from trainer.painters.settings import TruthSettings
from trainer.world.painter import paint
from trainer.world.scene import all_scenes


class TruthPainter:
    """Paints held-out scenes; a seed gives the same layout at every point."""

    def __init__(self, settings: TruthSettings, device: str):
        if not (settings.run / "autoencoder").is_dir():
            raise DataError(
                f"{settings.run} has no autoencoder yet: python -m trainer.miniature train --out {settings.run}"
            )
        self.recipe, self.machine = read_recipe(settings.run), Machine.find(device, settings.precision)
        self.autoencoder = load_autoencoder(settings.run / "autoencoder").to(self.machine.device)
        self.scenes = dict(zip(held_out_prompts(), all_scenes("held-out"), strict=True))

    @torch.no_grad()
    def draw(self, tasks: Sequence[Task]) -> list[Pillow.Image]:
        """Pictures of a batch."""
        painted = as_floats(np.stack([self._paint(task) for task in tasks]), self.machine.device)
        with self.machine.autocast():
            returned = decode(self.autoencoder, encode(self.autoencoder, painted)).float()
        pixels = (returned * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return [Pillow.fromarray(one) for one in pixels]

    def _paint(self, task: Task) -> np.ndarray:
        seed = measuring_seed(self.recipe, task.number, task.seed)
        return paint(self.scenes[task.prompt], task.valence, task.arousal, seed, self.recipe.picture_size)
