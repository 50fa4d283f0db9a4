"""What a network's errors have to beat: guesses that know nothing of a pair's emotion, or that have it wrong.

A network that learned how strong an emotion is, but not its sign, has a falling loss and is still no better than one
that is asked for the opposite. So held-out pairs are measured again with other labels, and against constants: those of
the test split, which chose nothing, or else those of validation, which chose the weights.

Shapes: B batch, N pairs, T tokens, D feature width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from emoticrafter import EmotionNetwork
from emoticrafter.fit.loss import pair_errors
from trainer.data.pairs import TEST, VALIDATION
from trainer.runs.directions import Directions, Measure
from trainer.runs.loader import Batch, Data, Loader

ASKED = "as asked"
ZERO, MEAN = "zero residual", "mean residual"
LABELS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "labels negated": lambda valence, arousal: (-valence, -arousal),
    "valence negated": lambda valence, arousal: (-valence, arousal),
    "arousal negated": lambda valence, arousal: (valence, -arousal),
}
SHUFFLED = "labels shuffled"
NULLS = (ZERO, MEAN, SHUFFLED, *LABELS)
"""Guesses without the emotion, and the network with other labels than the pair's."""
MEANS = {
    ZERO: "not clearly better than leaving the features alone",
    MEAN: "not clearly better than one constant for every emotion",
    SHUFFLED: "not clearly better than with the valence and arousal of other pairs",
    "labels negated": "not clearly better than with the opposite emotion",
    "valence negated": "the sign of valence is not learned",
    "arousal negated": "the sign of arousal is not learned",
}
"""What it means that a null is not beaten."""

LEAKS = ("network", "held-out pairs")

MIDDLE = 1.0
EVERYWHERE = "everywhere"
REGIONS = (EVERYWHERE, "middle", "V ≥ 0, A ≥ 0", "V ≥ 0, A < 0", "V < 0, A ≥ 0", "V < 0, A < 0")
"""All pairs, those within 1 of the origin on both axes, and the rest by quadrant."""

MOST_PAIRS, MEAN_PAIRS, AT_ONCE = 256, 1024, 16
FEWEST_PROMPTS = 5
CLEAR = 2.0


