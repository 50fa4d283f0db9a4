"""The miniature's training, stage by stage; every stage keeps what it finished and goes on where it stopped.

    python -m trainer.miniature train --out runs/miniature                       # all stages
    python -m trainer.miniature train --out runs/miniature --stages pictures autoencoder
    python -m trainer.miniature ablate --out runs/miniature --networks 2         # the networks that are compared

The run's folder holds recipe.json, pictures/ and latents.npy, autoencoder/ and generator/ in diffusers' layout,
emotion/ with the pairs, their features and the networks, readers/, and training/ with checkpoints and metrics.
"""

import contextlib
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from diffusers import AutoencoderTiny

from emoticrafter.research.readers import Reader
from trainer.core.command_line import say
from trainer.core.device import Machine
from trainer.core.lock import alone
from trainer.miniature.autoencoder import cache_latents, round_trip, train_autoencoder
from trainer.miniature.captioning import caption_tokens
from trainer.miniature.dataset import Plan, make_plan, paint_set
from trainer.miniature.emotion import VARIANTS, fit_field, prepare_data, text_encoder, train_network, training_pairs
from trainer.miniature.flow_training import flow_tokens, train_flow
from trainer.miniature.folders import load_autoencoder, needs
from trainer.miniature.generator import train_generator
from trainer.miniature.readers import KINDS, SECOND, TEACHER, Sight, second_recipe, teacher_recipe, train_reader
from trainer.miniature.recipe import FlowRecipe, Recipe, keep
from trainer.miniature.restore import share

SHIPPED = Path("miniature")
RETURN_NOISE = 0.1
"""Noise on the latents of the pictures that teach the readers what generated pictures look like."""


class Run:
    """A run's folder and its stages; each gives what is there, or makes it."""

    def __init__(self, out: Path, recipe: Recipe, machine: Machine):
        keep(recipe, out)
        self.out, self.recipe, self.machine = out, recipe, machine

    @cached_property
    def plan(self) -> Plan:
        return make_plan("training", self.recipe.pictures, self.recipe, "train", self.recipe.neutral_share)

    def _painted(self, plan: Plan, name: str) -> np.ndarray:
        return paint_set(plan, self.out / "pictures" / f"{name}.npy", self.recipe.picture_size)

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the generator and those of the readers, uint8 [N, H, W, 3]."""
        return self._painted(self.plan, "training"), self._painted(reader_plan(self.recipe), "readers")

    def autoencoder(self) -> AutoencoderTiny:
        folder, training = self.out / "autoencoder", self.out / "training" / "autoencoder"
        painted = self._painted(self.plan, "training")
        return train_autoencoder(self.recipe, painted, folder, training, self.machine)

    def trained_autoencoder(self) -> AutoencoderTiny:
        needs(self.out, "autoencoder")
        return load_autoencoder(self.out / "autoencoder")

    def latents(self) -> np.ndarray:
        """Of the generator's pictures, float16 [N, 4, H / 8, W / 8]."""
        painted = self._painted(self.plan, "training")
        return cache_latents(self.trained_autoencoder(), painted, self.out / "latents.npy", self.machine)

    def generator(self) -> None:
        tokens = caption_tokens(self.plan, self.recipe, self.out / "captions.safetensors")
        folder, training = self.out / "generator", self.out / "training" / "generator"
        train_generator(self.recipe, self.latents(), tokens, folder, training, self.machine)

    def emotion(self, variant: str = "default", seed: int = 0) -> Path:
        """The file of an emotion network."""
        needs(self.out, "generator")
        data = prepare_data(self.recipe, self.out / "generator", self.out / "emotion", self.machine)
        return train_network(self.recipe, data, self.out / "emotion", self.machine, variant, seed)

    def readers(self) -> None:
        """The two that measure, and the one that checks."""
        self._readers(self.recipe, "readers", {kind: kind for kind in KINDS})
        self._readers(second_recipe(self.recipe), "second-reader", {SECOND: "emotion"})

    def teaching_reader(self) -> tuple[Reader, Sight]:
        """The one that teaches, and what it learned from: the generator's own pictures, of training scenes alone."""
        recipe = teacher_recipe(self.recipe)
        plan = self.plan.first(recipe.reader_pictures)
        painted = self._painted(self.plan, "training")[: len(plan)]
        returned = self.out / "pictures" / f"{TEACHER}-returned.npy"
        training = self.out / "training" / f"{TEACHER}-reader"
        # Several networks may be taught by one reader at once, but one command alone trains it.
        with contextlib.nullcontext() if self.teacher_path.exists() else alone(self.out):
            sight = self._sight(recipe, plan, painted, returned)
            return train_reader("emotion", recipe, sight, self.teacher_path, training, self.machine), sight

    @property
    def teacher_path(self) -> Path:
        return self.out / "readers" / f"{TEACHER}.safetensors"

    def _sight(self, recipe: Recipe, plan: Plan, painted: np.ndarray, path: Path) -> Sight:
        autoencoder = self.trained_autoencoder()
        returned = round_trip(autoencoder, painted[::2], path, RETURN_NOISE, recipe.seed, self.machine)
        return Sight(plan, painted, returned)

    def _readers(self, recipe: Recipe, name: str, kinds: dict[str, str]) -> None:
        """Those of one recipe, by file the kind; nothing is painted for readers that are there."""
        paths = {file: self.out / "readers" / f"{file}.safetensors" for file in kinds}
        if all(path.is_file() for path in paths.values()):
            return
        plan = reader_plan(recipe)
        sight = self._sight(recipe, plan, self._painted(plan, name), self.out / "pictures" / f"{name}-returned.npy")
        for file, kind in kinds.items():
            train_reader(kind, recipe, sight, paths[file], self.out / "training" / f"{file}-reader", self.machine)


