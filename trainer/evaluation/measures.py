"""The measures of the paper: a reader's valence and arousal, CLIPScore, CLIP-IQA and LPIPS.

CLIPScore (Hessel et al. 2021, arXiv 2104.08718) and CLIP-IQA (Wang et al. 2023, arXiv 2207.12396) are as torchmetrics
defines them (a test compares them), but CLIP reads each image once for both. LPIPS (Zhang et al. 2018,
arXiv 1801.03924) is the authors' package.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from emoticrafter.weights.pickles import read_pickle
from trainer.core.command_line import reason
from trainer.core.pictures import Pixels
from trainer.core.rows import DataError
from trainer.evaluation.readers import Backbone, Device, VAReader, load_backbone, same_sizes, state_sha256
from trainer.evaluation.scoring import READ, READ_AGAIN, Distance, Measure, Measures

CLIP_SCORES = "openai/clip-vit-base-patch16"
QUALITY = ("Good photo.", "Bad photo.")
LPIPS_NETS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
PAIRS_AT_ONCE = 8


def read_by(reader: VAReader) -> Measures:
    """The valence and arousal that a reader reads, and nothing else."""

    def run(pictures: list[Pixels], prompts: list[str]) -> Iterable[np.ndarray]:
        return reader.read(pictures)

    by = f"reader {reader.fingerprint}"
    return Measures([Measure(by, READ, run, failures=reader.failures)], None, {"valence and arousal": reader.name})


def checked_by(measures: Measures, reader: VAReader, name: str) -> Measures:
    """Measures with a second reader besides, which reads every image, too; `name` says what it is."""
    [second] = read_by(reader).each
    made_by = measures.made_by | {"the second reader (2)": name}
    return replace(measures, each=[*measures.each, replace(second, columns=READ_AGAIN)], made_by=made_by)


def add_scores(
    measures: Measures, clip: str, lpips: str, lpips_weights: Path | None = None, device: Device = "cpu"
) -> Measures:
    """Measures with CLIPScore, CLIP-IQA and LPIPS besides.

    Args:
        measures: Those to add to; LPIPS takes the place of their distance.
        clip: Folder or hub id of a CLIP, or "none".
        lpips: A key of LPIPS_NETS, or "none".
        lpips_weights: See `lpips_distance`.
        device: Where to run.

    Raises:
        DataError: A model is missing or is of another kind.
    """
    each, distance, made_by = measures.each, measures.distance, measures.made_by
    if clip != "none":
        each = [*each, clip_scores(load_backbone(clip, device))]
        made_by = made_by | {"CLIPScore and CLIP-IQA": f"{clip}, against the prompt as it is in the manifest"}
    if lpips != "none":
        distance = lpips_distance(lpips, lpips_weights, device)
        weights = lpips_weights or "of torchvision (ImageNet)"
        made_by = made_by | {"LPIPS": f"LPIPS 0.1 on {lpips}, weights {weights}"}
    return Measures(each, distance, made_by)


def clip_scores(clip: Backbone) -> Measure:
    """CLIPScore, 100 times the cosine of an image and its prompt, and CLIP-IQA, "Good photo." against "Bad photo."

    Raises:
        DataError: The model has no text encoder.
    """
    if clip.kind != "clip":
        raise DataError(f"{clip.name} is not a CLIP, so it has no CLIPScore: give --clip {CLIP_SCORES}.")
    anchors = F.normalize(clip.texts(list(QUALITY)), dim=-1)

    def run(pictures: list[Pixels], prompts: list[str]) -> np.ndarray:
        images = F.normalize(clip.images(pictures), dim=-1)
        distinct = sorted(set(prompts))
        texts = F.normalize(clip.texts(distinct), dim=-1)[[distinct.index(prompt) for prompt in prompts]]
        agreement = (100 * (images * texts).sum(-1)).clamp(min=0)
        quality = (100 * images @ anchors.T).softmax(-1)[:, 0]
        return torch.stack([agreement, quality], dim=1).cpu().numpy()

    return Measure(f"clip {clip.fingerprint}", ("CLIPScore", "CLIP-IQA"), run, reads_prompt=True)


def lpips_distance(net: str, weights: Path | None = None, device: Device = "cpu") -> Distance:
    """LPIPS between images at their own size.

    Args:
        net: A key of LPIPS_NETS: the network whose features are compared, usually "alex".
        weights: Its ImageNet weights as torchvision saves them (.pth, or .safetensors with the same names); by default
            torchvision's cache or server has them.
        device: Where to run.

    Raises:
        DataError: The weights are missing or belong to another network.
    """
    try:
        import lpips
    except Exception as error:
        raise DataError(
            f"LPIPS cannot be measured: its package cannot be imported ({reason(error)}). Install it with pip install "
            "-e '.[eval]', or leave it out with --lpips none."
        ) from error
    with warnings.catch_warnings():  # torchvision warns of an argument that lpips passes
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    source = _read_weights(net, weights) if weights else _torchvision_weights(net)
    # lpips cuts the network into slices, but the layers keep their numbers.
    names = {key: f"features.{key.split('.', 1)[1]}" for key in network.net.state_dict()}
    bad = [
        name
        for key, name in names.items()
        if name not in source or source[name].shape != network.net.state_dict()[key].shape
    ]
    if bad:
        raise DataError(
            f"{weights} does not hold torchvision's {LPIPS_NETS[net]}: {bad[0]} is missing or has another shape."
        )
    network.net.load_state_dict({key: source[name] for key, name in names.items()})
    network.to(device)

    @torch.no_grad()
    def run(first: list[Pixels], second: list[Pixels]) -> np.ndarray:
        return paired_batches(first, second, device, lambda a, b: network(a, b, normalize=True).flatten())

    return Distance(f"lpips {net} {state_sha256(network.state_dict())}", run)


def paired_batches(
    first: list[Pixels], second: list[Pixels], device: Device, distance: Callable[[Tensor, Tensor], Tensor]
) -> np.ndarray:
    """Distances [B] of B pairs of equal size, computed a few at a time."""
    found = []
    for start in range(0, len(first), PAIRS_AT_ONCE):
        stop = start + PAIRS_AT_ONCE
        batches = zip(same_sizes(first[start:stop], device), same_sizes(second[start:stop], device), strict=True)
        found += [distance(a, b).float().cpu() for a, b in batches]
    return torch.cat(found).numpy()


def _read_weights(net: str, path: Path) -> dict:
    try:
        return load_file(path) if path.suffix == ".safetensors" else read_pickle(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise DataError(f"{path}, given as the weights of {LPIPS_NETS[net]}, cannot be read ({error}).") from error


def _torchvision_weights(net: str) -> dict:
    from torchvision.models import get_model_weights

    found = get_model_weights(LPIPS_NETS[net]).DEFAULT
    try:
        return found.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"LPIPS needs torchvision's {LPIPS_NETS[net]}, which is not on this machine and could not be downloaded "
            f"({error}). Get {found.url} on another machine and give the file with --lpips-weights, or "
            "leave LPIPS out with --lpips none."
        ) from error
