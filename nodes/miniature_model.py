"""Builds the miniatures' MODEL, CLIP and VAE: ComfyUI's own classes at small size, with the weights in miniature/.

The first has SDXL's plan, the second Lumina 2's. trainer/miniature/comfyui_layout.py and flow_files.py write the names
and sizes that this file reads.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import comfy.latent_formats
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
SDXL, LUMINA = "SDXL", "Lumina 2"
FILES = {
    SDXL: ("unet", "text_encoders", "vae", "emotion_network"),
    LUMINA: ("flow/transformer", "flow/text_encoder", "vae", "flow/emotion_network"),
}
"""The miniatures by the model whose plan they have, and what each is made of, without .safetensors."""
TIME_SCALE = 1000.0
"""What the second miniature's times from 0 to 1 are multiplied by, as Z-Image's."""
UNUSED = ("logit_scale", "clip_l.transformer.text_projection.weight", "norm_final.weight")
"""Ends of names in ComfyUI's classes that these models do not read; the files leave them out."""
GET_THEM = (
    "Its files (50 MB) come with a git checkout of the project, not with the registry's package: clone the "
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


def load_miniature(folder: Path = FOLDER, plan: str = SDXL) -> Miniature:
    """Builds a miniature from its files, or returns what is already built.

    Raises:
        FileNotFoundError: Files are missing; says where to get them.
        ValueError: There is no such miniature; or a file is damaged, of another kind or version, or does not fit.
    """
    if plan not in FILES:  # only the browser checks the list
        raise ValueError(f"There is no miniature {quoted(plan)}: expected one of {', '.join(FILES)}.")
    files = _files(folder, plan)
    if missing := [str(path.relative_to(folder)) for path in files if not path.is_file()]:
        raise FileNotFoundError(f"The miniature lacks {', '.join(missing)} in {folder}. {GET_THEM}")
    model, clip, vae, network = files
    return Miniature(
        _part(model, MODELS[plan]),
        _part(clip, CLIPS[plan]),
        _part(vae, make_vae),
        networks.share_network(str(network), networks.AUTO),
    )


def files_version(folder: Path = FOLDER, plan: str = SDXL) -> str:
    """Tells one version of the files from the next, without reading them."""
    return " ".join(networks.version_of(str(path)) for path in _files(folder, plan))


def _files(folder: Path, plan: str) -> list[Path]:
    return [folder / f"{name}.safetensors" for name in FILES.get(plan, ())]


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
    numbers = {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
    check_numbers(numbers, torch.float32, path.name)
    _check_claims(sizes, max((side for tensor in weights.values() for side in tensor.shape), default=0))
    # In the dtype of the modules: with DynamicVRAM, ComfyUI's layers take a tensor as it comes.
    return weights | {name: tensor.float() for name, tensor in numbers.items()}, sizes


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


def make_flow_model(weights: dict[str, Tensor], sizes: dict) -> ModelPatcher:
    shift = sizes.pop("shift")
    config = comfy.supported_models.Lumina2({**sizes, "time_scale": TIME_SCALE, "dtype": torch.float32})
    config.sampling_settings = {"multiplier": 1.0, "shift": shift}
    config.latent_format = comfy.latent_formats.SDXL()  # the autoencoder is the first miniature's
    model = config.get_model({})
    fill(model.diffusion_model, weights)
    return networks.make_patcher(model, memory.get_torch_device(), memory.unet_offload_device())


def make_flow_clip(weights: dict[str, Tensor], sizes: dict) -> comfy.sd.CLIP:
    target = comfy.supported_models.Lumina2({}).clip_target()
    vocabulary = {"spiece_model": weights.pop("spiece_model")}
    clip = comfy.sd.CLIP(target, tokenizer_data=vocabulary, model_options={**sizes, "dtype": torch.float32})
    fill(clip.cond_stage_model, weights)
    return clip


def make_vae(weights: dict[str, Tensor], sizes: dict) -> comfy.sd.VAE:
    untrained = comfy.taesd.taesd.TAESD(latent_channels=sizes["latent_channels"]).state_dict()
    vae = comfy.sd.VAE(sd=untrained, dtype=torch.float32)
    fill(vae.first_stage_model, weights)
    return vae


MODELS = {SDXL: make_model, LUMINA: make_flow_model}
CLIPS = {SDXL: make_clip, LUMINA: make_flow_clip}


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