@dataclass(frozen=True)
class Nulls:
    """The weighted error of each held-out pair, as asked and by each null.

    Attributes:
        split: "test" or "validation".
        errors: [N] by "as asked" and the names of NULLS; their mean over pairs is comparable with the run's loss.
        regions: [N], names from REGIONS but the first.
        prompts: [N], numbers of the neutral prompts: pairs of one prompt are not independent.
        leak: By name from LEAKS, [2, 2]: how far the residual moves along the data's own directions of valence and of
            arousal, per unit of valence and of arousal, fitted over these pairs. 1 is the target's whole step.
    """

    split: str
    errors: dict[str, np.ndarray]
    regions: np.ndarray
    prompts: np.ndarray
    leak: dict[str, list[list[float]]]

    def rows(self, region: str) -> np.ndarray:
        return np.flatnonzero((self.regions == region) | (region == EVERYWHERE))

    def mean(self, name: str, region: str = EVERYWHERE) -> float | None:
        """The mean error of a region's pairs; None if it has none."""
        rows = self.rows(region)
        return float(self.errors[name][rows].mean()) if len(rows) else None

    def beats(self, name: str, region: str = EVERYWHERE) -> bool | None:
        """Whether the network's error lies below a null's by more than twice the standard error over prompts.

        None where fewer than 5 prompts are too few to tell.
        """
        rows = self.rows(region)
        gain = self.errors[name][rows] - self.errors[ASKED][rows]
        by_prompt = np.array([gain[self.prompts[rows] == one].mean() for one in np.unique(self.prompts[rows])])
        if len(by_prompt) < FEWEST_PROMPTS:
            return None
        return bool(by_prompt.mean() > CLEAR * by_prompt.std(ddof=1) / np.sqrt(len(by_prompt)))

    @cached_property
    def verdict(self) -> str:
        """What the first line of a report says; empty if every null is beaten."""
        judged = {name: self.beats(name) for name in NULLS}
        if None in judged.values():
            return (
                f"Not compared with its nulls: too few {self.split} prompts to tell, {len(np.unique(self.prompts))}, "
                f"expected {FEWEST_PROMPTS}: prepare with a larger --{self.split}."
            )
        lost = [name for name in NULLS if not judged[name]]
        if lost:
            told = "; ".join(f"{name} ({self.mean(name):.4g}): {MEANS[name]}" for name in lost)
            return f"DOES NOT BEAT ITS NULL. {self.split.capitalize()} error {self.mean(ASKED):.4g}, against {told}."
        worse = {region: found for region in REGIONS if (found := self._no_better(region))}
        told = "; ".join(f"{region}: {', '.join(found)}" for region, found in worse.items())
        return f"Beats its nulls over the whole plane, but not in {told}." if worse else ""

    def _no_better(self, region: str) -> list[str]:
        """The nulls whose error in a region is no larger than the network's: more than a want of pairs to tell."""
        return [
            name
            for name in NULLS
            if self.beats(name, region) is False and self.mean(name, region) <= self.mean(ASKED, region)
        ]

    def as_json(self) -> dict:
        """Errors and what is beaten, by region; the leak."""
        regions = {
            region: {
                "pairs": len(self.rows(region)),
                "errors": {name: self.mean(name, region) for name in self.errors},
                "beats": {name: self.beats(name, region) for name in NULLS},
            }
            for region in REGIONS
        }
        return {"verdict": self.verdict, "split": self.split, "regions": regions, "leak": self.leak}


def region_of(valence: float, arousal: float) -> str:
    """The name of a point's region."""
    if abs(valence) <= MIDDLE and abs(arousal) <= MIDDLE:
        return REGIONS[1]
    return f"V {'≥' if valence >= 0 else '<'} 0, A {'≥' if arousal >= 0 else '<'} 0"


