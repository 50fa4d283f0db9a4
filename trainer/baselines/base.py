"""A frozen base model and pictures of known valence and arousal, which baselines are fitted to.

The base is a diffusers folder, of the miniature or of SDXL; the pictures are the miniature's own or those of a
manifest. Both sources end in the same two objects, so there is one way to train.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from PIL import Image, ImageOps
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from emoticrafter.files import file_sha256
from trainer.baselines.patches import SDXLText
from trainer.core.device import Machine
from trainer.core.pictures import PictureError, decode, hash_files
from trainer.evaluation.manifest import Image as Asked
from trainer.evaluation.manifest import read_manifest
from trainer.miniature.dataset import fill, filled
from trainer.miniature.folders import needs
from trainer.miniature.models import noise_schedule
from trainer.miniature.pipeline import Run
from trainer.miniature.recipe import note, read_recipe
from trainer.world.captions import neutral_caption

PARTS = ("unet", "text_encoder", "text_encoder_2")
LATENTS_AT_ONCE = 8
SHOWN = 16  # digits of a sha256 in source.json and in what is said of it


@dataclass
class Base:
    """A frozen text-to-image model with SDXL's conditioning.

    Attributes:
        unet: On the machine's device, with the text encoders.
        text: Tokens to features and pooled vectors.
        schedule: The noise that the UNet was trained with.
        name: The folder's.
        fingerprint: sha256 of the UNet's file, the first if there are several.
    """

    unet: UNet2DConditionModel
    text: SDXLText
    schedule: DDPMScheduler
    name: str
    fingerprint: str


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


def load_base(folder: Path, machine: Machine) -> Base:
    """Reads UNet and text encoders of a diffusers folder, frozen; in bfloat16 on a GPU that computes in it.

    Raises:
        FileNotFoundError: The folder lacks a part.
    """
    if missing := [part for part in PARTS if not (folder / part / "config.json").is_file()]:
        raise FileNotFoundError(f"{folder} is not a diffusers folder of SDXL: expected {missing[0]}/config.json in it.")
    half = machine.bfloat16 and machine.device.type == "cuda"
    dtype = torch.bfloat16 if half else torch.float32
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype)
    if unet.config.addition_embed_type != "text_time":
        raise ValueError(f"{folder} holds another model than SDXL: its UNet does not read a pooled vector.")
    text = SDXLText(
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=dtype),
        CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype=dtype),
    )
    known = folder / "scheduler"
    return Base(
        unet.to(machine.device).eval().requires_grad_(False),
        text.to(machine.device).eval().requires_grad_(False),
        DDPMScheduler.from_pretrained(known) if known.is_dir() else noise_schedule(),
        folder.resolve().name,
        _weights_sha256(folder / "unet"),
    )


def _weights_sha256(part: Path) -> str:
    weights = sorted(part.glob("*.safetensors"))
    return file_sha256(weights[0]) if weights else ""


def keep_source(source: dict[str, str | int], out: Path) -> None:
    """Writes the source of a fit into the folder's source.json, or checks that it is the same.

    A folder from an earlier release lacks the file and gets one.

    Raises:
        ValueError: The folder was begun with another model or other pictures.
    """
    if differing := note(out / "source.json", source):
        raise ValueError(
            f"{out} was begun with another base model or other pictures: {'; '.join(differing)}. Give the same ones to "
            "go on, or choose another --out."
        )


def from_miniature(out: Path, machine: Machine) -> tuple[Base, Pictures]:
    """A run of the miniature: its generator, and its training pictures with neutral captions.

    Raises:
        FileNotFoundError: The folder holds no run, or one whose generator is not trained yet.
    """
    run = Run(out, read_recipe(out), machine)
    needs(out, "generator")
    plan, wordings = run.plan, run.recipe.captions
    prompts = [
        [neutral_caption(scene, seed * wordings + wording) for wording in range(wordings)]
        for scene, _, _, seed in plan.pictures()
    ]
    base = load_base(out / "generator", machine)
    source = {
        "unet": base.fingerprint[:SHOWN],
        "autoencoder": _weights_sha256(out / "autoencoder")[:SHOWN],
        "recipe": _sha256(run.recipe.as_json()),
    }
    name = f"the miniature, {len(plan):,}"
    return base, Pictures(run.latents(), plan.valence, plan.arousal, prompts, name, source)


def from_manifest(folder: Path, manifest: Path, size: int, out: Path, machine: Machine) -> tuple[Base, Pictures]:
    """SDXL and pictures of one's own.

    Args:
        folder: SDXL in diffusers' layout, with vae/.
        manifest: See trainer/evaluation/manifest.py; the prompts are neutral ones.
        size: Pixels of the squares that are cut from the pictures' middle, a multiple of 8.
        out: Gets source.json and latents.npy; an interrupted run goes on with them.
        machine: To encode on.

    Raises:
        DataError: The manifest cannot be used.
        PictureError: A picture cannot be read.
        FileNotFoundError: The folder lacks a part.
        ValueError: The size does not fit, or `out` was begun with another model or other pictures.
    """
    if size % 8 or size < 8:
        raise ValueError(f"the resolution is {size}: expected a multiple of 8, such as 1024.")
    images, base = read_manifest(manifest), load_base(folder, machine)
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
        "vae": _weights_sha256(folder / "vae")[:SHOWN],
        "resolution": size,
        "pictures": _pictures_sha256(images),
    }
    keep_source(source, out)
    encoded = fill(path, shape, "float16", produce, LATENTS_AT_ONCE)
    valence, arousal = np.array([(image.valence, image.arousal) for image in images], np.float32).T
    prompts = [[image.prompt] for image in images]
    return base, Pictures(encoded, valence, arousal, prompts, f"{manifest.name}, {len(images):,}", source)


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
