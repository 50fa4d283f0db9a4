"""Measures a network: its loss on the validation pairs, and how its output moves with valence and arousal.

Shapes: B batch, T tokens, D feature width, P prompts, G the values of an axis.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from emoticrafter import EmotionNetwork
from emoticrafter.fit.loss import content_error, pair_errors
from trainer.runs.directions import Directions, Measure
from trainer.runs.loader import Batch, Data, Loader

GRID = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
PROMPTS = 8
MOST_AT_ONCE = 64


def validation_loss(
    network: EmotionNetwork, loader: Loader, pairs: np.ndarray, scale: float, directions: Directions
) -> dict[str, float]:
    """The losses over the validation pairs, and how much of the residual lies along content directions.

    Returns:
        loss: The mean of weight times squared error, weights as in training (mean 1 over the training pairs).
        mse: The same without weights.
        content_share, target_content_share: The part of the residual's energy, and of the target's, that lies along
            the content directions.
    """
    content, measure = directions.content.to(loader.device), directions.measure
    unit = None if measure.unit is None else measure.unit.to(loader.device)
    sums = torch.zeros(6, dtype=torch.float64)
    for start in range(0, len(pairs), MOST_AT_ONCE):
        batch = loader.load(pairs[start : start + MOST_AT_ONCE])
        neutral = batch.neutral.float()
        residual = network.residual(neutral, network.encode(batch.valence, batch.arousal), batch.mask).float()
        target = scale * (batch.emotional.float() - neutral)
        error = pair_errors(neutral + residual, batch.neutral, batch.emotional, scale, unit, batch.learned)
        energies = [
            value.sum()
            for part in (measure.in_units(residual), measure.in_units(target))
            for value in (content_error(part, content, batch.learned), _energy(part, batch.learned))
        ]
        sums += torch.stack([(batch.weight * error).sum(), error.sum(), *energies]).double().cpu()
    weighted, plain, along, energy, target_along, target_energy = sums.tolist()
    return {
        "loss": weighted / len(pairs),
        "mse": plain / len(pairs),
        "content_share": along / max(energy, 1e-30),
        "target_content_share": target_along / max(target_energy, 1e-30),
    }


def _energy(change: Tensor, learned: Tensor | None) -> Tensor:
    """The mean square of each pair's change, over the tokens that learn: [B, T, D] -> [B]."""
    zero = torch.zeros_like(change)
    return pair_errors(change, zero, zero, 1.0, learned=learned)


def sensitivity(
    network: EmotionNetwork, batch: Batch, directions: Directions, scale: float
) -> tuple[dict[str, float], dict]:
    """Walks the network over a grid of emotions and measures how its output moves along each axis.

    Args:
        network: In evaluation mode.
        batch: Of P prompts.
        directions: The data's own, from `data_directions`.
        scale: s, by which the target enlarges them.

    Returns:
        Numbers, for each axis:
        - gain: how far the features move per unit, root mean square over elements, and data_gain: how far the data's
          slope times s moves them;
        - consistency: the mean cosine between the whole movements (-3 to 3) of two prompts, 1 is the same for all;
        - alignment: the mean cosine between these movements and the data's slope;
        - monotone: the share of steps that go forward along the data's slope, 0.5 is chance.
        And maps for the report: "grid", and "valence" and "arousal" with the gain around each point, [V][A].
    """
    residual = _over_grid(network, batch, directions.measure)  # [P, G, G, T * D] or [P, G, G, D], valence first
    numbers, maps = {}, {"grid": list(GRID)}
    for axis, name in enumerate(("valence", "arousal")):
        slope = getattr(directions, name).to(residual.device).flatten()
        along = residual.movedim(1 + axis, 0)  # [G, P, G, T * D]: the axis, prompts, the other axis
        numbers |= {f"{name}_{key}": value for key, value in _axis_numbers(along, slope, scale).items()}
        maps[name] = _gain_map(residual.diff(dim=1 + axis), axis).tolist()
    return numbers, maps


def _over_grid(network: EmotionNetwork, batch: Batch, measure: Measure) -> Tensor:
    rows, neutral = [], batch.neutral.float()
    for valence in GRID:
        row = [network.residual(neutral, network.encode(valence, arousal), batch.mask) for arousal in GRID]
        rows.append(torch.stack([measure.flat(part, batch) for part in row], dim=1))
    return torch.stack(rows, dim=1)


def _gain_map(steps: Tensor, axis: int) -> Tensor:
    """The mean length of the steps on both sides of each point: [P, G - 1, G, T * D] or the other axis -> [G, G]."""
    lengths = steps.square().mean(-1).sqrt().mean(0).movedim(axis, 0)
    around = torch.cat([lengths[:1], (lengths[1:] + lengths[:-1]) / 2, lengths[-1:]])
    return around.movedim(0, axis)


def _axis_numbers(along: Tensor, slope: Tensor, scale: float) -> dict[str, float]:
    steps = along.diff(dim=0)  # [G - 1, P, G, T * D]
    whole = torch.nn.functional.normalize(along[-1] - along[0], dim=-1)  # [P, G, T * D]
    prompts = len(whole)
    # The sum over pairs of prompts of a cosine is the squared length of their sum, less the P cosines with oneself.
    shared = whole.sum(0).square().sum(-1)
    consistency = (shared - prompts) / (prompts * (prompts - 1)) if prompts > 1 else shared
    values = {
        "gain": steps.square().mean(-1).sqrt().mean(),
        "data_gain": scale * slope.square().mean().sqrt(),
        "consistency": consistency.mean(),
        "alignment": (whole @ torch.nn.functional.normalize(slope, dim=0)).mean(),
        "monotone": (steps @ slope > 0).float().mean(),
    }
    return {name: float(value) for name, value in values.items()}


def validate(
    network: EmotionNetwork, loader: Loader, data: Data, scale: float, autocast: Callable
) -> tuple[dict[str, float], dict]:
    """`validation_loss` and `sensitivity` together; leaves the network in the mode it was in."""
    directions, training = data.directions, network.training
    network.eval()
    try:
        with torch.no_grad(), autocast():
            losses = validation_loss(network, loader, data.validation, scale, directions)
            batch = loader.load(distinct_prompts(data.table.neutral, data.validation))
            numbers, maps = sensitivity(network, batch, directions, scale)
    finally:
        network.train(training)
    return losses | numbers, maps


def distinct_prompts(neutral: list[str], pairs: np.ndarray) -> np.ndarray:
    """The rows of up to 8 pairs with different neutral prompts."""
    first = {neutral[row]: row for row in reversed(pairs.tolist())}
    return np.array(sorted(first.values())[:PROMPTS])