@torch.no_grad()
def measure_nulls(network: EmotionNetwork, data: Data, loader: Loader, scale: float, seed: int = 0) -> Nulls:
    """Measures up to 256 held-out pairs with their own labels, with others, and against constants.

    Args:
        network: In evaluation mode, on the loader's device.
        data: The run's.
        loader: Gives its batches.
        scale: s of the target, neutral + s (emotional - neutral).
        seed: Chooses the pairs if there are more, and shuffles the labels.
    """
    table, split = data.table, TEST if TEST in data.table.split else VALIDATION
    rows = np.sort(np.random.default_rng((seed, 2)).permutation(table.indexes(split))[:MOST_PAIRS])
    labels = np.stack([table.valence, table.arousal], axis=1)
    design = np.concatenate([np.ones((len(rows), 1)), labels[rows]], axis=1)
    inverse = torch.from_numpy(np.linalg.pinv(design)[1:]).float().to(loader.device)  # [2, N]
    measure, constant, shuffled = (
        data.directions.measure,
        _mean_residual(data, loader, scale, seed),
        _shuffled(rows, seed),
    )
    parts, slopes = [], 0.0
    for start in tqdm(range(0, len(rows), AT_ONCE), desc="nulls", leave=False, mininterval=2):
        part = slice(start, start + AT_ONCE)
        batch = loader.load(rows[part])
        pairs = scale * (batch.emotional.float() - batch.neutral.float())
        own = batch.valence, batch.arousal
        asked = _ask(network, batch, *own)
        other = _ask(network, batch, *torch.from_numpy(labels[shuffled[part]].T).to(loader.device))
        mean = _placed(constant, batch, measure)
        guesses = {ASKED: asked, ZERO: torch.zeros_like(pairs), MEAN: mean, SHUFFLED: other}
        guesses |= {name: _ask(network, batch, *change(*own)) for name, change in LABELS.items()}
        parts.append({name: _errors(batch, residual, scale, measure) for name, residual in guesses.items()})
        moved = torch.stack([measure.flat(asked, batch), measure.flat(pairs, batch)])
        slopes = slopes + torch.einsum("kb,wbn->wkn", inverse[:, part], moved) / scale
    return Nulls(
        split=split,
        errors={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        regions=np.array([region_of(*labels[row]) for row in rows]),
        prompts=np.unique([table.neutral[row] for row in rows], return_inverse=True)[1],
        leak={who: _along(each, data.directions) for who, each in zip(LEAKS, slopes, strict=True)},
    )


def _shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    """The row whose labels each gets; none keeps its own, if there are two."""
    order = np.random.default_rng((seed, 3)).permutation(len(rows))
    found = np.empty_like(rows)
    found[order] = rows[np.roll(order, 1)]
    return found


def _ask(network: EmotionNetwork, batch: Batch, valence: Tensor, arousal: Tensor) -> Tensor:
    return network.residual(batch.neutral.float(), network.encode(valence, arousal), batch.mask).float()


def _errors(batch: Batch, residual: Tensor, scale: float, measure: Measure) -> np.ndarray:
    unit = None if measure.unit is None else measure.unit.to(residual.device)
    predicted = batch.neutral.float() + residual
    found = pair_errors(predicted, batch.neutral, batch.emotional, scale, unit, batch.learned)
    return (batch.weight * found).double().cpu().numpy()


def _mean_residual(data: Data, loader: Loader, scale: float, seed: int) -> Tensor:
    """The constant with the least weighted error over up to 1,024 training pairs.

    Returns:
        [T, D]; where prompts differ in length [1 + M, D], for the prompt's own tokens and for each that is added.
    """
    rows, measure = np.random.default_rng((seed, 4)).permutation(data.train)[:MEAN_PAIRS], data.directions.measure
    total, weights = 0.0, 0.0
    for start in range(0, len(rows), AT_ONCE):
        batch = loader.load(rows[start : start + AT_ONCE])
        change = batch.emotional.float() - batch.neutral.float()
        if measure.pooled:
            change, weight = _by_number(change, batch, measure)
        else:
            weight = batch.weight.unsqueeze(1)
        total, weights = total + torch.einsum("bk,bkd->kd", weight, change), weights + weight.sum(0)
    return scale * total / weights.clamp(min=1e-30).unsqueeze(1)


def _by_number(change: Tensor, batch: Batch, measure: Measure) -> tuple[Tensor, Tensor]:
    """The mean change of a prompt's own tokens and of each added one, [B, 1 + M, D], and their weights, [B, 1 + M]."""
    kinds = torch.arange(measure.added_tokens + 1, device=change.device)
    of_kind = (measure.number(batch).unsqueeze(2) == kinds) & batch.learned.unsqueeze(2)  # [B, T, 1 + M]
    count = of_kind.sum(1)
    means = torch.einsum("btk,btd->bkd", of_kind.float(), change) / count.clamp(min=1).unsqueeze(2)
    return means, batch.weight.unsqueeze(1) * (count > 0)


def _placed(constant: Tensor, batch: Batch, measure: Measure) -> Tensor:
    """A constant of `_mean_residual` for every pair of a batch, [B, T, D]."""
    return constant[measure.number(batch)] if measure.pooled else constant.expand_as(batch.neutral)


def _along(slopes: Tensor, directions: Directions) -> list[list[float]]:
    """Slopes per unit of V and of A, [2, T D] or pooled [2, D], in units of the data's: [2, 2], by least squares."""
    data = torch.stack([directions.valence, directions.arousal]).flatten(1).double()  # [2, T D]
    return torch.linalg.lstsq(data.T, slopes.flatten(1).double().cpu().T).solution.T.tolist()
