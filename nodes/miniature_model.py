"""Builds the miniature's MODEL, CLIP and VAE: ComfyUI's own SDXL classes at small size, with the weights in miniature/.

trainer/miniature/comfyui_layout.py writes the names and sizes that this file reads.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import comfy.model_management as memory
import comfy.sd
import comfy.supported_models
import comfy.taesd.taesd
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..emoticrafter.quoting import quoted, shown
from ..emoticrafter.weights.files import LONGEST_REASON, check_numbers, parse_metadata, read_object, read_safetensors
from . import networks

FOLDER = Path(__file__).resolve().parents[1] / "miniature"
FORMAT, VERSION = "emoticrafter-miniature", 1
FILES = tuple(f"{name}.safetensors" for name in ("unet", "text_encoders", "vae", "emotion_network"))
UNUSED = ("logit_scale", "clip_l.transformer.text_projection.weight")
"""Ends of names in ComfyUI's text encoders that SDXL does not read; the file leaves them out."""
GET_THEM = (
    "The weights (40 MB) come with a git checkout of the project, not with the registry's package: clone the "
    "project, or copy its folder miniature/ there."
)

T = TypeVar("T")
log = logging.getLogger("emoticrafter")


class Miniature(NamedTuple):
    """The node's outputs."""

    model: ModelPatcher
    clip: comfy.sd.CLIP
    vae: comfy.sd.VAE
    network: networks.ManagedNetwork


def load_miniature(folder: Path = FOLDER) -> Miniature:
    """Builds the miniature from its files, or returns what is already built.

    Raises:
        FileNotFoundError: Files are missing; says where to get them.
        ValueError: A file is damaged, of another kind or version, or does not fit.
    """
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise FileNotFoundError(f"The miniature lacks {', '.join(missing)} in {folder}. {GET_THEM}")
    unet, text_encoders, vae, network = (folder / name for name in FILES)
    return Miniature(
        _part(unet, make_model),
        _part(text_encoders, make_clip),
        _part(vae, make_vae),
        networks.share_network(str(network), networks.AUTO),
    )


def files_version(folder: Path = FOLDER) -> str:
    """Tells one version of the files from the next, without reading them."""
    return " ".join(networks.version_of(str(folder / name)) for name in FILES)


def _part(path: Path, make: Callable[[dict[str, Tensor], dict], T]) -> T:
    def load() -> T:
        log.info("[EmotiCrafter] Loading the miniature's %s", path.name)
        try:
            return make(*read_file(path))
        except KeyError as error:
            raise _unusable(path, f"it has no {error}, and may be another part under this name") from error
        except (ArithmeticError, AssertionError, AttributeError, IndexError, TypeError, ValueError) as error:
            raise _unusable(path, error) from error

    return networks.shared((str(path), networks.version_of(str(path))), load)


def _unusable(path: Path, why: object) -> ValueError:
    why = shown(str(why), LONGEST_REASON)
    return ValueError(f"{path} cannot be used as a part of the miniature: {why}. {GET_THEM}")


def read_file(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Reads one of the miniature's files: its tensors by name, cast to float32, and the sizes of what they fill.

    Raises:
        ValueError: It is damaged, of another kind or version, or holds NaN or infinity.
    """
    metadata, weights = read_safetensors(path)
    refusal = f"its metadata lacks format={FORMAT}"
    sizes = parse_metadata(metadata, (FORMAT, VERSION), path.name, refusal, lambda told: read_object(told["config"]))
    # a damaged file would draw black pictures, and nothing else would say why
    check_numbers(weights, torch.float32, path.name)
    _check_claims(sizes, max((side for tensor in weights.values() for side in tensor.shape), default=0))
    # In the dtype of the modules: with DynamicVRAM, ComfyUI's layers take a tensor as it comes.
    return {name: tensor.float() for name, tensor in weights.items()}, sizes


def _check_claims(sizes: object, largest: int) -> None:
    """Refuses sizes that no tensor of the file has: ComfyUI builds before anything is compared."""
    if isinstance(sizes, int | float) and sizes > largest:
        raise ValueError(f"it claims a size of {quoted(sizes)}, and its tensors have up to {largest:,}")
    for part in sizes.values() if isinstance(sizes, dict) else sizes if isinstance(sizes, list) else ():
        _check_claims(part, largest)


# float32 everywhere, whatever the card prefers: it costs nothing at this size, and gives the same pictures everywhere.


def make_model(weights: dict[str, Tensor], sizes: dict) -> ModelPatcher:
    config = comfy.supported_models.SDXL({**sizes, "dtype": torch.float32})
    model = config.get_model({"v_pred": weights.pop("v_pred")})  # it predicts the velocity
    fill(model.diffusion_model, weights)
    return networks.make_patcher(model, memory.get_torch_device(), memory.unet_offload_device())


def make_clip(weights: dict[str, Tensor], sizes: dict) -> comfy.sd.CLIP:
    target = comfy.supported_models.SDXL({}).clip_target()
    clip = comfy.sd.CLIP(target, model_options={**sizes, "dtype": torch.float32})
    fill(clip.cond_stage_model, weights)
    return clip


def make_vae(weights: dict[str, Tensor], sizes: dict) -> comfy.sd.VAE:
    untrained = comfy.taesd.taesd.TAESD(latent_channels=sizes["latent_channels"]).state_dict()
    vae = comfy.sd.VAE(sd=untrained, dtype=torch.float32)
    fill(vae.first_stage_model, weights)
    return vae


def fill(module: torch.nn.Module, weights: dict[str, Tensor]) -> None:
    """Copies weights into a module.

    Raises:
        ValueError: Names or shapes do not fit.
    """
    try:
        missing, unknown = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # torch's word for another shape
        raise ValueError(str(error)) from error
    missing = [name for name in missing if not name.endswith(UNUSED)]
    if missing or unknown:
        raise ValueError(f"missing {quoted(missing[:5])}, not known {quoted(unknown[:5])}")
    for name, layer in module.named_modules():
        _check_shape(name, layer)


def _check_shape(name: str, layer: torch.nn.Module) -> None:
    """Compares a layer's weights with its sizes, which ComfyUI leaves undone where DynamicVRAM is on."""
    if isinstance(layer, torch.nn.Linear):
        expected = (layer.out_features, layer.in_features)
    elif isinstance(layer, torch.nn.Embedding):
        expected = (layer.num_embeddings, layer.embedding_dim)
    elif isinstance(layer, torch.nn.Conv2d):
        expected = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    else:
        return  # norms are ordinary layers of torch, which compare for themselves
    bias = getattr(layer, "bias", None)
    if tuple(layer.weight.shape) != expected or (bias is not None and bias.shape != expected[:1]):
        raise ValueError(f"size mismatch for {name}: got {tuple(layer.weight.shape)}, expected {expected}")
