"""Fits the miniature's networks that are missing, where their own commands would put them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emoticrafter.files import file_sha256
from emoticrafter.fit.network import STEPS
from emoticrafter.research.baselines import METHODS as BASELINES
from emoticrafter.research.baselines import baseline_training
from trainer.baselines.settings import Settings
from trainer.baselines.train import train
from trainer.core.command_line import say
from trainer.core.device import Machine
from trainer.core.rows import DataError
from trainer.miniature.emotion import fit_instantly, fit_network
from trainer.miniature.pipeline import Run
from trainer.miniature.recipe import read_recipe
from trainer.miniature.restore import restore
from trainer.pictures.loading import from_run
from trainer.pictures.rated import from_miniature
from trainer.pictures.settings import Settings as Stage
from trainer.pictures.stage import train as learn
from trainer.tables.rows import (
    BEGINNINGS,
    DEVIATION,
    DEVIATION_PAIRS,
    INSTANT,
    INSTANT_PAIRS,
    INSTANT_RANGE,
    LABELS,
    PICTURES,
    VARIANTS,
)
from trainer.tables.sources import Drawing, Miniature

STAGES = {
    LABELS: Stage(teacher="labels", snr_limit=0.0, contrary_share=0.25, residual_scale=0.9),
    PICTURES: Stage(teacher="reader", steps=120, batch=16, lr=2e-4, ema=0.95, contrary_share=0.25),
}
"""How rows learn from pictures whose valence and arousal are known, and from a reader."""


def restored(run: Path, shipped: Path) -> None:
    """Makes a run that does not exist from the shipped weights."""
    if not (run / "recipe.json").is_file():
        restore(shipped, run)
        say(f"{run}: made from the shipped weights in {shipped}")


def check_base(source: Miniature, drawings: Sequence[Drawing]) -> None:
    """Raises DataError if a baseline was fitted to another run than the one whose pictures are compared."""
    weights = source.run / "generator" / "unet" / "diffusion_pytorch_model.safetensors"
    own = file_sha256(weights) if weights.is_file() else None
    for drawing in drawings:
        if drawing.row in BASELINES and source.is_fitted(drawing):
            fitted_to = baseline_training(drawing.network).get("base", {}).get("unet_sha256")
            if fitted_to != own:
                raise DataError(
                    f"{drawing.network} was fitted to another generator than that of {source.run}: give another "
                    "--baselines folder, in which baselines of this run are fitted."
                )


def fit(source: Miniature, drawings: Sequence[Drawing], device: str) -> None:
    """Fits the networks that are missing one after the other; an interrupted fit goes on when it is called again."""
    machine, base, missing = Machine.find(device), None, source.missing(drawings)
    for number, drawing in enumerate(missing, start=1):
        say(f"fit {number} of {len(missing)}: {drawing.network}")
        if drawing.row in BASELINES:
            base = base or from_miniature(source.run, machine)
            settings = Settings(method=drawing.row, seed=drawing.seed)
            train(settings, *base, drawing.network.parent, machine)
        elif drawing.row in (INSTANT, INSTANT_RANGE):
            fit_instantly(read_recipe(source.run), source.run, INSTANT_PAIRS)
        elif drawing.row == DEVIATION:
            fit_network(read_recipe(source.run), source.run, DEVIATION_PAIRS, STEPS, machine, drawing.seed)
        elif drawing.row in STAGES:
            learn_on(source, drawing, machine)
        else:
            run = Run(source.run, read_recipe(source.run), machine)
            run.emotion(VARIANTS[drawing.row], drawing.seed)


def learn_on(source: Miniature, drawing: Drawing, machine: Machine) -> None:
    """Fits a network that learns from pictures what the one that it begins with has not learned."""
    settings = replace(STAGES[drawing.row], seed=drawing.seed)
    network = source.network(BEGINNINGS[drawing.row], drawing.seed)
    stage = from_run(source.run, network, settings.teacher, machine, settings.contrary_share)
    learn(settings, stage, drawing.network.parent, machine)
