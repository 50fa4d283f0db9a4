"""Loads what the second stage needs; what does not go together is refused before a picture is painted or encoded."""

from pathlib import Path

from trainer.core.device import Machine
from trainer.data.pairs import load_table
from trainer.evaluation.manifest import read_manifest
from trainer.miniature.flow_files import load_flow
from trainer.miniature.recipe import FlowRecipe
from trainer.pictures.base import load_base, weights_sha256
from trainer.pictures.lessons import captioned, contradicting, labelled, paired
from trainer.pictures.models import FlowModel, Model, UNetModel
from trainer.pictures.rated import asked, begun_run, encoded, painted
from trainer.pictures.seen import watcher_of
from trainer.pictures.settings import Source
from trainer.pictures.stage import Stage, begin


def from_run(run: Path, network: Path, teacher: str, machine: Machine, contrary_share: float = 0.0) -> Stage:
    """Of a run of either miniature, with its own pictures and captions.

    Args:
        run: The run's folder.
        network: The file to begin with.
        teacher: One of TEACHERS.
        machine: To compute on.
        contrary_share: Samples that need words of another mood.

    Raises:
        FileNotFoundError: The run lacks a part, or there is no such network.
        ValueError: The network does not go with the run.
    """
    begun = begun_run(run, machine)
    folder = run / "generator"
    model: Model
    if isinstance(begun.recipe, FlowRecipe):
        transformer, text = (part.to(machine.device) for part in load_flow(folder, begun.recipe))
        model = FlowModel(begun.recipe, transformer, text, weights_sha256(folder / "transformer"))
    else:
        model = UNetModel(load_base(folder, machine))
    beginning = begin(network, model)
    pictures = painted(begun, model.fingerprint)
    lessons = captioned(begun) if teacher == "words" else labelled(pictures.prompts, pictures.valence, pictures.arousal)
    if contrary_share:
        lessons.contrary = contradicting(begun)
    watcher = watcher_of(begun) if teacher == "reader" else None
    return Stage(model, beginning, pictures, lessons, watcher)


def from_sdxl(
    source: Source,
    network: Path,
    pairs: Path | None,
    out: Path,
    machine: Machine,
    checkpointing: bool,
    contrary_share: float = 0.0,
) -> Stage:
    """Of SDXL and the pictures of a manifest.

    Args:
        source: The model and the pictures.
        network: The file to begin with.
        pairs: The prompts that teach; without them, the pictures' labels do.
        out: The run's folder, which gets the latents.
        machine: To compute on.
        checkpointing: Whether the UNet's activations are computed twice instead of kept.
        contrary_share: Samples that need words of another mood.

    Raises:
        DataError: The manifest or the pairs cannot be used, hold one emotion alone, or lack words of another mood.
        PictureError: A picture cannot be read.
        FileNotFoundError: The model lacks a part, or there is no such network.
        ValueError: The network does not go with the model, or `out` was begun with another one or other pictures.
    """
    images = read_manifest(source.manifest)
    prompts, *at = asked(images)
    lessons = paired(prompts, load_table(pairs), pairs.name) if pairs else labelled(prompts, *at)
    lessons.check((pairs or source.manifest).name, contrary_share)
    base = load_base(source.sdxl, machine)
    if checkpointing:
        base.unet.enable_gradient_checkpointing()
    model = UNetModel(base)
    beginning = begin(network, model)
    pictures = encoded(images, source.manifest.name, base, source.sdxl, source.resolution, out, machine)
    return Stage(model, beginning, pictures, lessons)
