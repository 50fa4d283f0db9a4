"""The miniature's emotion networks, fitted as all emotion networks are: trainer.prepare's data, trainer.train's run.

The pairs are captions of painted scenes; the encoders are the miniature's own, a diffusers folder like any other.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from emoticrafter import save_network
from emoticrafter.encoders import CLIP_WINDOW
from emoticrafter.fit.instant import Encoder, InstantFit
from emoticrafter.fit.network import SIZES, STEPS, EncodedPairs, NetworkFit
from emoticrafter.fit.pairs import Pair
from trainer.core.checkpoint import finished_path
from trainer.core.device import Machine
from trainer.data.data_folder import PrepareSettings, prepare
from trainer.data.pairs import PairTable, assign_split, save_table
from trainer.miniature.captioning import mood_caption, opening
from trainer.miniature.dataset import make_plan
from trainer.miniature.flow_files import load_flow
from trainer.miniature.folders import load_generator
from trainer.miniature.held_out import Caption, fitted_path, instant_path
from trainer.miniature.models import tokenize
from trainer.miniature.recipe import FlowRecipe, Recipe
from trainer.runs.settings import Settings
from trainer.runs.train import train
from trainer.world.captions import emotional_caption, neutral_caption

VALIDATION = 0.05
PAPER = {"scale": 1.5, "warmup": 0, "schedule": "constant", "clip_norm": 0.0}
"""trainer/recipes/paper.sh at the miniature's sizes: its optimisation and its scale."""
IMPROVEMENTS = {"weight_clip": 5.0, "preserve": 0.25, "preserve_rank": 4}
"""trainer/recipes/improved.sh; 4 of the miniature's 128 directions are as 64 of SDXL's 2,048."""
VARIANTS = {
    "default": {},
    "unweighted": {"density_power": 0.0},
    "power-2": {"density_power": 2.0},
    "scale-1.5": {"scale": 1.5},
    "scale-2.0": {"scale": 2.0},
    "published-block": {"block": "published"},
    "paper": PAPER,
    "paper-improved": {**PAPER, **IMPROVEMENTS},
    "improved": IMPROVEMENTS,
}
"""The variants that are compared: the settings of trainer.train in which each differs from the default."""


def make_pairs(recipe: Recipe, caption: Caption = emotional_caption) -> PairTable:
    """Pairs of captions of training scenes, with valence and arousal from the whole plane."""
    plan = make_plan("pairs", recipe.pairs, recipe)
    contentless = np.random.default_rng((recipe.seed, 98)).random(recipe.pairs) < recipe.mood_pairs
    neutral, emotional = [], []
    for (scene, *at, seed), bare in zip(plan.pictures(), contentless, strict=True):
        if bare:
            neutral.append(opening(seed))
            emotional.append(f"{opening(seed)}, {mood_caption(scene, *at, seed)}")
        else:
            neutral.append(neutral_caption(scene, seed))
            emotional.append(caption(scene, *at, seed))
    return PairTable(
        neutral=neutral,
        emotional=emotional,
        valence=plan.valence,
        arousal=plan.arousal,
        source=["miniature"] * len(plan),
        split=assign_split(neutral, VALIDATION, recipe.seed),
        id=[str(index) for index in range(len(plan))],
    )


def training_pairs(recipe: Recipe, count: int | None = None, caption: Caption = emotional_caption) -> list[Pair]:
    """The first pairs that networks learn from, of all of them without a count."""
    table = make_pairs(recipe, caption)
    rows = [row for row, split in enumerate(table.split) if split == "train"][:count]
    return [
        Pair(table.neutral[row], table.emotional[row], float(table.valence[row]), float(table.arousal[row]))
        for row in rows
    ]


def fit_instantly(recipe: Recipe, run: Path, count: int) -> Path:
    """Fits a field to the run's text encoders, as the node *Fit Emotion Network* does; a finished one is not touched.

    Args:
        recipe: For the pairs.
        run: The run's folder, with its generator.
        count: Pairs to learn from.

    Returns:
        Its file.
    """
    path = instant_path(run, count)
    return fit_field(text_encoder(recipe, run), training_pairs(recipe, count), path)


def fit_field(encoder: Encoder, pairs: list[Pair], path: Path) -> Path:
    """Fits a field to pairs, unless its file is there, which is returned."""
    if not path.exists():
        fit = InstantFit(encoder)
        for pair in tqdm(pairs, desc="pairs", mininterval=2):
            fit.add(pair)
        save_network(fit.field(), path, {"method": "instant", "data": {"pairs": f"{fit.pairs:,} of the miniature"}})
    return path


