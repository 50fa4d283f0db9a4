"""Fits a reader: linear heads on a frozen image model, in the published form, calibrated on pictures of their own.

Files' hashes split the rated pictures: 70 % to learn from, 15 % to calibrate on, 15 % held out. L-BFGS minimises the
heads' squared error with a ridge penalty, the one of PENALTIES that does best on the calibration pictures. There,
calibration then finds the scale and offset before the sigmoid with the least squared error; they go into weight and
bias, so that the file has the published form.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.format import open_memmap
from torch import Tensor
from tqdm import tqdm

from emoticrafter.files import naming, write_text
from emoticrafter.research.readers import ClipHeads, save_heads
from trainer.core.pictures import PictureError, decode_ahead, hash_files
from trainer.core.rows import DataError
from trainer.data.images import RatedImage
from trainer.evaluation.readers import Backbone
from trainer.evaluation.statistics import agreement

AT_ONCE = 32
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
LISTED = 20
PER_PART = 10
FEWEST = 40
"""Rated pictures that a reader needs; with fewer, the held-out part says nothing."""


@dataclass(frozen=True)
class Parts:
    """Rows of each part."""

    learned: Tensor
    calibrating: Tensor
    held_out: Tensor


def part(hashes: Sequence[str]) -> Parts:
    """Splits pictures by their hashes: a file always lands in the same part."""
    share = torch.tensor([int(one[:8], 16) / 2**32 for one in hashes], dtype=torch.float64)
    chosen = share < 0.7, (share >= 0.7) & (share < 0.85), share >= 0.85
    return Parts(*(rows.nonzero().flatten() for rows in chosen))


def read_features(
    images: Sequence[RatedImage], folder: Path, backbone: Backbone, path: Path
) -> tuple[list[str], Tensor, Tensor, list[str]]:
    """Features of rated pictures, streamed into a file, so that an interrupted run goes on.

    Args:
        images: The pictures and their ratings.
        folder: Where they are.
        backbone: Gives the features.
        path: The file, .npy; features of other pictures in it are overwritten.

    Returns:
        Hashes of the N pictures that can be read, their features [N, W], their ratings [N, 2], and problems of the
        others.
    """
    hashes = hash_files([folder / image.image for image in images])
    problems = [str(found) for found in hashes if isinstance(found, PictureError)]
    array = _file_of_features(path, [str(found) for found in hashes], backbone)
    missing = [row for row, found in enumerate(hashes) if isinstance(found, str) and not np.isfinite(array[row]).all()]
    chunks = [missing[start : start + AT_ONCE] for start in range(0, len(missing), AT_ONCE)]
    paths = [[folder / images[row].image for row in chunk] for chunk in chunks]
    with tqdm(total=len(images), initial=len(images) - len(missing), unit="picture", mininterval=1) as bar:
        for chunk, pictures in zip(chunks, decode_ahead(paths), strict=True):
            problems += [str(picture) for picture in pictures if isinstance(picture, PictureError)]
            good = [n for n, picture in enumerate(pictures) if not isinstance(picture, PictureError)]
            if good:
                array[[chunk[n] for n in good]] = backbone.images([pictures[n] for n in good]).cpu().numpy()
                array.flush()
            bar.update(len(chunk))
    rows = [row for row in range(len(images)) if np.isfinite(array[row]).all()]
    ratings = torch.tensor([(images[row].valence, images[row].arousal) for row in rows])
    return [hashes[row] for row in rows], torch.from_numpy(np.array(array[rows])), ratings, problems


def _file_of_features(path: Path, hashes: list[str], backbone: Backbone) -> np.ndarray:
    """float32 [N, W], mapped from the file; NaN where nothing has been read yet."""
    note, whose = path.with_suffix(".json"), {"backbone": backbone.fingerprint, "pictures": hashes}
    with suppress(OSError, ValueError):  # missing or damaged: read anew
        if json.loads(note.read_text("utf-8")) == whose:
            return open_memmap(path, "r+")
    note.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        array = open_memmap(path, "w+", dtype=np.float32, shape=(len(hashes), backbone.width))
        array[:] = np.nan
        array.flush()
    write_text(note, json.dumps(whose))
    return array


def fit(features: Tensor, ratings: Tensor, parts: Parts, name: str) -> tuple[ClipHeads, float]:
    """Fits heads to features, and picks the penalty that does best.

    Args:
        features: float32 [N, W].
        ratings: float32 [N, 2] in [-3, 3].
        parts: Which rows are for what.
        name: The model that gave the features.
    """
    learned, calibrating = parts.learned, parts.calibrating
    centre, spread = features[learned].mean(0), features[learned].std(0).clamp(min=1e-6)
    normal = (features - centre) / spread
    fitted = {penalty: _minimise(normal[learned], ratings[learned], penalty) for penalty in PENALTIES}
    guesses = {penalty: _squashed(normal[calibrating] @ w + b) for penalty, (w, b) in fitted.items()}
    errors = {penalty: F.mse_loss(guess, ratings[calibrating]).item() for penalty, guess in guesses.items()}
    best = min(errors, key=errors.get)
    weight, bias = fitted[best]
    scale, offset = _calibrated(normal[calibrating] @ weight + bias, ratings[calibrating])
    weight, bias = weight * scale, bias * scale + offset
    heads = ClipHeads(features.shape[1], name)
    with torch.no_grad():  # the heads take the normalisation into their weights
        weight = weight / spread[:, None]
        bias = bias - centre @ weight
        for column, head in enumerate((heads.valence, heads.arousal)):
            head.weight.copy_(weight[:, column][None])
            head.bias.copy_(bias[column][None])
    return heads.eval().requires_grad_(False), best


def _squashed(numbers: Tensor) -> Tensor:
    return 6 * numbers.sigmoid() - 3


def _minimise(features: Tensor, ratings: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(features.shape[1], 2, requires_grad=True)
    bias = torch.zeros(2, requires_grad=True)

    def loss() -> Tensor:
        return F.mse_loss(_squashed(features @ weight + bias), ratings) + penalty * weight.square().sum()

    _run(loss, [weight, bias])
    return weight.detach(), bias.detach()


def _calibrated(numbers: Tensor, ratings: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and offset [2] of the numbers before the sigmoid that give the least squared error."""
    scale, offset = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    _run(lambda: F.mse_loss(_squashed(numbers * scale + offset), ratings), [scale, offset])
    return scale.detach(), offset.detach()


