"""Scores that need no label: CLIPScore, CLIP-IQA and LPIPS.

CLIPScore (Hessel et al. 2021, arXiv 2104.08718) and CLIP-IQA (Wang et al. 2023, arXiv 2207.12396) are as torchmetrics
defines them, to which a test holds them, but one image at a time and with the image read by CLIP once for both.
LPIPS (Zhang et al. 2018, arXiv 1801.03924) is the authors' package.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file

from emoticrafter.weights import read_pickle
from trainer.core.pictures import Pixels
from trainer.core.rows import DataError
from trainer.evaluation.backbones import Backbone, state_sha256
from trainer.evaluation.readers import same_sizes
from trainer.evaluation.scoring import Distance, Measure

CLIP_SCORES = "openai/clip-vit-base-patch16"
QUALITY = ("Good photo.", "Bad photo.")
LPIPS_NETS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
PAIRS_AT_ONCE = 8


def clip_scores(clip: Backbone) -> Measure:
    """CLIPScore of an image and its prompt, 100 cos, and CLIP-IQA, the share of "Good photo." against "Bad photo."

    Raises:
        DataError: the model has no text encoder.
    """
    if clip.kind != "clip":
        raise DataError(f"{clip.name} is no CLIP, so it gives no CLIPScore: give --clip {CLIP_SCORES}.")
    anchors = F.normalize(clip.texts(list(QUALITY)), dim=-1)

    def run(pictures: list[Pixels], prompts: list[str]) -> np.ndarray:
        images = F.normalize(clip.images(pictures), dim=-1)
        distinct = sorted(set(prompts))
        texts = F.normalize(clip.texts(distinct), dim=-1)[[distinct.index(prompt) for prompt in prompts]]
        agreement = (100 * (images * texts).sum(-1)).clamp(min=0)
        quality = (100 * images @ anchors.T).softmax(-1)[:, 0]
        return torch.stack([agreement, quality], dim=1).cpu().numpy()

    return Measure(f"clip {clip.fingerprint}", ("CLIPScore", "CLIP-IQA"), run, reads_prompt=True)


def lpips_distance(net: str, weights: Path | None = None, device: str = "cpu") -> Distance:
    """LPIPS between images at their own size.

    Args:
        net: A key of LPIPS_NETS: the network whose features are compared. "alex" is the usual one.
        weights: Its ImageNet weights as torchvision saves them (.pth, or .safetensors of the same names); without it
            they come from torchvision's cache or server.
        device: Where to run.

    Raises:
        DataError: the weights are not there or are another network's.
    """
    import lpips

    with warnings.catch_warnings():  # of torchvision, about an argument that lpips gives it
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    source = _read_weights(net, weights) if weights else _torchvision_weights(net)
    # lpips cuts the network into slices, in which the layers keep their numbers.
    names = {key: f"features.{key.split('.', 1)[1]}" for key in network.net.state_dict()}
    bad = [
        name
        for key, name in names.items()
        if name not in source or source[name].shape != network.net.state_dict()[key].shape
    ]
    if bad:
        raise DataError(
            f"{weights} holds no {LPIPS_NETS[net]} of torchvision: {bad[0]} is missing or of another shape."
        )
    network.net.load_state_dict({key: source[name] for key, name in names.items()})
    network.to(device)

    @torch.no_grad()
    def run(first: list[Pixels], second: list[Pixels]) -> np.ndarray:
        return paired_batches(first, second, device, lambda a, b: network(a, b, normalize=True).flatten())

    return Distance(f"lpips {net} {state_sha256(network.state_dict())}", run)


def paired_batches(first: list[Pixels], second: list[Pixels], device: str, distance) -> np.ndarray:
    """Runs a distance over pairs of equal size, a few at once: [B]."""
    found = []
    for start in range(0, len(first), PAIRS_AT_ONCE):
        stop = start + PAIRS_AT_ONCE
        batches = zip(
            same_sizes(first[start:stop], device), same_sizes(second[start:stop], device), strict=True
        )
        found += [distance(a, b).float().cpu() for a, b in batches]
    return torch.cat(found).numpy()


def _read_weights(net: str, path: Path) -> dict:
    try:
        return load_file(path) if path.suffix == ".safetensors" else read_pickle(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise DataError(
            f"{path}, given as the weights of {LPIPS_NETS[net]}, cannot be read ({error})."
        ) from error


def _torchvision_weights(net: str) -> dict:
    from torchvision.models import get_model_weights

    found = get_model_weights(LPIPS_NETS[net]).DEFAULT
    try:
        return found.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"LPIPS needs torchvision's {LPIPS_NETS[net]}, which is not on this machine and could not be had "
            f"({error}). Get {found.url} on another machine and give the file with --lpips-weights."
        ) from error