def fit_network(recipe: Recipe, run: Path, count: int, steps: int, machine: Machine, seed: int = 0) -> Path:
    """Fits a network that corrects the field, as the node does; a finished one is not touched.

    Args:
        recipe: For the pairs.
        run: The run's folder, with its generator.
        count: Pairs to learn from.
        steps: Of the fit.
        machine: To fit on.
        seed: Of weights and batches.

    Returns:
        Its file.
    """
    path = fitted_path(run, f"network-{count}-{seed}")
    pairs = training_pairs(recipe, count)
    return fit_correction(text_encoder(recipe, run), pairs, path, machine, steps, seed)


def fit_correction(
    encoder: Encoder, pairs: list[Pair], path: Path, machine: Machine, steps: int = STEPS, seed: int = 0
) -> Path:
    """Fits a network that corrects the field of the pairs, unless its file is there, which is returned."""
    if path.exists():
        return path
    with tempfile.TemporaryFile() as file:
        encoded = EncodedPairs(encoder, file)
        for pair in tqdm(pairs, desc="pairs", mininterval=2):
            encoded.add(pair)
        fit = NetworkFit(encoded, SIZES["small"], steps, seed, machine.device, machine.bfloat16)
        bar = tqdm(range(steps), desc="steps", mininterval=2)
        for _ in bar:
            bar.set_postfix(loss=f"{fit.advance():.4f}", refresh=False)
        losses = {"network": fit.held_out_loss(fit.network), "instant": fit.held_out_loss(fit.network.field)}
        told = {"method": "network", "data": {"pairs": f"{encoded.pairs:,} of the miniature"}, "steps": steps}
        save_network(fit.network.cpu(), path, told | {"seed": seed, "held_out_loss": losses})
    return path


def text_encoder(recipe: Recipe, run: Path) -> Encoder:
    """The text encoder of a run of either miniature, for a fit."""
    if isinstance(recipe, FlowRecipe):
        _, text = load_flow(run / "generator", recipe)

        def encode(prompt: str) -> tuple[Tensor, Tensor]:
            [features], [mask] = text([prompt])
            return features, mask

        return Encoder(encode, "Lumina 2", 1, 0, None, False)
    _, encoders = load_generator(run / "generator", recipe)

    @torch.no_grad()
    def encode_padded(prompt: str) -> tuple[Tensor, None]:
        return encoders(tokenize([prompt]))[0][0], None

    return Encoder(encode_padded, "SDXL", 1, 1, CLIP_WINDOW, True)


def prepare_data(recipe: Recipe, encoders: Path, folder: Path, machine: Machine) -> Path:
    """Makes the data folder as `python -m trainer.prepare` does; what is there already is kept.

    Args:
        recipe: For the number of pairs and the seed.
        encoders: The generator's diffusers folder.
        folder: Gets pairs.jsonl (as it is handed over) and data/.
        machine: To encode on.

    Returns:
        The data folder.
    """
    pairs, data = folder / "pairs.jsonl", folder / "data"
    if not pairs.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_table(make_pairs(recipe), pairs)
    prepare(PrepareSettings(data, [str(pairs)], encoder=str(encoders), batch_size=128, device=str(machine.device)))
    return data


def train_network(
    recipe: Recipe, data: Path, folder: Path, machine: Machine, variant: str = "default", seed: int = 0
) -> Path:
    """Fits one network as `python -m trainer.train --resume` does; a finished one is not touched.

    Returns:
        Its file, which has the best weights by validation loss.
    """
    out = folder / f"{variant}-{seed}"
    chosen = {
        "scale": recipe.emotion_scale,
        "width": recipe.emotion_width,
        "depth": recipe.emotion_depth,
        "emotion_tokens": recipe.emotion_tokens,
        "emotion_hidden": recipe.emotion_hidden,
        "epochs": recipe.emotion_epochs,
        "batch": recipe.emotion_batch,
        "lr": recipe.emotion_lr,
        "warmup": 100 if recipe.emotion_epochs * recipe.pairs > 1000 * recipe.emotion_batch else 0,
        "schedule": "cosine",
        "clip_norm": 1.0,
        "seed": recipe.seed + seed,
    }
    if not finished_path(out).exists():
        run = {"data": data, "out": out, "resume": True, "device": str(machine.device)}
        train(Settings(**run, **(chosen | VARIANTS[variant])))
    return out / "network.safetensors"
