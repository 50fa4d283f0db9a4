"""Readers of pictures: one gives valence and arousal, one says what a picture shows. They measure the generator.

Both are small convolutional networks trained on other painted pictures than the generator's, of all scenes; half of
those went through the autoencoder with disturbed latents, so that the readers know pictures as soft as generated ones.
A second reader of emotions, of another plan, seed and pictures, checks what the first one says. A third one teaches
(see trainer/pictures/seen.py) and judges nothing: it knows the generator's own pictures alone.
Nothing else of the generator is used. A tenth of the pictures is kept for the held-out figures. The network itself is
`emoticrafter.research.readers.Reader`, which the nodes use too.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau
from torch import Tensor, nn

from emoticrafter.fit.loop import step_random
from emoticrafter.research.readers import Reader, load_reader
from emoticrafter.weights.files import save_tensors
from trainer.core.device import Machine
from trainer.miniature.dataset import Plan
from trainer.miniature.models import as_floats
from trainer.miniature.recipe import Recipe
from trainer.runs.run import fit, small_schedule
from trainer.world.scene import SETTINGS, SUBJECTS, TIMES

KINDS = {"emotion": 2, "content": len(SUBJECTS) + len(SETTINGS) + len(TIMES)}
"""The readers and how many numbers each gives: valence and arousal; scores of subjects, settings and times."""

SECOND = "second"
"""The file of the second reader of emotions."""
SECOND_CHANNELS = (32, 48, 64, 96, 128)
TEACHER = "teacher"
"""The file of the reader that teaches."""
TEACHER_CHANNELS = (32, 48, 80, 96, 112)


def second_recipe(recipe: Recipe) -> Recipe:
    """The second reader's: a level more, another seed and so other pictures, half as many for half as many steps."""
    return replace(
        recipe,
        seed=recipe.seed + 1,
        reader_channels=SECOND_CHANNELS,
        reader_pictures=max(20, recipe.reader_pictures // 2),
        reader_steps=max(1, recipe.reader_steps // 2),
    )


def teacher_recipe(recipe: Recipe) -> Recipe:
    """The teaching reader's: other channels and another seed, half as many steps."""
    return replace(
        recipe, seed=recipe.seed + 2, reader_channels=TEACHER_CHANNELS, reader_steps=max(1, recipe.reader_steps // 2)
    )


def split_scores(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The content reader's scores by subject, setting and time: [B, 14], [B, 6], [B, 4]."""
    return scores.split((len(SUBJECTS), len(SETTINGS), len(TIMES)), dim=-1)


# --- training --------------------------------------------------------------------------------------------------------


class Sight:
    """The readers' data: pictures, round trips of the even ones, and the numbers to be read from them."""

    def __init__(self, plan: Plan, painted: np.ndarray, returned: np.ndarray):
        """
        Args:
            plan: N pictures.
            painted: uint8 [N, H, W, 3].
            returned: uint8 [N / 2, H, W, 3], pictures 0, 2, 4 … after the autoencoder.
        """
        self.painted, self.returned = painted, returned
        self.emotion = torch.from_numpy(np.stack([plan.valence, plan.arousal], axis=1))
        names = [(SUBJECTS.index(s.subject), SETTINGS.index(s.setting), TIMES.index(s.time)) for s in plan.scenes]
        self.content = torch.tensor(names)
        self.learned = len(plan) - max(2, len(plan) // 10)  # the last tenth is held out

    def batch(self, count: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures [B, 3, H, W], emotion [B, 2] and content [B, 3] to learn from."""
        rows = random.integers(self.learned, size=count)
        pictures = [
            self.returned[row // 2] if row % 2 == 0 and random.random() < 0.7 else self.painted[row] for row in rows
        ]
        return as_floats(np.stack(pictures)), self.emotion[rows], self.content[rows]

    def held_out(self, returned: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The held-out pictures as painted, or as they came back from the autoencoder."""
        rows = np.arange(self.learned + self.learned % 2, len(self.painted), 2)
        pictures = self.returned[rows // 2] if returned else self.painted[rows]
        return as_floats(pictures), self.emotion[rows], self.content[rows]


def vary(pictures: Tensor, random: np.random.Generator) -> Tensor:
    """Mirrors, shifts, blurs and roughens a batch [B, 3, H, W]: which changes neither content nor emotion."""
    if random.random() < 0.5:
        pictures = pictures.flip(-1)
    shift = tuple(int(n) for n in random.integers(-6, 7, size=2))
    padded = F.pad(pictures, (6, 6, 6, 6), mode="replicate")
    height, width = pictures.shape[-2:]
    pictures = padded[..., 6 + shift[0] : 6 + shift[0] + height, 6 + shift[1] : 6 + shift[1] + width]
    if random.random() < 0.3:
        pictures = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return (pictures + 0.02 * torch.randn_like(pictures)).clamp(0, 1)


def reading_loss(kind: str, found: Tensor, emotion: Tensor, content: Tensor) -> Tensor:
    """Squared error of valence and arousal, or the cross-entropies of subject, setting and time."""
    if kind == "emotion":
        return F.mse_loss(found, emotion)
    parts = zip(split_scores(found), content.unbind(1), strict=True)
    return sum(F.cross_entropy(scores, wanted) for scores, wanted in parts)


def train_reader(kind: str, recipe: Recipe, sight: Sight, path: Path, training: Path, machine: Machine) -> Reader:
    """Trains a reader, or reads it if it exists; its file holds its held-out figures.

    Args:
        kind: "emotion" or "content".
        recipe: Its settings.
        sight: Its data.
        path: The reader's file.
        training: For the checkpoint.
        machine: To train on.

    Raises:
        ValueError: The file is damaged, or holds another reader.
    """
    if not path.exists():
        torch.manual_seed(recipe.seed)
        reader = Reader(recipe.reader_channels, KINDS[kind])
        reader = reader.to(machine.device, memory_format=torch.channels_last)

        def loss(called: nn.Module, step: int) -> Tensor:
            random = step_random(recipe.seed, step)
            batch = sight.batch(recipe.reader_batch, random)
            pictures, emotion, content = (tensor.to(machine.device) for tensor in batch)
            return reading_loss(kind, called(vary(pictures, random)), emotion, content)

        schedule = small_schedule(recipe.reader_steps, recipe.reader_lr, weight_decay=0.01, seed=recipe.seed)
        reader = fit(reader, loss, schedule, machine, training, recipe.reader_batch)
        save_reader(reader.cpu(), path, kind, recipe, evaluate(kind, reader, sight))
    reader, config = load_reader(path)
    if (config.get("kind"), config["channels"]) != (kind, list(recipe.reader_channels)):
        raise ValueError(f"{path} is another reader than its name says: delete it to train the right one.")
    return reader


@torch.no_grad()
def evaluate(kind: str, reader: Reader, sight: Sight) -> dict[str, float]:
    """The held-out figures, for pictures as painted and as they come back from the autoencoder."""
    figures = {}
    for name, returned in (("painted", False), ("returned", True)):
        pictures, emotion, content = sight.held_out(returned)
        found = torch.cat([reader(batch) for batch in pictures.split(64)])
        if kind == "emotion":
            for axis, wanted, got in zip(("valence", "arousal"), emotion.T, found.T, strict=True):
                figures[f"{name}: mean {axis} error"] = (got - wanted).abs().mean().item()
                if len(found) > 2:
                    figures[f"{name}: Kendall's tau of {axis}"] = float(kendalltau(wanted, got).statistic)
        else:
            parts = zip(("subject", "setting", "time"), split_scores(found), content.unbind(1), strict=True)
            for part, scores, wanted in parts:
                right = scores.argmax(1) == wanted
                figures[f"{name}: {part} right"] = right.float().mean().item()
    return figures


def save_reader(reader: Reader, path: Path, kind: str, recipe: Recipe, figures: dict) -> None:
    config = {"kind": kind, "channels": recipe.reader_channels, "held_out": figures}
    metadata = {"format": "emoticrafter-miniature-reader", "config": json.dumps(config)}
    save_tensors(path, reader.state_dict(), metadata)