def _run(loss, parameters: list[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)


@torch.no_grad()
def held_out(heads: ClipHeads, features: Tensor, ratings: Tensor, parts: Parts) -> dict[str, dict[str, float]]:
    """How heads do on the held-out pictures, by axis.

    ``error`` is the mean absolute error, ``constant`` that of always saying the mean rating of the learned pictures.
    ``calibration`` is the mean distance between mean readings and mean ratings within tenths of the readings, or within
    fewer parts if tenths have fewer than PER_PART pictures: of single pictures it would be the error again.
    """
    rows = parts.held_out
    got, wanted = heads(features[rows]).numpy().astype(np.float64), ratings[rows].numpy().astype(np.float64)
    found = {}
    for column, axis in enumerate(("valence", "arousal")):
        x, y = wanted[:, column], got[:, column]
        constant = ratings[parts.learned, column].mean().item()
        chunks = np.array_split(np.argsort(y), np.clip(len(y) // PER_PART, 1, 10))
        bias = np.mean([abs(x[chunk].mean() - y[chunk].mean()) for chunk in chunks])
        follows = agreement(x, y) if np.ptp(x) > 0 else {"error": float(np.abs(x - y).mean())}
        found[axis] = {
            "error": follows["error"],
            "constant": float(np.abs(x - constant).mean()),
            "tau": follows.get("tau-b", 0.0),
            "slope": follows.get("slope", 0.0),
            "calibration": float(bias),
        }
    return found


def fit_reader(
    images: Sequence[RatedImage], folder: Path, backbone: Backbone, out: Path, skip_bad: bool = False
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Fits heads to rated pictures and saves them, with their origin and held-out figures as metadata.

    Returns:
        The held-out figures, and problems of pictures that could not be used.

    Raises:
        DataError: There are too few pictures, or some cannot be used and `skip_bad` is not set.
    """
    hashes, features, ratings, problems = read_features(images, folder, backbone, out.with_suffix(".features.npy"))
    if problems and not skip_bad:
        listed = "\n".join(f"  {problem}" for problem in problems[:LISTED])
        raise DataError(
            f"{len(problems)} pictures cannot be used:\n{listed}\nThe others' features are kept. Correct these, "
            "or leave them out with --skip-bad."
        )
    parts = part(hashes)
    if len(hashes) < FEWEST or min(map(len, vars(parts).values())) < 3:
        raise DataError(
            f"{len(hashes)} pictures can be read; a reader needs at least {FEWEST}, and hundreds to be useful."
        )
    heads, penalty = fit(features, ratings, parts, backbone.name)
    figures = held_out(heads, features, ratings, parts)
    training = {
        "method": "ridge, sigmoid, calibrated",
        "backbone": backbone.name,
        "backbone_fingerprint": backbone.fingerprint,
        "penalty": penalty,
        "pictures": {name: len(rows) for name, rows in vars(parts).items()},
        "sources": sorted({image.source for image in images}),
        "held_out": figures,
    }
    save_heads(heads, out, training)
    return figures, problems
