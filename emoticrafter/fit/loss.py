"""The training loss: scaled residual learning with density weights.

Source: Dang et al., ICCV 2025, arXiv 2501.05710, equations 8-10. Shapes: B batch, T tokens, D feature width.
"""

import torch
from torch import Tensor


def emotion_loss(
    predicted: Tensor,
    neutral: Tensor,
    emotional: Tensor,
    density: Tensor,
    scale: float = 1.5,
    density_power: float = 1.0,
) -> Tensor:
    """The mean of density^-p (predicted - target)^2, target = neutral + scale (emotional - neutral).

    The weights are not normalised. The paper's equation 10 has p = 1; the released code divides both sides by the
    density before the square, so there p = 2; p = 0 is the plain mean square.

    Args:
        predicted: The network's features, [B, T, D].
        neutral: The features of the neutral prompts, [B, T, D].
        emotional: The features of the emotional prompts, [B, T, D].
        density: The density of each pair's (V, A), positive, [B].
        scale: s, by which the emotional residual is enlarged.
        density_power: p.

    Returns:
        float32 scalar.

    Raises:
        ValueError: Shapes that differ, or another number of densities than pairs.
    """
    density = torch.as_tensor(density, device=predicted.device)
    if not predicted.shape == neutral.shape == emotional.shape or predicted.ndim != 3:
        raise ValueError(
            f"predicted, neutral and emotional are {list(predicted.shape)}, {list(neutral.shape)} and "
            f"{list(emotional.shape)}: expected the same [batch, tokens, width]."
        )
    if density.shape != (len(predicted),):
        raise ValueError(
            f"density is {list(density.shape)}: expected one number per pair, [{len(predicted)}]."
        )
    weight = density.double().pow(-density_power).float()
    return (weight * pair_errors(predicted, neutral, emotional, scale)).mean()


def pair_errors(predicted: Tensor, neutral: Tensor, emotional: Tensor, scale: float) -> Tensor:
    """The mean square of predicted - target per pair, in float32: three times [B, T, D] -> [B]."""
    target = neutral.float() + scale * (emotional.float() - neutral.float())
    return (predicted.float() - target).square().mean(dim=(1, 2))


def pair_weights(density: Tensor, train: Tensor, power: float, clip: float = 0.0) -> Tensor:
    """The weights density^-p of a data set, normalised to mean 1 over its training pairs.

    Args:
        density: Of each pair, positive, [N].
        train: Which of them are trained on, bool [N].
        power: p.
        clip: The largest weight, the mean being 1 still; 0 is no limit, else at least 1.

    Returns:
        float64 [N]; a pair that is not trained on weighs at most what the heaviest trained one does.

    Raises:
        ValueError: A density is not positive.
    """
    if not (density > 0).all():
        raise ValueError("A density is not positive: expected that of the data the pairs are from.")
    # Through logarithms, so that a high power of a small density does not overflow.
    logarithm = -power * density.double().log()
    weights = (logarithm - logarithm[train].max()).clamp(max=0).exp()
    weights /= weights[train].mean()
    if clip > 0:
        weights = weights.clamp(max=_cap(weights[train], clip))
        weights /= weights[train].mean()
    return weights


def _cap(weights: Tensor, clip: float) -> float:
    """The cap under which the largest weight is `clip` times the mean of all."""
    ordered = weights.sort(descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)  # what the first k leave
    cap = clip * rest / (len(weights) - clip * torch.arange(len(weights)))  # if the first k are capped
    fits = (cap > 0) & (ordered <= cap * (1 + 1e-12))
    return cap[fits][0].item()


def effective_size(weights: Tensor) -> float:
    """How many equally weighted pairs the weights are worth: (sum w)^2 / sum w^2 (Kish, 1965)."""
    return float(weights.sum().square() / weights.square().sum())
