"""The miniature's training, stage by stage; every stage keeps what it finished and goes on where it stopped.

    python -m trainer.miniature train --out runs/miniature                       # all stages
    python -m trainer.miniature train --out runs/miniature --stages pictures autoencoder
    python -m trainer.miniature ablate --out runs/miniature --networks 2         # the networks that are compared

The run's folder holds recipe.json, pictures/ and latents.npy, autoencoder/ and generator/ in diffusers' layout,
emotion/ with the pairs, their features and the networks, readers/, and training/ with checkpoints and metrics.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from diffusers import AutoencoderTiny

from trainer.core.command_line import say
from trainer.core.device import Machine
from trainer.core.lock import alone
from trainer.miniature.autoencoder import cache_latents, round_trip, train_autoencoder
from trainer.miniature.captioning import caption_tokens
from trainer.miniature.dataset import Plan, make_plan, paint_set
from trainer.miniature.emotion import VARIANTS, prepare_data, train_network
from trainer.miniature.folders import load_autoencoder, needs
from trainer.miniature.generator import train_generator
from trainer.miniature.readers import KINDS, Sight, train_reader
from trainer.miniature.recipe import Recipe, keep

STAGES = ("pictures", "autoencoder", "latents", "generator", "emotion", "readers")
RETURN_NOISE = 0.1
"""Noise on the latents of the pictures that teach the readers what generated pictures look like."""


class Run:
    """A run's folder, and what of it several stages need."""

    def __init__(self, out: Path, recipe: Recipe, machine: Machine):
        keep(recipe, out)
        self.out, self.recipe, self.machine = out, recipe, machine

    @cached_property
    def plan(self) -> Plan:
        return make_plan("training", self.recipe.pictures, self.recipe, "train", self.recipe.neutral_share)

    @cached_property
    def reader_plan(self) -> Plan:
        return make_plan("readers", self.recipe.reader_pictures, self.recipe, "all")

    def pictures(self) -> np.ndarray:
        return paint_set(self.plan, self.out / "pictures" / "training.npy", self.recipe.picture_size)

    def reader_pictures(self) -> np.ndarray:
        return paint_set(self.reader_plan, self.out / "pictures" / "readers.npy", self.recipe.picture_size)

    def autoencoder(self) -> AutoencoderTiny:
        needs(self.out, "autoencoder")
        return load_autoencoder(self.out / "autoencoder")

    def training(self, name: str) -> Path:
        return self.out / "training" / name


def _pictures(run: Run) -> None:
    run.pictures()
    run.reader_pictures()


def _autoencoder(run: Run) -> None:
    folder, training = run.out / "autoencoder", run.training("autoencoder")
    train_autoencoder(run.recipe, run.pictures(), folder, training, run.machine)


def latents(run: Run) -> np.ndarray:
    return cache_latents(run.autoencoder(), run.pictures(), run.out / "latents.npy", run.machine)


def _generator(run: Run) -> None:
    tokens = caption_tokens(run.plan, run.recipe, run.out / "captions.safetensors")
    folder, training = run.out / "generator", run.training("generator")
    train_generator(run.recipe, latents(run), tokens, folder, training, run.machine)


def emotion(run: Run, variant: str = "default", seed: int = 0) -> Path:
    needs(run.out, "generator")
    data = prepare_data(run.recipe, run.out / "generator", run.out / "emotion", run.machine)
    return train_network(run.recipe, data, run.out / "emotion", run.machine, variant, seed)


def _readers(run: Run) -> None:
    painted = run.reader_pictures()
    path = run.out / "pictures" / "readers-returned.npy"
    returned = round_trip(run.autoencoder(), painted[::2], path, RETURN_NOISE, run.recipe.seed, run.machine)
    sight = Sight(run.reader_plan, painted, returned)
    for kind in KINDS:
        path, training = run.out / "readers" / f"{kind}.safetensors", run.training(f"{kind}-reader")
        train_reader(kind, run.recipe, sight, path, training, run.machine)


RUN: dict[str, Callable[[Run], object]] = {
    "pictures": _pictures,
    "autoencoder": _autoencoder,
    "latents": latents,
    "generator": _generator,
    "emotion": emotion,
    "readers": _readers,
}


def train(out: Path, recipe: Recipe, machine: Machine, stages: Sequence[str] = STAGES) -> None:
    """Runs stages in their order, with the time that each took.

    Raises:
        ValueError: An unknown stage, or the folder was begun with another recipe.
        FileNotFoundError: A stage was asked for before one that it needs.
        TrainingError: Another process is writing what stages share.
    """
    if unknown := [name for name in stages if name not in STAGES]:
        raise ValueError(f"unknown stage {unknown[0]!r}: use one of {', '.join(STAGES)}")
    run = Run(out, recipe, machine)
    say(f"{out}: on {machine.device} in {'bfloat16' if machine.bfloat16 else 'float32'}")
    for stage in (stage for stage in STAGES if stage in stages):
        began = time.monotonic()
        # The emotion networks have locks of their own: several may be fitted at once (see trainer/runs/train.py).
        with contextlib.nullcontext() if stage == "emotion" else alone(out):
            RUN[stage](run)
        say(f"{stage}: {time.monotonic() - began:.0f} s")


def ablate(out: Path, recipe: Recipe, machine: Machine, seeds: int, variants: Sequence[str] = ()) -> None:
    """Fits the emotion networks that are compared, each variant (all, if none is named) from several seeds.

    Raises:
        ValueError: An unknown variant.
    """
    if unknown := [name for name in variants if name not in VARIANTS]:
        raise ValueError(f"unknown variant {unknown[0]!r}: use one of {', '.join(VARIANTS)}")
    run = Run(out, recipe, machine)
    for seed in range(seeds):
        for variant in variants or VARIANTS:
            say(f"{emotion(run, variant, seed)}")