def reader_plan(recipe: Recipe) -> Plan:
    return make_plan("readers", recipe.reader_pictures, recipe, "all")


class FlowRun(Run):
    """A run of the second miniature, whose autoencoder and readers are the first one's.

    Attributes:
        shipped: The first miniature's files.
    """

    recipe: FlowRecipe

    def __init__(self, out: Path, recipe: FlowRecipe, machine: Machine, shipped: Path):
        super().__init__(out, recipe, machine)
        self.shipped = shipped

    @cached_property
    def plan(self) -> Plan:
        return super().plan.first(self.recipe.flow_pictures)

    def pictures(self) -> np.ndarray:
        return self._painted(self.plan, "training")

    def autoencoder(self) -> None:
        share(self.shipped, self.out)

    def generator(self) -> None:
        tokens = flow_tokens(self.plan, self.recipe, self.out / "captions.safetensors")
        folder, training = self.out / "generator", self.out / "training" / "generator"
        train_flow(self.recipe, self.latents(), tokens, folder, training, self.machine)

    def emotion(self) -> Path:
        """The file of the field."""
        needs(self.out, "generator")
        path = self.out / "emotion" / "default-0" / "network.safetensors"
        return fit_field(text_encoder(self.recipe, self.out), training_pairs(self.recipe), path)

    def readers(self) -> None:
        share(self.shipped, self.out)


STAGES = ("pictures", "autoencoder", "latents", "generator", "emotion", "readers")


def train(out: Path, recipe: Recipe, machine: Machine, stages: Sequence[str] = (), shipped: Path = SHIPPED) -> None:
    """Runs stages in their order (all, if none is named), with the time that each took.

    Args:
        out: The run's folder.
        recipe: Of the first miniature or of the second.
        machine: To compute on.
        stages: Some of STAGES.
        shipped: The first miniature's files, whose autoencoder and readers the second takes.

    Raises:
        ValueError: An unknown stage, or the folder was begun with another recipe.
        FileNotFoundError: A stage was asked for before one that it needs.
        TrainingError: Another process is writing what stages share.
    """
    if unknown := [name for name in stages if name not in STAGES]:
        raise ValueError(f"unknown stage {unknown[0]!r}: use one of {', '.join(STAGES)}")
    run = FlowRun(out, recipe, machine, shipped) if isinstance(recipe, FlowRecipe) else Run(out, recipe, machine)
    say(f"{out}: on {machine.device} in {'bfloat16' if machine.bfloat16 else 'float32'}")
    for stage in (stage for stage in STAGES if stage in (stages or STAGES)):
        began = time.monotonic()
        # The emotion networks have locks of their own: several may be fitted at once (see trainer/runs/train.py).
        with contextlib.nullcontext() if stage == "emotion" else alone(out):
            getattr(run, stage)()
        say(f"{stage}: {time.monotonic() - began:.0f} s")


def ablate(out: Path, recipe: Recipe, machine: Machine, seeds: int, variants: Sequence[str] = ()) -> None:
    """Fits the emotion networks that are compared, each variant (all, if none is named) from several seeds.

    Raises:
        ValueError: An unknown variant.
    """
    if isinstance(recipe, FlowRecipe):
        raise ValueError(
            f"{out} is a run of the second miniature, whose emotion is fitted at once: nothing to compare."
        )
    if unknown := [name for name in variants if name not in VARIANTS]:
        raise ValueError(f"unknown variant {unknown[0]!r}: use one of {', '.join(VARIANTS)}")
    run = Run(out, recipe, machine)
    for seed in range(seeds):
        for variant in variants or VARIANTS:
            say(f"{run.emotion(variant, seed)}")
