"""Pictures of known valence and arousal, as latents that a frozen model reads: the miniature's own, or a manifest's."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageOps

from trainer.core.device import Machine
from trainer.core.pictures import PictureError, decode, hash_files
from trainer.evaluation.manifest import Image as Asked
from trainer.evaluation.manifest import read_manifest
from trainer.miniature.dataset import fill, filled
from trainer.miniature.folders import needs
from trainer.miniature.pipeline import SHIPPED, FlowRun, Run
from trainer.miniature.recipe import FlowRecipe, note, read_recipe
from trainer.pictures.base import Base, load_base, weights_sha256
from trainer.world.captions import neutral_caption

LATENTS_AT_ONCE = 8
SHOWN = 16  # digits of a sha256 in source.json and in what is said of it


@dataclass
class Pictures:
    """N pictures.

    Attributes:
        latents: float16 [N, 4, H, W], scaled as the UNet reads them.
        valence, arousal: float32 [N] in [-3, 3].
        prompts: Neutral prompts, N lists of equally many wordings.
        name: Of their source.
        source: Hashes and sizes that identify the pictures and the model they are for; see `keep_source`.
    """

    latents: np.ndarray
    valence: np.ndarray
    arousal: np.ndarray
    prompts: list[list[str]]
    name: str
    source: dict[str, str | int]


def keep_source(source: dict[str, str | int], out: Path) -> None:
    """Writes the source of a fit into the folder's source.json, or checks that it is the same.

    A folder from an earlier release lacks the file and gets one.

    Raises:
        ValueError: The folder was begun with another model, reader or other pictures.
    """
    if differing := note(out / "source.json", source):
        raise ValueError(
            f"{out} was begun with another base model, reader or other pictures: {'; '.join(differing)}. Give the same "
            "ones to go on, or choose another --out."
        )


def from_miniature(out: Path, machine: Machine) -> tuple[Base, Pictures]:
    """A run of the first miniature: its generator, and its training pictures with neutral captions.

    Raises:
        FileNotFoundError: The folder holds no run, or one whose generator is not trained yet.
    """
    run = begun_run(out, machine)
    base = load_base(out / "generator", machine)
    return base, painted(run, base.fingerprint)


def begun_run(out: Path, machine: Machine) -> Run:
    """A run of either miniature, with its generator.

    Raises:
        FileNotFoundError: The folder holds no run, or one whose generator is not trained yet.
    """
    recipe = read_recipe(out)
    needs(out, "generator")
    return FlowRun(out, recipe, machine, SHIPPED) if isinstance(recipe, FlowRecipe) else Run(out, recipe, machine)


def painted(run: Run, fingerprint: str) -> Pictures:
    """The pictures that a run's generator learned from, which are painted and encoded if they are not there.

    Args:
        run: From `begun_run`.
        fingerprint: sha256 of the generator's file.

    Raises:
        FileNotFoundError: The run has no autoencoder yet.
    """
    plan = run.plan
    prompts = [[neutral_caption(scene, one) for one in wordings(run, seed)] for scene, _, _, seed in plan.pictures()]
    source = {
        "unet": fingerprint[:SHOWN],
        "autoencoder": weights_sha256(run.out / "autoencoder")[:SHOWN],
        "recipe": _sha256(run.recipe.as_json()),
    }
    return Pictures(run.latents(), plan.valence, plan.arousal, prompts, f"the miniature, {len(plan):,}", source)


def wordings(run: Run, seed: int) -> range:
    """The seeds of the captions of the picture with this seed."""
    return range(seed * run.recipe.captions, (seed + 1) * run.recipe.captions)


def from_manifest(folder: Path, manifest: Path, size: int, out: Path, machine: Machine) -> tuple[Base, Pictures]:
    """SDXL and pictures of one's own; arguments and errors as `load_base` and `encoded`."""
    images, base = read_manifest(manifest), load_base(folder, machine)
    return base, encoded(images, manifest.name, base, folder, size, out, machine)


def encoded(
    images: list[Asked], name: str, base: Base, folder: Path, size: int, out: Path, machine: Machine
) -> Pictures:
    """Pictures of a manifest as SDXL's latents.

    Args:
        images: See trainer/evaluation/manifest.py; the prompts are neutral ones.
        name: The manifest's.
        base: The model that they are for.
        folder: Of that model, with vae/.
        size: Pixels of the squares that are cut from the pictures' middle, a multiple of 8.
        out: Gets source.json and latents.npy; an interrupted run goes on with them.
        machine: To encode on.

    Raises:
        PictureError: A picture cannot be read.
        FileNotFoundError: The folder lacks a part.
        ValueError: The size does not fit, or `out` was begun with another model or other pictures.
    """
    if size % 8 or size < 8:
        raise ValueError(f"the resolution is {size}: expected a multiple of 8, such as 1024.")
    if not (folder / "vae" / "config.json").is_file():
        raise FileNotFoundError(f"{folder} lacks vae/config.json: expected SDXL in diffusers' layout.")
    vae = AutoencoderKL.from_pretrained(folder / "vae").to(machine.device).eval().requires_grad_(False)
    reduction = 2 ** (len(vae.config.block_out_channels) - 1)
    shape = (len(images), vae.config.latent_channels, size // reduction, size // reduction)

    @torch.no_grad()
    def produce(ranges: list[range]) -> Iterator[np.ndarray]:
        for rows in ranges:
            pixels = np.stack([_square(images[row].path, size) for row in rows])
            batch = torch.from_numpy(pixels).to(machine.device).permute(0, 3, 1, 2).float() / 127.5 - 1
            yield (vae.encode(batch).latent_dist.mean * vae.config.scaling_factor).half().cpu().numpy()

    path = out / "latents.npy"
    if path.exists():  # before a source is noted beside it
        filled(path, shape, "float16")
    source = {
        "unet": base.fingerprint[:SHOWN],
        "vae": weights_sha256(folder / "vae")[:SHOWN],
        "resolution": size,
        "pictures": _pictures_sha256(images),
    }
    keep_source(source, out)
    latents = fill(path, shape, "float16", produce, LATENTS_AT_ONCE)
    prompts, valence, arousal = asked(images)
    return Pictures(latents, valence, arousal, prompts, f"{name}, {len(images):,}", source)


def asked(images: list[Asked]) -> tuple[list[list[str]], np.ndarray, np.ndarray]:
    """Neutral prompts, one for each of N images, and valence and arousal, float32 [N]."""
    valence, arousal = np.array([(image.valence, image.arousal) for image in images], np.float32).T
    return [[image.prompt] for image in images], valence, arousal


def _pictures_sha256(images: list[Asked]) -> str:
    """Of the files, the prompts, valence and arousal, in their order."""
    hashes = hash_files([image.path for image in images])
    if bad := [found for found in hashes if isinstance(found, PictureError)]:
        raise bad[0]
    told = [(image.prompt, image.valence, image.arousal) for image in images]
    return _sha256([(found, *one) for found, one in zip(hashes, told, strict=True)])


def _sha256(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:SHOWN]


def _square(path: Path, size: int) -> np.ndarray:
    pixels = decode(path)
    try:
        return np.asarray(ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.LANCZOS))
    except ValueError as error:
        raise PictureError(f"{path} cannot be cut to {size} x {size} ({error})") from error
